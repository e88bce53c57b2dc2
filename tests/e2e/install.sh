#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make install` into a directory: everything is there, the programs run, and a program of somebody
# else's compiles against the installed header.
. tests/lib/e2e.sh

make --no-print-directory B="$B" DESTDIR="$T/dest" PREFIX=/usr SYSCONFDIR=/etc install \
	>"$T/install.log" 2>&1 || fail "make install"
for file in usr/bin/tally usr/bin/tally-munin usr/sbin/tallyd usr/sbin/tally-gatherer \
	usr/include/tally/tally.h usr/include/tally/test.h usr/share/pkgconfig/tally.pc \
	usr/share/cmake/tally/tally-config.cmake usr/share/cmake/tally/tally-config-version.cmake \
	usr/share/man/man1/tally.1 \
	usr/share/man/man8/tallyd.8 usr/share/man/man8/tally-gatherer.8 usr/share/doc/tally/LICENSE \
	usr/share/munin/plugins/tally_ \
	usr/lib/systemd/system/tallyd.service usr/lib/systemd/system/tally-gatherer.service \
	usr/lib/sysusers.d/tally.conf usr/lib/tmpfiles.d/tally.conf \
	etc/tally/tallyd.conf etc/tally/tally-gatherer.conf; do
	[ -s "$T/dest/$file" ] || fail "not installed: $file"
done
if grep -r -l '@[A-Z]*@' "$T/dest/usr/lib" "$T/dest/usr/share/pkgconfig" "$T/dest/usr/share/cmake"; then
	fail "a placeholder is left"
fi

# Between the installed documents links work as they do in the sources.
(
	cd "$T/dest/usr/share/doc/tally" || exit
	find . -name '*.md' | while IFS= read -r file; do
		grep -o '](\([^)#]*\)[^)]*)' "$file" | sed 's/^](//; s/[#)].*//; /^http/d; /^$/d' |
			while IFS= read -r link; do
				[ -e "$(dirname "$file")/$link" ] || echo "$file: $link"
			done
	done
) >"$T/dead"
same "links between installed documents that lead nowhere" "$(cat "$T/dead")" ""
# The man pages know every option that --help has.
for program in tallyd tally-gatherer; do
	sed 's/\\//g' "tools/man/$program.8" >"$T/man"
	for option in $("$T/dest/usr/sbin/$program" --help | grep -o '^  --[a-z-]*' |
		grep -v -e proc-dir -e sys-dir -e cgroup-dir); do
		grep -q -e "$option" "$T/man" || fail "$program.8 lacks $option"
	done
done

for program in bin/tally sbin/tallyd sbin/tally-gatherer; do
	"$T/dest/usr/$program" --version >/dev/null || fail "$program --version"
done
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$T/lines.c"
cc -I"$T/dest/usr/include" "$T/lines.c" -o "$T/lines" || fail "the installed header"

# Units that systemd takes; their programs are where they say.
if command -v systemd-analyze >/dev/null; then
	make --no-print-directory B="$B" PREFIX="$T/local" SYSCONFDIR="$T/etc" install \
		>"$T/install.log" 2>&1 || fail "make install"
	said=$(systemd-analyze verify --man=no "$T/local/lib/systemd/system/"*.service 2>&1) ||
		fail "systemd-analyze verify: $said"
	grep "$T/local.*\.service:[0-9]*:" <<<"$said" && fail "systemd-analyze verify"
fi
# And what systemd-sysusers and systemd-tmpfiles make of the files.
if command -v systemd-sysusers >/dev/null && [ "$(id -u)" = 0 ]; then
	systemd-sysusers --root="$T/dest" tally.conf >"$T/sysusers" 2>&1 || fail "$(cat "$T/sysusers")"
	same "users" "$(grep -c '^tally\(-gatherer\)\?:' "$T/dest/etc/passwd")" 2
	systemd-tmpfiles --root="$T/dest" --create tally.conf >"$T/tmpfiles" 2>&1 ||
		fail "$(cat "$T/tmpfiles")"
	same "place of segments" "$(stat -c %a "$T/dest/run/tally/seg")" 3773
fi

# A second time leaves configuration alone.
echo '# mine' >"$T/dest/etc/tally/tallyd.conf"
make --no-print-directory B="$B" DESTDIR="$T/dest" PREFIX=/usr SYSCONFDIR=/etc install \
	>"$T/install.log" 2>&1 || fail "make install, again"
same "configuration after another install" "$(cat "$T/dest/etc/tally/tallyd.conf")" "# mine"
pass
