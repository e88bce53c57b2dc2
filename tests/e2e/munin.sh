#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally-munin under munin's own munin-run, munin-node and munin-node-configure. Its values are compared
# with those of `tally get`, and with what mkhistory says it made.
. tests/lib/e2e.sh
PATH=$PATH:/usr/sbin
need python3 strip munin-run munin-node munin-node-configure
need_root
tally=$B/bin/tally
H=$T/history
"$B/tests/lib/mkhistory" "$H" "$(date +%s)" || fail "mkhistory"
port=$(free_port)

mkdir -p "$T/plugins" "$T/conf" "$T/lib" "$T/state"
cp "$B/bin/tally-munin" "$T/lib/tally_"
strip "$T/lib/tally_" || fail "strip" # as packages do: the markers must not live in debugging data
for metric in http_requests_total cpu_seconds disk_reads temperature_celsius energy_joules big_total \
	memory_free_bytes wait_seconds_sum wait_seconds no_such_metric selected; do
	ln -s "$T/lib/tally_" "$T/plugins/tally_$metric"
done
cat >"$T/conf/tally" <<END
[tally_*]
user $(id -un)
group $(id -gn)
env.history $H

[tally_selected]
env.metric cpu_seconds
env.selector {mode!="idle"}
env.node web-1
END
cat >"$T/node.conf" <<END
log_level 4
log_file $T/munin-node.log
pid_file $T/munin-node.pid
background 0
setsid 0
user $(id -un)
group $(id -gn)
host_name testnode
host 127.0.0.1
port $port
allow ^127\.0\.0\.1\$
END

run()
{
	munin-run --config "$T/node.conf" --servicedir "$T/plugins" --sconfdir "$T/conf" "$@" \
		2>"$T/run.err"
}

# --- munin-run: config ---
config=$(run tally_http_requests_total config) || fail "config: $(cat "$T/run.err")"
for line in 'graph_title Requests served\.' 'graph_args --base 1000 -l 0' \
	'graph_vlabel requests per \$\{graph_period\}' 'graph_category tally' \
	'graph_info .*http_requests_total' \
	'web_1_server_root\.label web-1: program=server, user=root' 'web_1_server_root\.type DERIVE' \
	'web_1_server_root\.min 0' '_2nd_node_server_root\.label 2nd node: '; do
	contains "config" "$config" "^$line"
done
grep -q 'cdef\|\.value' <<<"$config" && fail "cdef or value where none belongs: $config"
same "values" "$(run tally_http_requests_total)" \
	"_2nd_node_server_root.value 2950
web_1_server_root.value 210"
same "dirty config" "$(MUNIN_CAP_DIRTYCONFIG=1 run tally_http_requests_total config)" "$config
$(run tally_http_requests_total)"

# --- scales: an integer for DERIVE, a cdef that makes seconds of it ---
contains "cdef" "$(run tally_cpu_seconds config)" '^web_1_0_user\.cdef web_1_0_user,100,/$'
contains "raw integer" "$(run tally_cpu_seconds)" '^web_1_0_user\.value 14750$'
contains "cdef of nanoseconds" "$(run tally_wait_seconds_sum config)" '^web_1\.cdef web_1,1000000000,/$'
same "nanoseconds" "$(run tally_wait_seconds_sum)" "web_1.value 72839453"
same "thousandths of a double" "$(run tally_energy_joules)" "web_1.value 88500"
contains "gauge" "$(run tally_temperature_celsius config)" '^web_1\.type GAUGE$'
grep -q -- '-l 0\|\.min' <<<"$(run tally_temperature_celsius config)" && fail "a gauge has no minimum"
same "gauge of doubles" "$(run tally_temperature_celsius)" "web_1.value 27.875"
contains "bytes" "$(run tally_memory_free_bytes config)" '^graph_args --base 1024$'
same "64 bits" "$(run tally_big_total)" "_2nd_node.value 18446744073709551575"

# --- the exact values are those of tally get ---
"$tally" get --dir "$H" --latest --json '*' >"$T/all.json"
for metric in http_requests_total temperature_celsius big_total memory_free_bytes; do
	run tally_$metric >"$T/values"
	python3 - "$T/all.json" "$T/values" $metric <<'END' || fail "$metric differs from tally get"
import json, sys
series = json.load(open(sys.argv[1]))["series"]
want = sorted(s["samples"][0]["value"] for s in series if s["name"] == sys.argv[3])
got = sorted(line.split()[1] for line in open(sys.argv[2]))
assert got == want and got, (got, want)
END
done

# --- names: two devices that look alike stay apart, by the same names in config and values ---
names=$(run tally_disk_reads | sed 's/\.value .*//' | sort)
same "distinct names" "$(sort -u <<<"$names" | wc -l)" 2
same "names in config" "$(run tally_disk_reads config | sed -n 's/\.label .*//p' | sort)" "$names"
contains "value of one" "$(run tally_disk_reads)" '^web_1_sd_a_[0-9a-f]{8}\.value 590$'
contains "value of the other" "$(run tally_disk_reads)" '^web_1_sd_a_[0-9a-f]{8}\.value 1180$'

