#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally plot: in terminals that can and can't do UTF-8 and colours, and as PNG. The data have a gap.
. tests/lib/e2e.sh
need python3
tally=$B/bin/tally
export TZ=UTC TALLY_HISTORY=$T/history LC_ALL=C.UTF-8
"$B/tests/lib/mkhistory" "$TALLY_HISTORY" || fail "mkhistory"
whole=(--from 1699999400 --to 1700000010)

plot()
{
	"$tally" plot "$@" || fail "tally plot $*"
}

text=$(plot "${whole[@]}" --width 70 --height 18 temperature_celsius)
contains "title" "$text" 'temperature_celsius  on web-1, celsius'
contains "axis" "$text" '^ *28 ┤'
contains "braille" "$text" '(⣀|⠤|⠒|⠉){2}'
contains "times" "$text" '22:05 .*22:10'
contains "span" "$text" '2023-11-14 22:03:20 to 22:13:30 UTC'
contains "legend" "$text" 'last +27.9 +mean +[0-9.]+ +max +27.9'
same "no colours in a file" "$(grep -c $'\033' <<<"$text")" 0
widest=$(head -n 19 <<<"$text" | wc -L)
within "width" "$widest" 60 70
contains "colours on demand" "$(plot --color always http_requests --rate)" $'\033\\[38;5;'

# Every line of the temperature crosses the gap of polls 40 to 44: blank columns there.
columns=$(sed -n '/┤\|│/p' <<<"$text" | python3 -c 'import sys
rows = [line.rstrip("\n").split("┤" if "┤" in line else "│", 1)[1] for line in sys.stdin]
width = max(map(len, rows))
seen = [any(x < len(r) and "\u2800" < r[x] <= "\u28ff" for r in rows) for x in range(width)]
print("".join("#" if s else "." for s in seen).strip("."))')
contains "a gap in the line" "$columns" '^#+\.+#+$'

text=$(LC_ALL=C plot --rate "${whole[@]}" 'cpu_seconds')
same "ASCII only" "$(LC_ALL=C grep -c '[^ -~]' <<<"$text")" 0
contains "marks in the legend" "$text" '\* mode=idle'
contains "marks in the legend" "$text" '\+ mode=user'
contains "common labels in the title" "$text" 'cpu_seconds_total  cpu=0  on web-1, seconds per second'

# One colour for each series; the first one's line is interrupted by the gap.
plot --png "$T/one.png" "${whole[@]}" temperature_celsius
read -r size ranges < <(python3 tests/lib/pngstat.py "$T/one.png" 1f6fb4)
same "size" "$size" 900x300
same "legend, line, gap, line" "$(wc -w <<<"$ranges")" 3
plot --png "$T/two.png" --size 640x240 --title "A title" --rate "${whole[@]}" http_requests
for colour in 1f6fb4 e6760c; do
	read -r size ranges < <(python3 tests/lib/pngstat.py "$T/two.png" $colour)
	same "size" "$size" 640x240
	[ -n "$ranges" ] || fail "colour $colour is not seen"
done

# More series than fit: the rest is told.
contains "left out" "$(plot --color never '*')" '\(and 5 smaller series\)'
# Nothing in range: an empty plot, not a failure.
contains "empty" "$(plot --from 1800000000 big)" 'last +-'
must_fail 1 "$tally" plot --png "$T/no/such/dir.png" big
same "path and reason" "$(cat "$T/out")" "tally: $T/no/such/dir.png: No such file or directory"
must_fail 1 "$tally" plot --png /dev/full big
contains "a full disk" "$(cat "$T/out")" '^tally: /dev/full: No space left on device'

# The picture to a pipe is the one in the file; to a terminal it is refused.
"$tally" plot --png - "${whole[@]}" temperature_celsius >"$T/pipe.png" || fail "plot --png -"
cmp "$T/pipe.png" "$T/one.png" || fail "--png - gives another picture"
if command -v script >/dev/null; then
	must_fail 2 script -qec "$tally plot --png - big" /dev/null
	contains "terminal" "$(cat "$T/out")" 'not written to a terminal'
fi
must_fail 2 "$tally" plot --size 300x200 big
contains "size" "$(cat "$T/out")" '--size is for --png'
# No name and no node in common: the unit alone.
contains "title" "$(plot --rate '*' 2>/dev/null | head -n 1)" '^ *per second$'
must_fail 2 "$tally" plot --rate connections
pass
