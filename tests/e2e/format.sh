#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/FORMAT.md is enough to read a history: a reader in Python that was written from it finds the same
# samples, with the same times, values and flags, as tally's own.
. tests/lib/e2e.sh

compare()
{
	python3 tests/lib/read_history.py "$1" | sort >"$T/python" || fail "$1: the Python reader failed"
	"$B/tests/lib/histdump" "$1" | sort >"$T/tally" || fail "$1: histdump failed"
	[ -s "$T/tally" ] || fail "$1: nothing to compare"
	cmp -s "$T/python" "$T/tally" || {
		diff "$T/python" "$T/tally" | head -20
		fail "$1: the readers differ"
	}
	echo "$(wc -l <"$T/tally") samples of $1 are the same"
}

"$B/tests/lib/mkhistory" "$T/known" || fail "mkhistory"
compare "$T/known"
for seed in 1 2 "${TALLY_SEED:-$RANDOM$RANDOM}"; do
	echo "seed $seed"
	"$B/tests/lib/mkrandom" "$T/random" "$seed" || fail "mkrandom"
	compare "$T/random"
	rm -rf "$T/random"
done
pass
