#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tallyd without a furl and without privileges: snapshots go to its ring, which SIGKILL does not harm;
# each start is an incarnation of its own; SIGTERM takes a last snapshot.
. tests/lib/e2e.sh

DUMP=$B/tests/lib/ringdump
[ -x "$DUMP" ] || fail "tests/lib/ringdump is not built"

# As root: become somebody else before, if that one gets at the build directory.
AS=()
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$B/bin/tallyd"; then
	AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	chmod 777 "$T"
fi

provider()
{
	start "$1" "${AS[@]}" "$B/bin/tallyd" --foreground --state-dir "$T/state" \
		--segment-dir "$T/seg" --furl-file "$T/none" --producers segments,proc,self "${@:2}"
	wait_log "$1" ' ready: ' 10
}

mkdir -m 1777 "$T/seg"
[ -z "${AS[*]}" ] || chown 65534:65534 "$T/seg"
provider first --interval 100ms
wait_log first 'no furl: snapshots stay in the ring'
must_fail 1 "${AS[@]}" "$B/bin/tallyd" --foreground --state-dir "$T/state" --segment-dir "$T/seg" \
	--furl-file "$T/none" --user "$(id -un)"
contains "a second provider" "$(cat "$T/out")" "another tallyd uses"
sleep 1.5
kill9 first
"$DUMP" "$T/state/ring" context_switches_total >"$T/killed.txt" || fail "the ring after SIGKILL"
within "snapshots in 1.5 s at 100 ms" "$(wc -l <"$T/killed.txt")" 8 40

# Numbers from 1 without a gap, and a counter that never goes down.
check_order()
{
	awk '$1 != inc { inc = $1; seq = 0; value = 0 }
		$2 != seq + 1 || $3 < value { print "line " NR ": " $0; bad = 1 }
		{ seq = $2; value = $3 }
		END { exit bad }' "$1" || fail "order in $1"
}
check_order "$T/killed.txt"
same "incarnations" "$(cut -d ' ' -f 1 "$T/killed.txt" | sort -u | wc -l)" 1

# Power loss may tear the end; the next start cuts it off and goes on.
ring=$(find "$T/state/ring" -name 'ring-*' | sort | tail -n 1)
printf '\247\003\0\0garbage' >>"$ring"
provider second --interval 1h
wait_log second 'torn end of 11 bytes cut'
stop second
"$DUMP" "$T/state/ring" context_switches_total >"$T/both.txt" || fail "the ring after a restart"
check_order "$T/both.txt"
same "what was there before" "$(head -n "$(wc -l <"$T/killed.txt")" "$T/both.txt")" \
	"$(cat "$T/killed.txt")"
# The first at the start, the last one at SIGTERM.
same "snapshots of the second start" "$(tail -n +"$(($(wc -l <"$T/killed.txt") + 1))" "$T/both.txt" |
	awk '{ print $2 }' | tr '\n' ' ')" "1 2 "
same "incarnations" "$(cut -d ' ' -f 1 "$T/both.txt" | sort -u | wc -l)" 2

# The limit holds.
provider third --interval 100ms --ring-size 256K
sleep 0.5
kill -HUP "$(pid_of third)"
wait_log third 'SIGHUP'
stop third
"$DUMP" "$T/state/ring" context_switches_total >/dev/null || fail "the ring within its limit"
within "bytes of the ring" "$(du -sb --apparent-size "$T/state/ring" | cut -f 1)" 1 $((300 * 1024))

# A disk that is full at the start, and later is not: said once, survived, and over when it is over.
start full "${AS[@]}" bash -c 'ulimit -S -f 10; exec "$@"' bash "$B/bin/tallyd" --foreground \
	--state-dir "$T/full" --segment-dir "$T/seg" --furl-file "$T/none" --producers proc,self \
	--interval 100ms
wait_log full ' ready: '
wait_log full "the ring in .* can't be written"
sleep 1
same "complaints in a second" "$(grep -c "can't be written" "$T/full.log")" 1
within "CPU ticks in a second" "$(awk '{ print $14 + $15 }' "/proc/$(pid_of full)/stat")" 0 30
"${AS[@]}" prlimit --pid "$(pid_of full)" --fsize=unlimited:
wait_log full 'is written again'
sleep 0.5
stop full
"$DUMP" "$T/full/ring" tallyd_ring_errors_total >"$T/full.txt" || fail "the ring after a full disk"
within "snapshots when there was room again" "$(wc -l <"$T/full.txt")" 3 30
within "errors that were counted" "$(tail -n 1 "$T/full.txt" | cut -d ' ' -f 3)" 5 30
within "first number that was kept: the lost ones have theirs" \
	"$(head -n 1 "$T/full.txt" | cut -d ' ' -f 2)" 6 40

if [ "$(id -u)" = 0 ]; then
	# From root to an ordinary user: nothing is left of it.
	start dropped "$B/bin/tallyd" --foreground --state-dir "$T/dropped" --segment-dir "$T/seg2" \
		--furl-file "$T/none" --user no-such-user --interval 100ms
	wait_log dropped ' ready: '
	contains "who it is" "$(cat "$T/dropped.log")" "no user 'no-such-user': running as nobody"
	status=$(cat "/proc/$(pid_of dropped)/status")
	contains "user" "$status" '^Uid:.65534.65534.65534.65534$'
	contains "groups" "$status" '^Groups:[[:space:]]*$'
	contains "capabilities" "$status" '^CapEff:.0+$'
	contains "capabilities" "$status" '^CapPrm:.0+$'
	contains "capabilities" "$status" '^CapBnd:.0+$'
	contains "no new privileges" "$status" '^NoNewPrivs:.1$'
	sleep 0.5
	stop dropped
	same "errors after the drop" "$(grep -c error "$T/dropped.log")" 0
	same "owners" "$(find "$T/dropped" ! -user 65534)" ""
fi

# In the background: the shell goes on when it is ready.
"${AS[@]}" "$B/bin/tallyd" --state-dir "$T/bg" --segment-dir "$T/seg" --furl-file "$T/none" \
	--producers self --user "$(id -un)" 2>"$T/bg.log" || fail "going to the background"
contains "ready before the parent ends" "$(cat "$T/bg.log")" ' ready: '
background=""
for dir in /proc/[0-9]*; do
	grep -qzxF "$T/bg" "$dir/cmdline" 2>/dev/null && background=${dir#/proc/}
done
[ -n "$background" ] || fail "nothing runs in the background"
kill "$background"
wait_until 10 "the end of the background process" test ! -e "/proc/$background"
same "snapshots in the background" "$("$DUMP" "$T/bg/ring" tallyd_polls_total | wc -l)" 2
must_fail 1 "${AS[@]}" "$B/bin/tallyd" --state-dir /proc/nowhere --segment-dir "$T/seg"
pass
