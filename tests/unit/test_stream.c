/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/lib/testgroups.h"
#include "user/lib/stream.h"
#include "user/lib/wire.pb-c.h"

#define GROUPS 4u

/* A provider: its groups, its writer, and the records it made last. */
struct sender {
	struct stream_writer *w;
	struct group groups[GROUPS];
	struct group_due due[GROUPS];
	size_t ndue;
	int64_t realtime_ns;
	uint64_t seq;
	struct buf out;
};

static void sender_start(struct sender *s, uint64_t incarnation)
{
	struct incarnation inc = {.id = incarnation, .start_ns = 5, .boot_id = {1, 2, 3}};

	s->w = stream_writer_new(&inc);
	s->realtime_ns = 1000;
	for (size_t i = 0; i < GROUPS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%zu", i);
		test_group_reshape(&s->groups[i], name, 1);
	}
}

static void sender_stop(struct sender *s)
{
	stream_writer_free(s->w);
	for (size_t i = 0; i < GROUPS; i++)
		group_release(&s->groups[i]);
	buf_release(&s->out);
	*s = (struct sender){0};
}

/* Makes the next snapshot of groups by mask. */
static void sender_snapshot(struct sender *s, unsigned int mask)
{
	s->ndue = 0;
	s->realtime_ns += 1000000;
	for (unsigned int i = 0; i < GROUPS; i++)
		if (mask & 1u << i) {
			test_group_step(&s->groups[i]);
			s->due[s->ndue++] = (struct group_due){&s->groups[i], 5000 * i, 7000};
		}
	buf_reset(&s->out);
	cr_assert_eq(stream_writer_snapshot(s->w, s->realtime_ns, (uint64_t)s->realtime_ns + 5,
			     s->due, s->ndue, &s->out, &s->seq),
		0);
}

/* Applies all records of b; returns the result of the last one. */
static int apply_all(struct stream *st, const struct buf *b, struct snapshot_view *v)
{
	struct recscan scan = {.data = b->data, .len = b->len};
	struct record r;
	int result = -ENOENT;

	while (recscan_next(&scan, &r) == 1) {
		result = stream_apply(st, r.type, r.payload, r.len, v);
		if (result < 0)
			return result;
	}
	return result;
}

static void assert_view(const struct sender *s, const struct snapshot_view *v)
{
	cr_assert_eq(v->seq, s->seq);
	cr_assert_eq(v->realtime_ns, s->realtime_ns);
	cr_assert_eq(v->ngroups, s->ndue);
	cr_assert_eq(v->nskipped, 0);
	for (size_t i = 0; i < v->ngroups; i++) {
		const struct group *g = s->due[i].group;

		cr_assert(schema_equal_shape(v->groups[i].schema, &g->schema));
		cr_assert_arr_eq(v->groups[i].values, g->values, 8 * g->schema.n);
		cr_assert_eq(v->groups[i].begin_ns, s->due[i].begin_ns);
		cr_assert_eq(v->groups[i].window_ns, 7000);
	}
}

static void assert_state(const struct sender *s, const struct stream *st)
{
	struct buf a = BUF_INIT, b = BUF_INIT;

	cr_assert_eq(stream_seq(st), s->seq);
	cr_assert_eq(stream_put_state(st, 0, &a), 0);
	cr_assert_eq(stream_writer_put_state(s->w, &b), 0);
	cr_assert_eq(a.len, b.len);
	buf_release(&a);
	buf_release(&b);
	for (size_t i = 0; i < stream_groups(st); i++) {
		struct group_state gs;

		stream_group(st, i, &gs);
		for (size_t k = 0; k < GROUPS; k++)
			if (gs.values && strcmp(s->groups[k].schema.group, gs.schema->group) == 0)
				cr_assert_arr_eq(gs.values, s->groups[k].values, 8 * gs.schema->n);
	}
}

