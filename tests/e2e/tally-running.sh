#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The tally command beside a gatherer that is writing, after it was killed, and after it ended: the same
# values, and no complaint.
. tests/lib/e2e.sh
. tests/lib/link.sh
need python3
tally=$B/bin/tally
export TALLY_HISTORY=$G/history

polls()
{
	"$tally" get --latest --csv 'tallyd_polls{node=one}' 2>/dev/null | tail -n 1 | cut -d, -f 4
}

polls_above()
{
	[ "$(polls)" -gt "$1" ]
}

start_gatherer
start_provider one "$FURL"
wait_until 15 "values in the history" polls_above 0
first=$(polls)
wait_until 15 "newer values" polls_above $((first + 5))

# Between two looks everything but the newest is the same.
"$tally" get --csv --from 0 tallyd_polls >"$T/before.csv" || fail "get beside a gatherer"
"$tally" check >"$T/check" || fail "check beside a gatherer: $(cat "$T/check")"
contains "nodes" "$("$tally" ls --nodes)" '^one +[a-z2-7]{8} '
rate=$("$tally" get --rate --step all --from 0 --csv tallyd_polls | tail -n 1 | cut -d, -f 4)
python3 -c 'import sys; assert 1 < float(sys.argv[1]) < 50' "$rate" || fail "polls per second: $rate"

kill9 gatherer
kill9 one
"$tally" get --csv --from 0 tallyd_polls >"$T/killed.csv" || fail "get after a kill"
same "what was there is there" "$(head -n "$(wc -l <"$T/before.csv")" "$T/killed.csv")" \
	"$(cat "$T/before.csv")"
"$tally" size >/dev/null || fail "size after a kill"

start_gatherer
start_provider one "$FURL"
last=$(tail -n 1 "$T/killed.csv" | cut -d, -f 1)
newer()
{
	[[ "$("$tally" get --latest --csv 'tallyd_polls' | tail -n 1 | cut -d, -f 1)" > "$last" ]]
}
wait_until 15 "values after the restart" newer
stop one
stop gatherer
contains "the new start is marked" "$("$tally" get --csv --from 0 tallyd_polls)" ',reset'
"$tally" check >"$T/check" || fail "check at the end: $(cat "$T/check")"
pass
