#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The module that docs/adding-a-module.md makes, made: in a copy of the tree, with nothing but what stands there,
# and without the running kernel's types, headers and modules, as on a build machine whose kernel has none.
. tests/lib/e2e.sh
need_root
need unshare mount
[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
PAGE=docs/adding-a-module.md
TREE=$T/tree
mkdir -p "$TREE"
cp -r Makefile bpf gatherer include tests tools user "$TREE/"

python3 - "$PAGE" "$TREE" <<'TEXT' || fail "the files of the page"
import re, sys
page, tree = sys.argv[1:]
files = re.findall(r"<!-- file: (\S+) -->\n```c\n(.*?)```\n", open(page).read(), re.S)
for name, text in files:
    with open(f"{tree}/{name}", "x") as f:
        f.write(text)
assert len(files) == 4, files
# the two places that the page names
name = f"{tree}/user/provider/kernel/modules.h"
text = open(name).read().replace("\n#endif", "extern const struct module module_migrate;\n\n#endif")
open(name, "w").write(text)
name = f"{tree}/user/provider/provider.c"
text = open(name).read().replace("&producer_proc,", "&module_migrate.ops, &producer_proc,")
assert "module_migrate" in text
open(name, "w").write(text)
TEXT
unset MAKEFLAGS MAKELEVEL
cat >"$T/make.sh" <<'TEXT'
for dir in /sys/kernel/btf /boot /lib/modules /usr/src; do
	[ ! -d "$dir" ] || mount -t tmpfs none "$dir" || exit 1
done
[ ! -e /sys/kernel/btf/vmlinux ] || exit 1
make -s -C "$1" B="$2" -j"$(nproc)" "$2/bin/tallyd" "$2/tests/kernel/test_migrate"
TEXT
unshare -m --propagation private bash "$T/make.sh" "$TREE" "$T" >"$T/make.log" 2>&1 || fail "it can't be built"
"$T/tests/kernel/test_migrate" >"$T/test.log" 2>&1 || fail "its test: exit code $?"
"$T/bin/tallyd" --once --state-dir="$T" migrate >"$T/once.log" 2>&1 || fail "tallyd --once migrate"
grep -q '^bpf_program_runs_total{program="tally_migrate"}' "$T/once.log" || fail "tallyd does not show it"
pass
