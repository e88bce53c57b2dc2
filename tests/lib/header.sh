# SPDX-License-Identifier: GPL-2.0-or-later
# What tests/abi/header-*.sh share; sourced after tests/lib/e2e.sh.
# shellcheck shell=bash disable=SC2154,SC2086,SC2089,SC2090 # options are lists of words

src=tests/abi/src
warn="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
runs=0

# sum FILE-PATTERN METRIC: what the segments of the last run hold
sum()
{
	"$B/bin/tally" live --json --count 1 "$T/seg" | python3 -c '
import json, sys
rows = json.load(sys.stdin)
print(sum(r["value"] for r in rows if r["metric"] == sys.argv[1]))' "$1"
}

# build_and_run LABEL COMPILER-AND-OPTIONS
build_and_run()
{
	local label=$1 cc=$2 want
	rm -rf "$T/seg" "$T/prog" && mkdir "$T/seg"
	$cc $warn -Iinclude $src/main.c $src/other.c -o "$T/prog" >"$T/compile.log" 2>&1 ||
		fail "$label does not compile without warnings"
	[ "$(TALLY_DIR=$T/none "$T/prog")" = ok ] || fail "$label: wrong without a directory"
	[ "$(TALLY_DIR=$T/seg "$T/prog")" = ok ] || fail "$label: wrong with a segment"
	want=$((113 + (1 << 40)))
	same "$label: from_main in the segment" "$(sum from_main_total)" "$want"
	same "$label: same_name from two files" "$(sum same_name_total)" 2
	same "$label: in_header from two files" "$(sum in_header_total)" 60
	runs=$((runs + 1))
}

# all_ways COMPILER...: each with all linkers and ways to link
all_ways()
{
	local lang how
	for lang in "$@"; do
		for how in "-O0" "-O2" "-O2 -fPIC -pie" "-O2 -static" "-O3 -flto" \
			"-O2 -ffunction-sections -fdata-sections -Wl,--gc-sections" "-O2 -fuse-ld=lld" \
			"-O2 -fuse-ld=lld -ffunction-sections -Wl,--gc-sections" "-O2 -fuse-ld=gold"; do
			case "$lang$how" in
			g*-flto) how="$how -fno-fat-lto-objects" ;;
			esac
			build_and_run "$lang $how" "$lang $how"
		done
	done
}

# shared_objects COMPILER...: one of its own, linked and loaded, default and gnu2 thread-local storage
shared_objects()
{
	local cc tls
	for cc in "$@"; do
		for tls in "" "-mtls-dialect=gnu2" "-DTALLY_TLS_MODEL=\"initial-exec\""; do
			case "$cc$tls" in clang*gnu2) continue ;; esac # this clang has no such option
			rm -rf "$T/seg" && mkdir "$T/seg"
			$cc $warn -O2 -fPIC -shared $tls -Iinclude $src/library.c -o "$T/liblibrary.so" ||
				fail "$cc $tls: library"
			$cc $warn -O2 -Iinclude -DWITH_LIBRARY $src/main.c $src/other.c -x none "$T/liblibrary.so" \
				-Wl,-rpath,"$T" -o "$T/prog" || fail "$cc $tls: program with library"
			[ "$(TALLY_DIR=$T/seg "$T/prog")" = ok ] || fail "$cc $tls: wrong with a library"
			same "library_calls" "$(sum library_calls_total)" 7
			gcc -O2 $src/plugin-host.c -o "$T/host" -ldl -pthread || fail "host"
			[ "$(TALLY_DIR=$T/seg "$T/host" "$T/liblibrary.so")" = ok ] || fail "$cc $tls: dlopen"
			same "library_calls after dlopen" "$(sum library_calls_total)" 200007
			runs=$((runs + 1))
		done
	done

	# nothing that could clash: no symbol of ours can be seen from another object
	readelf -W --dyn-syms "$T/liblibrary.so" | grep -i tally | grep -v HIDDEN &&
		fail "the library exports symbols of tally"
	return 0
}
