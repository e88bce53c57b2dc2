/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The producer "segments": counters of instrumented programs.
 *
 * A poll brings the list of files up to date (segscan.c), reads the rows of all segments, and adds them
 * up per program and user. A segment whose processes are all dead is read for the last time under its
 * lock, folded (fold.h), and its file removed.
 *
 *	             scan               test_dead             fold_write, fold_sync
 *	file --------------> living ----------------> dead ---------------------> unlinked, closed
 *	  |                     | name gone: read on                 | error: again at the next poll
 *	  +--> refused: remembered, so that it is told once
 *	  +--> *.refused: starts that got no segment; counted, unlinked
 *
 * Bounds: SEGMENTS_MAX files are read, FOLDS_PER_POLL folded at a poll, and no more of them than
 * FOLD_BYTES of records; the others wait.
 */
#include "user/provider/segments_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"

#define SEGMENTS_MAX   16384u
#define FOLDS_PER_POLL 1024u
#define FOLD_BYTES     (4u << 20)
#define FDS_FOR_OTHERS 64u

/* What a poll reads of one user's segments; a sparse file may be far larger than the memory it takes. */
#define USER_POLL_BYTES (64u << 20)
#define POLL_BYTES      (256u << 20)

/* --- reading --------------------------------------------------------------------------------- */

/* Ended processes have no gauges, and say nothing of themselves. */
static bool is_over(const struct entry *e, const struct span *span)
{
	return e->seg->dead && span->type != TALLY_TYPE_COUNTER &&
	       span->type != TALLY_TYPE_HISTOGRAM;
}

/* What the segment adds to its program: its values without what is folded already. */
static void add_values(struct segments *s, const struct entry *e)
{
	const struct segfile *seg = e->seg;
	const struct fold_value *base;
	struct program *p = e->program;
	uint64_t *values = p->group.values;
	struct fold_id id;
	size_t n;

	for (size_t i = 0; i < e->nspans; i++) {
		const struct span *span = &e->spans[i];

		if (!is_over(e, span))
			program_add(values + span->series, span->type, span->flags,
				seg->values + span->word, span->n);
	}
	values[p->starts] += seg->starts;
	values[p->living] += !seg->dead;
	if (!e->has_base)
		return;
	id = entry_id(e);
	base = fold_base(s->fold, &id, &n);
	for (size_t i = 0; base && i < n; i++)
		values[base[i].series] -= base[i].value;
}

/* How many bytes of this user's rows may still be read at this poll, and of all users'. */
static uint64_t read_budget(const struct segments *s, const struct entry *e)
{
	uint64_t used = e->program->user->poll_bytes;
	uint64_t own = used < USER_POLL_BYTES ? USER_POLL_BYTES - used : 0;
	uint64_t all = s->poll_bytes < POLL_BYTES ? POLL_BYTES - s->poll_bytes : 0;

	return own < all ? own : all;
}

static void read_failed(struct segments *s, struct entry *e, int err)
{
	s->stats.shrunk++;
	if (e->read_told || !segments_may_log(s))
		return;
	e->read_told = true;
	diag_warning("%s/%s can't be read, and counts with its values before: %s", s->path,
		e->name ? e->name : "(no name)", strerror(-err));
}

static void put_off(struct segments *s, struct entry *e)
{
	e->program->user->poll_bytes = USER_POLL_BYTES;
	s->stats.put_off++;
}

/* Its program, its user and what the first label was that found no place: said once for each segment. */
static void tell_overflow(struct segments *s, struct entry *e)
{
	if (!e->overflow_counted)
		s->stats.label_overflows++;
	e->overflow_counted = true;
	if (!segments_may_log(s))
		return; /* at another poll */
	e->overflow_told = true;
	diag_warning("%s/%s: program %s of user %s: %s", s->path, e->name ? e->name : "?",
		e->program->name, e->program->user->name, e->seg->offender.text);
}

/* Put off, it counts with the values before, and is not found dead without its last ones. */
static void read_rows(struct segments *s, struct entry *e)
{
	struct segfile *seg = e->seg;
	uint32_t rows = seg->rows ? seg->rows : seg->header.rows;
	uint64_t budget = read_budget(s, e);
	int err;

	seg->read_max = budget;
	if ((uint64_t)rows * seg->header.row_size > budget) {
		put_off(s, e);
		return;
	}
	/* First this, then the values: those of a dead one are then its last. */
	segfile_test_dead(seg);
	err = segfile_read(seg, &s->scratch);
	e->program->user->poll_bytes += budget - seg->read_max;
	s->poll_bytes += budget - seg->read_max;
	e->was_read |= !err;
	if (err == -EDQUOT) {
		seg->dead = false; /* asked again when there is room for all of it */
		seg->rows = seg->header.rows_max;
		put_off(s, e);
	} else if (err) {
		read_failed(s, e, err);
	}
}

