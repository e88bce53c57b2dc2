#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tools/demo/memcached-trace.sh TRACE_H: memcached's trace.h, which gives its probe macros to DTrace or
# defines them as nothing, made into one that counts each probe with tally. Standard output.
#
# Each probe is a counter memcached_PROBE; a COMMAND_GET that found nothing says so by a length of -1,
# and those that found something also add that length.
set -u
cat <<'END'
/* Made from memcached's own trace.h: its probes count with tally. */
#ifndef TRACE_H
#define TRACE_H
#include <tally/tally.h>

TALLY_COUNTER(command_get_hit, "memcached_command_get_hit", "Probe COMMAND_GET with an item");
TALLY_COUNTER(command_get_miss, "memcached_command_get_miss", "Probe COMMAND_GET without an item");
TALLY_COUNTER_UNIT(value, "memcached_value_bytes", "bytes", "Length of items that were got");

static inline void memcached_got(long length)
{
	if (length < 0) {
		TALLY_INC(command_get_miss);
	} else {
		TALLY_INC(command_get_hit);
		TALLY_ADD(value, length);
	}
}

END
# Of a definition such as "#define MEMCACHED_ITEM_LINK(arg0, arg1, arg2)" the name and the arguments.
awk -F'[ (]' '
	/^#define MEMCACHED_[A-Z_]*_ENABLED\(/ { print "#define " $2 "() 1"; next }
	/^#define MEMCACHED_/ {
		id = tolower(substr($2, 11))
		printf "TALLY_COUNTER(%s, \"memcached_%s\", \"Probe %s\");\n", id, id, $2
		args = substr($0, index($0, "("))
		used = args # so that no variable is there for a probe alone and unused
		gsub(/arg[0-9]/, "(void)(&)", used)
		body = "TALLY_INC(" id ")"
		if (id == "command_get")
			body = body ", memcached_got(arg3)"
		printf "#define %s%s (%s, %s)\n", $2, args, used, body
	}' "$1"
echo "#endif"