# --- environment ---
same "metric, selector and node by environment" "$(run tally_selected)" "web_1_0_user.value 14750"

# --- refusals: a message on stderr, exit code 1, nothing on stdout ---
for metric in no_such_metric wait_seconds; do
	for command in config fetch; do
		out=$(TALLY_HISTORY=$H "$T/plugins/tally_$metric" $command 2>"$T/err") &&
			fail "$metric was taken"
		same "output for $metric" "$out" ""
		contains "message" "$(cat "$T/err")" "^tally-munin: .*$metric"
	done
done
must_fail 2 "$T/plugins/tally_big_total" snmpconf
must_fail 1 "$B/bin/tally-munin" --history "$H"
contains "no metric" "$(cat "$T/out")" "no metric"

# --- freshness: U after 300 s, gone after a day ---
now=$(date +%s)
for age in 290 310 90000; do
	"$B/tests/lib/mkhistory" "$T/aged-$age" $((now - age)) || fail "mkhistory"
done
# aged SECONDS [COMMAND]: energy_joules of a history whose newest value is that old
aged()
{
	history=$T/aged-$1 "$B/bin/tally-munin" --metric energy_joules "${2:-fetch}"
}
same "still fresh" "$(aged 290)" "web_1.value 88500"
same "too old" "$(aged 310)" "web_1.value U"
contains "but in config" "$(aged 310 config)" "web_1.label"
same "other limit" "$(max_age=1h aged 310)" "web_1.value 88500"
must_fail 1 env history="$T/aged-90000" "$B/bin/tally-munin" --metric energy_joules config

# --- autoconf: an answer, whatever it is ---
same "autoconf" "$(run tally_big_total autoconf)" "yes"
out=$(history=$T/nothing "$B/bin/tally-munin" autoconf) || fail "autoconf without history"
contains "autoconf" "$out" '^no \(.*nothing.*\)$'
mkdir "$T/empty"
same "autoconf in a directory without history" "$(history=$T/empty "$B/bin/tally-munin" autoconf)" \
	"no ($T/empty: no history here; name one with env.history or --history)"

# --- munin-node-configure finds the markers in the binary, and what is suggested ---
rm "$T"/plugins/tally_*
suggestions=$(munin-node-configure --config "$T/node.conf" --servicedir "$T/plugins" \
	--sconfdir "$T/conf" --libdir "$T/lib" --families=auto --shell 2>"$T/configure.err") ||
	fail "munin-node-configure: $(cat "$T/configure.err")"
for metric in http_requests_total temperature_celsius cpu_seconds_total; do
	contains "suggestion" "$suggestions" "^ln -s '$T/lib/tally_' '$T/plugins/tally_$metric'"
done
grep -q wait_seconds <<<"$suggestions" && fail "a histogram is suggested"
table=$(munin-node-configure --config "$T/node.conf" --servicedir "$T/plugins" \
	--sconfdir "$T/conf" --libdir "$T/lib" --families=auto --suggest 2>/dev/null)
contains "table of suggestions" "$table" '^tally_ +\| no +\| yes \(.*\+http_requests_total'
eval "$suggestions"

# --- munin-node serves them ---
# It has no option for its directories: they are in a module, of which it gets a copy with ours.
defaults=$(perl -MMunin::Common::Defaults -e 'print $INC{"Munin/Common/Defaults.pm"}') ||
	fail "munin has no defaults"
mkdir -p "$T/etc" "$T/perl/Munin/Common"
ln -s "$T/plugins" "$T/etc/plugins"
ln -s "$T/conf" "$T/etc/plugin-conf.d"
sed -e "s|^\(our \$MUNIN_CONFDIR *= *\).*|\1q{$T/etc};|" \
	-e "s|^\(our \$MUNIN_PLUGSTATE *= *\).*|\1q{$T/state};|" "$defaults" \
	>"$T/perl/Munin/Common/Defaults.pm"
PERL5LIB=$T/perl start munin-node munin-node --foreground --config "$T/node.conf"
wait_port "$port" 20

# ask COMMAND...: the node's answer, without its greeting
ask()
{
	exec 5<>"/dev/tcp/127.0.0.1/$port" || fail "no connection"
	printf '%s\n' "$@" quit >&5
	tail -n +2 <&5
	exec 5<&- 5>&-
}

contains "list" "$(ask list)" '(^| )tally_http_requests_total( |$)'
same "fetch" "$(ask 'fetch tally_http_requests_total')" "_2nd_node_server_root.value 2950
web_1_server_root.value 210
."
same "config" "$(ask 'config tally_http_requests_total')" "$config
."
contains "dirty config" "$(ask 'cap dirtyconfig' 'config tally_big_total')" \
	'^_2nd_node\.value 18446744073709551575$'
pass
