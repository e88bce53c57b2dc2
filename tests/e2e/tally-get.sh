#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally get over a history whose every value is known (tests/lib/mkhistory.c): newest and raw values,
# steps, exact increases across a reset and a gap, rates, sums, cumulative buckets, JSON and CSV.
. tests/lib/e2e.sh
need python3
tally=$B/bin/tally
export TZ=UTC TALLY_HISTORY=$T/history
"$B/tests/lib/mkhistory" "$TALLY_HISTORY" || fail "mkhistory"

get()
{
	"$tally" get "$@" || fail "tally get $*"
}

# values ARGS...: the column of values, in one line
values()
{
	get --csv "$@" | python3 -c 'import csv, sys
print(*[row["value"] for row in csv.DictReader(sys.stdin)])'
}

# --- newest ---
same "newest" "$(values --latest 'http_requests{node=web-1}')" 210
same "newest, 64 bits" "$(values --latest big)" 18446744073709551575
same "newest, decimals" "$(values --latest 'cpu_seconds{mode=user}')" 147.5
same "newest, nanoseconds" "$(values --latest wait_seconds_sum)" 0.072839453
same "newest, doubles" "$(values --latest temperature_celsius)" 27.875
same "newest of a node" "$(values --latest '{node=web-1}' | wc -w)" 14
same "negative" "$(values 'connections' --from 1699999410 --to 1699999411)" "-3"
contains "table" "$(get --latest http_requests)" \
	'^web-1 +http_requests_total\{program="server",user="root"\} +210 +requests +2023-11-14 22:13:20'
same "sum of newest" "$(values --latest --sum http_requests)" 3160

# --- raw ---
same "raw" "$(values --from 1699999990 'http_requests{node=web-1}')" "203 210"
same "range without --to" "$(values http_requests --from 0 | wc -w)" $((55 + 60))
same "default range" "$(values 'big' | wc -w)" 60
flags=$(get --csv --from 0 'http_requests{node=web-1}' |
	sed -n 's/^[0-9-]*\(T[0-9:]*\).*,\([a-z ][a-z ]*\)\r$/\1 \2/p')
contains "reset is marked" "$flags" 'T22:08:30 reset'
contains "gap is marked" "$flags" 'T22:11:00 gap'

