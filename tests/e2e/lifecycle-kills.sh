#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Processes come and go by the thousand while the provider is killed at random moments, again and again.
# At each kill, and at the end exactly, the total is what was counted. LIFE_KILLS: how often (60).
. tests/lib/e2e.sh
. tests/lib/life.sh

KILLS=${LIFE_KILLS:-60}
SEED=${TALLY_SEED:-$RANDOM$RANDOM}
echo "TALLY_SEED=$SEED"
RANDOM=$((SEED % 32768))

program mortal
# -n 7: each is worth 7 to the oracle. It ends when this script says so.
start spawner "$SPAWNER" -s "$T/enough" -j 24 -o "$T/oracle" -n 7 1000000000 "$T/bin/mortal" count 7
wait_file "$T/oracle"
last=0
for ((kill = 1; kill <= KILLS; kill++)); do
	start tallyd "$B/bin/tallyd" --foreground --state-dir "$STATE" --segment-dir "$SEG" \
		--furl-file "$T/none" --user "$PROVIDER" --producers segments --interval 100ms
	# Ready after 10 ms; then a poll each 150 ms, and the folding with it.
	printf -v pause '0.%03d' $((RANDOM % 3 ? RANDOM % 40 : RANDOM % 400))
	sleep "$pause"
	kill9 tallyd
	returned=$(oracle "$T/oracle" 1)
	value=$(total mortal)
	started=$(oracle "$T/oracle" 0)
	[ "$value" != '0 series' ] || value=0
	within "total after kill $kill" "$value" "$returned" "$started"
	within "total after kill $kill, which never goes down" "$value" "$last" "$started"
	last=$value
done
touch "$T/enough"
wait_until 20 "the end of the spawner" log_has "$T/spawner.log" '^[0-9]+$' 1
wait "$(pid_of spawner)" || fail "spawner"
unset 'CHILD[spawner]'
expected=$(oracle "$T/oracle" 1)
same "the oracle's two words" "$(oracle "$T/oracle" 0)" "$expected"
same "the total after $KILLS kills" "$(total mortal)" "$expected"
start_tallyd tallyd --interval 100ms
wait_until 20 "the folding of all" no_files
stop tallyd
same "the total when all is folded" "$(total mortal)" "$expected"
echo "$((expected / 7)) processes, $KILLS kills of the provider"
within "processes" $((expected / 7)) $((KILLS * 10)) 1000000000
pass
