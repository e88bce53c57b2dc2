/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "proc": system-wide text files of /proc, each a group of its own. Descriptors are kept
 * (a name is looked up once, and privileges may go), a poll is one pread or two and a walk, without
 * an allocation unless the shape of a file has changed.
 */
#include "user/provider/proc.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/producer.h"

#define TEXT_START (16u << 10)
#define TEXT_MAX   (4u << 20)
#define SERIES_MAX 16384u
#define SEEN_MAX   (2 * SERIES_MAX)
#define FILES_MAX  16u

struct proc_file {
	const struct proc_source *source;
	int fd;
	struct proc_sink sink;
	struct group group;
	uint64_t start_ns; /* since when its counters count */
	bool failing;
};

struct proc {
	struct proc_file files[FILES_MAX];
	size_t n;
	char *text; /* shared by all files */
	size_t size;
	uint64_t boot_ns;
	uint32_t interval_ms;
};

/* --- sink ------------------------------------------------------------------------------------ */

static uint64_t hash_key(const struct proc_metric *m, const struct proc_label *labels)
{
	uint64_t h = hash_bytes(HASH_START, m->name, strlen(m->name) + 1);

	for (; labels && labels->name; labels++) {
		h = hash_bytes(h, &labels->len, sizeof(labels->len));
		h = hash_bytes(h, labels->value, labels->len);
	}
	return h;
}

static int grow(struct proc_sink *k)
{
	uint64_t **arrays[] = {&k->group->values, &k->next, &k->shape};
	size_t capacity = k->capacity ? 2 * k->capacity : 64;

	for (size_t i = 0; i < 3; i++) {
		uint64_t *grown = reallocarray(*arrays[i], capacity, sizeof(uint64_t));

		if (!grown)
			return -ENOMEM;
		*arrays[i] = grown;
	}
	k->capacity = capacity;
	return 0;
}

static int format_labels(const struct proc_label *labels, struct buf *out)
{
	const char *names[4], *values[4];
	char copies[4][128];
	size_t n = 0;

	for (; labels && labels->name && n < 4; labels++, n++) {
		size_t len = labels->len < 127 ? labels->len : 127;

		memcpy(copies[n], labels->value, len);
		copies[n][len] = '\0';
		names[n] = labels->name;
		values[n] = copies[n];
	}
	return labels_format(out, n, names, values);
}

static int add_series(
	struct proc_sink *k, const struct proc_metric *m, const struct proc_label *labels)
{
	struct buf text = BUF_INIT;
	struct series s = {
		.name = (char *)m->name,
		.unit = (char *)m->unit,
		.help = (char *)m->help,
		.type = m->type,
		.kind = m->type == METRIC_GAUGE ? VALUE_I64 : VALUE_U64,
		.scale = m->scale,
	};
	int err = k->n == SERIES_MAX ? -E2BIG : 0;

	if (!err && k->n == k->capacity)
		err = grow(k);
	if (!err)
		err = format_labels(labels, &text);
	buf_put_u8(&text, 0);
	if (!err)
		err = buf_error(&text);
	if (!err) {
		s.labels = (char *)text.data;
		err = schema_add(&k->group->schema, &s);
	}
	buf_release(&text);
	return err;
}

/* What was seen of this series; the search goes on where the last one ended, for they come in order. */
static struct proc_seen *find_seen(struct proc_sink *k, uint64_t hash)
{
	for (size_t i = 0; i < k->nseen; i++) {
		size_t at = (k->hint + i) % k->nseen;

		if (k->seen[at].hash == hash) {
			k->hint = at + 1;
			return &k->seen[at];
		}
	}
	return NULL;
}

/* Before the schema goes: what its counters had reached. */
static int remember_values(struct proc_sink *k)
{
	const struct schema *s = &k->group->schema;
	struct proc_seen *grown;

	grown = s->n ? reallocarray(k->seen, k->nseen + s->n, sizeof(*grown)) : k->seen;
	if (s->n && !grown)
		return -ENOMEM;
	k->seen = grown;
	for (size_t i = 0; i < s->n; i++) {
		struct proc_seen *old = find_seen(k, k->shape[i]);

		if (!old) {
			old = &k->seen[k->nseen++];
			old->hash = k->shape[i];
		}
		old->value = k->group->values[i];
	}
	/* Names that come and go without end: forget them, and count everything from now on. */
	if (k->nseen > SEEN_MAX) {
		k->nseen = 0;
		k->stepped_back = true;
	}
	return 0;
}

/* A counter never goes down: a small known step back is held, any other one is a new beginning. */
static uint64_t check_step(
	struct proc_sink *k, const struct proc_metric *m, uint64_t old, uint64_t value)
{
	if (value >= old)
		return value;
	if (old - value <= m->may_step_back)
		return old;
	k->stepped_back = true;
	return value;
}

void proc_put(struct proc_sink *k, const struct proc_metric *m, const struct proc_label *labels,
	uint64_t value)
{
	uint64_t hash = hash_key(m, labels);
	const struct proc_seen *seen;

	if (k->err || k->changed)
		return;
	if (k->build) {
		k->err = add_series(k, m, labels);
		if (k->err)
			return;
		k->shape[k->n] = hash;
		seen = m->type == METRIC_COUNTER ? find_seen(k, hash) : NULL;
		if (seen)
			value = check_step(k, m, seen->value, value);
	} else if (k->n >= k->group->schema.n || k->shape[k->n] != hash) {
		k->changed = true;
		return;
	} else if (k->group->schema.series[k->n].type == METRIC_COUNTER) {
		value = check_step(k, m, k->group->values[k->n], value);
	}
	k->next[k->n++] = value;
}

