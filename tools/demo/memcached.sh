#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo-memcached`: tally in a program that others wrote. Debian's source of memcached is fetched
# and built with one file changed: trace.h, whose probe macros then count with tally. Under load its
# counts travel through provider and gatherer into history; at the end they are compared with what
# memcached itself says (`stats`). Exit code 0 only if those that count the same thing agree.
#
# Everything is in $B/demo-memcached; the source stays in $B/cache. MEMCACHED_REQUESTS: per client.
cd "$(dirname "$0")/../.." || exit 1
E2E_DIR=demo-memcached
. tests/lib/e2e.sh
. tools/demo/line.sh

CACHE=$B/cache/memcached
REQUESTS=${MEMCACHED_REQUESTS:-300000}
CLIENTS=3

# With an apt configuration of its own: the system's lists and sources stay as they are.
fetch_source()
{
	mkdir -p "$CACHE"/apt/lists/partial "$CACHE"/apt/archives/partial "$CACHE"/apt/parts
	sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/*.sources \
		>"$CACHE/apt/parts/source.sources" 2>/dev/null
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -n 's/^deb /deb-src /p' >"$CACHE/apt/parts/source.list"
	printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "%s";\n' \
		"$CACHE/apt/parts" >"$CACHE/apt/apt.conf"
	printf 'Dir::State::lists "%s";\nDir::Cache "%s";\nAPT::Sandbox::User "root";\n' \
		"$CACHE/apt/lists" "$CACHE/apt" >>"$CACHE/apt/apt.conf"
	(
		cd "$CACHE" || exit 1
		export APT_CONFIG=$CACHE/apt/apt.conf
		apt-get -q update && apt-get -q source memcached
	) >"$T/fetch.log" 2>&1 || fail "memcached's source could not be fetched"
}

find_source()
{
	mkdir -p "$CACHE"
	SOURCE=$(find "$CACHE" -maxdepth 1 -type d -name 'memcached-*' | sort | tail -n 1)
}

# A change of trace.h means that all is compiled again: everything includes it.
build_memcached()
{
	[ -e "$SOURCE/trace.h.debian" ] || cp -p "$SOURCE/trace.h" "$SOURCE/trace.h.debian"
	tools/demo/memcached-trace.sh "$SOURCE/trace.h.debian" >"$T/trace.h"
	cp "$T/trace.h" "$SOURCE/trace.h"
	(
		cd "$SOURCE" || exit 1
		[ -e Makefile ] || ./configure -q --disable-extstore --disable-proxy || exit 1
		make -j"$(nproc)" memcached CPPFLAGS="-DENABLE_DTRACE -I$OLDPWD/include"
	) >"$T/build.log" 2>&1 || fail "memcached could not be built"
}

memcached_stats()
{
	exec 3<>"/dev/tcp/127.0.0.1/$PORT" || fail "memcached does not answer"
	printf 'stats\r\nquit\r\n' >&3
	tr -d '\r' <&3 | sed -n 's/^STAT //p' >"$T/stats"
	exec 3>&-
}

stat_of()
{
	awk -v name="$1" '$1 == name { print $2 }' "$T/stats"
}

run_load()
{
	local i pids=()
	for ((i = 1; i <= CLIENTS; i++)); do
		"$B/demo-bin/memcached-load" "$PORT" "$REQUESTS" "$i" >"$T/client-$i" &
		pids+=($!)
	done
	wait "${pids[@]}" || fail "the load ended early"
}

client_of()
{
	cat "$T"/client-* | awk -v name="$1" '$1 == name { n += $2 } END { print n }'
}

# agree WHAT TALLY MEMCACHED [CLIENT]: a line of the table; all that are given must be equal.
agree()
{
	local verdict=equal
	if [ "$2" != "$3" ] || [ "${4:-$2}" != "$2" ] || [ -z "$2" ]; then
		verdict=DIFFERENT
		DIFFERENT=1
	fi
	printf '  %-34s %12s %12s %12s  %s\n' "$1" "$2" "$3" "${4:--}" "$verdict"
}

tally_of()
{
	local sum=0 probe value
	for probe; do
		value=$(value_of "memcached_$probe")
		[ -n "$value" ] || return
		sum=$((sum + value))
	done
	echo "$sum"
}

compare()
{
	local stores="command_set command_add command_replace command_append command_prepend command_cas"
	DIFFERENT=0
	printf '\n  %-34s %12s %12s %12s\n' "these count the same thing" tally memcached clients
	agree "cmd_get" "$(tally_of command_get)" "$(stat_of cmd_get)" "$(client_of get_sent)"
	agree "get_hits" "$(tally_of command_get_hit)" "$(stat_of get_hits)" "$(client_of get_done)"
	agree "get_misses" "$(tally_of command_get_miss)" "$(stat_of get_misses)" \
		$(($(client_of get_sent) - $(client_of get_done)))
	# shellcheck disable=SC2086 # a list
	agree "cmd_set: set, add, replace ..." "$(tally_of $stores)" "$(stat_of cmd_set)" \
		$(($(client_of set_sent) + $(client_of add_sent) + $(client_of replace_sent)))
	agree "delete_hits" "$(tally_of command_delete)" "$(stat_of delete_hits)" "$(client_of delete_done)"
	agree "incr_hits" "$(tally_of command_incr)" "$(stat_of incr_hits)" "$(client_of incr_done)"
	agree "total_items: links" "$(tally_of item_link)" "$(stat_of total_items)"
	agree "total_connections: allocated" "$(tally_of conn_allocate)" "$(stat_of total_connections)"
}

show_different()
{
	printf '\n  %-34s %12s %12s\n' "these count different things" tally memcached
	printf '  %-34s %12s %12s  %s\n' "value_bytes, bytes_written" "$(tally_of value_bytes)" \
		"$(stat_of bytes_written)" "items that were got; all answers with their words"
	printf '  %-34s %12s %12s  %s\n' "links less unlinks, curr_items" \
		$(($(tally_of item_link) - $(tally_of item_unlink))) "$(stat_of curr_items)" \
		"the same only while nothing is unlinked twice: the probe fires then too"
	printf '  %-34s %12s %12s  %s\n' "conn_release, curr_connections" "$(tally_of conn_release)" \
		"$(stat_of curr_connections)" "those that ended; those that are open"
}

find_source
if [ -z "$SOURCE" ]; then
	say "fetching Debian's source of memcached"
	fetch_source
	find_source
fi
say "building $(basename "$SOURCE") with our trace.h: $(grep -c '^#define MEMCACHED_.*_ENABLED()' \
	"$SOURCE/trace.h") probes"
build_memcached
line_begin
gatherer_start
provider_start cache --producers segments
PORT=$(free_port)
TALLY_DIR=$(segment_dir cache) start memcached "${AS_USER[@]}" "$SOURCE/memcached" \
	-u "$LINE_USER" -l 127.0.0.1 -p "$PORT" -U 0 -t 4 -m 64
wait_port "$PORT"
say "load: $CLIENTS clients, $REQUESTS requests each"
BEGIN=$(date +%s%N)
run_load
say "$((CLIENTS * REQUESTS * 1000 / (($(date +%s%N) - BEGIN) / 1000000))) requests a second"
memcached_stats
stop memcached
line_end cache
compare
show_different
echo
[ "$DIFFERENT" = 0 ] || fail "tally and memcached disagree"
echo "  All that was stored:  ${B#"$PWD"/}/bin/tally ls --dir ${HISTORY#"$PWD"/} 'memcached_*'"
pass
