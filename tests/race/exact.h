/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of exactness share: they start a storm program in a directory of its own, wait for it or
 * kill it, and compare what its segments hold with its oracle (tests/race/oracle.h).
 *
 * Environment: TALLY_SEED; TALLY_STORM_SCALE, how many times longer than in `make check`; TALLY_STORM_LOG,
 * a file that gets a line for each storm: "PROGRAM MODE INCREMENTS HOW", from which `make check-long` makes
 * its report.
 */
#ifndef TALLY_TESTS_RACE_EXACT_H
#define TALLY_TESTS_RACE_EXACT_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/testrand.h"
#include "tests/race/oracle.h"
#include "user/lib/segfile.h"

struct run {
	char dir[256], seg[300], oracle[300], program[300];
	pid_t pid;
};

struct result {
	uint64_t started, returned, total, bytes;
	uint64_t notes[NOTE_COUNT];
	unsigned files, starts, unfinished;
	uint32_t rows;
};

static char left[256]; /* the directory of a run that has not been released */
enum { LEFT_RUNS = 4 };
static pid_t left_runs[LEFT_RUNS]; /* process groups that have not been waited for */

/* How many times longer than in `make check`. */
static inline long exact_scale(void)
{
	const char *text = getenv("TALLY_STORM_SCALE");

	return text && atol(text) > 1 ? atol(text) : 1;
}

/* The storm program beside this test: BUILD/tests/race/test_exact -> BUILD/tests/race/NAME. */
static inline void find_program(char *out, size_t size, const char *name)
{
	char self[200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	cr_assert(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(out, size, "%s/%s", self, name);
}

/* A test that fails leaves by longjmp: what it made goes here, and who counts ends. */
static inline void remove_left(void)
{
	char cmd[300];

	for (size_t i = 0; i < LEFT_RUNS; i++)
		if (left_runs[i])
			kill(-left_runs[i], SIGKILL);
	memset(left_runs, 0, sizeof(left_runs));
	if (!left[0])
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", left);
	if (system(cmd) != 0)
		perror(cmd);
	left[0] = '\0';
}

static inline void replace_left_run(pid_t from, pid_t to)
{
	for (size_t i = 0; i < LEFT_RUNS; i++)
		if (left_runs[i] == from) {
			left_runs[i] = to;
			return;
		}
}

static inline void run_init(struct run *r, const char *program)
{
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "%s/tally-exact-XXXXXX", tmp);
	cr_assert_not_null(mkdtemp(r->dir));
	strcpy(left, r->dir);
	snprintf(r->seg, sizeof(r->seg), "%s/seg", r->dir);
	cr_assert_eq(mkdir(r->seg, 0700), 0);
	snprintf(r->oracle, sizeof(r->oracle), "%s/oracle", r->dir);
	int fd = open(r->oracle, O_CREAT | O_RDWR, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(ftruncate(fd, sizeof(struct oracle)), 0);
	close(fd);
	find_program(r->program, sizeof(r->program), program);
}

/* In a process group of its own, so that a kill reaches all that it made. */
static inline void run_start(struct run *r, const char *mode, const char *count, const char *more)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r->pid = fork();
	cr_assert(r->pid >= 0);
	if (r->pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("TALLY_DIR", r->seg, 1);
		execl(r->program, r->program, mode, r->oracle, count, more, NULL);
		_exit(127);
	}
	setpgid(r->pid, r->pid);
	replace_left_run(0, r->pid);
}

/* Waits for all of the group, orphans too: run_start() made us take them. */
static inline void run_wait(struct run *r, int *ret_status)
{
	cr_assert_eq(waitpid(r->pid, ret_status, 0), r->pid);
	while (waitpid(-r->pid, NULL, 0) > 0)
		;
	replace_left_run(r->pid, 0);
}

static inline void run_kill(struct run *r)
{
	int status;

	kill(-r->pid, SIGKILL);
	run_wait(r, &status);
}

/* The oracle, to look at (and to leave a note in) while its storm runs; for oracle_unmap(). */
static inline struct oracle *oracle_map(const struct run *r)
{
	int fd = open(r->oracle, O_RDWR);
	struct oracle *o = mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	cr_assert_neq(o, MAP_FAILED);
	close(fd);
	return o;
}

static inline void oracle_unmap(struct oracle *o)
{
	munmap(o, sizeof(*o));
}

static inline void read_oracle(const struct run *r, struct result *res)
{
	struct oracle *o = oracle_map(r);

	for (uint64_t i = 0; i < o->used; i++) {
		res->started += o->slots[i].started;
		res->returned += o->slots[i].returned;
	}
	for (int i = 0; i < NOTE_COUNT; i++)
		res->notes[i] = o->notes[i];
	oracle_unmap(o);
}

/* All metrics of these names are summed, whichever object of the program has them. */
static inline void add_segment(struct segfile *s, struct result *res)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->metrics[i].name, "storm") == 0)
			res->total += s->values[i];
		if (strcmp(s->metrics[i].name, "storm_bytes") == 0)
			res->bytes += s->values[i];
	}
	res->files++;
	res->starts += s->starts;
	res->rows += s->rows;
}

