#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A provider whose disk is full, or who may not remove files, can't fold. It must not be in the way of
# programs then: a new run takes over a dead one's file as it does without a provider, and nothing piles
# up. With room again all is folded.
. tests/lib/e2e.sh
. tests/lib/life.sh
need_root

RUNS=20 ROUNDS=20
program plenty "$B/tests/race/life-wide" # 1,000 counters: a record of 30 KB
mkdir "$STATE"
mount -t tmpfs -o size=2m,mode=700,uid="$(id -u nobody)" tally-test "$STATE" || skip "needs to mount a tmpfs"
on_exit "umount -l '$STATE'"
start_tallyd tallyd --interval 100ms --ring-size 256K
"$SPAWNER" 10 "$T/bin/plenty" 1 3 </dev/null >"$T/out" || fail "spawner"
wait_until 10 "the folding of the first" no_files
cat /dev/zero >"$STATE/mine" 2>/dev/null
same "free blocks" "$(stat -f -c %f "$STATE")" 0

# At each poll (150 ms) the provider finds the file of a dead one.
runs()
{
	local round
	for ((round = 1; round <= ROUNDS; round++)); do
		"$SPAWNER" "$RUNS" "$T/bin/plenty" 1 3 </dev/null >"$T/out" || fail "spawner"
		sleep 0.16
	done
}
runs
most=$(files)
rm "$STATE/mine"
wait_until 20 "the folding of all" no_files
stop tallyd
same "what they counted" "$(total plenty "$ME" wide_007_total)" $((3 * (10 + ROUNDS * RUNS)))
# One at a time: few files, for the moments in which the provider holds one.
within "files after $((ROUNDS * RUNS)) runs one after the other" "$most" 0 5

# A directory of somebody else, with the sticky bit: what is folded can't be removed. (It is given to the
# provider's user if it is empty.)
"$SPAWNER" 1 "$T/bin/plenty" 1 3 </dev/null >"$T/out" || fail "spawner"
chown root "$SEG"
start_tallyd tallyd --interval 100ms
runs
stop tallyd
log_has "$T/tallyd.log" "can't be removed" 1 || fail "all could be removed"
same "what they counted" "$(total plenty "$ME" wide_007_total)" $((3 * (11 + 2 * ROUNDS * RUNS)))
within "files after $((ROUNDS * RUNS)) runs in a directory of another user" "$(files)" 0 5
chown nobody "$SEG"
start_tallyd tallyd --interval 100ms
wait_until 20 "the folding of all" no_files
stop tallyd
same "what they counted" "$(total plenty "$ME" wide_007_total)" $((3 * (11 + 2 * ROUNDS * RUNS)))
pass