# --- increases: 29 x 100, then from zero to 210 ---
all=(--from 0 --to 1700000001 --increase)
same "increase of all" "$(values "${all[@]}" --step all http_requests)" "2950 3110"
same "sum of increases" "$(values "${all[@]}" --step all --sum http_requests)" 6060
same "increase at the top of 64 bits" "$(values "${all[@]}" --step all big)" 59
same "increase of decimals" "$(values "${all[@]}" --step all 'cpu_seconds{mode=user}')" 147.5
same "increase of doubles" "$(values "${all[@]}" --step all energy_joules)" 88.5
for step in 3s 10s 17s 1m 1h; do
	for selector in 'http_requests{node=web-1}' 'wait_seconds_sum' 'disk_reads{device=sd_a}'; do
		sum=$(values "${all[@]}" --step $step "$selector" | python3 -c 'import sys
from decimal import Decimal
print(sum(map(Decimal, sys.stdin.read().split())))')
		same "increases of $selector in steps of $step" "$sum" \
			"$(values "${all[@]}" --step all "$selector")"
	done
done
contains "time of the whole" "$(get "${all[@]}" --step all --csv big)" '^2023-11-14T22:03:30'
# Two ranges that touch are the whole.
early=$(values --increase --step all --from 0 --to 1699999733 'http_requests{node=web-1}')
late=$(values --increase --step all --from 1699999733 --to 1700000001 'http_requests{node=web-1}')
same "two ranges" "$((early + late))" 3110

# --- rates ---
web='http_requests{node=web-1}'
same "rate" "$(values --rate --from 1699999500 --to 1699999531 "$web")" "10 10 10 10"
same "rate over a gap" \
	"$(values --rate --from 1699999860 --to 1699999861 'disk_reads{device=sd_a}')" 2
same "rate in steps" \
	"$(values --rate --step 100s --from 1699999500 --to 1699999700 'cpu_seconds{mode=user}')" "0.25 0.25"
same "rate across the reset" "$(values --rate --from 1699999710 --to 1699999711 "$web")" 0.7

# --- steps of gauges: the last value in each ---
same "gauge in steps" \
	"$(values --step 100s --from 1699999410 --to 1699999610 temperature_celsius)" "21.625 22.875"
same "steps without a sample are left out" \
	"$(values --step 10s --from 1699999800 --to 1699999870 temperature_celsius | wc -w)" 2

# --- histograms ---
same "buckets" "$(values --latest wait_seconds_bucket)" "295 177 59"
same "cumulative" "$(values --latest --cumulative wait_seconds_bucket)" "295 472 531"
same "median" "$(values --latest --quantile 0.5 wait_seconds_bucket)" 0.0009
# (0.75 * 531 - 295) / 177 of the way from 0.001 to 0.01
same "in the second bucket" "$(values --latest --quantile 0.75 wait_seconds_bucket)" 0.00625
same "a quantile of each step" \
	"$(values --quantile 0.9 --increase --step 100s --from 1699999410 --to 1699999610 wait_seconds)" "0.01 0.01"
contains "what it is" "$(get --latest --quantile 0.5 wait_seconds)" 'wait_seconds\{quantile="0.5"\} +0.0009 +seconds'
same "cumulative increase" "$(values --cumulative "${all[@]}" --step all wait_seconds_bucket)" "295 472 531"

# --- JSON ---
get --json --increase --from 0 --step all '*' >"$T/all.json"
get --json --latest --sum '*' >"$T/sums.json"
python3 - "$T/all.json" "$T/sums.json" <<'END' || fail "JSON: see above"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["mode"] == "increase", d["mode"]
http = [s for s in d["series"] if s["name"] == "http_requests_total"]
assert [s["samples"][0]["value"] for s in http] == ["2950", "3110"], http
assert http[1]["samples"][0]["reset"] and http[1]["samples"][0]["gap"]
assert http[0]["labels"] == {"program": "server", "user": "root"}
assert not any(s["type"] == "gauge" for s in d["series"])
d = json.load(open(sys.argv[2]))
sums = {s["name"] + s["labels"].get("le", ""): s for s in d["series"]}
assert sums["disk_reads_total"]["sum_of"] == 2
assert sums["disk_reads_total"]["samples"][0]["value"] == "1770"
assert sums["wait_seconds_bucket+Inf"]["samples"][0]["value"] == "59"
END

# --- CSV: quotes and commas in a label come back ---
get --csv --latest note | python3 -c 'import csv, sys
row = next(csv.DictReader(sys.stdin))
assert row["series"] == "note{text=\"a \\\"quoted\\\", b\"}", row
assert row["time"] == "2023-11-14T22:13:20.000000000Z", row' || fail "CSV"

# --- what can't be ---
must_fail 2 "$tally" get --rate connections
contains "gauge" "$(cat "$T/out")" "connections is a gauge"
must_fail 2 "$tally" get --cumulative big
contains "no histogram" "$(cat "$T/out")" "big has no buckets"
must_fail 2 "$tally" get --quantile 0.5 big
must_fail 2 "$tally" get --quantile 1.5 wait_seconds
must_fail 2 "$tally" get --quantile half wait_seconds
must_fail 2 "$tally" get --quantile 0.5 --latest --sum wait_seconds
must_fail 2 "$tally" get --from yesterday big
contains "time" "$(cat "$T/out")" "'yesterday' is no time"
must_fail 2 "$tally" get --from -1m --to -2m big
must_fail 2 "$tally" get --step 0 big
contains "empty range" "$("$tally" get --from 1800000000 big 2>&1)" "no samples in this range"
pass
