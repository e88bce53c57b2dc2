#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The test runner itself: its verdicts, its counts and its exit code, on a small tree of its own.
. tests/lib/e2e.sh

RUNNER=$PWD/tests/lib/run.sh
mkdir -p "$T/root/tests/unit" "$T/root/tests/e2e"
cd "$T/root" || fail "no directory"

# make_test NAME LINE...
make_test()
{
	local file=tests/$1
	shift
	{ echo '#!/bin/bash'; printf '%s\n' "$@"; } >"$file"
	chmod +x "$file"
}

# run_tests [VARIABLE=VALUE]... -- ARGUMENT...: output in $OUT, exit code in $CODE.
run_tests()
{
	local env=()
	while [ "$1" != -- ]; do
		env+=("$1")
		shift
	done
	shift
	CODE=0
	OUT=$(env -u CI B="$T/b" TEST_TIMEOUT=2 "${env[@]}" "$RUNNER" "$@" 2>&1) || CODE=$?
	LAST=$(tail -n 1 <<<"$OUT")
}

make_test unit/good.sh 'exit 0'
make_test e2e/good.sh 'exit 0'
echo '# nothing' >tests/skips.txt
run_tests --
same "exit code of two good ones" "$CODE" 0
same "their count" "$LAST" "2 passed, 0 failed"

make_test unit/absent.sh 'echo first' 'echo needs a thing' 'echo' 'exit 77'
run_tests --
same "exit code with a skip" "$CODE" 0
same "count with a skip" "$LAST" "2 passed, 0 failed, 1 skipped"
contains "the reason is shown" "$OUT" 'skip unit/absent.sh .*needs a thing'
run_tests CI=true --
same "exit code with an unknown skip in CI" "$CODE" 1
same "count with an unknown skip in CI" "$LAST" "2 passed, 1 failed"
echo 'unit/absent.sh: needs another thing' >>tests/skips.txt
run_tests CI=true --
same "exit code if the reason is another" "$CODE" 1
echo 'unit/absent.sh: needs a *' >>tests/skips.txt
run_tests CI=true --
same "exit code with a known skip in CI" "$CODE" 0
same "count with a known skip in CI" "$LAST" "2 passed, 0 failed, 1 skipped"

# What skips itself inside of a program that passes.
make_test unit/partly.sh 'echo "skipped partly::test: needs luck"'
run_tests --
same "exit code with a test that skipped itself" "$CODE" 0
same "count with it" "$LAST" "3 passed, 0 failed, 1 skipped"
contains "tests that it skipped" "$OUT" '^1 tests of programs that passed skipped themselves$'
contains "it is shown" "$OUT" 'ok   unit/partly.sh .*partly::test: needs luck'
run_tests CI=true --
same "exit code with an unknown one in CI" "$CODE" 1
contains "the unknown one" "$OUT" 'FAIL unit/partly.sh .*unexpected skip: partly::test: needs luck'
echo 'unit/partly.sh partly::other: needs luck' >>tests/skips.txt
run_tests CI=true --
same "exit code if another one is known" "$CODE" 1
echo 'unit/partly.sh partly::test: needs l*' >>tests/skips.txt
run_tests CI=true --
same "exit code with a known one in CI" "$CODE" 0
rm tests/unit/partly.sh

make_test unit/bad.sh 'echo here is why' 'exit 3'
run_tests --
same "exit code with a bad one" "$CODE" 1
same "count with a bad one" "$LAST" "2 passed, 1 failed, 1 skipped"
contains "the log of a bad one" "$OUT" 'here is why'
contains "it once more at the end" "$(tail -n 3 <<<"$OUT" | tr '\n' ' ')" '^FAIL unit/bad.sh .*here is why'
contains "the code of a bad one" "$OUT" 'FAIL unit/bad.sh .*exit code 3'
run_tests -- unit/good
same "one by its name" "$LAST" "1 passed, 0 failed"
run_tests -- nosuch
same "none by this name" "$CODE" 2

make_test unit/bad.sh 'sleep 60'
run_tests -- unit/bad
same "exit code of one that hangs" "$CODE" 1
contains "one that hangs" "$OUT" 'time limit'

# Programs are found by their source; one that was not built is a failure, not nothing.
rm tests/unit/*.sh
echo 'int main(void) { return 0; }' >tests/unit/test_unbuilt.c
run_tests --
same "exit code with an unbuilt one" "$CODE" 1
same "count with an unbuilt one" "$LAST" "1 passed, 1 failed"

# Programs of Criterion say it themselves.
rm tests/*/*
mkdir -p "$T/b/tests/unit"

# make_program NAME: from what is given as input
make_program()
{
	{ echo '#include <criterion/criterion.h>'; cat; } >"tests/unit/$1.c"
	"${CC:-cc}" -o "$T/b/tests/unit/$1" "tests/unit/$1.c" "$B/obj/tests/lib/ran.o" -lcriterion ||
		fail "$1 does not build"
}

make_program test_some <<'C'
Test(some, skips) { cr_skip_test("needs %s", "luck"); }
Test(some, runs) {}
Test(some, is_left_out, .disabled = true) {}
C
make_program test_none <<'C'
Test(none, skips) { cr_skip_test("needs luck"); }
Test(none, is_left_out, .disabled = true) {}
C
make_program test_fails <<'C'
Test(fails, skips) { cr_skip_test("needs luck"); }
Test(fails, fails) { cr_assert(0); }
C
run_tests --
same "exit code with one that fails" "$CODE" 1
same "count of programs" "$LAST" "1 passed, 1 failed, 1 skipped"
contains "tests of them" "$OUT" '^1 tests of programs that passed skipped themselves$'
contains "one of which some ran" "$OUT" 'ok   unit/test_some .*some::skips: needs luck'
contains "one of which none ran" "$OUT" 'skip unit/test_none .*no test ran: needs luck'
same "what ran" "$(grep '^tests: ' "$T/b/check/unit-test_some.log")" "tests: 1 ran, 1 skipped, 1 left out"
same "what ran of none" "$(grep '^tests: ' "$T/b/check/unit-test_none.log")" "tests: 0 ran, 1 skipped, 1 left out"
pass
