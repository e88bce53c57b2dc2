#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The tally command as such: help, version, exit codes, mistakes.
. tests/lib/e2e.sh
tally=$B/bin/tally

same "version" "$("$tally" --version)" "tally 0.1.0"
help=$("$tally" --help) || fail "--help failed"
must_fail 2 "$tally"
for command in live ended cost ls get plot check size; do
	contains "list of commands" "$help" "^  $command "
	contains "help of $command" "$("$tally" "$command" --help)" "^Usage: tally $command"
	same "help $command" "$("$tally" help "$command")" "$("$tally" "$command" --help)"
	[ $command = live ] || must_fail 2 "$tally" "$command" --no-such-option
done

must_fail 2 "$tally" plto
contains "suggestion" "$(cat "$T/out")" "did you mean 'plot'"
must_fail 2 "$tally" xyzzy
contains "no suggestion" "$(cat "$T/out")" "'tally --help' lists them"
must_fail 2 "$tally" get --stpe 10s x
contains "suggested option" "$(cat "$T/out")" "did you mean '--step'"

# Used wrongly: 2, before any history is looked for.
for args in "get" "get a b" "get --rate --increase a" "get --json --csv a" "get --sum a" \
	"get --latest --from -1h a" "get --sum --cumulative --latest a" "plot" \
	"plot --png x --size 9x9 a" "plot --png x --size 900 a" "plot --size 900x300 a" "plot --color blue a" \
	"plot --width 5 a" "ls a b" "check a b" "size a b" "check --dir a b" "size --dir a b"; do
	# shellcheck disable=SC2086
	must_fail 2 "$tally" $args
done

# No history: 1, and check could not run: 2. The message names the directory.
export TALLY_HISTORY=$T/nothing
for args in "ls" "get a" "plot a" "size"; do
	# shellcheck disable=SC2086
	must_fail 1 "$tally" $args
	contains "message of $args" "$(cat "$T/out")" "$T/nothing"
done
must_fail 2 "$tally" check
contains "how to name one" "$("$tally" ls 2>&1)" '--dir or \$TALLY_HISTORY'

# Completion in bash: commands, options, metrics.
# shellcheck source=/dev/null
. tools/completion/tally.bash
completions()
{
	COMP_WORDS=("$tally" "$@")
	COMP_CWORD=$#
	_tally "$tally" 2>/dev/null
	echo "${COMPREPLY[*]}"
}
export TALLY_HISTORY=$T/history
"$B/tests/lib/mkhistory" "$T/history" || fail "mkhistory"
same "commands" "$(completions p)" "plot"
same "options" "$(completions get --cu)" "--cumulative"
same "metrics" "$(completions get http_r)" "http_requests_total"

# A directory that is no history is a mistake, not an empty or clean one; the one above a history too.
mkdir -p "$T/empty" "$T/data"
cp -r "$T/history" "$T/data/history"
for dir in "$T/empty" "$T/data" /etc; do
	for args in "ls" "get a" "plot a" "size"; do
		# shellcheck disable=SC2086
		must_fail 1 "$tally" $args --dir "$dir"
		contains "message of $args" "$(cat "$T/out")" "^tally: $dir: no history here"
	done
	must_fail 2 "$tally" check "$dir"
	contains "message of check" "$(cat "$T/out")" "$dir: no history here"
done
contains "the directory below" "$("$tally" ls --dir "$T/data/" 2>&1)" "did you mean $T/data/history\?"
for command in check size; do
	same "operand of $command" "$("$tally" $command "$T/data/history")" \
		"$("$tally" $command --dir "$T/data/history")"
done

# A full disk under the output is a failure.
code=0
"$tally" ls --dir "$T/history" 2>/dev/null >/dev/full || code=$?
same "exit code with a full disk" "$code" 1
pass
