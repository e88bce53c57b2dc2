#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tools/packaging/owned.sh COMMAND...: runs the command; then, under sudo, gives the build directory
# back to the calling user, also when the command failed or was interrupted.
give_back()
{
	local code=$?
	trap - EXIT
	if [ "$(id -u)" = 0 ] && [[ ${SUDO_UID:-} =~ ^[0-9]+$ && ${SUDO_GID:-} =~ ^[0-9]+$ ]]; then
		# -h and -P: a link in there must not give away what it points to.
		[ -d "${B:-build}" ] && chown -RhP "$SUDO_UID:$SUDO_GID" "${B:-build}"
	fi
	exit "$code"
}
trap give_back EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"$@"
