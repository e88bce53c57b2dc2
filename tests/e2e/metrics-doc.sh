#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/kernel-metrics.md says what the tables of modules and producers say, and has every series that producers give.
. tests/lib/e2e.sh
PAGE=docs/kernel-metrics.md
"$B/tests/lib/metricdoc" $PAGE >"$T/kernel-metrics.md" || fail "metricdoc"
diff -u $PAGE "$T/kernel-metrics.md" || fail "$PAGE is not current: make docs"
grep -q '^| `sched_switches` | counter |' $PAGE || fail "the tables are empty"

mkdir "$T/state" "$T/seg"

# is_on_page NAME PRODUCER AT_LEAST [OPTION...]: each series of a snapshot has a row of its name, its type and its
# labels in the producer's part of the page, and there are so many of them.
is_on_page()
{
	local name=$1 producer=$2 at_least=$3
	shift 3
	"$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" "$@" "$producer" \
		>"$T/$name.txt" 2>"$T/$name.err" || fail "$name: --once $producer"
	awk -v part="### \`$producer\`:" '
		FNR == NR && /^### / { mine = index($0, part) == 1 }
		FNR == NR && mine && /^\| `/ {
			split($0, cell, " *[|] *")
			gsub(/`/, "", cell[2])
			gsub(/[`,]/, "", cell[5])
			rows++
			pattern[rows] = "^" cell[2] (cell[3] == "counter" ? "_total" : "") "$"
			gsub(/[*]/, "[A-Za-z0-9_]+", pattern[rows])
			type[rows] = cell[3]
			labels[rows] = " " cell[5] " "
		}
		FNR == NR || /^#/ { next }
		{
			seen++
			text = $0
			gsub(/="([^"\\]|\\.)*"/, "", text)
			sub(/ [^ ]*$/, "", text)
			gsub(/[{},]/, " ", text)
			n = split(text, word, " ")
			counter = word[1] ~ /_total$/
			for (i = 1; i <= rows; i++) {
				if (word[1] !~ pattern[i] || counter != (type[i] == "counter"))
					continue
				for (k = 2; k <= n && index(labels[i], " " word[k] " "); k++) { }
				if (k > n)
					break
			}
			if (i > rows)
				print "not on the page: " $0
		}
		END { if (seen < '"$at_least"') print seen + 0 " series, at least '"$at_least"' are expected" }
	' $PAGE "$T/$name.txt" >"$T/$name.missing"
	[ -s "$T/$name.missing" ] && fail "$name: $(head -n 20 "$T/$name.missing")"
}

# put FILE TEXT
put()
{
	mkdir -p "$(dirname "$T/$1")"
	printf '%b\n' "$2" >"$T/$1"
}

# What this machine has.
is_on_page proc proc 100
is_on_page sys sys 1
if [ "$(id -u)" = 0 ] && [ -r /sys/kernel/btf/vmlinux ]; then
	is_on_page cgroup cgroup 3
	is_on_page tasks tasks 11
	is_on_page ended ended 11
fi

# What it may lack.
put proc/schedstat 'cpu0 0 0 0 0 0 0 1 2 3'
put proc/pressure/irq 'full avg10=0.00 avg60=0.00 avg300=0.00 total=7'
put proc/net/sockstat 'TCP: inuse 5 mem 1'
is_on_page files proc 6 --proc-dir "$T/proc"

put sys/cpu/online 0
put sys/cpu/cpu0/cpuidle/state0/name POLL
put sys/cpu/cpu0/cpuidle/state0/time 7
put sys/cpu/cpu0/cpuidle/state0/usage 2
put sys/cpu/cpu0/cpufreq/scaling_cur_freq 2400123
for node in 0 1; do
	put sys/node/node$node/meminfo "Node $node MemTotal: 5 kB\nNode $node HugePages_Free: 0"
	put sys/node/node$node/numastat 'numa_hit 11\nlocal_node 15'
done
is_on_page devices sys 12 --sys-dir "$T/sys"

pressure='some avg10=0.00 avg60=0.00 avg300=0.00 total=7'
v2=v2/a.service
put v2/cgroup.controllers 'cpu io memory pids'
put $v2/cpu.stat 'usage_usec 1\nuser_usec 1\nsystem_usec 0\nnr_periods 1\nnr_throttled 1\nthrottled_usec 1'
put $v2/memory.current 4096
put $v2/memory.swap.current 4096
put $v2/memory.events 'low 0\nhigh 0\nmax 0\noom 0\noom_kill 0'
put $v2/memory.stat 'anon 1\nfile 1\npgfault 1\npgmajfault 0'
put $v2/io.stat '8:0 rbytes=1 wbytes=0 rios=1 wios=0'
put $v2/pids.current 1
for what in cpu memory io irq; do
	put $v2/$what.pressure "$pressure"
done
is_on_page version2 cgroup 28 --cgroup-dir "$T/v2"

put v1/cpuacct/a.service/cpuacct.usage 7
put v1/cpuacct/a.service/cpuacct.usage_user 7
put v1/cpuacct/a.service/cpuacct.usage_sys 0
put v1/cpu/a.service/cpu.stat 'nr_periods 1\nnr_throttled 1\nthrottled_time 1'
put v1/memory/a.service/memory.usage_in_bytes 4096
put v1/memory/a.service/memory.failcnt 0
put v1/memory/a.service/memory.oom_control 'oom_kill 0'
put v1/memory/a.service/memory.stat 'total_cache 1\ntotal_swap 0\ntotal_pgfault 1'
put v1/blkio/a.service/blkio.throttle.io_service_bytes '8:0 Read 1\n8:0 Write 0'
put v1/blkio/a.service/blkio.throttle.io_serviced '8:0 Read 1\n8:0 Write 0'
put v1/pids/a.service/pids.current 1
put v1/unified/a.service/cpu.pressure "$pressure"
is_on_page version1 cgroup 20 --cgroup-dir "$T/v1"
pass
