/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading segment files (include/tally/segment.h), which any user may have written: each is treated
 * as hostile. Only pread is used (a mapping could be truncated under the reader); what is constant is
 * copied and checked once, then only rows are read.
 */
#ifndef TALLY_USER_LIB_SEGFILE_H
#define TALLY_USER_LIB_SEGFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "include/tally/segment.h"
#include "user/lib/buf.h"
#include "user/lib/err.h"

/*
 * Limits of a segment that is read; a larger one is refused with -E2BIG. What an open one takes: its
 * text, and at most 52 bytes a metric (40 if cells are laid out in order): 14.5 MiB at the limits; for
 * as long as it is opened, 32 bytes a metric more.
 */
#define SEGFILE_DESC_MAX    131072u /* more than fit into the largest row */
#define SEGFILE_ROW_MAX     (1u << 20) /* bytes of a row */
#define SEGFILE_STRINGS_MAX (8u << 20)
#define SEGFILE_ROWS_MAX    65536u
#define SEGFILE_BYTES_MAX   (64u << 20) /* rows_max x row_size; writers use at most half of it */

struct segfile_metric {
	/* checked: a valid metric name, printable UTF-8, bounded; a help text that is not is "" */
	const char *name, *unit, *help;
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint32_t cell; /* byte offset in a row */
};

struct segfile_span;

struct segfile {
	/* identity, from the kernel */
	dev_t dev;
	ino_t ino;
	uint64_t btime_ns; /* 0 if the file system has none */
	uid_t uid;
	/* from the file, checked */
	uint8_t id[16];
	uint64_t birth_ns;
	const char *program, *object;
	size_t n; /* metrics that can be read */
	size_t refused; /* ... and those that can't; `reason` tells of the first */
	struct errmsg reason;
	struct segfile_metric *metrics;
	uint64_t *values; /* n; of the last segfile_read(): sums over rows (gauges: row 0) */
	uint32_t rows, starts;
	bool dead; /* we hold the read lock: no process has it any more */
	/* private */
	int fd;
	struct tally_segment header;
	char *strings;
	struct segfile_span *spans; /* how a row's cells become values */
	size_t nspans;
};

/*
 * Opens dirfd/name (O_NOFOLLOW, O_NONBLOCK, read only), refuses what is not a regular file, checks
 * and copies header, descriptors and strings. -EPROTO with the reason if it is no segment; -EAGAIN
 * if it is still being made. A metric that is wrong costs only itself.
 */
int segfile_open(int dirfd, const char *name, struct segfile **ret, struct errmsg *e);
void segfile_close(struct segfile *s); /* drops the lock too */
/*
 * Reads the rows and sums them into s->values. -EBADMSG if the file shrank: values are unchanged.
 * scratch is emptied and used for rows (two of them and 64 KiB); one serves many files, one after the
 * other.
 */
int segfile_read(struct segfile *s, struct buf *scratch);
/*
 * Tries to take the read lock: 1 if all its processes are dead (s->dead is set, and stays while it is
 * open), 0 if one lives.
 */
int segfile_test_dead(struct segfile *s);
/* True if dirfd/name is still this very file. */
bool segfile_still_named(const struct segfile *s, int dirfd, const char *name);

#endif
