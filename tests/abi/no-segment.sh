#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
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
same "files left under the limit" "$(ls -A "$T/seg")" ""
runs "a limit on address space" bash -c "ulimit -v 2700; TALLY_DIR=$T/seg exec $T/prog"
runs "no descriptors" bash -c "ulimit -n 3; TALLY_DIR=$T/seg exec $T/prog-static"
if [ "$(id -u)" = 0 ]; then
	mkdir "$T/full" && mount -t tmpfs -o size=16k,nr_inodes=8 none "$T/full" || fail "mount"
	on_exit "umount '$T/full'"
	head -c 16384 /dev/zero >"$T/full/filler" 2>/dev/null
	runs "a full file system" env TALLY_DIR="$T/full" "$T/prog"
	same "files left on it" "$(ls -A "$T/full")" filler
	rm "$T/full/filler"
	for i in 1 2 3 4 5 6 7 8; do : >"$T/full/$i" || break; done 2>/dev/null
	runs "no inodes left" env TALLY_DIR="$T/full" "$T/prog"
fi

# A setuid program must not let its caller choose where it writes; nor may a symbolic link.
ln -s /dev/null "$T/seg/x"
runs "strangers in the directory" env TALLY_DIR="$T/seg" "$T/prog"

# After a thread's first count no system call: neither on a segment nor in private memory.
gcc -std=c11 -O2 -Iinclude tests/abi/src/quiet.c -o "$T/quiet" || fail "compile"
for dir in "$T/seg" "$T/none"; do
	TALLY_DIR=$dir strace -f -o "$T/trace" "$T/quiet" >/dev/null || fail "strace in $dir"
	between=$(awk '/"end/ {on = 0} on {n++} /"begin/ {on = 1} END {print n + 0}' "$T/trace")
	grep -q '"end' "$T/trace" || fail "strace shows no end"
	same "system calls while it counts" "$between" 0
done
pass
