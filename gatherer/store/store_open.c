/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening the writer: after whatever happened to the one before, a head is found or made that can be
 * appended to, and every node's stream is where it was. Only heads are read, so it takes the same time
 * however long the history is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/names.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"
#include "gatherer/store/store_int.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define HEAD_BYTES_DEFAULT  (64ull << 20)
#define HEAD_AGE_NS_DEFAULT (3600 * NSEC_PER_SEC)
#define HEAD_TRIES          3
#define BAD_DIR             "bad"

/* --- what is set aside ---------------------------------------------------------------------- */

static int make_bad_dir(struct store *s)
{
	int err = os->mkdir(s->dirfd, BAD_DIR);

	return err == -EEXIST ? 0 : err;
}

/* A damaged sealed file makes room for the head that it was made of. */
static int move_to_bad(struct store *s, const char *name)
{
	char to[64];
	int err = make_bad_dir(s);

	snprintf(to, sizeof(to), BAD_DIR "/%s", name);
	if (!err)
		err = os->rename(s->dirfd, name, to);
	diag_warning("%s/%s: damaged, %s", s->dir, name,
		err ? "and can't be set aside" : "set aside in " BAD_DIR);
	return err;
}

static void copy_to_bad(struct store *s, uint64_t number, uint64_t from, const uint8_t *p, size_t n)
{
	int err = make_bad_dir(s), fd;
	char name[80];

	snprintf(name, sizeof(name), BAD_DIR "/head-%08llu-%llu.bin", (unsigned long long)number,
		(unsigned long long)from);
	fd = err ? err : os->open(s->dirfd, name, O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (fd == -EEXIST)
		return; /* by an earlier opening */
	err = fd < 0 ? fd : 0;
	if (!err) {
		err = os_write_all(fd, p, n);
		os->close(fd);
	}
	diag_warning("%s/" HEAD_NAME_FORMAT ": %zu bytes damaged at offset %llu, %s", s->dir,
		(unsigned long long)number, n, (unsigned long long)from,
		err ? "and can't be set aside" : "set aside in " BAD_DIR);
}

/* --- heads ---------------------------------------------------------------------------------- */

struct opening {
	struct store *s;
	struct names names;
	uint64_t number; /* of the head that is being read */
	struct buf bytes;
	bool damaged; /* that head can be read, but not be continued */
	bool renumbered;
};

static void set_aside(void *arg, uint64_t from, uint64_t to)
{
	struct opening *o = arg;

	o->damaged = true;
	copy_to_bad(o->s, o->number, from, o->bytes.data + from, to - from);
}

static int check_head_header(struct opening *o, struct errmsg *e)
{
	uint64_t number;
	int err = recfile_check_header(o->bytes.data, o->bytes.len, RECFILE_HEAD, &number);

	if (err == -EPROTO)
		return err_set(e, err, "%s/" HEAD_NAME_FORMAT ": made by a newer version",
			o->s->dir, (unsigned long long)o->number);
	if (err || number != o->number) {
		size_t n = o->bytes.len < RECFILE_HEADER ? o->bytes.len : RECFILE_HEADER;

		o->damaged = true;
		o->s->stats.damage_bytes += n;
		copy_to_bad(o->s, o->number, 0, o->bytes.data, n);
	}
	return 0;
}

/* The torn tail of a crash was never acknowledged. */
static int cut_tail(struct opening *o, int fd, size_t at)
{
	size_t tail = o->bytes.len - at;
	int err = tail ? os->truncate(fd, at) : 0;

	if (err || !tail)
		return err;
	o->s->stats.damage_bytes += tail;
	diag_notice("%s/" HEAD_NAME_FORMAT ": cut %zu bytes of an unfinished record", o->s->dir,
		(unsigned long long)o->number, tail);
	return 0;
}

static int replay_all(struct opening *o, struct replay *replay, struct errmsg *e)
{
	size_t pos = RECFILE_HEADER;
	int err = replay_records(replay, o->bytes.data, o->bytes.len, &pos);

	if (err == -EPROTO)
		err_set(e, err, "%s/" HEAD_NAME_FORMAT ": holds records of a newer version",
			o->s->dir, (unsigned long long)o->number);
	return err;
}

static int replay_head(struct opening *o, int fd, struct head *ret, struct errmsg *e)
{
	struct store *s = o->s;
	struct replay replay = {.set = &s->nodes, .damage = set_aside, .arg = o};
	bool unsure;
	int err;

	o->damaged = o->renumbered = false;
	buf_reset(&o->bytes);
	err = os_read_rest(fd, 0, SIZE_MAX, &o->bytes);
	if (!err)
		err = check_head_header(o, e);
	unsure = o->damaged; /* without the salt everything looks like a torn tail */
	replay.salt = recfile_salt(o->bytes.data, o->bytes.len);
	if (!err && o->bytes.len > RECFILE_HEADER)
		err = replay_all(o, &replay, e);
	else
		replay.torn_at = o->bytes.len;
	if (!err && unsure && replay.torn_at < o->bytes.len)
		set_aside(o, replay.torn_at, o->bytes.len);
	else if (!err)
		err = cut_tail(o, fd, replay.torn_at);
	/* What a killed writer had not synced is only in memory: it counts as durable from now on. */
	if (!err)
		err = os->fdatasync(fd);
	s->stats.damage_bytes += replay.damage_bytes;
	s->head_records = replay.state_to ? replay.torn_at - replay.state_to : 0;
	o->renumbered = replay.renumbered;
	*ret = (struct head){
		.fd = fd, .number = o->number, .salt = replay.salt, .size = replay.torn_at};
	replay_release(&replay);
	return err;
}

/*
 * Reads one head; it becomes the store's if it is the only one and can be continued. Of several, the
 * last one may have been begun for a moment that has passed: its state need not be the one that all
 * heads together come to.
 */
static int open_head(struct opening *o, bool only, struct errmsg *e)
{
	struct store *s = o->s;
	char name[HEAD_NAME_SIZE];
	struct head head;
	int fd, err;

	snprintf(name, sizeof(name), HEAD_NAME_FORMAT, (unsigned long long)o->number);
	fd = os->open(s->dirfd, name, O_RDWR | O_APPEND, 0);
	if (fd < 0)
		return err_set(e, fd, "%s/%s: %s", s->dir, name, strerror(-fd));
	err = replay_head(o, fd, &head, e);
	if (err) {
		os->close(fd);
		return err == -EPROTO ? err
				      : err_set(e, err, "%s/%s: %s", s->dir, name, strerror(-err));
	}
	if (only && !o->damaged && !o->renumbered) {
		s->head = head;
		return 0;
	}
	os->close(fd);
	return store_add_old(s, o->number);
}

/* --- what a crash between two steps has left ------------------------------------------------ */

static void ignore_damage(void *arg, uint64_t offset, const char *what)
{
	(void)arg;
	(void)offset;
	(void)what;
}

static bool sealed_is_whole(struct store *s, uint64_t number)
{
	struct sealed_reader *r = sealed_reader_new();
	struct sealed *f = NULL;
	bool whole = r && sealed_open(s->dirfd, number, &f) == 0 &&
		     sealed_verify(r, f, ignore_damage, NULL) == 0;

	sealed_close(f);
	sealed_reader_free(r);
	return whole;
}

/* A head and a sealed file of one number: the crash was behind the rename and before the unlink. */
static void resolve_double(struct store *s, uint64_t number, bool *ret_head_counts)
{
	char head[HEAD_NAME_SIZE], sealed[SEALED_NAME_SIZE];
	int err;

	snprintf(head, sizeof(head), HEAD_NAME_FORMAT, (unsigned long long)number);
	snprintf(sealed, sizeof(sealed), SEALED_NAME_FORMAT, (unsigned long long)number);
	*ret_head_counts = !sealed_is_whole(s, number);
	if (*ret_head_counts)
		move_to_bad(s, sealed); /* if it can't be moved, sealing the head replaces it */
	else if ((err = os->unlink(s->dirfd, head)))
		diag_warning("%s/%s: cannot remove: %s", s->dir, head, strerror(-err));
}

static void resolve_doubles(struct opening *o)
{
	struct numbers *heads = &o->names.heads;
	size_t kept = 0;

	for (size_t i = 0; i < heads->n; i++) {
		bool head_counts = true;

		if (numbers_have(&o->names.sealed, heads->list[i]))
			resolve_double(o->s, heads->list[i], &head_counts);
		if (head_counts)
			heads->list[kept++] = heads->list[i];
	}
	heads->n = kept;
}

/*
 * Without any head (they were lost, not sealed) the newest sealed file tells which incarnations have
 * been here. Not the last one of each node: it may still be going on, and what comes twice of it is
 * dropped by readers.
 */
static int recall_nodes(struct opening *o)
{
	const struct numbers *sealed = &o->names.sealed;
	struct sealed *f;
	int err = sealed->n ? sealed_open(o->s->dirfd, sealed->list[sealed->n - 1], &f) : -ENOENT;

	if (err)
		return err == -ENOMEM ? err : 0;
	for (size_t i = 0; i < f->index.nnodes && !err; i++) {
		const struct sealed_node *n = &f->index.nodes[i];
		ssize_t at = nodeset_add(&o->s->nodes, n->id, n->name);

		err = at < 0 ? (int)at : 0;
		for (size_t k = 0; k + 1 < n->npast && !err; k++)
			stream_add_past(o->s->nodes.nodes[at].stream, n->past[k].incarnation,
				n->past[k].seq);
	}
	sealed_close(f);
	return err;
}

/*
 * What can't be read, also when tried again, must not keep the rest from being served. It stays where
 * it is, and sealing tries it later; what it holds may meanwhile come again from the providers.
 */
static int open_head_or_leave(struct opening *o, bool only, struct errmsg *e)
{
	struct errmsg why = {""};
	int err;

	for (int tries = 0; tries < HEAD_TRIES; tries++) {
		err = open_head(o, only, &why);
		if (err != -EIO && err != -EACCES)
			return err ? err_set(e, err, "%s", why.text) : 0;
	}
	diag_error("%s: left out until it can be read", why.text);
	return store_add_old(o->s, o->number);
}

static int open_heads(struct opening *o, struct errmsg *e)
{
	const struct numbers *heads = &o->names.heads, *sealed = &o->names.sealed;
	struct store *s = o->s;
	int err = heads->n ? 0 : recall_nodes(o);

	s->next_number = 1;
	if (heads->n && heads->list[heads->n - 1] >= s->next_number)
		s->next_number = heads->list[heads->n - 1] + 1;
	if (sealed->n && sealed->list[sealed->n - 1] >= s->next_number)
		s->next_number = sealed->list[sealed->n - 1] + 1;
	for (size_t i = 0; i < heads->n && !err; i++) {
		o->number = heads->list[i];
		err = open_head_or_leave(o, heads->n == 1, e);
	}
	return err;
}

static int begin_head(struct store *s, struct errmsg *e)
{
	struct buf state = BUF_INIT;
	int err = nodeset_put_state(&s->nodes, &state);

	s->head_records = 0;
	if (!err)
		err = head_create(s->dirfd, s->next_number++, s->salt, &state, NULL, &s->head);
	if (err == -ENOSPC || err == -EDQUOT || err == -EIO) {
		diag_warning("%s: cannot begin a head: %s; trying again when there is something to "
			     "write",
			s->dir, strerror(-err));
		s->head = (struct head){.fd = -1, .salt = s->salt, .broken = true};
		s->first_state = state;
		return 0;
	}
	buf_release(&state);
	return err ? err_set(e, err, "%s: cannot begin a head: %s", s->dir, strerror(-err)) : 0;
}

/* --- sealed files: only listed -------------------------------------------------------------- */

static void count_sealed(struct opening *o)
{
	const struct numbers *sealed = &o->names.sealed;
	struct store_stats *stats = &o->s->stats;
	char name[SEALED_NAME_SIZE];
	uint64_t size;

	for (size_t i = 0; i < sealed->n; i++) {
		snprintf(name, sizeof(name), SEALED_NAME_FORMAT,
			(unsigned long long)sealed->list[i]);
		if (os_size_at(o->s->dirfd, name, &size) < 0)
			continue; /* set aside a moment ago */
		stats->sealed_files++;
		stats->sealed_bytes += size;
	}
}

/* --- opening and closing -------------------------------------------------------------------- */

static struct store *store_new(const char *dir, const struct store_options *opt)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dirfd = s->lockfd = s->head.fd = -1;
	s->opt.head_bytes = opt && opt->head_bytes ? opt->head_bytes : HEAD_BYTES_DEFAULT;
	s->opt.head_age_ns = opt && opt->head_age_ns ? opt->head_age_ns : HEAD_AGE_NS_DEFAULT;
	pthread_mutex_init(&s->seal, NULL);
	pthread_mutex_init(&s->io, NULL);
	pthread_mutex_init(&s->lock, NULL);
	s->dir = strdup(dir);
	return s;
}

