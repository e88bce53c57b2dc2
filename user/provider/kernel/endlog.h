/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of processes that ended, for people: STATE/ended, a line for each, and STATE/ended.old, which had
 * become ENDLOG_BYTES long. Fields are separated by tabs; `tally ended` (tools/tally-ended.c) shows them.
 */
#ifndef TALLY_USER_PROVIDER_KERNEL_ENDLOG_H
#define TALLY_USER_PROVIDER_KERNEL_ENDLOG_H

#include <stdint.h>

#include "bpf/ended.h"
#include "user/lib/buf.h"

#define ENDLOG_NAME  "ended"
#define ENDLOG_OLD   "ended.old"
#define ENDLOG_BYTES (1u << 20)

struct endlog;

/* Its directory need not be writable yet. NULL without memory. */
struct endlog *endlog_new(const char *state_dir, uint64_t boot_ns, uint64_t page_size);
void endlog_free(struct endlog *l);
/*
 * Adds a line. cgroup: its path; program: what it calls itself in its segment, and what it counted; NULL: nothing is
 * known.
 */
void endlog_add(struct endlog *l, const struct ended_figures *r, const char *cgroup,
	const char *program, const char *counted);
/* Writes what was added. After an error, a negative errno value, it is gone. */
int endlog_flush(struct endlog *l);

#endif
