/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "cgroup": CPU, memory, disks, tasks and pressure of each control group.
 *
 *	           found by a walk                 ENODEV, or not found
 *	unknown  ------------------->  living  ---------------------------->  ended   keeps its last values
 *	   ^ over the limit: counted     |  ^         found again               |
 *	   |                             |  +-----------------------------------+
 *	   +------ forgotten <-----------|------------ the oldest of too many --+
 *
 * Cost is what shapes it. A group in which nothing ran has the same CPU time as before: its other files are
 * read every SLOW_NS only, and so are those that are dear, of all groups. A group's descriptors are kept;
 * each holds a page in the kernel once it was read, so those of the dear files are not.
 */
#include "user/provider/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/cgroup_names.h"
#include "user/provider/cgroup_tree.h"
#include "user/provider/producer.h"

#define ENDED_SHARE 4u /* of the limit, how many ended groups are kept */
#define SLOW_NS     (10 * NSEC_PER_SEC)
/* A walk is for what inotify may have missed, too, and takes at most this share of a CPU: 1 in 100. */
#define WALK_NS    (60 * NSEC_PER_SEC)
#define WALK_SHARE 100u
#define TEXT_START (16u << 10)
#define TEXT_MAX   (1u << 20)

struct cgroup {
	char *path;
	char *shown; /* label cgroup; often the path */
	struct cgroup_names names;
	struct sink_label labels[4];
	struct sink sink;
	struct group group;
	int fds[CGROUP_FILES_MAX]; /* -1: not kept, or there is no such file */
	uint16_t nseries[CGROUP_FILES_MAX]; /* that a file put last */
	unsigned trees,
		found; /* bits: where its files were looked for; where the last walk found it */
	uint64_t key_hash; /* of the key's text */
	uint64_t read_ns,
		slow_ns; /* when all files but the dear ones were read, and when these were */
	uint64_t ended; /* which one to end it was, from 1; 0: it lives */
};

struct cgroups_state {
	struct cgroup_tree tree;
	struct cgroup **all; /* sorted by path */
	size_t n, nended, limit;
	/* Groups that the last walk found no place for, by tree: those of different trees may be the same. */
	uint64_t over_limit[CGROUP_TREES_MAX];
	uint64_t ends; /* groups that ended, ever */
	uint64_t walked_ns, walk_after_ns, polled_realtime_ns;
	bool pending; /* a walk is due */
	bool told_limit, first;
	uint32_t interval_ms;
	uint64_t boot_ns;
	char *text; /* of all files of one group */
	size_t size, used;
	struct proc_text texts[CGROUP_FILES_MAX]; /* p is NULL: was not read */
	struct sink count_sink;
	struct group count_group;
};

/* --- one group ---------------------------------------------------------------------------------- */

static void close_files(struct cgroup *g)
{
	for (size_t i = 0; i < CGROUP_FILES_MAX; i++) {
		if (g->fds[i] >= 0)
			close(g->fds[i]);
		g->fds[i] = -1;
	}
}

static void free_cgroup(struct cgroup *g)
{
	if (!g)
		return;
	close_files(g);
	sink_release(&g->sink);
	group_release(&g->group);
	if (g->shown != g->path)
		free(g->shown);
	free(g->path);
	free(g);
}

/* The path itself, or what is told apart as well where it is too long for a label or no clean text. */
static char *show_path(const char *path)
{
	const size_t kept = SINK_LABEL_SIZE - 24;
	size_t n = strlen(path);
	char *shown;

	if (n < SINK_LABEL_SIZE && text_valid(path, n))
		return (char *)path;
	if (asprintf(&shown, "...%016llx%s", (unsigned long long)hash_bytes(HASH_START, path, n),
		    n > kept ? path + n - kept : path) < 0)
		return NULL;
	text_make_valid(shown);
	return shown;
}

static struct cgroup *new_cgroup(struct cgroups_state *c, const char *path)
{
	struct cgroup *g = calloc(1, sizeof(*g));
	size_t n = 0;

	if (!g)
		return NULL;
	for (size_t i = 0; i < CGROUP_FILES_MAX; i++)
		g->fds[i] = -1;
	g->path = strdup(path);
	g->shown = g->path ? show_path(g->path) : NULL;
	if (!g->shown) {
		free_cgroup(g);
		return NULL;
	}
	g->labels[n++] = (struct sink_label){"cgroup", g->shown, strlen(g->shown)};
	cgroup_names_find(g->path, &g->names);
	if (g->names.unit)
		g->labels[n++] = (struct sink_label){"unit", g->names.unit, g->names.unit_len};
	if (g->names.container)
		g->labels[n++] = (struct sink_label){
			"container", g->names.container, g->names.container_len};
	g->sink = (struct sink){.group = &g->group,
		.interval_ms = c->interval_ms,
		.start_ns = c->first ? c->boot_ns : c->polled_realtime_ns,
		.common = g->labels};
	return g;
}

