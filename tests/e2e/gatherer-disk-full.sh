#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The gatherer's disk fills up: nothing that is not on disk is acknowledged, polls rest, nobody dies.
# With room again everything goes on, and nothing is missing: the rings held it.
. tests/lib/e2e.sh
. tests/lib/link.sh
need_root
need curl

mkdir -p "$G"
mount -t tmpfs -o size=1m,mode=0750 tmpfs "$G" 2>"$T/mount.err" || skip "can't mount a tmpfs"
on_exit "umount '$G'"

longer_than()
{
	[ "$(acknowledged "$1")" -gt "$2" ]
}

start_gatherer
start_provider one "$FURL" --producers self,proc
wait_until 10 "acknowledgements" longer_than one 3

# Full. What is acknowledged from now on must be in history.
head -c 2000000 /dev/zero >"$G/ballast" 2>/dev/null
wait_log gatherer "can't make it durable" 20
sleep 1
acked=$(acknowledged one)
sleep 1
same "acknowledged while the disk is full" "$(acknowledged one)" "$acked"
has_samples one tallyd_snapshots_total "$acked" || fail "$acked acknowledged, not all are on disk"
is_running gatherer || fail "the gatherer died"
is_running one || fail "the provider died"

# Killed while it is full: it starts, and serves what there is.
kill9 gatherer
start_gatherer
has_samples one tallyd_snapshots_total "$acked" || fail "lost over a restart on a full disk"

# Room again.
rm "$G/ballast"
wait_until 20 "acknowledgements again" longer_than one $((acked + 8))
stop one
stop gatherer
samples one tallyd_snapshots_total >"$T/one.samples"
n=$(wc -l <"$T/one.samples")
cut -d ' ' -f 2 "$T/one.samples" | cmp -s - <(seq 0 $((n - 1))) ||
	fail "a snapshot is missing or stored twice (see $T/one.samples)"
same "acknowledged at its end" "$(acknowledged one)" "$n"
pass
