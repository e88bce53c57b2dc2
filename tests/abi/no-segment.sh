#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# Where no segment can exist, the program runs as before: same output, same exit code, same counts for
# itself, no signal, and after its start not one more system call than a program without counters.
. tests/lib/e2e.sh

gcc -std=c11 -O2 -Iinclude tests/abi/src/main.c tests/abi/src/other.c -o "$T/prog" || fail "compile"

gcc -std=c11 -O2 -static -Iinclude tests/abi/src/main.c tests/abi/src/other.c -o "$T/prog-static" ||
	fail "compile"

# runs WHAT COMMAND...: the program says ok and ends with 0
runs()
{
	local what=$1 out
	shift
	out=$("$@") || fail "$what: exit code $?"
	same "$what" "$out" ok
}

runs "no directory" env TALLY_DIR="$T/none" "$T/prog"
runs "a file in the place of the directory" env TALLY_DIR="$T/prog" "$T/prog"
mkdir "$T/locked" && chmod 0 "$T/locked"
if [ "$(id -u)" = 0 ]; then
	chmod 755 "$T"
	cp "$T/prog" /tmp/tally-no-segment.$$ && on_exit "rm -f /tmp/tally-no-segment.$$"
	runs "an unreadable directory" setpriv --reuid 65534 --regid 65534 --clear-groups \
		env TALLY_DIR="$T/locked" /tmp/tally-no-segment.$$
else
	runs "an unreadable directory" env TALLY_DIR="$T/locked" "$T/prog"
fi
mkdir "$T/seg"
runs "a limit on file sizes" bash -c "ulimit -f 1; TALLY_DIR=$T/seg exec $T/prog"
same "files left under the limit" "$(ls -A -I '*.refused' "$T/seg")" ""
runs "a limit on address space" bash -c "ulimit -v 2700; TALLY_DIR=$T/seg exec $T/prog"
runs "no descriptors" bash -c "ulimit -n 3; TALLY_DIR=$T/seg exec $T/prog-static"
if [ "$(id -u)" = 0 ]; then
	mkdir "$T/full" && mount -t tmpfs -o size=16k,nr_inodes=8 none "$T/full" || fail "mount"
	on_exit "umount '$T/full'"
	head -c 16384 /dev/zero >"$T/full/filler" 2>/dev/null
	runs "a full file system" env TALLY_DIR="$T/full" "$T/prog"
	same "files left on it" "$(ls -A -I '*.refused' "$T/full")" filler
	rm "$T/full/filler"
	for i in 1 2 3 4 5 6 7 8; do : >"$T/full/$i" || break; done 2>/dev/null
	runs "no inodes left" env TALLY_DIR="$T/full" "$T/prog"
fi

# A setuid program must not let its caller choose where it writes; nor may a symbolic link.
ln -s /dev/null "$T/seg/x"
runs "strangers in the directory" env TALLY_DIR="$T/seg" "$T/prog"

# The same program with empty macros is what "unchanged" means: output, exit code and all system calls
# after main's first count, but for those of each thread's and child's own first.
places=$(mktemp -d) && on_exit "rm -rf '$places'"
chmod 755 "$places"
for how in "-DNO_TALLY" ""; do
	gcc -std=c11 -O2 $how -Iinclude tests/abi/src/ordinary.c -o "$places/dynamic$how" -pthread &&
		gcc -std=c11 -O2 -static -DMANY $how -Iinclude tests/abi/src/ordinary.c \
			-o "$places/static$how" -pthread || fail "compile ordinary.c"
done
seq 3000 >"$places/input"

# traced NAME PROGRAM WRAPPER...: one run; its output goes through a pipe, which has no limits
traced()
{
	local name=$1 program=$2
	shift 2
	strace -ff -o "$T/trace-$name" -- "$@" "$program" "$places/input" "$HOW" 2>"$T/$name.err" |
		cat >"$T/$name.out"
	echo "exit code ${PIPESTATUS[0]}" >>"$T/$name.out"
}

compared=0
# unchanged WHAT dynamic|static WRAPPER...
unchanged()
{
	local what=$1 program=$2
	shift 2
	rm -f "$T"/trace-*
	traced without "$places/$program-DNO_TALLY" "$@"
	traced with "$places/$program" "$@"
	grep -q '^begin' "$T/without.out" || fail "$what: it did not begin: $(cat "$T/without.err")"
	cmp -s "$T/without.out" "$T/with.out" || fail "$what: output differs:
$(diff "$T/without.out" "$T/with.out")"
	python3 tests/lib/samecalls.py "$T/trace-without" "$T/trace-with" >"$T/calls" 2>&1 ||
		fail "$what: system calls differ, without tally first:
$(cat "$T/calls")"
	compared=$((compared + 1))
}

# limited LIMIT: what a shell puts before a program under this limit
limited()
{
	echo "ulimit $1; exec \"\$@\""
}

HOW=0 unchanged "a segment" dynamic env TALLY_DIR="$T/seg"
HOW=3 unchanged "no directory" dynamic env TALLY_DIR="$T/none"
HOW=abort unchanged "no directory, and a crash" dynamic env TALLY_DIR="$T/none"
HOW=0 unchanged "a file as directory" dynamic env TALLY_DIR="$places/input"
HOW=0 unchanged "a directory's name too long" dynamic env TALLY_DIR="/$(printf 'x%.0s' {1..300})"
HOW=0 unchanged "a path too long" dynamic env TALLY_DIR="/$(printf 'x/%.0s' {1..3000})"
ln -s loop "$T/loop"
HOW=0 unchanged "a loop of links" dynamic env TALLY_DIR="$T/loop"
HOW=3 unchanged "no files larger than 512 bytes" dynamic \
	env TALLY_DIR="$T/seg" bash -c "$(limited '-f 1')" -
HOW=0 unchanged "no files" dynamic env TALLY_DIR="$T/seg" bash -c "$(limited '-f 0')" -
HOW=0 unchanged "no descriptors" static env TALLY_DIR="$T/seg" bash -c "$(limited '-n 3')" -
HOW=3 unchanged "no address space for rows" static \
	env TALLY_DIR="$T/seg" bash -c "$(limited '-v 24000')" -
HOW=0 unchanged "no core files, locked memory, processes" dynamic \
	env TALLY_DIR="$T/seg" bash -c "$(limited '-c 0 -l 0')" -
if [ "$(id -u)" = 0 ]; then
	nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
	HOW=0 unchanged "an unreadable directory" dynamic $nobody env TALLY_DIR="$T/locked"
	HOW=0 unchanged "no inodes" dynamic env TALLY_DIR="$T/full"
	rm "$T/full"/* && head -c 16384 /dev/zero >"$T/full/filler"
	HOW=3 unchanged "a full file system" dynamic env TALLY_DIR="$T/full"
	mount -o remount,ro "$T/full" || fail "remount"
	HOW=0 unchanged "a file system that can only be read" dynamic env TALLY_DIR="$T/full"
fi
echo "$compared programs compared"

# After a thread's first count no system call: neither on a segment nor in private memory.
gcc -std=c11 -O2 -Iinclude tests/abi/src/quiet.c -o "$T/quiet" || fail "compile"
for dir in "$T/seg" "$T/none"; do
	TALLY_DIR=$dir strace -f -o "$T/trace" "$T/quiet" >/dev/null || fail "strace in $dir"
	between=$(awk '/"end/ {on = 0} on {n++} /"begin/ {on = 1} END {print n + 0}' "$T/trace")
	grep -q '"end' "$T/trace" || fail "strace shows no end"
	same "system calls while it counts" "$between" 0
done
pass
