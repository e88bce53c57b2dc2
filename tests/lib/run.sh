#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The test runner behind `make check`: runs what is built, one line for each test, and counts.
#
#	tests/lib/run.sh [PATTERN]	PATTERN: a glob or part of a name such as unit/test_buf
#
# A test is a program made from tests/KIND/test_*.c or a script tests/KIND/*.sh. Its exit code decides:
# 0 passed, 77 skipped (the last line of its output is the reason), anything else failed. With CI=true
# a skip that tests/skips.txt does not list has failed too, also if only some tests of a program skipped
# themselves. The log of a test is $B/check/NAME.log.
set -u
. "${0%/*}/skips.sh"
B=${B:-build}
LIMIT=${TEST_TIMEOUT:-300}
KINDS=${KINDS:-unit model fuzz abi fault race kernel e2e}
PATTERN=${1:-}
mkdir -p "$B/check" "$B/tmp"
B=$(cd "$B" && pwd)
export B
RESULTS=$B/check/.results
: >"$RESULTS"
trap 'kill -TERM $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM HUP

# time_limit COMMAND: seconds; a script may ask for more by a line "# Time limit: N s".
time_limit()
{
	local own
	case $1 in *.sh) own=$(sed -n 's/^# Time limit: \([0-9]*\) s$/\1/p' "$1") ;; esac
	echo "${TEST_TIMEOUT:-${own:-$LIMIT}}"
}

# run_test NAME COMMAND: one test, one line.
run_test()
{
	local name=$1 log=$B/check/${1//\//-}.log limit start code ms verdict unknown="" reason=
	limit=$(time_limit "$2")
	start=$(date +%s%N)
	# A process group of its own ends with the time limit; "timeout" makes one.
	timeout --kill-after=10 "$limit" "$2" </dev/null >"$log" 2>&1
	code=$?
	ms=$((($(date +%s%N) - start) / 1000000))
	case $code in
	0)
		verdict=ok
		reason=$(grep '^skipped [^ ]*::' "$log" | tee -a "$RESULTS" | paste -sd ';')
		[ "${CI:-}" != true ] || unknown=$(unknown_skips "$name" <"$log" | paste -sd ";")
		if [ -n "$unknown" ]; then
			verdict=FAIL
			reason="unexpected skip: $unknown"
		fi
		;;
	77)
		verdict=skip
		reason=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1)
		if [ "${CI:-}" = true ] && ! skip_is_known "$name" "$reason"; then
			verdict=FAIL
			reason="unexpected skip: $reason"
		fi
		;;
	124 | 137)
		verdict=FAIL
		reason="exit code $code (time limit: $limit s)"
		;;
	*)
		verdict=FAIL
		reason="exit code $code"
		;;
	esac
	report_test "$verdict" "$name" "$ms" "$reason" "$log"
}

# One write, so that lines of tests that run side by side don't mix.
report_test()
{
	local text
	text=$(printf '%-4s %-38s %4d.%01d s  %s' "$1" "$2" $(($3 / 1000)) $(($3 % 1000 / 100)) "$4")
	if [ "$1" = FAIL ]; then
		text+=$'\n'$(tail -n 25 "$5" | sed 's/^/     | /')
		text+=$'\n'"     | whole log: $5"
	fi
	printf '%s\n' "$text"
	echo "$1 $2" >>"$RESULTS"
}

wanted()
{
	# shellcheck disable=SC2053 # the right side is a pattern
	[ -z "$PATTERN" ] || [[ $1 == $PATTERN || $1 == *"$PATTERN"* ]]
}

# sources_of KIND: those that say so first, for the last one may be alone
sources_of()
{
	local scripts=(tests/"$1"/*.sh)
	grep -l '^# Takes long$' "${scripts[@]}"
	ls tests/"$1"/test_*.c
	grep -L '^# Takes long$' "${scripts[@]}"
}

# run_kind KIND JOBS: begins all tests of a folder, so many at a time, those of other folders included.
RUNNING=0
run_kind()
{
	local source name command
	for source in $(sources_of "$1" 2>/dev/null); do
		name=$1/$(basename "$source" .c)
		command=$B/tests/$name
		case $source in *.sh) command=./$source ;; esac
		wanted "$name" || continue
		while [ "$RUNNING" -ge "$2" ]; do
			wait -n
			RUNNING=$((RUNNING - 1))
		done
		run_test "$name" "$command" &
		RUNNING=$((RUNNING + 1))
	done
}

for kind in $KINDS; do
	case $kind in
	# The others look at the clock, at CPU time (fuzz only whether it is a second), or at what else runs here.
	unit | model | fuzz | abi) run_kind "$kind" 2 ;;
	*) run_kind "$kind" 1 ;;
	esac
done
wait

count()
{
	grep -c "^$1 " "$RESULTS"
}
# Once more at the end, where who reads only that finds it.
sed -n 's/^FAIL //p' "$RESULTS" | while read -r name; do
	echo "FAIL $name"
	tail -n 6 "$B/check/${name//\//-}.log" | cut -c 1-300 | sed 's/^/     | /'
done
passed=$(count ok) failed=$(count FAIL) skipped=$(count skip) parts=$(count skipped)
if [ $((passed + failed + skipped)) = 0 ]; then
	echo "no test is called '$PATTERN'" >&2
	exit 2
fi
summary="$passed passed, $failed failed"
[ "$skipped" = 0 ] || summary+=", $skipped skipped"
[ "$parts" = 0 ] || echo "$parts tests of programs that passed skipped themselves"
echo "$summary"
[ "$failed" = 0 ]
