#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally check: 0 clean, 1 damage listed with file and offset, 2 could not run. It changes nothing.
. tests/lib/e2e.sh
tally=$B/bin/tally
"$B/tests/lib/mkhistory" "$T/history" || fail "mkhistory"

state()
{
	(cd "$1" && find . -type f -exec cksum {} + | sort)
}

# flip FILE OFFSET
flip()
{
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf '%b' "$(printf '\\%03o' $((byte ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

before=$(state "$T/history")
out=$("$tally" check --dir "$T/history") || fail "clean history: $out"
contains "clean" "$out" 'clean$'
same "files" "$(state "$T/history")" "$before"

for file in $(cd "$T/history" && ls ./*.tly ./head-*.rec); do
	size=$(stat -c %s "$T/history/$file")
	for at in 40 $((size / 2)) $((size - 30)); do
		rm -rf "$T/copy"
		cp -r "$T/history" "$T/copy"
		flip "$T/copy/$file" "$at"
		before=$(state "$T/copy")
		must_fail 1 "$tally" check --dir "$T/copy"
		contains "damage of $file at $at" "$(cat "$T/out")" "^.*${file#./}: byte [0-9]+: "
		same "files" "$(state "$T/copy")" "$before"
		# What is whole still reads.
		"$tally" ls --dir "$T/copy" >/dev/null 2>&1 || fail "ls beside damage at $at of $file"
	done
done

must_fail 2 "$tally" check --dir "$T/nothing"
must_fail 2 "$tally" check --dir "$T/history" extra
must_fail 2 "$tally" check --bogus
pass