Test(stream, readers_see_what_was_written_from_any_file_start)
{
	struct sender s = {0};
	struct stream *all = stream_new(), *late = NULL;
	struct snapshot_view v;

	test_rand_init();
	sender_start(&s, 42);
	for (int round = 0; round < 1500; round++) {
		size_t k = test_rand_below(GROUPS);
		char name[16];

		if (test_rand_below(20) == 0) {
			snprintf(name, sizeof(name), "g%zu", k);
			test_group_reshape(&s.groups[k], name, test_rand_below(3));
		}
		sender_snapshot(&s, (unsigned int)test_rand_below(1 << GROUPS) |
					    (s.groups[k].slot && !round ? 0 : 1u << k));
		cr_assert_eq(apply_all(all, &s.out, &v), STREAM_SNAPSHOT);
		assert_view(&s, &v);
		if (late) {
			cr_assert_eq(apply_all(late, &s.out, &v), STREAM_SNAPSHOT);
			assert_view(&s, &v);
		}
		cr_assert_eq(apply_all(all, &s.out, &v), STREAM_OLD, "a repeat changes nothing");
		if (test_rand_below(50) == 0) { /* a file begins here */
			stream_free(late);
			late = stream_new();
			buf_reset(&s.out);
			if (test_rand_below(2))
				cr_assert_eq(stream_writer_put_state(s.w, &s.out), 0);
			else
				cr_assert_eq(stream_put_state(all, 0, &s.out), 0);
			cr_assert_eq(apply_all(late, &s.out, &v), STREAM_STATE);
			cr_assert_eq(apply_all(all, &s.out, &v), STREAM_OLD);
			assert_state(&s, late);
		}
	}
	stream_free(all);
	stream_free(late);
	sender_stop(&s);
}

Test(stream, a_lost_snapshot_costs_deltas_until_the_next_key_rows)
{
	struct sender s = {0};
	struct stream *st = stream_new();
	struct snapshot_view v;
	uint64_t skipped = 0;

	sender_start(&s, 42);
	for (unsigned int i = 0; i < 10; i++) {
		sender_snapshot(&s, 15);
		apply_all(st, &s.out, &v);
	}
	sender_snapshot(&s, 1); /* not delivered */
	for (;;) {
		sender_snapshot(&s, 15);
		cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
		if (v.nskipped == 0)
			break;
		cr_assert_eq(v.nskipped + v.ngroups, GROUPS);
		skipped++;
	}
	assert_view(&s, &v);
	cr_assert(skipped > 0 && skipped < STREAM_KEY_EVERY);
	stream_free(st);
	sender_stop(&s);
}

Test(stream, a_writer_that_knows_of_a_loss_repeats_everything)
{
	struct sender s = {0};
	struct stream *st = stream_new(), *fresh = stream_new();
	struct snapshot_view v;

	sender_start(&s, 42);
	sender_snapshot(&s, 15);
	apply_all(st, &s.out, &v);
	test_group_reshape(&s.groups[0], "g0", 9);
	sender_snapshot(&s, 15); /* lost, with its schema */
	stream_writer_lost(s.w);
	sender_snapshot(&s, 15);
	cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
	assert_view(&s, &v);
	cr_assert_eq(apply_all(fresh, &s.out, &v), STREAM_SNAPSHOT, "it stands alone");
	assert_view(&s, &v);
	stream_free(st);
	stream_free(fresh);
	sender_stop(&s);
}

Test(stream, groups_may_come_and_go)
{
	struct sender s = {0};
	struct stream *st = stream_new();
	struct snapshot_view v;

	sender_start(&s, 42);
	sender_snapshot(&s, 15);
	apply_all(st, &s.out, &v);
	stream_writer_forget(s.w, &s.groups[1]);
	sender_snapshot(&s, 13);
	cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
	group_release(&s.groups[1]);
	test_group_reshape(&s.groups[1], "g1", 3);
	sender_snapshot(&s, 15);
	cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
	assert_view(&s, &v);
	cr_assert_eq(stream_groups(st), GROUPS);
	stream_free(st);
	sender_stop(&s);
}

