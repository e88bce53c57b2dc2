#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a segment takes: 1,000 counters, by one thread and by 1,000 threads that live at once. It is what
# docs/counters.md says: a row of 32 bytes and 8 for each counter, rounded up to 64, for each thread.
. tests/lib/e2e.sh
. tests/lib/life.sh

ROW=8064              # 32 + 8 x 1,000, rounded up to 64
FIXED=$((128 * 1024)) # descriptors and texts
program wide "$B/tests/race/life-wide"

# taken THREADS: bytes of the segment's blocks, when so many have counted 3 on each counter
taken()
{
	mkfifo "$T/gate"
	"$T/bin/wide" "$1" 3 <"$T/gate" >"$T/wide.out" &
	exec 9>"$T/gate"
	wait_until 30 "$1 threads" grep -q counted "$T/wide.out"
	bytes=$(($(find "$SEG" -name 'wide.*' -printf '%b\n') * 512))
	exec 9>&-
	wait
	rm "$T/gate" "$T/wide.out"
}

taken 1
echo "1 thread: $bytes bytes"
within "bytes with one thread" "$bytes" $((2 * ROW)) $((5 * ROW + FIXED))
one=$bytes
rm "$SEG"/wide.*
taken 1000
echo "1,000 threads: $bytes bytes, $((bytes / 1000000)) for each thread and counter"
# Rows double as they are needed, up to 1,024.
within "bytes with 1,000 threads" "$bytes" $((1001 * ROW)) $((1024 * ROW + FIXED))
same "counters that are 3,000" "$(tallyd_run --once segments |
	grep -c '^wide_[0-9]\{3\}_total{.*} 3000$')" 1000

# A run that takes the file over, with one thread, adds nothing to it.
before=$bytes
taken 1
same "bytes after a run that took it over" "$bytes" "$before"
same "counters that are 3,003" "$(tallyd_run --once segments |
	grep -c '^wide_[0-9]\{3\}_total{.*} 3003$')" 1000
echo "at least $((one / ROW)) rows of $ROW bytes at first"
pass
