// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The producer "segments": counters of instrumented programs.
 *
 * A poll lists the directory (only if its modification time says so, or work was left over), opens
 * what is new, reads the rows of all, and adds them up per program and user. A segment whose processes
 * are all dead is read for the last time under its lock, folded (fold.h), and its file removed.
 *
 *	             scan               test_dead             fold_write, fold_sync
 *	file --------------> living ----------------> dead ---------------------> unlinked, closed
 *	  |                     | name gone: read on                 | error: again at the next poll
 *	  +--> refused: remembered, so that it is told once
 *
 * Bounds: SEGMENTS_MAX files are read, OPENS_PER_POLL are opened and FOLDS_PER_POLL folded at a poll;
 * the others wait for the next one.
 */
#include "user/provider/segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"
#include "user/provider/fold.h"
#include "user/provider/programs.h"

#define SEGMENTS_MAX   16384u
#define ENTRIES_MAX    65536u
#define OPENS_PER_POLL 1024u
#define FOLDS_PER_POLL 1024u
#define FDS_FOR_OTHERS 64u
#define NEW_AGE_NS     (10 * NSEC_PER_SEC)
#define MTIME_GRAIN_NS NSEC_PER_SEC
#define REFUSE_LOG_NS  NSEC_PER_SEC
#define NO_METRIC      UINT32_MAX

const char *const segment_refusals[REFUSED_REASONS] = {
	[REFUSED_FORMAT] = "format",
	[REFUSED_LARGE] = "too_large",
	[REFUSED_UNREADABLE] = "unreadable",
};

/* A file of the directory. */
struct entry {
	char *name; /* NULL: it is gone from the directory */
	ino_t ino;
	uint64_t hash; /* of name */
	bool seen; /* in the scan that is under way */
	struct segfile *seg; /* NULL: refused */
	struct program *program;
	uint32_t *map; /* metric of the segment -> metric of the program, or NO_METRIC */
	bool has_base; /* some of it is folded already */
	bool written; /* its fold is in the journal, and waits for the sync */
};

struct segments {
	DIR *dir;
	char *path; /* for messages */
	bool read_only;
	bool rescan; /* work was left over */
	bool complete; /* the directory has been listed to its end once */
	int64_t mtime_ns; /* of the directory, when it was listed */
	int64_t scanned_ns; /* realtime of that */
	struct entry *entries;
	size_t n;
	uint32_t *slots; /* hash table of names: index + 1 */
	size_t nslots;
	size_t living_max;
	struct programs programs;
	struct fold *fold;
	struct segments_stats stats;
	struct diag_limit refuse_limit;
};

/* --- entries --------------------------------------------------------------------------------- */

static uint64_t hash_name(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	while (*s)
		h = (h ^ (uint8_t)*s++) * 0x100000001b3ull;
	return h ^ h >> 31;
}

static void entry_release(struct entry *e)
{
	segfile_close(e->seg);
	free(e->map);
	free(e->name);
}

static void remove_entry(struct segments *s, struct entry *e)
{
	if (e->seg)
		s->stats.segments--;
	entry_release(e);
	*e = s->entries[--s->n];
}

static struct fold_id entry_id(const struct entry *e)
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

/* --- opening --------------------------------------------------------------------------------- */

static void refuse(struct segments *s, const char *name, int err, const struct errmsg *e)
{
	enum segment_refusal why = err == -EPROTO  ? REFUSED_FORMAT
				   : err == -E2BIG ? REFUSED_LARGE
						   : REFUSED_UNREADABLE;

	s->stats.refused[why]++;
	if (diag_allowed(&s->refuse_limit, clock_monotonic_ns(), REFUSE_LOG_NS))
		diag_warning("%s/%s is left out: %s", s->path, name,
			e->text[0] ? e->text : strerror(-err));
}

