#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/kernel-metrics.md says what the modules' tables say.
. tests/lib/e2e.sh
"$B/tests/lib/metricdoc" docs/kernel-metrics.md >"$T/kernel-metrics.md" || fail "metricdoc"
diff -u docs/kernel-metrics.md "$T/kernel-metrics.md" || fail "docs/kernel-metrics.md is not current: make docs"
grep -q '^| `sched_switches` | counter |' docs/kernel-metrics.md || fail "the tables are empty"
pass