Test(stream, an_incarnation_never_comes_back)
{
	struct sender a = {0}, b = {0};
	struct stream *st = stream_new(), *reopened = stream_new();
	const struct stream_past *past;
	struct snapshot_view v;

	sender_start(&a, 1);
	sender_start(&b, 2);
	sender_snapshot(&a, 15);
	sender_snapshot(&b, 15);
	cr_assert_eq(apply_all(st, &a.out, &v), STREAM_SNAPSHOT);
	cr_assert_eq(apply_all(st, &b.out, &v), STREAM_SNAPSHOT);
	cr_assert_eq(apply_all(st, &a.out, &v), STREAM_OLD);
	sender_snapshot(&a, 15);
	cr_assert_eq(apply_all(st, &a.out, &v), STREAM_OLD);
	cr_assert(stream_incarnation(st)->id == 2 && stream_seq(st) == 1);
	cr_assert_eq(stream_past(st, &past), 1);
	cr_assert(past[0].incarnation == 1 && past[0].seq == 1);
	stream_add_past(reopened, past[0].incarnation, past[0].seq);
	cr_assert_eq(apply_all(reopened, &a.out, &v), STREAM_OLD);
	for (uint64_t i = 10; i < 10 + 2 * STREAM_PAST_MAX; i++)
		stream_add_past(st, i, i);
	cr_assert_eq(stream_past(st, &past), STREAM_PAST_MAX);
	cr_assert_eq(past[STREAM_PAST_MAX - 1].incarnation, 9 + 2 * STREAM_PAST_MAX);
	stream_free(st);
	stream_free(reopened);
	sender_stop(&a);
	sender_stop(&b);
}

/* --- hostile writers ------------------------------------------------------------------------ */

static int apply_schema(struct stream *st, uint32_t id, const char *group, size_t nseries)
{
	struct schema s = {.id = id, .group = (char *)group};
	struct buf b = BUF_INIT;
	struct snapshot_view v;
	int result;

	for (size_t i = 0; i < nseries; i++) {
		char name[32];
		struct series x = {.name = name, .type = METRIC_GAUGE, .kind = VALUE_U64};

		snprintf(name, sizeof(name), "m%zu", i);
		schema_add(&s, &x);
	}
	buf_put_u64(&b, 42);
	schema_encode(&s, &b);
	s.group = NULL;
	schema_release(&s);
	result = stream_apply(st, RECORD_SCHEMA, b.data, b.len, &v);
	buf_release(&b);
	return result;
}

static struct stream *stream_of_42(void)
{
	struct stream *st = stream_new();
	struct sender s = {0};
	struct snapshot_view v;
	struct recscan scan;
	struct record r;

	sender_start(&s, 42);
	sender_snapshot(&s, 0);
	scan = (struct recscan){.data = s.out.data, .len = s.out.len};
	recscan_next(&scan, &r);
	cr_assert_eq(r.type, RECORD_INCARNATION);
	cr_assert_eq(stream_apply(st, r.type, r.payload, r.len, &v), STREAM_STATE);
	sender_stop(&s);
	return st;
}

Test(stream, schemas_that_break_a_rule_are_refused)
{
	struct stream *st = stream_of_42();

	cr_assert_eq(apply_schema(st, 0, "a", 1), -EPROTO);
	cr_assert_eq(apply_schema(st, 5, "a", 1), STREAM_STATE);
	cr_assert_eq(apply_schema(st, 5, "a", 2), STREAM_OLD);
	cr_assert_eq(apply_schema(st, 4, "a", 2), STREAM_OLD, "older than what it has");
	cr_assert_eq(apply_schema(st, 5, "b", 1), -EPROTO, "another group's id");
	cr_assert_eq(apply_schema(st, 4, "b", 1), STREAM_STATE);
	cr_assert_eq(apply_schema(st, 6, "a", 0), STREAM_STATE);
	cr_assert_eq(stream_groups(st), 2);
	stream_free(st);
}

Test(stream, all_series_of_a_node_are_bounded)
{
	struct stream *st = stream_of_42();
	char name[16];
	int result = STREAM_STATE;
	uint32_t id = 0;

	while (result == STREAM_STATE && id < 100) {
		snprintf(name, sizeof(name), "g%u", ++id);
		result = apply_schema(st, id, name, 40000);
	}
	cr_assert_eq(result, -E2BIG);
	cr_assert_eq(stream_groups(st), STREAM_SERIES_MAX / 40000);
	stream_free(st);
}

