#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tally doctor: nothing is wrong where all is well, and what is wrong is named, with what to do. It changes nothing.
. tests/lib/e2e.sh
. tests/lib/link.sh
mkdir -m 1777 "$T/seg"

doctor()
{
	CODE=0
	OUT=$("$B/bin/tally" doctor --state-dir "$T/node" --segment-dir "$T/seg" --furl-file "$FURL" \
		--dir "$G/history" 2>&1) || CODE=$?
}

# finds VERDICT WHAT TEXT
finds()
{
	contains "$1 of $2" "$OUT" "^$1 +$2 +.*$3"
}

doctor
same "exit code before the first start" "$CODE" 0
finds note tallyd "node: never ran here"
finds note furl "there is none"
finds note tally-gatherer "gatherer: never ran here"
[ ! -e "$T/node" ] || fail "it made a directory"

start_gatherer
start_provider node "$FURL"
wait_until 10 "samples" has_samples node tallyd_polls_total 5
sleep 0.5
doctor
same "exit code where all is well" "$CODE" 0
for what in kernel tallyd ring furl link segments tally-gatherer history; do
	finds ok "$what" .
done
finds ok history '2 nodes, all up to date' # the gatherer is one
contains "the sum" "$OUT" '^0 wrong, [01] to note$' # a machine's clock may be nobody's

# One thing at a time.
chmod 700 "$T/seg"
doctor
same "exit code with a fault" "$CODE" 1
finds WRONG segments "mode 0700, .*chmod 3773"
chmod 1777 "$T/seg"
chmod 644 "$FURL"
doctor
finds WRONG furl "$FURL"
chmod 600 "$FURL"
stop gatherer
wait_log node 'trying again'
sleep 0.7
doctor
finds WRONG tally-gatherer "not running on $G: systemctl start tally-gatherer"
finds WRONG link "no gatherer is connected"
kill9 node
doctor
finds WRONG tallyd "not running on $T/node: systemctl start tallyd"
finds note ring "the newest snapshot is [0-9.]+ s old"
contains "the sum" "$OUT" '^2 wrong, '
if [ "$(id -u)" = 0 ]; then
	mkdir "$T/small"
	mount -t tmpfs -o size=1m none "$T/small" || fail "mount"
	on_exit "umount '$T/small'"
	OUT=$("$B/bin/tally" doctor --state-dir "$T/small") && fail "a full disk is well"
	finds WRONG tallyd "[01] MiB are free on its disk: make room"
fi
must_fail 2 "$B/bin/tally" doctor here
pass
