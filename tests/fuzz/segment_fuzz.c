/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * segment_fuzz DIR SEED_FILE...: hostile segments against their reader and the producer, built with the
 * address and undefined behaviour sanitizers. Runs for TALLY_FUZZ_SECONDS (60), in DIR, which is empty.
 *
 *	read_one    a mutated file is opened and read: its values are those of the file's cells, by a
 *	            count of our own; also while another thread changes it
 *	provide     a provider polls a directory of mutated files, which grow, shrink, die and change
 *	            while it reads; the good segments between them stay exact, through death and restart
 *
 * Everywhere: no memory is lost, none is taken beyond a bound, no call takes longer than a bound.
 * Seeds are the files that instrumented programs left (the first one is made by seed.c) and segments
 * made by hand. The last line says what was done.
 */
#include <fcntl.h>
#include <pthread.h>
#include <pwd.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzzlib.h"
#include "tests/fuzz/segmutate.h"
#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "tests/lib/testdir.h"
#include "user/lib/schema_int.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"
#include "user/provider/segments.h"

/* CPU time with sanitizers, which make code about five times slower. */
#define READ_CPU_MAX_NS (1 * NSEC_PER_SEC)
#define POLL_CPU_MAX_NS (2 * NSEC_PER_SEC)
/* What the reader of one segment may take; what a provider may with HOSTILE of them. */
#define READ_MEMORY_MAX (32u << 20)
#define POLL_MEMORY_MAX (96u << 20)

#define SEEDS_MAX 16u
#define HOSTILE   12u
#define POLLS     8u

static struct {
	uint64_t accepted, refused, changed, read_max_ns, poll_max_ns, memory_max;
	uint64_t rounds, polls, folded;
} done;

static struct image seeds[SEEDS_MAX];
static size_t nseeds;
static const char *dir;
static int dirfd_;
static uint64_t end_ns;

/* --- seeds ------------------------------------------------------------------------------------- */

static void load_seed(const char *path)
{
	struct image *m = &seeds[nseeds];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	CHECK(fd >= 0 && fstat(fd, &st) == 0 && nseeds < SEEDS_MAX, "%s", path);
	/* rows beyond are holes, which the file's mutations make again */
	m->size = st.st_size < 65536 ? (size_t)st.st_size : 65536;
	m->room = m->size + IMAGE_SLACK;
	m->bytes = calloc(1, m->room);
	CHECK(m->bytes && pread(fd, m->bytes, m->size, 0) == (ssize_t)m->size, "%s", path);
	close(fd);
	nseeds++;
}

static void make_seed(uint32_t n)
{
	struct segmaker_metric *metrics = calloc(n, sizeof(*metrics));
	char *names = calloc(n, 24), path[PATH_MAX];
	int fd;

	CHECK(metrics && names, "no memory");
	for (uint32_t i = 0; i < n; i++) {
		snprintf(names + 24 * i, 24, "metric_%u", i);
		metrics[i] = (struct segmaker_metric){names + 24 * i,
			i % 5 == 4 ? TALLY_TYPE_GAUGE : TALLY_TYPE_COUNTER, (int8_t)(i % 3) - 1};
	}
	fd = segmaker_make(dir, "seed", "by_hand", metrics, n);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t r = 0; r < SEGMAKER_ROWS; r++)
			segmaker_set(fd, r, i, test_rand() >> test_rand_below(64));
	close(fd);
	snprintf(path, sizeof(path), "%s/seed", dir);
	load_seed(path);
	unlink(path);
	free(metrics);
	free(names);
}

/* Version 1, by the numbers of its description: two counters and a gauge in two rows. */
static void make_seed_v1(void)
{
	static const char strings[] = "\0old\0requests\0Requests\0depth";
	const uint32_t desc[3][5] = {/* name, unit, help, type, cell */
		{5, 0, 14, TALLY_TYPE_COUNTER, 32}, {23, 0, 0, TALLY_TYPE_GAUGE, 40},
		{14, 0, 14, TALLY_TYPE_COUNTER, 48}};
	const uint32_t at[] = {128, 3, 224, sizeof(strings), 320, 64, 2, 2, 1, 1, 1, 0, 32};
	struct image *m = &seeds[nseeds++];
	const uint32_t one = 1, size = 128;

	*m = (struct image){calloc(1, 448 + IMAGE_SLACK), 448, 448 + IMAGE_SLACK};
	CHECK(m->bytes, "no memory");
	memcpy(m->bytes, TALLY_SEGMENT_MAGIC, 8);
	memcpy(m->bytes + 8, &one, 4);
	memcpy(m->bytes + 12, &size, 4);
	memcpy(m->bytes + 40, at, sizeof(at));
	for (uint32_t i = 0; i < 3; i++) {
		uint8_t *d = m->bytes + 128 + 32 * i;

		memcpy(d, desc[i], 16);
		memcpy(d + 16, &desc[i][4], 4);
		memcpy(d + 20, &one, 4);
	}
	memcpy(m->bytes + 224, strings, sizeof(strings));
	for (uint32_t i = 0; i < 6; i++)
		m->bytes[320 + 64 * (i / 3) + 32 + 8 * (i % 3)] = (uint8_t)(i + 1);
}

