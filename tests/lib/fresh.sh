#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make check-fresh`: what the README promises to a newcomer, on a Debian 12 that has nothing but git,
# make and sudo. A minimal root is made with debootstrap (kept as a tar file in $B/cache), the committed
# state is cloned into it, and an ordinary user types the two commands.
#
# It runs in mount and process namespaces of its own: with the last process, all mounts and all that was
# left running are gone, however it ends. The kernel and the network are this machine's.
set -u
B=${B:-build}
mkdir -p "$B/cache"
B=$(cd "$B" && pwd)
ROOT=$B/fresh
REPO=$PWD
TAR=$B/cache/debian-12-minimal.tar
SUITE=bookworm

die()
{
	echo "check-fresh: $*" >&2
	exit 1
}

# The mirror that this machine uses.
find_mirror()
{
	{
		cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p'
		cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p'
	} | grep -v -i security | grep -i debian | head -n 1
}

make_tar()
{
	local mirror
	mirror=$(find_mirror)
	[ -n "$mirror" ] || die "no Debian mirror in /etc/apt"
	echo "check-fresh: making a minimal root (about a minute)"
	rm -rf "$ROOT"
	debootstrap --variant=minbase --include=git,make,sudo "$SUITE" "$ROOT" "$mirror" \
		>"$B/cache/debootstrap.log" 2>&1 || die "debootstrap failed: $B/cache/debootstrap.log"
	tar -C "$ROOT" -cf "$TAR.new" . && mv "$TAR.new" "$TAR"
}

# Packages come from where this machine gets its own, by the same proxy.
copy_apt()
{
	rm -f "$ROOT/etc/apt/sources.list"
	cp /etc/apt/sources.list "$ROOT/etc/apt/" 2>/dev/null
	cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
		"$ROOT/etc/apt/sources.list.d/" 2>/dev/null
	cp -r /etc/apt/keyrings /etc/apt/trusted.gpg.d "$ROOT/etc/apt/" 2>/dev/null
	cp -r /usr/share/keyrings "$ROOT/usr/share/" 2>/dev/null
	apt-config dump | grep -E '^Acquire::(http|https|Retries|Languages)' \
		>"$ROOT/etc/apt/apt.conf.d/50machine"
	cp -L /etc/resolv.conf /etc/hosts "$ROOT/etc/"
}

make_root()
{
	[ -s "$TAR" ] || make_tar
	rm -rf "$ROOT"
	mkdir -p "$ROOT"
	tar -C "$ROOT" -xf "$TAR"
	copy_apt
	chroot "$ROOT" useradd -m -d /newcomer -s /bin/bash newcomer
	echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >"$ROOT/etc/sudoers.d/newcomer"
	chmod 440 "$ROOT/etc/sudoers.d/newcomer"
	git -c safe.directory='*' clone -q --no-hardlinks "$REPO" "$ROOT/newcomer/tally" ||
		die "git clone failed"
	chroot "$ROOT" chown -R newcomer: /newcomer/tally
}

mount_all()
{
	local node
	mount --bind "$ROOT" "$ROOT" # some programs want / to be a mount
	mount -t proc proc "$ROOT/proc"
	mount --rbind /sys "$ROOT/sys"
	mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
	for node in null zero full random urandom tty; do
		touch "$ROOT/dev/$node"
		mount --bind "/dev/$node" "$ROOT/dev/$node"
	done
	mkdir "$ROOT/dev/shm" "$ROOT/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$ROOT/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$ROOT/dev/pts"
	ln -s pts/ptmx "$ROOT/dev/ptmx"
	ln -s /proc/self/fd "$ROOT/dev/fd"
	mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
}

# as_newcomer WHAT COMMAND: one line with the verdict and the time; the end of the output if it failed.
as_newcomer()
{
	local log=$B/fresh-$1.log start=$SECONDS code=0
	chroot "$ROOT" su - newcomer -c "cd tally && $2" </dev/null >"$log" 2>&1 || code=$?
	if [ "$code" = 0 ]; then
		printf 'ok    %-12s %4d s  %s\n' "$1" $((SECONDS - start)) "$(tail -n 1 "$log")"
	else
		tail -n 40 "$log" | sed 's/^/     | /'
		printf 'FAIL  %-12s %4d s  exit code %d, whole log: %s\n' "$1" $((SECONDS - start)) \
			"$code" "$log"
		FAILED=1
	fi
}

# We are process 1 of the namespace; whoever is left besides us and our children was forgotten.
leftovers()
{
	local entry
	for entry in /proc/[0-9]*/cmdline; do
		tr '\0' ' ' <"$entry" 2>/dev/null | grep -v -E 'fresh\.sh|^tr |^$'
	done
}

inside()
{
	FAILED=0
	mount --make-rprivate /
	mount -t proc proc /proc
	make_root || return 1
	mount_all || die "cannot mount"
	as_newcomer no-root '! make demo && echo "refused, as it should: packages are missing"'
	as_newcomer demo 'sudo make demo'
	as_newcomer plain-make 'make && make demo DEMO_SECONDS=8'
	as_newcomer check 'sudo CI=true make check'
	as_newcomer clean-tree \
		'test -z "$(git status --porcelain)" && echo nothing changed outside build'
	if [ -n "$(leftovers)" ]; then
		echo "FAIL  these processes are left:"
		leftovers
		FAILED=1
	fi
	return "$FAILED"
}

[ "$(id -u)" = 0 ] || die "needs root: sudo make check-fresh"
if [ "${1:-}" = inside ]; then
	inside
	exit
fi
for program in debootstrap git; do
	command -v "$program" >/dev/null || die "needs $program: apt-get install $program"
done
code=0
unshare --mount --pid --fork --kill-child -- "$0" inside || code=$?
rm -rf "$ROOT"
exit "$code"
