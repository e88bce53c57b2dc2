#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every type and every macro of tally.h, read back by `tally live` and by tallyd: two processes at once, after
# their death, and after a third has taken their segment over. And what becomes of wrong names.
#
# Takes long
. tests/lib/e2e.sh

src=tests/abi/src
first='the first to be counted as "overflow": c,/third$'
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
mkdir "$T/state"

# process NAME ROUNDS: starts one, and waits until it has counted
process()
{
	start "$1" "$T/types" "$2"
	wait_log "$1" '^(ready|wrong)$'
	grep -q '^ready$' "$T/$1.log" || fail "$LABEL: process $1 disagrees with its own values"
}

# look WHAT ROUNDS LIVING...: both readers, compared with what types.c does
look()
{
	local what=$1
	shift
	"$B/bin/tally" live --json "$T/seg" >"$T/live.json" || fail "$LABEL: tally live"
	python3 $src/read_types.py live "$T/live.json" "$@" >"$T/wrong" ||
		fail "$LABEL: tally live, $what: $(cat "$T/wrong")"
	"$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" segments \
		>"$T/once.txt" 2>"$T/once.err" || fail "$LABEL: tallyd --once"
	python3 $src/read_types.py once "$T/once.txt" "$@" >"$T/wrong" ||
		fail "$LABEL: tallyd, $what: $(cat "$T/wrong")"
	contains "$LABEL: who is named for the overflow" "$(cat "$T/once.err")" \
		"program types of user [^ ]*: by_path has no room for more label values than 2; $first"
}

