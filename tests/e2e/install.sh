#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make install` into a directory: everything is there, the programs run, and a program of somebody
# else's compiles against the installed header.
. tests/lib/e2e.sh

make --no-print-directory B="$B" DESTDIR="$T/dest" PREFIX=/usr SYSCONFDIR=/etc install \
	>"$T/install.log" 2>&1 || fail "make install"
for file in usr/bin/tally usr/bin/tally-munin usr/sbin/tallyd usr/sbin/tally-gatherer \
	usr/include/tally/tally.h usr/share/man/man1/tally.1 usr/share/munin/plugins/tally_ \
	usr/lib/systemd/system/tallyd.service usr/lib/systemd/system/tally-gatherer.service \
	usr/lib/sysusers.d/tally.conf usr/lib/tmpfiles.d/tally.conf \
	etc/tally/tallyd.conf etc/tally/tally-gatherer.conf; do
	[ -s "$T/dest/$file" ] || fail "not installed: $file"
done
if grep -r -l '@[A-Z]*@' "$T/dest/usr/lib"; then
	fail "a placeholder is left"
fi
for program in bin/tally sbin/tallyd sbin/tally-gatherer; do
	"$T/dest/usr/$program" --version >/dev/null || fail "$program --version"
done
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$T/lines.c"
cc -I"$T/dest/usr/include" "$T/lines.c" -o "$T/lines" || fail "the installed header"

# A second time leaves configuration alone.
echo '# mine' >"$T/dest/etc/tally/tallyd.conf"
make --no-print-directory B="$B" DESTDIR="$T/dest" PREFIX=/usr SYSCONFDIR=/etc install \
	>"$T/install.log" 2>&1 || fail "make install, again"
same "configuration after another install" "$(cat "$T/dest/etc/tally/tallyd.conf")" "# mine"
pass
