/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes, their NODE and STATE records, and replaying heads into them. */
#include <criterion/criterion.h>
#include <errno.h>

#include "gatherer/store/nodeset.h"
#include "gatherer/store/packed.h"
#include "tests/lib/teststore.h"

#define NODES 3u
#define SALT  0x5a17u

/* NODE and state of NODES nodes (as a head begins), then one more snapshot of each. */
static void make_head(struct nodeset *set, struct test_sender *senders, struct buf *out)
{
	struct buf state = BUF_INIT;

	for (uint32_t i = 0; i < NODES; i++) {
		uint8_t id[32] = {(uint8_t)(i + 1)};
		struct recscan scan;
		struct snapshot_view view;
		struct record rec;

		test_sender_start(&senders[i], i);
		test_sender_poll(&senders[i]);
		cr_assert_eq(nodeset_add(set, id, "name"), (ssize_t)i);
		stream_add_past(set->nodes[i].stream, 77, 5);
		scan = (struct recscan){
			.data = senders[i].records.data, .len = senders[i].records.len};
		while (recscan_next(&scan, &rec) == 1)
			cr_assert_gt(stream_apply(set->nodes[i].stream, rec.type, rec.payload,
					     rec.len, &view),
				0);
	}
	cr_assert_eq(nodeset_put_state(set, &state), 0);
	recfile_put_header(out, RECFILE_HEAD, 1, SALT);
	cr_assert_eq(packed_put_state(&state, SALT, out), 0);
	buf_release(&state);
}

static void put_snapshot(struct test_sender *s, uint32_t stream, struct buf *out)
{
	struct recscan scan;
	struct record rec;

	test_sender_poll(s);
	scan = (struct recscan){.data = s->records.data, .len = s->records.len, .pos = s->last};
	while (recscan_next(&scan, &rec) == 1)
		record_put(out, SALT, rec.type, stream, rec.payload, rec.len);
}

static void release(struct nodeset *set, struct test_sender *senders, struct buf *head)
{
	for (uint32_t i = 0; i < NODES; i++)
		test_sender_stop(&senders[i]);
	nodeset_release(set);
	buf_release(head);
}

Test(nodeset, state_comes_back)
{
	struct nodeset set = {0}, back = {0};
	struct replay replay = {.set = &back, .salt = SALT};
	struct test_sender senders[NODES];
	struct buf head = BUF_INIT, a = BUF_INIT, b = BUF_INIT;
	uint64_t incarnation, seq;
	size_t pos = RECFILE_HEADER;

	make_head(&set, senders, &head);
	cr_assert_eq(replay_records(&replay, head.data, head.len, &pos), 0);
	cr_assert(pos == head.len && replay.torn_at == head.len && !replay.renumbered);
	cr_assert(replay.samples == 0 && replay.state_to == 0);
	cr_assert_eq(back.n, NODES);
	cr_assert_eq(nodeset_put_state(&set, &a), 0);
	cr_assert_eq(nodeset_put_state(&back, &b), 0);
	cr_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	nodeset_newest(&back.nodes[1], &incarnation, &seq);
	cr_assert(incarnation == 1001 && seq == 1);
	replay_release(&replay);
	nodeset_release(&back);
	buf_release(&a);
	buf_release(&b);
	release(&set, senders, &head);
}

struct applied {
	size_t n[NODES], in_state;
	const struct replay *replay;
};

static int note_applied(void *arg, size_t node, const struct record *rec, int result,
	const struct snapshot_view *view)
{
	struct applied *a = arg;

	a->n[node] += result == STREAM_SNAPSHOT;
	a->in_state += a->replay->in_state;
	return 0;
}

Test(nodeset, numbers_of_another_file_are_translated)
{
	struct nodeset set = {0}, back = {0};
	struct applied applied = {0};
	struct replay replay = {
		.set = &back, .salt = SALT, .applied = note_applied, .arg = &applied};
	struct test_sender senders[NODES];
	struct buf head = BUF_INIT;
	size_t pos = RECFILE_HEADER, state_to;
	uint8_t id[32] = {2};

	applied.replay = &replay;
	make_head(&set, senders, &head);
	state_to = head.len;
	put_snapshot(&senders[1], 1, &head);
	put_snapshot(&senders[1], 9, &head); /* nobody's number */
	cr_assert_eq(nodeset_add(&back, id, "old name"), 0); /* known before, as index 0 */
	cr_assert_eq(replay_records(&replay, head.data, head.len, &pos), 0);
	cr_assert(replay.renumbered);
	cr_assert_eq(back.n, NODES);
	cr_assert_str_eq(back.nodes[0].name, "name");
	cr_assert_eq(stream_incarnation(back.nodes[0].stream)->id, 1001);
	cr_assert(applied.n[0] == 1 && applied.n[1] == 0 && applied.in_state == 3 * NODES);
	cr_assert(replay.samples == TEST_WIDTH && replay.state_to == state_to);
	replay_release(&replay);
	nodeset_release(&back);
	release(&set, senders, &head);
}

