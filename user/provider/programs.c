/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs and their totals. Metrics only ever join a program, so an index stays what it is. */
#include "user/provider/programs.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/tally/histogram.h"
#include "include/tally/segment.h"
#include "user/lib/sharedtext.h"
#include "user/lib/util.h"
#include "user/lib/word.h"

#define OVERFLOW_NAME "overflow"

/* What every program has. */
static const struct program_metric starts_metric = {
	.name = "tally_program_starts",
	.labels = "",
	.unit = "",
	.help = "Times that a process began to count in a segment of the program: a restart adds "
		"one",
	.type = TALLY_TYPE_COUNTER,
	.cells = 1,
};
static const struct program_metric living_metric = {
	.name = "tally_program_segments",
	.labels = "",
	.unit = "",
	.help = "Segments of the program's living processes; a process and its forks have one",
	.type = TALLY_TYPE_GAUGE,
	.cells = 1,
};

static char *text_make(uint8_t type, const char *name, const char *labels)
{
	size_t n = strlen(name) + 1, m = strlen(labels) + 1;
	char *text;

	if (type != TALLY_TYPE_INFO)
		return text_dup(labels);
	text = malloc(n + m);
	if (text) {
		memcpy(text, name, n);
		memcpy(text + n, labels, m);
	}
	return text;
}

static void text_drop(uint8_t type, char *text)
{
	if (type == TALLY_TYPE_INFO)
		free(text);
	else
		text_free(text);
}

static const char *entry_name(const struct program *p, const struct program_entry *e)
{
	return e->type == TALLY_TYPE_INFO ? e->text : p->group.schema.series[e->first].name;
}

static const char *entry_labels(const struct program_entry *e)
{
	return e->type == TALLY_TYPE_INFO ? e->text + strlen(e->text) + 1 : e->text;
}

static void program_free(struct program *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nmetrics; i++)
		text_drop(p->metrics[i].type, p->metrics[i].text);
	group_release(&p->group);
	free(p->metrics);
	free(p->folded);
	free(p->slots);
	free(p->name);
	free(p->cgroup);
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

struct program_user *programs_user(struct programs *ps, uid_t uid)
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

static struct program *find_program(
	const struct programs *ps, const char *name, uid_t uid, const char *cgroup)
{
	for (size_t i = 0; i < ps->n; i++)
		if (ps->list[i]->user->uid == uid && !strcmp(ps->list[i]->name, name) &&
			!strcmp(ps->list[i]->cgroup, cgroup))
			return ps->list[i];
	return NULL;
}

/* A group's name is bounded, a cgroup's is not: it is there as its hash. */
static char *group_name(const char *name, uid_t uid, const char *cgroup)
{
	char *text = NULL;
	int r = *cgroup ? asprintf(&text, "app:%s:%u:%016llx", name, (unsigned)uid,
				  (unsigned long long)hash_bytes(
					  HASH_START, cgroup, strlen(cgroup)))
			: asprintf(&text, "app:%s:%u", name, (unsigned)uid);

	return r < 0 ? NULL : text;
}

static int add_program(struct programs *ps, const char *name, struct program_user *user,
	const char *cgroup, struct program **ret)
{
	struct program **list = reallocarray(ps->list, ps->n + 1, sizeof(*list));
	struct program *p;
	int err;

	if (!list)
		return -ENOMEM;
	ps->list = list;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->user = user;
	p->name = strdup(name);
	p->cgroup = strdup(cgroup);
	p->group.schema.interval_ms = ps->interval_ms;
	p->group.schema.start_ns = ps->start_ns;
	p->group.schema.group = group_name(name, user->uid, cgroup);
	err = p->name && p->cgroup && p->group.schema.group ? 0 : -ENOMEM;
	if (!err)
		err = program_find_metric(ps, p, &starts_metric, &p->starts);
	if (!err)
		err = program_find_metric(ps, p, &living_metric, &p->living);
	if (err) {
		ps->series -= p->group.schema.n;
		user->series -= (uint32_t)p->group.schema.n;
		program_free(p);
		return err;
	}
	user->programs++;
	p->index = (uint32_t)ps->n;
	ps->list[ps->n++] = p;
	*ret = p;
	return 0;
}

