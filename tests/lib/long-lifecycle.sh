#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make check-long-lifecycle`: the lifecycle tests at full length, and docs/results/lifecycle.txt from what
# they say. That is written only if all pass.
set -u
B=${B:-build}
B=$(cd "$B" && pwd)
export B
OUT=$B/check/long-lifecycle.txt
mkdir -p "$B/check" docs/results
FAILED=0

# long NAME COMMAND...: its last lines are results
long()
{
	local name=$1 start=$SECONDS log=$B/check/long-$1.log
	shift
	if "$@" </dev/null >"$log" 2>&1; then
		echo "$name, $((SECONDS - start)) s" | tee -a "$OUT"
		grep -v -E '^(\[|\||$)|tallyd: |tally: ' "$log" | sed 's/^/    /' | tee -a "$OUT"
	else
		echo "FAIL $name, log: $log"
		tail -n 20 "$log"
		FAILED=1
	fi
}

cat >"$OUT" <<TEXT
command   make check-long-lifecycle
commit    $(git describe --always --dirty --abbrev=12)
began     $(date -u +%Y-%m-%dT%H:%M:%SZ)

Linux $(uname -r | cut -d - -f 1), $(nproc) CPUs. Each test passed: all totals were exact, or within what
was started and returned where processes were killed.

TEXT
long "100,000 short-lived processes" env LIFE_RUNS=100000 tests/e2e/lifecycle-short.sh
long "1,000 kills of the provider at random" env LIFE_KILLS=1000 tests/e2e/lifecycle-kills.sh
long "kills at every system call" env TALLY_STRIDE=1 "$B/tests/fault/test_tallyd_kill"
long "kills at every system call of the fold" "$B/tests/fault/test_fold_kill"
long "one process number for 15,000" env LIFE_PIDNS_RUNS=5000 tests/e2e/lifecycle-pidns.sh
long "1,000 counters, 1,000 threads" tests/e2e/lifecycle-size.sh
[ "$FAILED" = 0 ] || exit 1
cp "$OUT" docs/results/lifecycle.txt
echo "docs/results/lifecycle.txt is written"
