#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Installing packages: silent if nothing is missing, one clear command for who is not root, and daemons
# that come along are neither started nor left enabled. dpkg and apt are played by scripts.
. tests/lib/e2e.sh

mkdir -p "$T/fake" "$T/packaging"
cp tools/packaging/packages.sh "$T/packaging/"
chmod -R a+rX "$T"
printf '[build]\nalpha # a comment\n# beta\nbeta\n[check]\ngamma\n[bench]\ndelta unpacked\n' \
	>"$T/packaging/packages.txt"

# Which are installed is a file; "install" appends to it.
cat >"$T/fake/dpkg-query" <<-END
	#!/bin/bash
	grep -q -x "\${@: -1}" "$T/installed" && printf installed
END
cat >"$T/fake/apt-get" <<-END
	#!/bin/bash
	echo "apt-get \$*" >>"$T/calls"
	[ "\${*: -2:1}" != download ] || echo "\${@: -1}" >"\${@: -1}_1.deb"
	for word; do
		case \$word in alpha|beta|gamma) echo "\$word" >>"$T/installed" ;; esac
	done
	[ ! -e "$T/broken" ]
END
cat >"$T/fake/dpkg-deb" <<-END
	#!/bin/bash
	echo "dpkg-deb \$*" >>"$T/calls"
	cp "\$2" "\$3/files" && [ ! -e "$T/broken" ]
END
chmod +x "$T/fake/"*

packages()
{
	CODE=0
	OUT=$(env PATH="$T/fake:$PATH" B="$T/b" "${AS[@]}" "$T/packaging/packages.sh" "$@" 2>&1) || CODE=$?
}
AS=()

printf 'alpha\nbeta\n' >"$T/installed"
packages build
same "nothing is missing" "$CODE:$OUT" "0:"

[ "$(id -u)" != 0 ] || AS=(setpriv --reuid=65534 --regid=65534 --clear-groups)
if [ "$(id -u)" = 0 ] && ! setpriv --reuid=65534 --clear-groups test -x "$T"; then
	skip "needs a build directory that others may enter"
fi
packages build
same "nothing is missing, and no root" "$CODE:$OUT" "0:"
packages build check
same "exit code without root" "$CODE" 1
contains "what is missing" "$OUT" 'missing: gamma$'
same "commands to run" "$(grep -c '^    sudo .*packages.sh build check$' <<<"$OUT")" 1

# One that is only unpacked needs no root, is not installed, and comes once.
mkdir -p "$T/b"
[ "$(id -u)" != 0 ] || chmod 777 "$T/b"
: >"$T/calls"
chmod a+rw "$T/calls"
touch "$T/broken"
packages bench
same "exit code if it can't be unpacked" "$CODE" 1
[ ! -e "$T/b/unpacked/delta" ] || fail "what could not be unpacked is there"
rm "$T/broken"
packages bench
same "exit code of unpacking" "$CODE" 0
same "its files" "$(ls "$T/b/unpacked/delta")" files
packages bench
same "unpacked already" "$CODE:$OUT" "0:"
same "how often it was fetched" "$(grep -c download "$T/calls")" 2
same "nothing was installed" "$(grep -c install "$T/calls")" 0
: >"$T/calls"

# The rest would install: as root, where nothing but the guard of daemons is touched for a moment.
if [ "$(id -u)" = 0 ]; then
	AS=()
	before=$(cat /usr/sbin/policy-rc.d 2>&1)
	packages build check
	same "exit code with root" "$CODE" 0
	same "calls" "$(wc -l <"$T/calls")" 1
	contains "only what is missing" "$(cat "$T/calls")" 'no-install-recommends install gamma$'
	same "policy-rc.d afterwards" "$(cat /usr/sbin/policy-rc.d 2>&1)" "$before"
	sed -i /gamma/d "$T/installed"
	touch "$T/broken"
	packages check
	same "exit code if apt fails" "$CODE" 1
	same "policy-rc.d after a failure" "$(cat /usr/sbin/policy-rc.d 2>&1)" "$before"
fi
pass