static void make_mutant(struct image *m)
{
	image_copy(m, &seeds[test_rand_below(nseeds)]);
	image_mutate(m);
}

/* The size that a file's own numbers ask for, so that more of it is accepted; at most max. */
static uint64_t claimed_size(const struct image *m, uint64_t max)
{
	struct tally_segment h = image_header(m);
	uint64_t claim = h.rows_off + (uint64_t)h.rows * h.row_size;

	return claim < max ? claim : max;
}

/* Writes dirfd/name as a new file; the descriptor stands for its maker. */
static int write_image(int at, const char *name, const struct image *m)
{
	int fd = openat(at, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	uint64_t claim = claimed_size(m, 80u << 20);

	CHECK(fd >= 0, "%s: %s", name, strerror(errno));
	CHECK(write(fd, m->bytes, m->size) == (ssize_t)m->size, "%s: %s", name, strerror(errno));
	if (claim > m->size && test_rand_below(2))
		CHECK(ftruncate(fd, (off_t)claim) == 0, "%s: %s", name, strerror(errno));
	return fd;
}

/* --- a thread that changes files while they are read ---------------------------------------------- */

struct changer {
	pthread_t thread;
	const int *fds;
	size_t n;
	uint64_t state, changes;
	_Atomic bool stop;
};

static uint64_t changer_rand(struct changer *c, uint64_t below)
{
	c->state = c->state * 6364136223846793005u + 1442695040888963407u;
	return (c->state >> 33) % below;
}

static void change_once(struct changer *c)
{
	const struct field *f = &header_fields[changer_rand(c, COUNT(header_fields))];
	int fd = c->fds[changer_rand(c, c->n)];
	uint64_t value = edges[changer_rand(c, COUNT(edges))];
	size_t size = f->size < 8 ? f->size : 8;
	off_t at = f->offset;
	struct stat st;
	ssize_t r = 0;

	switch (changer_rand(c, 6)) {
	case 0:
		if (fstat(fd, &st) == 0)
			r = ftruncate(fd, (off_t)changer_rand(c, (uint64_t)st.st_size + 512));
		break;
	case 1:
		r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)changer_rand(c, 4096), 1 + (off_t)changer_rand(c, 4096));
		break;
	case 2: /* anywhere in the first rows */
		at = (off_t)changer_rand(c, 2048);
		r = pwrite(fd, &value, 8, at);
		break;
	case 3: { /* the first descriptor */
		const struct field *d = &desc_fields[changer_rand(c, COUNT(desc_fields))];

		r = pwrite(fd, &value, d->size < 8 ? d->size : 8,
			(off_t)(sizeof(struct tally_segment) + d->offset));
		break;
	}
	default:
		r = pwrite(fd, &value, size, at);
	}
	c->changes += r >= 0;
}

static void *changer_main(void *arg)
{
	struct changer *c = arg;

	while (!c->stop)
		change_once(c);
	return NULL;
}

static void changer_start(struct changer *c, const int *fds, size_t n)
{
	*c = (struct changer){.fds = fds, .n = n, .state = test_rand()};
	CHECK(pthread_create(&c->thread, NULL, changer_main, c) == 0, "no thread");
}

static void changer_stop(struct changer *c)
{
	c->stop = true;
	pthread_join(c->thread, NULL);
	done.changed += c->changes;
}

/* --- the reader ---------------------------------------------------------------------------------- */

/* A word of the file by its offset, as the test wrote it; beyond the image there are holes. */
static uint64_t image_word(const struct image *m, uint64_t at)
{
	uint64_t v = 0;

	if (at < m->size)
		memcpy(&v, m->bytes + at, m->size - at < 8 ? m->size - at : 8);
	return v;
}

