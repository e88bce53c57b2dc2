# SPDX-License-Identifier: GPL-2.0-or-later
# Running a fuzz program of $B/san, for the scripts of tests/fuzz; sourced after e2e.sh.

# shellcheck shell=bash

# run_fuzzer NAME ARGUMENT...: in a directory of its own, in memory where there is one, as segments are.
# After a failure its files are in $T/files.
run_fuzzer()
{
	local name=$1 dir
	shift
	dir=$(mktemp -d /dev/shm/tally-fuzz-XXXXXX 2>/dev/null) || dir=$(mktemp -d "$T/fuzz-XXXXXX")
	on_exit "rm -rf '$dir'"
	if ! "$B/san/$name" "$dir" "$@" >"$T/$name.txt" 2>"$T/$name.log"; then
		cat "$T/$name.txt"
		# sparse, or files of holes fill the disk
		cp -r --sparse=always "$dir" "$T/files"
		grep -E -m 1 -A 20 'ERROR: |runtime error|^tests/' "$T/$name.log"
		fail "$name found something; its files are in $T/files"
	fi
	cat "$T/$name.txt"
}
