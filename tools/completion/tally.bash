# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for tally. Commands and options come from --help, metrics from the history.

_tally_options()
{
	"$1" ${2:+"$2"} --help 2>/dev/null | sed -n 's/^ *\(--[a-z-]*=\{0,1\}\).*/\1/p'
}

_tally()
{
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]:-} words
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words="--help --version $("$1" --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')"
	elif [[ $word == -* ]]; then
		words=$(_tally_options "$1" "$command")
		compopt -o nospace 2>/dev/null
	elif [[ $command =~ ^(ls|get|plot)$ ]]; then
		words=$("$1" ls --json 2>/dev/null |
			sed -n 's/.*"group":"[^"]*","name":"\([^"]*\)".*/\1/p' | sort -u)
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	if [ ${#COMPREPLY[@]} = 0 ] && [[ $word != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
	fi
}
complete -F _tally tally
