/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs and their totals. Metrics only ever join a program, so an index stays what it is. */
#include "user/provider/programs.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/util.h"

#define OVERFLOW_NAME "overflow"

static void program_free(struct program *p)
{
	if (!p)
		return;
	group_release(&p->group);
	free(p->folded);
	free(p->sums);
	free(p->slots);
	free(p->name);
	free(p);
}

void programs_release(struct programs *ps)
{
	for (size_t i = 0; i < ps->n; i++)
		program_free(ps->list[i]);
	for (size_t i = 0; i < ps->nusers; i++)
		free(ps->users[i]);
	free(ps->list);
	free(ps->users);
	*ps = (struct programs){0};
}

/* --- users and programs ---------------------------------------------------------------------- */

static struct program_user *find_user(struct programs *ps, uid_t uid)
{
	struct program_user **users, *u;
	struct passwd *pw;

	for (size_t i = 0; i < ps->nusers; i++)
		if (ps->users[i]->uid == uid)
			return ps->users[i];
	users = reallocarray(ps->users, ps->nusers + 1, sizeof(*users));
	if (!users)
		return NULL;
	ps->users = users;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	pw = getpwuid(uid);
	if (pw)
		snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	else
		snprintf(u->name, sizeof(u->name), "%u", (unsigned)uid);
	ps->users[ps->nusers++] = u;
	return u;
}

static struct program *find_program(const struct programs *ps, const char *name, uid_t uid)
{
	for (size_t i = 0; i < ps->n; i++)
		if (ps->list[i]->user->uid == uid && !strcmp(ps->list[i]->name, name))
			return ps->list[i];
	return NULL;
}

static int add_program(
	struct programs *ps, const char *name, struct program_user *user, struct program **ret)
{
	struct program **list = reallocarray(ps->list, ps->n + 1, sizeof(*list));
	struct program *p;

	if (!list)
		return -ENOMEM;
	ps->list = list;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->user = user;
	p->name = strdup(name);
	p->group.schema.interval_ms = ps->interval_ms;
	p->group.schema.start_ns = ps->start_ns;
	if (!p->name ||
		asprintf(&p->group.schema.group, "app:%s:%u", name, (unsigned)user->uid) < 0) {
		p->group.schema.group = NULL;
		program_free(p);
		return -ENOMEM;
	}
	user->programs++;
	ps->list[ps->n++] = p;
	*ret = p;
	return 0;
}

int programs_find(struct programs *ps, const char *name, uid_t uid, struct program **ret)
{
	struct program *p = find_program(ps, name, uid);
	struct program_user *user;

	if (!p) {
		user = ps->n < 2 * PROGRAMS_MAX ? find_user(ps, uid) : NULL;
		if (!user)
			return ps->n < 2 * PROGRAMS_MAX ? -ENOMEM : -E2BIG;
		if (ps->n < PROGRAMS_MAX && user->programs < PROGRAMS_PER_USER_MAX)
			return add_program(ps, name, user, ret);
		p = find_program(ps, OVERFLOW_NAME, uid);
		if (!p)
			return add_program(ps, OVERFLOW_NAME, user, ret);
	}
	*ret = p;
	return 0;
}

/* --- metrics --------------------------------------------------------------------------------- */

/* The slot of this name, or the free one where it would be. The table is never full. */
static uint32_t *find_slot(const struct program *p, const char *name)
{
	size_t at = hash_bytes(HASH_START, name, strlen(name)) & (p->nslots - 1);

	while (p->slots[at] && strcmp(p->group.schema.series[p->slots[at] - 1].name, name))
		at = (at + 1) & (p->nslots - 1);
	return &p->slots[at];
}

static int grow_slots(struct program *p)
{
	size_t n = p->nslots ? 2 * p->nslots : 32;
	uint32_t *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(p->slots);
	p->slots = slots;
	p->nslots = n;
	for (uint32_t i = 0; i < p->group.schema.n; i++)
		*find_slot(p, p->group.schema.series[i].name) = i + 1;
	return 0;
}

