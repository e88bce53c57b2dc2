#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs peer_lttng with its tracepoint disabled, and enabled into the ring buffers of a session (which keep
# the newest events: none is discarded for want of room). The session daemon is a child, with a directory
# of its own, and ends with this script. As root, LTTng would use the machine's directories: then all of
# it runs as user nobody.
set -u
B=${B:-build}
D=$(mktemp -d "${TMPDIR:-/tmp}/tally-bench-lttng-XXXXXX")
DAEMON=
# What the library leaves in shared memory goes too, unless it was there before.
SHM=("/dev/shm/lttng-ust-wait-8" "/dev/shm/lttng-ust-wait-8-$(id -u)" "/dev/shm/lttng-ust-wait-8-65534")
for i in "${!SHM[@]}"; do
	[ ! -e "${SHM[i]}" ] || unset "SHM[i]"
done
# The directory may be where nobody can't go.
cp "$B/tests/bench/peer_lttng" "$D/"
chmod 755 "$D/peer_lttng"
AS=()
if [ "$(id -u)" = 0 ]; then
	AS=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	chown 65534:65534 "$D"
fi
export LTTNG_HOME=$D LTTNG_UST_REGISTER_TIMEOUT=10000 HOME=$D
cd "$D" || exit 1

finish()
{
	if [ -n "$DAEMON" ]; then
		kill "$DAEMON" 2>/dev/null
		wait "$DAEMON" 2>/dev/null
	fi
	rm -rf "$D" "${SHM[@]}"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# The table's names have no place for this: the suffix says it.
"${AS[@]}" "$D/peer_lttng" ", disabled" || exit 1

"${AS[@]}" lttng-sessiond --no-kernel >"$D/daemon.log" 2>&1 &
DAEMON=$!
for _ in $(seq 100); do
	"${AS[@]}" lttng --no-sessiond list >/dev/null 2>&1 && break
	sleep 0.1
done
{
	"${AS[@]}" lttng --no-sessiond create bench --snapshot --output="$D/trace" &&
		"${AS[@]}" lttng --no-sessiond enable-event --userspace 'tally_bench:*' &&
		"${AS[@]}" lttng --no-sessiond start
} >"$D/lttng.log" 2>&1 || { cat "$D/lttng.log" "$D/daemon.log" >&2; exit 1; }
TRACED=1 "${AS[@]}" "$D/peer_lttng" ", into the ring buffer of a session" || exit 1
"${AS[@]}" lttng --no-sessiond destroy bench >"$D/lttng.log" 2>&1
