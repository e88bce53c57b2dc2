#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without a provider nothing piles up: a new run of a program takes over the file of a dead one, and counts
# on. A provider that comes later has the exact total, and leaves no file.
. tests/lib/e2e.sh
. tests/lib/life.sh

program alone
program many

"$SPAWNER" 1000 "$T/bin/alone" count 3 >/dev/null || fail "spawner"
same "files after 1,000 runs" "$(files)" 1
same "what they counted" "$(total alone)" 3000

# burst N: so many at once, which end together
burst()
{
	local i before
	before=$(grep -s -c counted "$T/burst")
	mkfifo "$T/gate"
	for ((i = 0; i < $1; i++)); do
		"$T/bin/many" gate 5 <"$T/gate" >>"$T/burst" &
	done
	exec 9>"$T/gate"
	wait_until 20 "$1 at once" log_has "$T/burst" counted $((before + $1))
	most=$(files)
	exec 9>&-
	wait
	rm "$T/gate"
}

burst 50
same "files of 50 at once and of the others" "$most" 51
same "what they counted" "$(total many)" 250
"$SPAWNER" -j 8 1000 "$T/bin/many" count 2 >/dev/null || fail "spawner"
burst 50
within "files after 1,100 runs, at most 50 at once" "$(files)" 2 51
same "what they counted" "$(total many)" 2500
same "gauges of the dead" "$(total many "$ME" life_alive)" 0

start_tallyd tallyd --interval 100ms
wait_until 20 "the folding of all" no_files
stop tallyd
same "total of the provider that came later" "$(total many) $(total alone)" "2500 3000"

# It goes on from there without one again.
"$SPAWNER" -j 4 100 "$T/bin/alone" count 3 >/dev/null || fail "spawner"
same "what they counted" "$(total alone)" 3300
pass