/* Which metrics of the program the segment's metrics are. Those that can't be are counted. */
static int map_metrics(struct segments *s, struct entry *e)
{
	e->map = calloc(e->seg->n, sizeof(*e->map));
	if (!e->map)
		return -ENOMEM;
	for (size_t i = 0; i < e->seg->n; i++) {
		const struct segfile_metric *m = &e->seg->metrics[i];
		const struct program_metric wanted = {
			.name = m->name,
			.unit = m->unit,
			.help = m->help,
			.type = m->type == TALLY_TYPE_GAUGE ? METRIC_GAUGE : METRIC_COUNTER,
			.scale = m->scale,
		};
		int err = program_find_metric(e->program, &wanted, &e->map[i]);

		if (err == -ENOMEM)
			return err;
		if (err)
			e->map[i] = NO_METRIC;
		s->stats.conflicts += err == -EEXIST;
		s->stats.over_limit += err == -E2BIG;
	}
	return 0;
}

/* The same file under another name is one segment: it was renamed, or has a second link. */
static struct entry *find_file(struct segments *s, const struct segfile *seg)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->entries[i].seg && s->entries[i].seg->ino == seg->ino &&
			s->entries[i].seg->dev == seg->dev)
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
	size_t n;
	int err;

	if (strlen(e->seg->program) > PROGRAM_NAME_MAX)
		return err_set(
			msg, -E2BIG, "its program's name is over %u bytes", PROGRAM_NAME_MAX);
	err = programs_find(&s->programs, e->seg->program, e->seg->uid, &e->program);
	if (err)
		return err_set(msg, err, "too many programs");
	err = map_metrics(s, e);
	if (!err)
		e->has_base = fold_base(s->fold, &id, &n) != NULL;
	return err;
}

