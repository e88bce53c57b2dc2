#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""samecalls.py A B: have two runs of one program, traced by strace -ff -o A and -o B, made the same
system calls? From the first write of "begin" on; what a thread does between its writes of "first" and
"counted" is left out. Addresses, and the numbers of processes, are those of the run. Prints the first
difference; exit code 1 if there is one, 2 if there is nothing to compare.
"""
import glob
import re
import sys


def calls(prefix):
    files = glob.glob(glob.escape(prefix) + ".[0-9]*")
    pids = sorted((name.rsplit(".", 1)[1] for name in files), key=int)
    out = []
    for number, pid in enumerate(pids):
        lines = open(f"{prefix}.{pid}", errors="replace").read().splitlines()
        if number == 0:
            start = next((i for i, line in enumerate(lines) if '"begin' in line), None)
            if start is None:
                sys.exit(f"{prefix}: no begin")
            lines = lines[start:]
        first = False
        for line in lines:
            if '"counted' in line:
                first = False
            # A thread is joined with or without waiting; signals come when they come.
            if not first and not line.startswith("---") and "FUTEX_WAIT_BITSET" not in line:
                line = re.sub(r"0x[0-9a-f]+", "ADDRESS", line)
                line = re.sub(r"\) += ", ") = ", line)
                # read by strace before or after the kernel writes it
                line = re.sub(r"parent_tid=\[\d+\]", "parent_tid=[PID]", line)
                line = re.sub(r'^getrandom\("[^"]*"', "getrandom(BYTES", line)
                for n, p in enumerate(pids):
                    line = re.sub(rf"\b{p}\b", f"PID{n}", line)
                out.append(f"{number}: {line}")
            if '"first' in line:
                first = True
    return out


a, b = calls(sys.argv[1]), calls(sys.argv[2])
if len(a) < 20 or len(b) < 20:
    print(f"{len(a)} and {len(b)} calls: that is no run")
    sys.exit(2)
for x, y in zip(a + ["end"] * len(b), b + ["end"] * len(a)):
    if x != y:
        print(f"{x}\n{y}")
        sys.exit(1)
print(len(a), "calls")
