#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Process numbers come again: a process that has the number of an ancestor who counted, and whose vfork
# child counts first, loses nothing (tests/race/life.c, "namesake").
. tests/lib/e2e.sh
. tests/lib/life.sh
need unshare
need_root

program namesake
for _ in 1 2 3; do
	unshare --pid --fork "$T/bin/namesake" namesake "$T/oracle" || fail "namesake"
	started=$(slots "$T/oracle" started)
	same "what was counted in between" "$(slots "$T/oracle" returned)" "$started"
	same "what was counted" "$(total namesake)" "$started"
done
pass
