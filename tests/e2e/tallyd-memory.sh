#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# After its first snapshots the provider gives back what only the start needs, as the user that it has become. Then all
# goes on: maps that it shares with the kernel, connections that are made anew, the end.
. tests/lib/e2e.sh
. tests/lib/link.sh
need_root
[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
EXECS=200

rss()
{
	awk -v field="$1:" '$1 == field { print $2 }' "/proc/$(pid_of one)/status"
}

given_back()
{
	[ "$(rss RssFile)" -lt $((before / 2)) ]
}

longer_than()
{
	[ "$(acknowledged one)" -gt "$1" ]
}

execs()
{
	samples one process_execs_total | tail -n 1 | cut -d ' ' -f 2
}

start_gatherer
mkdir -m 755 "$T/seg"
start one "$B/bin/tallyd" --foreground --state-dir "$T/one" --segment-dir "$T/seg" --user nobody --name one \
	--furl-file "$FURL" --interval 1s --link-backoff-max 1s --producers self,process --log-level debug
wait_log one ' ready: '
wait_log one 'connected to gatherer'
before=$(rss RssFile)
wait_until 15 "pages of files to be given back, of $before KiB" given_back
echo "RssFile: before $before KiB, after $(rss RssFile) KiB"

counted=$(execs)
for ((i = 0; i < EXECS; i++)); do /bin/true; done
wait_until 10 "another snapshot" longer_than $(($(acknowledged one) + 2))
[ "$(execs)" -ge $((counted + EXECS)) ] || fail "$EXECS programs were run; counted: $counted, then $(execs)"
kill9 gatherer
start_gatherer
wait_log one 'connected to gatherer' 10 2
wait_until 10 "another snapshot" longer_than $(($(acknowledged one) + 2))
stop one
pass
