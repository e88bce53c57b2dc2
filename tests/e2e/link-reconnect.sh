#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The gatherer away, killed again and again, and a provider that hangs: in the end history holds every
# snapshot of both providers once. tallyd_snapshots counts them: its value is the snapshot's number - 1.
. tests/lib/e2e.sh
. tests/lib/link.sh
SEED=${TALLY_SEED:-$RANDOM}
RANDOM=$SEED
echo "seed $SEED (TALLY_SEED gives it back)"

# complete NODE: its samples are 0, 1, 2 ... without gap or repetition, and not fewer than acknowledged.
complete()
{
	local n acked
	samples "$1" tallyd_snapshots_total >"$T/$1.samples"
	n=$(wc -l <"$T/$1.samples")
	acked=$(acknowledged "$1")
	cut -d ' ' -f 2 "$T/$1.samples" | cmp -s - <(seq 0 $((n - 1))) ||
		fail "$1: a snapshot is missing or stored twice (see $T/$1.samples)"
	grep -q G "$T/$1.samples" && fail "$1: a gap is marked where there is none"
	tail -n +2 "$T/$1.samples" | grep -q R && fail "$1: a new start is marked where there is none"
	[ "$n" -ge "$acked" ] || fail "$1: $acked acknowledged, $n in history"
	echo "$1: $n snapshots in history, $acked acknowledged"
}
longer_than()
{
	[ "$(acknowledged "$1")" -gt "$2" ]
}

# 1. Providers come first: they fill their rings, and deliver once there is a gatherer.
start_gatherer --head-size 4K
kill9 gatherer
start_provider one "$FURL"
start_provider two "$FURL"
sleep 1.5
start_gatherer --head-size 4K
wait_until 10 "the first acknowledgements" longer_than one 5
wait_until 10 "the first acknowledgements" longer_than two 5

# 2. kill -9 at random moments. What was acknowledged is on disk then and there: later the rings would
# deliver again whatever is missing.
for ((round = 1; round <= 10; round++)); do
	sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
	kill9 gatherer
	for p in one two; do
		acked=$(acknowledged $p)
		has_samples $p tallyd_snapshots_total "$acked" ||
			fail "round $round: $acked snapshots of $p were acknowledged, not all are on disk"
	done
	start_gatherer --head-size 4K
done
for p in one two; do
	last=$(acknowledged $p)
	wait_until 10 "$p to go on after the kills" longer_than $p "$last"
done

# 3. One provider hangs: the other is polled as before.
kill -STOP "$(pid_of two)"
from=$(date +%s%N)
sleep 3
to=$(date +%s%N)
kill -CONT "$(pid_of two)"
count=$(samples one tallyd_snapshots_total |
	awk -v from="$from" -v to="$to" '$1 >= from && $1 < to' | wc -l)
within "snapshots of one in 3 s while two hung" "$count" 12 17
wait_log gatherer 'provider "two": poll not answered'
wait_log gatherer 'provider "two" at .* disconnected: three polls in a row'
last=$(acknowledged two)
wait_until 10 "two to be back" longer_than two "$last"

# 4. In order: the last snapshot of each is acknowledged before it ends.
stop one
stop two
wait_log gatherer 'provider "one" .* went down in order'
stop gatherer
complete one
complete two
for p in one two; do
	same "$p: acknowledged at its end" "$(acknowledged $p)" "$(wc -l <"$T/$p.samples")"
done
pass
