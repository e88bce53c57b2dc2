/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store against a model that is a plain list of samples for each series. Nodes start anew, change
 * their groups, lose snapshots and send things twice; the store is synced, sealed and reopened at
 * random; then everything must read back, sample by sample and flag by flag.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "gatherer/store/store.h"
#include "tests/lib/testdir.h"
#include "tests/lib/testgroups.h"

#define NODES  3u
#define GROUPS 4u

struct expected {
	struct sample s;
	uint64_t start_ns;
	uint8_t boot;
};

struct model_series {
	uint32_t node;
	char group[16], name[32], labels[32];
	uint8_t kind;
	size_t n, cap;
	struct expected *samples;
};

struct sender {
	uint32_t node;
	uint8_t boot;
	uint64_t next_incarnation, seq, monotonic_ns;
	int64_t realtime_ns;
	bool dropped; /* the snapshot before was not delivered */
	struct stream_writer *w;
	struct group groups[GROUPS];
	struct buf last, older; /* records of the last snapshot, and of some older one */
};

struct world {
	char dir[PATH_MAX];
	struct store *store;
	struct history *history; /* one that stays open */
	struct sender senders[NODES];
	size_t nseries;
	struct model_series *series[NODES * GROUPS * 2 * TEST_SERIES_MAX];
	uint64_t delivered;
};

/* --- the model ------------------------------------------------------------------------------ */

static struct model_series *model_find(
	struct world *w, uint32_t node, const char *group, const struct series *s)
{
	struct model_series *m;

	for (size_t i = 0; i < w->nseries; i++) {
		m = w->series[i];
		if (m->node == node && strcmp(m->group, group) == 0 &&
			strcmp(m->name, s->name) == 0 && strcmp(m->labels, s->labels) == 0)
			return m;
	}
	cr_assert_lt(w->nseries, sizeof(w->series) / sizeof(w->series[0]));
	m = w->series[w->nseries++] = calloc(1, sizeof(*m));
	m->node = node;
	snprintf(m->group, sizeof(m->group), "%s", group);
	snprintf(m->name, sizeof(m->name), "%s", s->name);
	snprintf(m->labels, sizeof(m->labels), "%s", s->labels);
	return m;
}

static void model_add(struct model_series *m, const struct expected *e)
{
	struct expected *x;

	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 64;
		m->samples = realloc(m->samples, m->cap * sizeof(*m->samples));
	}
	x = &m->samples[m->n++];
	*x = *e;
	if (m->n > 1 && (x[-1].start_ns != e->start_ns || x[-1].boot != e->boot))
		x->s.flags |= SAMPLE_RESET;
}

static void model_take(struct world *w, const struct sender *s, const struct group_due *due)
{
	const struct schema *schema = &due->group->schema;

	for (size_t i = 0; i < schema->n; i++) {
		struct expected e = {
			.s.realtime_ns = s->realtime_ns + (int64_t)due->begin_ns,
			.s.monotonic_ns = s->monotonic_ns + due->begin_ns,
			.s.value = due->group->values[i],
			.s.flags = s->dropped ? SAMPLE_GAP : 0,
			.start_ns = schema->start_ns,
			.boot = s->boot,
		};

		model_add(model_find(w, s->node, schema->group, &schema->series[i]), &e);
	}
}

/* --- what happens --------------------------------------------------------------------------- */

static void reshape(struct sender *s, size_t i)
{
	char name[16];

	snprintf(name, sizeof(name), "g%zu", i);
	test_group_reshape(&s->groups[i], name, s->boot + test_rand_below(2));
}

static void start_sender(struct sender *s)
{
	struct incarnation inc = {.id = (uint64_t)s->node << 32 | ++s->next_incarnation};

	inc.boot_id[3] = s->boot;
	stream_writer_free(s->w);
	s->w = stream_writer_new(&inc);
	for (size_t i = 0; i < GROUPS; i++) {
		free(s->groups[i].last);
		s->groups[i].last = NULL;
		if (!s->groups[i].values || test_rand_below(3) == 0)
			reshape(s, i);
	}
	s->dropped = false;
}

static uint32_t node_of(struct world *w, const struct sender *s)
{
	uint8_t id[32] = {(uint8_t)(s->node + 1)};
	uint32_t node;
	char name[16];

	snprintf(name, sizeof(name), "node%u", s->node);
	cr_assert_eq(store_node(w->store, id, name, &node), 0);
	return node;
}