/* 0: dealt with; negative: not now, again at the next scan. */
static int open_segment(struct segments *s, const char *name, ino_t ino, uint64_t hash)
{
	struct errmsg msg = {""};
	struct segfile *seg = NULL;
	struct entry *e, *same;
	int err = segfile_open(dirfd(s->dir), name, &seg, &msg);

	if (err == -ENOENT)
		return 0;
	if (err == -EAGAIN || err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return err;
	same = seg ? find_file(s, seg) : NULL;
	if (same && !(same->name && segfile_still_named(same->seg, dirfd(s->dir), same->name))) {
		segfile_close(seg);
		return rename_entry(same, name, hash);
	}
	e = add_entry(s, name, ino, hash);
	if (!e || same) {
		segfile_close(seg);
		return e ? 0 : -ENOMEM;
	}
	e->seg = seg;
	if (!err)
		err = adopt_segment(s, e, &msg);
	if (!err) {
		s->stats.segments++;
		return 0;
	}
	segfile_close(e->seg);
	e->seg = NULL;
	if (err == -ENOMEM) {
		remove_entry(s, e);
		return err;
	}
	refuse(s, name, err, &msg);
	return 0;
}

/* --- scanning -------------------------------------------------------------------------------- */

/*
 * A file that is still being made is locked by its maker nearly at once. One that is some seconds old
 * and not locked has lost its maker.
 */
static void remove_orphan(struct segments *s, const char *name)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat st, now;
	int fd;

	if (fstatat(dirfd(s->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
		clock_realtime_ns() - (int64_t)st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC <
			(int64_t)NEW_AGE_NS)
		return;
	fd = openat(dirfd(s->dir), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0 && fstat(fd, &now) == 0 && now.st_ino == st.st_ino &&
		unlinkat(dirfd(s->dir), name, 0) == 0)
		s->stats.removed++;
	close(fd);
}

static bool ends_in_new(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, ".new");
}

/* A directory entry. False: there is something left to do at the next poll. */
static bool scan_name(struct segments *s, const struct dirent *d, size_t *opens)
{
	uint64_t hash = hash_name(d->d_name);
	struct entry *e;

	if (d->d_name[0] == '.')
		return true;
	if (ends_in_new(d->d_name)) {
		if (!s->read_only)
			remove_orphan(s, d->d_name);
		return false;
	}
	e = find_name(s, d->d_name, hash);
	if (e && e->ino == d->d_ino) {
		e->seen = true;
		return true;
	}
	/* The first listing is taken in whole: totals must not come up piece by piece. */
	if ((*opens == OPENS_PER_POLL && s->complete) || s->stats.segments >= s->living_max) {
		s->stats.left_out++;
		return false;
	}
	++*opens;
	return !open_segment(s, d->d_name, d->d_ino, hash);
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
			remove_entry(s, e);
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

	if (fstat(dirfd(s->dir), &st) < 0)
		return true;
	*ret_mtime_ns = (int64_t)st.st_mtim.tv_sec * (int64_t)NSEC_PER_SEC + st.st_mtim.tv_nsec;
	/* Times move in steps of a clock tick: a listing that young may have missed a change. */
	return s->rescan || *ret_mtime_ns != s->mtime_ns ||
	       s->scanned_ns - s->mtime_ns < (int64_t)MTIME_GRAIN_NS;
}

static int scan_directory(struct segments *s)
{
	const struct dirent *d;
	int64_t mtime_ns = 0;
	size_t opens = 0;
	bool done = true;

	if (!scan_due(s, &mtime_ns))
		return 0;
	if (index_names(s))
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		s->entries[i].seen = false;
	s->stats.left_out = 0;
	s->mtime_ns = mtime_ns;
	s->scanned_ns = clock_realtime_ns();
	rewinddir(s->dir);
	for (errno = 0; (d = readdir(s->dir)); errno = 0)
		done &= scan_name(s, d, &opens);
	if (errno)
		return -errno;
	drop_unseen(s);
	s->rescan = !done;
	if (!s->complete && !s->stats.left_out) {
		s->complete = true;
		fold_retain(s->fold, is_open, s);
	}
	return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

/* What the segment adds to its program: its values without what is folded already. */
static void add_values(struct segments *s, const struct entry *e)
{
	const struct segfile *seg = e->seg;
	const struct fold_value *base;
	uint64_t *sums = e->program->sums;
	struct fold_id id;
	size_t n;

	for (size_t i = 0; i < seg->n; i++) {
		if (e->map[i] == NO_METRIC)
			continue;
		if (seg->metrics[i].type == TALLY_TYPE_GAUGE && seg->dead)
			continue;
		sums[e->map[i]] += seg->values[i];
	}
	if (!e->has_base)
		return;
	id = entry_id(e);
	base = fold_base(s->fold, &id, &n);
	for (size_t i = 0; base && i < n; i++)
		sums[base[i].metric] -= base[i].value;
}

static void read_segments(struct segments *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = &s->entries[i];

		if (!e->seg)
			continue;
		/* First this, then the values: those of a dead one are then its last. */
		segfile_test_dead(e->seg);
		if (segfile_read(e->seg))
			s->stats.shrunk++;
		add_values(s, e);
	}
}

/* --- folding --------------------------------------------------------------------------------- */

/* The segment's counters, each metric of the program once. */
static size_t collect_values(const struct entry *e, struct fold_value *out, uint32_t *where)
{
	size_t n = 0;

	for (size_t i = 0; i < e->seg->n; i++) {
		uint32_t metric = e->map[i];

		if (metric == NO_METRIC)
			continue;
		if (!where[metric]) {
			out[n++] = (struct fold_value){.metric = metric};
			where[metric] = (uint32_t)n;
		}
		if (e->seg->metrics[i].type == TALLY_TYPE_COUNTER)
			out[where[metric] - 1].value += e->seg->values[i];
	}
	return n;
}

static int write_fold(struct segments *s, struct entry *e)
{
	struct fold_value *values = calloc(e->seg->n, sizeof(*values));
	uint32_t *where = calloc(e->program->group.schema.n + 1, sizeof(*where));
	struct fold_id id = entry_id(e);
	int err = -ENOMEM;

	if (values && where)
		err = fold_write(
			s->fold, &id, e->program, values, collect_values(e, values, where));
	free(values);
	free(where);
	if (err)
		return err;
	e->has_base = e->written = true;
	return 0;
}

/* Its fold is on disk: the file may go, and with it the need to know what was folded. */
static void bury(struct segments *s, struct entry *e)
{
	struct fold_id id = entry_id(e);

	if (e->name && segfile_still_named(e->seg, dirfd(s->dir), e->name) &&
		unlinkat(dirfd(s->dir), e->name, 0) < 0 && errno != ENOENT) {
		if (diag_allowed(&s->refuse_limit, clock_monotonic_ns(), REFUSE_LOG_NS))
			diag_warning("%s/%s is folded, but can't be removed: %s", s->path, e->name,
				strerror(errno));
		s->stats.fold_errors++;
		return;
	}
	s->stats.folded++;
	remove_entry(s, e);
	fold_forget(s->fold, &id);
}

static int fold_dead(struct segments *s)
{
	size_t folds = 0;
	int err = fold_compact(s->fold);

	for (size_t i = 0; i < s->n && !err && folds < FOLDS_PER_POLL; i++) {
		struct entry *e = &s->entries[i];

		if (!e->seg || !e->seg->dead)
			continue;
		err = write_fold(s, e);
		folds += !err;
	}
	if (!err && folds)
		err = fold_sync(s->fold);
	if (err) {
		s->stats.fold_errors++;
		return err;
	}
	for (size_t i = s->n; i-- > 0;)
		if (s->entries[i].written)
			bury(s, &s->entries[i]);
	return 0;
}

/* --- producer -------------------------------------------------------------------------------- */

static int segments_get_stats(struct producer *p, struct snapshot *snap)
{
	struct segments *s = p->state;
	uint64_t begin = clock_monotonic_ns();
	int err = scan_directory(s), fold_err, add_err;

	programs_begin(&s->programs);
	read_segments(s);
	add_err = programs_end(&s->programs, snap, begin, clock_monotonic_ns());
	fold_err = s->read_only ? 0 : fold_dead(s);
	s->stats.programs = s->programs.n;
	return err ? err : fold_err ? fold_err : add_err;
}

void segments_stats(const struct registry *r, struct segments_stats *ret)
{
	*ret = (struct segments_stats){0};
	for (size_t i = 0; i < r->n; i++)
		if (r->producers[i].ops == &producer_segments && r->producers[i].is_open)
			*ret = ((const struct segments *)r->producers[i].state)->stats;
}

static void segments_close(struct producer *p)
{
	struct segments *s = p->state;

	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		entry_release(&s->entries[i]);
	free(s->entries);
	free(s->slots);
	if (s->dir)
		closedir(s->dir);
	fold_close(s->fold);
	programs_release(&s->programs);
	free(s->path);
	free(s);
	p->state = NULL;
}

static size_t fd_budget(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= SEGMENTS_MAX + FDS_FOR_OTHERS)
		return SEGMENTS_MAX;
	return lim.rlim_cur > 2 * FDS_FOR_OTHERS ? lim.rlim_cur - FDS_FOR_OTHERS : FDS_FOR_OTHERS;
}

static int segments_open(struct producer *p, const struct provider_env *env, struct errmsg *e)
{
	struct segments *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	p->state = s;
	s->read_only = env->read_only;
	s->programs.interval_ms = (uint32_t)(env->interval_ns / NSEC_PER_MSEC);
	s->living_max = fd_budget();
	s->path = strdup(env->segment_dir);
	s->dir = opendir(env->segment_dir);
	if (!s->path || !s->dir)
		err = err_set(e, s->path ? -errno : -ENOMEM, "%s: %s", env->segment_dir,
			strerror(s->path ? errno : ENOMEM));
	else
		err = fold_open(
			env->state_dir, env->boot_id, s->read_only, &s->programs, &s->fold, e);
	if (err)
		segments_close(p);
	return err;
}

const struct producer_ops producer_segments = {
	.name = "segments",
	.help = "counters of instrumented programs, summed per program and user",
	.open = segments_open,
	.get_stats = segments_get_stats,
	.close = segments_close,
};
