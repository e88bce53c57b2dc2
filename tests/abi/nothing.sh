#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# Nothing happens in the program: no thread, no descriptor, no allocation, no signal handler or mask, no
# changed errno or limit; counting is safe in a handler that interrupted malloc. And nothing is in its
# objects that could clash: all symbols are hidden, and named so that nobody else has them.
# That there is no system call is in no-segment.sh, and in environments.sh under strict seccomp.
. tests/lib/e2e.sh
need gcc g++ clang nm readelf c++filt

src=tests/abi/src
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude"
mkdir "$T/seg"

# --- what a process can see of itself ------------------------------------------------------------------
for cc in gcc clang; do
	$cc -std=c11 -O2 $warn $src/nothing.c -o "$T/nothing" -pthread -ldl &&
		$cc -std=c11 -O2 $warn -DNO_TALLY $src/nothing.c -o "$T/without" -pthread -ldl ||
		fail "compile"
	"$T/without" >"$T/without.out" || fail "without tally: exit code $?"
	[ "$(wc -l <"$T/without.out")" -ge 30 ] || fail "it sees too little: $(cat "$T/without.out")"
	for dir in "$T/seg" "$T/none"; do
		TALLY_DIR=$dir "$T/nothing" >"$T/with.out" || fail "exit code $?: $(tail -n 1 "$T/with.out")"
		diff "$T/without.out" "$T/with.out" || fail "the program can see that it counts"
	done
done

# loaded LABEL ALLOCATIONS COMPILER-AND-OPTIONS: counts in a library loaded by dlopen; its threads'
# memory is libc's to allocate, if it was compiled so that it has to be
loaded()
{
	local allocations=$2 lazy=lazy
	$3 $warn -O2 -fPIC -shared -DPART=4 $src/several.c -o "$T/libpart4.so" || fail "$1"
	[ "$allocations" = 0 ] && lazy=
	TALLY_DIR=$T/seg "$T/nothing" "$T/libpart4.so" $lazy >"$T/loaded.out" ||
		fail "$1: exit code $?: $(tail -n 1 "$T/loaded.out")"
	contains "$1" "$(head -n 1 "$T/loaded.out")" "errno 1234, .* in main $allocations\$"
	contains "$1" "$(sed -n 2p "$T/loaded.out")" \
		"in threads $((2 * allocations)), in handlers $allocations\$"
}

for cc in "gcc -std=c11" "g++ -std=c++17 -x c++" "clang -std=c11" "clang++ -std=c++17 -x c++"; do
	loaded "$cc, default" 1 "$cc"
	loaded "$cc, initial-exec" 0 "$cc -DTALLY_TLS_MODEL=\"initial-exec\""
	case $cc in g*) loaded "$cc, gnu2" 0 "$cc -mtls-dialect=gnu2" ;; esac
done

# --- symbols -------------------------------------------------------------------------------------------
# What an object defines: names of tally that end in an underscore, and what begins with tally_id_; hidden.
for cc in "gcc -std=c11 -O0" "gcc -std=c11 -O2" "clang -std=c11 -O2" "g++ -x c++ -std=c++17 -O0" \
	"g++ -x c++ -std=c++17 -O2" "clang++ -x c++ -std=c++17 -O0"; do
	for pic in "" "-fPIC"; do
		$cc $pic $warn -c -DPART=0 $src/several.c -o "$T/part0.o" || fail "$cc"
		nm --defined-only "$T/part0.o" | awk '{print $2, $3}' | c++filt |
			sed -n 's/^[A-Zuvw] //p' >"$T/defined"
		grep -q '^tally2_process_' "$T/defined" || fail "$cc: nm shows nothing of tally"
		grep -v -E -e '^tally_id_[a-z_]+$' -e '^several_(use|wrong)_0$' -e '^DW\.ref\.' \
			-e '^(guard variable for )?tally2_(::tally_)?[a-z_]+_(\(.*\)(::[a-z]+)?)?$' \
			-e '^tally_[a-z_]+_$' "$T/defined" &&
			fail "$cc $pic: names that others may have"
		readelf -W --symbols "$T/part0.o" | c++filt |
			grep -E ' (GLOBAL|WEAK|UNIQUE) ' | grep -E 'tally2?_' | grep -v HIDDEN |
			grep -v ' UND ' && fail "$cc $pic: symbols of tally that others can see"
	done
done

# A program that has functions and variables of all names that come to mind, and in its files' includes
# tally before and after them, as its libraries do.
names="tally tally_init tally_add tally_inc tally_value tally_attach tally_counter_add tally_segment_open
	tally_thread tally_process tally_object attach create segment row rows cell counter gauge populate
	publish hash image plan owner generation requests busy state nobody metrics desc start_tally_desc"
{
	echo '#include <tally/tally.h>'
	for name in $names; do echo "int $name(int); int $name(int n) { return n; }"; done
	echo 'TALLY_COUNTER(tally, "names", "A counter called as a function is");'
	echo 'int main(void) { TALLY_INC(tally); return TALLY_VALUE(tally) == 1 ? tally(0) : 1; }'
} >"$T/names.c"
{
	for name in $names; do echo "extern int $name(int); int *pointer_to_$name = 0;"; done
	echo '#include <tally/tally.h>'
	echo 'TALLY_COUNTER(tally, "names", "The same, and the header after the names");'
} >"$T/names2.c"
for cc in "gcc -std=c11" "g++ -x c++" "clang -std=c11"; do
	$cc $warn -O2 "$T/names.c" "$T/names2.c" -o "$T/names" || fail "$cc: names clash"
	"$T/names" || fail "$cc: wrong value among names"
done
pass
