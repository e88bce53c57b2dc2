#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tools/packaging/packages.sh SECTION...: installs what is missing of the packages that packages.txt
# lists in these sections. Nothing is missing: it does and says nothing, whoever calls it. Otherwise it
# needs root, and says which command to run if it is not.
#
# Some of the packages are daemons, which Debian would start and enable. Here they are only ever run by
# tests, as children with a configuration of their own: those that come in are neither started nor left
# enabled. A daemon that was installed before is left as it is.
#
# A package marked "unpacked" is not installed at all: its files come to $B/unpacked/NAME, and nothing of
# it runs. That is for daemons that start themselves past all that (pcp calls systemctl, and fails where
# no systemd runs); the libraries it needs are listed beside it.
set -u
HERE=$(dirname "$0")
POLICY=/usr/sbin/policy-rc.d
POLICY_KEPT=$POLICY.before-tally
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# packages_of yes|no SECTION...: those to be unpacked, or to be installed.
packages_of()
{
	local unpacked=$1
	shift
	awk -v sections=" $* " -v unpacked="$unpacked" '
		/^\[/ { on = index(sections, " " substr($0, 2, length($0) - 2) " ") > 0; next }
		on && /^[a-z0-9]/ && ($2 == "unpacked") == (unpacked == "yes") { print $1 }
		' "$HERE/packages.txt" | sort -u
}

is_installed()
{
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of()
{
	local package
	for package in $(packages_of no "$@"); do
		is_installed "$package" || echo "$package"
	done
}

packed_of()
{
	local package
	for package in $(packages_of yes "$@"); do
		[ -d "$B/unpacked/$package" ] || echo "$package"
	done
}

# While this is in place, invoke-rc.d starts and stops nothing. One that was there comes back after.
policy_deny()
{
	# Left over from a run that was killed: the kept one is still the real one.
	if [ -e "$POLICY" ] && [ ! -e "$POLICY_KEPT" ] && ! grep -q 'made by tally' "$POLICY"; then
		mv "$POLICY" "$POLICY_KEPT"
	fi
	printf '#!/bin/sh\n# made by tally, for the time of an installation\nexit 101\n' >"$POLICY"
	chmod 755 "$POLICY"
}

policy_restore()
{
	if [ -e "$POLICY_KEPT" ]; then
		mv -f "$POLICY_KEPT" "$POLICY"
	else
		rm -f "$POLICY"
	fi
}

units()
{
	local folder
	for folder in /lib/systemd/system /usr/lib/systemd/system; do
		[ -d "$folder" ] && find "$folder" -maxdepth 1 -type f \
			\( -name '*.service' -o -name '*.timer' -o -name '*.socket' \) -printf '%f\n'
	done | sort -u
}

init_scripts()
{
	find /etc/init.d -maxdepth 1 -type f -printf '%f\n' 2>/dev/null | sort -u
}

# Those that the installation brought: not before, but now. deb-systemd-helper has enabled them by
# links, which works and is undone without a running systemd too.
disable_new()
{
	local unit script
	for unit in $(comm -13 <(echo "$1") <(units)); do
		case $unit in *@.*) continue ;; esac
		if command -v systemctl >/dev/null; then
			systemctl disable --quiet "$unit" 2>/dev/null
		elif command -v deb-systemd-helper >/dev/null; then
			deb-systemd-helper disable "$unit" >/dev/null 2>&1
		fi
		rm -f /etc/systemd/system/*.wants/"$unit"
	done
	for script in $(comm -13 <(echo "$2") <(init_scripts)); do
		command -v update-rc.d >/dev/null && update-rc.d "$script" disable >/dev/null 2>&1
	done
	return 0
}

# The lists may be old, or not there: one update, only if the first attempt fails.
apt_install()
{
	local get=(apt-get -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0
		--no-install-recommends install)
	"${get[@]}" "$@" </dev/null && return 0
	echo "packages: fetching the package lists"
	apt-get -q update </dev/null && "${get[@]}" "$@" </dev/null
}

install_missing()
{
	local log=$B/packages.log units_before scripts_before code=0
	mkdir -p "$B"
	units_before=$(units)
	scripts_before=$(init_scripts)
	echo "packages: installing $*"
	trap policy_restore EXIT
	trap 'exit 130' INT TERM HUP
	policy_deny
	apt_install "$@" >"$log" 2>&1 || code=$?
	disable_new "$units_before" "$scripts_before"
	if [ "$code" != 0 ]; then
		tail -n 15 "$log" >&2
		echo "packages: could not be installed (whole log: $log)" >&2
	fi
	return "$code"
}

# Needs no root, if the package lists are there.
unpack()
{
	local folder=$B/unpacked package=$1 code=0
	local new=$folder/$package.new log=$B/packages.log
	echo "packages: unpacking $package"
	rm -rf "$new" && mkdir -p "$new" || return 1
	(cd "$new" && apt-get -q download "$package" </dev/null) >"$log" 2>&1 ||
		{ [ "$(id -u)" = 0 ] && apt-get -q update </dev/null >>"$log" 2>&1 &&
			(cd "$new" && apt-get -q download "$package" </dev/null) >>"$log" 2>&1; } ||
		code=1
	if [ "$code" = 0 ] && dpkg-deb -x "$new"/*.deb "$new" >>"$log" 2>&1; then
		rm -f "$new"/*.deb
		mv "$new" "$folder/$package"
		return
	fi
	tail -n 15 "$log" >&2
	echo "packages: $package could not be unpacked (apt-get update, as root, may help)" >&2
	return 1
}

[ $# -gt 0 ] || { echo "usage: $0 SECTION..." >&2; exit 2; }
B=${B:-build}
if ! command -v dpkg-query >/dev/null; then
	echo "packages: no dpkg here; $HERE/packages.txt lists what is needed" >&2
	exit 0
fi
mapfile -t MISSING < <(missing_of "$@")
if [ ${#MISSING[@]} -gt 0 ] && [ "$(id -u)" != 0 ]; then
	{
		echo "These Debian packages are missing: ${MISSING[*]}"
		echo "Run this once, then try again:"
		echo
		echo "    sudo $0 $*"
		echo
	} >&2
	exit 1
fi
if [ ${#MISSING[@]} -gt 0 ]; then
	install_missing "${MISSING[@]}" || exit
fi
for package in $(packed_of "$@"); do
	unpack "$package" || exit
done
