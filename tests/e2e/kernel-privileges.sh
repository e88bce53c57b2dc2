#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All BPF modules, also the opt-in ones, with CAP_BPF and CAP_PERFMON alone, and CAP_NET_ADMIN for the one that needs
# it, as a user who is nobody: they load, no capability is left afterwards, they count on, and nothing of them stays in
# the kernel, however the provider ends.
. tests/lib/e2e.sh
. tests/lib/life.sh
need_root
need bpftool setpriv
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
MODULES=$("$B/tests/lib/metricdoc" --modules | paste -sd ,)

# Without what this kernel takes from nobody: some refuse programs at functions.
mkdir -p "$T/root.state"
# shellcheck disable=SC2086 # several names
"$B/bin/tallyd" --once --state-dir "$T/root.state" ${MODULES//,/ } ended tasks >/dev/null 2>"$T/root.log" ||
	fail "as root: $(cat "$T/root.log")"
ALL=$MODULES,ended,tasks
for module in ${MODULES//,/ }; do
	grep -q "producer $module is left out: .*another kernel is needed" "$T/root.log" || continue
	ALL=$(echo ",$ALL," | sed "s/,$module,/,/; s/^,//; s/,\$//")
	echo "not with this kernel: $module"
done
COUNT=$(echo "$ALL" | tr , '\n' | wc -l)
BPF=+cap_38,+cap_39 NET_ADMIN=+cap_12

# Everything of BPF in the kernel: "prog 17", a line each.
objects()
{
	local kind
	for kind in prog map link; do
		bpftool "$kind" show | sed -n "s/^\([0-9]*\): .*/$kind \1/p"
	done | sort
}

# objects_since FILE: those that were not there then; none is what we want
objects_since()
{
	objects | comm -13 "$1" -
}

none_since()
{
	[ -z "$(objects_since "$1")" ]
}

# start_nobody NAME CAPABILITIES: a provider of all modules, without any privilege but those
start_nobody()
{
	mkdir -p "$T/$1.state"
	chown nobody "$T/$1.state"
	start "$1" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"--inh-caps=-all${2:+,$2}" "--ambient-caps=-all${2:+,$2}" "--bounding-set=-all${2:+,$2}" \
		"$B/bin/tallyd" --foreground --state-dir "$T/$1.state" --segment-dir "$SEG" \
		--furl-file "$T/none" --user nobody --interval 200ms --producers "$ALL"
	wait_log "$1" ' ready: ' 20
}

newest()
{
	"$B/tests/lib/ringdump" "$T/$1.state/ring" "$2" | tail -n 1 | cut -d ' ' -f 3
}

switches_grow()
{
	[ "$(newest "$1" 'sched_switches_total{cpu="0"}')" -gt "$2" ]
}

# sent_grow NAME RUNS: after one packet more
sent_grow()
{
	echo >/dev/udp/127.0.0.1/9
	[ "$(newest "$1" 'bpf_program_runs_total{program="tally_cgroup_transmit"}')" -gt "$2" ]
}

# has_no_privilege PID: none of its threads
has_no_privilege()
{
	local status set
	for status in /proc/"$1"/task/*/status; do
		status=$(cat "$status")
		for set in CapInh CapPrm CapEff CapAmb; do
			contains "$set" "$status" "^$set:.0+$"
		done
		contains "no new privileges" "$status" '^NoNewPrivs:.1$'
		contains "user" "$status" "^Uid:.$(id -u nobody)"
	done
}

chmod 755 "$T"
objects >"$T/before"
for end in stop kill9; do
	name=provider-$end
	start_nobody "$name" "$BPF,$NET_ADMIN"
	pid=$(pid_of "$name")
	contains "the producers that are open" "$(cat "$T/$name.log")" " $COUNT producers,"
	has_no_privilege "$pid"
	objects_since "$T/before" >"$T/of-it"
	for kind in prog map link; do
		grep -q "^$kind " "$T/of-it" || fail "no $kind of its own in the kernel"
	done
	wait_until 10 "a first snapshot" switches_grow "$name" 0
	wait_until 10 "counting without privileges" switches_grow "$name" \
		"$(newest "$name" 'sched_switches_total{cpu="0"}')"
	wait_until 10 "counting of packets without privileges" sent_grow "$name" \
		"$(newest "$name" 'bpf_program_runs_total{program="tally_cgroup_transmit"}')"
	"$end" "$name"
	# the kernel frees them after a grace period
	wait_until 10 "nothing stays after $end: $(objects_since "$T/before" | paste -sd ,)" \
		none_since "$T/before"
	echo "$end: $(wc -l <"$T/of-it") programs, maps and links of $COUNT producers, then none"
done

# Without CAP_NET_ADMIN only the module that needs it is left out, and says so.
start_nobody no-net-admin "$BPF"
contains "what is lacking" "$(grep 'producer cgroup_net is left out' "$T/no-net-admin.log")" \
	'CAP_NET_ADMIN is missing'
contains "the others" "$(cat "$T/no-net-admin.log")" " $((COUNT - 1)) producers,"
wait_until 10 "the others to count" switches_grow no-net-admin 0
has_no_privilege "$(pid_of no-net-admin)"
kill9 no-net-admin
wait_until 10 "nothing stays" none_since "$T/before"

# Without them every module is left out, and says what is missing; the provider goes on.
mkdir -p "$T/plain.state"
chown nobody "$T/plain.state"
start plain setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all \
	"$B/bin/tallyd" --foreground --state-dir "$T/plain.state" --segment-dir "$SEG" \
	--furl-file "$T/none" --user nobody --producers "$MODULES,ended,tasks,proc"
wait_log plain ' ready: ' 10
for module in ${MODULES//,/ }; do
	contains "what $module lacks" "$(grep "producer $module is left out" "$T/plain.log")" \
		'CAP_BPF and CAP_PERFMON'
done
contains "what is left" "$(cat "$T/plain.log")" ' 1 producers,'
stop plain
none_since "$T/before" || fail "left behind: $(objects_since "$T/before")"
pass
