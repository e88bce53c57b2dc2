#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Producer "tasks" where /proc does not tell of processes by the ids that BPF has: in a pid namespace, and where
# it hides those of others. Processes are shown all the same, without the cgroup that nobody can tell.
. tests/lib/e2e.sh
need_root
need unshare setpriv mount
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
mkdir "$T/bin" "$T/state"
chmod 755 "$T" && chown nobody "$T/state"
cp "$(command -v bash)" "$T/bin/tally-large"

# Commands to run: a process that is among the largest, and what is shown beside it. It waits for what never comes.
mkfifo -m 666 "$T/never"
large="'$T/bin/tally-large' -c 'printf -v x \"%*s\" 200000000 \"\"; echo; read -r <>$T/never' >'$T/ready' & large=\$!
	until [ -s '$T/ready' ]; do sleep 0.1; done"
look="'$B/bin/tallyd' --once --state-dir '$T/state' tasks"
nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all,+cap_38,+cap_39 \
	--ambient-caps=-all,+cap_38,+cap_39 --bounding-set=-all,+cap_38,+cap_39"

# shown WHAT OPTIONS-AND-COMMAND...: how the large process is shown in namespaces that unshare makes
shown()
{
	local what=$1 series
	shift
	rm -f "$T/ready"
	unshare "$@" >"$T/out" 2>"$T/err" || fail "$what: $(cat "$T/err")"
	series=$(grep '^task_memory_bytes{.*comm="tally-large"' "$T/out") ||
		fail "$what: it is not shown: $(cat "$T/out")"
	contains "$what" "$series" '^task_memory_bytes\{comm="tally-large",pid="[0-9]+"\} [2-9][0-9]{8}$'
}

shown "a pid namespace" --pid --mount-proc --fork --kill-child sh -c "$large; $look --user root"
shown "hidepid" --mount sh -c "mount -t proc -o hidepid=2 proc /proc && $large; $nobody $look --user nobody
	code=\$?; kill \$large; exit \$code"
pass
