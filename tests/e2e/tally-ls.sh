#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally ls and tally size over a history whose every value is known (tests/lib/mkhistory.c).
. tests/lib/e2e.sh
need python3
tally=$B/bin/tally
export TZ=UTC TALLY_HISTORY=$T/history
"$B/tests/lib/mkhistory" "$TALLY_HISTORY" || fail "mkhistory"

nodes=$("$tally" ls --nodes) || fail "ls --nodes"
contains "node" "$nodes" '^web-1 +[a-z2-7]{8} +14 +2023-11-14 22:03:30.000 +2023-11-14 22:13:20.000$'
contains "node" "$nodes" '^2nd node +[a-z2-7]{8} +3 +2023-11-14 22:03:30'
same "lines" "$(wc -l <<<"$nodes")" 3

all=$("$tally" ls) || fail "ls"
for line in \
	'web-1 +counter +http_requests_total\{program="server",user="root"\} +210 +requests' \
	'2nd node +counter +http_requests_total\{program="server",user="root"\} +2950 +requests' \
	'2nd node +counter +big_total +18446744073709551575' \
	'web-1 +counter +cpu_seconds_total\{cpu="0",mode="user"\} +147.5 +seconds' \
	'web-1 +histogram +wait_seconds_bucket\{le="\+Inf"\} +59' \
	'web-1 +histogram +wait_seconds_sum +0.072839453 +seconds' \
	'web-1 +gauge +temperature_celsius +27.875 +celsius' \
	'web-1 +gauge +note\{text="a \\"quoted\\", b"\} +1'; do
	contains "series" "$all" "^$line"
done
# Buckets stand in the order of their bounds, not of their text.
same "order of buckets" \
	"$("$tally" ls wait_seconds_bucket | sed -n 's/.*le="\([^"]*\)".*/\1/p' | tr '\n' ' ')" \
	"0.001 0.01 +Inf "

same "selected" "$("$tally" ls '{node="2nd node"}' | tail -n +2 | wc -l)" 3
same "selected" "$("$tally" ls 'cpu*{mode!=idle}' | tail -n +2 | wc -l)" 1
must_fail 1 "$tally" ls no_such_metric
contains "message" "$(cat "$T/out")" "no series matches 'no_such_metric'"
must_fail 2 "$tally" ls 'cpu{'

"$tally" ls --json >"$T/ls.json" || fail "ls --json"
python3 - "$T/ls.json" <<'END' || fail "ls --json: see above"
import json, sys
d = json.load(open(sys.argv[1]))
nodes = {n["name"]: n for n in d["nodes"]}
assert set(nodes) == {"web-1", "2nd node"}, nodes
assert nodes["web-1"]["last"] == 1700000000 and nodes["web-1"]["series"] == 14
assert len(nodes["web-1"]["fingerprint"]) == 52
assert len(d["series"]) == 17
s = [s for s in d["series"] if s["name"] == "note"][0]
assert s["labels"] == {"text": 'a "quoted", b'}, s
s = [s for s in d["series"] if s["name"] == "big_total"][0]
assert s["newest"] == {"time": 1700000000, "value": str(2**64 - 41)}, s
assert s["type"] == "counter" and s["help"] == "A counter near its end." and s["node"] == "2nd node"
END

# 55 polls of 14 series arrived from the one node, 60 of 3 from the other.
"$tally" size --json >"$T/size.json" || fail "size"
bytes=$(du -sb --apparent-size "$TALLY_HISTORY" | cut -f1)
python3 - "$T/size.json" "$bytes" <<'END' || fail "size: see above"
import json, sys
d = json.load(open(sys.argv[1]))
assert d["samples"] == 55 * 14 + 60 * 3, d
assert d["series"] == 17 and d["files"] >= 2, d
assert 0 < d["bytes"] <= int(sys.argv[2]), d
assert abs(d["bytes_per_sample"] - d["bytes"] / d["samples"]) < 1e-3
END
pass
