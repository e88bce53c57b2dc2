# SPDX-License-Identifier: GPL-2.0-or-later
"""Parses what peer_scrape has written to DIR with the Python client's parser, for bench_read.c."""
import os
import sys
import time

from prometheus_client.parser import text_string_to_metric_families


def parse(text):
    return sum(sample.value for family in text_string_to_metric_families(text) for sample in family.samples)


def main(folder):
    for name in sorted(os.listdir(folder), key=int):
        n = int(name)
        with open(os.path.join(folder, name), encoding="ascii") as f:
            text = f.read()
        samples = []
        for _ in range(3 if n > 10000 else 11):
            begin = time.monotonic()
            total = parse(text)
            samples.append((time.monotonic() - begin) * 1e3)
            if total != n * (n - 1) // 2:
                sys.exit("prometheus: the Python parser got other values")
        print(f"Prometheus: parse, Python client, {n} counters|ms|" + " ".join(f"{x:.6g}" for x in samples))


main(sys.argv[1])
