#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the provider says of its own cost agrees with what the kernel accounts to its process and its cgroup, and
# `tally cost` shows it, by producer and program, beside the kernel's own times of the programs.
. tests/lib/e2e.sh
. tests/lib/life.sh
need_root
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
tally=$B/bin/tally

must_fail 1 "$tally" cost --state-dir "$T/nothing"
must_fail 2 "$tally" cost operand
start_tallyd tallyd --interval 100ms --producers sched,softirq,ended,tasks,proc
PID=$(pid_of tallyd)

# A cgroup with CPU accounting, of whichever version there is.
GROUP=
# shellcheck disable=SC2013 # a mount point without blanks
for dir in $(awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /cpuacct/) { print $2 }' /proc/mounts); do
	mkdir "$dir/tally-cost.$$" 2>/dev/null && GROUP=$dir/tally-cost.$$ && break
done
if [ -n "$GROUP" ]; then
	on_exit "rmdir '$GROUP'"
	echo "$PID" >"$GROUP/cgroup.procs" || fail "$GROUP takes no process"
fi

group_usage()
{
	if [ -r "$GROUP/cpuacct.usage" ]; then
		cat "$GROUP/cpuacct.usage"
	else
		awk '$1 == "usage_usec" { print $2 * 1000 }' "$GROUP/cpu.stat"
	fi
}

own_ns()
{
	own tallyd_cpu_seconds_total | awk '{ printf "%.0f\n", $1 * 1e9 }'
}

# Its last word is at most a poll old.
agrees()
{
	within "$1: ns by its own account" "$(($3 - $2))" $((($5 - $4) * 95 / 100)) $((($5 - $4) * 105 / 100))
}
sleep 0.5
own_before=$(own_ns)
process_before=$(cut -d ' ' -f 1 "/proc/$PID/schedstat")
[ -z "$GROUP" ] || group_before=$(group_usage)
yes | head -c 3G | cat >/dev/null
sleep 6
own_after=$(own_ns)
process_after=$(cut -d ' ' -f 1 "/proc/$PID/schedstat")
[ -z "$GROUP" ] || group_after=$(group_usage)
agrees process "$own_before" "$own_after" "$process_before" "$process_after"
[ -z "$GROUP" ] || agrees cgroup "$own_before" "$own_after" "$group_before" "$group_after"

# By producer: all of them, and together not more than the process.
"$tally" cost --state-dir "$STATE" --json >"$T/cost" || fail "tally cost"
python3 - "$T/cost" <<'PYTHON' || fail "tally cost --json"
import json, sys
cost = json.load(open(sys.argv[1]))
producers = {p["producer"]: p for p in cost["producers"]}
assert set(producers) == {"segments", "sched", "softirq", "ended", "tasks", "proc", "self"}, set(producers)
assert 0 < sum(p["cpu_ns"] for p in producers.values()) <= cost["cpu_ns"], cost
for name, p in producers.items():
    assert p["polls"] > 50 and p["cpu_ns"] > 0, p
    assert name == "segments" or (p["series"] > 0 and p["stream_bytes"] > 0), p
assert producers["sched"]["map_bytes"] > 0 and producers["sched"]["kernel_cpu_ns"] > 0, producers["sched"]
programs = {p["program"]: p for p in cost["programs"]}
assert programs["tally_sched"]["runs"] > 1000, programs
assert programs["tally_sched"]["producer"] == "sched", programs
PYTHON

# Rows and schemas are nearly all of what is in the ring: what was kept since the start is a little more.
bytes=$(for p in sched softirq ended tasks proc self; do
	own "tallyd_producer_stream_bytes_total{producer=\"$p\"}"
done | awk '{ n += $1 } END { print n }')
size=$(cat "$STATE"/ring/*.rec | wc -c)
within "bytes of all producers, of $size in the ring" "$bytes" $((size * 60 / 100)) "$size"

# The kernel's own times, as long as somebody holds its descriptor; afterwards it times nothing.
(yes | head -c 6G | cat >/dev/null) &
load=$!
"$tally" cost --state-dir "$STATE" --audit 3s --json >"$T/audit" || fail "tally cost --audit"
wait "$load"
python3 - "$T/audit" <<'PYTHON' || fail "tally cost --audit --json"
import json, sys
programs = {p["program"]: p for p in json.load(open(sys.argv[1]))["programs"]}
p = programs["tally_sched"]
ours, theirs = p["cpu_ns"] / p["runs"], p["audit_cpu_ns"] / p["audit_runs"]
print("tally_sched: %.0f ns a run by its own sample, %.0f by the kernel" % (ours, theirs))
assert 0.9 < p["audit_runs"] / p["runs"] <= 1.01, p
assert theirs / 4 < ours < theirs * 4, p
PYTHON
same "the kernel's statistics afterwards" "$(sysctl -n kernel.bpf_stats_enabled 2>/dev/null || echo 0)" 0
"$tally" cost --state-dir "$STATE" >"$T/table" || fail "tally cost"
grep -q '^proc ' "$T/table" && grep -q '^tally_softirq_entry ' "$T/table" || fail "the tables: $(cat "$T/table")"
stop tallyd
must_fail 1 "$tally" cost --state-dir "$STATE" --audit 1s
[ -n "$GROUP" ] || skip "no cgroup hierarchy that can be written to"
pass
