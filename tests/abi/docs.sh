#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/counters.md is true: each block of code compiles without a warning in C and C++ with both compilers, and
# does what the comment before it says; every public macro is in one; what is printed is what is shown; the
# instructions and the memory are those of the compiler and the machine.
. tests/lib/e2e.sh

doc=docs/counters.md
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
mkdir "$T/code" "$T/seg"
python3 tests/abi/src/docs.py $doc "$T/code" include/tally/tally.h include/tally/test.h >"$T/wrong" ||
	fail "$doc: $(cat "$T/wrong")"

# compile_and_run FILE LABEL COMPILER...: two at once would be faster, and harder to read when they fail
compile_and_run()
{
	local file=$1 label=$2
	shift 2
	# shellcheck disable=SC2086
	"$@" $warn -O2 -Iinclude "$file" -o "$T/block" || fail "$doc: $label: $(basename "$file")"
	TALLY_DIR=/dev/null "$T/block" </dev/null >"$T/out" 2>&1 ||
		fail "$doc: $label: $(basename "$file"): $(cat "$T/out")"
	same "$label: $(basename "$file") says" "$(cat "$T/out")" ""
	runs=$((runs + 1))
}

runs=0
for file in "$T"/code/*.c "$T"/code/*.cc; do
	case $file in
	*.c)
		compile_and_run "$file" "C, gcc" gcc -std=c11
		compile_and_run "$file" "C, clang" clang -std=c11
		;;
	esac
	compile_and_run "$file" "C++, gcc" g++ -std=c++17 -x c++
	compile_and_run "$file" "C++, clang" clang++ -std=c++17 -x c++
done
[ "$runs" -ge 50 ] || fail "only $runs programs in $doc"

# --- five minutes -----------------------------------------------------------------------------

cc -I include "$T/code/first.c" -o "$T/first" || fail "first.c"
seq 12345 | TALLY_DIR=$T/seg "$T/first" || fail "first"
"$B/bin/tally" live "$T/seg" >"$T/live" || fail "tally live"
# columns are as wide as what is in them: the user's name, and a cgroup if there is one
shown=$(sed "s/  *$(id -un) /  you /; s/  *CGROUP//; s|  /[^ ]*||; s/  */ /g; s/ *$//" "$T/live")
same "tally live" "$shown" "$(sed 's/  */ /g; s/ *$//' "$T/code/live.txt")"

# --- the instructions of one increment -----------------------------------------------------------

cat >"$T/one.c" <<'END'
#include <tally/tally.h>
TALLY_COUNTER(requests, "http_requests", "Requests served");
void serve(void);
void serve(void)
{
	TALLY_INC(requests);
}
END
# each as "mnemonic symbol", without the size of operands
instructions()
{
	sed -e 's/%fs://; s/@tpoff//; s/(%rip)//' |
		awk '{
			op = $1
			sub(/q$/, "", op)
			symbol = ""
			if (match($0, /tally2?_[a-z_]*[a-z](_\+8|_)?/))
				symbol = substr($0, RSTART, RLENGTH)
			if (match($0, /8\+tally2_thread_/))
				symbol = "tally2_thread_+8"
			print op, symbol
		}' | sed 's/ $//'
}
gcc -std=c11 -O2 -Iinclude -S "$T/one.c" -o "$T/one.s" || fail "gcc -S"
awk '/^serve:/ { on = 1; next } $1 == "ret" { on = 0 } on && !/:$/ && $1 !~ /^[.#]/' "$T/one.s" |
	instructions >"$T/made"
instructions <"$T/code/instructions.txt" >"$T/told"
same "instructions of TALLY_INC" "$(cat "$T/told")" "$(cat "$T/made")"
[ "$(grep -c tally "$T/made")" = 4 ] || fail "the symbols are not found: $(cat "$T/made")"

# --- 1,000 threads x 1,000 counters ---------------------------------------------------------------

{
	echo '#include <pthread.h>'
	echo '#include <stdio.h>'
	echo '#include <tally/tally.h>'
	for ((i = 0; i < 1000; i++)); do
		echo "TALLY_COUNTER(c$i, \"c$i\", \"A counter\");"
	done
	cat <<'END'
static pthread_barrier_t all;
static void *work(void *arg)
{
	TALLY_INC(c0);
	pthread_barrier_wait(&all);
	return arg;
}
int main(void)
{
	pthread_attr_t small;
	pthread_t t;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	pthread_barrier_init(&all, NULL, 1001);
	for (int i = 0; i < 1000; i++)
		if (pthread_create(&t, &small, work, NULL) != 0)
			return 1;
	pthread_barrier_wait(&all);
	return TALLY_VALUE(c0) != 1000;
}
END
} >"$T/many.c"
gcc -std=gnu11 -O0 -Iinclude "$T/many.c" -o "$T/many" -pthread || fail "many.c"
dir=$(mktemp -d /dev/shm/tally-docs.XXXXXX) || skip "needs /dev/shm"
on_exit "rm -rf '$dir'"
TALLY_DIR=$dir "$T/many" || fail "1,000 threads: code $?"
took=$(($(stat -c %b "$dir"/*) * 512))
told=$(sed -n 's/.*<!-- memory -->\([0-9]*\)\.\([0-9]\) MB.*/\1\200000/p' $doc)
[ "$told" ] || fail "$doc does not tell what 1,000 threads x 1,000 counters take"
within "bytes of 1,000 threads x 1,000 counters" "$took" $((told - 150000)) $((told + 150000))
echo "$runs programs ran; 1,000 threads x 1,000 counters took $took bytes"
pass
