#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing piles up without a provider either where more processes than slots (64) run at once, again and
# again: the files are in proportion to those that ever ran at the same time, not to the rounds.
. tests/lib/e2e.sh
. tests/lib/life.sh

AT_ONCE=150 ROUNDS=12
program crowded
for ((round = 1; round <= ROUNDS; round++)); do
	mkfifo "$T/gate"
	for ((i = 0; i < AT_ONCE; i++)); do
		"$T/bin/crowded" gate 5 <"$T/gate" >>"$T/burst" &
	done
	exec 9>"$T/gate"
	wait_until 20 "round $round" log_has "$T/burst" counted $((round * AT_ONCE))
	exec 9>&-
	wait
	rm "$T/gate"
	echo "round $round: $(files) files"
done
same "what they counted" "$(total crowded)" $((5 * AT_ONCE * ROUNDS))
within "files after $ROUNDS times $AT_ONCE at once" "$(files)" 1 $((3 * AT_ONCE))
pass
