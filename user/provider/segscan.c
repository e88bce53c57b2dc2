/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of the segment directory: which are new, which are gone, which are no segments.
 *
 * The directory is listed only if its modification time says that it has changed, or if work was left
 * over. Names, opens and the time for both are limited at each poll; a listing goes on where the one
 * before stopped. So one user's files cost the others' a few polls until they are found, and no more.
 */
#include "user/provider/segments_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"

#define ENTRIES_MAX 65536u
/* Of a poll: names that are listed, CPU time for opening; until the first listing is complete: */
#define NAMES_PER_POLL       8192u
#define ORPHANS_PER_POLL     1024u
#define OPEN_NS              (15 * NSEC_PER_MSEC)
#define FIRST_NAMES_PER_POLL 65536u
#define FIRST_OPEN_NS        (200 * NSEC_PER_MSEC)
#define NEW_AGE_NS           (10 * NSEC_PER_SEC)
#define MTIME_GRAIN_NS       NSEC_PER_SEC
#define REFUSE_LOG_NS        NSEC_PER_SEC
#define REFUSED_MAX          65536u

/* What the segments of one user may take of our memory, and how many may be open. */
#define USER_MEMORY_MAX   (16u << 20)
#define USER_SEGMENTS_MAX 8192u
#define MEMORY_MAX        (256u << 20) /* of all users */
#define USER_NOTES        64u /* *.refused of a user that are looked at at a poll */
/* Refused files of one user that are remembered; others are not looked into. */
#define USER_REFUSED_MAX 1024u
/* Time for opening one user's files at a poll, after which the rest of them waits. */
#define USER_OPEN_NS (5 * NSEC_PER_MSEC)
#define USER_FIRST_OPEN_NS \
	(200 * NSEC_PER_MSEC) /* in the first listing, however many polls it takes */

const char *const segment_refusals[REFUSED_REASONS] = {
	[REFUSED_FORMAT] = "format",
	[REFUSED_LARGE] = "too_large",
	[REFUSED_UNREADABLE] = "unreadable",
};

/* --- entries --------------------------------------------------------------------------------- */

void entry_release(struct entry *e)
{
	segfile_close(e->seg);
	free(e->spans);
	free(e->missing);
	free(e->name);
}

void segments_remove_entry(struct segments *s, struct entry *e)
{
	if (e->seg) {
		segments_unmap(e);
		s->stats.segments--;
		s->memory -= segfile_memory(e->seg);
		e->program->user->segments--;
		e->program->user->memory -= segfile_memory(e->seg);
		e->program->user->has_room = true;
	} else if (e->owner) {
		e->owner->refused--;
	}
	entry_release(e);
	*e = s->entries[--s->n];
}

struct fold_id entry_id(const struct entry *e)
{
	struct fold_id id = {e->seg->dev, e->seg->ino, e->seg->btime_ns, {0}};

	memcpy(id.id, e->seg->id, sizeof(id.id));
	return id;
}

