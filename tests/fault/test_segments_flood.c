/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One user floods the segment directory, by number or by cost: with files, links, unfinished files,
 * descriptors, rows and the dead. Another user's segments stay exact, also those that come after the
 * flood, and no poll takes more than POLL_CPU_NS of CPU time; those after a start, until the directory
 * was listed once, FIRST_POLL_CPU_NS.
 *
 * TALLY_HOSTILE_FILES is the number of files, 100,000 if it is not set.
 */
#include <criterion/criterion.h>
#include <malloc.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "tests/lib/testdir.h"
#include "user/lib/util.h"
#include "user/provider/segments.h"

#define GOOD_UID          1001u
#define HOSTILE_UID       65000u
#define POLL_CPU_NS       (50 * NSEC_PER_MSEC)
#define FIRST_POLL_CPU_NS (400 * NSEC_PER_MSEC)
/* A poll lists this many names at least. */
#define NAMES_PER_POLL 2048u
#define MEMORY_MAX     (64u << 20)

#define C TALLY_TYPE_COUNTER
#define G TALLY_TYPE_GAUGE
static const struct segmaker_metric two[] = {{"requests", C, 0}, {"depth", G, 0}};

static char base[PATH_MAX], segs[128], state[128];
static struct registry registry;
static struct snapshot snap;
static struct provider_env env;
static uint64_t worst_ns, first_worst_ns, polls;
static bool listed;
static int good = -1, late = -1;
static uint64_t count;

/* --- the good ------------------------------------------------------------------------------------ */

static void make_path(char *path, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", segs, name);
}

static void give_to(const char *name, uid_t uid)
{
	char path[PATH_MAX];

	make_path(path, name);
	cr_assert_eq(lchown(path, uid, uid), 0);
}

static int make_good(const char *name, const char *program)
{
	int fd = segmaker_make(segs, name, program, two, 2);

	give_to(name, GOOD_UID);
	return fd;
}

static const char *value_of(const char *program)
{
	const struct passwd *pw = getpwuid(GOOD_UID);
	char name[256], user[16];

	snprintf(user, sizeof(user), "%u", GOOD_UID);
	snprintf(name, sizeof(name), "requests_total{program=\"%s\",user=\"%s\"}", program,
		pw ? pw->pw_name : user);
	return polling_value(&snap, name);
}

static struct segments_stats stats(void)
{
	struct segments_stats st;

