#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What types.c has counted, as `tally live --json` and `tallyd --once` show it.

    read_types.py live|once FILE ROUNDS LIVING...

ROUNDS: how often all processes together have gone round; LIVING: the rounds of each one that lives.
Prints what is wrong; exit code 1 if anything is. The numbers are written out here from what types.c does,
in steps of the metric's scale.
"""
import json
import re
import sys
from decimal import Decimal

INF = "+Inf"
# series: added in each round, scale
COUNTERS = {
    'plain_total': (10, 0),
    'read_bytes_total': (4096, 0),
    'busy_seconds_total': (1500000001, -9),
    'large_bytes_total': (2, 3),
    'labelled_total{method="get"}': (1, 0),
    'labelled_total{code="a\\"b\\\\c",method="put"}': (2, 0),
    'wide_total{a="1",b="2",c="3",d="4"}': (1, 0),
    'set_total{method="get"}': (1, 0),
    'set_total{method="put"}': (3, 0),
    'set_total{method="overflow"}': (12, 0),
    'by_path_total{host="a",path="/"}': (2, 0),
    'by_path_total{host="b",path="/x?\\"y\\""}': (10, 0),
    'by_path_total{host="overflow",path="overflow"}': (1100, 0),
}
# series: what each living process shows
GAUGES = {
    'level': "-7",
    'queue_bytes': "100",
    'lag_seconds': "-1.25",
    'highest': "1.5",
    'by_peer{peer="alpha"}': "-3",
}
# labels, scale, sum of a round, {upper bound: values of a round}
HISTOGRAMS = {
    'size_bytes': ('', 0, 100312, {16: 2, 20: 2, 24: 1, 28: 1, 40: 1, 48: 1, 64: 1, INF: 2}),
    'step_volts': ('', -1, 45, {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, INF: 1}),
    'served_seconds': ('', -9, 2000000, {2097152: 1}),
    'kind': ('kind="x"', 0, 3, {3: 1}),
    'disk_seconds': ('disk="sda"', -3, 2003, {3: 1, INF: 1}),
}
# Clocks decide about the buckets of these: how many values in a round.
TIMERS = {'slept_seconds': 1, 'scoped_seconds': 1}
WRONG = []


def scaled(n, scale):
    return Decimal(n).scaleb(scale)


def expect(what, got, wanted):
    if got != wanted:
        WRONG.append(f"{what}: {got}, not {wanted}")


def check_simple(get, rounds, living):
    for name, (each, scale) in COUNTERS.items():
        expect(name, get(name), scaled(each * rounds, scale))
    for name, each in GAUGES.items():
        expect(name, get(name), Decimal(each) * len(living))
    # each round begins with a SET
    expect('load_ratio', get('load_ratio'), Decimal("-0.125") * len(living))
    expect('peak_bytes', get('peak_bytes'), Decimal(10 * max(living, default=0)))
    expect('build', get('build_info{compiler="any",version="1.2.3"}'), 1 if living else 0)


def check_sampled(count, rounds):
    """4000 runs in a round, one in four of them drawn, which counts as four: six standard deviations."""
    if abs(count - 4000 * rounds) > 6 * (4000 * rounds * 3) ** 0.5 or count % 4:
        WRONG.append(f"sampled_seconds: {count} of {4000 * rounds}")


def check_live(path, rounds, living):
    with open(path, encoding="utf-8") as f:
        lines = {line["metric"]: line for line in json.load(f, parse_float=Decimal)}

    def get(name):
        return lines[name]["value"] if name in lines else None

    check_simple(get, rounds, living)
    for name, (labels, scale, total, buckets) in HISTOGRAMS.items():
        line = lines[f"{name}_count{{{labels}}}" if labels else f"{name}_count"]
        expect(name, line["value"], sum(buckets.values()) * rounds)
        expect(f"{name}_sum", line["sum"], scaled(total * rounds, scale))
        expect(f"{name}_bucket", line["buckets"],
               [[le if le == INF else scaled(le, scale), n * rounds] for le, n in buckets.items()])
    for name, each in TIMERS.items():
        expect(name, lines[f"{name}_count"]["value"], each * rounds)
    check_sampled(lines["sampled_seconds_count"]["value"], rounds)
    return len(lines)


def without(labels, *names):
    """name="value" pairs without some; None for no labels at all"""
    pairs = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels)
    return {k: v for k, v in pairs if k in names}, [f'{k}="{v}"' for k, v in pairs if k not in names]


def check_once(path, rounds, living):
    series, buckets, programs = {}, {}, set()
    with open(path, encoding="utf-8") as f:
        for line in f:
            m = re.match(r'([a-z_]+)\{(.*)\} (\S+)$', line)
            if not m:
                continue
            own, rest = without(m[2], "program", "user", "cgroup", "le")
            programs.add(own.get("program"))
            name = m[1] + ("{%s}" % ",".join(rest) if rest else "")
            if "le" in own:
                le = own["le"]
                buckets.setdefault(name, {})[le if le == INF else Decimal(le)] = Decimal(m[3])
            else:
                series[name] = Decimal(m[3])
    expect("programs", programs, {"types"})
    check_simple(series.get, rounds, living)
    for name, (labels, scale, total, wanted) in HISTOGRAMS.items():
        tail = f"{{{labels}}}" if labels else ""
        expect(f"{name}_sum", series.get(f"{name}_sum{tail}"), scaled(total * rounds, scale))
        got = {le: n for le, n in buckets[f"{name}_bucket{tail}"].items() if n}
        expect(f"{name}_bucket", got,
               {le if le == INF else scaled(le, scale): n * rounds for le, n in wanted.items()})
    for name, each in TIMERS.items():
        expect(name, sum(buckets[f"{name}_bucket"].values()), each * rounds)
    check_sampled(int(sum(buckets["sampled_seconds_bucket"].values())), rounds)
    expect("tally_program_segments", series.get("tally_program_segments"), len(living))


def main():
    how, path, rounds, *living = sys.argv[1:]
    check = check_live if how == "live" else check_once
    check(path, int(rounds), [int(n) for n in living])
    print("\n".join(WRONG))
    return 1 if WRONG else 0


if __name__ == "__main__":
    sys.exit(main())