/* A word of the metric, summed by the rules of segment.h. */
static uint64_t model_word(const struct image *m, const struct segfile_metric *metric, uint32_t k)
{
	bool gauge = metric->type == TALLY_TYPE_GAUGE || metric->type == TALLY_TYPE_GAUGE_DOUBLE;
	struct tally_segment h = image_header(m);
	uint32_t rows = gauge ? 1 : h.rows;
	uint64_t sum = 0;

	for (uint32_t r = 0; r < rows; r++) {
		uint64_t row = h.rows_off + (uint64_t)r * h.row_size;

		if (row >= m->size)
			break;
		sum += image_word(m, row + TALLY_ROW_HEADER + 8 * ((uint64_t)metric->word + k));
	}
	return sum;
}

/* Is there a descriptor of this name whose cells these are? */
static bool model_has(const struct image *m, const struct segfile_metric *metric)
{
	size_t len = strlen(metric->name);
	struct tally_segment h = image_header(m);

	for (uint32_t i = 0; i < h.ndesc; i++) {
		size_t at = image_desc(m, i);
		struct tally_segment_desc d;
		uint64_t name, first;

		if (!at)
			return true; /* it lies in a hole, or at the very end: not looked at */
		memcpy(&d, m->bytes + at, sizeof(d));
		if (h.version == 1)
			d.slots = 0;
		name = (uint64_t)h.strings_off + d.name;
		first = ((uint64_t)d.cell - TALLY_ROW_HEADER) / 8;
		if (d.type != metric->type || name + len > m->size ||
			memcmp(m->bytes + name, metric->name, len) != 0 ||
			(name + len < m->size && m->bytes[name + len])) /* behind it are holes */
			continue;
		for (uint32_t k = 0; k < (d.slots ? d.slots : 1); k++)
			if (metric->word == first + (uint64_t)k * d.cells)
				return true;
	}
	return false;
}

static bool printable(const char *text)
{
	size_t n = strlen(text);

	return n <= TALLY_SEGMENT_NAME_MAX && text_valid(text, n);
}

/* What segfile.h promises of a segment that was opened. */
static void check_metrics(const struct segfile *s)
{
	CHECK(printable(s->program) && *s->program && printable(s->object), "its program");
	CHECK(!s->refused == !*s->reason.text, "reason '%s'", s->reason.text);
	for (size_t i = 0; i < s->n; i++) {
		const struct segfile_metric *m = &s->metrics[i];

		CHECK(metric_name_valid(m->name) && printable(m->name), "metric %zu", i);
		CHECK(printable(m->unit) && printable(m->help), "metric %zu", i);
		CHECK(labels_valid(m->labels), "metric %zu: '%s'", i, m->labels);
		CHECK(m->cells == segfile_cells(m->type, m->lo, m->hi, m->bits), "metric %zu", i);
		CHECK((uint64_t)m->word + m->cells <= s->words || !m->cells, "metric %zu", i);
		CHECK(m->scale >= -18 && m->scale <= 18, "metric %zu", i);
	}
}

static void check_values(const struct segfile *s, const struct image *m)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct segfile_metric *metric = &s->metrics[i];

		for (uint32_t k = 0; k < metric->cells; k++) {
			uint64_t wanted = model_word(m, metric, k),
				 got = s->values[metric->word + k];

			CHECK(got == wanted, "%s is %" PRIu64 ", its cells %" PRIu64, metric->name,
				got, wanted);
		}
		if (test_rand_below(s->n) < 8)
			CHECK(model_has(m, metric), "%s", metric->name);
	}
}

/*
 * m: what stands in the file, or NULL if it changes. Time is that of the reader: what the checks take of a
 * large file is their own. Memory is that of this file, and all of scratch, of whatever it was left from.
 */
