# SPDX-License-Identifier: GPL-2.0-or-later
# What the lifecycle tests share; sourced after tests/lib/e2e.sh. $SEG is a segment directory of their own
# on a tmpfs, as it is in an installation: as root it belongs to the provider's user, who is nobody.

# shellcheck shell=bash disable=SC2154,SC2034
LIFE=$B/tests/race/life
SPAWNER=$B/tests/lib/spawner
ME=$(id -un)
PROVIDER=$ME
[ "$ME" != root ] || PROVIDER=nobody
SEG=$(mktemp -d /dev/shm/tally-life-XXXXXX)
on_exit "rm -rf '$SEG'"
[ "$ME" != root ] || chown nobody:nogroup "$SEG"
chmod 3773 "$SEG"
export TALLY_DIR=$SEG
STATE=$T/state

# Programs are told apart by the name of their file: program NAME makes $T/bin/NAME.
program()
{
	mkdir -p "$T/bin"
	cp "${2:-$LIFE}" "$T/bin/$1"
}

tallyd_run()
{
	"$B/bin/tallyd" --state-dir "$STATE" --segment-dir "$SEG" --furl-file "$T/none" \
		--user "$PROVIDER" "$@"
}

# start_tallyd NAME [OPTION...]: child NAME; ready when this returns. The log counts its starts.
start_tallyd()
{
	local ready
	ready=$(grep -s -c ' ready: ' "$T/$1.log")
	start "$1" "$B/bin/tallyd" --foreground --state-dir "$STATE" --segment-dir "$SEG" \
		--furl-file "$T/none" --user "$PROVIDER" --producers segments,self "${@:2}"
	wait_log "$1" ' ready: ' 10 $((ready + 1))
}

# total PROGRAM [USER] [METRIC]: what a provider would say now; nobody may be folding meanwhile.
total()
{
	tallyd_run --once segments 2>>"$T/once.log" | awk -v p="program=\"$1\"" \
		-v u="user=\"${2:-$ME}\"" -v m="${3:-life_events_total}" \
		'index($0, m "{") == 1 && index($0, p) && index($0, u) { n++; v = $NF }
		END { print n == 1 ? v : n + 0 " series" }'
}

# Segments, finished or not; what programs without one leave to be counted is none.
files()
{
	find "$SEG" -mindepth 1 ! -name '*.refused' | wc -l
}

no_files()
{
	[ "$(files)" = 0 ]
}

# own METRIC: what the running provider said about itself last, in its ring
own()
{
	"$B/tests/lib/ringdump" "$STATE/ring" "$1" | tail -n 1 | cut -d ' ' -f 3
}

own_is()
{
	[ "$(own "$1")" = "$2" ]
}

# oracle FILE WORD: a 64-bit word of a spawner's oracle
oracle()
{
	od -A n -t u8 -j $((8 * $2)) -N 8 "$1" | tr -d ' '
}

# slots FILE started|returned: the sum over the slots of a life's oracle
slots()
{
	local column=1
	[ "$2" = started ] || column=2
	od -A n -t u8 -v -w64 -j 64 "$1" | awk -v c=$column '{ s += $c } END { printf "%.0f\n", s }'
}