	segments_stats(&registry, &st);
	return st;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void start_provider(void)
{
	struct errmsg e = {""};

	registry = (struct registry){0};
	cr_assert_eq(registry_add(&registry, &producer_segments, &e), 0);
	cr_assert_eq(registry_open(&registry, &env), 1);
}

static void restart_provider(void)
{
	registry_close(&registry);
	start_provider();
	listed = false;
}

static void poll_all(void)
{
	uint64_t start = cpu_ns(), *worst = listed ? &worst_ns : &first_worst_ns;

	cr_assert_eq(polling_take(&registry.producers[0], &snap), 0);
	start = cpu_ns() - start;
	polls++;
	if (start > *worst)
		*worst = start;
	listed |= snap.n > 0;
}

/* The good program counts on; so many polls later its total is right, and at each poll from then on. */
static void expect_good(unsigned within)
{
	char total[32];
	unsigned seen = 0;

	segmaker_set(good, 1, 0, ++count);
	snprintf(total, sizeof(total), "%llu", (unsigned long long)count);
	for (unsigned i = 0; i < within; i++) {
		poll_all();
		seen = strcmp(value_of("web"), total) ? 0 : seen + 1;
	}
	cr_expect_gt(
		seen, 0, "web is %s after %u polls, wanted %s", value_of("web"), within, total);
}

/* A program that comes after the flood is found, and its counts with it. */
static void expect_late(unsigned within)
{
	if (late < 0)
		late = make_good("late", "late");
	segmaker_set(late, 0, 0, 5);
	for (unsigned i = 0; i < within && strcmp(value_of("late"), "5"); i++)
		poll_all();
	cr_expect_str_eq(value_of("late"), "5", "not found in %u polls", within);
}

static void expect_bounds(const char *what)
{
	printf("%s: worst of %llu polls %.1f ms of CPU time, after a start %.1f ms\n", what,
		(unsigned long long)polls, (double)worst_ns / NSEC_PER_MSEC,
		(double)first_worst_ns / NSEC_PER_MSEC);
	cr_expect_leq(first_worst_ns, FIRST_POLL_CPU_NS,
		"%s: a first poll took %.1f ms of CPU time", what,
		(double)first_worst_ns / NSEC_PER_MSEC);
	cr_expect_leq(worst_ns, POLL_CPU_NS, "%s: a poll took %.1f ms of CPU time", what,
		(double)worst_ns / NSEC_PER_MSEC);
}

static void setup(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root: files of several users");
	test_raise_files();
	test_dir_make_in_memory(base, "flood");
	snprintf(segs, sizeof(segs), "%.100s/seg", base);
	snprintf(state, sizeof(state), "%.100s/state", base);
	cr_assert_eq(mkdir(segs, 0755) | mkdir(state, 0755), 0);
	env = (struct provider_env){.segment_dir = segs,
		.state_dir = state,
		.proc_dir = "/proc",
		.interval_ns = NSEC_PER_SEC,
		.boot_id = {1}};
	good = make_good("good", "web");
	start_provider();
}

static void teardown(void)
{
	if (!*base)
		return;
	registry_close(&registry);
	snapshot_release(&snap);
	test_dir_remove(base);
}

TestSuite(flood, .init = setup, .fini = teardown, .timeout = 280);

/* --- files ----------------------------------------------------------------------------------------- */

static uint32_t files_wanted(void)
{
	const char *text = getenv("TALLY_HOSTILE_FILES");

	return text ? (uint32_t)strtoul(text, NULL, 10) : 100000;
}

/* Every other unfinished one is old: it has lost its maker, and is removed. */
static void make_files(const char *end, uint32_t first, uint32_t n)
{
	const struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
	int at = open(segs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (uint32_t i = first; i < first + n; i++) {
		char name[32];
		int fd;

		snprintf(name, sizeof(name), "%u%s", i, end);
		fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		cr_assert(fd >= 0 && fchown(fd, HOSTILE_UID, HOSTILE_UID) == 0);
		if (*end && i % 2)
			cr_assert_eq(futimens(fd, old), 0);
		close(fd);
	}
	close(at);
}

/* There before the provider starts: its first listing is bounded too. */
Test(flood, files_before_the_start)
{
	uint32_t n = files_wanted();
	unsigned pass = n / NAMES_PER_POLL + 2;
	size_t before;

	make_files("", 0, n);
	before = mallinfo2().uordblks;
	restart_provider();
	expect_good(pass);
	expect_late(2 * pass);
	cr_expect_gt(stats().refused[REFUSED_FORMAT], 0);
	cr_expect_leq(mallinfo2().uordblks - before, MEMORY_MAX);
	expect_bounds("files before the start");
}

/* More of them before each poll. */
Test(flood, files_while_it_runs)
{
	uint32_t n = files_wanted();
	unsigned pass = n / NAMES_PER_POLL + 2;

	expect_good(1);
	for (uint32_t i = 0; i < 10; i++) {
		make_files("", i * (n / 10), n / 10);
		expect_good(1);
	}
	expect_late(2 * pass);
	expect_good(1);
	expect_bounds("files while it runs");
}

/* Unfinished ones, which are looked at again and again. */
Test(flood, unfinished_files)
{
	uint32_t n = files_wanted();

	expect_good(1);
	make_files(".new", 0, n);
	expect_good(5);
	expect_late(2 * (n / NAMES_PER_POLL + 2));
	cr_expect_gt(stats().removed, 0);
	expect_bounds("unfinished files");
}

/* Notes of processes that got no segment: empty ones and long ones, as anybody may write them. */
Test(flood, notes_of_refusals)
{
	uint32_t n = files_wanted();
	char path[PATH_MAX];

	expect_good(1);
	make_files(".refused", 0, n);
	make_path(path, "0.refused");
	cr_assert_eq(truncate(path, INT64_MAX / 2), 0);
	expect_good(5);
	expect_late(2 * (n / NAMES_PER_POLL + 2));
	cr_expect_leq(stats().starts_refused, 65536);
	expect_bounds("notes of refusals");
}

/* --- cost ------------------------------------------------------------------------------------------ */

/* A segment with so many metrics and rows, all names the same, each with its cell. */
static int make_wide(const char *name, uint32_t n, uint32_t rows, unsigned name_len)
{
	struct tally_segment_desc *d = calloc(n, sizeof(*d));
	int fd = segmaker_make(segs, name, "evil", two, 1);
	char strings[8 + 256] = "\0evil";
	struct tally_segment h;

	cr_assert_not_null(d);
	memset(strings + 6, 'm', name_len);
	cr_assert_eq(pread(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
	for (uint32_t i = 0; i < n; i++)
		d[i] = (struct tally_segment_desc){.name = 6,
			.unit = 6,
			.help = 6,
			.type = C,
			.cell = TALLY_ROW_HEADER + 8 * i,
			.cells = 1};
	h.ndesc = n;
	h.strings_off = h.desc_off + n * (uint32_t)sizeof(*d);
	h.strings_len = sizeof(strings);
	h.program = 1;
	h.tables_off = h.rows_off = segmaker_align(h.strings_off + sizeof(strings));
	h.row_size = segmaker_align(TALLY_ROW_HEADER + 8 * (size_t)n);
	h.rows = h.rows_max = rows;
	cr_assert_eq(pwrite(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
	cr_assert_eq(pwrite(fd, d, n * sizeof(*d), h.desc_off), (ssize_t)(n * sizeof(*d)));
	cr_assert_eq(pwrite(fd, strings, sizeof(strings), h.strings_off), (ssize_t)sizeof(strings));
	cr_assert_eq(ftruncate(fd, h.rows_off + (off_t)h.rows * h.row_size), 0);
	free(d);
	give_to(name, HOSTILE_UID);
	return fd;
}

/*
 * Checking 65,536 descriptors takes its time: for each of several files, and for new names of one again
 * and again.
 */
Test(flood, costly_files)
{
	char from[PATH_MAX], to[PATH_MAX], name[32];
	int fd;

	expect_good(1);
	fd = make_wide("wide", 65536, 1, 255);
	make_path(from, "wide");
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			snprintf(name, sizeof(name), "link%u-%u", round, i);
			make_path(to, name);
			cr_assert_eq(link(from, to), 0);
		}
		for (unsigned i = 0; i < 10; i++) {
			snprintf(name, sizeof(name), "wide%u-%u", round, i);
			close(make_wide(name, 65536, 1, 255));
		}
		expect_good(1);
	}
	restart_provider();
	expect_good(20);
	expect_late(20);
	close(fd);
	expect_bounds("costly files");
}

/* Small when they are looked at, large when they are read. */
Test(flood, rows_that_swell)
{
	enum { FILES = 48 };
	struct tally_segment h[FILES];
	int fds[FILES];

	for (unsigned i = 0; i < FILES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "swell%u", i);
		fds[i] = make_wide(name, 1, 1u << 20, 1);
		cr_assert_eq(pread(fds[i], &h[i], sizeof(h[i]), 0), (ssize_t)sizeof(h[i]));
		h[i].row_size = 1u << 10;
		h[i].rows_max = 65536;
		h[i].rows = 1;
		cr_assert_eq(pwrite(fds[i], &h[i], sizeof(h[i]), 0), (ssize_t)sizeof(h[i]));
	}
	expect_good(1);
	expect_good(1);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < FILES; i++) {
			h[i].rows = round % 2 ? 1 : 65536;
			/* every other one ends before its rows do, so that reading it fails */
			cr_assert_eq(ftruncate(fds[i], h[i].rows_off + (65536 << 10) - i % 2), 0);
			cr_assert_eq(pwrite(fds[i], &h[i], sizeof(h[i]), 0), (ssize_t)sizeof(h[i]));
		}
		expect_good(1);
	}
	for (unsigned i = 0; i < FILES; i++)
		close(fds[i]);
	expect_good(1);
	expect_bounds("rows that swell");
}

/* Each of the dead is a record of half a megabyte in the journal. */
Test(flood, the_dead)
{
	enum { FILES = 100, METRICS = 800 };
	struct segmaker_metric *m = calloc(METRICS, sizeof(*m));
	char *names = calloc(METRICS, 256), path[PATH_MAX];
	struct stat st;

	cr_assert(m && names);
	for (unsigned i = 0; i < METRICS; i++) {
		memset(names + 256 * i, 'm', 240);
		snprintf(names + 256 * i + 240, 16, "%u", i);
		m[i] = (struct segmaker_metric){names + 256 * i, C, 0};
	}
	expect_good(1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < FILES; i++) {
			char name[32];
			int fd;

			snprintf(name, sizeof(name), "dead%u-%u", round, i);
			fd = segmaker_make(segs, name, "evil", m, METRICS);
			segmaker_set(fd, 0, 0, 1);
			give_to(name, HOSTILE_UID);
			close(fd);
		}
		expect_good(1);
	}
	close(good);
	good = make_good("next", "web"); /* the first is dead now, and must be folded in its turn */
	for (unsigned i = 0; i < 40; i++)
		poll_all();
	cr_expect_str_eq(value_of("web"), "4");
	make_path(path, "good");
	cr_expect_lt(access(path, F_OK), 0, "not folded");
	snprintf(path, sizeof(path), "%s/fold.journal", state);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_leq(st.st_size, 64 << 20);
	restart_provider();
	for (unsigned i = 0; i < 10; i++) {
		poll_all();
		cr_expect(!listed || !strcmp(value_of("web"), "4"), "web is %s", value_of("web"));
	}
	cr_expect(listed);
	free(m);
	free(names);
	expect_bounds("the dead");
}

