#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# What a process may become after its first count, or find missing from its start: another root
# directory, another user, a sandbox that kills or refuses, no /proc, no rseq, an emulated processor,
# another C library. tests/abi/src/environment.c counts in it and compares with its own oracle; here its
# segments are read from outside and compared too.
. tests/lib/e2e.sh
need valgrind musl-gcc gcc python3

src=tests/abi/src/environment.c
strict="-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O2 -g -Iinclude"
runs=0

gcc $strict $src -o "$T/prog" -pthread || fail "gcc"
gcc $strict -static $src -o "$T/static" -pthread || fail "gcc -static"
gcc $strict -static-pie -fPIE $src -o "$T/static-pie" -pthread || fail "gcc -static-pie"
musl-gcc $strict -static -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu \
	$src -o "$T/musl" -pthread || fail "musl-gcc"

# exact WHAT SEGMENTS COMMAND...: it must succeed; what it wants its segments to hold, and what they
# hold, is written down for the end. SEGMENTS: how many files there must be, "any" for 0 or 1.
exact()
{
	local what=$1 files=$2 dir=$T/seg/$runs have
	shift 2
	[ -d "$dir" ] || mkdir -p "$dir"
	chmod 1777 "$dir"
	TALLY_DIR=${SEGMENT_DIR:-$dir} "$@" >"$dir.want" 2>"$dir.err" ||
		fail "$what: exit code $? ($(head -n 20 "$dir.want" "$dir.err"))"
	[ -s "$dir.want" ] || fail "$what: it printed nothing"
	have=$(find "$dir" -type f ! -name '*.new' | wc -l)
	[ "$files" = any ] && [ "$have" -le 1 ] || same "$what: segments" "$have" "$files"
	"$B/bin/tally" live --json --count 1 "$dir" >"$dir.json" || fail "$what: tally live"
	echo "$what" >"$dir.what"
	runs=$((runs + 1))
}

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
		mkdir -p "$T/seg/$runs" && mount --bind "$T/seg/$runs" "$cage/seg" || fail "mount"
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
COUNT=50 exact "valgrind" 1 valgrind -q --error-exitcode=9 --leak-check=full "$T/prog" plain
# Of a static program valgrind does not know the C library, and complains about it.
COUNT=50 exact "valgrind, static" 1 valgrind -q "$T/static" plain
grep -E '(at|by) 0x[0-9A-F]+: (tally|kinds|use_many)' "$T/seg/$((runs - 1)).err" &&
	fail "valgrind complains about tally in a static program"
if [ "$(id -u)" = 0 ]; then
	as_root
else
	echo "not root: no chroot, no other user, /proc stays"
fi

# Each system call refused alone, and all, from the start and after the first count.
calls=$(sed -n 's/^\t{"\([a-z_0-9]*\)", SYS_.*/\1/p' $src)
[ "$(wc -w <<<"$calls")" -ge 27 ] || fail "the list of calls was not found"
for call in $calls all; do
	for errno in 1 38; do
		FILTER=early:$errno:$call exact "$call refused with $errno" any "$T/prog" seccomp
		FILTER=late:$errno:$call exact "$call refused with $errno later" 1 "$T/prog" seccomp
	done
done
# Emulators, and some sandboxes, say yes to what they don't do: here the page is not wiped in a child.
COUNT=3000000 THREADS=2 FILTER=early:0:madvise exact "madvise does nothing" 1 "$T/prog" seccomp

# A segment that exists holds all. Where none could be made, the program has checked what it had.
python3 - "$T/seg" <<'END' || fail "segments do not hold what was counted"
import glob, json, sys
bad = checked = 0
for name in glob.glob(sys.argv[1] + "/*.want"):
    base = name[:-5]
    what = open(base + ".what").read().strip()
    have = {}
    for row in json.load(open(base + ".json")):
        have[row["metric"]] = have.get(row["metric"], 0) + row["value"]
    for metric, want in (line.split() for line in open(name)):
        if have and have.get(metric) != int(want):
            print(f"{what}: {metric} is {have.get(metric)}, not {want}")
            bad = 1
        checked += bool(have)
print(checked, "values compared")
sys.exit(bad or checked < 100)
END
echo "$runs runs"
pass