/* Reads all segments; those of the dead only, if `dead`: then one that is locked is a failure. */
static inline void read_segments(const struct run *r, bool dead, struct result *res)
{
	struct buf rows_buf = BUF_INIT;
	DIR *d = opendir(r->seg);
	struct dirent *e;

	cr_assert_not_null(d);
	while ((e = readdir(d))) {
		struct segfile *s;
		struct errmsg err = {""};

		if (e->d_name[0] == '.')
			continue;
		int code = segfile_open(dirfd(d), e->d_name, &s, &err);
		if (code == -EAGAIN) { /* killed while it was made: nothing was counted in it yet */
			res->unfinished++;
			continue;
		}
		cr_assert_eq(code, 0, "%s: %s", e->d_name, err.text);
		if (dead)
			cr_assert_eq(segfile_test_dead(s), 1, "%s is still locked", e->d_name);
		cr_assert_eq(segfile_read(s, &rows_buf), 0);
		add_segment(s, res);
		segfile_close(s);
	}
	closedir(d);
	buf_release(&rows_buf);
}

static inline void remove_segments(const struct run *r)
{
	DIR *d = opendir(r->seg);
	struct dirent *e;

	cr_assert_not_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			cr_assert_eq(unlinkat(dirfd(d), e->d_name, 0), 0);
	closedir(d);
}

static inline struct result run_result(const struct run *r)
{
	struct result res = {0};

	read_oracle(r, &res);
	read_segments(r, true, &res);
	return res;
}

/* One line for the report; a single write, as tests run side by side. */
static inline void exact_log(
	const char *program, const char *mode, uint64_t increments, const char *how)
{
	const char *path = getenv("TALLY_STORM_LOG");
	char line[300];
	int n, fd;

	if (!path)
		return;
	n = snprintf(line, sizeof(line), "%s %s %" PRIu64 " %s\n", program, mode, increments, how);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	cr_assert(fd >= 0 && write(fd, line, (size_t)n) == n, "%s", path);
	close(fd);
}

/* Nobody was killed: not one more, not one less. */
static inline void expect_equal(const char *program, const char *mode, const struct result *res)
{
	fprintf(stderr, "%s %s: %" PRIu64 " increments, %u rows, %u files\n", program, mode,
		res->started, res->rows, res->files);
	cr_expect(res->returned > 0);
	cr_expect_eq(res->total, res->started, "%s %s: %" PRIu64 " counted, %" PRIu64 " made",
		program, mode, res->total, res->started);
	cr_expect_eq(res->returned, res->started);
	cr_expect_eq(res->bytes, 7 * res->total, "%s %s: %" PRIu64 " bytes for %" PRIu64, program,
		mode, res->bytes, res->total);
	exact_log(program, mode, res->started,
		res->total == res->started && res->returned == res->started ? "equal" : "UNEQUAL");
}

/* Somebody was killed in mid-air: an increment that returned is there, and none that was not begun. */
static inline void expect_bounds(const char *program, const char *mode, const struct result *res)
{
	fprintf(stderr, "%s %s: %" PRIu64 " <= %" PRIu64 " <= %" PRIu64 "\n", program, mode,
		res->returned, res->total, res->started);
	cr_expect(res->returned > 0);
	cr_expect_leq(res->returned, res->total, "%s %s: lost %" PRIu64, program, mode,
		res->returned - res->total);
	cr_expect_leq(res->total, res->started, "%s %s: %" PRIu64 " too many", program, mode,
		res->total - res->started);
	exact_log(program, mode, res->total,
		res->returned <= res->total && res->total <= res->started ? "bounded" : "OUTSIDE");
}

/* Runs a storm to its end, which must be a good one. */
static inline void run_whole(struct run *r, const char *program, const char *mode,
	const char *count, const char *more, struct result *ret)
{
	int status;

	run_init(r, program);
	run_start(r, mode, count, more);
	run_wait(r, &status);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s: status %x", program, mode,
		status);
	*ret = run_result(r);
}

static inline struct result check_equal(
	const char *program, const char *mode, const char *count, const char *more)
{
	struct result res;
	struct run r;

	run_whole(&r, program, mode, count, more, &res);
	expect_equal(program, mode, &res);
	remove_left();
	return res;
}

static inline struct result check_bounds(
	const char *program, const char *mode, const char *count, const char *more)
{
	struct result res;
	struct run r;

	run_whole(&r, program, mode, count, more, &res);
	expect_bounds(program, mode, &res);
	remove_left();
	return res;
}

/* Both languages: `program` and `program`-cxx. What is returned is C's. */
static inline struct result check_both(
	const char *program, const char *mode, const char *count, const char *more)
{
	char cxx[64];

	snprintf(cxx, sizeof(cxx), "%s-cxx", program);
	check_equal(cxx, mode, count, more);
	return check_equal(program, mode, count, more);
}

#endif