/* --- locks ----------------------------------------------------------------------------------------- */

static int read_lock(const char *name)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX];
	int fd;

	make_path(path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0 ? fd : -1;
}

/* The instrumented program of the fuzz tests, which counts 4,000 and ends. */
static void run_program(void)
{
	const char *b = getenv("B");
	char path[PATH_MAX], dir[160];
	char *const argv[] = {path, NULL}, *const envp[] = {dir, NULL};
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/san/seed", b ? b : "build");
	snprintf(dir, sizeof(dir), "TALLY_DIR=%s", segs);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	cr_assert_eq(posix_spawn(&pid, path, &actions, NULL, argv, envp), 0, "%s", path);
	posix_spawn_file_actions_destroy(&actions);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
}

/* The files that the program left; their names. */
static unsigned program_files(char names[][64], unsigned max)
{
	struct dirent *d;
	unsigned n = 0;
	DIR *at = opendir(segs);

	cr_assert_not_null(at);
	while ((d = readdir(at)))
		if (!strncmp(d->d_name, "seed.", 5) && n < max)
			snprintf(names[n++], 64, "%.63s", d->d_name);
	closedir(at);
	return n;
}

static const char *seed_total(void)
{
	const struct passwd *pw = getpwuid(getuid());
	char name[128];

	snprintf(name, sizeof(name), "seed_requests_total{program=\"seed\",user=\"%s\"}",
		pw ? pw->pw_name : "?");
	return polling_value(&snap, name);
}

