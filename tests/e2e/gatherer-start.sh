#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Starts of tally-gatherer: it writes into no directory that is not its own or that another one uses,
# tells its secret to nobody but the furl file, and keeps HTTP alive.
. tests/lib/e2e.sh
. tests/lib/link.sh
need curl

GATHERER=$B/bin/tally-gatherer
files() # DIR: names, owners, modes, times
{
	find "$1" -printf '%P %u %m %T@ %s\n' | sort
}

# A directory that is somebody else's.
mkdir "$T/foreign"
echo root >"$T/foreign/passwd"
before=$(files "$T/foreign")
must_fail 1 "$GATHERER" --foreground --data-dir "$T/foreign" --listen 127.0.0.1:0 --http-listen ''
contains "a foreign directory" "$(cat "$T/out")" \
	"$T/foreign is not empty and not tally-gatherer's own: name another directory"
same "the foreign directory after" "$(files "$T/foreign")" "$before"

# --print-furl makes nothing.
must_fail 1 "$GATHERER" --data-dir "$G" --print-furl
contains "no furl yet" "$(cat "$T/out")" "no furl in $FURL yet: start the gatherer once"
[ ! -e "$G" ] || fail "--print-furl made the data directory"

same "--check-config" "$("$GATHERER" --data-dir "$G" --check-config)" "the configuration is good"
[ ! -e "$G" ] || fail "--check-config made the data directory"
printf '[tally-gatherer]\ninterval = 1ms\n' >"$T/gatherer.conf"
must_fail 2 "$GATHERER" --data-dir "$G" --check-config --config "$T/gatherer.conf"
contains "a bad one" "$(cat "$T/out")" 'gatherer.conf:2: .*interval'

start_gatherer --advertise gatherer.example.org:7411
secret=$(sed 's#.*/##' "$FURL")
contains "where the furl is" "$(cat "$T/gatherer.log")" "the furl for providers is in $FURL"
grep -q "$secret" "$T/gatherer.log" && fail "the secret is in the log"
before=$(files "$FURL")
same "--print-furl" "$("$GATHERER" --data-dir "$G" --print-furl)" "$(cat "$FURL")"
"$GATHERER" --data-dir "$G" --print-furl >/dev/full 2>"$T/full.err" &&
	fail "a full disk behind stdout went unnoticed"

# A second one, with other addresses, and one that only differs in the furl's.
must_fail 1 "$GATHERER" --foreground --data-dir "$G" --user "$(id -un)" --listen 127.0.0.1:0 \
	--http-listen ''
contains "a second one" "$(cat "$T/out")" 'another tally-gatherer uses this directory'
must_fail 1 "$GATHERER" --foreground --data-dir "$G" --user "$(id -un)" --listen 127.0.0.1:0 \
	--http-listen '' --advertise elsewhere:1
same "the furl file after" "$(files "$FURL")" "$before"

# HTTP: the keeper dies, twice, and the one that is started then is a keeper as well.
keeper()
{
	local pids
	pids=$(cat "/proc/$(pid_of gatherer)/task/$(pid_of gatherer)/children")
	echo "${pids% }"
}
server()
{
	local pids keeper
	keeper=$(keeper)
	[ -n "$keeper" ] && pids=$(cat "/proc/$keeper/task/$keeper/children") && echo "${pids% }"
}
serves()
{
	[ -n "$(server)" ] && curl -sf "http://127.0.0.1:$HPORT/-/healthy"
}
url=http://127.0.0.1:$HPORT
for times in 1 2; do
	kill -9 "$(keeper)"
	wait_log gatherer 'the keeper of the HTTP server died \(signal 9\)' 5 "$times"
	wait_until 10 "HTTP again" serves
done
wait_until 5 "/metrics" sh -c "curl -sf '$url/metrics' | grep -q ^gatherer_polls_total"
same "what it may touch" "$(find "/proc/$(keeper)/fd" -mindepth 1 | wc -l)" 4
kill -9 "$(server)"
wait_log gatherer 'the HTTP server died \(signal 9\)'
wait_until 5 "HTTP again" serves
last=$(keeper)
stop gatherer
[ ! -e "/proc/$last" ] || fail "the keeper outlives the gatherer"

# With the furl kept, after all that.
start_gatherer --advertise gatherer.example.org:7411
same "the furl file at the next start" "$(files "$FURL")" "$before"
contains "the furl" "$(cat "$FURL")" '@gatherer.example.org:7411/'
stop gatherer

if [ "$(id -u)" = 0 ]; then
	# No such user: an ordinary one all the same, and the files are his.
	mkdir "$T/empty"
	start nobody "$GATHERER" --foreground --data-dir "$T/empty" --user no-such-user \
		--listen 127.0.0.1:0 --http-listen ''
	wait_log nobody ' ready: '
	contains "who it is" "$(cat "$T/nobody.log")" "no user 'no-such-user': running as nobody"
	contains "user" "$(cat "/proc/$(pid_of nobody)/status")" '^Uid:.65534.65534.65534.65534$'
	stop nobody
	same "owners" "$(find "$T/empty" ! -user 65534)" ""
	# What a gatherer of root has left is not taken over silently.
	must_fail 1 "$GATHERER" --foreground --data-dir "$G" --user nobody --listen 127.0.0.1:0
	contains "another's data" "$(cat "$T/out")" "runs as nobody: chown -R nobody $G"
fi
pass
