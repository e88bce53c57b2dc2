#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tallyd's configuration: what is wrong is refused with file and line and exit code 2; the command line
# wins over the file.
. tests/lib/e2e.sh

mkdir "$T/seg"
conf=$T/tallyd.conf

# refused LINE WORDS: the configuration on standard input
refused()
{
	cat >"$conf"
	must_fail 2 "$B/bin/tallyd" --foreground --config "$conf" --state-dir "$T/state"
	contains "where" "$(cat "$T/out")" "$conf:$1: "
	contains "what" "$(cat "$T/out")" "$2"
	[ ! -e "$T/state" ] || fail "a refused configuration made the state directory"
	must_fail 2 "$B/bin/tallyd" --check-config --config "$conf"
	contains "what is found before" "$(cat "$T/out")" "$2"
}

refused 2 "did you mean 'interval'" <<<$'[tallyd]\nintervall = 1s'
refused 3 "'1 fortnight' is no value" <<<$'[tallyd]\n# a comment\ninterval = 1 fortnight'
refused 2 "at least 100ms" <<<$'[tallyd]\ninterval = 1ms'
refused 2 "at least 256K" <<<$'[tallyd]\nring-size = 1K'
refused 2 "command line only" <<<$'[tallyd]\nonce = yes'
refused 2 "section" <<<$'[gatherer]\nname = x'
refused 3 "neither" <<<$'[tallyd]\nname = x\n\tand more of it'
refused 2 "'loud' is no value for 'log-level': give error, warning, notice, info or debug" \
	<<<$'[tallyd]\nlog-level = loud'
refused 3 "'nosuch' is no value for 'producers': unknown producer 'nosuch': 'tallyd --help' lists all" \
	<<<$'[tallyd]\nproducers = proc\nproducers = self, nosuch'
refused 2 "'name': it must not be empty" <<<$'[tallyd]\nname ='
refused 2 "unknown option 'run-dir'" <<<$'[tallyd]\nrun-dir = /run/tally'
refused 2 "longer than" <<<"[tallyd]"$'\n'"name = $(printf 'x%.0s' {1..500})"
must_fail 1 "$B/bin/tallyd" --foreground --config "$T/none.conf" --state-dir "$T/state"
contains "a missing file" "$(cat "$T/out")" "$T/none.conf"
# On the command line the option is named.
for wrong in log-level=loud name= producers= producers=' ' user= state-dir= segment-dir= \
	interval=5us ring-size=5; do
	must_fail 2 "$B/bin/tallyd" --foreground --state-dir "$T/state" "--$wrong"
	contains "option that is wrong" "$(cat "$T/out")" "for '--${wrong%%=*}': "
	[ ! -e "$T/state" ] || fail "--$wrong made the state directory"
done
contains "levels" "$("$B/bin/tallyd" --help)" '--log-level=LEVEL +error, warning, notice'
contains "producers" "$("$B/bin/tallyd" --help)" '^   sched +context switches'
for list in nosuch +nosuch default,-nosuch; do
	must_fail 2 "$B/bin/tallyd" --foreground "--producers=$list" --state-dir "$T/state"
	contains "what is known" "$(cat "$T/out")" "unknown producer 'nosuch': 'tallyd --help' lists all"
done
must_fail 2 "$B/bin/tallyd" --foreground --producers nosuch --state-dir "$T/state" \
	--segment-dir "$T/seg" --user "$(id -un)"
rm -rf "$T/state"

cat >"$conf" <<END
[tallyd]
state-dir = $T/state
segment-dir = $T/seg
furl-file = $T/none
interval = 1h
  name = from-file
user = $(id -un)
producers = self
END
same "a good one" "$("$B/bin/tallyd" --check-config --config "$conf")" \
	"the configuration is good; there is no furl in $T/none"
[ ! -e "$T/state" ] || fail "--check-config made the state directory"
(umask 077 && echo tally://x >"$T/bad-furl")
must_fail 1 "$B/bin/tallyd" --check-config --config "$conf" --furl-file "$T/bad-furl"
contains "a bad furl" "$(cat "$T/out")" "bad-furl: furl: no fingerprint"
start one "$B/bin/tallyd" --foreground --config "$conf"
wait_log one 'ready: node from-file,.* 1 producers'
stop one
start two "$B/bin/tallyd" --foreground --config "$conf" --name from-cli --producers proc,self
wait_log two 'ready: node from-cli,.* 2 producers'
stop two

# What was there before is nobody's to fill or to give away: looked at before anything is written.
mkdir "$T/foreign"
echo root >"$T/foreign/passwd"
touch -d '2001-01-01' "$T/foreign"
before=$(stat -c '%Y %a %u' "$T/foreign")
must_fail 1 "$B/bin/tallyd" --foreground --state-dir "$T/foreign" --segment-dir "$T/seg" --user nobody
contains "a foreign directory" "$(cat "$T/out")" \
	"$T/foreign is not empty and not tallyd's own: name another directory"
grep -q chown "$T/out" && fail "chown is advised for a foreign directory"
same "the foreign directory after" "$(stat -c '%Y %a %u' "$T/foreign")" "$before"
same "files in it" "$(ls -A "$T/foreign")" passwd

# One at a time: the second does not touch the first one's files.
start first "$B/bin/tallyd" --foreground --config "$conf"
wait_log first ' ready: '
must_fail 1 "$B/bin/tallyd" --foreground --config "$conf"
contains "a second one" "$(cat "$T/out")" 'another tallyd uses this directory'
stop first

if [ "$(id -u)" = 0 ]; then
	# Segments of root in a directory that nobody has prepared: said why, and what to do.
	mkdir -m 755 "$T/plain"
	(umask 077 && echo x >"$T/plain/secret")
	start plain "$B/bin/tallyd" --foreground --state-dir "$T/plain-state" --segment-dir "$T/plain" \
		--user nobody --producers segments,self --furl-file "$T/none"
	wait_log plain "plain/secret is left out: it belongs to uid 0 and gid 0 with mode 0600, and we run as uid 65534"
	contains "the cure" "$(cat "$T/plain.log")" 'mode 3773 and .*--user'
	stop plain
fi

# The installed example says what is so by default: all of it is comments.
"$B/bin/tallyd" --once --config tools/packaging/tallyd.conf proc >/dev/null ||
	fail "tools/packaging/tallyd.conf is not accepted"
sed -n 's/^# *\([a-z-]*\) = .*/\1/p' tools/packaging/tallyd.conf >"$T/named"
[ -s "$T/named" ] || fail "tools/packaging/tallyd.conf names no options"
while read -r option; do
	grep -q -- "--$option" <("$B/bin/tallyd" --help) ||
		fail "tools/packaging/tallyd.conf names '$option', which does not exist"
done <"$T/named"
pass
