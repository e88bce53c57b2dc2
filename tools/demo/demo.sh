#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo`: the whole line at work, from TALLY_INC and the kernel to a table and a graph.
#
#	demo-server --> segments --> tallyd (alpha) --+
#	              kernel, /proc -->               +--> tally-gatherer --> history --> tally, munin
#	demo-server --> segments --> tallyd (beta)  --+
#
# In the middle alpha's server, its provider and the gatherer are killed (SIGKILL) and started again.
# At the end history must agree with the account that the servers' threads kept by themselves.
#
# DEMO_SECONDS (20): how long the load lasts. DEMO_KILL=0: nobody is killed. Everything is in $B/demo,
# or $B/$DEMO_DIR.
cd "$(dirname "$0")/../.." || exit 1
E2E_DIR=${DEMO_DIR:-demo}
. tests/lib/e2e.sh
. tools/demo/line.sh

DURATION=${DEMO_SECONDS:-20}
KILL=${DEMO_KILL:-1}
declare -A SERVER_PORT=() RATE=([alpha]=12000 [beta]=3000)
[[ $DURATION =~ ^[0-9]+$ && $DURATION -ge 4 ]] || fail "DEMO_SECONDS: a number, at least 4"

server_start()
{
	local node=$1
	SERVER_PORT[$node]=${SERVER_PORT[$node]:-$(free_port)}
	line_dir "$T/oracle/$node"
	TALLY_DIR=$(segment_dir "$node") start "server-$node" "${AS_USER[@]}" \
		"$B/demo-bin/demo-server" "${SERVER_PORT[$node]}" "$T/oracle/$node"
	wait_port "${SERVER_PORT[$node]}"
}

load_start()
{
	start "load-$1" "$B/demo-bin/demo-load" "${SERVER_PORT[$1]}" "$DURATION" "${RATE[$1]}"
}

# restart WHAT PAUSE COMMAND...
restart()
{
	local what=$1 pause=$2
	shift 2
	kill9 "$what"
	say "killed (SIGKILL): $what"
	sleep "$pause"
	"$@"
	say "started again:    $what"
}

# until_share PERCENT: waits for that part of the load's duration.
until_share()
{
	local end=$((LOAD_BEGIN + DURATION * 10000000 * $1)) now
	now=$(date +%s%N)
	[ "$now" -ge "$end" ] || sleep "$(printf '%d.%09d' $(((end - now) / 1000000000)) \
		$(((end - now) % 1000000000)))"
}

