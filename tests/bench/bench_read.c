/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What it takes to read counters: segments by user/lib/segfile.c, beside the limit that memory sets and
 * beside what other collectors do for as many values. All of it in one run, on a tmpfs as /run is.
 *
 * Peers are programs of their own (peer_NAME, started with a directory to work in), which print a line
 * "case|unit|value value ..." for each thing that they measured and end what they have started. One
 * that is missing or fails makes this benchmark fail.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <linux/magic.h>
#include <tally/tally.h>

#include "tests/bench/bench.h"
#include "tests/lib/segmaker.h"
#include "user/lib/segfile.h"
#include "user/lib/util.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define RUNS         101
#define COLD_RUNS    21
#define COLD_SIZE    (64u << 20) /* larger than a core's share of any cache that we know */
#define PROCESSES    100u
#define COUNTERS     100u

static const char *const peers[] = {"peer_pcp", "peer_scrape", "peer_varnish"};
static char dir[64];
static volatile uint64_t sink;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "read: %s\n", what);
	exit(1);
}

/* --- the program that is read: this one, started with an argument ------------------------------ */

#define TEN(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9)
#define HUNDRED(X) \
	TEN(X, )   \
	TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4) TEN(X, 5) TEN(X, 6) TEN(X, 7) TEN(X, 8) TEN(X, 9)
#define DEFINE(n) TALLY_COUNTER(counter##n, "bench_read_" #n, "One of a hundred");
#define COUNT(n)  TALLY_ADD(counter##n, 1000 + n);
HUNDRED(DEFINE)

static int be_counted(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	HUNDRED(COUNT)
	if (write(1, "", 1) != 1)
		return 1;
	for (;;)
		pause();
}

/* --- measuring --------------------------------------------------------------------------------- */

struct reading {
	struct segfile **segs;
	size_t n;
	struct buf scratch;
};

static void read_all(void *arg)
{
	struct reading *r = arg;

	for (size_t i = 0; i < r->n; i++)
		if (segfile_read(r->segs[i], &r->scratch))
			fail("a segment could not be read");
}

/* What a poll does beside: does the process live? */
static void poll_all(void *arg)
{
	struct reading *r = arg;

	for (size_t i = 0; i < r->n; i++)
		if (segfile_test_dead(r->segs[i]))
			fail("a process is dead");
	read_all(arg);
}

static void empty_caches(void)
{
	static uint8_t *junk;

	if (!junk)
		junk = malloc(COLD_SIZE);
	if (!junk)
		fail("no memory");
	for (size_t i = 0; i < COLD_SIZE; i += 64)
		junk[i]++; /* not memset: its stores may go past the caches */
}

static void measure(struct bench *b, const char *name, bool cold, void (*op)(void *), void *arg)
{
	double samples[RUNS];
	unsigned n = cold ? COLD_RUNS : RUNS;

	for (unsigned i = 0; i < 3; i++)
		op(arg);
	for (unsigned i = 0; i < n; i++) {
		uint64_t begin;

		if (cold)
			empty_caches();
		begin = clock_monotonic_ns();
		op(arg);
		samples[i] = (double)(clock_monotonic_ns() - begin) / 1e6;
	}
	bench_samples(b, name, NULL, samples, n);
}

static struct segfile *open_segment(const char *name)
{
	struct errmsg e = {""};
	struct segfile *s;
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (segfile_open(dirfd, name, &s, &e))
		fail(e.text);
	close(dirfd);
	return s;
}

/* --- one large segment --------------------------------------------------------------------------- */

/* Counter i holds i in row 0 and 2^40 in row 1. */
static int make_large(const char *name, uint32_t n)
{
	struct segmaker_metric *m = calloc(n, sizeof(*m));
	char(*names)[24] = calloc(n, sizeof(*names));
	uint64_t *cells = calloc(n, sizeof(*cells));
	struct tally_segment h;
	int fd;

	if (!m || !names || !cells)
		fail("no memory");
	for (uint32_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "counter_%" PRIu32, i);
		m[i] = (struct segmaker_metric){names[i], TALLY_TYPE_COUNTER, 0};
	}
	fd = segmaker_make(dir, name, "large", m, n);
	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		fail("its header can't be read back");
	for (uint32_t row = 0; row < 2; row++) {
		for (uint32_t i = 0; i < n; i++)
			cells[i] = row ? UINT64_C(1) << 40 : i;
		if (pwrite(fd, cells, 8 * (size_t)n,
			    h.rows_off + row * h.row_size + TALLY_ROW_HEADER) != 8 * (ssize_t)n)
			fail("cells can't be written");
	}
	free(m);
	free(names);
	free(cells);
	return fd;
}

static void check_large(const struct segfile *s, uint32_t n)
{
	if (s->n != n || s->rows != 2)
		fail("the large segment is not what was made");
	for (uint32_t i = 0; i < n; i++)
		if (s->values[s->metrics[i].word] != (UINT64_C(1) << 40) + i)
			fail("a counter of the large segment has a wrong value");
}

