#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The list of processes that ended, joined with what they counted themselves, and `tally ended` that shows it.
. tests/lib/e2e.sh
. tests/lib/life.sh
need_root
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
# the ids by which both are joined are those, 0xeffffffc in the kernel
[ "$(stat -L -c %i /proc/self/ns/pid)" = 4026531836 ] || skip "needs the first pid namespace"
tally=$B/bin/tally

listed()
{
	"$tally" ended --state-dir "$STATE" --count 100000 --json "$1" 2>/dev/null | grep -c '"comm"'
}

listed_are()
{
	[ "$(listed "$1")" = "$2" ]
}

program ended-life
cp /bin/sleep "$T/bin/ended-sleep"
must_fail 1 "$tally" ended --state-dir "$T/nothing"
start_tallyd tallyd --interval 200ms --producers sched,ended

# One after the other: who begins at once takes over the segment of who has just ended.
for n in 1 2 3; do
	"$T/bin/ended-life" count $((n * 100)) || fail "ended-life"
	wait_until 10 "$n lives in the list" listed_are ended-life $n
done
"$T/bin/ended-sleep" 0.3
"$T/bin/ended-sleep" nonsense 2>"$T/sleep.err"
"$T/bin/ended-sleep" 100 &
wait_until 10 "the sleep begins" grep -q ended-sleep "/proc/$!/comm"
kill -KILL $!
wait $! 2>"$T/wait.err"
wait_until 10 "three sleeps in the list" listed_are ended-sleep 3

# Each with its own program and what it counted, in the order in which they ended.
"$tally" ended --state-dir "$STATE" --count 100 --json ended-life >"$T/lives" || fail "tally ended"
same "programs" "$(grep -c '"program": "ended-life"' "$T/lives")" 3
same "what they counted" "$(grep -o 'life_events=[0-9]*' "$T/lives" | tr '\n' ' ')" \
	"life_events=100 life_events=200 life_events=300 "
"$tally" ended --state-dir "$STATE" --count 100 ended-sleep >"$T/sleeps" || fail "tally ended"
same "codes" "$(awk 'NR > 1 { print $5 }' "$T/sleeps" | tr '\n' ' ')" "0 1 SIGKILL "
run_time=$("$tally" ended --state-dir "$STATE" --json ended-sleep | sed -n '2s/.*"run_seconds": \([0-9.]*\).*/\1/p')
within "milliseconds that it ran" "$(awk -v t="$run_time" 'BEGIN { print int(t * 1000) }')" 300 2000
same "the newest one" "$("$tally" ended --state-dir "$STATE" --count 1 --json ended-sleep | grep -c '"code": 9,')" 1

# What ends before a poll is in the list when the provider has ended.
"$T/bin/ended-life" count 5
stop tallyd
same "in the list at the end" "$(listed ended-life)" 4
pass