static int index_names(struct segments *s)
{
	size_t n = 64;

	while (n < 2 * s->n)
		n *= 2;
	if (n != s->nslots) {
		uint32_t *slots = reallocarray(s->slots, n, sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		s->slots = slots;
		s->nslots = n;
	}
	memset(s->slots, 0, n * sizeof(*s->slots));
	for (size_t i = 0; i < s->n; i++) {
		size_t at = s->entries[i].hash & (n - 1);

		if (!s->entries[i].name)
			continue;
		while (s->slots[at])
			at = (at + 1) & (n - 1);
		s->slots[at] = (uint32_t)i + 1;
	}
	return 0;
}

/* Entries that were added since index_names() are not found: a directory lists a name once. */
static struct entry *find_name(const struct segments *s, const char *name, uint64_t hash)
{
	size_t at = hash & (s->nslots - 1);

	for (; s->slots[at]; at = (at + 1) & (s->nslots - 1)) {
		struct entry *e = &s->entries[s->slots[at] - 1];

		if (e->hash == hash && e->name && !strcmp(e->name, name))
			return e;
	}
	return NULL;
}

static struct entry *add_entry(struct segments *s, const char *name, ino_t ino, uint64_t hash)
{
	struct entry *entries;
	char *copy;

	if (s->n == ENTRIES_MAX)
		return NULL;
	entries = reallocarray(s->entries, s->n + 1, sizeof(*entries));
	if (!entries)
		return NULL;
	s->entries = entries;
	copy = strdup(name);
	if (!copy)
		return NULL;
	s->entries[s->n] = (struct entry){.name = copy, .ino = ino, .hash = hash, .seen = true};
	return &s->entries[s->n++];
}

bool segments_may_log(struct segments *s)
{
	return diag_allowed(&s->refuse_limit, clock_monotonic_ns(), REFUSE_LOG_NS);
}

/* --- opening --------------------------------------------------------------------------------- */

/* Who may read it is its maker's and the directory's choice: say what would let us. */
static void explain_denied(const struct segments *s, const char *name, struct errmsg *e)
{
	struct stat st;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	err_set(e, -EACCES,
		"it belongs to uid %u and gid %u with mode %04o, and we run as uid %u and gid %u; "
		"give the directory mode 3773 and tallyd's group, as the packaged tmpfiles entry "
		"does, and new files can be read, or run tallyd with --user as uid %u",
		(unsigned)st.st_uid, (unsigned)st.st_gid, (unsigned)(st.st_mode & 07777),
		(unsigned)geteuid(), (unsigned)getegid(), (unsigned)st.st_uid);
}

static void refuse(struct segments *s, const char *name, int err, struct errmsg *e)
{
	enum segment_refusal why = err == -EPROTO                    ? REFUSED_FORMAT
				   : err == -E2BIG || err == -EDQUOT ? REFUSED_LARGE
								     : REFUSED_UNREADABLE;

	s->stats.refused[why]++;
	if (err == -EACCES)
		explain_denied(s, name, e);
	if (segments_may_log(s))
		diag_warning("%s/%s is left out: %s", s->path, name,
			e->text[0] ? e->text : strerror(-err));
}

/* The same file under another name is one segment: it was renamed, or has a second link. */
static struct entry *find_file(struct segments *s, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].file_ino == ino && s->entries[i].seg &&
			s->entries[i].seg->dev == dev)
			return &s->entries[i];
	return NULL;
}

static int rename_entry(struct entry *e, const char *name, uint64_t hash)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	free(e->name);
	e->name = copy;
	e->hash = hash;
	e->seen = true;
	return 0;
}

static int adopt_segment(struct segments *s, struct entry *e, struct errmsg *msg)
{
	struct fold_id id = entry_id(e);
	char cgroup[CGROUP_PATH_MAX + 1];
	struct program_user *user;
	size_t n;
	int err;

	if (strlen(e->seg->program) > PROGRAM_NAME_MAX)
		return err_set(
			msg, -E2BIG, "its program's name is over %u bytes", PROGRAM_NAME_MAX);
	cgroups_find(s->cgroups, e->seg, cgroup, sizeof(cgroup));
	err = programs_find(&s->programs, e->seg->program, e->seg->uid, cgroup, &e->program);
	if (err)
		return err_set(msg, err == -E2BIG ? -EDQUOT : err, "too many programs");
	user = e->program->user;
	if (user->segments >= USER_SEGMENTS_MAX ||
		user->memory + segfile_memory(e->seg) > USER_MEMORY_MAX)
		return err_set(
			msg, -EDQUOT, "user %s has too many or too large segments", user->name);
	if (s->memory + segfile_memory(e->seg) > MEMORY_MAX)
		return err_set(msg, -EDQUOT, "all users together have too large segments");
	err = segments_map(s, e);
	if (err)
		return err;
	if (e->seg->refused) {
		s->stats.bad_metrics += e->seg->refused;
		if (segments_may_log(s))
			diag_warning("%s/%s: %zu metrics are left out: %s", s->path, e->name,
				e->seg->refused, e->seg->reason.text);
	}
	user->segments++;
	user->memory += segfile_memory(e->seg);
	s->memory += segfile_memory(e->seg);
	s->stats.segments++;
	e->has_base = fold_base(s->fold, &id, &n) != NULL;
	return 0;
}

static void remember_refused(struct entry *e, struct program_user *owner)
{
	e->owner = owner;
	owner->refused++;
}

/* A name of a file that is open already. */
static int link_entry(struct segments *s, struct entry *same, struct program_user *owner,
	const char *name, ino_t ino, uint64_t hash)
{
	struct entry *e;

	if (!same->name || !segfile_still_named(same->seg, s->dir, same->name))
		return rename_entry(same, name, hash);
	e = add_entry(s, name, ino, hash);
	if (!e)
		return -ENOMEM;
	remember_refused(e, owner);
	return 0;
}

