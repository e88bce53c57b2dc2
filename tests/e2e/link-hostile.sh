#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Providers that have the furl and misuse it: each is refused for what it did, nothing of it is in
# history, and an honest provider is served all the time. A newer connection of a node replaces the
# older one, whose end then harms nobody.
. tests/lib/e2e.sh
. tests/lib/link.sh
RAW=$B/tests/lib/rawpeer

raw() # NAME WHAT: its output in $T/NAME.out
{
	timeout 20 "$RAW" "$FURL" "$T/$1.pem" "$1" "$2" >"$T/$1.out" 2>&1
}

start_gatherer
start_provider good "$FURL"
wait_until 10 "samples" has_samples good tallyd_snapshots_total 2

while read -r what wanted; do
	raw "bad-$what" "$what" || fail "$what: not welcomed, or not closed: $(cat "$T/bad-$what.out")"
	contains "$what" "$(cat "$T/bad-$what.out")" "^REFUSED 3 .*$wanted"
	wait_log gatherer "refused provider \"bad-$what\" .*$wanted"
done <<-KINDS
	damaged-record no whole record
	half-record no whole record
	unknown-record record of type 200 must be understood
	node-record no place on the wire
	other-stream no place on the wire
	junk-snapshot record of type 3
	junk-schema record of type 2
	junk-incarnation record of type 1
	junk-answer unexpected message of type 6
	long-answer unexpected message of type 6
	second-hello unexpected message of type 1
	huge-frame no frame
	unknown-frame no frame
KINDS

# The gatherer's own key in somebody else's hands.
timeout 20 "$RAW" "$FURL" "$G/key.pem" me nothing >"$T/me.out" && fail "welcomed with our own key"
contains "own key" "$(cat "$T/me.out")" "^REFUSED 3 that is the gatherer's own key"

# The newer connection wins. The older one is closed at once; the newer is polled as if nothing was,
# and closed only for its own three missed polls.
start older "$RAW" "$FURL" "$T/twin.pem" twin nothing
wait_log older POLL
start newer "$RAW" "$FURL" "$T/twin.pem" twin nothing
wait_until 5 "the older connection to be closed" grep -q 'newer connection of the same' "$T/gatherer.log"
wait "$(pid_of older)" || fail "the older connection was not closed in order"
unset "CHILD[older]"
wait_log newer POLL
wait "$(pid_of newer)" || fail "the newer connection was not closed in order"
unset "CHILD[newer]"
wait_log gatherer 'provider "twin" .* three polls in a row'
same "closed for a newer one" "$(grep -c 'a newer connection' "$T/gatherer.log")" 1

# The good one, all that time.
count=$(samples good tallyd_snapshots_total | wc -l)
wait_until 5 "more samples of the good one" has_samples good tallyd_snapshots_total $((count + 3))
stop good
same "disconnects of the good one" "$(grep -c 'provider "good" .* disconnected' "$T/gatherer.log")" 1
stop gatherer
same "nodes with samples" "$(nodes)" "gatherer good "
pass
