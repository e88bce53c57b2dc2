/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "proc": system-wide text files of /proc, each a group of its own. Descriptors are kept
 * (a name is looked up once, and privileges may go), a poll is one pread or two and a walk, without
 * an allocation unless the shape of a file has changed.
 */
#include "user/provider/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"
#include "user/provider/producer.h"

#define TEXT_START (16u << 10)
#define TEXT_MAX   (4u << 20)
#define FILES_MAX  16u

struct proc_file {
	const struct proc_source *source;
	int fd;
	struct sink sink;
	struct group group;
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

/* The whole file, in p->text. Some are longer than what one read gives. */
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
		len += (size_t)got;
		if (!got || (f->source->at_once && len < p->size))
			break;
	}
	*ret_len = len;
	return 0;
}

struct walk {
	const struct proc_source *source;
	struct proc_text text;
};

static int walk_text(void *arg, struct sink *k)
{
	const struct walk *w = arg;

	/* A last line without its end was cut, and its number with it. */
	if (w->text.p < w->text.end && w->text.end[-1] != '\n')
		return -EBADMSG;
	return w->source->walk(w->text, k);
}

static int read_file(struct proc *p, struct proc_file *f)
{
	struct walk w = {.source = f->source};
	size_t len = 0;
	int err = read_text(p, f, &len);

	w.text = (struct proc_text){p->text, p->text + len};
	return err ? err : sink_take(&f->sink, f->source->group, walk_text, &w);
}

/* --- producer -------------------------------------------------------------------------------- */

static void proc_close(struct producer *producer)
{
	struct proc *p = producer->state;

	for (size_t i = 0; i < p->n; i++) {
		close(p->files[i].fd);
		sink_release(&p->files[i].sink);
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
	*f = (struct proc_file){.source = source, .fd = fd};
	f->sink = (struct sink){
		.group = &f->group, .interval_ms = p->interval_ms, .start_ns = p->boot_ns};
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
	uint64_t begin = clock_monotonic_ns(), end;
	int first_err = 0;

	for (size_t i = 0; i < p->n; i++, begin = end) {
		struct proc_file *f = &p->files[i];
		int err = read_file(p, f);

		end = clock_monotonic_ns();
		if (!err)
			err = snapshot_add(s, &f->group, begin, end);
		if (err && !f->failing)
			diag_warning("producer proc: %s can't be used: %s", f->source->path,
				strerror(-err));
		f->failing = err != 0;
		first_err = first_err ? first_err : err;
	}
	return first_err;
}

static void proc_describe(struct describer *d)
{
	char file[64];

	for (const struct proc_source *s = proc_sources; s->path; s++) {
		snprintf(file, sizeof(file), "/proc/%s", s->path);
		s->describe(d, file);
	}
}

const struct producer_ops producer_proc = {
	.name = "proc",
	.help = "CPU times, memory, disks, network and load from /proc",
	.open = proc_open,
	.get_stats = proc_get_stats,
	.close = proc_close,
	.reads = "The files are kept open; a poll reads each of them once, as a whole.",
	.describe = proc_describe,
};
