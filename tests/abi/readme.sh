#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The README's program, as it stands there: compiled by each compiler there is, run, and its counter
# read from the segment it left, and through `tally live`.
. tests/lib/e2e.sh

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$T/lines.c"
[ "$(grep -c . "$T/lines.c")" -ge 8 ] || fail "no program in README.md"

try_compiler()
{
	local cc=$1 dir=$T/seg-$1 got
	"$cc" -Wall -Wextra -Werror -Iinclude "$T/lines.c" -o "$T/lines-$cc" || fail "$cc"
	mkdir "$dir"
	seq 12345 | TALLY_DIR=$dir "$T/lines-$cc" || fail "it did not run"
	got=$(find "$dir" -type f | wc -l)
	same "segments of $cc" "$got" 1
	"$B/bin/tally" live --count 1 "$dir" >"$T/live-$cc" || fail "tally live"
	grep -E -q 'lines_read.*[^0-9]12345([^0-9]|$)' "$T/live-$cc" ||
		fail "not 12345 lines: $(cat "$T/live-$cc")"
}

tried=0
for cc in gcc clang; do
	command -v "$cc" >/dev/null || continue
	try_compiler "$cc"
	tried=$((tried + 1))
done
[ "$tried" -gt 0 ] || fail "no compiler"

# Without tally's directory it is a program like any other.
seq 10 | TALLY_DIR=$T/nowhere "$T/lines-$cc" || fail "it needs its directory"
[ ! -e "$T/nowhere" ] || fail "it made a directory"
pass
