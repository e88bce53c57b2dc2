/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "block_size": requests of known size and order to a disk of the test's own (a loop device). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>

#define MODULE_UNDER_TEST module_block_size
#include "tests/lib/testdisk.h"
#include "tests/lib/testmodule.h"

enum { SMALL = 4096, LARGE = 65536, DISK = 16 << 20, IN_ORDER = 120, STRIDED = 90 };

static uint64_t of(const char *name, const struct disk *d, const char *more, int part)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "device=\"%.15s\",%s", d->name, more);
	return value(name, labels, part);
}

/* n requests of this size from the disk's begin, each so many bytes after the one before it. */
static void do_io(const struct disk *d, bool writes, size_t size, off_t stride, int n)
{
	void *block;

	cr_assert_eq(posix_memalign(&block, SMALL, size), 0);
	memset(block, 1, size);
	for (int i = 0; i < n; i++) {
		off_t at = i * stride;
		ssize_t got =
			writes ? pwrite(d->fd, block, size, at) : pread(d->fd, block, size, at);

		cr_assert_eq(got, (ssize_t)size, "%s", strerror(errno));
	}
	free(block);
}

Test(block_size, sizes_and_order, .init = setup, .fini = teardown)
{
	static const char *const small = "op=\"write\",le=\"4096\"",
				 *const large = "op=\"read\",le=\"65536\"";
	uint64_t sequential, random, reads, writes, bytes;
	struct disk d;

	make_space("32m");
	d = make_disk(0, DISK);
	do_io(&d, true, SMALL, SMALL,
		1); /* so that the disk is known, and its last request near its begin */
	poll_producer();
	sequential = of("block_requests", &d, "order=\"sequential\"", SERIES_VALUE);
	random = of("block_requests", &d, "order=\"random\"", SERIES_VALUE);
	writes = of("block_request_bytes", &d, small, SERIES_BUCKET);
	reads = of("block_request_bytes", &d, large, SERIES_BUCKET);
	bytes = of("block_request_bytes", &d, "op=\"read\"", SERIES_SUM);
	do_io(&d, true, SMALL, SMALL, IN_ORDER);
	do_io(&d, false, LARGE, 2 * LARGE, STRIDED);
	poll_producer();
	sequential = of("block_requests", &d, "order=\"sequential\"", SERIES_VALUE) - sequential;
	random = of("block_requests", &d, "order=\"random\"", SERIES_VALUE) - random;
	writes = of("block_request_bytes", &d, small, SERIES_BUCKET) - writes;
	reads = of("block_request_bytes", &d, large, SERIES_BUCKET) - reads;
	bytes = of("block_request_bytes", &d, "op=\"read\"", SERIES_SUM) - bytes;
	remove_disk(&d);
	remove_space();
	printf("%lu sequential, %lu random; %lu small writes, %lu large reads of %lu bytes\n",
		sequential, random, writes, reads, bytes);
	cr_assert_eq(writes, IN_ORDER);
	cr_assert_eq(reads, STRIDED);
	cr_assert_eq(bytes, (uint64_t)STRIDED * LARGE);
	/* the first of each run is elsewhere than the last request was */
	cr_assert_eq(sequential, IN_ORDER - 1);
	cr_assert_eq(random, STRIDED + 1);
}
