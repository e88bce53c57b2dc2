#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Many short-lived processes: all leave their values, and the provider is what it was before: descriptors,
# files in the segment directory, journal and memory are flat. LIFE_RUNS: how many (20,000).
. tests/lib/e2e.sh
. tests/lib/life.sh

RUNS=${LIFE_RUNS:-20000}
ROUNDS=10
RSS_KB=512       # more than at the first measurement
JOURNAL_KB=2048  # at any time

program short
descriptors()
{
	find "/proc/$(pid_of tallyd)/fd" -mindepth 1 | wc -l
}

rss_kb()
{
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$(pid_of tallyd)/status"
}

journal_kb()
{
	du -k "$STATE/fold.journal" | cut -f 1
}

settle()
{
	wait_until 20 "the folding of all" no_files
}

start_tallyd tallyd --interval 100ms
expected=0
# The first round brings the provider to the memory that its work takes.
for ((round = 0; round < ROUNDS; round++)); do
	"$SPAWNER" -j 4 $((RUNS / ROUNDS)) "$T/bin/short" count 7 >"$T/spawned" || fail "spawner"
	expected=$((expected + 7 * $(cat "$T/spawned")))
	settle
	if [ "$round" = 0 ]; then
		fds=$(descriptors) rss=$(rss_kb)
	fi
	same "descriptors after round $round" "$(descriptors)" "$fds"
	within "resident KiB after round $round" "$(rss_kb)" 1 $((rss + RSS_KB))
	within "KiB of the journal after round $round" "$(journal_kb)" 0 $JOURNAL_KB
done
echo "$RUNS processes: descriptors $fds, then $(descriptors);" \
	"resident $rss KiB, then $(rss_kb) KiB; journal $(journal_kb) KiB"
stop tallyd
same "what they counted" "$(total short)" "$expected"
same "what still lives" "$(total short "$ME" life_alive)" 0

# A process lives 3 ms between two polls that are a second apart.
program brief
start_tallyd tallyd --interval 1s
"$SPAWNER" -j 4 1000 "$T/bin/brief" count 11 3 >"$T/spawned" || fail "spawner"
settle
stop tallyd
same "what they counted in 3 ms" "$(total brief)" 11000
same "what the others counted" "$(total short)" "$expected"
pass
