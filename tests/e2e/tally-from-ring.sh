#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The black box: after SIGKILL the ring is read without provider or gatherer, value for value, up to the last snapshot,
# which is at most an interval old. What is damaged is left out and said, and nothing stays behind.
. tests/lib/e2e.sh

DUMP=$B/tests/lib/ringdump
export TMPDIR=$T/tmp
mkdir -p "$T/tmp" "$T/seg"

provider()
{
	start "$1" "$B/bin/tallyd" --foreground --state-dir "$T/state" --segment-dir "$T/seg" --user "$(id -un)" \
		--furl-file "$T/none" --producers proc,self --ring-size 2M "${@:2}"
	wait_log "$1" ' ready: '
}

# values PATH FILE: those of one series, in order
values()
{
	"$B/bin/tally" get --from-ring "$1" --csv --from 0 tallyd_polls >"$2" 2>"$T/err"
	[ ! -s "$T/err" ] || fail "messages: $(cat "$T/err")"
	sed -i 1d "$2"
}

provider first --interval 200ms
sleep 2
kill9 first
ended=$(date +%s%N)
values "$T/state" "$T/csv"
"$DUMP" "$T/state/ring" tallyd_polls_total >"$T/dump" || fail "the ring"
within "snapshots in 2 s" "$(wc -l <"$T/csv")" 8 20
same "values" "$(awk -F, '{ print $4 }' "$T/csv")" "$(awk '{ print $3 }' "$T/dump")"
last=$("$B/bin/tally" get --from-ring "$T/state" --json --latest tallyd_polls | sed -n 's/.*"time":\([0-9.]*\).*/\1/p')
within "age of the last snapshot in ms" \
	"$((ended / 1000000 - $(awk -v t="$last" 'BEGIN { printf "%.0f", t * 1000 }')))" 0 700

# One file alone, a copy somewhere else, and beside a provider that writes; several incarnations.
cp -r "$T/state/ring" "$T/copy"
provider second --interval 200ms
sleep 1
values "$T/copy" "$T/csv2"
same "a copy" "$(cat "$T/csv2")" "$(cat "$T/csv")"
file=$(find "$T/copy" -name 'ring-*' | sort | tail -n 1)
values "$file" "$T/csv2"
within "snapshots in a file" "$(wc -l <"$T/csv2")" 2 20
same "a file" "$(cat "$T/csv2")" "$(tail -n "$(wc -l <"$T/csv2")" "$T/csv")"
values "$T/state" "$T/csv2"
stop second
values "$T/state" "$T/csv3"
same "what was there before" "$(head -n "$(wc -l <"$T/csv")" "$T/csv2")" "$(cat "$T/csv")"
same "what was there while it wrote" "$(head -n "$(wc -l <"$T/csv2")" "$T/csv3")" "$(cat "$T/csv2")"
within "snapshots of the second" "$(($(wc -l <"$T/csv3") - $(wc -l <"$T/csv")))" 4 20
contains "series" "$("$B/bin/tally" ls --from-ring "$T/state" tallyd_polls)" '^ring +counter +tallyd_polls_total'
contains "a plot" "$("$B/bin/tally" plot --from-ring "$T/state" tallyd_polls --from 0)" 'tallyd_polls'

# A torn tail is what a crash leaves; damage before it costs what depends on it, and is said.
printf '\247\003\0\0garbage' >>"$file"
values "$T/copy" "$T/csv2"
same "values before a torn tail" "$(cat "$T/csv2")" "$(cat "$T/csv")"
# a byte of the last snapshot but three
printf '\377' | dd of="$file" bs=1 conv=notrunc seek="$(($(stat -c %s "$file") - 1500))" status=none
"$B/bin/tally" get --from-ring "$T/copy" --csv --from 0 tallyd_polls >"$T/csv2" 2>"$T/err" || fail "a damaged ring"
contains "damage" "$(cat "$T/err")" '[0-9]+ bytes are damaged and were left out'
sed -i 1d "$T/csv2"
within "values left" "$(wc -l <"$T/csv2")" 2 "$(($(wc -l <"$T/csv") - 1))"
same "values that are none" "$(grep -vxFf "$T/csv" "$T/csv2")" ""

must_fail 1 "$B/bin/tally" get --from-ring "$T/seg" tallyd_polls
contains "no ring" "$(cat "$T/out")" 'no ring of a provider'
must_fail 1 "$B/bin/tally" get --from-ring "$B/bin/tally" tallyd_polls
contains "no file of a ring" "$(cat "$T/out")" "no file of a provider's ring"
must_fail 1 "$B/bin/tally" get --from-ring "$T/nowhere" tallyd_polls
contains "nothing" "$(cat "$T/out")" 'nowhere: No such file'
must_fail 1 "$B/bin/tally" get --from-ring "$T/state" nonesuch
contains "no such series" "$(cat "$T/out")" "state: no series matches 'nonesuch'"
same "what stays behind" "$(ls "$TMPDIR")" ""
pass
