#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real provider without privileges, a program of one user, and all kinds of files of another in the
# segment directory: they are refused, counted by reason and logged once; the program's counts are exact.
. tests/lib/e2e.sh

DUMP=$B/tests/lib/ringdump
need_root
need setpriv python3
PROVIDER=(setpriv --reuid=64998 --regid=64998 --clear-groups)
GOOD=(setpriv --reuid=1001 --regid=1001 --clear-groups)
HOSTILE=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${PROVIDER[@]}" test -x "$B/bin/tallyd" || skip "other users don't get at the build directory"

# As the packaged directory is: files belong to the provider's group, names can't be listed.
mkdir -m 700 "$T/state"
mkdir "$T/seg"
chown 64998:64998 "$T/state" "$T/seg"
chmod 3773 "$T/seg"

"${GOOD[@]}" env TALLY_DIR="$T/seg" "$B/san/seed" >"$T/seed.txt" || fail "the program"
cp "$B/san/seed" "$T/web"
"${HOSTILE[@]}" env TALLY_DIR="$T/seg" "$T/web" >/dev/null || fail "the namesake"
cat >"$T/hostile.py" <<'PY'
import os, socket, sys
os.chdir(sys.argv[1])
os.umask(0o027)
def make(name, data=b"", size=0):
    with open(name, "wb") as f:
        f.write(data)
        if size:
            f.truncate(size)
head = b"TALLYSEG" + (2).to_bytes(4, "little")
make("magic", b"x" * 3000)
make("empty")
make("short", head)
make("overflow", head + b"\xff" * 500)
make("zeros", size=1 << 40)
make("name\nwith\x1b[2Jcontrols")
os.mkfifo("fifo", 0o640)
os.mkdir("directory")
os.symlink("/etc/passwd", "link")
socket.socket(socket.AF_UNIX).bind("socket")
make("closed", head)
os.chmod("closed", 0)
PY
"${HOSTILE[@]}" env PATH=/usr/bin:/bin python3 "$T/hostile.py" "$T/seg" || fail "hostile.py"
mknod -m 644 "$T/seg/device" c 1 5 2>/dev/null || touch "$T/seg/device"

# Formats: magic, empty, short, overflow, zeros, the odd name, fifo, directory, device.
expect_refused()
{
	contains "$1, format" "$(cat "$2")" '^tallyd_segments_refused_total\{reason="format"\} 9$'
	contains "$1, unreadable" "$(cat "$2")" '^tallyd_segments_refused_total\{reason="unreadable"\} 3$'
	contains "$1, the program" "$(cat "$2")" "^seed_requests_total\{.*program=\"seed\",user=\"$good\"\} 4000$"
	contains "$1, its namesake" "$(cat "$2")" '^seed_requests_total\{.*program="web",user="nobody"\} 4000$'
}
good=$(getent passwd 1001 | cut -d: -f1)
good=${good:-1001}
"${PROVIDER[@]}" "$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" segments self \
	>"$T/once.txt" 2>"$T/once.log" || fail "--once"
expect_refused "--once" "$T/once.txt"

start tallyd "${PROVIDER[@]}" "$B/bin/tallyd" --foreground --state-dir "$T/state" --segment-dir "$T/seg" \
	--furl-file "$T/none" --producers segments,self --interval 100ms
wait_log tallyd ' ready: '
sleep 3
stop tallyd
for name in magic empty short overflow zeros fifo directory link socket closed device controls; do
	n=$(grep -c "/seg/.*$name is left out" "$T/tallyd.log")
	[ "$n" -le 1 ] || fail "$name is in the log $n times"
done
n=$(grep -c 'is left out' "$T/tallyd.log")
within "lines about files" "$n" 1 5
grep -q $'\x1b' "$T/tallyd.log" && fail "a control character in the log"
"$DUMP" "$T/state/ring" tallyd_segments_folded_total >"$T/folded.txt" || fail "the ring"
same "folded" "$(tail -n 1 "$T/folded.txt" | awk '{ print $3 }')" 2
same "segments that are left" "$(find "$T/seg" -name 'seed.*' -o -name 'web.*')" ""
"${PROVIDER[@]}" "$B/bin/tallyd" --once --state-dir "$T/state" --segment-dir "$T/seg" segments self \
	>"$T/after.txt" 2>/dev/null || fail "--once, after"
expect_refused "after folding" "$T/after.txt"
pass
