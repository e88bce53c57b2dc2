#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the results of benchmarks into docs/benchmarks.md, on standard output.

    report.py DIR [NAME...]

DIR/NAME.json: {"name", "unit", "results": [{"case", "value", "n", "min", "max", "unit"?, "limit"?}],
"ratios": {name: value or {"value", "at_least": 0 for no limit}}, "machine": {}, "about"?}
"""
import glob
import json
import os
import platform
import subprocess
import sys
import time

SAID_ON_TOP = ("kernel", "machine", "cpus")
HEAD = """# Benchmarks

Written by `make bench` from what was measured; don't edit. Each table says what its numbers are of:
value (the median unless it says otherwise), how many runs, the smallest and the largest.
"""


def number(value):
    if value is None or value == "":
        return ""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.1f}".replace(",", " ")


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
            return next((x.split(":", 1)[1].strip() for x in f if x.startswith("model name")), "unknown")
    except OSError:
        return "unknown"


def machine_lines():
    yield f"- processor: {cpu_model()}, {os.cpu_count()} CPUs"
    yield f"- kernel: {platform.release()}"
    yield f"- compiler: {first_line(os.environ.get('CC', 'cc'), '--version') or 'unknown'}"
    yield f"- tally: commit {first_line('git', 'rev-parse', '--short', 'HEAD') or 'unknown'}"
    yield f"- measured: {time.strftime('%Y-%m-%d', time.gmtime())}"


def table(bench):
    yield f"\n## {bench['name']}\n"
    unit = bench.get("unit", "")
    if bench.get("about"):
        yield bench["about"] + "\n"
    elif " " in unit and all("unit" in r for r in bench["results"]):
        yield unit[:1].upper() + unit[1:] + ".\n"
    yield "| case | value | unit | limit | runs | min | max |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for r in bench["results"]:
        row = [r["case"], number(r["value"]), r.get("unit", unit), number(r.get("limit")),
               number(r.get("n")), number(r.get("min")), number(r.get("max"))]
        yield "| " + " | ".join(cell(c) for c in row) + " |"
    ratios = bench.get("ratios") or {}
    if ratios:
        yield "\n| ratio | | at least |\n|---|---:|---:|"
        for name, value in ratios.items():
            r = value if isinstance(value, dict) else {"value": value}
            yield f"| {cell(name)} | {number(r['value'])} | {number(r.get('at_least') or None)} |"
    machine = bench.get("machine") or {}
    said = ", ".join(f"{k}: {v}" for k, v in machine.items() if k not in SAID_ON_TOP)
    if said:
        yield f"\n{cell(said)}"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    names = sys.argv[2:]
    files = sorted(glob.glob(os.path.join(sys.argv[1], "*.json")))
    lines = [HEAD, *machine_lines()]
    for path in files:
        if names and os.path.basename(path)[:-5] not in names:
            continue
        with open(path, encoding="utf-8") as f:
            lines += table(json.load(f))
    print("\n".join(lines))


main()
