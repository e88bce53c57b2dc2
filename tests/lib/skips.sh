# SPDX-License-Identifier: GPL-2.0-or-later
# Which skips there may be: for the runner and for tests/kernel/kernels.sh.

# shellcheck shell=bash

# skip_is_known TEST REASON: is there a line "TEST: GLOB" in tests/skips.txt that both fit?
skip_is_known()
{
	local line test glob
	while IFS= read -r line; do
		case $line in '#'* | '') continue ;; esac
		test=${line%%: *}
		glob=${line#*: }
		# shellcheck disable=SC2053 # the right side is a pattern
		[ "$test" = "$1" ] && [[ $2 == $glob ]] && return 0
	done <tests/skips.txt
	return 1
}

# unknown_skips TEST: of what a program has printed, the tests that skipped themselves (tests/lib/ran.c) and have no
# line "TEST SUITE::NAME: GLOB", as "SUITE::NAME: REASON"
unknown_skips()
{
	local line
	sed -n 's/^skipped \([^ ]*::[^ ]*: \)/\1/p' | while IFS= read -r line; do
		skip_is_known "$1 ${line%%: *}" "${line#*: }" || echo "$line"
	done
}