static void open_and_read(int at, const char *name, const struct image *m, struct buf *scratch)
{
	size_t before = __sanitizer_get_current_allocated_bytes() - scratch->cap;
	uint64_t start = fuzz_cpu_ns(), used, took;
	struct errmsg e = {""};
	struct segfile *s = NULL;
	int err = segfile_open(at, name, &s, &e);

	took = fuzz_cpu_ns() - start;
	CHECK(err <= 0, "code %d", err);
	CHECK((err == 0) == (s != NULL), "code %d", err);
	CHECK(err == 0 || err == -EAGAIN || *e.text, "no reason for %d", err);
	done.accepted += !err;
	done.refused += !!err;
	if (s) {
		check_metrics(s);
		for (int i = 0; i < (m ? 1 : 4); i++) {
			start = fuzz_cpu_ns();
			err = segfile_read(s, scratch);
			took += fuzz_cpu_ns() - start;
			if (err == 0 && m)
				check_values(s, m);
		}
		check_metrics(s); /* with those of tables */
		CHECK(segfile_test_dead(s) >= 0, "lock");
		used = __sanitizer_get_current_allocated_bytes() - before;
		CHECK(used <= READ_MEMORY_MAX, "%" PRIu64 " bytes", used);
		fuzz_keep_max(&done.memory_max, used);
		segfile_close(s);
	}
	fuzz_keep_max(&done.read_max_ns, took);
	CHECK(took <= READ_CPU_MAX_NS, "%.1f ms", fuzz_ms(took));
}