Test(stream, groups_of_a_node_are_bounded)
{
	struct stream *st = stream_of_42();
	char name[16];
	int result = STREAM_STATE;
	uint32_t id = 0;

	while (result == STREAM_STATE && id < 2 * STREAM_GROUPS_MAX) {
		snprintf(name, sizeof(name), "g%u", ++id);
		result = apply_schema(st, id, name, 0);
	}
	cr_assert_eq(result, -E2BIG);
	cr_assert_eq(stream_groups(st), STREAM_GROUPS_MAX);
	stream_free(st);
}

static int apply_rows(struct stream *st, uint64_t seq, uint8_t flags, const uint32_t *ids, size_t n)
{
	struct buf b = BUF_INIT;
	struct snapshot_view v;
	int result;

	buf_put_u64(&b, 42);
	buf_put_varint(&b, seq);
	buf_put_varint(&b, 0);
	buf_put_varint(&b, 0);
	buf_put_u8(&b, flags);
	buf_put_varint(&b, n);
	for (size_t i = 0; i < n; i++)
		buf_put(&b, (uint8_t[]){(uint8_t)ids[i], 0, 0, 1, 1, 2}, 6); /* key row: {1} */
	result = stream_apply(st, RECORD_SNAPSHOT, b.data, b.len, &v);
	buf_release(&b);
	return result;
}

Test(stream, snapshots_that_break_a_rule_are_refused)
{
	struct stream *st = stream_of_42();

	apply_schema(st, 1, "a", 1);
	apply_schema(st, 2, "b", 1);
	apply_schema(st, 3, "c", 2);
	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){1, 1}, 2), -EPROTO, "twice");
	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){1, 3}, 2), -EBADMSG, "row too short");
	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){1, 2, 1, 2}, 4), -EPROTO, "too many");
	cr_assert_eq(apply_rows(st, 0, 0, (uint32_t[]){1}, 1), -EPROTO, "seq 0");
	cr_assert_eq(apply_rows(st, 1, 8, (uint32_t[]){1}, 1), -EPROTO, "unknown flag");
	cr_assert_eq(stream_seq(st), 0);
	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){2, 1}, 2), STREAM_SNAPSHOT);
	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){2, 1}, 2), STREAM_OLD);
	cr_assert_eq(apply_rows(st, 1, SNAPSHOT_BASE, (uint32_t[]){2, 1}, 2), STREAM_OLD);
	cr_assert_eq(apply_rows(st, UINT64_MAX, 0, (uint32_t[]){2, 1}, 2), STREAM_SNAPSHOT);
	cr_assert_eq(stream_apply(st, RECORD_NODE, NULL, 0, NULL), -EPROTO);
	cr_assert_eq(stream_apply(st, RECORD_STATE, NULL, 0, NULL), -EPROTO);
	stream_free(st);
}

/* What a damaged record said about others is missing; the others are not to blame. */
Test(stream, what_refers_to_a_lost_record_is_passed_over)
{
	struct sender s = {0};
	struct stream *st = stream_of_42();
	struct snapshot_view v;
	struct recscan scan;
	struct record r;

	cr_assert_eq(apply_rows(st, 1, 0, (uint32_t[]){9, 8, 9}, 3), STREAM_SNAPSHOT);
	apply_schema(st, 1, "a", 1);
	cr_assert_eq(apply_rows(st, 2, 0, (uint32_t[]){9, 1}, 2), STREAM_SNAPSHOT);
	cr_assert_eq(stream_seq(st), 2);

	sender_start(&s, 43);
	sender_snapshot(&s, 15);
	scan = (struct recscan){.data = s.out.data, .len = s.out.len};
	cr_assert_eq(recscan_next(&scan, &r), 1); /* its INCARNATION is damaged */
	while (recscan_next(&scan, &r) == 1)
		cr_assert_eq(stream_apply(st, r.type, r.payload, r.len, &v), STREAM_OLD);
	cr_assert(stream_incarnation(st)->id == 42 && stream_seq(st) == 2);
	buf_reset(&s.out);
	cr_assert_eq(stream_writer_put_state(s.w, &s.out), 0);
	cr_assert_eq(apply_all(st, &s.out, &v), STREAM_STATE, "the next file");
	sender_snapshot(&s, 15);
	cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
	assert_view(&s, &v);
	stream_free(st);
	sender_stop(&s);
}

