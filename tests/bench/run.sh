#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make bench`: runs the benchmarks one after the other, and writes docs/benchmarks.md from their results.
#
#	tests/bench/run.sh [NAME]
#
# A benchmark is a program made from tests/bench/bench_NAME.c or a script tests/bench/bench_NAME.sh. It
# writes $B/bench/NAME.json; exit code 0: measured and within its limits, 77: not possible here.
set -u
B=${B:-build}
ONLY=${1:-}
mkdir -p "$B/bench" "$B/tmp"
B=$(cd "$B" && pwd)
export B
FAILED=0 RUN=0

run_bench()
{
	local name=$1 code=0
	echo "--- $name"
	rm -f "$B/bench/$name.json" # what an earlier run found is not this one's result
	"$2" </dev/null || code=$?
	RUN=$((RUN + 1))
	case $code in
	0) ;;
	77) echo "--- $name: not measured" ;;
	*)
		echo "--- $name: exit code $code"
		FAILED=$((FAILED + 1))
		;;
	esac
}

for source in tests/bench/bench_*.c tests/bench/bench_*.sh; do
	[ -e "$source" ] || continue
	name=$(basename "$source")
	name=${name#bench_}
	name=${name%.*}
	[ -z "$ONLY" ] || [ "$ONLY" = "$name" ] || continue
	case $source in
	*.c) run_bench "$name" "$B/tests/bench/bench_$name" ;;
	*) run_bench "$name" "./$source" ;;
	esac
done
[ "$RUN" -gt 0 ] || { echo "no benchmark is called '$ONLY'" >&2; exit 2; }
# A single one goes to the screen only: the document is of one machine and one day.
if [ -z "$ONLY" ]; then
	python3 tests/bench/report.py "$B/bench" >docs/benchmarks.md.new &&
		mv docs/benchmarks.md.new docs/benchmarks.md && echo "docs/benchmarks.md is written"
else
	python3 tests/bench/report.py "$B/bench" "$ONLY"
fi
[ "$FAILED" = 0 ]