/* Unchanged, every seed is a segment with all of its metrics. */
static void check_seeds(void)
{
	for (size_t i = 0; i < nseeds; i++) {
		int fd = openat(dirfd_, "x", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
		struct buf scratch = BUF_INIT;
		struct errmsg e = {""};
		struct segfile *s;

		CHECK(fd >= 0 && write(fd, seeds[i].bytes, seeds[i].size) == (ssize_t)seeds[i].size,
			"seed %zu", i);
		/* rows that were cut off in memory are holes */
		CHECK(ftruncate(fd, (off_t)claimed_size(&seeds[i], 80u << 20)) == 0, "seed %zu", i);
		close(fd);
		CHECK(segfile_open(dirfd_, "x", &s, &e) == 0, "seed %zu: %s", i, e.text);
		CHECK(segfile_read(s, &scratch) == 0 && !s->refused && s->n, "seed %zu: %s", i,
			s->reason.text);
		check_metrics(s);
		check_values(s, &seeds[i]);
		segfile_close(s);
		buf_release(&scratch);
	}
}

/* A good segment, open all the time, which counts on between the mutated ones. */
struct beside {
	int fd;
	struct segfile *s;
	struct buf scratch;
	uint64_t total;
};

static const struct segmaker_metric good_metrics[] = {
	{"good_requests", TALLY_TYPE_COUNTER, 0}, {"good_depth", TALLY_TYPE_GAUGE, 0}};

static void beside_open(struct beside *b)
{
	struct errmsg e = {""};

	*b = (struct beside){.fd = segmaker_make(dir, "beside", "good", good_metrics, 2)};
	CHECK(segfile_open(dirfd_, "beside", &b->s, &e) == 0, "%s", e.text);
}

static void beside_count(struct beside *b)
{
	segmaker_set(b->fd, 1, 0, ++b->total);
	segmaker_set(b->fd, 0, 1, b->total);
	CHECK(segfile_read(b->s, &b->scratch) == 0, "the good one");
	CHECK(b->s->values[0] == b->total && b->s->values[1] == b->total, "the good one");
	CHECK(segfile_test_dead(b->s) == 0, "the good one");
}

static void beside_close(struct beside *b)
{
	segfile_close(b->s);
	buf_release(&b->scratch);
	close(b->fd);
	CHECK(unlinkat(dirfd_, "beside", 0) == 0, "%s", strerror(errno));
}

static void read_some(unsigned n)
{
	struct beside beside;

	beside_open(&beside);
	for (unsigned i = 0; i < n; i++) {
		bool changes = test_rand_below(8) == 0;
		struct changer changer;
		struct image m;
		int fd;

		make_mutant(&m);
		fd = write_image(dirfd_, "x", &m);
		if (changes)
			changer_start(&changer, &fd, 1);
		open_and_read(dirfd_, "x", changes ? NULL : &m, &beside.scratch);
		if (changes)
			changer_stop(&changer);
		beside_count(&beside);
		close(fd);
		image_release(&m);
		fuzz_executions++;
	}
	beside_close(&beside);
}

/* --- the producer --------------------------------------------------------------------------------- */

struct world {
	char segs[512], state[512];
	int at; /* segs */
	struct registry registry;
	struct snapshot snap;
	struct provider_env env;
	int fds[HOSTILE]; /* of the hostile files; what has a lock lives */
	int good; /* -1: dead */
	uint64_t good_total;
};

static void provider_start(struct world *w)
{
	struct errmsg e = {""};

	w->registry = (struct registry){0};
	CHECK(registry_add(&w->registry, &producer_segments, &e) == 0, "%s", e.text);
	CHECK(registry_open(&w->registry, &w->env) == 1, "the producer does not open");
}

static void hostile_name(char *out, size_t size, size_t i)
{
	snprintf(out, size, "h%zu", i);
}

/* As root the hostile ones belong to somebody else, as they would. */
static void hostile_make(struct world *w, size_t i)
{
	struct image m;
	char name[16];

	hostile_name(name, sizeof(name), i);
	make_mutant(&m);
	w->fds[i] = write_image(w->at, name, &m);
	if (test_rand_below(2))
		segmaker_lock(w->fds[i]);
	if (geteuid() == 0)
		CHECK(fchown(w->fds[i], 65534, 65534) == 0, "%s", strerror(errno));
	image_release(&m);
	fuzz_executions++;
}

/* What an attacker does between two polls. */
static void hostile_step(struct world *w)
{
	size_t i = test_rand_below(HOSTILE);
	char name[16], other[16];

	hostile_name(name, sizeof(name), i);
	hostile_name(other, sizeof(other), test_rand_below(HOSTILE));
	switch (test_rand_below(6)) {
	case 0: /* another one under the same name */
		unlinkat(w->at, name, 0);
		close(w->fds[i]);
		hostile_make(w, i);
		break;
	case 1:
		CHECK(ftruncate(w->fds[i], (off_t)test_rand_below(8192)) == 0, "%s",
			strerror(errno));
		break;
	case 2:
		renameat(w->at, name, w->at, other);
		break;
	case 3:
		linkat(w->at, name, w->at, "link", 0);
		break;
	case 4:
		unlinkat(w->at, "link", 0);
		break;
	default:
		close(w->fds[i]); /* it dies */
		w->fds[i] = openat(w->at, name, O_RDWR | O_CLOEXEC);
		if (w->fds[i] < 0)
			hostile_make(w, i);
	}
}

/* The real program's segment, dead; its program gets another name than that of the mutants. */
static void real_make(struct world *w)
{
	struct tally_segment h = image_header(&seeds[0]);
	struct image m;
	int fd;

	image_copy(&m, &seeds[0]);
	memcpy(m.bytes + h.strings_off + h.program, "real", 4);
	fd = openat(w->at, "real", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	CHECK(fd >= 0 && write(fd, m.bytes, m.size) == (ssize_t)m.size, "%s", strerror(errno));
	close(fd);
	image_release(&m);
}

static void expect(const struct world *w, const char *metric, const char *program, uint64_t value)
{
	const struct passwd *pw = getpwuid(getuid());
	char name[256], wanted[32];
	const char *got;

	snprintf(name, sizeof(name), "%s{program=\"%s\",user=\"%s\"}", metric, program,
		pw ? pw->pw_name : "?");
	snprintf(wanted, sizeof(wanted), "%" PRIu64, value);
	got = polling_value(&w->snap, name);
	CHECK(!strcmp(got, wanted), "%s is %s, not %s", name, got, wanted);
}

static void poll_once(struct world *w, const char *real_program)
{
	size_t before = __sanitizer_get_current_allocated_bytes(), used;
	uint64_t start = fuzz_cpu_ns();
	int err = polling_take(&w->registry.producers[0], &w->snap);

	start = fuzz_cpu_ns() - start;
	used = __sanitizer_get_current_allocated_bytes() - before;
	CHECK(err == 0, "poll: %s", strerror(-err));
	fuzz_keep_max(&done.poll_max_ns, start);
	CHECK(start <= POLL_CPU_MAX_NS, "a poll of %.1f ms", fuzz_ms(start));
	CHECK(used <= POLL_MEMORY_MAX || used > SIZE_MAX / 2, "%zu bytes more", used);
	done.polls++;
	for (size_t i = 0; i < w->snap.n; i++) {
		const struct schema *s = &w->snap.due[i].group->schema;

		for (size_t j = 0; j < s->n; j++)
			CHECK(metric_name_valid(s->series[j].name) &&
					printable(s->series[j].unit) &&
					printable(s->series[j].help),
				"series %zu of %s", j, s->group);
	}
	if (geteuid() != 0)
		return; /* the hostile ones are ours, and share the limits of a user with the good */
	expect(w, "good_requests_total", "good", w->good_total);
	expect(w, "good_depth", "good", w->good < 0 ? 0 : w->good_total);
	expect(w, "seed_requests_total", real_program, 4000);
	expect(w, "seed_sent_bytes_total", real_program, 6000000);
}

static void world_init(struct world *w)
{
	*w = (struct world){0};
	snprintf(w->segs, sizeof(w->segs), "%s/seg", dir);
	snprintf(w->state, sizeof(w->state), "%s/state", dir);
	test_dir_remove(w->segs);
	test_dir_remove(w->state);
	CHECK(mkdir(w->segs, 0755) == 0 && mkdir(w->state, 0755) == 0, "%s", strerror(errno));
	w->at = open(w->segs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->env = (struct provider_env){.segment_dir = w->segs,
		.state_dir = w->state,
		.proc_dir = "/proc",
		.interval_ns = NSEC_PER_SEC,
		.boot_id = {1}};
}

static void provide(void)
{
	struct tally_segment h = image_header(&seeds[0]);
	struct segments_stats st;
	struct changer changer;
	char program[256];
	struct world w;

	world_init(&w);
	snprintf(program, sizeof(program), "real%s",
		(char *)seeds[0].bytes + h.strings_off + h.program + 4);
	real_make(&w);
	w.good = segmaker_make(w.segs, "good", "good", good_metrics, 2);
	for (size_t i = 0; i < HOSTILE; i++)
		hostile_make(&w, i);
	provider_start(&w);
	for (unsigned i = 0; i < POLLS; i++) {
		bool changes = test_rand_below(2);

		if (w.good >= 0) {
			segmaker_set(w.good, 1, 0, ++w.good_total);
			segmaker_set(w.good, 0, 1, w.good_total);
		}
		if (changes)
			changer_start(&changer, w.fds, HOSTILE);
		poll_once(&w, program);
		if (changes)
			changer_stop(&changer);
		for (uint64_t n = test_rand_below(6); n-- > 0;)
			hostile_step(&w);
		if (test_rand_below(5) == 0) {
			registry_close(&w.registry);
			provider_start(&w);
		}
		if (w.good >= 0 && test_rand_below(6) == 0) {
			close(w.good);
			w.good = -1;
		}
	}
	segments_stats(&w.registry, &st);
	done.folded += st.folded;
	for (size_t i = 0; i < HOSTILE; i++)
		close(w.fds[i]);
	if (w.good >= 0)
		close(w.good);
	w.good = -1;
	poll_once(&w, program);
	registry_close(&w.registry);
	snapshot_release(&w.snap);
	close(w.at);
	done.rounds++;
}

/* --- main ------------------------------------------------------------------------------------------ */

static void report(void)
{
	printf("%" PRIu64 " mutated files: %" PRIu64 " accepted, %" PRIu64
	       " refused by the reader; %" PRIu64 " changes while they were read\n",
		fuzz_executions, done.accepted, done.refused, done.changed);
	printf("%" PRIu64 " rounds of a provider with %" PRIu64 " polls, %" PRIu64 " folds\n",
		done.rounds, done.polls, done.folded);
	printf("worst, with sanitizers: a file %.1f ms, a poll %.1f ms of CPU time; %" PRIu64
	       " KiB for a file\n",
		fuzz_ms(done.read_max_ns), fuzz_ms(done.poll_max_ns), done.memory_max >> 10);
}

int main(int argc, char **argv)
{
	uint64_t leaks, next_ns = 0;

	if (argc < 3 || strlen(argv[1]) > 400)
		return 2;
	test_rand_init();
	diag_init("segment_fuzz", DIAG_ERROR);
	dir = argv[1];
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dirfd_ >= 0, "%s: %s", dir, strerror(errno));
	for (int i = 2; i < argc; i++)
		load_seed(argv[i]);
	make_seed(1);
	make_seed(20);
	make_seed(500);
	make_seed_v1();
	check_seeds();
	end_ns = fuzz_end_ns(60);
	provide(); /* what is allocated once */
	leaks = __sanitizer_get_current_allocated_bytes();
	while (clock_monotonic_ns() < end_ns) {
		read_some(100);
		provide();
		CHECK(__sanitizer_get_current_allocated_bytes() <= leaks + 65536,
			"memory is not given back");
		if (clock_monotonic_ns() > next_ns) {
			next_ns = clock_monotonic_ns() + 600 * NSEC_PER_SEC;
			report();
			fflush(stdout);
		}
	}
	report();
	CHECK(done.accepted > fuzz_executions / 20, "the mutations are too rough");
	for (size_t i = 0; i < nseeds; i++)
		image_release(&seeds[i]);
	close(dirfd_);
	return 0;
}
