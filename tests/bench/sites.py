#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes of code of one TALLY_INC: sites.c compiled with a hundred of them and with none.

What runs each time is what lies before the function's first return, with the registers it saves for the
slow path's sake; the rest is the call of the slow path, out of the way. Lines are as loops.h says.
"""
import os
import re
import subprocess
import sys

OBJECT = os.path.join(os.environ.get("B", "build"), "tests", "bench", "sites.o")
FUNCTIONS = 100
COMPILERS = {
    "gcc -O2": ["gcc", "-O2"],
    "clang -O2": [os.environ.get("CLANG", "clang"), "-O2"],
    "gcc -O2, shared object": ["gcc", "-O2", "-fPIC"],
    "gcc -O2, shared object, initial-exec": ["gcc", "-O2", "-fPIC", '-DTALLY_TLS_MODEL="initial-exec"'],
}


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fast_and_all(compiler, *flags):
    """Bytes before the first return, and in all, of a hundred functions and their cold parts."""
    os.makedirs(os.path.dirname(OBJECT), exist_ok=True)
    output(*compiler, *flags, "-I.", "-Iinclude", "-c", "tests/bench/sites.c", "-o", OBJECT)
    fast, functions = 0, 0
    for body in output("objdump", "-d", "--no-show-raw-insn", OBJECT).split("\n\n"):
        begin = re.match(r"\s*([0-9a-f]+) <function_\d\d>:\n", body)
        if begin:
            end = re.search(r"^ *([0-9a-f]+):\s+ret", body, re.M)
            fast += int(end[1], 16) + 1 - int(begin[1], 16)
            functions += 1
    sizes = re.findall(r"^\S+ (\S+) . function_\d\d(?:\.cold)?$", output("nm", "-S", OBJECT), re.M)
    if functions != FUNCTIONS or len(sizes) < FUNCTIONS:
        sys.exit(f"sites.c: {functions} functions, {FUNCTIONS} were expected")
    return fast, sum(int(size, 16) for size in sizes)


for name, compiler in COMPILERS.items():
    none, counting = fast_and_all(compiler), fast_and_all(compiler, "-DCOUNT")
    for what, i in (("", 0), (", with the call of the slow path", 1)):
        print(f"code of a TALLY_INC, {name}{what}\tbytes\t{(counting[i] - none[i]) / FUNCTIONS:g}")