static void sum_damage(void *arg, uint64_t from, uint64_t to)
{
	*(uint64_t *)arg += to - from;
}

Test(nodeset, damage_and_a_torn_tail_are_told_apart)
{
	struct nodeset set = {0}, back = {0};
	uint64_t damage = 0;
	struct replay replay = {.set = &back, .salt = SALT, .damage = sum_damage, .arg = &damage};
	struct test_sender senders[NODES];
	struct buf head = BUF_INIT;
	size_t pos = RECFILE_HEADER, first, second, third;

	make_head(&set, senders, &head);
	first = head.len;
	put_snapshot(&senders[0], 0, &head);
	second = head.len;
	put_snapshot(&senders[1], 1, &head);
	third = head.len;
	put_snapshot(&senders[2], 2, &head);
	head.data[first + 20] ^= 1;
	cr_assert_eq(replay_records(&replay, head.data, head.len - 1, &pos), 0);
	cr_assert_eq(damage, second - first);
	cr_assert_eq(replay.damage_bytes, second - first);
	cr_assert(replay.torn_at == third && pos == third);
	cr_assert_eq(stream_seq(back.nodes[0].stream), 1);
	cr_assert_eq(stream_seq(back.nodes[1].stream), 2);
	cr_assert_eq(stream_seq(back.nodes[2].stream), 1);
	replay_release(&replay);
	nodeset_release(&back);
	release(&set, senders, &head);
}

Test(nodeset, impossible_node_records_are_passed_over)
{
	struct nodeset set = {0};
	struct replay replay = {.set = &set, .salt = SALT};
	struct buf b = BUF_INIT, payload = BUF_INIT;
	uint8_t id[32] = {1};
	size_t pos = 0;

	buf_put(&payload, id, 32);
	record_put(&b, SALT, RECORD_NODE, 0, payload.data, payload.len); /* too short */
	buf_put_str(&payload, "x");
	buf_put_varint(&payload, STREAM_PAST_MAX + 1);
	record_put(&b, SALT, RECORD_NODE, 0, payload.data, payload.len); /* too many */
	payload.len--;
	buf_put_varint(&payload, 0);
	record_put(&b, SALT, RECORD_NODE, UINT32_MAX, payload.data,
		payload.len); /* a number far off */
	record_put(&b, SALT, RECORD_STATE, 0, "abc", 3);
	cr_assert_eq(replay_records(&replay, b.data, b.len, &pos), 0);
	cr_assert_eq(pos, b.len);
	cr_assert_leq(set.n, 1);
	record_put(&b, SALT, RECORD_NODE, 5, payload.data, payload.len);
	cr_assert_eq(replay_records(&replay, b.data, b.len, &pos), 0);
	cr_assert_eq(set.n, 1);
	replay_release(&replay);
	nodeset_release(&set);
	buf_release(&b);
	buf_release(&payload);
}

/* A later version's record is stepped over, or ends it, as its type says. */
Test(nodeset, later_versions)
{
	struct nodeset set = {0}, back = {0};
	struct replay replay = {.set = &back, .salt = SALT};
	struct test_sender senders[NODES];
	struct buf head = BUF_INIT;
	size_t pos = RECFILE_HEADER;

	make_head(&set, senders, &head);
	record_put(&head, SALT, RECORD_CRITICAL - 1, 0, "?", 1);
	put_snapshot(&senders[0], 0, &head);
	cr_assert_eq(replay_records(&replay, head.data, head.len, &pos), 0);
	cr_assert(replay.samples > 0 && replay.damage_bytes == 0 && pos == head.len);
	record_put(&head, SALT, RECORD_CRITICAL, 0, "!", 1);
	cr_assert_eq(replay_records(&replay, head.data, head.len, &pos), -EPROTO);
	replay_release(&replay);
	nodeset_release(&back);
	release(&set, senders, &head);
}
