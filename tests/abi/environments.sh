#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# What a process may become after its first count, or find missing from its start: another root
# directory, another user, a sandbox that kills or refuses, no /proc, no rseq, an emulated processor,
# another C library. tests/abi/src/environment.c counts in it and compares with its own oracle; here its
# segments are read from outside and compared too.
. tests/lib/e2e.sh
. tests/lib/exact.sh
need valgrind musl-gcc gcc python3

src=tests/abi/src/environment.c
strict="-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2 -g -Iinclude"

gcc $strict $src -o "$T/prog" -pthread || fail "gcc"
gcc $strict -static $src -o "$T/static" -pthread || fail "gcc -static"
gcc $strict -static-pie -fPIE $src -o "$T/static-pie" -pthread || fail "gcc -static-pie"
musl-gcc $strict -static -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu \
	$src -o "$T/musl" -pthread || fail "musl-gcc"

# Without root these cannot be made.
as_root()
{
	local cage=$T/cage
	exact "setuid after the first count" 1 "$T/prog" setuid 65534
	exact "setuid, static" 1 "$T/static" setuid 65534
	mkdir -p "$cage/seg"
	exact "chroot after the first count" 1 "$T/prog" chroot "$cage"
	exact "no /proc mounted" 1 unshare --mount --propagation private \
		sh -c 'umount -l /proc && [ ! -e /proc/self ] && exec "$0" plain' "$T/prog"
	# from its start in a root that has nothing but the program
	for prog in static musl; do
		cp "$T/$prog" "$cage/prog"
		mkdir -p "$T/seg/$RUNS" && mount --bind "$T/seg/$RUNS" "$cage/seg" || fail "mount"
		on_exit "umount '$cage/seg' 2>/dev/null"
		SEGMENT_DIR=/seg exact "an empty root, $prog" 1 chroot "$cage" /prog plain
		umount "$cage/seg"
	done
}

for prog in prog static static-pie musl; do
	exact "plain, $prog" 1 "$T/$prog" plain
	exact "strict seccomp, $prog" 1 "$T/$prog" strict
done
GLIBC_TUNABLES=glibc.pthread.rseq=0 exact "rseq off" 1 "$T/prog" plain
# A thread that counts until others are done must not keep them from it: valgrind runs one at a time.
COUNT=50 exact "valgrind" 1 valgrind -q --fair-sched=yes --error-exitcode=9 "$T/prog" plain
# Of a static program valgrind does not know the C library, and complains about it.
COUNT=50 exact "valgrind, static" 1 valgrind -q --fair-sched=yes "$T/static" plain
grep -E '(at|by) 0x[0-9A-F]+: (tally|kinds|use_many)' "$T/seg/$((RUNS - 1)).err" &&
	fail "valgrind complains about tally in a static program"
if [ "$(id -u)" = 0 ]; then
	as_root
else
	echo "not root: no chroot, no other user, /proc stays"
fi

# Each system call refused alone, and all, from the start and after the first count.
calls=$(sed -n 's/^\t{"\([a-z_0-9]*\)", SYS_.*/\1/p' $src)
[ "$(wc -w <<<"$calls")" -ge 29 ] || fail "the list of calls was not found"
for call in $calls all; do
	for errno in 1 38; do
		FILTER=early:$errno:$call exact "$call refused with $errno" any "$T/prog" seccomp
		FILTER=late:$errno:$call exact "$call refused with $errno later" 1 "$T/prog" seccomp
	done
done
# More threads come and go than there are rows: who is not known by its number is not taken for dead.
COUNT=20000 FILTER=early:38:gettid exact "gettid refused, for longer" 1 "$T/prog" seccomp
# Nor is one of two children that both seem to have the number -1, and want the same few rows.
for _ in {1..10}; do
	COUNT=300000 THREADS=2 FILTER=late:1:getpid exact "getpid refused, for longer" 1 "$T/prog" seccomp
done

# Emulators, and some sandboxes, say yes to what they don't do: here the page is not wiped in a child.
COUNT=3000000 THREADS=2 FILTER=early:0:madvise exact "madvise does nothing" 1 "$T/prog" seccomp

# Where no segment could be made, the program has checked what it had.
exact_end 200
pass