# all_types LABEL COMPILER...
all_types()
{
	LABEL=$1
	shift
	# shellcheck disable=SC2086
	"$@" $warn -O2 -Iinclude $src/types.c -o "$T/types" || fail "$LABEL: compile"
	rm -rf "$T/seg" "$T"/*.log && mkdir "$T/seg"
	export TALLY_DIR=$T/seg
	process one 2
	look "one process" 2 2
	process two 3
	look "two processes" 5 2 3
	same "$LABEL: segments" "$(find "$T/seg" -type f | wc -l)" 2
	stop one
	look "one has ended" 5 3
	kill -KILL "$(pid_of two)"
	wait "$(pid_of two)" 2>/dev/null
	unset "CHILD[two]"
	look "both are dead" 5
	process three 1
	look "a third goes on" 6 1
	same "$LABEL: segments then" "$(find "$T/seg" -type f | wc -l)" 2
	stop three
	look "all are dead" 6
	same "$LABEL: what the processes said else" "$(cat "$T"/{one,two,three}.log)" $'ready\nready\nready'
}

all_types "C, gcc" gcc -std=c11
all_types "C, clang" clang -std=c11
all_types "C++, gcc" g++ -std=c++17 -x c++
all_types "C++, clang" clang++ -std=c++17 -x c++

# --- wrong names ------------------------------------------------------------------------------

# compiles COMPILER...: tests/abi/src/wrong.c with $DEFINITION and $USE
compiles()
{
	"$@" -Iinclude "-DWRONG=$DEFINITION" "-DUSE=$USE" $src/wrong.c -o "$T/wrong-prog" 2>"$T/cc.err"
}

# refused_at_start LABEL METRIC REASON: one line about it, and the program is as it would be
refused_at_start()
{
	local out
	rm -rf "$T/seg" && mkdir "$T/seg"
	out=$(TALLY_DIR=$T/seg "$T/wrong-prog" 2>"$T/err") || fail "$1: exit code $?"
	same "$1: output" "$out" ok
	same "$1: lines on standard error" "$(wc -l <"$T/err")" 1
	contains "$1: the message" "$(cat "$T/err")" \
		"^tally: wrong-prog: metric \"$2\" is left out: .*$3"
	same "$1: what readers see" \
		"$("$B/bin/tally" live --json "$T/seg" | grep -o '"metric": "[^"]*')" '"metric": "good_total'
}

# wrong METRIC REASON DEFINITION USE: does not compile, where the compiler can tell
wrong()
{
	local cc name=$1 reason=$2
	DEFINITION=$3 USE=$4
	for cc in "gcc -std=c11 -O0" "gcc -std=c11 -O2" "g++ -std=c++17 -x c++" "clang++ -std=c++17 -x c++"; do
		# shellcheck disable=SC2086
		compiles $cc && fail "$cc compiles $DEFINITION"
		contains "$cc: $DEFINITION" "$(cat "$T/cc.err")" "tally: .*$reason"
	done
	[ "$name" ] || return # this one no compiler takes
	compiles clang -std=c11 -O2 || fail "clang: $DEFINITION: $(cat "$T/cc.err")"
	refused_at_start "clang: $DEFINITION" "$name" "$reason"
}

# wrong_labels METRIC REASON DEFINITION USE: looked at when the program starts, by code that all share
wrong_labels()
{
	local cc
	DEFINITION=$3 USE=$4
	for cc in "${COMPILERS[@]}"; do
		# shellcheck disable=SC2086
		compiles $cc || fail "$cc: $DEFINITION: $(cat "$T/cc.err")"
		refused_at_start "$cc: $DEFINITION" "$1" "$2"
	done
}

name="name of OpenMetrics"
wrong 9lives "$name" 'TALLY_COUNTER(bad, "9lives", "")' 'TALLY_INC(bad)'
wrong with-dash "$name" 'TALLY_GAUGE(bad, "with-dash", "")' 'TALLY_GAUGE_SET(bad, 1)'
wrong "with space" "$name" 'TALLY_TIMER(bad, "with space", "")' 'TALLY_RECORD(bad, 1)'
wrong "" "" 'TALLY_COUNTER(bad, "", "")' 'TALLY_INC(bad)'
wrong tally_mine "tally" 'TALLY_COUNTER(bad, "tally_mine", "")' 'TALLY_INC(bad)'
wrong tallyd_mine "tally" 'TALLY_COUNTER(bad, "tallyd_mine", "")' 'TALLY_INC(bad)'
wrong x_total "_total, _info and _bucket" 'TALLY_COUNTER(bad, "x_total", "")' 'TALLY_INC(bad)'
wrong x_info "_total, _info and _bucket" \
	'TALLY_INFO(bad, "x_info", "", TALLY_LABELS("a", "b"))' '(void)0'
wrong x_bucket "_total, _info and _bucket" 'TALLY_HISTOGRAM(bad, "x_bucket", "", 1, 8, "")' 'TALLY_RECORD(bad, 1)'
wrong read "the unit" 'TALLY_COUNTER_UNIT(bad, "read", "bytes", "")' 'TALLY_INC(bad)'
wrong readbytes "the unit" 'TALLY_GAUGE_UNIT(bad, "readbytes", "bytes", "")' 'TALLY_GAUGE_SET(bad, 1)'
wrong bytes "the unit" 'TALLY_COUNTER_UNIT(bad, "bytes", "bytes", "")' 'TALLY_INC(bad)'
wrong 1set "$name" 'TALLY_COUNTER_SET(bad, "1set", "", "a", "b")' 'TALLY_INC_AT(bad, 0)'
wrong by-x "$name" 'TALLY_COUNTER_BY(bad, "by-x", "", 2, "a")' 'TALLY_COUNTER_HANDLE(bad, "b")'

label="a label is not"
COMPILERS=("gcc -std=c11 -O0")
for l in le program user cgroup __own 1st a-b ""; do
	wrong_labels labels "$label" \
		"TALLY_COUNTER(bad, \"labels\", \"\", TALLY_LABELS(\"$l\", \"x\"))" 'TALLY_INC(bad)'
done
COMPILERS=("gcc -std=c11 -O2" "clang -std=c11 -O2" "g++ -std=c++17 -x c++" "clang++ -std=c++17 -x c++")
wrong_labels labels "$label" 'TALLY_COUNTER_SET(bad, "labels", "", "le", "x")' 'TALLY_INC_AT(bad, 0)'
wrong_labels labels "$label" 'TALLY_COUNTER_BY(bad, "labels", "", 2, "a", "user")' \
	'TALLY_COUNTER_HANDLE(bad, "1", "2")'
wrong_labels labels "$label" 'TALLY_COUNTER_BY(bad, "labels", "", 2, "a", "a")' 'TALLY_COUNTER_HANDLE(bad, "1", "2")'
wrong_labels labels "$label" \
	'TALLY_COUNTER(bad, "labels", "", TALLY_LABELS("a", "1", "b", "2", "a", "1"))' 'TALLY_INC(bad)'
wrong_labels labels "too long" \
	"TALLY_COUNTER_SET(bad, \"labels\", \"\", \"x\", \"$(printf 'y%.0s' {1..120})\")" \
	'TALLY_INC_AT(bad, 0)'
# of several one is named, in the order of the linker
wrong_labels "(labels|more)" "\\(and there are more\\)" \
	'TALLY_COUNTER(bad, "labels", "", TALLY_LABELS("le", "x")); TALLY_INFO(b, "more", "", TALLY_LABELS("le", ""))' \
	'TALLY_INC(bad)'

# Ranges and numbers of series are the compiler's to refuse, whichever it is.
for DEFINITION in 'TALLY_HISTOGRAM(bad, "h", "", 8, 8, "")' 'TALLY_HISTOGRAM(bad, "h", "", 9, 3, "")' \
	'TALLY_COUNTER_BY(bad, "by", "", 0, "a")' 'TALLY_COUNTER_BY(bad, "by", "", 70000, "a")' \
	'TALLY_COUNTER_BY(bad, "by", "", 2, "a", "b", "c", "d")'; do
	USE=0
	for cc in "gcc -std=c11" "clang -std=c11" "g++ -std=c++17 -x c++" "clang++ -std=c++17 -x c++"; do
		# shellcheck disable=SC2086
		compiles $cc && fail "$cc compiles $DEFINITION"
		contains "$cc: $DEFINITION" "$(cat "$T/cc.err")" "tally: "
	done
done
pass
