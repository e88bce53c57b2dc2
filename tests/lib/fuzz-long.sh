#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make fuzz-long`: the fuzz tests of segments and of the journal of folds side by side, for
# TALLY_FUZZ_SECONDS (3600) each; what they say goes to docs/results/segment-fuzz.txt.
set -u
export TALLY_FUZZ_SECONDS=${TALLY_FUZZ_SECONDS:-3600}
export B=${B:-build}
OUT=docs/results/segment-fuzz.txt
code=0
mkdir -p docs/results "$B/fuzz-long"
commit=$(git describe --always --dirty --abbrev=12)
tests/fuzz/fold-fuzz.sh >"$B/fuzz-long/fold.txt" 2>&1 &
fold=$!
tests/fuzz/segment-fuzz.sh >"$B/fuzz-long/segment.txt" 2>&1 || code=1
wait "$fold" || code=1
{
	echo "command   TALLY_FUZZ_SECONDS=$TALLY_FUZZ_SECONDS make fuzz-long"
	echo "commit    $commit"
	echo "machine   $(uname -s) $(uname -r | cut -d- -f1), $(nproc) processors"
	echo "compiler  $("${CC:-gcc}" --version | head -n 1)"
	echo "ended     $(date -u +%Y-%m-%dT%H:%M:%SZ)"
	echo
	for name in segment fold; do
		echo "tests/fuzz/$name-fuzz.sh"
		{
			grep TALLY_SEED "$B/fuzz-long/$name.txt"
			grep -v TALLY_SEED "$B/fuzz-long/$name.txt" | tail -n "$((code ? 40 : 3))"
		} | sed 's/^/    /'
	done
	echo
	if [ "$code" = 0 ]; then
		echo "no crash, no report of a sanitizer, no wrong value, no bound passed"
	else
		echo "FAILED"
	fi
} | tee "$OUT"
exit "$code"