int programs_find(
	struct programs *ps, const char *name, uid_t uid, const char *cgroup, struct program **ret)
{
	struct program *p = find_program(ps, name, uid, cgroup);
	struct program_user *user;

	if (!p) {
		user = ps->n < 2 * PROGRAMS_MAX ? programs_user(ps, uid) : NULL;
		if (!user)
			return ps->n < 2 * PROGRAMS_MAX ? -ENOMEM : -E2BIG;
		/* Containers come and go: their cgroups get no more than half of what the user may have. */
		if (*cgroup && (user->series > USER_SERIES_MAX / 2 ||
				       user->programs > PROGRAMS_PER_USER_MAX / 2))
			return programs_find(ps, name, uid, "", ret);
		if (ps->n < PROGRAMS_MAX && user->programs < PROGRAMS_PER_USER_MAX)
			return add_program(ps, name, user, cgroup, ret);
		p = find_program(ps, OVERFLOW_NAME, uid, "");
		if (!p)
			return add_program(ps, OVERFLOW_NAME, user, "", ret);
	}
	*ret = p;
	return 0;
}

/* --- finding metrics ------------------------------------------------------------------------- */

/* How many series metric i has. */
static uint32_t series_of(const struct program *p, size_t i)
{
	size_t end = i + 1 < p->nmetrics ? p->metrics[i + 1].first : p->group.schema.n;

	return (uint32_t)(end - p->metrics[i].first);
}

static uint64_t hash_metric(const char *name, const char *labels)
{
	uint64_t h = hash_index(HASH_START, name, strlen(name) + 1);

	return labels ? hash_index(h, labels, strlen(labels)) : h;
}

static bool is_metric(const struct program *p, const struct program_entry *e, const char *name,
	const char *labels)
{
	return !strcmp(entry_name(p, e), name) && (!labels || !strcmp(entry_labels(e), labels));
}

/*
 * The slot of this name and these labels (NULL: of any), or the free one where it would be. The table is
 * never full.
 */
static uint32_t *find_slot(const struct program *p, const char *name, const char *labels)
{
	size_t at = hash_metric(name, labels) & (p->nslots - 1);

	while (p->slots[at] && !is_metric(p, &p->metrics[p->slots[at] - 1], name, labels))
		at = (at + 1) & (p->nslots - 1);
	return &p->slots[at];
}

/*
 * The slot of a metric, or the free one where it would be. The first of a name is where its name alone leads;
 * *ret_named is its slot, or the free one too.
 */
static uint32_t *find_metric(
	const struct program *p, const char *name, const char *labels, uint32_t **ret_named)
{
	uint32_t *named = *ret_named = find_slot(p, name, NULL);

	if (!*named || is_metric(p, &p->metrics[*named - 1], name, labels))
		return named;
	return find_slot(p, name, labels);
}

static void index_metric(struct program *p, uint32_t i)
{
	const struct program_entry *e = &p->metrics[i];
	uint32_t *named;

	if (!(e->flags & PROGRAM_METRIC_RETIRED))
		*find_metric(p, entry_name(p, e), entry_labels(e), &named) = i + 1;
}

static void index_metrics(struct program *p)
{
	memset(p->slots, 0, p->nslots * sizeof(*p->slots));
	for (uint32_t i = 0; i < p->nmetrics; i++)
		index_metric(p, i);
}

