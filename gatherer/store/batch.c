/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches of records; see the header. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/batch.h"

void batch_release(struct batch *b)
{
	buf_release(&b->bytes);
	free(b->marks);
	*b = (struct batch){0};
}

void batch_reset(struct batch *b)
{
	buf_reset(&b->bytes);
	b->n = 0;
}

static int reserve_marks(struct batch *b, size_t more)
{
	return array_reserve(&b->marks, b->n + more, &b->cap, sizeof(*b->marks));
}

int batch_reserve(struct batch *b, size_t n)
{
	if (!buf_reserve(&b->bytes, n)) {
		b->bytes.failed = false; /* what it holds is still good */
		return -ENOMEM;
	}
	return reserve_marks(b, 1);
}

void batch_mark(struct batch *b, uint32_t node, uint64_t incarnation, uint64_t seq)
{
	struct batch_mark mark = {.node = node, .incarnation = incarnation, .seq = seq};

	if (b->n > 0 && b->marks[b->n - 1].node == node)
		b->n--;
	b->marks[b->n++] = mark;
}

int batch_prepend(struct batch *b, struct batch *before)
{
	int err = batch_reserve(before, b->bytes.len);
	struct batch joined;

	if (!err)
		err = reserve_marks(before, b->n);
	if (err)
		return err;
	buf_put(&before->bytes, b->bytes.data, b->bytes.len);
	if (b->n)
		memcpy(before->marks + before->n, b->marks, b->n * sizeof(*b->marks));
	before->n += b->n;
	joined = *before;
	*before = *b;
	batch_reset(before);
	*b = joined;
	return 0;
}
