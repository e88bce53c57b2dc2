#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# The header under the options that people build with: optimizers, language standards, code models,
# linkers, sanitizers, link-time optimization of all files or of some, compilers mixed, libraries with
# counters of their own. No warnings, all values right, and the segments hold them.
. tests/lib/e2e.sh
. tests/lib/exact.sh
need gcc g++ clang clang++ ld.lld ld.gold ld.bfd python3

src=tests/abi/src
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude"

# build COMPILER-AND-OPTIONS: a program of two files, compiled and run
build()
{
	$1 $warn -DPARTS=1 -DPART=0 $src/several-main.c $src/several.c -o "$T/prog" \
		>"$T/compile.log" 2>&1 || fail "$1: does not compile without warnings"
	exact "$1" 1 "$T/prog"
}

# each COMPILER OPTIONS...: one build for each of the options
each()
{
	local compiler=$1 options
	shift
	for options; do
		build "$compiler $options"
	done
}

each "gcc -std=c11 -pedantic-errors" -O1 "-O3 -D_GNU_SOURCE" "-Os -fvisibility=hidden -fno-plt" \
	"-O2 -D_FORTIFY_SOURCE=2 -D_FILE_OFFSET_BITS=64" "-O0 -D_POSIX_C_SOURCE=200112L" \
	"-O2 -mcmodel=large -fno-pie -no-pie" "-O2 -mcmodel=large -fPIE -pie" "-O2 -mcmodel=medium" \
	"-O2 -fcf-protection=full -fstack-protector-all -fstack-clash-protection -mno-red-zone" \
	"-O1 -fshort-enums -funsigned-char -fcommon -pg" "-O3 -flto -fwhole-program" \
	"-O0 --coverage -fprofile-dir=$T -dumpdir $T/" \
	"-O2 -ffunction-sections -fdata-sections -Wl,--gc-sections -Wl,-z,start-stop-gc -fuse-ld=bfd" \
	"-O2 -flto -ffunction-sections -Wl,--gc-sections,--icf=all -fuse-ld=gold" "-O1 -static-pie -fPIE"
each gcc "-std=c17 -O2" "-std=gnu17 -O1" "-std=gnu2x -O0"
each "clang -std=c11 -pedantic-errors" -O3 -Oz "-O2 -D_FORTIFY_SOURCE=2 -D_GNU_SOURCE -fno-plt" \
	"-O2 -mcmodel=large -fno-pie -no-pie" "-O0 -fno-integrated-as -fvisibility=hidden" \
	"-O1 -flto=thin -fuse-ld=lld -Wl,--icf=all -Wl,-z,nostart-stop-gc" \
	"-O2 -flto -fvisibility=hidden -fuse-ld=lld -fsanitize=cfi,safe-stack -Wl,--gc-sections"
each "g++ -x c++ -pedantic-errors" "-std=c++17 -O0 -fvisibility-inlines-hidden" "-std=c++20 -O2" \
	"-std=c++23 -O1 -fno-exceptions -fno-rtti -fvisibility=hidden" "-std=gnu++17 -O3 -flto"
each "clang++ -x c++ -pedantic-errors" "-std=c++17 -O0" "-std=c++20 -Os" \
	"-std=c++2b -O1 -fno-exceptions -fno-rtti -flto=thin -fuse-ld=lld"
each "g++ -x c++ -std=c++17 -O1" "-fsanitize=address,undefined -fno-sanitize-recover=all"
each "clang++ -x c++ -std=c++17 -O1" "-fsanitize=address,undefined -fno-sanitize-recover=all"

# Threads and children too, under the sanitizers that watch memory and threads.
for how in "gcc -fsanitize=address,undefined -fno-sanitize-recover=all" \
	"clang -fsanitize=address,undefined -fno-sanitize-recover=all" \
	"gcc -fsanitize=thread" "clang -fsanitize=thread" "clang -fsanitize=memory"; do
	$how -std=c11 $warn -O1 -g $src/environment.c -o "$T/prog" -pthread || fail "$how"
	TSAN_OPTIONS=die_after_fork=0 COUNT=200 exact "$how: threads and children" 1 "$T/prog" plain
	[ ! -s "$T/seg/$((RUNS - 1)).err" ] ||
		fail "$how says: $(head -n 40 "$T/seg/$((RUNS - 1)).err")"
