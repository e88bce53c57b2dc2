#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2086 # options are lists of words
# The header among other people's macros and names: those that compilers, systems and large programs
# define before it; any word of the header's own text as a macro after it, or as a variable; counters
# called as macros are; and system headers before and after it.
. tests/lib/e2e.sh
need gcc g++ clang python3

warn="-Wall -Wextra -Wpedantic -Wshadow -Werror -Iinclude"

# The definitions and uses of tests/abi/src/kinds.h, without its own names.
definitions=$(sed -n '/^TALLY_/,/;$/p' tests/abi/src/kinds.h)
uses=$(python3 -c '
import re, sys
text = re.sub(r"\s*\\\n\s*", " ", sys.stdin.read())
for use in re.findall(r"\bK\(\w+, \"\w*\", (.*?), -?\d+, -?\d+\)(?= K\(|\n)", text):
    print(f"\t(void)({use});")' <tests/abi/src/kinds.h)
same "kinds that are used" "$(wc -l <<<"$uses")" "$(grep -c '^	K([a-z]' tests/abi/src/kinds.h)"

# Lower-case words of the header, also those of its comments; not C's own, and not its type names. Those
# that end in an underscore are ours.
words=$(cat include/tally/*.h | python3 -c '
import re, sys
keep = set("""asm auto break case char const continue default do double else enum extern float for goto if
inline int long register restrict return short signed sizeof static struct switch typedef union unsigned
void volatile while alignas alignof bool class namespace new delete private public protected template
this throw try catch using virtual operator friend explicit export mutable typename typeid and or not xor
static_assert thread_local nullptr final override constexpr true false defined main""".split())
words = set(re.findall(r"(?<![\w#])[a-z][a-z0-9_]*\b", sys.stdin.read()))
print("\n".join(sorted(w for w in words if w not in keep and not w.startswith("tally")
    and not w.endswith("_") and not re.fullmatch(r"u?int\w+_t|s?size_t", w))))')
[ "$(wc -w <<<"$words")" -gt 200 ] || fail "no words in the header"

# compiles WHAT FILE: in both languages, by both compilers, and it says 0
compiles()
{
	local cc
	for cc in "gcc -std=c11" "gcc -std=gnu11" "clang -std=c11" "g++ -std=c++17 -x c++" \
		"clang++ -std=gnu++17 -x c++"; do
		$cc $warn -O1 "$2" -o "$T/prog" >"$T/compile.log" 2>&1 || fail "$1: $cc"
		TALLY_DIR=$T/none "$T/prog" || fail "$1: $cc: exit code $?"
	done
}

# --- macros before the header, after the system's: what programs do define --------------------------------
prelude=$(sed -n 's/^#include <\([a-z].*\)>$/\1/p' include/tally/*.h | grep -v '^tally/' | sort -u)
{
	for header in $prelude; do echo "#include <$header>"; done
	for word in unix linux i386 near far small pascal cdecl interface huge likely unlikely \
		noinline unused used cold hot weak packed pure deprecated alias hidden section visibility \
		constructor destructor noreturn malloc_like format printf_like tls_model always_inline \
		IN OUT OPTIONAL BOOL TRUE FALSE ERROR NONE DELETE PAGE_SIZE PAGE_MASK BIT MAX MIN ROWS \
		STATIC_ASSERT BUILD_BUG_ON ARRAY_SIZE SYS CHECK FN SLOW ONE; do
		echo "#undef $word"
		echo "#define $word @"
	done
	for word in min max aligned offset_of container_of round abs swap assert check; do
		echo "#define $word(x, y) @"
	done
	echo '#include <tally/tally.h>'
	echo "$definitions"
	echo 'int main(void) {'
	echo "$uses"
	echo ' return 0; }'
} >"$T/before.c"
compiles "macros before the header" "$T/before.c"

# --- any word of the header as a macro after it ----------------------------------------------------------
{
	echo '#include <tally/tally.h>'
	for word in $words; do echo "#undef $word"; echo "#define $word @"; done
	for word in a b c d e f g h i j k l m n o p q r s t u v w x y z; do
		echo "#undef $word"
		echo "#define $word @"
	done
	echo "$definitions"
	echo 'int main(void) {'
	echo "$uses"
	echo ' return 0; }'
} >"$T/after.c"
compiles "macros after the header" "$T/after.c"

# --- ... and as a variable that is counted by -------------------------------------------------------------
{
	echo '#include <tally/tally.h>'
	echo 'TALLY_COUNTER(sum, "sum", "Of all"); TALLY_GAUGE(level, "level", "Of all");'
	echo 'int main(void) { uint64_t total = 0;'
	for word in $words n d t r row base min max; do
		echo "#undef $word"
		echo "{ unsigned $word = 3; TALLY_ADD(sum, $word); TALLY_GAUGE_ADD(level, $word); total += $word; }"
	done
	echo 'return TALLY_VALUE(sum) != total || TALLY_GAUGE_VALUE(level) != (int64_t)total; }'
} >"$T/variables.c"
compiles "variables" "$T/variables.c"

# --- counters called as macros are: linux and unix are 1 in gnu11 ------------------------------------------
cat >"$T/called.c" <<'END'
#include <errno.h>
#include <stdio.h>
#define requests 5
#define fn(x) @
#include <tally/tally.h>
TALLY_COUNTER(linux, "linux", "");
TALLY_COUNTER_UNIT(unix, "unix_bytes", "bytes", "");
TALLY_COUNTER(errno, "errno", "");
TALLY_COUNTER(requests, "requests", "");
TALLY_COUNTER(fn, "fn", "");
TALLY_GAUGE(stdin, "stdin", "");
TALLY_GAUGE_UNIT(stderr, "stderr_bytes", "bytes", "");
int main(void)
{
	TALLY_INC(linux);
	TALLY_ADD(unix, 1);
	TALLY_INC(errno);
	TALLY_INC(requests);
	TALLY_INC(fn);
	TALLY_GAUGE_ADD(stdin, 1);
	TALLY_GAUGE_SET(stderr, 1);
	return TALLY_VALUE(linux) + TALLY_VALUE(unix) + TALLY_VALUE(errno) + TALLY_VALUE(requests) +
		TALLY_VALUE(fn) != 5 || TALLY_GAUGE_VALUE(stdin) + TALLY_GAUGE_VALUE(stderr) != 2;
}
END
compiles "counters called as macros" "$T/called.c"

# --- system headers before and after, twice, and what they define ------------------------------------------
headers="signal.h pthread.h sys/mman.h sys/stat.h sys/wait.h sys/prctl.h sys/syscall.h sys/auxv.h unistd.h
	fcntl.h errno.h sched.h stdlib.h string.h stdio.h time.h linux/futex.h linux/types.h linux/seccomp.h
	elf.h link.h dirent.h netinet/in.h sys/socket.h sys/resource.h"
for options in "" "-D_GNU_SOURCE" "-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -D_FORTIFY_SOURCE=2" \
	"-D_POSIX_C_SOURCE=199506L" "-D_DEFAULT_SOURCE -D_REENTRANT"; do
	{
		echo '#include <tally/tally.h>'
		for header in $headers; do echo "#include <$header>"; done
		echo '#include <tally/tally.h>'
		echo "$definitions"
		echo 'int main(void) {'
		echo "$uses"
		echo ' return 0; }'
	} >"$T/first.c"
	{
		for header in $headers; do echo "#include <$header>"; done
		cat "$T/first.c"
	} >"$T/last.c"
	for cc in "gcc -std=c11" "g++ -std=c++17 -x c++" "clang -std=gnu17"; do
		for file in first last; do
			# the system's own headers are not so strict
			$cc ${warn/-Wpedantic/} $options -O2 -fsyntax-only "$T/$file.c" >"$T/compile.log" 2>&1 ||
				fail "header $file, $options: $cc"
		done
	done
done
pass
