#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Damaged and invented journals of folds against their replay, with sanitizers (tests/fuzz/fold_fuzz.c).
# TALLY_FUZZ_SECONDS says how long, 15 if it is not set; TALLY_SEED repeats a run.
. tests/lib/e2e.sh
. tests/lib/fuzz.sh

run_fuzzer fold_fuzz
pass
