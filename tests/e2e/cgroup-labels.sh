#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs are kept apart by cgroup: the label is the path that the process has, or that of its container
# where it sees only its own namespace; sessions and transient scopes are one with what holds them.
. tests/lib/e2e.sh
need_root

cat >"$T/prog.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <tally/tally.h>

TALLY_COUNTER(hits, "hits", "Counts its argument");

int main(int argc, char **argv)
{
	for (int i = atoi(argv[1]); i > 0; i--)
		TALLY_INC(hits);
	puts("counted");
	fflush(stdout);
	if (argc > 2)
		pause();
	return 0;
}
C
gcc -O2 -Iinclude "$T/prog.c" -o "$T/prog" || fail "compile"
export TALLY_DIR=$T/seg
mkdir "$T/seg" "$T/state"

# A hierarchy that we may make groups in, whose paths tally looks at: version 2's, or systemd's name.
# shellcheck disable=SC2013 # a mount point without blanks
for dir in $(awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) { print $2 }' /proc/mounts); do
	mkdir "$dir/tally-test.$$" 2>/dev/null && ROOT=$dir && break
done
[ -n "${ROOT:-}" ] || skip "no cgroup hierarchy that can be written to"
on_exit "find '$ROOT/tally-test.$$' -depth -type d -exec rmdir {} \; 2>/dev/null"
OWN=$(awk -F: '$1 == 0 || $2 == "name=systemd" { print $3 }' /proc/self/cgroup | grep -v '^/$' | head -n 1)

# in_group PATH COMMAND...: under $ROOT/tally-test.$$
in_group()
{
	local dir=$ROOT/tally-test.$$/$1
	shift
	mkdir -p "$dir"
	bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$dir" "$@"
}
once()
{
	"$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" segments
}
hits()
{
	once | awk -v want="hits_total{$1program=\"prog\",user=\"root\"}" '$1 == want { print $2 }'
}

"$T/prog" 1 >"$T/out" || fail "prog"
in_group web.service "$T/prog" 10 >"$T/out" || fail "in a group"
in_group db.service "$T/prog" 100 >"$T/out" || fail "in another"
in_group web.service "$T/prog" 1000 >"$T/out" || fail "in the first again"
in_group jobs.slice/run-r123abc.scope "$T/prog" 5 >"$T/out" || fail "in a transient scope"
in_group jobs.slice/session-7.scope "$T/prog" 6 >"$T/out" || fail "in a session"
base="/tally-test.$$"
same "of no group" "$(hits "${OWN:+cgroup=\"$OWN\",}")" 1
same "of a group" "$(hits "cgroup=\"$base/web.service\",")" 1010
same "of another" "$(hits "cgroup=\"$base/db.service\",")" 100
same "of scopes" "$(hits "cgroup=\"$base/jobs.slice\",")" 11
same "files: one for each group" "$(find "$T/seg" -type f | wc -l)" 4
contains "live" "$("$B/bin/tally" live --count 1)" "$base/web.service"

# With a provider: folded, each into its own, and there again after its restart.
start tallyd "$B/bin/tallyd" --foreground --state-dir "$T/state" --segment-dir "$T/seg" --interval 200ms --user root
gone()
{
	[ -z "$(find "$T/seg" -type f)" ]
}
wait_until 10 "all files to be folded" gone
stop tallyd
same "folded, of a group" "$(hits "cgroup=\"$base/web.service\",")" 1010
same "folded, of another" "$(hits "cgroup=\"$base/db.service\",")" 100
contains "folded, starts of the first" "$(once)" \
	"^tally_program_starts_total{cgroup=\"$base/web.service\",program=\"prog\",user=\"root\"} 2$"

# A container: its own cgroup and pid namespaces, where its path is "/". It is looked for while it lives.
# shellcheck disable=SC2016 # for the inner shell
start contained bash -c 'echo $$ >"$0/cgroup.procs" && exec unshare --cgroup --pid --mount-proc "$@"' \
	"$ROOT/tally-test.$$/db.service" --fork --kill-child "$T/prog" 7 wait
wait_log contained counted
same "of a container" "$(hits "cgroup=\"$base/db.service\",")" 107
contains "its living segments" "$(once)" \
	"^tally_program_segments{cgroup=\"$base/db.service\",program=\"prog\",user=\"root\"} 1"
kill9 contained
pass
