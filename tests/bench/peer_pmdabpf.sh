#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# peer_pmdabpf.sh MODULE: PCP's agent of BPF programs with this module, for bench_kernel.c. The agent is that
# of Debian's package, unpacked to $B/unpacked/pcp: installing it would start daemons. It runs until it is
# killed: dbpmda, which speaks to it in place of pmcd, waits for commands from a pipe that is kept open here.
set -eu
B=$(realpath "${B:-build}")
ROOT=$B/unpacked/pcp/usr/lib/pcp/pmdas
DIR=$B/bench/pmdabpf
rm -rf "$DIR"
mkdir -p "$DIR/bpf"
ln -s "$ROOT/bpf/modules" "$DIR/bpf/modules"
printf '[%s.so]\nenabled = true\n' "$1" >"$DIR/bpf/bpf.conf"
mkfifo "$DIR/requests"
export PCP_BINADM_DIR=$B/unpacked/pcp/usr/lib/pcp/bin PCP_PMDAS_DIR=$DIR PCP_LOG_DIR=$DIR PCP_TMP_DIR=$DIR
export PCP_RUN_DIR=$DIR PCP_VAR_DIR=$DIR
exec <>"$DIR/requests"
printf 'root {\n\tbpf\t157:*:*\n}\n' >"$DIR/names"
echo "open pipe $ROOT/bpf/pmdabpf -d 157 -l $DIR/log" >&0
exec "$B/unpacked/pcp/usr/bin/dbpmda" -n "$DIR/names"
