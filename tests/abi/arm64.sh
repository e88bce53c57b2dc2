#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# The header on arm64: cross-built in C and C++, run on an emulated processor, counted by the storm's own
# oracle, and the segments read by this machine's reader (both are little-endian).
#
# The emulator, qemu-user 7.2, ignores MADV_WIPEONFORK and says that it did as told; it has kcmp; and it
# may abort a child that a program with threads forked, or let it wait for ever for a lock of its own (see
# emulated.py). So the rule for the killed holds: returned <= total <= started, which is equality for all
# that were not.
. tests/lib/e2e.sh
need aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ qemu-aarch64 qemu-x86_64 python3

warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2 -static -Iinclude"
arm="qemu-aarch64"

# oracle FILE: "started returned" of all threads, after tests/race/oracle.h
oracle()
{
	python3 -c '
import struct, sys
data = open(sys.argv[1], "rb").read()
used, head, slot = struct.unpack_from("<Q", data)[0], 16, 8
words = struct.unpack_from(f"<{slot * used}Q", data, 8 * head)
print(sum(words[::slot]), sum(words[1::slot]))' "$1"
}

# held METRIC: what the segments hold
held()
{
	"$B/bin/tally" live --json --count 1 "$T/seg" | python3 -c '
import json, sys
print(sum(r["value"] for r in json.load(sys.stdin) if r["metric"].split("{")[0] == sys.argv[1]))' "$1"
}

# emulate WHAT EMULATOR COMMAND...: its standard output is $T/out. Again if the emulator itself failed, and
# only then. $T/oracle and the segments are new at each try.
emulate()
{
	local what=$1 try code
	shift
	for try in 1 2 3 4 5 6 7 8; do
		code=0
		rm -rf "$T/seg" "$T/oracle" && mkdir "$T/seg" && : >"$T/oracle"
		TALLY_DIR=$T/seg python3 tests/lib/emulated.py 60 "$T/out" "$T/emulated.log" "$@" || code=$?
		[ "$code" = 75 ] || break
		echo "$what: the emulator failed, try $try"
	done
	[ "$code" = 0 ] || fail "$what: exit code $code: $(cat "$T/out")"
}

# storm WHAT EMULATOR PROGRAM MODE COUNT
storm()
{
	local total started returned
	emulate "$1 $4" "$2" "$3" "$4" "$T/oracle" "$5"
	read -r started returned < <(oracle "$T/oracle")
	total=$(held storm_total)
	[ "$started" -gt 0 ] || fail "$1 $4: nothing was counted"
	within "$1 $4" "$total" "$returned" "$started"
	same "$1 $4: bytes" "$(held storm_bytes_total)" $((7 * total))
	echo "$1 $4: $total increments, $((started - returned)) in mid-air"
}

for program in storm storm-signal; do
	aarch64-linux-gnu-gcc -std=c11 $warn tests/race/$program.c -o "$T/$program" -pthread || fail "gcc"
	aarch64-linux-gnu-g++ -std=c++17 -x c++ $warn tests/race/$program.c -o "$T/$program-cxx" \
		-pthread || fail "g++"
done
for mode in threads:20000 churn:5 fork:2000 clone:200000 vfork:20000 vfork-first:1; do
	storm "C" $arm "$T/storm" ${mode%:*} ${mode#*:}
done
for mode in threads:20000 fork:2000; do
	storm "C++" $arm "$T/storm-cxx" ${mode%:*} ${mode#*:}
done
storm "C" $arm "$T/storm-signal" signals 20000
storm "C++" $arm "$T/storm-signal-cxx" signals 20000

# all kinds of metric, threads and children; the values are compared inside, and in the segment
aarch64-linux-gnu-gcc -std=c11 $warn tests/abi/src/environment.c -o "$T/environment" -pthread ||
	fail "gcc: environment.c"
emulate environment $arm "$T/environment" plain
while read -r metric value; do
	same "$metric on arm64" "$(held "$metric")" "$value"
done <"$T/out"

# several files, and without a directory
for cc in "gcc -std=c11" "g++ -std=c++17 -x c++"; do
	aarch64-linux-gnu-$cc $warn tests/abi/src/main.c tests/abi/src/other.c -o "$T/prog" || fail "$cc"
	for dir in "$T/seg" "$T/none"; do
		same "$cc" "$(TALLY_DIR=$dir $arm "$T/prog")" ok
	done
done

# This machine's own instructions on the same emulator: a plain add is not safe on a row that a fork
# did not take away.
gcc -std=c11 $warn tests/race/storm.c -o "$T/storm-x86" -pthread || fail "gcc for this machine"
for i in 1 2 3; do
	storm "x86-64 emulated, $i:" qemu-x86_64 "$T/storm-x86" clone 2000000
done
pass