/* 0: dealt with; negative: not now, again at the next scan. */
static int open_segment(
	struct segments *s, struct program_user *owner, const char *name, ino_t ino, uint64_t hash)
{
	struct errmsg msg = {""};
	struct segfile *seg = NULL;
	struct entry *e, *same;
	int err = segfile_open(s->dir, name, &seg, &msg);

	if (err == -ENOENT)
		return 0;
	if (err == -EAGAIN || err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return err;
	same = seg ? find_file(s, seg->dev, seg->ino) : NULL;
	if (same) {
		segfile_close(seg);
		return link_entry(s, same, owner, name, ino, hash);
	}
	e = add_entry(s, name, ino, hash);
	if (!e) {
		segfile_close(seg);
		return -ENOMEM;
	}
	e->seg = seg;
	e->file_ino = seg ? seg->ino : 0;
	if (!err)
		err = adopt_segment(s, e, &msg);
	if (!err)
		return 0;
	segments_unmap(e);
	segfile_close(e->seg);
	e->seg = NULL;
	if (err == -ENOMEM) {
		segments_remove_entry(s, e);
		return err;
	}
	e->file_ino = 0;
	e->limited = err == -EDQUOT;
	remember_refused(e, owner);
	refuse(s, name, err, &msg);
	return 0;
}

/* --- scanning -------------------------------------------------------------------------------- */

static int64_t age_ns(const struct stat *st)
{
	return clock_realtime_ns() - (int64_t)st->st_mtim.tv_sec * (int64_t)NSEC_PER_SEC;
}

/*
 * A file that is still being made is locked by its maker nearly at once. One that is some seconds old
 * and not locked has lost its maker.
 */
static void remove_orphan(struct segments *s, const char *name)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat st, now;
	int fd;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		age_ns(&st) < (int64_t)NEW_AGE_NS)
		return;
	if (s->orphans == ORPHANS_PER_POLL)
		return;
	s->orphans++;
	fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0 && fstat(fd, &now) == 0 && now.st_ino == st.st_ino &&
		unlinkat(s->dir, name, 0) == 0)
		s->stats.removed++;
	close(fd);
}

/*
 * PROGRAM.UID.refused: its size is how many processes got no segment. Counted and removed in one go, under a
 * lock that whoever adds to it waits for. Nobody is believed more than REFUSED_MAX at once.
 */
static bool take_refused(struct segments *s, const char *name)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct program_user *owner;
	struct stat st;
	uint64_t n = 0;
	bool done = false;
	int fd;

	if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return true;
	owner = programs_user(&s->programs, st.st_uid);
	if (!owner || owner->notes == USER_NOTES || s->orphans == ORPHANS_PER_POLL)
		return false;
	owner->notes++;
	s->orphans++;
	/* one that is empty is being made, or was left by somebody who was killed */
	if (st.st_size == 0 && age_ns(&st) < (int64_t)NEW_AGE_NS)
		return false;
	fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
		unlinkat(s->dir, name, 0) == 0) {
		n = st.st_size < (off_t)REFUSED_MAX ? (uint64_t)st.st_size : REFUSED_MAX;
		done = true;
	}
	close(fd);
	s->stats.starts_refused += n;
	if (n && segments_may_log(s))
		diag_warning("%s/%s: %llu processes found no room for a segment; they count for "
			     "themselves alone, until they are started again",
			s->path, name, (unsigned long long)n);
	return done;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && !strcmp(name + n - m, end);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* A name that is not known. False: it waits. */
