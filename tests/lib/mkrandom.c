/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mkrandom DIR SEED: a random history, for readers that were written from docs/FORMAT.md alone. Two
 * nodes with groups of all kinds of values; schemas change, providers start anew, snapshots are lost;
 * some files are sealed, and a head is left.
 */
#include "gatherer/store/store.h"
#include "tests/lib/testgroups.h"
#include "tests/lib/teststore.h"

#define GROUPS 3u
#define POLLS  1500u

struct sender {
	uint32_t node;
	uint64_t starts, monotonic_ns;
	int64_t realtime_ns;
	struct stream_writer *w;
	struct group groups[GROUPS];
};

static void start(struct sender *s)
{
	struct incarnation inc = {.id = (uint64_t)s->node << 32 | ++s->starts};

	inc.boot_id[0] = (uint8_t)(s->starts / 2);
	stream_writer_free(s->w);
	s->w = stream_writer_new(&inc);
	for (size_t i = 0; i < GROUPS; i++) {
		char name[16];

		free(s->groups[i].last);
		s->groups[i].last = NULL;
		snprintf(name, sizeof(name), "g%zu", i);
		if (!s->groups[i].values || test_rand_below(2))
			test_group_reshape(&s->groups[i], name, s->starts);
	}
}

static void send(struct store *st, uint32_t node, const struct buf *records)
{
	struct recscan scan = {.data = records->data, .len = records->len};
	struct snapshot_view view;
	struct record rec;

	while (recscan_next(&scan, &rec) == 1)
		TEST_MUST(store_append(st, node, &rec, &view) >= 0);
}

static void poll_once(struct store *st, struct sender *s)
{
	struct group_due due[GROUPS];
	struct buf records = BUF_INIT;
	uint8_t id[32] = {(uint8_t)(s->node + 1)};
	uint64_t seq;
	uint32_t node;
	size_t n = 0;

	s->realtime_ns += 1000000000 + (int64_t)test_rand_below(1000000);
	s->monotonic_ns += 1000000000 + test_rand_below(1000000);
	for (size_t i = 0; i < GROUPS; i++) {
		if (i > 0 && test_rand_below(i * 4) > 0)
			continue;
		test_group_step(&s->groups[i]);
		due[n++] = (struct group_due){&s->groups[i], test_rand_below(5000), 1000};
	}
	TEST_MUST(stream_writer_snapshot(
			  s->w, s->realtime_ns, s->monotonic_ns, due, n, &records, &seq) == 0);
	TEST_MUST(store_node(st, id, s->node ? "beta" : "alpha", &node) == 0);
	if (test_rand_below(100))
		send(st, node, &records);
	else
		stream_writer_lost(s->w);
	buf_release(&records);
}

int main(int argc, char **argv)
{
	struct sender senders[2] = {{.node = 0}, {.node = 1}};
	struct store *st;
	struct errmsg e;

	if (argc != 3) {
		fprintf(stderr, "usage: mkrandom DIR SEED\n");
		return 2;
	}
	test_rand_state = strtoull(argv[2], NULL, 0);
	TEST_MUST(store_open(argv[1], NULL, &st, &e) == 0);
	start(&senders[0]);
	start(&senders[1]);
	for (unsigned int i = 1; i <= POLLS; i++) {
		for (size_t k = 0; k < 2; k++) {
			if (test_rand_below(300) == 0)
				start(&senders[k]);
			poll_once(st, &senders[k]);
		}
		if (i % 600 == 0)
			TEST_MUST(store_seal(st, &e) == 0);
	}
	TEST_MUST(store_close(st) == 0);
	for (size_t k = 0; k < 2; k++) {
		stream_writer_free(senders[k].w);
		for (size_t i = 0; i < GROUPS; i++)
			group_release(&senders[k].groups[i]);
	}
	return 0;
}