static void read_segment(struct segments *s, struct entry *e)
{
	read_rows(s, e);
	e->program->partial |= !e->was_read;
	if (e->mapped < e->seg->n || e->nmissing)
		segments_map(s, e);
	if (e->seg->overflows && !e->overflow_told)
		tell_overflow(s, e);
	add_values(s, e);
}

/* Each poll begins with another one, so that none is put off for ever. */
static void read_segments(struct segments *s)
{
	s->first = s->n ? (s->first + 1) % s->n : 0;
	s->poll_bytes = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct entry *e = &s->entries[(s->first + i) % s->n];

		if (e->seg)
			read_segment(s, e);
	}
}

/* --- folding --------------------------------------------------------------------------------- */

/* Adds what the segment has counted to an array of all series of its program. */
static void collect_values(const struct entry *e, uint64_t *all)
{
	const struct segfile *seg = e->seg;

	for (size_t i = 0; i < e->nspans; i++) {
		const struct span *span = &e->spans[i];

		for (uint32_t k = 0; k < span->n && !is_over(e, span); k++)
			all[span->series + k] += seg->values[span->word + k];
	}
	all[e->program->starts] += seg->starts;
}

static int write_fold(struct segments *s, struct entry *e)
{
	size_t series = e->program->group.schema.n, n = 0;
	uint64_t *all = calloc(series, sizeof(*all));
	struct fold_value *values = calloc(series, sizeof(*values));
	struct fold_id id = entry_id(e);
	int err = -ENOMEM;

	if (all && values) {
		collect_values(e, all);
		for (uint32_t i = 0; i < series; i++)
			if (all[i])
				values[n++] = (struct fold_value){i, all[i]};
		err = fold_write(s->fold, &id, e->program, values, n);
	}
	free(all);
	free(values);
	if (err)
		return err;
	e->has_base = e->written = true;
	return 0;
}

/* Writes name{labels}=value of a counter; its length, or 0 and nothing if it does not fit. */
static size_t say_counter(const struct program *p, uint32_t series, uint64_t value,
	const char *before, char *out, size_t size)
{
	const struct program_metric m = program_metric_of(p, series);
	char text[96];
	int n;

	value_format(value, VALUE_U64, m.scale, text, sizeof(text));
	n = snprintf(
		out, size, *m.labels ? "%s%s{%s}=%s" : "%s%s%s=%s", before, m.name, m.labels, text);
	if (n >= 0 && (size_t)n < size)
		return (size_t)n;
	*out = '\0';
	return 0;
}

/* Counters alone: gauges of the dead are over. As many as fit. */
static void say_counted(const struct entry *e, char *out, size_t size)
{
	size_t at = 0, n;

	*out = '\0';
	for (size_t i = 0; i < e->nspans; i++) {
		const struct span *span = &e->spans[i];

		for (uint32_t k = 0; k < span->n && span->type == TALLY_TYPE_COUNTER; k++) {
			n = say_counter(e->program, span->series + k,
				e->seg->values[span->word + k], at ? " " : "", out + at, size - at);
			if (!n)
				return;
			at += n;
		}
	}
}

/* Without memory nothing is kept: who asks does not find it. */
static void keep_last_words(struct segments *s, const struct entry *e)
{
	struct segment_last_words *w;

	if (!s->words)
		s->words = calloc(SEGMENT_LAST_WORDS, sizeof(*s->words));
	if (!s->words)
		return;
	w = &s->words[s->nwords++ % SEGMENT_LAST_WORDS];
	w->pid = e->seg->header.pid;
	w->pid_ns = e->seg->header.pid_ns;
	w->uid = e->seg->uid;
	w->start_ticks = e->seg->header.start_ticks;
	snprintf(w->program, sizeof(w->program), "%s", e->seg->program);
	say_counted(e, w->counted, sizeof(w->counted));
}

/* Processes of our pid namespace alone: the ids of others are not those by which they are asked for. */
static bool is_of(const struct segment_last_words *w, const struct segment_last_words *wanted)
{
	return w->pid == wanted->pid && w->uid == wanted->uid && w->pid_ns == wanted->pid_ns &&
	       (!w->start_ticks || w->start_ticks == wanted->start_ticks);
}

