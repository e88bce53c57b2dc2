#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# /metrics under the eyes of others: promtool, and a real Prometheus that scrapes it. What Prometheus
# then holds is compared with history, sample by sample: same times, same values.
. tests/lib/e2e.sh
. tests/lib/link.sh
need prometheus promtool curl python3

start_gatherer
start_provider one "$FURL" --producers self,proc
start_provider two "$FURL" --producers self
wait_until 10 "samples" has_samples one tallyd_snapshots_total 3
wait_until 10 "samples" has_samples two tallyd_snapshots_total 3
url=http://127.0.0.1:$HPORT

# The page, in both forms.
curl -sf -D "$T/headers" "$url/metrics" >"$T/metrics.txt" || fail "/metrics"
contains "type of the plain form" "$(cat "$T/headers")" 'Content-Type: text/plain; version=0.0.4'
promtool check metrics <"$T/metrics.txt" >"$T/promtool.out" 2>&1 || {
	cat "$T/promtool.out"
	fail "promtool does not like /metrics"
}
curl -sf -D "$T/headers" -H 'Accept: application/openmetrics-text; version=1.0.0' "$url/metrics" \
	>"$T/metrics.om" || fail "/metrics as OpenMetrics"
contains "type of OpenMetrics" "$(cat "$T/headers")" 'application/openmetrics-text; version=1.0.0'
same "last line" "$(tail -n 1 "$T/metrics.om")" '# EOF'
same "families that stand in two places" "$(grep '^# TYPE' "$T/metrics.om" | sort | uniq -d)" ''
contains "both nodes" "$(grep ^tallyd_snapshots_total "$T/metrics.om")" 'node="two"'
same "health" "$(curl -s "$url/-/healthy")" OK
contains "front page" "$(curl -s "$url/")" '/metrics'
same "unknown path" "$(curl -s -o /dev/null -w '%{http_code}' "$url/nothing")" 404
same "unknown method" "$(curl -s -o /dev/null -w '%{http_code}' -X DELETE "$url/metrics")" 501
code=$(curl -s -o /dev/null -w '%{http_code}' -H "X: $(head -c 40000 /dev/zero | tr '\0' x)" \
	"$url/metrics")
[ "$code" = 200 ] && fail "a header of 40,000 bytes was taken"

# The HTTP server dies, and is started again; the gatherer does not notice.
keeper=$(cat "/proc/$(pid_of gatherer)/task/$(pid_of gatherer)/children")
server=$(cat "/proc/${keeper% }/task/${keeper% }/children")
kill -9 "${server% }"
wait_log gatherer 'the HTTP server died \(signal 9\)'
wait_until 5 "HTTP again" curl -sf "$url/-/healthy"

# A Prometheus of our own.
prom=$(free_port)
cat >"$T/prometheus.yml" <<-YML
	global: {scrape_interval: 1s}
	scrape_configs:
	  - job_name: tally
	    static_configs: [{targets: ["127.0.0.1:$HPORT"]}]
YML
start prometheus prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" \
	--web.listen-address="127.0.0.1:$prom" --log.level=warn
wait_port "$prom" 20
query() # QUERY: the JSON of the API
{
	curl -sG "http://127.0.0.1:$prom/api/v1/query" --data-urlencode "query=$1"
}
scraped()
{
	query 'count_over_time(tallyd_snapshots_total{node="one"}[1m])' | grep -E -q '"([4-9]|[1-9][0-9]+)"'
}
wait_until 30 "four scrapes" scraped
same "up" "$(query 'up{job="tally"}' | grep -o '"1"\]')" '"1"]'
query '{job="tally",node=~".+"}[1m]' >"$T/scraped.json"
stop two
stop one
stop gatherer
"$HISTDUMP" "$G/history" >"$T/dump"
python3 - "$T/scraped.json" "$T/dump" "$T/metrics.om" <<-'PY' || fail "Prometheus and history differ"
	import json, re, sys
	from decimal import Decimal

	# History: (node, name, labels) -> {ms: raw value}. The page shows it scaled.
	history = {}
	for line in open(sys.argv[2]):
	    m = re.match(r'(\S+) ([a-zA-Z0-9_:]+)(?:\{(.*)\})? (-?\d+) \d+ (\d+) \S+$', line)
	    node, name, labels, ns, value = m.groups()
	    pairs = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or '')))
	    history.setdefault((node, name, pairs), {})[int(ns) // 1000000] = int(value)
	series = samples = 0
	for r in json.load(open(sys.argv[1]))['data']['result']:
	    m = dict(r['metric'])
	    name, node = m.pop('__name__'), m.pop('node')
	    for extra in ('job', 'instance'):
	        m.pop(extra, None)
	    if name.endswith(('_bucket', '_count', '_sum')):
	        continue
	    ours = history[(node, name, tuple(sorted(m.items())))]
	    series += 1
	    for t, v in r['values']:
	        raw, shown = ours[round(t * 1000)], Decimal(v)
	        if shown != raw and 'seconds' not in name and 'load' not in name:
	            sys.exit(f'{name} {node} {t}: {v} is not {raw}')
	        if raw and shown != raw and not (raw / shown) in [Decimal(10) ** n for n in range(1, 10)]:
	            sys.exit(f'{name} {node} {t}: {v} is not a power of ten beside {raw}')
	        samples += 1
	print(f'{samples} samples of {series} series are the same')
	sys.exit(0 if samples > 100 and series > 30 else 'too few to be a test')
PY
pass