struct block {
	int fd;
	off_t at;
	size_t size;
	const uint8_t *map;
	uint8_t *copy;
};

/* Four sums of two, so that no addition waits for the one before. */
typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

static void sum_map(void *arg)
{
	const struct block *k = arg;
	const pair *p = (const void *)k->map, *end = p + k->size / sizeof(*p) / 4 * 4;
	pair s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};

	for (; p < end; p += 4) {
		s0 += p[0];
		s1 += p[1];
		s2 += p[2];
		s3 += p[3];
	}
	s0 += s1 + s2 + s3;
	sink += s0[0] + s0[1];
}

static void copy_map(void *arg)
{
	const struct block *k = arg;

	memcpy(k->copy, k->map, k->size);
	sink += k->copy[k->size / 2];
}

static void pread_only(void *arg)
{
	const struct block *k = arg;

	if (pread(k->fd, k->copy, k->size, k->at) != (ssize_t)k->size)
		fail("pread");
}

/* The same bytes, without a thought for what they mean. */
static void measure_memory(struct bench *b, int fd)
{
	struct tally_segment h;
	struct block k = {.fd = fd};
	uint8_t *map;

	if (pread(fd, &h, sizeof(h), 0) != sizeof(h))
		fail("pread");
	k.at = h.rows_off;
	k.size = (size_t)h.rows * h.row_size;
	k.copy = malloc(k.size);
	map = mmap(NULL, h.rows_off + k.size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (map == MAP_FAILED || !k.copy)
		fail("no memory");
	k.map = map + h.rows_off;
	memset(k.copy, 1, k.size);
	measure(b, "memory: sum of the same 1.6 MB in a mapping", false, sum_map, &k);
	measure(b, "memory: the same, caches empty", true, sum_map, &k);
	measure(b, "memory: memcpy of the same bytes", false, copy_map, &k);
	measure(b, "memory: pread of the same bytes", false, pread_only, &k);
	measure(b, "memory: pread, caches empty", true, pread_only, &k);
	munmap(map, h.rows_off + k.size);
	free(k.copy);
}

static void measure_large(struct bench *b)
{
	static const uint32_t sizes[] = {1000, 10000, 100000};
	int fd = -1;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct segfile *s;
		struct reading r = {.segs = &s, .n = 1, .scratch = BUF_INIT};
		char name[96];

		snprintf(name, sizeof(name), "large%" PRIu32, sizes[i]);
		if (fd >= 0)
			close(fd);
		fd = make_large(name, sizes[i]);
		s = open_segment(name);
		snprintf(name, sizeof(name), "tally: %" PRIu32 " counters x 2 rows", sizes[i]);
		measure(b, name, false, read_all, &r);
		check_large(s, sizes[i]);
		if (sizes[i] == 100000) {
			bench_at_most(b, 0.3);
			measure(b, "tally: the same, caches empty", true, read_all, &r);
		}
		segfile_close(s);
		buf_release(&r.scratch);
	}
	measure_memory(b, fd);
	close(fd);
}

/* --- many processes ------------------------------------------------------------------------------ */

static pid_t children[PROCESSES];

static void end_children(void)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		if (children[i] <= 0)
			continue;
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
		children[i] = 0;
	}
}

static void start_children(const char *seg)
{
	int ready[2];
	char byte;

	if (pipe(ready))
		fail("pipe");
	for (unsigned i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			dup2(ready[1], 1);
			close(ready[0]);
			setenv("TALLY_DIR", seg, 1);
			execl("/proc/self/exe", "bench_read", "be-counted", (char *)NULL);
			_exit(127);
		}
	}
	close(ready[1]);
	for (unsigned i = 0; i < PROCESSES; i++)
		if (read(ready[0], &byte, 1) != 1)
			fail("a counting program did not start");
	close(ready[0]);
}

static void check_process(const struct segfile *s)
{
	if (s->n != COUNTERS || s->rows < 2)
		fail("a program's segment does not have 100 counters and 2 rows");
	for (size_t i = 0; i < s->n; i++)
		if (s->values[s->metrics[i].word] !=
			1000 + strtoull(s->metrics[i].name + 11, NULL, 10))
			fail("a program's counter has a wrong value");
}