static void open_files(struct cgroups_state *c, struct cgroup *g)
{
	const struct cgroup_file *files = c->tree.files;

	close_files(g);
	g->trees = g->found;
	g->read_ns = g->slow_ns = 0;
	for (size_t i = 0; files[i].name; i++)
		if (!files[i].slow)
			g->fds[i] = cgroup_tree_open_file(&c->tree, g->path, &files[i]);
}

/* Its counters keep what they had reached; its gauges are those of nobody. */
static void end_cgroup(struct cgroups_state *c, struct cgroup *g)
{
	close_files(g);
	g->trees = 0;
	g->ended = ++c->ends;
	c->nended++;
	for (size_t i = 0; i < g->group.schema.n; i++)
		if (g->group.schema.series[i].type == METRIC_GAUGE)
			g->group.values[i] = 0;
}

/* --- all groups ----------------------------------------------------------------------------------- */

static size_t find_place(const struct cgroups_state *c, const char *path)
{
	size_t low = 0, high = c->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(c->all[middle]->path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void forget_at(struct cgroups_state *c, size_t i, struct snapshot *s)
{
	struct cgroup *g = c->all[i];

	if (s)
		snapshot_forget(s, &g->group);
	c->nended -= g->ended != 0;
	memmove(&c->all[i], &c->all[i + 1], (c->n - i - 1) * sizeof(c->all[0]));
	c->n--;
	free_cgroup(g);
}

static void forget_oldest(struct cgroups_state *c, struct snapshot *s)
{
	size_t oldest = c->n;

	for (size_t i = 0; i < c->n; i++)
		if (c->all[i]->ended &&
			(oldest == c->n || c->all[i]->ended < c->all[oldest]->ended))
			oldest = i;
	if (oldest < c->n)
		forget_at(c, oldest, s);
}

struct walk {
	struct cgroups_state *c;
	struct snapshot *s;
};

static uint64_t count_over_limit(const struct cgroups_state *c)
{
	uint64_t most = 0;

	for (size_t i = 0; i < c->tree.ntrees; i++)
		most = c->over_limit[i] > most ? c->over_limit[i] : most;
	return most;
}

static void found_cgroup(void *arg, const char *path, size_t tree)
{
	struct walk *w = arg;
	struct cgroups_state *c = w->c;
	size_t at = find_place(c, path);
	struct cgroup *g = at < c->n && !strcmp(c->all[at]->path, path) ? c->all[at] : NULL;

	if (!g && c->n == c->limit && c->nended) {
		forget_oldest(c, w->s);
		at = find_place(c, path);
	}
	if (!g && (c->n == c->limit || !(g = new_cgroup(c, path)))) {
		c->over_limit[tree]++;
		return;
	}
	if (at == c->n || c->all[at] != g) {
		memmove(&c->all[at + 1], &c->all[at], (c->n - at) * sizeof(c->all[0]));
		c->all[at] = g;
		c->n++;
	}
	g->found |= 1u << tree;
}

/* A new one, one that came back, or one that is in another tree now. */
static void settle(struct cgroups_state *c, struct cgroup *g)
{
	if (g->found && g->ended) {
		g->ended = 0;
		c->nended--;
		g->sink.start_ns = c->polled_realtime_ns;
	}
	if (g->found && g->found != g->trees)
		open_files(c, g);
	else if (!g->found && !g->ended)
		end_cgroup(c, g);
}

static void walk_groups(struct cgroups_state *c, struct snapshot *s)
{
	struct walk w = {.c = c, .s = s};
	uint64_t begin = clock_monotonic_ns(), took, over;

	for (size_t i = 0; i < c->n; i++)
		c->all[i]->found = 0;
	memset(c->over_limit, 0, sizeof(c->over_limit));
	c->pending = cgroup_tree_walk(&c->tree, found_cgroup, &w) != 0;
	for (size_t i = 0; i < c->n; i++)
		settle(c, c->all[i]);
	while (c->nended > c->limit / ENDED_SHARE)
		forget_oldest(c, s);
	over = count_over_limit(c);
	c->pending |=
		over && c->nended; /* the places of those that ended are free by the next walk */
	if (over && !c->told_limit)
		diag_warning(
			"producer cgroup: %lu control groups are over the limit of %zu and left "
			"out; see option cgroup-limit",
			(unsigned long)over, c->limit);
	c->told_limit = over != 0;
	c->first = false;
	took = clock_monotonic_ns() - begin;
	c->walked_ns = begin;
	c->walk_after_ns = begin + took * WALK_SHARE;
}

/* --- reading ---------------------------------------------------------------------------------------- */

/* Twice the room, with what is in it. */
static int grow_text(struct cgroups_state *c)
{
	char *grown = c->size < TEXT_MAX ? malloc(2 * c->size) : NULL;

	if (!grown)
		return c->size < TEXT_MAX ? -ENOMEM : -EFBIG;
	memcpy(grown, c->text, c->used);
	for (size_t i = 0; i < CGROUP_FILES_MAX; i++)
		if (c->texts[i].p)
			c->texts[i] = (struct proc_text){grown + (c->texts[i].p - c->text),
				grown + (c->texts[i].end - c->text)};
	free(c->text);
	c->text = grown;
	c->size *= 2;
	return 0;
}

/*
 * Appends what a file holds to the texts of this group. The kernel makes a file of a control group as a whole at
 * the first read, so a read that leaves room is the last one.
 */
static int read_text(struct cgroups_state *c, size_t i, int fd)
{
	ssize_t got;
	int err;

	while ((got = pread(fd, c->text + c->used, c->size - c->used, 0)) < 0 ||
		(size_t)got == c->size - c->used) {
		err = got < 0 ? -errno : grow_text(c);
		if (err && err != -EINTR)
			return err;
	}
	c->texts[i] = (struct proc_text){c->text + c->used, c->text + c->used + got};
	c->used += (size_t)got;
	return 0;
}

/* A file may be missing: its controller is not on in this group, or the kernel has no such figure. */
static int read_file(struct cgroups_state *c, struct cgroup *g, size_t i)
{
	bool kept = !c->tree.files[i].slow;
	int fd = kept ? g->fds[i] : cgroup_tree_open_file(&c->tree, g->path, &c->tree.files[i]);
	int err;

	if (fd < 0)
		return 0;
	err = read_text(c, i, fd);
	if (!kept)
		close(fd);
	return err == -EOPNOTSUPP ? 0 : err; /* pressure that is switched off */
}

struct group_walk {
	struct cgroups_state *c;
	struct cgroup *g;
	bool slow; /* the dear ones were read, too */
};

static int walk_texts(void *arg, struct sink *k)
{
	struct group_walk *w = arg;
	const struct cgroup_file *files = w->c->tree.files;
	int err = 0;

	for (size_t i = 0; files[i].name && !err; i++) {
		size_t before = k->n;

		if (files[i].slow && !w->slow) {
			sink_keep(k, w->g->nseries[i]);
		} else if (w->c->texts[i].p) {
			if (w->c->texts[i].p < w->c->texts[i].end && w->c->texts[i].end[-1] != '\n')
				return -EBADMSG;
			err = files[i].walk(w->c->texts[i], k, &files[i]);
		}
		if (!k->changed)
			w->g->nseries[i] = (uint16_t)(k->n - before);
	}
	return err;
}

/* Reads the files that are due and not yet there, and takes all of them. */
static int read_rest(struct cgroups_state *c, struct cgroup *g, bool slow)
{
	const struct cgroup_file *files = c->tree.files;
	struct group_walk w = {c, g, slow};
	char name[SCHEMA_NAME_MAX];
	int err = 0;

	for (size_t i = 0; files[i].name && !err; i++)
		if (!c->texts[i].p && (slow || !files[i].slow))
			err = read_file(c, g, i);
	if (err)
		return err;
	if (!g->group.schema.group)
		snprintf(name, sizeof(name), "cgroup.%.240s", g->shown);
	return sink_take(
		&g->sink, g->group.schema.group ? g->group.schema.group : name, walk_texts, &w);
}

static int read_group(struct cgroups_state *c, struct cgroup *g, uint64_t now)
{
	bool first = !g->read_ns, slow = first || now - g->slow_ns >= SLOW_NS;
	uint64_t hash, phase = 0;
	int err = 0;

	memset(c->texts, 0, sizeof(c->texts));
	c->used = 0;
	for (size_t i = 0; c->tree.files[i].name && !err; i++)
		if (c->tree.files[i].key)
			err = read_file(c, g, i);
	if (err)
		return err;
	hash = hash_bytes(HASH_START, c->text, c->used);
	if (c->used && hash == g->key_hash && !slow && now - g->read_ns < SLOW_NS)
		return 0;
	err = read_rest(c, g, slow);
	if (err == -EAGAIN) { /* the shape is another one: for that, all must be there */
		slow = true;
		err = read_rest(c, g, slow);
	}
	if (err)
		return err;
	if (first) /* so that groups found together are not read together for ever */
		phase = hash_bytes(HASH_START, g->path, strlen(g->path)) % SLOW_NS;
	g->key_hash = hash;
	g->read_ns = now - phase;
	g->slow_ns = slow ? now - phase : g->slow_ns;
	return 0;
}

static const struct sink_metric groups = {"cgroup_groups", "",
	"Control groups: alive; ended, whose last values are kept; and left out, over the limit",
	METRIC_GAUGE};

static int count_groups(void *arg, struct sink *k)
{
	const struct cgroups_state *c = arg;
	const struct {
		const char *state;
		uint64_t n;
	} counts[] = {{"alive", c->n - c->nended}, {"ended", c->nended},
		{"over_limit", count_over_limit(c)}};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		sink_put(k, &groups,
			(struct sink_label[]){
				{"state", counts[i].state, strlen(counts[i].state)}, {NULL}},
			counts[i].n);
	return 0;
}

/* --- producer -------------------------------------------------------------------------------------- */

static int cgroup_get_stats(struct producer *producer, struct snapshot *s)
{
	struct cgroups_state *c = producer->state;
	uint64_t now = clock_monotonic_ns(), begin, end;
	int first_err = 0, err;

	c->pending |= cgroup_tree_changed(&c->tree) || now - c->walked_ns >= WALK_NS;
	if (c->pending && now >= c->walk_after_ns)
		walk_groups(c, s);
	c->polled_realtime_ns = clock_realtime_ns();
	begin = clock_monotonic_ns();
	for (size_t i = 0; i < c->n; i++, begin = end) {
		struct cgroup *g = c->all[i];

		err = g->ended ? 0 : read_group(c, g, now);
		if (err == -ENODEV || err == -ENOENT) {
			end_cgroup(c, g);
			c->pending = true; /* there may be another one of that name by now */
			err = 0;
		} else if (err == -EBADMSG && !g->group.schema.n) {
			err = 0; /* a group without any controller */
		}
		end = clock_monotonic_ns();
		if (!err && g->group.schema.n)
			err = snapshot_add(s, &g->group, begin, end);
		first_err = first_err ? first_err : err;
	}
	err = sink_take(&c->count_sink, "cgroup", count_groups, c);
	if (!err)
		err = snapshot_add(s, &c->count_group, begin, clock_monotonic_ns());
	return first_err ? first_err : err;
}

static void cgroup_close(struct producer *producer)
{
	struct cgroups_state *c = producer->state;

	cgroup_tree_close(&c->tree);
	while (c->n)
		free_cgroup(c->all[--c->n]);
	free(c->all);
	free(c->text);
	sink_release(&c->count_sink);
	group_release(&c->count_group);
	free(c);
	producer->state = NULL;
}

static int cgroup_open(struct producer *producer, const struct provider_env *env, struct errmsg *e)
{
	struct cgroups_state *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	err = cgroup_tree_open(&c->tree, env->cgroup_dir, e);
	if (err) {
		free(c);
		return err;
	}
	producer->state = c;
	c->limit = env->cgroup_limit ? env->cgroup_limit : CGROUP_LIMIT_DEFAULT;
	c->all = calloc(c->limit, sizeof(*c->all));
	c->size = TEXT_START;
	c->text = malloc(c->size);
	if (!c->all || !c->text) {
		cgroup_close(producer);
		return -ENOMEM;
	}
	c->first = true;
	c->boot_ns = env->boot_ns;
	c->interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	c->count_sink = (struct sink){
		.group = &c->count_group, .interval_ms = c->interval_ms, .start_ns = env->boot_ns};
	walk_groups(c, NULL);
	c->walk_after_ns = 0;
	return 0;
}

static void describe_files(
	struct describer *d, const struct cgroup_file *files, const char *version)
{
	char labels[128], file[128];

	for (; files->name; files++) {
		snprintf(file, sizeof(file), "%s%s%s%s", files->dir, *files->dir ? "/" : "",
			files->name, version);
		for (const struct cgroup_key *key = files->keys; key->metric; key++) {
			snprintf(labels, sizeof(labels), "cgroup, unit, container%s%s%s%s",
				files->label ? ", " : "", files->label ? files->label : "",
				key->label ? ", " : "", key->label ? key->label : "");
			sink_describe(d, key->metric, labels, file, NULL);
		}
	}
}

static void cgroup_describe(struct describer *d)
{
	describe_files(d, cgroup_files_v2, "");
	describe_files(d, cgroup_files_v1, " (version 1)");
	sink_describe(d, &groups, "state", "the producer", NULL);
}

const struct producer_ops producer_cgroup = {
	.name = "cgroup",
	.help = "CPU, memory, disks and pressure of control groups",
	.open = cgroup_open,
	.get_stats = cgroup_get_stats,
	.close = cgroup_close,
	.reads = "Files of each group, most of which are kept open. Of a group in which nothing "
		 "ran since the poll before only CPU time is read; the rest of it, and memory.stat "
		 "and pressure of every group, every 10 seconds.",
	.describe = cgroup_describe,
};
