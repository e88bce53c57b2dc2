# SPDX-License-Identifier: GPL-2.0-or-later
# What the scripts about the applications' header share; sourced after tests/lib/e2e.sh. Programs that
# print "METRIC VALUE" lines run one after the other; what their segments hold is compared at the end.

# shellcheck shell=bash disable=SC2154
RUNS=0

# exact WHAT SEGMENTS COMMAND...: it must succeed. SEGMENTS: how many files there must be, "any" for 0
# or 1. Its TALLY_DIR is $T/seg/NUMBER, SEGMENT_DIR as the program sees it if that differs.
exact()
{
	local what=$1 files=$2 dir=$T/seg/$RUNS have
	shift 2
	[ -d "$dir" ] || mkdir -p "$dir"
	chmod 1777 "$dir"
	TALLY_DIR=${SEGMENT_DIR:-$dir} "$@" >"$dir.want" 2>"$dir.err" ||
		fail "$what: exit code $? ($(head -n 20 "$dir.want" "$dir.err"))"
	[ -s "$dir.want" ] || fail "$what: it printed nothing"
	have=$(find "$dir" -type f ! -name '*.new' ! -name '*.refused' | wc -l)
	if [ "$files" != any ] || [ "$have" -gt 1 ]; then
		same "$what: segments" "$have" "$files"
	fi
	"$B/bin/tally" live --json --count 1 "$dir" >"$dir.json" || fail "$what: tally live"
	echo "$what" >"$dir.what"
	RUNS=$((RUNS + 1))
}

# exact_end MINIMUM: a segment that exists holds all; so many values at least must have been compared.
exact_end()
{
	python3 - "$T/seg" "$1" <<'END' || fail "segments do not hold what was counted"
import glob, json, sys
bad = checked = 0
for name in glob.glob(sys.argv[1] + "/*.want"):
    base = name[:-5]
    what = open(base + ".what").read().strip()
    have = {}
    for row in json.load(open(base + ".json")):
        metric = row["metric"].split("{")[0]
        have[metric] = have.get(metric, 0) + row["value"]
    for metric, want in (line.split() for line in open(name)):
        if have and have.get(metric) != int(want):
            print(f"{what}: {metric} is {have.get(metric)}, not {want}")
            bad = 1
        checked += bool(have)
print(checked, "values compared")
sys.exit(bad or checked < int(sys.argv[2]))
END
	echo "$RUNS runs"
}
