# SPDX-License-Identifier: GPL-2.0-or-later
# What the test scripts share; sourced, from the root of the repository:
#
#	. tests/lib/e2e.sh
#	port=$(free_port)
#	start gatherer "$B/bin/tally-gatherer" --data-dir "$T/data" --listen "127.0.0.1:$port"
#	wait_port "$port"; wait_log gatherer 'ready'
#	stop gatherer
#	same "what it is" "$got" "$wanted"
#	pass
#
# B is the build directory, T a private directory in it: tmp/NAME, or E2E_DIR if set before. It is emptied
# at each start, and kept for a look at it after.
# The log of child NAME is $T/NAME.log. Whatever way the script ends, its children end with it.
# A script that just runs to its end without `pass` has failed.

# shellcheck shell=bash
set -u
B=${B:-build}
mkdir -p "$B/tmp"
B=$(cd "$B" && pwd)
NAME=$(basename "$0" .sh)
T=$B/${E2E_DIR:-tmp/$NAME}
rm -rf "$T"
mkdir -p "$T"
declare -A CHILD=()
PASSED=no
ON_EXIT=() # commands to be run at the end, the last one first

# Ends all children with their own children, also those that were stopped or don't listen.
e2e_cleanup()
{
	local code=$? name i
	trap - EXIT INT TERM HUP
	for name in "${!CHILD[@]}"; do
		kill -CONT -- "-${CHILD[$name]}" 2>/dev/null
		kill -TERM -- "-${CHILD[$name]}" 2>/dev/null
	done
	for name in "${!CHILD[@]}"; do
		for ((i = 0; i < 50; i++)); do
			kill -0 -- "-${CHILD[$name]}" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL -- "-${CHILD[$name]}" 2>/dev/null
		wait "${CHILD[$name]}" 2>/dev/null
	done
	for ((i = ${#ON_EXIT[@]} - 1; i >= 0; i--)); do
		eval "${ON_EXIT[i]}"
	done
	if [ "$code" = 0 ] && [ "$PASSED" = no ]; then
		echo "FAIL: $NAME ended without saying that it passed"
		code=1
	fi
	exit "$code"
}
trap e2e_cleanup EXIT
trap 'exit 1' INT TERM HUP

# on_exit COMMAND: a string, evaluated at the end.
on_exit()
{
	ON_EXIT+=("$1")
}

# The logs of all children are shown too: who reads a failure rarely has the machine.
fail()
{
	local log
	for log in "$T"/*.log; do
		[ -s "$log" ] || continue
		echo "--- ${log#"$T"/} (end)"
		tail -n 15 "$log"
	done
	echo "FAIL: $*"
	exit 1
}

# The reason is the last line, where the runner finds it and compares it with tests/skips.txt.
skip()
{
	echo "$*"
	exit 77
}

pass()
{
	PASSED=yes
	exit 0
}

need_root()
{
	[ "$(id -u)" = 0 ] || skip "needs root"
}

# need PROGRAM...: skips if one is not installed.
need()
{
	local program
	for program; do
		command -v "$program" >/dev/null || skip "needs $program"
	done
}

# A free TCP port of 127.0.0.1, below those that the kernel gives to outgoing connections.
free_port()
{
	local port hex
	while :; do
		port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		hex=$(printf ':%04X ' "$port")
		cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "$hex" && continue
		# One script may ask for several before it uses the first.
		mkdir "$T/.port-$port" 2>/dev/null && break
	done
	echo "$port"
}

# wait_until SECONDS WHAT COMMAND...: repeats the command until it succeeds, or fails the test.
wait_until()
{
	local end=$((SECONDS + $1 + 1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what"
		sleep 0.05
	done
}

port_is_open()
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_port PORT [SECONDS]
wait_port()
{
	wait_until "${2:-10}" "port $1" port_is_open "$1"
}

# wait_file FILE [SECONDS]: until it exists and is not empty.
wait_file()
{
	wait_until "${2:-10}" "file $1" test -s "$1"
}

# wait_log NAME REGEX [SECONDS] [COUNT]: until NAME's log has COUNT (1) lines that match.
wait_log()
{
	wait_until "${3:-10}" "'$2' in the log of $1" log_has_or_ended "$1" "$2" "${4:-1}"
	log_has "$T/$1.log" "$2" "${4:-1}" || fail "$1 ended"
}

# There is no sense in waiting for what a child that has ended will say.
log_has_or_ended()
{
	log_has "$T/$1.log" "$2" "$3" && return
	[ -n "${CHILD[$1]:-}" ] && ! is_running "$1" && ! log_has "$T/$1.log" "$2" "$3"
}

log_has()
{
	[ "$(grep -E -c -- "$2" "$1")" -ge "$3" ]
}

# start NAME COMMAND...: a child in the background; its log is appended to, so that restarts show.
# It leads a process group (set -m), by which its own children are found at the end.
start()
{
	local name=$1
	shift
	set -m
	"$@" </dev/null >>"$T/$name.log" 2>&1 &
	CHILD[$name]=$!
	set +m
}

pid_of()
{
	echo "${CHILD[$1]}"
}

is_running()
{
	[ -n "${CHILD[$1]:-}" ] && kill -0 "${CHILD[$1]}" 2>/dev/null
}

# stop NAME [SECONDS]: SIGTERM; it must end by itself in that time (10), with exit code 0.
stop()
{
	local pid=${CHILD[$1]} end=$((SECONDS + ${2:-10} + 1)) code
	kill -TERM "$pid" 2>/dev/null
	while kill -0 "$pid" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || fail "$1 did not end on SIGTERM"
		sleep 0.02
	done
	wait "$pid"
	code=$?
	unset "CHILD[$1]"
	[ "$code" = 0 ] || fail "$1 ended with code $code"
}

# kill9 NAME: SIGKILL, and waits until it is gone.
kill9()
{
	local pid=${CHILD[$1]}
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	unset "CHILD[$1]"
}

# same WHAT GOT WANTED
same()
{
	[ "$2" = "$3" ] || fail "$1: got '$2', wanted '$3'"
}

# within WHAT VALUE MIN MAX: integers
within()
{
	if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
		fail "$1: $2 is not within $3 .. $4"
	fi
}

# contains WHAT TEXT REGEX
contains()
{
	grep -E -q -- "$3" <<<"$2" || fail "$1: no '$3' in: $2"
}

# must_fail CODE COMMAND...: the command's exit code must be that; its output is in $T/out.
must_fail()
{
	local wanted=$1 code=0
	shift
	"$@" >"$T/out" 2>&1 || code=$?
	[ "$code" = "$wanted" ] || fail "exit code $code, wanted $wanted: $* ($(head -c 300 "$T/out"))"
}
