/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of processes that ended. Fields, in this order:
 *
 *   end, seconds since 1970       CPU time of the user's code   pid              name
 *   run time, seconds             CPU time of the kernel        its parent's     path of its cgroup
 *   code, as wait(2) tells it     most memory, bytes            user id          program in its segment, or -
 *                                 read, then written, bytes                      what it counted, or -
 *
 * Column by column. Names are made printable.
 */
#include "user/provider/kernel/endlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/util.h"

struct endlog {
	char path[4096], old[4096];
	uint64_t boot_ns, page_size;
	struct buf lines;
};

struct endlog *endlog_new(const char *state_dir, uint64_t boot_ns, uint64_t page_size)
{
	struct endlog *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	if ((size_t)snprintf(l->path, sizeof(l->path), "%s/" ENDLOG_NAME, state_dir) >=
			sizeof(l->path) ||
		(size_t)snprintf(l->old, sizeof(l->old), "%s/" ENDLOG_OLD, state_dir) >=
			sizeof(l->old)) {
		free(l);
		return NULL;
	}
	l->boot_ns = boot_ns;
	l->page_size = page_size;
	return l;
}

void endlog_free(struct endlog *l)
{
	if (!l)
		return;
	buf_release(&l->lines);
	free(l);
}

/* A name as one field. */
static void put_name(struct buf *out, const char *name)
{
	for (; *name; name++)
		buf_put_u8(
			out, (uint8_t)((unsigned char)*name < ' ' || *name == 127 ? '?' : *name));
	buf_put_u8(out, '\t');
}

static void put_seconds(struct buf *out, uint64_t ns)
{
	buf_printf(out, "%llu.%06llu\t", (unsigned long long)(ns / NSEC_PER_SEC),
		(unsigned long long)(ns % NSEC_PER_SEC / 1000));
}

static void put_number(struct buf *out, uint64_t v)
{
	buf_printf(out, "%llu\t", (unsigned long long)v);
}

/*
 * The user's part of the exact time, in the ratio that ticks found. As in the kernel, all of it is the user's
 * where no tick found the process at all.
 */
static uint64_t user_ns(const struct ended_figures *r)
{
	double ticks = (double)r->user_ns + (double)r->system_ns;

	if (ticks <= 0)
		return r->sums[ENDED_CPU];
	return (uint64_t)((double)r->sums[ENDED_CPU] * ((double)r->user_ns / ticks));
}

void endlog_add(struct endlog *l, const struct ended_figures *r, const char *cgroup,
	const char *program, const char *counted)
{
	struct buf *out = &l->lines;
	uint64_t user = user_ns(r);

	put_seconds(out, l->boot_ns + r->end_ns);
	put_seconds(out, r->end_ns - r->start_ns);
	put_number(out, r->code);
	put_seconds(out, user);
	put_seconds(out, r->sums[ENDED_CPU] - user);
	put_number(out, r->peak_pages * l->page_size);
	put_number(out, r->sums[ENDED_READ]);
	put_number(out, r->sums[ENDED_WRITTEN]);
	put_number(out, r->pid);
	put_number(out, r->parent);
	put_number(out, r->uid);
	put_name(out, r->comm);
	put_name(out, cgroup);
	put_name(out, program ? program : "-");
	put_name(out, counted && *counted ? counted : "-");
	if (!buf_error(out) && out->len)
		out->data[out->len - 1] = '\n';
}

int endlog_flush(struct endlog *l)
{
	struct stat st;
	int fd, err;

	if (!l->lines.len && !buf_error(&l->lines))
		return 0;
	err = buf_error(&l->lines);
	fd = err ? -1 : open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (!err && fd < 0)
		err = -errno;
	if (!err)
		err = write_all(fd, l->lines.data, l->lines.len);
	if (!err && fstat(fd, &st) == 0 && st.st_size >= (off_t)ENDLOG_BYTES &&
		rename(l->path, l->old) < 0)
		err = -errno;
	if (fd >= 0)
		close(fd);
	buf_reset(&l->lines);
	return err;
}
