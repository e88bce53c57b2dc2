#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who lives and who is dead is known by the kernel's lock, never by a process number: in pid namespaces
# processes that live, die and count all have the same number, which nobody has outside.
. tests/lib/e2e.sh
. tests/lib/life.sh
need unshare
need_root

# A number that is free out here, so that who asks for it by kill() finds nobody.
number=31000
while [ -e "/proc/$number" ]; do
	number=$((number + 1))
done
LIVING=3
RUNS=${LIFE_PIDNS_RUNS:-300}
FRESH=60
program living
program dying
program fresh
program server

in_namespace()
{
	unshare --pid --mount-proc --fork --kill-child "$@"
}

start_tallyd tallyd --interval 100ms
for ((i = 0; i < LIVING; i++)); do
	start "living$i" unshare --pid --mount-proc --fork --kill-child \
		"$SPAWNER" -p "$number" 1 "$T/bin/living" steady "$T/oracle.living"
done
living_files()
{
	find "$SEG" -name 'living.*' ! -name '*.new' -printf '%i\n' | sort | tr '\n' ' '
}
all_live()
{
	[ "$(living_files | wc -w)" = "$LIVING" ]
}
wait_until 10 "the living" all_live
inodes=$(living_files)

# One number again and again, in several namespaces at once; and namespaces in which each is the first.
for i in 1 2 3; do
	start "dying$i" unshare --pid --mount-proc --fork --kill-child \
		"$SPAWNER" -p "$number" "$RUNS" "$T/bin/dying" count 7
done
for ((i = 0; i < FRESH; i++)); do
	in_namespace "$T/bin/fresh" count 5 || fail "fresh"
	same "files of the living" "$(living_files)" "$inodes"
	[ $((i % 20)) != 10 ] || { kill9 tallyd && start_tallyd tallyd --interval 100ms; }
done
in_namespace "$T/bin/server" prefork "$T/oracle.server" 6 60 || fail "server"
for i in 1 2 3; do
	wait "$(pid_of "dying$i")" || fail "dying$i"
	unset "CHILD[dying$i]"
done
only_living()
{
	[ "$(files)" = "$LIVING" ]
}
wait_until 20 "the folding of the dead" only_living
same "files of the living" "$(living_files)" "$inodes"
stop tallyd
same "what the dead counted" "$(total dying) $(total fresh)" "$((3 * RUNS * 7)) $((FRESH * 5))"
same "how many live" "$(total living "$ME" life_alive)" "$LIVING"
returned=$(slots "$T/oracle.living" returned)
value=$(total living)
within "what the living counted" "$value" "$returned" "$(slots "$T/oracle.living" started)"
echo "$LIVING lived as number $number and counted $value; $((3 * RUNS)) died as it"
within "what a server and its workers counted, 60 of them killed" "$(total server)" \
	"$(slots "$T/oracle.server" returned)" "$(slots "$T/oracle.server" started)"

# Without a provider: each takes over the file of one with its own number. That one owned the rows.
before=$(files)
in_namespace "$SPAWNER" -p "$number" "$RUNS" "$T/bin/dying" count 7 >/dev/null || fail "spawner"
same "files more" $(($(files) - before)) 1
same "what they counted" "$(total dying)" $((4 * RUNS * 7))

# And the living die: now they are folded, with all that they counted.
for ((i = 0; i < LIVING; i++)); do
	kill9 "living$i"
done
start_tallyd tallyd --interval 100ms
wait_until 20 "the folding of all" no_files
stop tallyd
within "what they counted when they died" "$(total living)" \
	"$(slots "$T/oracle.living" returned)" "$(slots "$T/oracle.living" started)"
same "how many live" "$(total living "$ME" life_alive)" 0
same "what the others counted" "$(total dying) $(total fresh)" "$((4 * RUNS * 7)) $((FRESH * 5))"
pass
