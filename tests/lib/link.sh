# SPDX-License-Identifier: GPL-2.0-or-later
# What the scripts about gatherer and providers share; sourced after tests/lib/e2e.sh.

# shellcheck shell=bash disable=SC2154,SC2034
HISTDUMP=$B/tests/lib/histdump
GPORT=$(free_port)
HPORT=$(free_port)
G=$T/gatherer
FURL=$G/furl

# start_gatherer [OPTION...]: child "gatherer", polls every 200 ms, syncs at once.
start_gatherer()
{
	local ready
	ready=$(grep -s -c ' ready: ' "$T/gatherer.log")
	start gatherer "$B/bin/tally-gatherer" --foreground --data-dir "$G" --user "$(id -un)" \
		--listen "127.0.0.1:$GPORT" --http-listen "127.0.0.1:$HPORT" \
		--interval 200ms --sync-interval 0 --log-level debug "$@"
	wait_log gatherer ' ready: ' 10 $((ready + 1))
}

# start_provider NAME FURLFILE [OPTION...]: child NAME, which measures nothing but itself.
start_provider()
{
	local name=$1 furl=$2
	shift 2
	mkdir -p "$T/seg"
	start "$name" "$B/bin/tallyd" --foreground --state-dir "$T/$name" --segment-dir "$T/seg" \
		--user "$(id -un)" --name "$name" --furl-file "$furl" --interval 200ms \
		--producers self --log-level debug "$@"
}

# samples NODE SERIES: "realtime_ns value flags", one a line
samples()
{
	"$HISTDUMP" "$G/history" "$1" "$2" | cut -d ' ' -f 3,5,6
}

nodes()
{
	"$HISTDUMP" "$G/history" | cut -d ' ' -f 1 | sort -u | tr '\n' ' '
}

has_samples()
{
	[ "$(samples "$1" "$2" | wc -l)" -ge "$3" ]
}

# Newest sequence number that provider NAME was told to be durable.
acknowledged()
{
	sed -n 's/.* acknowledged: incarnation .* seq //p' "$T/$1.log" | sort -n | tail -n 1
}
