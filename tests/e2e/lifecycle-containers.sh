#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Containers: own pid, mount and user namespaces, a root directory with nothing in it but a static program
# and the segment directory, bound to its default place. Programs are labelled with the user that the kernel
# knows outside; a prefork server's workers are killed and made anew inside.
. tests/lib/e2e.sh
. tests/lib/life.sh
need unshare setpriv pivot_root
need_root

unset TALLY_DIR
OUTSIDE=54321 # who is root inside
ROOT=$(mktemp -d /tmp/tally-life-XXXXXX)
on_exit "rm -rf '$ROOT'"
mkdir -p "$ROOT/bin" "$ROOT/run/tally/seg" "$ROOT/data" "$ROOT/old"
chmod 777 "$ROOT" "$ROOT/data"
for name in boxed pivoted server plain; do
	cp "$B/tests/race/life-static" "$ROOT/bin/$name"
done

# box PROGRAM ARGS...: in a container of its own, as its root, who is $OUTSIDE for us
AS=(setpriv --reuid="$OUTSIDE" --regid="$OUTSIDE" --clear-groups)
UNSHARE=(unshare --user --map-root-user --pid --mount --fork --kill-child)
# shellcheck disable=SC2016 # they are the inner shell's
SETUP='mount --bind "$1" "$2/run/tally/seg" && cd "$2" && shift 2 && '
box()
{
	"${AS[@]}" "${UNSHARE[@]}" sh -c "$SETUP"'exec chroot . "$@"' box "$SEG" "$ROOT" "$@"
}

pivot()
{
	"${AS[@]}" "${UNSHARE[@]}" sh -c 'mount --bind "$2" "$2" && '"$SETUP"'pivot_root . old && exec "$@"' \
		pivot "$SEG" "$ROOT" "$@"
}

start_tallyd tallyd --interval 100ms
if "${AS[@]}" "${UNSHARE[@]}" true 2>"$T/unshare.log"; then
	user=$OUTSIDE
else
	echo "no user namespaces for users: containers are root's"
	AS=() UNSHARE=(unshare --pid --mount --fork --kill-child) user=$ME
fi
runs=20
for ((i = 0; i < runs; i++)); do
	box /bin/boxed count 7 || fail "boxed"
	pivot /bin/pivoted count 9 || fail "pivoted"
	[ "$i" != 10 ] || { kill9 tallyd && start_tallyd tallyd --interval 100ms; }
done
box /bin/server prefork /data/server 8 100 || fail "server"

# One that lives while the provider is killed and started again, and is killed itself.
# The lint of scripts does not see that a function is run by its child.
start lasting "${AS[@]}" "${UNSHARE[@]}" sh -c "$SETUP"'exec chroot . "$@"' box "$SEG" "$ROOT" \
	/bin/plain steady /data/plain
wait_until 10 "the lasting one" test -s "$ROOT/data/plain"
sleep 0.3
kill9 tallyd
start_tallyd tallyd --interval 100ms
sleep 0.3
same "segments while one lives" "$(find "$SEG" -name 'plain.*' | wc -l)" 1
kill9 lasting
wait_until 20 "the folding of all" no_files
stop tallyd
same "in a chroot, as user $user" "$(total boxed "$user")" $((7 * runs))
same "after pivot_root, as user $user" "$(total pivoted "$user")" $((9 * runs))
within "the workers of a server, 100 of them killed" "$(total server "$user")" \
	"$(slots "$ROOT/data/server" returned)" "$(slots "$ROOT/data/server" started)"
within "one that was killed" "$(total plain "$user")" \
	"$(slots "$ROOT/data/plain" returned)" "$(slots "$ROOT/data/plain" started)"
pass