/* --- files ----------------------------------------------------------------------------------- */

static int grow_text(struct proc *p)
{
	size_t size = p->size ? 4 * p->size : TEXT_START;
	char *text = size <= TEXT_MAX ? realloc(p->text, size) : NULL;

	if (!text)
		return size > TEXT_MAX ? -EFBIG : -ENOMEM;
	p->text = text;
	p->size = size;
	return 0;
}

/* The whole file, in p->text. These files are longer than what one read gives. */
static int read_text(struct proc *p, const struct proc_file *f, size_t *ret_len)
{
	size_t len = 0;

	for (;;) {
		ssize_t got;
		int err = len == p->size ? grow_text(p) : 0;

		if (err)
			return err;
		got = pread(f->fd, p->text + len, p->size - len, (off_t)len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		len += (size_t)got;
	}
	*ret_len = len;
	return 0;
}

static int walk(struct proc_file *f, struct proc_text t, bool build)
{
	struct proc_sink *k = &f->sink;
	int err;

	k->n = 0;
	k->build = build;
	k->changed = false;
	k->err = 0;
	/* A last line without its end was cut, and its number with it. */
	if (t.p < t.end && t.end[-1] != '\n')
		return -EBADMSG;
	err = f->source->walk(t, k);
	if (err || k->err)
		return err ? err : k->err;
	if (!k->n && !k->changed)
		return -EBADMSG;
	if (!build && k->n < f->group.schema.n)
		k->changed = true;
	return 0;
}

/* Makes the schema anew. After an error there is none: the next poll tries again. */
static int build_group(struct proc *p, struct proc_file *f, struct proc_text t)
{
	struct group *g = &f->group;
	int err = remember_values(&f->sink);

	schema_release(&g->schema);
	if (err)
		return err;
	g->schema = (struct schema){.interval_ms = p->interval_ms, .start_ns = f->start_ns};
	g->schema.group = strdup(f->source->group);
	g->version++;
	err = g->schema.group ? walk(f, t, true) : -ENOMEM;
	if (err)
		schema_release(&g->schema);
	return err;
}

static int read_file(struct proc *p, struct proc_file *f)
{
	struct group *g = &f->group;
	struct proc_text t;
	size_t len = 0;
	int err = read_text(p, f, &len);

	if (err)
		return err;
	t = (struct proc_text){p->text, p->text + len};
	f->sink.stepped_back = false;
	err = g->schema.n ? walk(f, t, false) : 0;
	if (!err && (!g->schema.n || f->sink.changed))
		err = build_group(p, f, t);
	if (err)
		return err;
	/* Only now: half of a damaged file must not be what the next poll is compared with. */
	memcpy(g->values, f->sink.next, g->schema.n * sizeof(uint64_t));
	if (f->sink.stepped_back)
		f->start_ns = (uint64_t)clock_realtime_ns();
	if (g->schema.start_ns != f->start_ns) {
		g->schema.start_ns = f->start_ns;
		g->version++;
	}
	return 0;
}

/* --- producer -------------------------------------------------------------------------------- */

static void proc_close(struct producer *producer)
{
	struct proc *p = producer->state;

	for (size_t i = 0; i < p->n; i++) {
		close(p->files[i].fd);
		free(p->files[i].sink.shape);
		free(p->files[i].sink.next);
		free(p->files[i].sink.seen);
		group_release(&p->files[i].group);
	}
	free(p->text);
	free(p);
	producer->state = NULL;
}

static void open_file(struct proc *p, int dirfd, const struct proc_source *source)
{
	struct proc_file *f = &p->files[p->n];
	int fd = openat(dirfd, source->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && source->optional)
		return;
	if (fd < 0) {
		diag_notice("producer proc: %s is left out: %s", source->path, strerror(errno));
		return;
	}
	*f = (struct proc_file){.source = source, .fd = fd, .start_ns = p->boot_ns};
	f->sink.group = &f->group;
	p->n++;
}

static int proc_open(struct producer *producer, const struct provider_env *env, struct errmsg *e)
{
	int dirfd = open(env->proc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct proc *p;

	if (dirfd < 0)
		return err_set(e, -errno, "%s: %s", env->proc_dir, strerror(errno));
	p = calloc(1, sizeof(*p));
	if (!p) {
		close(dirfd);
		return -ENOMEM;
	}
	p->boot_ns = env->boot_ns;
	p->interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	proc_set_ticks(sysconf(_SC_CLK_TCK));
	for (const struct proc_source *s = proc_sources; s->path && p->n < FILES_MAX; s++)
		open_file(p, dirfd, s);
	close(dirfd);
	producer->state = p;
	if (!p->n) {
		proc_close(producer);
		return err_set(e, -ENOENT, "%s holds none of its files", env->proc_dir);
	}
	return 0;
}

static int proc_get_stats(struct producer *producer, struct snapshot *s)
{
	struct proc *p = producer->state;
	int first_err = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct proc_file *f = &p->files[i];
		uint64_t begin = clock_monotonic_ns();
		int err = read_file(p, f);

		if (!err)
			err = snapshot_add(s, &f->group, begin, clock_monotonic_ns());
		if (err && !f->failing)
			diag_warning("producer proc: %s can't be used: %s", f->source->path,
				strerror(-err));
		f->failing = err != 0;
		first_err = first_err ? first_err : err;
	}
	return first_err;
}

const struct producer_ops producer_proc = {
	.name = "proc",
	.help = "CPU times, memory, disks, network and load from /proc",
	.open = proc_open,
	.get_stats = proc_get_stats,
	.close = proc_close,
};
