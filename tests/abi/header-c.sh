#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The header in C, by both compilers and all linkers, in programs of several files, with shared
# objects, linked and loaded: no warnings, right values, and the segments hold them after the end.
. tests/lib/e2e.sh
. tests/lib/header.sh

all_ways "gcc -std=c11" "clang -std=c11"
if command -v musl-gcc >/dev/null; then
	build_and_run "musl" "musl-gcc -std=c11 -O2 -static"
fi
shared_objects "gcc -std=c11" "clang -std=c11"
echo "$runs builds ran"
pass