/* A stranger's read lock keeps the next run from adopting the file: it takes another, nothing is lost. */
Test(flood, a_read_lock_for_ever)
{
	char names[8][64];
	int lock;

	run_program();
	cr_assert_eq(program_files(names, 8), 1);
	run_program();
	cr_assert_eq(program_files(names, 8), 1, "adopted");
	lock = read_lock(names[0]);
	cr_assert(lock >= 0);
	run_program();
	cr_expect_eq(program_files(names, 8), 2, "another file while it is locked");
	poll_all();
	cr_expect_str_eq(seed_total(), "12000");
	poll_all();
	cr_expect_str_eq(seed_total(), "12000");
	cr_expect_eq(program_files(names, 8), 0, "it does not keep the provider from folding");
	cr_expect_eq(stats().folded, 2);
	close(lock);
	restart_provider();
	expect_good(1);
	cr_expect_str_eq(seed_total(), "12000");
	expect_bounds("a read lock for ever");
}

/* A write lock by one who never counts: the file is taken for living. Its counts are there all the same. */
Test(flood, a_write_lock_for_ever)
{
	char names[8][64], path[PATH_MAX];
	int lock;

	run_program();
	cr_assert_eq(program_files(names, 8), 1);
	make_path(path, names[0]);
	lock = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(lock >= 0 && segmaker_lock(lock));
	run_program();
	poll_all();
	cr_expect_str_eq(seed_total(), "8000");
	cr_expect_eq(program_files(names, 8), 1, "the other one is folded");
	restart_provider();
	expect_good(1);
	cr_expect_str_eq(seed_total(), "8000");
	cr_expect_lt(read_lock(names[0]), 0);
	close(lock);
	expect_good(1);
	cr_expect_str_eq(seed_total(), "8000");
	cr_expect_eq(program_files(names, 8), 0);
	expect_bounds("a write lock for ever");
}