/* A machine is set back to an earlier moment, and its provider makes other rows of the same numbers. */
Test(stream, a_delta_to_another_row_is_not_taken)
{
	struct sender s = {0}, clone = {0};
	struct stream *st = stream_new();
	struct snapshot_view v;
	uint64_t skipped = 0;

	test_rand_init();
	sender_start(&s, 42);
	sender_start(&clone, 42);
	for (size_t i = 0; i < GROUPS; i++) { /* the same series */
		schema_release(&clone.groups[i].schema);
		cr_assert_eq(schema_copy(&clone.groups[i].schema, &s.groups[i].schema), 0);
		free(clone.groups[i].values);
		clone.groups[i].values = calloc(s.groups[i].schema.n + 1, sizeof(uint64_t));
	}
	for (int i = 0; i < 5; i++) {
		sender_snapshot(&s, 15);
		cr_assert_eq(apply_all(st, &s.out, &v), STREAM_SNAPSHOT);
		do
			sender_snapshot(&clone, 15);
		while (clone.seq < s.seq);
	}
	for (;;) {
		sender_snapshot(&clone, 15);
		cr_assert_eq(apply_all(st, &clone.out, &v), STREAM_SNAPSHOT);
		if (v.nskipped == 0)
			break;
		for (size_t i = 0; i < v.ngroups; i++) {
			size_t k = (size_t)(v.groups[i].schema->group[1] - '0');

			cr_assert_arr_eq(v.groups[i].values, clone.groups[k].values,
				8 * v.groups[i].schema->n);
		}
		skipped += v.nskipped;
	}
	assert_view(&clone, &v);
	cr_assert_gt(skipped, GROUPS);
	cr_assert_lt(v.seq, 3 * STREAM_KEY_EVERY);
	stream_free(st);
	sender_stop(&s);
	sender_stop(&clone);
}

Test(stream, later_versions)
{
	struct stream *st = stream_of_42();
	uint8_t longer[STREAM_START_MAX + 1] = {0};
	struct snapshot_view v;

	cr_assert_eq(stream_apply(st, 6, (const uint8_t *)"?", 1, &v), STREAM_OLD);
	cr_assert_eq(stream_apply(st, RECORD_CRITICAL - 1, NULL, 0, &v), STREAM_OLD);
	cr_assert_eq(stream_apply(st, RECORD_CRITICAL, NULL, 0, &v), -EPROTO);
	cr_assert_eq(stream_apply(st, 255, NULL, 0, &v), -EPROTO);
	cr_assert_eq(stream_apply(st, RECORD_INCARNATION, longer, sizeof(longer), &v), -E2BIG);
	stream_free(st);
}

Test(stream, refused_records_leave_the_state_as_it_was)
{
	struct sender s = {0};
	struct stream *st = stream_new();
	struct snapshot_view v;
	struct buf before = BUF_INIT, after = BUF_INIT, bad = BUF_INIT;
	int refused = 0;

	test_rand_init();
	sender_start(&s, 42);
	for (int round = 0; round < 4000; round++) {
		struct recscan scan;
		struct record r;

		if (test_rand_below(10) == 0)
			test_group_reshape(&s.groups[1], "g1", 1);
		sender_snapshot(&s, 15);
		scan = (struct recscan){.data = s.out.data, .len = s.out.len};
		while (recscan_next(&scan, &r) == 1) {
			int result;

			buf_reset(&bad);
			buf_put(&bad, r.payload, r.len);
			bad.data[test_rand_below(bad.len)] ^= (uint8_t)(1u << test_rand_below(8));
			buf_reset(&before);
			buf_reset(&after);
			stream_put_state(st, 0, &before);
			result = stream_apply(st, r.type, bad.data, bad.len, &v);
			stream_put_state(st, 0, &after);
			if (result <= 0) {
				cr_assert_eq(before.len, after.len);
				cr_assert_arr_eq(before.data, after.data, before.len);
				refused++;
			} else { /* the damage makes sense: begin again from the good state */
				stream_free(st);
				st = stream_new();
				apply_all(st, &before, &v);
			}
			cr_assert_geq(stream_apply(st, r.type, r.payload, r.len, &v), 0);
		}
	}
	cr_assert_gt(refused, 1000);
	buf_release(&before);
	buf_release(&after);
	buf_release(&bad);
	stream_free(st);
	sender_stop(&s);
}
