/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment files made by hand for tests, after include/tally/segment.h alone. A process that lives is
 * an open descriptor with the write lock; it dies when that is closed.
 */
#ifndef TALLY_TESTS_LIB_SEGMAKER_H
#define TALLY_TESTS_LIB_SEGMAKER_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/tally/segment.h"

struct segmaker_metric {
	const char *name;
	uint8_t type;
	int8_t scale;
};

#define SEGMAKER_ROWS 2u

static inline uint32_t segmaker_align(size_t n)
{
	return (uint32_t)((n + TALLY_ROW_ALIGN - 1) / TALLY_ROW_ALIGN * TALLY_ROW_ALIGN);
}

static inline uint32_t segmaker_text(char *strings, uint32_t *at, const char *text)
{
	uint32_t start = *at;

	strcpy(strings + start, text);
	*at += (uint32_t)strlen(text) + 1;
	return start;
}

static inline void segmaker_fill(
	uint8_t *bytes, const char *program, const struct segmaker_metric *m, uint32_t n)
{
	struct tally_segment *h = (struct tally_segment *)(void *)bytes;
	struct tally_segment_desc *d = (struct tally_segment_desc *)(void *)(h + 1);
	static uint64_t serial;
	uint32_t at = 1;

	memcpy(h->magic, TALLY_SEGMENT_MAGIC, 8);
	h->version = TALLY_SEGMENT_VERSION;
	h->header_size = sizeof(*h);
	h->desc_off = sizeof(*h);
	h->desc_size = sizeof(*d);
	h->ndesc = n;
	h->strings_off = h->desc_off + n * (uint32_t)sizeof(*d);
	serial++;
	memcpy(h->id, &serial, sizeof(serial));
	h->program = segmaker_text((char *)bytes + h->strings_off, &at, program);
	for (uint32_t i = 0; i < n; i++) {
		d[i].name = segmaker_text((char *)bytes + h->strings_off, &at, m[i].name);
		d[i].type = m[i].type;
		d[i].scale = m[i].scale;
		d[i].cell = TALLY_ROW_HEADER + 8 * i;
		d[i].cells = 1;
	}
	h->strings_len = at;
	h->tables_off = h->rows_off = segmaker_align(h->strings_off + at);
	h->row_size = segmaker_align(TALLY_ROW_HEADER + 8 * n);
	h->rows_max = h->rows = SEGMAKER_ROWS;
	h->generation = h->starts = 1;
}

/* 1 if the lock is ours now: the descriptor stands for a living process. */
static inline int segmaker_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* A locked descriptor of the new file dir/file; ends the test program if that fails. */
static inline int segmaker_make(const char *dir, const char *file, const char *program,
	const struct segmaker_metric *m, uint32_t n)
{
	size_t size = sizeof(struct tally_segment) + n * (sizeof(struct tally_segment_desc) + 300) +
		      600 + SEGMAKER_ROWS * (TALLY_ROW_HEADER + 8 * n + TALLY_ROW_ALIGN);
	uint8_t *bytes = calloc(1, size);
	char path[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (!bytes || fd < 0 || !segmaker_lock(fd))
		abort();
	segmaker_fill(bytes, program, m, n);
	if (write(fd, bytes, size) != (ssize_t)size)
		abort();
	free(bytes);
	return fd;
}

static inline void segmaker_set(int fd, uint32_t row, uint32_t metric, uint64_t value)
{
	struct tally_segment h;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h) ||
		pwrite(fd, &value, 8,
			h.rows_off + row * h.row_size + TALLY_ROW_HEADER + 8 * metric) != 8)
		abort();
}

#endif