static void store_free(struct store *s)
{
	head_close(&s->head);
	if (s->lockfd >= 0)
		os->close(s->lockfd);
	if (s->dirfd >= 0)
		os->close(s->dirfd);
	nodeset_release(&s->nodes);
	batch_release(&s->batch);
	batch_release(&s->flying);
	buf_release(&s->first_state);
	free(s->durable);
	free(s->old);
	free(s->dir);
	pthread_mutex_destroy(&s->seal);
	pthread_mutex_destroy(&s->io);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int take_lock(struct store *s, struct errmsg *e)
{
	int err;

	s->lockfd = os->open(s->dirfd, "lock", O_RDWR | O_CREAT, 0640);
	if (s->lockfd < 0)
		return err_set(e, s->lockfd, "%s/lock: %s", s->dir, strerror(-s->lockfd));
	err = os->lock(s->lockfd);
	if (err == -EWOULDBLOCK)
		return err_set(e, -EBUSY, "%s: another process writes this history", s->dir);
	return err ? err_set(e, err, "%s/lock: %s", s->dir, strerror(-err)) : 0;
}

static int recover(struct opening *o, struct errmsg *e)
{
	struct store *s = o->s;
	int err = names_list(s->dirfd, &o->names);

	if (err)
		return err_set(e, err, "%s: cannot be listed: %s", s->dir, strerror(-err));
	for (size_t i = 0; i < o->names.ntemps; i++)
		os->unlink(s->dirfd, o->names.temps[i]); /* if not now, the next time */
	resolve_doubles(o);
	err = open_heads(o, e);
	if (!err && s->head.fd >= 0)
		s->salt = s->head.salt;
	else if (!err && (err = recfile_draw_salt(&s->salt)))
		err_set(e, err, "no random numbers: %s", strerror(-err));
	if (!err && s->head.fd < 0)
		err = begin_head(s, e);
	count_sealed(o);
	return err;
}

/* Everything that was read is durable. */
static int settle(struct store *s)
{
	int err = store_reserve_durable(s);

	for (size_t i = 0; i < s->nodes.n && !err; i++)
		nodeset_newest(&s->nodes.nodes[i], &s->durable[i].incarnation, &s->durable[i].seq);
	s->stats.nodes = s->nodes.n;
	s->stats.head_bytes = s->head.size;
	s->head_began_ns = clock_monotonic_ns();
	return err;
}

int store_open(
	const char *dir, const struct store_options *opt, struct store **ret, struct errmsg *e)
{
	struct store *s = store_new(dir, opt);
	struct opening o = {.s = s};
	int err;

	if (!s || !s->dir) {
		free(s);
		return err_set(e, -ENOMEM, "%s: no memory", dir);
	}
	err = os_open_dir(dir, true, &s->dirfd, e);
	if (!err)
		err = take_lock(s, e);
	if (!err)
		err = recover(&o, e);
	if (!err)
		err = settle(s);
	names_release(&o.names);
	buf_release(&o.bytes);
	if (err)
		store_free(s);
	else
		*ret = s;
	return err;
}

int store_close(struct store *s)
{
	int err = store_sync(s);

	store_free(s);
	return err;
}
