#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The demo, shortened: with kills and without. It judges by itself whether history is exact; here is
# looked at whether it says so, leaves what it promises, and nothing else.
. tests/lib/e2e.sh

# Its processes carry the directory in their command lines.
left_running()
{
	local entry
	for entry in /proc/[0-9]*/cmdline; do
		{ tr '\0' ' ' <"$entry"; } 2>/dev/null | grep -F "$B/$1/"
	done
}

run_demo()
{
	local name=$1 dir=tmp/demo-of-test-$1 out=$T/out-$1
	shift
	env DEMO_SECONDS=6 DEMO_DIR="$dir" "$@" tools/demo/demo.sh >"$out" 2>&1 ||
		fail "exit code $? with $*: $(tail -n 40 "$out")"
	same "verdicts with $*" "$(grep -c ' exact' "$out")" 6
	head -c 4 "$B/$dir/graph.png" | grep -q PNG || fail "no picture with $*"
	grep -q 'alpha_demo_server_.*\.value [1-9]' "$out" || fail "munin has no values with $*"
	grep -q 'bytes per sample on disk' "$out" || fail "no size with $*"
	same "processes left with $*" "$(left_running "$dir")" ""
	[ -s "$B/$dir/segment-dir" ] || fail "where were the segments with $*?"
	[ ! -e "$(cat "$B/$dir/segment-dir")" ] || fail "segments left with $*"
	"$B/bin/tally" check --dir "$B/$dir/gatherer/history" >/dev/null || fail "tally check with $*"
	grep -q "$KILLED" "$out" || [ -z "$KILLED" ] || fail "nobody was killed with $*"
	rm -rf "${B:?}/$dir"
}

KILLED='killed .SIGKILL.: gatherer'
run_demo kill DEMO_KILL=1
KILLED=
run_demo quiet DEMO_KILL=0
pass