static void measure_processes(struct bench *b)
{
	struct segfile *segs[PROCESSES];
	struct reading r = {.segs = segs, .n = 0, .scratch = BUF_INIT};
	char seg[sizeof(dir) + 8], name[96];
	struct dirent *entry;
	DIR *d;

	snprintf(seg, sizeof(seg), "%s/seg", dir);
	mkdir(seg, 0700);
	start_children(seg);
	d = opendir(seg);
	while (d && (entry = readdir(d)) && r.n < PROCESSES) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "seg/%.64s", entry->d_name);
		segs[r.n++] = open_segment(name);
	}
	if (d)
		closedir(d);
	if (r.n != PROCESSES)
		fail("not every program has a segment");
	read_all(&r);
	snprintf(name, sizeof(name), "tally: 100 processes x 100 counters x %" PRIu32 " rows",
		segs[0]->rows);
	measure(b, name, false, read_all, &r);
	bench_at_most(b, 1);
	measure(b, "tally: the same, caches empty", true, read_all, &r);
	measure(b, "tally: the same, and whether each process lives", false, poll_all, &r);
	for (size_t i = 0; i < r.n; i++) {
		check_process(segs[i]);
		segfile_close(segs[i]);
	}
	buf_release(&r.scratch);
	end_children();
}

/* --- peers --------------------------------------------------------------------------------------- */

static void add_line(struct bench *b, char *line)
{
	double samples[RUNS];
	unsigned n = 0;
	char *save, *name = strtok_r(line, "|", &save), *unit = strtok_r(NULL, "|", &save), *word;

	if (!name || !unit)
		fail("a peer's line can't be understood");
	while (n < RUNS && (word = strtok_r(NULL, " \n", &save)))
		samples[n++] = atof(word);
	if (n == 0)
		fail("a peer has measured nothing");
	bench_samples(b, name, unit, samples, n);
}

static int measure_peer(struct bench *b, const char *peer)
{
	const char *build = getenv("B") ? getenv("B") : "build";
	char cmd[700], line[8192];
	unsigned lines = 0;
	FILE *f;
	int status;

	snprintf(cmd, sizeof(cmd), "%s/tests/bench/%s %s/%s", build, peer, dir, peer);
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		add_line(b, line);
		lines++;
	}
	status = f ? pclose(f) : -1;
	if (status == 0 && lines > 0)
		return 0;
	fprintf(stderr, "read: %s failed\n", peer);
	return 1;
}

/* --- all ----------------------------------------------------------------------------------------- */

/* Of the last result whose name starts so. */
static double value_of(const struct bench *b, const char *start)
{
	for (size_t i = b->nresults; i-- > 0;)
		if (strncmp(b->results[i].name, start, strlen(start)) == 0)
			return b->results[i].value;
	fprintf(stderr, "read: there is no '%s'\n", start);
	fail("a ratio can't be made");
}

static void add_ratios(struct bench *b)
{
	double many = value_of(b, "tally: 10000 "), most = value_of(b, "tally: 100000 ");

	bench_ratio(b, "tally / pread of the same bytes, 100000 counters",
		most / value_of(b, "memory: pread of"));
	bench_ratio(b, "pmFetch from pmcd / tally, 10000 counters",
		value_of(b, "PCP: pmFetch of 10000 MMV counters, from pmcd") / many);
	bench_ratio(b, "varnishstat / tally, 10000 counters",
		value_of(b, "Varnish: varnishstat -1 -j") / many);
	bench_ratio(b, "Prometheus scrape and Python parse / tally, 100000 counters",
		(value_of(b, "Prometheus: scrape by HTTP, 100000") +
			value_of(b, "Prometheus: parse, Python client, 100000")) /
			most);
	bench_ratio(b, "Prometheus scrape and our parse / tally, 100000 counters",
		(value_of(b, "Prometheus: scrape by HTTP, 100000") +
			value_of(b, "Prometheus: parse, a loop of ours, 100000")) /
			most);
}

static int measure_all(void)
{
	static struct bench b = {
		.name = "read",
		.unit = "ms",
		.about =
			"reading counters once, values to memory; segments are on a tmpfs and kept "
			"open, peers' names are resolved and connections open where they can be",
	};
	int failed = 0;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	measure_large(&b);
	measure_processes(&b);
	for (size_t i = 0; i < ARRAY_LEN(peers); i++)
		failed |= measure_peer(&b, peers[i]);
	if (!failed)
		add_ratios(&b);
	return bench_write(&b) || failed;
}

static pid_t worker;

static void pass_on(int signal)
{
	kill(worker, signal);
}

/* A process of its own measures, so that its memory and files go whatever happens to it. */
int main(int argc, char **argv)
{
	struct statfs fs;
	char cmd[100];
	int status = 1;

	if (argc > 1)
		return be_counted();
	strcpy(dir, "/dev/shm/tally-read-XXXXXX");
	if (!mkdtemp(dir))
		fail("/dev/shm can't be written to");
	if (statfs(dir, &fs) || fs.f_type != TMPFS_MAGIC)
		fprintf(stderr, "read: /dev/shm is no tmpfs\n");
	else if ((worker = fork()) == 0)
		exit(measure_all());
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, pass_on);
	while (worker > 0 && waitpid(worker, &status, 0) < 0 && errno == EINTR)
		continue;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd))
		fprintf(stderr, "read: %s is left\n", dir);
	return status != 0;
}
