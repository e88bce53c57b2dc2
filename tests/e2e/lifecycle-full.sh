#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One user fills the file system of the segments, first its blocks, then its inodes. Others who have a
# segment count on exactly, also with more threads than it has rows; programs that start then run as they
# do without tally; when there is room again, all is as it was. The provider says how full it is, and how
# many starts found no room.
. tests/lib/e2e.sh
. tests/lib/life.sh
need setpriv
need_root

mount -t tmpfs -o "size=2m,nr_inodes=150,mode=3773,uid=$(id -u nobody),gid=$(id -g nobody)" \
	tally-test "$SEG" || skip "needs to mount a tmpfs"
on_exit "umount -l '$SEG'"
BIN=$(mktemp -d /tmp/tally-life-XXXXXX)
on_exit "rm -rf '$BIN'"
chmod 755 "$BIN"
for name in early early2 late plain resumed; do
	cp "$LIFE" "$BIN/$name"
done

as()
{
	local uid=$1
	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}

# crowd NAME FD UID THREADS N: a program that has a segment, and waits for a line on descriptor FD.
crowd()
{
	mkfifo "$T/$1.gate"
	eval "exec $2<>'$T/$1.gate'"
	setpriv --reuid="$3" --regid="$3" --clear-groups "$BIN/$1" crowd "$4" "$5" \
		<"$T/$1.gate" >"$T/$1.out" &
	CROWD[$2]=$!
	on_exit "kill -KILL $! 2>/dev/null"
	wait_until 10 "$1" grep -q attached "$T/$1.out"
}
declare -A CROWD=()

# crowd_counts FD NAME, crowd_ends FD NAME
crowd_counts()
{
	echo >&"$1"
	wait_until 20 "$2" grep -q counted "$T/$2.out"
}
crowd_ends()
{
	kill -0 "${CROWD[$1]}" || fail "$2 has ended"
	kill -TERM "${CROWD[$1]}"
	wait "${CROWD[$1]}" 2>/dev/null
}

segments()
{
	find "$SEG" -mindepth 1 ! -name '*.refused' -printf '%f %i\n' | sort
}

# Programs that start now: they run as they do where there is no tally, and leave nothing.
STARTS=5
starts_refused()
{
	local names i
	names=$(segments)
	for ((i = 0; i < STARTS; i++)); do
		as 1003 "$BIN/late" gate 7 </dev/null >"$T/late.out" 2>&1 || fail "a program that starts $1"
		same "its output, $1" "$(cat "$T/late.out")" counted
	done
	same "segments after it, $1" "$(segments)" "$names"
}

free_blocks()
{
	stat -f -c %a "$SEG"
}
free_inodes()
{
	stat -f -c %d "$SEG"
}

two_segments()
{
	[ "$(files)" = 2 ]
}

start_tallyd tallyd --interval 100ms
crowd early 7 1001 300 1000
crowd early2 8 1001 300 1000
as 1004 "$BIN/resumed" count 10 || fail "resumed"
wait_until 10 "the folding of the one that ended" two_segments

# --- blocks ---
as 1002 sh -c 'cat /dev/zero >"$0/mine"' "$SEG" 2>"$T/fill.log" && fail "the file system has no limit"
same "free blocks" "$(free_blocks)" 0
crowd_counts 7 early
wait_until 10 "its fullness in the metrics" own_is tallyd_segment_free_bytes 0
same "size in the metrics" "$(own tallyd_segment_space_bytes)" $((2 << 20))
starts_refused "when it is full"
same "free blocks" "$(free_blocks)" 0
# A start that finds no room takes no room to say so.
wait_until 10 "the starts in the metrics" own_is tallyd_segment_starts_refused_total $STARTS
as 1002 rm "$SEG/mine"

# --- inodes ---
as 1002 sh -c 'i=0; while : >"$0/mine.$i"; do i=$((i + 1)); done' "$SEG" 2>"$T/fill.log"
same "free inodes" "$(free_inodes)" 0
crowd_counts 8 early2
wait_until 10 "its fullness in the metrics" own_is tallyd_segment_free_inodes 0
starts_refused "when there are no inodes"

# The provider reads on, and what died is folded although the place is full.
crowd_ends 7 early
crowd_ends 8 early2
both_gone()
{
	[ "$(find "$SEG" -name 'early*' | wc -l)" = 0 ]
}
wait_until 20 "the folding of the two" both_gone
stop tallyd
same "with all blocks taken, 300 threads" "$(total early 1001)" 300000
same "with all inodes taken, 300 threads" "$(total early2 1001)" 300000
same "what ended before" "$(total resumed 1004)" 10
same "what was counted in private" "$(total late 1003)" "0 series"

# --- room again ---
find "$SEG" -name 'mine.*' -delete
as 1003 "$BIN/late" count 7 || fail "a program that starts later"
as 1004 "$BIN/resumed" count 10 || fail "resumed"
start_tallyd tallyd --interval 100ms
wait_until 20 "the folding of all" no_files
stop tallyd
same "a program that starts later" "$(total late 1003)" 7
same "a counter that goes on" "$(total resumed 1004)" 20
same "what was counted before" "$(total early 1001) $(total early2 1001)" "300000 300000"
pass
