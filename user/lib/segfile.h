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

/* Limits of a segment that is read; a larger one is refused with -E2BIG. */
#define SEGFILE_DESC_MAX    131072u
#define SEGFILE_ROW_MAX     (1u << 20) /* bytes of a row */
#define SEGFILE_STRINGS_MAX (16u << 20)
#define SEGFILE_SLOTS_MAX   65536u /* series in tables */
#define SEGFILE_ROWS_MAX    65536u
#define SEGFILE_BYTES_MAX   (64u << 20) /* rows_max x row_size; writers use at most half of it */

/* A series: one of the table's, if the metric has a table. */
struct segfile_metric {
	/* checked: a valid metric name, printable UTF-8, bounded; a help text that is not is "" */
	const char *name, *unit, *help;
	char *labels; /* canonical, as in user/lib/schema.h; "" if none */
	uint8_t type; /* enum tally_type */
	int8_t scale;
	uint8_t flags; /* enum tally_desc_flags */
	bool overflow; /* what a full table could not tell apart */
	int8_t lo; /* of a histogram, include/tally/histogram.h */
	uint8_t hi, bits;
	uint32_t word; /* its values are segfile.values[word] and on */
	uint32_t cells; /* how many: 1, of a histogram its sum and all buckets, of an info none */
};

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
	const char *cgroup; /* as the program saw it, "" if unknown */
	size_t n; /* metrics that can be read; grows while the program makes series in tables */
	size_t refused; /* ... and those that can't; `reason` tells of the first */
	struct errmsg reason;
	size_t overflows; /* tables that were full; `offender` tells of the first to find one so */
	struct errmsg offender;
	size_t forgotten; /* the first of them, see segfile_forget() */
	struct segfile_metric *metrics; /* the others: n - forgotten */
	uint64_t *values; /* words of the last segfile_read(): sums over rows (gauges: row 0) */
	size_t words;
	uint32_t rows, starts;
	uint64_t read_max; /* bytes of rows that may still be read; no limit at first */
	bool dead; /* we hold the read lock: no process has it any more */
	/* private */
	int fd;
	uint64_t text_seen; /* bytes of text that were checked */
	struct tally_segment header;
	char *strings;
	size_t capacity; /* of metrics */
	struct segfile_table *tables;
	size_t ntables;
	struct segfile_span *gauges; /* words of gauges */
	size_t ngauges;
	bool waiting; /* for a slot that is being written */
};

/*
 * Opens dirfd/name (O_NOFOLLOW, O_NONBLOCK, read only), refuses what is not a regular file, checks
 * and copies header, descriptors and strings. -EPROTO with the reason if it is no segment; -EAGAIN
 * if it is still being made. A metric that is wrong costs only itself. Versions 1 and 2.
 */
int segfile_open(int dirfd, const char *name, struct segfile **ret, struct errmsg *e);
void segfile_close(struct segfile *s); /* drops the lock too */
/*
 * Reads the rows and sums them into s->values; metrics that are new since the last read join the end
 * of s->metrics, and s->n is one more for each. -EBADMSG if the file shrank, -EDQUOT if it would take more than
 * s->read_max, which counts down: values are unchanged.
 * scratch is emptied and used for rows; one serves many files, one after the other.
 */
int segfile_read(struct segfile *s, struct buf *scratch);
/*
 * What is known of the metrics so far goes: they are in s->n, and their values are read, but s->metrics begins anew
 * with the next one.
 */
void segfile_forget(struct segfile *s);
/* About what it takes of our memory, with all series that its tables may come to have. */
uint64_t segfile_memory(const struct segfile *s);
/*
 * Tries to take the read lock: 1 if all its processes are dead (s->dead is set, and stays while it is
 * open), 0 if one lives.
 */
int segfile_test_dead(struct segfile *s);
/* Gives the lock of a dead one back: it may be taken over, and must be tested again. */
void segfile_release(struct segfile *s);
/* True if dirfd/name is still this very file. */
bool segfile_still_named(const struct segfile *s, int dirfd, const char *name);

/* How many cells a series of this type and range has; -1 if there is no such. */
int64_t segfile_cells(uint8_t type, int8_t lo, uint8_t hi, uint8_t bits);
/* How many values a histogram has counted: those of its buckets. Of others the value itself. */
uint64_t segfile_count(const struct segfile *s, const struct segfile_metric *m);

#endif
