#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may include whom. Prints each wrong line; exit code 1 if there is one.

Include paths start at the component, so the text of a line is enough to judge it. A folder's own
headers are always allowed. The longest folder in RULES that a file is in decides.
"""
import fnmatch
import re
import subprocess
import sys

# folder of the file: patterns of what it may include with quotes (tests: anything)
RULES = {
    "include/tally": [],
    "bpf": ["bpf/*", "vmlinux.h"],
    "user/lib": ["user/lib/*"],
    "user/provider": ["user/lib/*", "user/provider/*", "bpf/*.skel.h", "bpf/*.h"],
    "gatherer/store": ["user/lib/*", "gatherer/store/*"],
    "gatherer/query": ["user/lib/*", "gatherer/query/*", "gatherer/store/store.h"],
    "gatherer": ["user/lib/*", "gatherer/*"],
    "tools/examples": [],
    "tools/demo": [],
    "tools": ["user/lib/*", "tools/*", "gatherer/store/store.h", "gatherer/query/query.h"],
    "tests": ["*"],
}
# The applications' header: bpf shares the arithmetic of histograms, the gatherer nothing.
TALLY = {
    "include/tally": "tally/*",
    "bpf": "tally/histogram.h",
    "user/lib": "tally/*",
    "user/provider": "tally/*",
    "gatherer/store": None,
    "gatherer/query": None,
    "gatherer": None,
    "tools/examples": "tally/*",
    "tools/demo": "tally/*",
    "tools": "tally/*",
    "tests": "*",
}
# Of the system's headers the kernel side may use only these, and applications no library's.
SYSTEM_PREFIX = {"bpf": ("bpf/", "stddef.h", "stdint.h", "stdbool.h", "linux/types.h")}
LIBRARIES = ("openssl/", "event2/", "protobuf-c/", "bpf/", "ini.h", "cairo", "ncurses", "curses",
             "zlib.h", "criterion/")
LINE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(path):
    return max((f for f in RULES if path.startswith(f + "/")), key=len, default=None)


def allowed(folder, quote, target):
    if folder == "tests":
        return True
    # Inside the tree it is found by its place, outside by its installed name.
    header = target.removeprefix("include/")
    if header.startswith("tally/"):
        installed = header == target and quote == "<"
        ours = folder not in ("include/tally", "tools/examples", "tools/demo")
        pattern = TALLY[folder]
        return bool(pattern) and fnmatch.fnmatch(header, pattern) and (installed or ours)
    if quote == '"':
        return any(fnmatch.fnmatch(target, p) for p in RULES[folder])
    if folder in ("include/tally", "tools/examples", "tools/demo"):
        return not target.startswith(LIBRARIES)
    if folder in SYSTEM_PREFIX:
        return target.startswith(SYSTEM_PREFIX[folder])
    return True


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h", "*.cc", "*.hh"],
                           check=True, capture_output=True, text=True).stdout.split("\n")
    wrong = 0
    for path in filter(None, files):
        folder = folder_of(path)
        if folder is None:
            print(f"{path}: in no folder that the rules know")
            wrong += 1
            continue
        try:
            lines = open(path, encoding="utf-8").read().split("\n")
        except FileNotFoundError:
            continue
        for number, line in enumerate(lines, 1):
            m = LINE.match(line)
            if m and not allowed(folder, m[1], m[2]):
                print(f"{path}:{number}: {folder} may not include {m[1]}{m[2]}")
                wrong += 1
    return 1 if wrong else 0


sys.exit(main())