static bool scan_new_name(struct segments *s, const struct dirent *d, uint64_t hash)
{
	uint64_t limit = s->complete ? USER_OPEN_NS : USER_FIRST_OPEN_NS, begin;
	struct program_user *owner;
	struct entry *same;
	struct stat st;
	int err;

	if (s->stats.segments >= s->living_max || s->n == ENTRIES_MAX)
		goto wait;
	if (fstatat(s->dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	owner = programs_user(&s->programs, st.st_uid);
	if (!owner || owner->refused >= USER_REFUSED_MAX ||
		(owner->open_ns >= limit && !s->read_only))
		goto wait;
	same = find_file(s, st.st_dev, st.st_ino);
	if (same)
		return !link_entry(s, same, owner, d->d_name, d->d_ino, hash);
	begin = cpu_ns();
	err = open_segment(s, owner, d->d_name, d->d_ino, hash);
	begin = cpu_ns() - begin;
	owner->open_ns += begin;
	s->open_ns += begin;
	if (!err)
		return true;
wait:
	s->left_out++;
	return false;
}

/* A directory entry. False: there is something left to do at the next poll. */
static bool scan_name(struct segments *s, const struct dirent *d)
{
	uint64_t hash = hash_index(HASH_START, d->d_name, strlen(d->d_name));
	struct entry *e;

	if (d->d_name[0] == '.')
		return true;
	if (ends_in(d->d_name, ".new")) {
		if (!s->read_only)
			remove_orphan(s, d->d_name);
		return false;
	}
	if (ends_in(d->d_name, ".refused"))
		return s->read_only || take_refused(s, d->d_name);
	e = find_name(s, d->d_name, hash);
	if (e && e->ino == d->d_ino) {
		e->seen = true;
		return true;
	}
	return scan_new_name(s, d, hash);
}

/* What was not seen has lost its name: a refused file is forgotten, a segment read until its end. */
static void drop_unseen(struct segments *s)
{
	for (size_t i = s->n; i-- > 0;) {
		struct entry *e = &s->entries[i];

		if (e->seen)
			continue;
		if (e->seg) {
			free(e->name);
			e->name = NULL;
		} else {
			segments_remove_entry(s, e);
		}
	}
}

static bool is_open(void *arg, const struct fold_id *id)
{
	const struct segments *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		struct fold_id other;

		if (!s->entries[i].seg || s->entries[i].seg->ino != id->ino)
			continue;
		other = entry_id(&s->entries[i]);
		if (other.dev == id->dev && other.btime_ns == id->btime_ns &&
			!memcmp(other.id, id->id, sizeof(id->id)))
			return true;
	}
	return false;
}

static bool scan_due(struct segments *s, int64_t *ret_mtime_ns)
{
	struct stat st;

	if (fstat(s->dir, &st) < 0)
		return true;
	*ret_mtime_ns = (int64_t)st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec;
	/* Times move in steps of a clock tick: a listing that young may have missed a change. */
	return s->rescan || *ret_mtime_ns != s->mtime_ns ||
	       s->scanned_ns - s->mtime_ns < (int64_t)MTIME_GRAIN_NS;
}

/* What was refused because its user had too much is new again when some of that is gone. */
static void forget_limited(struct segments *s)
{
	for (size_t i = s->n; i-- > 0;)
		if (s->entries[i].limited && s->entries[i].owner->has_room)
			segments_remove_entry(s, &s->entries[i]);
	for (size_t i = 0; i < s->programs.nusers; i++)
		s->programs.users[i]->has_room = false;
}

static int begin_listing(struct segments *s, int64_t mtime_ns)
{
	s->list = dir_open(s->dir, ".");
	if (!s->list)
		return -errno;
	forget_limited(s);
	for (size_t i = 0; i < s->n; i++)
		s->entries[i].seen = false;
	s->left_out = 0;
	s->all_done = true;
	s->mtime_ns = mtime_ns;
	s->scanned_ns = clock_realtime_ns();
	return 0;
}

static void end_listing(struct segments *s)
{
	drop_unseen(s);
	closedir(s->list);
	s->list = NULL;
	s->complete = true;
	s->rescan = !s->all_done;
	s->stats.left_out = s->left_out;
	if (!s->retained && !s->left_out) {
		s->retained = true;
		fold_retain(s->fold, is_open, s);
	}
}

int segments_scan(struct segments *s)
{
	uint64_t open_max = s->complete ? OPEN_NS : FIRST_OPEN_NS;
	size_t names_max = s->complete ? NAMES_PER_POLL : FIRST_NAMES_PER_POLL;
	const struct dirent *d;
	int64_t mtime_ns = 0;
	int err;

	for (size_t i = 0; i < s->programs.nusers; i++) {
		s->programs.users[i]->notes = 0;
		if (s->complete)
			s->programs.users[i]->open_ns = 0;
	}
	if (!s->list) {
		if (!scan_due(s, &mtime_ns))
			return 0;
		err = begin_listing(s, mtime_ns);
		if (err)
			return err;
	}
	if (index_names(s))
		return -ENOMEM;
	s->open_ns = s->orphans = 0;
	for (size_t names = 0;; names++) {
		if (!s->read_only && (s->open_ns > open_max || names == names_max))
			return 0;
		errno = 0;
		d = readdir(s->list);
		if (!d)
			break;
		s->all_done &= scan_name(s, d);
	}
	if (errno)
		return -errno;
	end_listing(s);
	return 0;
}
