#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make lint`: what can be said about the tree without building it. Each check names the lines that are
# wrong; exit code 1 if there is one.
set -u
WRONG=0

sources()
{
	git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do
		[ -f "$file" ] && echo "$file"
	done
}

# check WHAT COMMAND...: silent if all is well.
check()
{
	local what=$1 out
	shift
	if out=$("$@" 2>&1) && [ -z "$out" ]; then
		echo "ok    $what"
	else
		printf '%s\n' "$out" | head -n 60
		echo "WRONG $what"
		WRONG=1
	fi
}

# vmlinux.h copies names from the kernel; all else looks as .clang-format says.
check_format()
{
	command -v clang-format >/dev/null || { echo "clang-format is not installed"; return 1; }
	sources '*.c' '*.h' '*.cc' | xargs -r clang-format --dry-run -Werror --ferror-limit=2
}

check_licence()
{
	local file wanted
	sources '*.c' '*.h' '*.cc' '*.sh' '*.py' Makefile '*.proto' | while IFS= read -r file; do
		case $file in
		include/tally/*) wanted=MIT ;;
		*) wanted='GPL-2.0-or-later|GPL-2.0-only' ;;
		esac
		head -n 3 "$file" | grep -E -q "SPDX-License-Identifier: ($wanted)( |$)" ||
			echo "$file: no line 'SPDX-License-Identifier: $wanted' on top"
	done
}

check_size()
{
	local file lines
	sources '*.c' '*.h' '*.cc' '*.sh' '*.py' | while IFS= read -r file; do
		lines=$(wc -l <"$file")
		[ "$lines" -le 1000 ] || echo "$file: $lines lines, at most 1000"
	done
}

# Unfinished work is not committed, and nobody's machine shows.
check_words()
{
	local words='TODO|FIXME|XXX(?!X)(?<!XXXX)|(?<![\w$}])/(work|home|root)/'
	sources | grep -v -E '^(tests/lib/lint\.sh|LICENSE|tests/data/.*)$' |
		xargs -r -d '\n' grep -I -n -P "$words"
}

check_scripts()
{
	command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; return 1; }
	sources '*.sh' .ci/run | xargs -r shellcheck -x -S warning
}

check_spaces()
{
	sources '*.c' '*.h' '*.sh' '*.py' '*.md' Makefile | xargs -r -d '\n' grep -n -E '[[:space:]]+$'
}

# The format is 100; what clang-format leaves as it is (comments, texts) may stick out a little.
check_columns()
{
	local file
	sources '*.c' '*.h' '*.sh' | while IFS= read -r file; do
		expand -t 8 "$file" |
			awk -v f="$file" 'length($0) > 120 { print f ":" NR ": " length($0) " columns" }'
	done
}

# Links between the documents: those that name a file.
check_links()
{
	local file link
	sources '*.md' | while IFS= read -r file; do
		grep -o '](\([^)#]*\)[^)]*)' "$file" | sed 's/^](//; s/[#)].*//' |
			while IFS= read -r link; do
				case $link in http* | '') continue ;; esac
				[ -e "$(dirname "$file")/$link" ] || echo "$file: $link does not exist"
			done
	done
}

# Each mutant must apply to the tree as it is: else nobody knows whether its test still notices.
check_mutants()
{
	local patch out
	sources 'tests/mutants/*.patch' | while IFS= read -r patch; do
		out=$(git apply --check "$patch" 2>&1) || echo "$patch: $out"
	done
}

# grep says 1 when it finds nothing, which is what is wanted here.
quiet()
{
	"$@" || true
}

check "includes" python3 tests/lib/lint-includes.py
check "format" check_format
check "licence lines" check_licence
check "file sizes" check_size
check "words" quiet check_words
check "spaces at line ends" quiet check_spaces
check "line lengths" quiet check_columns
check "links" check_links
check "scripts" check_scripts
check "mutants apply" check_mutants
exit "$WRONG"
