#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The second implementation of segments, tools/examples in Python: what it reads is what `tally live`
# reads, of a C program and of files of version 1; what it writes is read by `tally live` and tallyd as
# the writer counted it, through threads, forks, signals, SIGKILL, and the fold of the dead.
. tests/lib/e2e.sh
need python3
export PYTHONDONTWRITEBYTECODE=1
export TALLY_SEED=${TALLY_SEED:-$((RANDOM * 32768 + RANDOM + 1))}
echo "TALLY_SEED=$TALLY_SEED"

seg=$T/seg
mkdir "$seg" "$T/state" "$T/hostile" "$T/other"
python()
{
	python3 tests/lib/python_segment.py "$@"
}
same_as_live()
{
	"$B/bin/tally" live --json --count 1 "$seg" >"$T/live.json" || fail "tally live"
	python compare_live "$seg" "$T/live.json" "$1" || fail "$2: not what tally live reads"
}
# once FILE: what tallyd says of all programs
once()
{
	"$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$seg" segments \
		>"$1" 2>>"$T/tallyd.log" || fail "tallyd --once"
}
# is_dead PROGRAM: no process has its lock
is_dead()
{
	! "$B/bin/tally" live --json --count 1 "$seg" | grep "\"program\": \"$1\"" | grep -q '"living": [1-9]'
}

# A program that uses every macro, alive twice, then dead; its standard input ends it.
mkfifo "$T/hold"
macros()
{
	TALLY_DIR=$seg exec "$B/tests/lib/every_macro" <"$T/hold"
}
start macros-1 macros
start macros-2 macros
exec 9>"$T/hold"
wait_log macros-1 ready
wait_log macros-2 ready
same_as_live 32 "two living programs"
good=$(find "$seg" -name 'every_macro*' | sort | head -n 1)
cp "$good" "$T/good"
"$B/bin/tally" live --json --count 1 "$seg" | grep -q '"living": 2' || fail "not two living programs"

# What is no segment is refused with a text, or read; nothing else, whatever its bytes are.
python hostile "$T/good" "$T/hostile" 3000 || fail "hostile files"

kill9 macros-1
same_as_live 32 "a living and a dead program"
exec 9>&-
wait_until 10 "the end of the second program" is_dead every_macro
same_as_live 32 "two dead programs"

# The command line.
out=$(tools/examples/tally_segment.py read "$seg") || fail "read"
contains "read: a counter" "$out" '^turns_total\{program="every_macro",user="[^"]+"\} 120000$'
contains "read: a bucket" "$out" '^size_bytes_bucket\{.*le="\+Inf"\} 120004$'
contains "read: the end" "$out" '^# EOF$'
echo 'no segment at all' >"$T/hostile/broken"
must_fail 1 tools/examples/tally_segment.py read "$T/hostile"
contains "read: an error" "$(cat "$T/out")" "$T/hostile/broken: no segment"
must_fail 1 tools/examples/tally_segment.py read "$T/nowhere"
contains "no directory" "$(cat "$T/out")" "$T/nowhere: No such file"
out=$(tools/examples/tally_segment.py count "$T/other" --times 500 --threads 3 --forks 2) ||
	fail "count: $out"
contains "count" "$out" '"wanted": 4500, "turns": 4500, "recorded": 4500'
out=$(tools/examples/tally_segment.py count "$T/nowhere" --times 500 2>&1) && fail "count without a directory"
contains "count without a directory" "$out" "$T/nowhere: No such file .*private memory"

# Version 1, which nobody writes any more.
start version-1 python3 tests/lib/python_segment.py version_1 "$seg"
wait_log version-1 ready
same_as_live 34 "version 1"
contains "version 1" "$(cat "$T/live.json")" '"level", "type": "gauge", "value": -2.5, "living": 1'
kill9 version-1

# Python counts; C reads.
python interrupt "$T/other" || fail "counting in the middle of counting"
python full "$T/other" || fail "a full table, or too few rows"
err=$(python closed "$T/other" 2>&1) || fail "closed descriptors: $err"
contains "closed descriptors" "$err" "tally: somebody closed descriptor"
start writer python3 tests/lib/python_segment.py write "$seg" "$T/wanted.json" 300
wait_until 60 "the writer" test -s "$T/wanted.json" -o ! -d "/proc/$(pid_of writer)"
[ -s "$T/wanted.json" ] || fail "the writer ended"
same_as_live 50 "a living writer in Python"
once "$T/living.txt"
python compare_wanted "$T/wanted.json" "$T/living.txt" || fail "a living writer in Python"

# Killed: the values are there, and tallyd folds them; gauges are those of the living.
kill9 writer
same_as_live 50 "a killed writer in Python"
start crash python3 tests/lib/python_segment.py crash "$seg" "$T/crash.count"
wait_file "$T/crash.count"
sleep 0.5
kill9 crash
value=$("$B/bin/tally" live --json --count 1 "$seg" |
	sed -n 's/.*"metric": "py_crash_total".*"value": \([0-9]*\),.*/\1/p')
python crashed "$T/crash.count" "$value" || fail "killed while it counted"
start tallyd "$B/bin/tallyd" --foreground --state-dir "$T/state" --segment-dir "$seg" \
	--interval 200ms --user "$(id -un)"
gone()
{
	[ -z "$(find "$seg" -type f)" ]
}
wait_until 15 "all files to be folded" gone
stop tallyd
once "$T/folded.txt"
python compare_wanted "$T/wanted.json" "$T/folded.txt" dead || fail "folded"
same "py_crash_total, folded" "$(sed -n 's/^py_crash_total{.*} //p' "$T/folded.txt")" "$value"
same "refused files" "$(grep -c refused "$T/tallyd.log")" 0
pass