# oracle NODE FIELD: a sum over all threads of all processes there were (tools/demo/demo-server.c).
oracle()
{
	local file
	for file in "$T/oracle/$1"/*; do
		od -A n -v -t u8 -w48 "$file"
	done | awk -v field="$2" '{ n += $field } END { printf "%.0f\n", n }'
}

# check_exact NODE METRIC FIELD: returned <= history <= started; without kills all three are equal.
check_exact()
{
	local started returned history verdict
	started=$(oracle "$1" "$3")
	returned=$(oracle "$1" $(($3 + 1)))
	history=$(value_of "$2{node=\"$1\"}")
	if [ -z "$history" ] || [ "$returned" -gt "$history" ] || [ "$history" -gt "$started" ]; then
		verdict=WRONG
	elif [ "$returned" = "$started" ]; then
		verdict="exact"
	elif [ "$KILL" = 0 ]; then
		verdict="WRONG: nobody was killed, so all must be equal"
	else
		verdict="exact: killed within $((started - returned))"
	fi
	printf '  %-6s %-16s %14s %14s %14s   %s\n' "$1" "$2" "$returned" "$history" "$started" "$verdict"
	case $verdict in WRONG*) INEXACT=1 ;; esac
}

tally()
{
	local command=$1
	shift
	"$B/bin/tally" "$command" --dir "$HISTORY" "$@"
}

# The mean over the whole run, from history: exact increase by time.
mean_rate()
{
	tally get --sum --rate --step "$((DURATION + 600))s" --from -600s --csv "$1" 2>/dev/null |
		tail -n 1 | awk -F, '{ printf $(NF - 2) < 10 ? "%.3f" : "%.0f", $(NF - 2) }'
}

show_series()
{
	local selector=$1 rate=
	[ -n "$(value_of "$selector")" ] || return 0
	[ "$2" = rate ] && rate=$(printf '%15s' "$(mean_rate "$selector") /s")
	printf '  %-48s %18s%s\n' "$selector" "$(value_of "$selector")" "$rate"
}

show_table()
{
	printf '\n  %-48s %18s %14s\n' "series" "last value" "mean rate"
	show_series 'demo_requests{node="alpha"}' rate
	show_series 'demo_sent_bytes{node="alpha"}' rate
	show_series 'demo_errors{node="alpha"}' rate
	show_series 'demo_requests{node="beta"}' rate
	show_series 'sched_switches{node="alpha"}' rate
	show_series 'sched_oncpu_seconds{node="alpha"}' rate
	show_series 'sched_runq_latency_seconds_sum{node="alpha"}' rate
	show_series 'context_switches{node="alpha"}' rate
	show_series 'network_receive_bytes{node="alpha"}' rate
	show_series 'memory_available_bytes{node="alpha"}' value
	show_series 'tallyd_cpu_seconds{node="alpha"}' rate
	show_size
}

# The newest values are kept in the open log too, with all names, for the time until it is sealed.
show_size()
{
	local sealed open
	sealed=$(cat "$HISTORY"/*.tly | wc -c)
	open=$(cat "$HISTORY"/*.rec | wc -c)
	tally size | awk -v sealed="$sealed" -v open="$open" '
		NF == 2 { size[$1] = $2 }
		END { printf "\n  %.2f bytes per sample on disk: %d samples of %d series in %d bytes",
			sealed / size["samples"], size["samples"], size["series"], sealed
			printf " (and an open log of %d)\n", open }'
}

# As munin-node runs it: by a link's name, with its configuration in the environment.
show_munin()
{
	local plugin=$T/tally_demo_requests_total
	ln -sf "$B/bin/tally-munin" "$plugin"
	printf '\n  munin asks the plugin %s for its config, and for its values:\n\n' "$(basename "$plugin")"
	history=$HISTORY "$plugin" config >"$T/munin.config" || fail "the munin plugin's config"
	history=$HISTORY "$plugin" >"$T/munin.values" || fail "the munin plugin's values"
	sed 's/^/    /' "$T/munin.config"
	echo
	sed 's/^/    /' "$T/munin.values"
}

run_line()
{
	gatherer_start
	say "tally-gatherer is up; its furl for providers: $(cut -c 1-40 "$T/gatherer/furl")..."
	provider_start alpha
	provider_start beta --producers proc,self,segments
	server_start alpha
	server_start beta
	if log_has "$T/alpha.log" 'producer sched is left out' 1; then
		say "two nodes: alpha and beta (/proc, programs; the kernel's own part can't be had)"
	else
		say "two nodes: alpha (kernel by BPF, /proc, programs) and beta (/proc, programs)"
	fi
	LOAD_BEGIN=$(date +%s%N)
	load_start alpha
	load_start beta
	say "each has a server with four threads, under load for $DURATION seconds"
	say "look at it now:  curl -s http://127.0.0.1:$HTTP_PORT/metrics | grep demo_"
	if [ "$KILL" != 0 ]; then
		until_share 25
		restart server-alpha 0.5 server_start alpha
		until_share 45
		restart alpha 1 provider_start alpha
		until_share 65
		restart gatherer 1 gatherer_start
	fi
	until_share 100
	wait "$(pid_of load-alpha)" "$(pid_of load-beta)"
	say "the load is over; ending everything in order"
	unset 'CHILD[load-alpha]' 'CHILD[load-beta]'
	stop server-alpha
	stop server-beta
	line_end alpha beta
	line_seal
	say "history is sealed: compressed columns"
}

echo "tally's demo: counters of programs and of the kernel, on their way to a graph"
[ "$(id -u)" = 0 ] || echo "(not root: without the kernel's part; sudo make demo has it)"
echo
line_begin
run_line
INEXACT=0
printf '\n  %-6s %-16s %14s %14s %14s\n' node counter returned "in history" started
for node in alpha beta; do
	check_exact "$node" demo_requests 1
	check_exact "$node" demo_sent_bytes 3
	check_exact "$node" demo_errors 5
done
show_table
show_munin
tally plot --rate --from "-$(($(date +%s) - LINE_BEGIN + 2))s" --png "$T/graph.png" \
	--title "Requests per second" 'demo_requests' || fail "no graph"
[ "$INEXACT" = 0 ] || fail "history and the servers' own account disagree"
tally check >"$T/check" 2>&1 || fail "tally check: $(head -n 5 "$T/check")"
here=${T#"$PWD"/}
bin=${B#"$PWD"/}/bin
cat <<END

  The picture of it:    $here/graph.png
  In the terminal:      $bin/tally plot --rate --dir $here/gatherer/history demo_requests
  All that was stored:  $bin/tally ls --dir $here/gatherer/history
  Is it sound?          $bin/tally check --dir $here/gatherer/history
  What was all that?    docs/demo.md; a counter of your own: README.md
END
pass