/* Delivers records, of which none or exactly one is a new snapshot. */
static void deliver(struct world *w, struct sender *s, const struct buf *records, bool is_new)
{
	struct recscan scan = {.data = records->data, .len = records->len};
	struct snapshot_view view;
	struct record rec;
	uint32_t node = node_of(w, s);
	bool found = false;

	while (recscan_next(&scan, &rec) == 1) {
		int result = store_append(w->store, node, &rec, &view);

		cr_assert_geq(result, 0);
		if (result == STREAM_SNAPSHOT) {
			cr_assert(is_new && !found);
			cr_assert_eq(view.nskipped, 0);
			found = true;
		}
	}
	cr_assert_eq(found, is_new);
}

static void poll_sender(struct world *w, struct sender *s)
{
	struct group_due due[GROUPS];
	size_t ndue = 0;
	bool drop = !s->dropped && test_rand_below(40) == 0;

	s->realtime_ns += test_rand_below(200) ? (int64_t)test_rand_below(2000000) : -5000000;
	s->monotonic_ns += test_rand_below(2000000);
	for (size_t i = 0; i < GROUPS; i++) {
		if (test_rand_below(60) == 0)
			reshape(s, i);
		if (!s->dropped && i > 0 && test_rand_below(3) == 0)
			continue; /* not due */
		test_group_step(&s->groups[i]);
		due[ndue++] = (struct group_due){&s->groups[i], 1000 * test_rand_below(9), 5000};
	}
	buf_reset(&s->last);
	cr_assert_eq(stream_writer_snapshot(
			     s->w, s->realtime_ns, s->monotonic_ns, due, ndue, &s->last, &s->seq),
		0);
	if (drop) {
		stream_writer_lost(s->w);
		s->dropped = true;
		return;
	}
	deliver(w, s, &s->last, true);
	for (size_t i = 0; i < ndue; i++)
		model_take(w, s, &due[i]);
	s->dropped = false;
	w->delivered++;
	if (test_rand_below(10) == 0) {
		buf_reset(&s->older);
		buf_put(&s->older, s->last.data, s->last.len);
	}
}

static void repeat(struct world *w, struct sender *s)
{
	struct buf state = BUF_INIT;

	if (s->seq == 0 || s->dropped)
		return;
	deliver(w, s, &s->last, false);
	if (s->older.len)
		deliver(w, s, &s->older, false);
	cr_assert_eq(stream_writer_put_state(s->w, &state), 0);
	deliver(w, s, &state, false); /* as at the start of a ring file */
	buf_release(&state);
}

static void restart_sender(struct world *w, struct sender *s)
{
	if (s->dropped)
		return; /* the model's rule for gaps ends at a new start */
	if (test_rand_below(2)) {
		s->boot++;
		s->monotonic_ns = 0;
	}
	start_sender(s);
	poll_sender(w, s);
}

static void reopen(struct world *w)
{
	struct errmsg e;

	cr_assert_eq(store_close(w->store), 0);
	cr_assert_eq(store_open(w->dir, NULL, &w->store, &e), 0, "%s", e.text);
}

/* --- comparing ------------------------------------------------------------------------------ */

struct cursor {
	const struct model_series *m;
	int64_t from_ns, to_ns;
	size_t next, seen;
};

static int compare_sample(void *arg, const struct series *def, const struct sample *s)
{
	struct cursor *c = arg;
	const struct sample *x;

	for (;; c->next++) {
		cr_assert_lt(c->next, c->m->n, "%s: a sample too many", def->name);
		x = &c->m->samples[c->next].s;
		if (x->realtime_ns >= c->from_ns && x->realtime_ns < c->to_ns)
			break;
	}
	cr_assert_eq(s->realtime_ns, x->realtime_ns);
	cr_assert_eq(s->monotonic_ns, x->monotonic_ns);
	cr_assert_eq(s->value, x->value, "%s{%s} sample %zu: %llx, not %llx", def->name,
		def->labels, c->next, (unsigned long long)s->value, (unsigned long long)x->value);
	cr_assert_eq(s->flags, x->flags, "%s{%s} sample %zu of %zu: flags %u, not %u", def->name,
		def->labels, c->next, c->m->n, s->flags, x->flags);
	c->next++;
	c->seen++;
	return 0;
}

static size_t count_between(const struct model_series *m, int64_t from_ns, int64_t to_ns)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += m->samples[i].s.realtime_ns >= from_ns && m->samples[i].s.realtime_ns < to_ns;
	return n;
}

static void compare_series(struct world *w, struct history *h, const struct history_series *hs,
	int64_t from_ns, int64_t to_ns)
{
	uint32_t node = history_node(h, hs->node)->id[0] - 1u;
	struct cursor c = {.from_ns = from_ns, .to_ns = to_ns};

	c.m = model_find(w, node, hs->group, hs->def);
	cr_assert_eq(history_read(h, hs->id, from_ns, to_ns, compare_sample, &c), 0);
	cr_assert_eq(c.seen, count_between(c.m, from_ns, to_ns), "%s{%s}: %zu samples of %zu",
		hs->def->name, hs->def->labels, c.seen, c.m->n);
}

