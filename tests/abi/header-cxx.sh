#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The header in C++, by both compilers and all linkers, in programs of several files, with shared
# objects, linked and loaded: no warnings, right values, and the segments hold them after the end.
. tests/lib/e2e.sh
. tests/lib/header.sh

all_ways "g++ -std=c++17 -x c++" "clang++ -std=c++17 -x c++"
shared_objects "g++ -std=c++17 -x c++"
echo "$runs builds ran"
pass
