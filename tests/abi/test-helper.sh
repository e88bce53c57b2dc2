#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally/test.h in somebody's unit test: C and C++, both compilers, with a segment and without; what it
# says when an expectation is not met, and that it aborts where that was asked for.
. tests/lib/e2e.sh

src=tests/abi/src/helped.c
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wundef -Werror"

line_of()
{
	grep -n "line $1 \*/" "$src" | cut -d: -f1
}

# try LABEL COMPILER...: the test that holds, the one that does not, and the one that aborts
try()
{
	local label=$1 code dir want
	shift
	# shellcheck disable=SC2086
	"$@" $warn -O2 -Iinclude "$src" -o "$T/helped" || fail "$label: compile"
	for dir in "$T/seg" /dev/null; do
		rm -rf "$T/seg" && mkdir "$T/seg"
		TALLY_DIR=$dir "$T/helped" 2>"$T/err" || fail "$label, $dir: code $?: $(cat "$T/err")"
		same "$label, $dir: what a test that holds says" "$(cat "$T/err")" ""
		code=0
		TALLY_DIR=$dir "$T/helped" fail 2>"$T/err" || code=$?
		want="$src:$(line_of B): requests changed by 1, not by 3: serve(1)
$src:$(line_of C): sizes changed by 2, not by 0: serve(1), serve(2)
$src:$(line_of D): LEVEL changed by -2, not by 2: TALLY_GAUGE_ADD(level, -2)"
		same "$label, $dir: what is said" "$(cat "$T/err")" "$want"
		same "$label, $dir: exit code" "$code" 1
		code=0
		(ulimit -c 0; TALLY_DIR=$dir exec "$T/helped" abort) 2>"$T/err" || code=$?
		same "$label, $dir: exit code of an assertion" "$code" 134
		contains "$label, $dir" "$(cat "$T/err")" \
			"^$src:$(line_of A): requests changed by 1, not by 0: serve\(1\)$"
	done
}

try "C, gcc" gcc -std=c11 -Wstrict-prototypes
try "C, clang" clang -std=c11
try "C++, gcc" g++ -std=c++17 -x c++
try "C++, clang" clang++ -std=c++17 -x c++
pass