done

for how in "gcc -std=c11" "clang++ -std=c++17 -x c++"; do
	$how $warn -O0 -finstrument-functions $src/hooks.c -o "$T/prog" || fail "$how: hooks"
	(ulimit -s 1024 -c 0 && TALLY_DIR=$T/hooks "$T/prog") || fail "$how: counting in hooks: $?"
done

# mixed WHAT MAIN PART0 PART1 PART2 PART3 LIBRARY4 LIBRARY5 LINK: an object for each, made by a compiler
# and options of its own; the libraries linked to the program
mixed()
{
	local what=$1 part=0 compiler
	$2 $warn -DPARTS=4 -DWITH_LIBRARIES -c $src/several-main.c -o "$T/main.o" || fail "$what: main"
	for compiler in "$3" "$4" "$5" "$6"; do
		$compiler $warn -DPART=$part -c $src/several.c -o "$T/part$part.o" || fail "$what: $part"
		part=$((part + 1))
	done
	for compiler in "$7" "$8"; do
		$compiler $warn -fPIC -shared -DPART=$part -DTALLY_OBJECT="\"lib$part\"" $src/several.c \
			-o "$T/libpart$part.so" || fail "$what: library $part"
		part=$((part + 1))
	done
	$9 "$T/main.o" "$T"/part[0-3].o "$T/libpart4.so" "$T/libpart5.so" -Wl,-rpath,"$T" -o "$T/prog" ||
		fail "$what: link"
	exact "$what" 3 "$T/prog"
}

mixed "C and C++, both compilers" "gcc -std=c11 -O2" "g++ -std=c++17 -x c++ -O2" \
	"clang -std=c11 -O2 -fPIC" "clang++ -std=c++20 -x c++ -O0" "gcc -std=gnu17 -O0 -fno-pie" \
	"gcc -std=c11 -O2" "clang++ -x c++ -std=c++17 -O2" "g++ -no-pie"
mixed "C++ first" "clang++ -std=c++17 -x c++ -O0" "gcc -std=c11 -O2" "gcc -std=c11 -Os" \
	"g++ -std=c++23 -x c++ -O3" "clang -std=c11 -O1" "g++ -std=c++17 -x c++ -O2" \
	"clang -std=c11 -O2 -mcmodel=large" "g++ -fuse-ld=gold"
mixed "some files with -flto, main without" "gcc -O2" "gcc -O2 -flto" "g++ -x c++ -O2 -flto" \
	"gcc -O2" "g++ -x c++ -O2" "gcc -O2 -flto" "gcc -O2" "g++ -O2 -flto"
mixed "main with -flto, some files without" "gcc -O2 -flto" "gcc -O2" "g++ -x c++ -O2" \
	"gcc -O2 -flto" "g++ -x c++ -O2 -flto" "gcc -O2" "g++ -x c++ -O2 -flto" "g++ -O2 -flto"
mixed "some files with clang's -flto" "clang -O2" "clang -O2 -flto" "clang++ -x c++ -O2 -flto" \
	"gcc -O2" "clang -O2 -flto=thin" "clang -O2 -flto -fuse-ld=lld" "clang -O2" \
	"clang++ -O2 -fuse-ld=lld"
mixed "linked by lld, sections collected" "gcc -O2 -ffunction-sections -fdata-sections" "clang -O2" \
	"g++ -x c++ -O2 -ffunction-sections" "clang++ -x c++ -O0" "gcc -Os -fdata-sections" \
	"gcc -O2 -fuse-ld=lld -Wl,--gc-sections" "clang -O2 -fuse-ld=lld" \
	"g++ -fuse-ld=lld -Wl,--gc-sections"

exact_end 150
pass