static void compare_all(struct world *w, struct history *h)
{
	size_t n = history_series_count(h), with_samples = 0;

	for (size_t i = 0; i < w->nseries; i++)
		with_samples += w->series[i]->n > 0;
	cr_assert_eq(n, with_samples);
	for (size_t i = 0; i < n; i++) {
		const struct history_series *hs = history_series(h, i);
		int64_t from = (int64_t)test_rand_below((uint64_t)w->senders[0].realtime_ns);
		int64_t to = from + (int64_t)test_rand_below((uint64_t)w->senders[0].realtime_ns);

		compare_series(w, h, hs, INT64_MIN, INT64_MAX);
		compare_series(w, h, hs, from, to);
	}
}

static void damage_found(void *arg, const char *file, uint64_t offset, const char *what)
{
	cr_assert_fail("%s: %llu: %s", file, (unsigned long long)offset, what);
}

static void compare_durable(struct world *w, const struct sender *s)
{
	uint64_t inc, seq;
	uint32_t node = node_of(w, s);

	store_durable(w->store, node, &inc, &seq);
	cr_assert_eq(inc, stream_writer_incarnation(s->w)->id);
	cr_assert_eq(seq, s->seq);
	store_last(w->store, node, &inc, &seq);
	cr_assert_eq(seq, s->seq);
}

static void compare(struct world *w)
{
	struct history *fresh;
	struct history_size size;
	uint64_t samples = 0;
	struct errmsg e;

	for (size_t i = 0; i < w->nseries; i++)
		samples += w->series[i]->n;
	cr_assert_eq(store_sync(w->store), 0);
	for (uint32_t i = 0; i < NODES; i++)
		if (!w->senders[i].dropped && w->senders[i].seq)
			compare_durable(w, &w->senders[i]);
	cr_assert_eq(history_refresh(w->history), 0);
	compare_all(w, w->history);
	cr_assert_eq(history_open(w->dir, &fresh, &e), 0, "%s", e.text);
	compare_all(w, fresh);
	history_size(fresh, &size);
	cr_assert_eq(size.samples, samples);
	history_close(fresh);
	cr_assert_eq(history_check(w->dir, damage_found, NULL, &e), 0);
}

static void act(struct world *w)
{
	struct sender *s = &w->senders[test_rand_below(NODES)];
	uint64_t what = test_rand_below(1000);
	struct errmsg e;

	if (what < 40)
		repeat(w, s);
	else if (what < 55)
		restart_sender(w, s);
	else if (what < 100)
		cr_assert_eq(store_sync(w->store), 0);
	else if (what < 106)
		cr_assert_eq(store_seal(w->store, &e), 0, "%s", e.text);
	else if (what < 112)
		reopen(w);
	else if (what < 150)
		cr_assert_eq(history_refresh(w->history), 0);
	else if (what < 153)
		compare(w);
	else
		poll_sender(w, s);
}

static void end(struct world *w)
{
	for (size_t i = 0; i < NODES; i++) {
		struct sender *s = &w->senders[i];

		stream_writer_free(s->w);
		for (size_t k = 0; k < GROUPS; k++)
			group_release(&s->groups[k]);
		buf_release(&s->last);
		buf_release(&s->older);
	}
	for (size_t i = 0; i < w->nseries; i++) {
		free(w->series[i]->samples);
		free(w->series[i]);
	}
	history_close(w->history);
	cr_assert_eq(store_close(w->store), 0);
	test_dir_remove(w->dir);
}

Test(store, everything_reads_back)
{
	struct world *w = calloc(1, sizeof(*w));
	struct errmsg e;

	test_rand_init();
	test_dir_make(w->dir, "store-model");
	cr_assert_eq(store_open(w->dir, NULL, &w->store, &e), 0, "%s", e.text);
	cr_assert_eq(history_open(w->dir, &w->history, &e), 0, "%s", e.text);
	for (uint32_t i = 0; i < NODES; i++) {
		w->senders[i] = (struct sender){.node = i, .realtime_ns = 1000000000};
		start_sender(&w->senders[i]);
	}
	for (int step = 0; step < 6000; step++)
		act(w);
	compare(w);
	cr_assert_eq(store_seal(w->store, &e), 0, "%s", e.text);
	compare(w);
	printf("%llu snapshots, %zu series\n", (unsigned long long)w->delivered, w->nseries);
	end(w);
	free(w);
}
