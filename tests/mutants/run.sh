#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make check-mutants`: for each promise a patch that breaks it, and a test that must notice.
#
#	tests/mutants/run.sh [NAME]
#
# The tree is copied to $B/mutants and built there once; each patch is applied to the copy, what it
# changed is built again, its test is run, and the copy is put right. A mutant is caught if its test
# passes without the patch and fails with it, by an exit code of its own: not by its time limit.
set -u
ONLY=${1:-}
LIMIT=300
B=${B:-build}
mkdir -p "$B/mutants"
B=$(cd "$B" && pwd)
ROOT=$PWD
SOURCE=$B/mutants/source
TREE=$B/mutants/tree
LOGS=$B/mutants/logs
CAUGHT=0 MISSED=0
declare -A HEALTHY=()
mkdir -p "$TREE" "$LOGS"
unset MAKEFLAGS MAKELEVEL MFLAGS

# What is tried is the tree as it was at the start, whoever edits it meanwhile.
source_copy()
{
	rm -rf "$SOURCE"
	mkdir -p "$SOURCE"
	git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
		[ ! -f "$file" ] || printf '%s\0' "$file"
	done | xargs -0 cp -p --parents -t "$SOURCE"
}

# Only what differs is copied, so that the copy's build directory stays good between runs.
tree_copy()
{
	local file
	(cd "$SOURCE" && find . -type f) | while IFS= read -r file; do
		cmp -s "$SOURCE/$file" "$TREE/$file" && continue
		mkdir -p "$TREE/$(dirname "$file")"
		cp "$SOURCE/$file" "$TREE/$file"
	done
	(cd "$TREE" && find . -path ./build -prune -o -type f -print) | while IFS= read -r file; do
		[ -e "$SOURCE/$file" ] || rm "$TREE/$file"
	done
}

# build LOG TARGET...
build()
{
	local log=$1
	shift
	make -C "$TREE" --no-print-directory -j"$(nproc)" B=build "$@" >"$log" 2>&1
}

# Also the programs, which scripts run, and other tests may.
build_test()
{
	case $2 in
	*.sh) build "$1" all tests ;;
	*) build "$1" all "build/tests/$2" ;;
	esac
}

# run_test NAME LOG VARIABLES: the test's exit code; C programs and scripts are named alike.
run_test()
{
	local command=build/tests/$1
	case $1 in *.sh) command=./tests/$1 ;; esac
	(cd "$TREE" && env B=build $3 timeout --kill-after=10 "$LIMIT" "$command") </dev/null >"$2" 2>&1
}

# Does the test pass without a patch? Asked once for each test and its variables.
is_healthy()
{
	local key="$1 $2"
	if [ -z "${HEALTHY[$key]:-}" ]; then
		HEALTHY[$key]=no
		build_test "$LOGS/healthy.build" "$1" &&
			run_test "$1" "$LOGS/healthy-${1//\//-}.log" "$2" && HEALTHY[$key]=yes
	fi
	[ "${HEALTHY[$key]}" = yes ]
}

missed()
{
	printf 'MISSED %-28s %s\n' "$1" "$2"
	MISSED=$((MISSED + 1))
}

try_mutant()
{
	local patch=$1 name test with promise code=0
	name=$(basename "$patch" .patch)
	test=$(sed -n 's/^# test: //p' "$patch")
	with=$(sed -n 's/^# with: //p' "$patch")
	promise=$(sed -n 's/^# promise: //p' "$patch")
	if [ -z "$test" ] || [ -z "$promise" ]; then
		missed "$name" "has no line '# test:' or '# promise:'"
	elif ! is_healthy "$test" "$with"; then
		missed "$name" "$test fails without it, or can't run here"
	elif ! patch_apply "$patch"; then
		missed "$name" "the patch does not apply"
	elif ! build_test "$LOGS/$name.build" "$test"; then
		missed "$name" "does not build, see $LOGS/$name.build"
	else
		run_test "$test" "$LOGS/$name.log" "$with" || code=$?
		case $code in
		0 | 77) missed "$name" "$test did not notice (exit code $code): $promise" ;;
		124 | 137) missed "$name" "$test ran into its time limit" ;;
		*)
			printf 'caught %-28s by %s\n' "$name" "$test"
			CAUGHT=$((CAUGHT + 1))
			;;
		esac
	fi
	tree_copy
}

# The ceiling keeps git from taking the copy for a folder of the repository that it lies in.
patch_apply()
{
	(cd "$TREE" && GIT_CEILING_DIRECTORIES=$B/mutants git apply "$1") >"$LOGS/apply.log" 2>&1
}

source_copy
tree_copy
for patch in "$ROOT"/tests/mutants/*.patch; do
	[ -e "$patch" ] || continue
	if [ -z "$ONLY" ] || [ "$ONLY" = "$(basename "$patch" .patch)" ]; then
		try_mutant "$patch"
	fi
done
echo "$CAUGHT caught, $MISSED missed"
[ "$MISSED" = 0 ] && [ "$CAUGHT" -gt 0 ]