static int grow_values(struct program *p)
{
	uint64_t **arrays[] = {&p->group.values, &p->folded, &p->sums};
	size_t n = p->capacity ? 2 * p->capacity : 16;

	for (size_t i = 0; i < 3; i++) {
		uint64_t *grown = reallocarray(*arrays[i], n, sizeof(uint64_t));

		if (!grown)
			return -ENOMEM;
		*arrays[i] = grown;
	}
	p->capacity = n;
	return 0;
}

/* Bytes of a metric in a schema record: its texts, labels with every character escaped, numbers. */
static size_t schema_cost(const struct program *p, const struct program_metric *m)
{
	return strlen(m->name) + strlen(m->unit) + strlen(m->help) + 2 * strlen(p->name) +
	       2 * strlen(p->user->name) + 64;
}

static int add_metric(struct programs *ps, struct program *p, const struct program_metric *m)
{
	const char *const names[] = {"program", "user"}, *const values[] = {p->name, p->user->name};
	size_t n = p->group.schema.n;
	struct buf labels = BUF_INIT;
	struct series s = {
		.name = (char *)m->name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = m->scale,
	};
	int err = n == p->capacity ? grow_values(p) : 0;

	if (!err && 2 * (n + 1) > p->nslots)
		err = grow_slots(p);
	if (!err)
		err = labels_format(&labels, 2, names, values);
	buf_put_u8(&labels, 0);
	if (!err)
		err = buf_error(&labels);
	if (!err) {
		s.labels = (char *)labels.data;
		err = schema_add(&p->group.schema, &s);
	}
	buf_release(&labels);
	if (err)
		return err;
	p->group.values[n] = p->folded[n] = p->sums[n] = 0;
	p->group.version++;
	p->user->series++;
	ps->series++;
	p->schema_bytes += schema_cost(p, m);
	*find_slot(p, m->name) = (uint32_t)n + 1;
	return 0;
}

int program_find_metric(
	struct programs *ps, struct program *p, const struct program_metric *m, uint32_t *ret)
{
	uint32_t slot = p->nslots ? *find_slot(p, m->name) : 0;
	const struct series *s;
	int err;

	if (!slot) {
		if (p->user->series >= USER_SERIES_MAX || ps->series >= PROGRAMS_SERIES_MAX ||
			p->schema_bytes + schema_cost(p, m) > PROGRAM_SCHEMA_MAX)
			return -E2BIG;
		err = add_metric(ps, p, m);
		if (err)
			return err;
		*ret = (uint32_t)p->group.schema.n - 1;
		return 0;
	}
	s = &p->group.schema.series[slot - 1];
	if (s->type != m->type || s->scale != m->scale)
		return -EEXIST;
	*ret = slot - 1;
	return 0;
}

/* --- a poll ---------------------------------------------------------------------------------- */

void programs_begin(struct programs *ps)
{
	for (size_t i = 0; i < ps->nusers; i++)
		ps->users[i]->poll_bytes = 0;
	for (size_t i = 0; i < ps->n; i++) {
		struct program *p = ps->list[i];

		if (p->group.schema.n)
			memcpy(p->sums, p->folded, p->group.schema.n * sizeof(uint64_t));
	}
}

/* A counter that went down (somebody wrote into his segment) began again: it is marked as a reset. */
static void take_values(struct program *p)
{
	struct group *g = &p->group;
	bool stepped_back = false;

	for (size_t i = 0; i < g->schema.n; i++) {
		stepped_back |=
			g->schema.series[i].type == METRIC_COUNTER && p->sums[i] < g->values[i];
		g->values[i] = p->sums[i];
	}
	if (stepped_back) {
		g->schema.start_ns = (uint64_t)clock_realtime_ns();
		g->version++;
	}
}

int programs_end(struct programs *ps, struct snapshot *s, uint64_t begin_ns, uint64_t end_ns)
{
	int err = 0;

	for (size_t i = 0; i < ps->n && !err; i++) {
		if (!ps->list[i]->group.schema.n)
			continue;
		take_values(ps->list[i]);
		err = snapshot_add(s, &ps->list[i]->group, begin_ns, end_ns);
	}
	return err;
}
