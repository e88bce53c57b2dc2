#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tallyd --once: one snapshot as text, nothing written; --help and --version.
. tests/lib/e2e.sh

mkdir "$T/state" "$T/seg"
once()
{
	"$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" "$@"
}

# Its numbers are the kernel's: read between two of our own looks.
before=$(awk '$1 == "ctxt" { print $2 }' /proc/stat)
once proc >"$T/proc.txt" || fail "--once proc"
after=$(awk '$1 == "ctxt" { print $2 }' /proc/stat)
got=$(awk '$1 == "context_switches_total" { print $2 }' "$T/proc.txt")
within "context switches" "$got" "$before" "$after"
total=$(awk '$1 == "MemTotal:" { printf "%.0f", $2 * 1024 }' /proc/meminfo)
same "memory" "$(awk '$1 == "memory_total_bytes" { print $2 }' "$T/proc.txt")" "$total"
contains "a group's heading" "$(cat "$T/proc.txt")" '^# proc.stat: [0-9]+ series'
grep -q tallyd_ "$T/proc.txt" && fail "--once proc printed another producer"

# All producers, and several by name.
once >"$T/all.txt" 2>"$T/all.err" || fail "--once"
contains "all producers" "$(cat "$T/all.txt")" '^tallyd_producer_open\{producer="proc"\} 1$'
once proc self >"$T/two.txt" || fail "--once proc self"
contains "two producers" "$(cat "$T/two.txt")" '^context_switches_total '
contains "two producers" "$(cat "$T/two.txt")" '^tallyd_polls_total '

# From files of our own, exactly.
mkdir "$T/fixture"
echo '1.50 0.07 12.00 3/456 789' >"$T/fixture/loadavg"
once --proc-dir "$T/fixture" proc 2>/dev/null | grep -v '^#' >"$T/fixture.txt"
same "a fixture" "$(cat "$T/fixture.txt")" $'load1 1.5\nload5 0.07\nload15 12\nthreads 456'

same "files written by --once" "$(find "$T/state" "$T/seg" -mindepth 1)" ""

must_fail 2 once nosuch
contains "unknown producer" "$(cat "$T/out")" "unknown producer 'nosuch': 'tallyd --help' lists all"
must_fail 2 once proc nosuch
must_fail 2 "$B/bin/tallyd" --foreground --state-dir "$T/state" proc
must_fail 1 once segments --segment-dir "$T/none"
contains "no segment directory" "$(cat "$T/out")" "$T/none"
once proc >/dev/full 2>"$T/full.err" && fail "a full disk behind stdout went unnoticed"

"$B/bin/tallyd" --help >"$T/help.txt" || fail "--help"
same "lines of --help over 80 columns" "$(grep -c '.\{81\}' "$T/help.txt")" 0
contains "--help" "$(cat "$T/help.txt")" '--interval=TIME .*\(default 10s\)'
"$B/bin/tallyd" --version | grep -Eq '^tallyd [0-9]+\.[0-9]+' || fail "--version"
pass
