#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whoever is not a provider with the furl is refused, with a message, and leaves nothing in history;
# a provider with it is served beside all that. A provider never tells its secret to a wrong gatherer.
. tests/lib/e2e.sh
. tests/lib/link.sh
need openssl curl

refused() # REASON: the gatherer's own count
{
	curl -s "http://127.0.0.1:$HPORT/metrics" |
		sed -n "s/^gatherer_refused_total{.*reason=\"$1\"} \([0-9]*\) .*/\1/p"
}
refused_at_least()
{
	[ "$(refused "$1")" -ge "$2" ]
}

start_gatherer
secret=$(sed 's#.*/##' "$FURL")
same "mode of the furl" "$(stat -c %a "$FURL")" 600
start_provider good "$FURL"
wait_log good 'connected to gatherer'

# The right gatherer, a wrong secret.
sed 's#/[a-z2-7]*$#/thisisnotthesecret#' "$FURL" >"$T/wrong-secret"
chmod 600 "$T/wrong-secret"
start_provider thief "$T/wrong-secret"
wait_log gatherer 'refused a connection .*\(secret\)'
wait_log thief 'refused us: wrong secret'

# A wrong fingerprint. What listens there is not the gatherer: it must learn nothing.
openssl req -x509 -newkey ed25519 -nodes -subj /CN=impostor -days 2 \
	-keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
impostor=$(free_port)
start impostor sh -c "sleep 60 | openssl s_server -accept 127.0.0.1:$impostor -naccept 5 -tls1_3 \
	-cert '$T/cert.pem' -key '$T/key.pem' -Verify 1 -ign_eof >'$T/told' 2>&1"
wait_port "$impostor"
sed "s/:$GPORT/:$impostor/" "$FURL" >"$T/wrong-gatherer"
chmod 600 "$T/wrong-gatherer"
start_provider victim "$T/wrong-gatherer"
wait_log victim 'has another key than the furl says'
stop victim
contains "handshake at the impostor" "$(cat "$T/told")" 'TLSv1.3|Client certificate|ACCEPT'
grep -q "$secret" "$T/told" && fail "the impostor was told the secret"
grep -q victim "$T/told" && fail "the impostor was told the node's name"

# The right host, but the furl names another key.
sed 's#tally://.#tally://z#; t' "$FURL" >"$T/wrong-pin"
cmp -s "$FURL" "$T/wrong-pin" && sed 's#tally://.#tally://y#' "$FURL" >"$T/wrong-pin"
chmod 600 "$T/wrong-pin"
start_provider pinned "$T/wrong-pin"
wait_log pinned 'has another key than the furl says'

# A furl file that others can read is not used.
cp "$FURL" "$T/open-furl"
chmod 644 "$T/open-furl"
must_fail 1 "$B/bin/tallyd" --foreground --state-dir "$T/careless" --segment-dir "$T/seg" \
	--user "$(id -un)" --furl-file "$T/open-furl" --producers self
contains "message" "$(cat "$T/out")" 'chmod 600'

# The furl names the port for HTTP: what to look at is said.
sed "s/:$GPORT/:$HPORT/" "$FURL" >"$T/wrong-port"
chmod 600 "$T/wrong-port"
start_provider astray "$T/wrong-port"
wait_log astray "does not speak TLS: is this the gatherer's port for providers"
stop astray

# Garbage on the port.
before=$(refused tls)
# in a shell of its own: the gatherer may close before the last line is written
(
	trap '' PIPE
	printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >"/dev/tcp/127.0.0.1/$GPORT"
) 2>/dev/null
head -c 4096 /dev/urandom >"/dev/tcp/127.0.0.1/$GPORT"
head -c 100000 /dev/zero >"/dev/tcp/127.0.0.1/$GPORT" 2>/dev/null
wait_until 5 "garbage to be counted" refused_at_least tls $((before + 3))
wait_log gatherer 'refused a connection .*\(tls\): .*http request'

# TLS without a certificate, and TLS 1.2.
before=$(refused tls)
must_fail 1 openssl s_client -connect "127.0.0.1:$GPORT" -tls1_3 -ign_eof </dev/null
must_fail 1 openssl s_client -connect "127.0.0.1:$GPORT" -tls1_2 -cert "$T/cert.pem" \
	-key "$T/key.pem" </dev/null
wait_until 5 "clients to be refused" refused_at_least tls $((before + 2))
wait_log gatherer 'refused a connection .*\(tls\): .*did not return a certificate'
wait_log gatherer 'refused a connection .*\(tls\): .*unsupported protocol'

# TLS 1.3 with a certificate, but no protocol of ours; then a HELLO of another version.
client=(openssl s_client -connect "127.0.0.1:$GPORT" -cert "$T/cert.pem" -key "$T/key.pem" -quiet
	-ign_eof)
printf 'GET / HTTP/1.1\r\n\r\n' | "${client[@]}" >"$T/answer" 2>/dev/null
contains "answer to nonsense" "$(tr -d '\0' <"$T/answer")" 'something that is no frame'
printf '\002\000\000\000\001\000\000\000\010\143' | "${client[@]}" >"$T/answer" 2>/dev/null
contains "answer to version 99" "$(tr -d '\0' <"$T/answer")" 'protocol version 99 is not spoken'
printf '\000\000\000\000\004\000\000\000' | "${client[@]}" >"$T/answer" 2>/dev/null
contains "answer to a POLL" "$(tr -d '\0' <"$T/answer")" 'no HELLO'

# All that time the good one was served, and it is alone in history.
count=$(samples good tallyd_snapshots_total | wc -l)
wait_until 5 "more samples of the good one" has_samples good tallyd_snapshots_total $((count + 3))
stop good
stop thief
stop pinned
stop gatherer
same "nodes in history" "$(nodes)" "gatherer good "
contains "refusals in history" "$("$HISTDUMP" "$G/history" gatherer \
	'gatherer_refused_total{reason="tls"}' | tail -n 1)" ' ([5-9]|[1-9][0-9]+) [-RG]+$'
grep -r -q -e thief -e pinned -e victim -e astray "$G/history" && fail "a refused node is in history"
grep -q "$secret" "$T"/*.log && fail "the secret is in a log"
pass
