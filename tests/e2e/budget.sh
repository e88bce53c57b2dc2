#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A storm of system calls, with a module that counts each: the provider has its programs look at fewer of them, detaches
# them when they are over their budget nevertheless, says so once, and goes on with all else.
. tests/lib/e2e.sh
. tests/lib/life.sh
need_root
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
PERCENT=1
SPAN_S=30 # BUDGET_SPAN_NS

# The newest value there is, in millionths; while a producer is held it has none.
micros()
{
	"$B/tests/lib/ringdump" "$STATE/ring" "$1" | awk '$3 != "-" { v = $3 } END { printf "%.0f\n", v * 1e6 }'
}

links()
{
	cat "/proc/$(pid_of tallyd)/fdinfo/"* 2>/dev/null | grep -c '^link_type:'
}

no_links()
{
	[ "$(links)" = 0 ]
}

has_links()
{
	[ "$(links)" -gt 0 ]
}

# counts_more MILLIONTHS: than those of its runs
counts_more()
{
	[ "$(micros 'bpf_program_runs_total{program="tally_sys_enter"}')" -gt "$1" ]
}

must_fail 2 "$B/bin/tallyd" --budget=101 --once
start_tallyd tallyd --interval 100ms --producers syscalls,proc,self --budget $PERCENT
started=$(date +%s%N)
HELD='tallyd_producer_holds_total{producer="syscalls"}'
wait_until 5 "first figures" own_is "$HELD" 0
within "links" "$(links)" 2 2
storm=()
for _ in $(seq "$(nproc)"); do
	dd if=/dev/zero of=/dev/null bs=1 count=1G 2>/dev/null &
	storm+=($!)
	on_exit "kill $! 2>/dev/null"
done
wait_until 30 "the storm to be over the budget" own_is "$HELD" 1
wait_until 5 "its programs to be detached" no_links
sleep 2
same "links while it is held" "$(links)" 0
elapsed_us=$((($(date +%s%N) - started) / 1000))
most_us=$(((elapsed_us + SPAN_S * 1000000) * $(nproc) * PERCENT / 100))
used_us=0
for program in tally_sys_enter tally_sys_exit; do
	used_us=$((used_us + $(micros "bpf_program_seconds_total{program=\"$program\"}")))
done
within "us of its programs, when it was asked last" "$used_us" 1000 "$most_us"
coarse_us=$(micros 'tallyd_producer_coarse_seconds_total{producer="syscalls"}')
within "us that it was sampled before" "$coarse_us" 100000 "$elapsed_us"
held_us=$(micros 'tallyd_producer_held_seconds_total{producer="syscalls"}')
within "us that it is held" "$held_us" 2000000 "$elapsed_us"
same "messages of that" "$(grep -c 'producer syscalls has used half of' "$T/tallyd.log")" 1
same "messages" "$(grep -c 'producer syscalls is over its budget of 1 % of' "$T/tallyd.log")" 1
"$B/bin/tally" cost --state-dir "$STATE" >"$T/cost.txt" || fail "tally cost"
grep -Eq '^syscalls .*held [0-9]+ %, sampled [0-9]+ %$' "$T/cost.txt" || fail "tally cost: $(cat "$T/cost.txt")"
polls=$(own 'tallyd_producer_polls_total{producer="proc"}')
sleep 1
[ "$(own 'tallyd_producer_polls_total{producer="proc"}')" -gt "$polls" ] || fail "proc is not asked any more"

# When it can pay again, nobody has to do anything, though no privilege is left to attach with.
calls=$(micros 'bpf_program_runs_total{program="tally_sys_enter"}')
kill "${storm[@]}"
contains "capabilities" "$(cat "/proc/$(pid_of tallyd)/status")" '^CapEff:.0+$'
wait_until $((2 * SPAN_S)) "its programs to be attached again" has_links
within "links then" "$(links)" 2 2
wait_until 5 "them to count again" counts_more "$calls"
pass
