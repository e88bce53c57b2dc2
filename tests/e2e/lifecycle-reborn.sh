#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A server whose workers are killed and made anew, and always get the same two process numbers: the rows of
# the dead are used again, although somebody with their number lives. So the segment does not grow.
. tests/lib/e2e.sh
. tests/lib/life.sh
need unshare
need_root

program reborn
unshare --pid --mount-proc --fork --kill-child "$T/bin/reborn" prefork "$T/oracle" 2 400 31000 ||
	fail "reborn"
within "what 402 workers counted, all of them killed" "$(total reborn)" \
	"$(slots "$T/oracle" returned)" "$(slots "$T/oracle" started)"
within "bytes of the segment" $(($(find "$SEG" -name 'reborn.*' -printf '%b\n') * 512)) 1 8192
pass
