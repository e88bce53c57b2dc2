# SPDX-License-Identifier: GPL-2.0-or-later
# The line that demonstrations run: a gatherer, providers, and segments on tmpfs. Sourced after
# tests/lib/e2e.sh, whose children, waiting and cleaning up it uses; everything else is in $T.
#
# Under root, all but the loading of BPF programs is done by an ordinary user: who called sudo, else
# nobody. AS_USER stands in front of commands that are to be run by him.

# shellcheck shell=bash
HISTORY=$T/gatherer/history
INTERVAL=500ms
LINE_BEGIN=$(date +%s)
AS_USER=()
LINE_USER=$(id -un)

# say TEXT...: a line with the seconds since the beginning.
say()
{
	printf '%3d s  %s\n' $(($(date +%s) - LINE_BEGIN)) "$*"
}

as_user_can_enter()
{
	setpriv --reuid="$1" --regid="$(id -g "$1")" --init-groups test -x "$T" 2>/dev/null
}

# Who runs it: a home directory that nobody else may enter leaves root itself.
line_choose_user()
{
	local user
	[ "$(id -u)" = 0 ] || return 0
	for user in "${SUDO_USER:-}" nobody; do
		[ -n "$user" ] && [ "$user" != root ] && id "$user" >/dev/null 2>&1 || continue
		as_user_can_enter "$user" || continue
		LINE_USER=$user
		AS_USER=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups)
		on_exit 'chown -RhP 0:0 "$T"'
		return 0
	done
}

# A directory of the user, with what is in it.
line_dir()
{
	mkdir -p "$1"
	[ ${#AS_USER[@]} = 0 ] || chown "$LINE_USER:" "$1"
}

line_begin()
{
	line_choose_user
	if ! SEGMENTS=$(mktemp -d /dev/shm/tally-"$NAME".XXXXXX 2>/dev/null); then
		SEGMENTS=$T/segments
		mkdir -p "$SEGMENTS"
		say "no /dev/shm here: segments are on disk, in $SEGMENTS"
	fi
	on_exit 'rm -rf "$SEGMENTS"'
	echo "$SEGMENTS" >"$T/segment-dir"
	chmod 755 "$SEGMENTS"
	line_dir "$T"
	line_dir "$T/gatherer"
	GATHERER_PORT=$(free_port)
	HTTP_PORT=$(free_port)
}

# start_ready NAME COMMAND...: a child, once it says in its log that it is ready.
start_ready()
{
	local seen
	seen=$(grep -c ': ready' "$T/$1.log" 2>/dev/null)
	start "$@"
	wait_log "$1" ': ready' 15 $((${seen:-0} + 1))
}

gatherer_start()
{
	start_ready gatherer "${AS_USER[@]}" "$B/bin/tally-gatherer" --foreground --user "$LINE_USER" \
		--data-dir "$T/gatherer" --furl-file "$T/gatherer/furl" --interval "$INTERVAL" \
		--listen "127.0.0.1:$GATHERER_PORT" --http-listen "127.0.0.1:$HTTP_PORT" "$@"
}

# segment_dir NODE: where its programs make their segments; TALLY_DIR of the programs.
segment_dir()
{
	local dir=$SEGMENTS/$1
	if [ ! -d "$dir" ]; then
		line_dir "$dir"
		chmod 3773 "$dir"
	fi
	echo "$dir"
}

# provider_start NODE [OPTION]...: as root at first, if we are; it drops to the user by itself.
provider_start()
{
	local node=$1
	shift
	line_dir "$T/$node"
	start_ready "$node" "$B/bin/tallyd" --foreground --user "$LINE_USER" --name "$node" \
		--furl-file "$T/gatherer/furl" --state-dir "$T/$node" \
		--segment-dir "$(segment_dir "$node")" --interval "$INTERVAL" "$@"
}

# value_of SELECTOR: the newest value in history, summed over what the selector means. Of the columns
# time,node,series,value,unit,flags only the first three may hold commas.
value_of()
{
	"$B/bin/tally" get --dir "$HISTORY" --latest --sum --csv "$1" 2>/dev/null | tail -n +2 |
		awk -F, '{ print $(NF - 2) }'
}

# line_end NODE...: the parts in the order of the data's way, so that each hands over what it has.
line_end()
{
	local node
	for node; do
		stop "$node" 15
	done
	stop gatherer 15
}

has_sealed()
{
	compgen -G "$HISTORY/*.tly"
}

# What is young is in an open log. A gatherer that may not let it get older than a second compresses it.
line_seal()
{
	gatherer_start --head-age 1s
	wait_until 15 "a sealed file in $HISTORY" has_sealed
	stop gatherer 15
}
