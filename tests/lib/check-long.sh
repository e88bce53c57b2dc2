#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make check-long`: the storms of tests/race, TALLY_STORM_SCALE (10) times longer than in `make check`.
# Leaves docs/results/exact.txt, whatever the result is; exit code 0 if all tests passed and at least
# 10^9 increments were compared for equality.
set -u
B=${B:-build}
WANTED=1000000000
REPORT=docs/results/exact.txt
LOGS=$B/check-long
export TALLY_STORM_SCALE=${TALLY_STORM_SCALE:-10}
export TALLY_SEED=${TALLY_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
rm -rf "$LOGS"
mkdir -p "$LOGS" docs/results
export TALLY_STORM_LOG=$LOGS/storms
: >"$TALLY_STORM_LOG"

# sum HOW: increments of all storms that were compared that way.
sum()
{
	awk -v how="$1" '$NF == how { n += $3 } END { printf "%.0f", n }' "$TALLY_STORM_LOG"
}

commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit+=", with changes"
start=$(date +%s)
failed=0
for source in tests/race/test_exact*.c; do
	name=$(basename "$source" .c)
	echo "$name: TALLY_SEED=$TALLY_SEED TALLY_STORM_SCALE=$TALLY_STORM_SCALE"
	timeout --kill-after=10 3600 "$B/tests/race/$name" </dev/null >"$LOGS/$name.log" 2>&1 ||
		failed=1
	grep -E '^\[(SKIP|FAIL|CRASH|====)\]' "$LOGS/$name.log" || failed=1
done
equal=$(sum equal)
bounded=$(sum bounded)
{
	echo "Counters, exact: every increment that was made against every one that was counted."
	echo
	echo "command     make check-long TALLY_STORM_SCALE=$TALLY_STORM_SCALE TALLY_SEED=$TALLY_SEED"
	echo "commit      $commit"
	echo "machine     $(uname -srm), $(nproc) CPUs, $(${CC:-gcc} --version | head -n 1)"
	echo "ended       $(date -u +%Y-%m-%dT%H:%M:%SZ), after $(($(date +%s) - start)) s"
	echo
	echo "$((equal + bounded)) increments compared in all:"
	echo "  $equal made and counted, equal (nobody was killed)"
	echo "  $bounded counted, between those that returned and those that began (killed in mid-air)"
	echo
	echo "Storms (program, mode, runs, increments, how they were compared):"
	awk '{ key = $1 " " $2 " " $NF; runs[key]++; n[key] += $3 }
		END { for (k in runs) {
			split(k, a, " ")
			printf "  %-18s %-18s %5d %14.0f  %s\n", a[1], a[2], runs[k], n[k], a[3] } }' \
		"$TALLY_STORM_LOG" | sort
	echo
	echo "Points of tests/race/test_exact_step.c (a signal at every instruction):"
	sed -n 's/^\(storm-step.*: signal .*\)/  \1/p' "$LOGS/test_exact_step.log" | sort
	echo
	echo "Closing lines:"
	for log in "$LOGS"/test_*.log; do
		grep -E '^\[(SKIP|FAIL|CRASH|====)\]' "$log" |
			sed -e 's/ ([0-9.]*s)$//' -e "s|^|  $(basename "$log" .log): |"
	done
} >"$REPORT"
echo "$((equal + bounded)) increments compared, $equal of them equal: see $REPORT"
if [ "$equal" -lt "$WANTED" ]; then
	echo "fewer than $WANTED were compared for equality" >&2
	failed=1
fi
[ "$failed" = 0 ]
