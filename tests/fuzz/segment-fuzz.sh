#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Mutated segments against their reader and the producer, with sanitizers (tests/fuzz/segment_fuzz.c).
# TALLY_FUZZ_SECONDS says how long, 60 if it is not set; TALLY_SEED repeats a run.
. tests/lib/e2e.sh
. tests/lib/fuzz.sh

[ "$(id -u)" = 0 ] || echo "not root: hostile and good segments have one owner, so limits are not tried"
mkdir "$T/seeds"
TALLY_DIR=$T/seeds "$B/san/seed" >"$T/seed.txt" || fail "the instrumented program"
same "what it counted" "$(awk '$1 == "seed_requests_total" { print $2 }' "$T/seed.txt")" 4000
run_fuzzer segment_fuzz "$T/seeds"/seed.*
pass
