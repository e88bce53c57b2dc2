/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verification of a whole history, read only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/names.h"
#include "gatherer/store/nodeset.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"
#include "gatherer/store/store.h"

#define WRITER_PAUSE_MS 100

struct check {
	int dirfd;
	damage_fn fn;
	void *arg;
	long damages;
	char file[64]; /* that is being checked */
	struct sealed_reader *reader;
};

static void report(void *arg, uint64_t offset, const char *what)
{
	struct check *c = arg;

	c->damages++;
	c->fn(c->arg, c->file, offset, what);
}

/* what: a part of a sealed file. */
static void report_part(void *arg, uint64_t offset, const char *what)
{
	char text[120];

	snprintf(text, sizeof(text), "damaged %s: its checksum or content is wrong", what);
	report(arg, offset, text);
}

static int check_sealed(struct check *c, uint64_t number)
{
	struct sealed *f;
	long found;
	int err;

	snprintf(c->file, sizeof(c->file), SEALED_NAME_FORMAT, (unsigned long long)number);
	err = sealed_open(c->dirfd, number, &f);
	if (err == -ENOENT)
		return 0; /* removed since it was listed */
	if (err == -EBADMSG || err == -EPROTO || err == -EIO) {
		report(c, 0,
			err == -EPROTO ? "made by a newer version"
				       : "damaged header, footer or index: nothing of the file "
					 "can be read");
		return 0;
	}
	if (err)
		return err;
	found = sealed_verify(c->reader, f, report_part, c);
	sealed_close(f);
	return found < 0 ? (int)found : 0;
}

struct head_check {
	struct check *check;
	struct nodeset set;
};

static void report_record(void *arg, uint64_t from, uint64_t to)
{
	struct head_check *h = arg;

	(void)to;
	report(h->check, from, "damaged record: its length or checksum is wrong");
}

/* Reports damage in the middle; *ret_tail is where an unfinished record begins, or the length. */
static int check_records(
	struct check *c, const struct buf *bytes, uint64_t number, size_t *ret_tail)
{
	struct head_check h = {.check = c};
	struct replay replay = {.set = &h.set, .damage = report_record, .arg = &h};
	size_t pos = RECFILE_HEADER;
	uint64_t found;
	int err = recfile_check_header(bytes->data, bytes->len, RECFILE_HEAD, &found);

	*ret_tail = bytes->len;
	if (err == -EPROTO) {
		report(c, 0, "made by a newer version");
		return 0;
	}
	if (err || found != number)
		report(c, 0, "damaged header: not that of a head of this number");
	if (bytes->len <= RECFILE_HEADER)
		return 0;
	replay.salt = recfile_salt(bytes->data, bytes->len);
	err = replay_records(&replay, bytes->data, bytes->len, &pos);
	*ret_tail = replay.torn_at;
	replay_release(&replay);
	nodeset_release(&h.set);
	return err;
}

/* Is the record at the tail still unfinished when a writer had time to go on? */
static bool stays_unfinished(int fd, size_t tail, uint32_t salt)
{
	struct buf bytes = BUF_INIT;
	struct record rec;
	bool unfinished;

	os_pause_ms(WRITER_PAUSE_MS);
	unfinished = os_read_rest(fd, tail, SIZE_MAX, &bytes) == 0 &&
		     record_parse(bytes.data, bytes.len, salt, &rec) <= 0;
	buf_release(&bytes);
	return unfinished;
}

static int check_head(struct check *c, uint64_t number)
{
	struct buf bytes = BUF_INIT;
	size_t tail;
	int fd, err;

	snprintf(c->file, sizeof(c->file), HEAD_NAME_FORMAT, (unsigned long long)number);
	fd = os->open(c->dirfd, c->file, O_RDONLY, 0);
	if (fd == -ENOENT)
		return 0; /* sealed since it was listed: the next check sees it */
	if (fd < 0)
		return fd;
	err = os_read_rest(fd, 0, SIZE_MAX, &bytes);
	if (!err)
		err = check_records(c, &bytes, number, &tail);
	if (!err && tail < bytes.len &&
		stays_unfinished(fd, tail, recfile_salt(bytes.data, bytes.len)))
		report(c, tail, "unfinished record at the end; the next writer cuts it");
	os->close(fd);
	buf_release(&bytes);
	return err;
}

static int check_files(struct check *c, const struct names *names)
{
	int err = 0;

	for (size_t i = 0; i < names->sealed.n && !err; i++)
		err = check_sealed(c, names->sealed.list[i]);
	for (size_t i = 0; i < names->heads.n && !err; i++)
		if (!numbers_have(&names->sealed, names->heads.list[i]))
			err = check_head(c, names->heads.list[i]);
	return err;
}

/* What earlier openings have set aside stays damage until a person removes it. */
static int report_aside(void *arg, const char *name)
{
	struct check *c = arg;

	snprintf(c->file, sizeof(c->file), "bad/%.50s", name);
	report(c, 0, "set aside by the writer, which could not read it");
	return 0;
}

static int check_aside(struct check *c)
{
	int fd = os->open(c->dirfd, "bad", O_RDONLY | O_DIRECTORY, 0);
	int err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = os_list(fd, report_aside, c);
	os->close(fd);
	return err;
}

long history_check(const char *dir, damage_fn fn, void *arg, struct errmsg *e)
{
	struct check c = {.dirfd = -1, .fn = fn, .arg = arg, .reader = sealed_reader_new()};
	struct names names = {0};
	int err = c.reader ? os_open_dir(dir, false, &c.dirfd, e) : -ENOMEM;

	if (err) {
		sealed_reader_free(c.reader);
		return err;
	}
	err = names_list(c.dirfd, &names);
	if (!err)
		err = check_files(&c, &names);
	if (!err)
		err = check_aside(&c);
	names_release(&names);
	sealed_reader_free(c.reader);
	os->close(c.dirfd);
	return err ? err_set(e, err, "%s: cannot check: %s", dir, strerror(-err)) : c.damages;
}
