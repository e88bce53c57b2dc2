/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the programs of files.bpf.c count: one struct files_cpu for each possible CPU, and one struct files_cell for
 * each CPU and kind of file system.
 *
 *   files_cpu    0   7 x 24  begin        the programs' own, by enum files_function
 *              168   7 x 24  end          likewise
 *              336        8  left         operations until the next that is timed
 *              344       40  zero
 *
 *   files_cell     4 x 816, enum files_op:
 *                0        8  operations   that ended
 *                8        8  errors       those of them that failed
 *               16        8  bytes        read or written
 *               24        8  ns           sum of the times below
 *               32      784  times        histogram of those that were timed
 *             3264       64  zero
 *
 * Tasks may be moved and interrupted meanwhile: additions are atomic.
 */
#ifndef TALLY_BPF_FILES_H
#define TALLY_BPF_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/module.h"
#include "include/tally/histogram.h"

/* Of reads, writes and opens one of so many is timed, as system calls are: see bpf/syscalls.h. */
#define FILES_EVERY 64u

/* 1.02 us .. 17.2 s. */
#define FILES_LO      10u
#define FILES_HI      34u
#define FILES_BUCKETS TALLY_HISTOGRAM_BUCKETS(FILES_LO, FILES_HI)

enum files_op {
	FILES_READ,
	FILES_WRITE,
	FILES_OPEN,
	FILES_FSYNC, /* and fdatasync */
	FILES_OPS
};

enum files_function {
	FILES_VFS_READ,
	FILES_VFS_WRITE,
	FILES_VFS_READV,
	FILES_VFS_WRITEV,
	FILES_DO_OPEN,
	FILES_SYS_FSYNC,
	FILES_SYS_FDATASYNC,
	FILES_FUNCTIONS
};

struct files_figures {
	uint64_t operations, errors, bytes;
	uint64_t ns;
	uint64_t times[FILES_BUCKETS];
};

struct files_cell {
	struct files_figures ops[FILES_OPS];
} __attribute__((aligned(128)));

struct files_cpu {
	struct tally_own begin[FILES_FUNCTIONS], end[FILES_FUNCTIONS];
	uint64_t left;
} __attribute__((aligned(128)));

_Static_assert(sizeof(struct files_figures) == 816, "shared with user space");
_Static_assert(sizeof(struct files_cell) == 3328, "shared with user space");
_Static_assert(sizeof(struct files_cpu) == 384, "shared with user space");

#endif
