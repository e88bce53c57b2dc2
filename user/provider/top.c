/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Selection of the largest: for each criterion a heap of the k best so far, the least of them on top, so that
 * most things are done with after one comparison.
 */
#include "user/provider/top.h"

#include <string.h>

struct best {
	uint64_t value;
	size_t i;
};

/* Is a to go before b does? The lesser, and of equal ones the later. */
static bool is_lesser(const struct best *a, const struct best *b)
{
	return a->value != b->value ? a->value < b->value : a->i > b->i;
}

static void swap(struct best *a, struct best *b)
{
	struct best t = *a;

	*a = *b;
	*b = t;
}

static void sift_up(struct best *heap, size_t at)
{
	for (; at && is_lesser(&heap[at], &heap[(at - 1) / 2]); at = (at - 1) / 2)
		swap(&heap[at], &heap[(at - 1) / 2]);
}

static void sift_down(struct best *heap, size_t n)
{
	size_t at = 0, child;

	while ((child = 2 * at + 1) < n) {
		if (child + 1 < n && is_lesser(&heap[child + 1], &heap[child]))
			child++;
		if (!is_lesser(&heap[child], &heap[at]))
			return;
		swap(&heap[child], &heap[at]);
		at = child;
	}
}

static size_t offer(struct best *heap, size_t n, size_t k, struct best b)
{
	if (n < k) {
		heap[n] = b;
		sift_up(heap, n);
		return n + 1;
	}
	if (is_lesser(&heap[0], &b)) {
		heap[0] = b;
		sift_down(heap, n);
	}
	return n;
}

size_t top_select(
	size_t n, size_t k, unsigned ncriteria, top_value_fn value, void *arg, bool *chosen)
{
	struct best heap[TOP_MAX];
	size_t count = 0;

	if (k > TOP_MAX)
		k = TOP_MAX;
	memset(chosen, 0, n * sizeof(*chosen));
	for (unsigned c = 0; c < ncriteria && k; c++) {
		size_t have = 0;

		for (size_t i = 0; i < n; i++) {
			struct best b = {value(arg, i, c), i};

			if (b.value)
				have = offer(heap, have, k, b);
		}
		for (size_t j = 0; j < have; j++) {
			count += !chosen[heap[j].i];
			chosen[heap[j].i] = true;
		}
	}
	return count;
}