/* Room for one metric more: a quarter of the table stays free. */
static int grow_slots(struct program *p)
{
	size_t n = p->nslots ? 2 * p->nslots : 32;
	uint32_t *slots;

	if (4 * (p->nmetrics + 1) <= 3 * p->nslots)
		return 0;
	slots = reallocarray(p->slots, n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	p->slots = slots;
	p->nslots = n;
	index_metrics(p);
	return 0;
}

struct program_metric program_metric(const struct program *p, size_t i)
{
	const struct program_entry *e = &p->metrics[i];
	const struct series *s = &p->group.schema.series[e->first];

	return (struct program_metric){
		.name = entry_name(p, e),
		.labels = entry_labels(e),
		.unit = s->unit,
		.help = s->help,
		.type = e->type,
		.scale = s->scale,
		.flags = e->flags,
		.lo = e->lo,
		.hi = e->hi,
		.bits = e->bits,
		.cells = e->type == TALLY_TYPE_INFO ? 0 : series_of(p, i),
	};
}

/* Metrics of one name are of one kind, whatever their labels. */
static bool same_kind(const struct program_metric *a, const struct program_metric *b)
{
	return a->type == b->type && a->scale == b->scale && a->flags == b->flags &&
	       a->lo == b->lo && a->hi == b->hi && a->bits == b->bits && a->cells == b->cells;
}

/* --- making metrics -------------------------------------------------------------------------- */

static int grow_values(struct program *p, size_t wanted)
{
	uint64_t **arrays[] = {&p->group.values, &p->folded};
	size_t n = p->capacity ? p->capacity : 16;

	while (n < wanted)
		n *= 2;
	for (size_t i = 0; i < (p->folded ? 2 : 1) && n != p->capacity; i++) {
		uint64_t *grown = reallocarray(*arrays[i], n, sizeof(uint64_t));

		if (!grown)
			return -ENOMEM;
		*arrays[i] = grown;
	}
	p->capacity = n;
	return 0;
}

int program_make_folded(struct program *p)
{
	if (!p->folded)
		p->folded = calloc(p->capacity, sizeof(*p->folded));
	return p->folded ? 0 : -ENOMEM;
}

static int grow_metrics(struct program *p)
{
	struct program_entry *grown = array_grow(p->metrics, p->nmetrics, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->metrics = grown;
	return 0;
}

uint32_t program_metric_series(const struct program_metric *m)
{
	return m->type == TALLY_TYPE_INFO ? 1 : m->cells;
}

/* Bytes of a series in a schema record: its texts, labels with every character escaped, numbers. */
static size_t series_cost(const struct program *p, const struct program_metric *m)
{
	return strlen(m->name) + strlen(m->unit) + strlen(m->help) + strlen(m->labels) +
	       2 * strlen(p->name) + 2 * strlen(p->user->name) + 2 * strlen(p->cgroup) + 96;
}

/* Upper bound of a bucket as the label le has it. */
static void format_bound(const struct program_metric *m, uint32_t bucket, char *out, size_t size)
{
	uint64_t bound = tally_histogram_bound(bucket, m->lo, m->hi, m->bits);

	if (bound == UINT64_MAX)
		snprintf(out, size, "+Inf");
	else
		value_format(bound, VALUE_U64, m->scale, out, size);
}

/* Series i of the metric, with the labels that tell whose it is. */
static int add_series(struct program *p, const struct program_metric *m, uint32_t i)
{
	const char *names[4] = {"program", "user"}, *values[4] = {p->name, p->user->name};
	struct buf labels = BUF_INIT;
	char name[260], bound[96];
	struct series s = {
		.name = name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = METRIC_COUNTER,
		.kind = VALUE_U64,
		.scale = m->scale,
	};
	size_t n = 2;
	int err;

	snprintf(name, sizeof(name), "%s%s", m->name, m->type == TALLY_TYPE_INFO ? "_info" : "");
	if (m->type != TALLY_TYPE_COUNTER)
		s.type = m->type == TALLY_TYPE_HISTOGRAM ? METRIC_HISTOGRAM : METRIC_GAUGE;
	if (s.type == METRIC_GAUGE)
		s.kind = m->type == TALLY_TYPE_GAUGE_DOUBLE ? VALUE_F64 : VALUE_I64;
	if (*p->cgroup) {
		names[n] = "cgroup";
		values[n++] = p->cgroup;
	}
	if (s.type == METRIC_HISTOGRAM)
		s.part = i == 0 ? SERIES_SUM : SERIES_BUCKET;
	if (s.part == SERIES_BUCKET) {
		format_bound(m, i - 1, bound, sizeof(bound));
		s.scale = 0; /* a count, whatever its values are */
		names[n] = "le";
		values[n++] = bound;
	}
	err = labels_add(&labels, m->labels, n, names, values);
	buf_put_u8(&labels, 0);
	if (!err)
		err = buf_error(&labels);
	if (!err) {
		s.labels = (char *)labels.data;
		err = schema_add(&p->group.schema, &s);
	}
	buf_release(&labels);
	return err;
}

static int add_metric(struct programs *ps, struct program *p, const struct program_metric *m)
{
	size_t first = p->group.schema.n;
	uint32_t count = program_metric_series(m);
	char *text = text_make(m->type, m->name, m->labels);
	int err = text ? grow_metrics(p) : -ENOMEM;

	if (!err)
		err = grow_values(p, first + count);
	if (!err)
		err = grow_slots(p);
	for (uint32_t i = 0; i < count && !err; i++)
		err = add_series(p, m, i);
	if (err) {
		schema_shorten(&p->group.schema, first);
		text_drop(m->type, text);
		return err;
	}
	memset(p->group.values + first, 0, count * sizeof(uint64_t));
	if (p->folded)
		memset(p->folded + first, 0, count * sizeof(uint64_t));
	p->metrics[p->nmetrics] = (struct program_entry){
		.text = text,
		.first = (uint32_t)first,
		.type = m->type,
		.flags = m->flags,
		.lo = m->lo,
		.hi = m->hi,
		.bits = m->bits,
	};
	index_metric(p, (uint32_t)p->nmetrics++);
	p->retired += (m->flags & PROGRAM_METRIC_RETIRED) != 0;
	p->group.version++;
	p->user->series += count;
	ps->series += count;
	p->schema_bytes += count * series_cost(p, m);
	return 0;
}

/* --- retiring metrics ------------------------------------------------------------------------ */

/* The text of labels with retired="number". */
static int retired_labels(const char *labels, uint32_t number, char **ret)
{
	const char *const name[] = {"retired"};
	char value[16];
	const char *const values[] = {value};
	struct buf text = BUF_INIT;
	int err;

	snprintf(value, sizeof(value), "%u", number);
	err = labels_add(&text, labels, 1, name, values);
	buf_put_u8(&text, 0);
	*ret = !err && !buf_error(&text) ? text_dup((const char *)text.data) : NULL;
	buf_release(&text);
	return err ? err : *ret ? 0 : -ENOMEM;
}

/* The text of a metric that is retired. */
static int retired_text(const struct program *p, const struct program_entry *e, char **ret)
{
	char *labels;
	int err = retired_labels(entry_labels(e), p->retired + 1, &labels);

	if (err)
		return err;
	*ret = text_make(e->type, entry_name(p, e), labels);
	text_free(labels);
	return *ret ? 0 : -ENOMEM;
}

/* Its series keep their places and what they have come to, under another label. */
static int retire_metric(struct program *p, size_t at)
{
	struct program_entry *e = &p->metrics[at];
	struct series *series = p->group.schema.series + e->first;
	uint32_t count = series_of(p, at);
	char **labels = calloc(count, sizeof(*labels)), *text = NULL;
	int err = labels ? retired_text(p, e, &text) : -ENOMEM;

	for (uint32_t i = 0; i < count && !err; i++)
		err = retired_labels(series[i].labels, p->retired + 1, &labels[i]);
	for (uint32_t i = 0; i < count && labels; i++) {
		text_free(err ? labels[i] : series[i].labels);
		if (!err)
			series[i].labels = labels[i];
	}
	free(labels);
	text_drop(e->type, err ? text : e->text);
	if (err)
		return err;
	e->text = text;
	e->flags |= PROGRAM_METRIC_RETIRED;
	p->retired++;
	p->group.version++;
	return 0;
}

/* All that have this name, if no segment has one of them. */
static int retire_name(struct program *p, const char *name)
{
	int err = 0;

	for (size_t i = 0; i < p->nmetrics; i++)
		if (p->metrics[i].users && is_metric(p, &p->metrics[i], name, NULL))
			return -EEXIST;
	for (size_t i = 0; i < p->nmetrics && !err; i++) {
		const struct program_entry *e = &p->metrics[i];

		if ((e->flags & PROGRAM_METRIC_RETIRED) || !is_metric(p, e, name, NULL))
			continue;
		err = p->retired < PROGRAM_RETIRED_MAX ? retire_metric(p, i) : -EEXIST;
	}
	index_metrics(p);
	return err;
}

static struct program_entry *entry_of(const struct program *p, uint32_t first)
{
	size_t low = 0, high = p->nmetrics;

	while (high - low > 1) {
		size_t middle = (low + high) / 2;

		*(p->metrics[middle].first <= first ? &low : &high) = middle;
	}
	return &p->metrics[low];
}

struct program_metric program_metric_of(const struct program *p, uint32_t series)
{
	return program_metric(p, (size_t)(entry_of(p, series) - p->metrics));
}

void program_hold(struct program *p, uint32_t first)
{
	entry_of(p, first)->users++;
}

void program_drop(struct program *p, uint32_t first)
{
	if (--entry_of(p, first)->users == 0)
		p->freed++;
}

/* Makes it, if the program and its user may have that many. */
static int make_metric(struct programs *ps, struct program *p, const struct program_metric *m)
{
	uint32_t count = program_metric_series(m);

	if (p->user->series + count > USER_SERIES_MAX || ps->series + count > PROGRAMS_SERIES_MAX ||
		p->schema_bytes + count * series_cost(p, m) > PROGRAM_SCHEMA_MAX)
		return -E2BIG;
	return add_metric(ps, p, m);
}

int program_find_metric(
	struct programs *ps, struct program *p, const struct program_metric *m, uint32_t *ret)
{
	bool findable = p->nslots && !(m->flags & PROGRAM_METRIC_RETIRED);
	uint32_t *named = NULL, *slot = NULL;
	struct program_metric other;
	int err = 0;

	if (findable)
		slot = find_metric(p, m->name, m->labels, &named);
	if (findable && *named) {
		other = program_metric(p, *named - 1);
		if (!same_kind(&other, m)) {
			err = retire_name(p, m->name);
			slot = NULL; /* what was found is retired */
		}
	}
	if (err)
		return err;
	if (slot && *slot) {
		*ret = p->metrics[*slot - 1].first;
		return 0;
	}
	err = make_metric(ps, p, m);
	if (!err)
		*ret = p->metrics[p->nmetrics - 1].first;
	return err;
}

/* --- a poll ---------------------------------------------------------------------------------- */

static uint64_t sum_doubles(uint64_t a, uint64_t b)
{
	return word_of_double(double_of_word(a) + double_of_word(b));
}

static uint64_t max_double(uint64_t a, uint64_t b)
{
	return double_of_word(b) > double_of_word(a) ? b : a;
}

void program_add(uint64_t *to, uint8_t type, uint8_t flags, const uint64_t *values, uint32_t n)
{
	bool peak = flags & TALLY_FLAG_PEAK;

	if (type == TALLY_TYPE_INFO)
		*to = 1;
	else if (type == TALLY_TYPE_GAUGE_DOUBLE)
		for (uint32_t i = 0; i < n; i++)
			to[i] = peak ? max_double(to[i], values[i]) : sum_doubles(to[i], values[i]);
	else if (type == TALLY_TYPE_GAUGE && peak)
		for (uint32_t i = 0; i < n; i++)
			to[i] = (int64_t)values[i] > (int64_t)to[i] ? values[i] : to[i];
	else
		add_words(to, to, values, n);
}

void programs_begin(struct programs *ps)
{
	for (size_t i = 0; i < ps->nusers; i++)
		ps->users[i]->poll_bytes = 0;
	for (size_t i = 0; i < ps->n; i++) {
		struct program *p = ps->list[i];

		if (p->folded)
			memcpy(p->group.values, p->folded, p->group.schema.n * sizeof(uint64_t));
		else
			memset(p->group.values, 0, p->group.schema.n * sizeof(uint64_t));
		p->partial = false;
	}
}

/* A counter that went down (somebody wrote into his segment) began again: it is marked as a reset. */
static void check_resets(struct group *g)
{
	bool stepped_back = false;

	for (size_t i = 0; i < g->nlast; i++)
		/* this first: most values never are lower, and the series need not be looked at */
		if (g->values[i] < g->last[i])
			stepped_back |= g->schema.series[i].type != METRIC_GAUGE &&
					g->schema.series[i].part != SERIES_SUM;
	if (stepped_back) {
		g->schema.start_ns = (uint64_t)clock_realtime_ns();
		g->version++;
	}
}

int programs_end(struct programs *ps, struct snapshot *s, uint64_t begin_ns, uint64_t end_ns)
{
	int err = 0;

	for (size_t i = 0; i < ps->n && !err; i++) {
		if (ps->list[i]->partial)
			continue;
		check_resets(&ps->list[i]->group);
		err = snapshot_add(s, &ps->list[i]->group, begin_ns, end_ns);
	}
	return err;
}