const struct segment_last_words *segments_last_words(
	const struct registry *r, uint32_t pid, uid_t uid, uint64_t start_ticks)
{
	struct segment_last_words wanted = {.pid = pid, .uid = uid, .start_ticks = start_ticks};
	struct stat st;

	for (size_t i = 0; r && i < r->n; i++) {
		const struct segments *s = r->producers[i].state;

		if (r->producers[i].ops != &producer_segments || !r->producers[i].is_open ||
			!s->nwords || stat("/proc/self/ns/pid", &st))
			continue;
		wanted.pid_ns = (uint32_t)st.st_ino;
		for (size_t k = s->nwords; k-- > 0 && s->nwords - k <= SEGMENT_LAST_WORDS;)
			if (is_of(&s->words[k % SEGMENT_LAST_WORDS], &wanted))
				return &s->words[k % SEGMENT_LAST_WORDS];
	}
	return NULL;
}

/* It can't be folded now: a new run of its program may take it over. */
static void release(struct entry *e)
{
	if (e->seg)
		segfile_release(e->seg);
	e->written = false;
}

/* Its fold is on disk: the file may go, and with it the need to know what was folded. */
static void bury(struct segments *s, struct entry *e)
{
	struct fold_id id = entry_id(e);

	if (e->name && segfile_still_named(e->seg, s->dir, e->name) &&
		unlinkat(s->dir, e->name, 0) < 0 && errno != ENOENT) {
		if (segments_may_log(s))
			diag_warning("%s/%s is folded, but can't be removed: %s", s->path, e->name,
				strerror(errno));
		s->stats.fold_errors++;
		release(e);
		return;
	}
	s->stats.folded++;
	keep_last_words(s, e);
	segments_remove_entry(s, e);
	fold_forget(s->fold, &id);
}

static int fold_dead(struct segments *s)
{
	size_t folds = 0, bytes = 0;
	int err = fold_compact(s->fold);

	for (size_t i = 0; i < s->n && !err && folds < FOLDS_PER_POLL && bytes < FOLD_BYTES; i++) {
		struct entry *e = &s->entries[(s->first + i) % s->n];

		/* with a metric that has no place for want of memory it waits */
		if (!e->seg || !e->seg->dead || e->mapped < e->seg->n)
			continue;
		err = write_fold(s, e);
		bytes += e->program->schema_bytes;
		folds += !err;
	}
	if (!err && folds)
		err = fold_sync(s->fold);
	if (err) {
		s->stats.fold_errors++;
		for (size_t i = 0; i < s->n; i++)
			release(&s->entries[i]);
		return err;
	}
	for (size_t i = s->n; i-- > 0;)
		if (s->entries[i].written)
			bury(s, &s->entries[i]);
	return 0;
}

/* --- producer -------------------------------------------------------------------------------- */

/* How full the file system of segments is: who fills it stops others from having one. */
static void measure_space(struct segments *s)
{
	struct statvfs st;

	if (fstatvfs(s->dir, &st) < 0)
		return;
	s->stats.bytes = (uint64_t)st.f_blocks * st.f_frsize;
	s->stats.bytes_free = (uint64_t)st.f_bavail * st.f_frsize;
	s->stats.inodes_free = st.f_favail;
}

static int segments_get_stats(struct producer *p, struct snapshot *snap)
{
	struct segments *s = p->state;
	uint64_t begin = clock_monotonic_ns();
	int err = segments_scan(s), fold_err, add_err;

	/* Totals must not come up piece by piece. */
	if (!s->complete)
		return err;
	programs_begin(&s->programs);
	read_segments(s);
	add_err = programs_end(&s->programs, snap, begin, clock_monotonic_ns());
	fold_err = s->read_only ? 0 : fold_dead(s);
	s->stats.programs = s->programs.n;
	measure_space(s);
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
	if (s->list)
		closedir(s->list);
	if (s->dir >= 0)
		close(s->dir);
	buf_release(&s->scratch);
	free(s->words);
	fold_close(s->fold);
	cgroups_free(s->cgroups);
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
	s->cgroups = cgroups_new(env->proc_dir);
	s->dir = open(env->segment_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!s->path || s->dir < 0 || !s->cgroups)
		err = err_set(e, s->dir < 0 ? -errno : -ENOMEM, "%s: %s", env->segment_dir,
			strerror(s->dir < 0 ? errno : ENOMEM));
	else
		err = fold_open(
			env->state_dir, env->boot_id, s->read_only, &s->programs, &s->fold, e);
	if (err)
		segments_close(p);
	return err;
}

const struct producer_ops producer_segments = {
	.name = "segments",
	.help = "counters of instrumented programs, by program and user",
	.open = segments_open,
	.get_stats = segments_get_stats,
	.close = segments_close,
};
