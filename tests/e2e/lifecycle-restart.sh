#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs and the provider end and start again, also by SIGKILL: the program's counter goes on. The
# gatherer's history has no reset in it, and no step back.
. tests/lib/e2e.sh
. tests/lib/life.sh
. tests/lib/link.sh
need python3

program web
start_gatherer
# last_value OPTION...: in the last line of what tally get says about the program
last_value()
{
	"$B/bin/tally" get --dir "$G/history" --csv "$@" 'life_events{program=web}' 2>/dev/null |
		python3 -c 'import csv, sys; print(list(csv.DictReader(sys.stdin))[-1]["value"])'
}

newest_is()
{
	[ "$(last_value --latest)" = "$1" ]
}

# A run of the program, with a life of half a second: seen while it lives, and when it is dead.
expected=0
run_web()
{
	"$T/bin/web" count "$1" 500 || fail "web"
	expected=$((expected + $1))
}

install -m 600 "$FURL" "$T/furl"
[ "$ME" != root ] || chown nobody "$T/furl"
FURL=$T/furl
start_tallyd tallyd --interval 200ms --furl-file "$FURL"
run_web 100
run_web 20
wait_until 10 "two runs in the history" newest_is "$expected"
run_web 3 &
sleep 0.25
kill9 tallyd
wait $!
expected=$((expected + 3))
run_web 40 # while there is no provider
start_tallyd tallyd --interval 200ms --furl-file "$FURL"
wait_until 10 "what was counted meanwhile" newest_is "$expected"
run_web 500
stop tallyd
start_tallyd tallyd --interval 200ms --furl-file "$FURL"
for i in 1 2 3 4 5; do
	kill9 tallyd
	run_web "$i"
	start_tallyd tallyd --interval 200ms --furl-file "$FURL"
	run_web 7
done
wait_until 10 "all in the history" newest_is "$expected"
stop tallyd
stop gatherer

"$B/bin/tally" get --dir "$G/history" --from 0 --csv 'life_events{program=web}' >"$T/all.csv" ||
	fail "tally get"
"$B/bin/tally" get --dir "$G/history" --from 0 --csv tallyd_polls >"$T/polls.csv" || fail "tally get"
contains "the provider's starts are marked" "$(cat "$T/polls.csv")" ',reset'
python3 - "$T/all.csv" "$expected" <<'PY' || fail "the history: $(cat "$T/all.csv")"
import csv, sys

rows = list(csv.DictReader(open(sys.argv[1])))
values = [int(row["value"]) for row in rows]
flags = [row["flags"] for row in rows]
print(len(values), "samples,", values[0], "to", values[-1])
if len(values) < 15 or values[-1] != int(sys.argv[2]):
    sys.exit("the last value is not %s" % sys.argv[2])
for i in range(1, len(values)):
    if values[i] < values[i - 1]:
        sys.exit("step back at line %d" % (i + 2))
    if "reset" in flags[i]:
        sys.exit("reset at line %d" % (i + 2))
PY
same "increase over all, from the program's first start" \
	"$(last_value --from 0 --increase --step all)" "$expected"
pass
