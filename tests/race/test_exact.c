/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled: tests/race/storm counts in all ways that a program can, and what its
 * segments hold afterwards is compared with its own oracle, a file that tally knows nothing of.
 *
 * Nobody killed: returned == total == started. Killed at a random moment: returned <= total <= started.
 */
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

#include "user/lib/segfile.h"

#define SLOTS 65536

struct oracle {
	uint64_t used;
	struct {
		uint64_t started, returned;
	} slots[SLOTS];
};

struct run {
	char dir[256], seg[300], oracle[300], program[300];
	pid_t pid;
};

struct result {
	uint64_t started, returned, total, bytes;
	unsigned files, starts;
	uint32_t rows;
};

/* The storm program beside this test: BUILD/tests/race/test_exact -> BUILD/tests/race/NAME. */
static void find_program(char *out, size_t size, const char *name)
{
	char self[200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	cr_assert(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	snprintf(out, size, "%s/%s", self, name);
}

static char left[256]; /* the directory of a run that has not been released */

/* A test that fails leaves by longjmp: what it made goes here. */
static void remove_left(void)
{
	char cmd[300];

	if (!left[0])
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", left);
	if (system(cmd) != 0)
		perror(cmd);
	left[0] = '\0';
}

TestSuite(exact, .fini = remove_left);

static void run_init(struct run *r, const char *program)
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
static void run_start(struct run *r, const char *mode, const char *count, const char *more)
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
}

/* Waits for all of the group, orphans too: run_start() made us take them. */
static void run_wait(struct run *r, int *ret_status)
{
	cr_assert_eq(waitpid(r->pid, ret_status, 0), r->pid);
	while (waitpid(-r->pid, NULL, 0) > 0)
		;
}

static void run_kill(struct run *r)
{
	int status;

	kill(-r->pid, SIGKILL);
	run_wait(r, &status);
}

static void read_oracle(const struct run *r, struct result *res)
{
	int fd = open(r->oracle, O_RDONLY);
	struct oracle *o = mmap(NULL, sizeof(*o), PROT_READ, MAP_SHARED, fd, 0);

	cr_assert_neq(o, MAP_FAILED);
	for (uint64_t i = 0; i < o->used; i++) {
		res->started += o->slots[i].started;
		res->returned += o->slots[i].returned;
	}
	munmap(o, sizeof(*o));
	close(fd);
}

static void read_segments(const struct run *r, struct result *res)
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
		if (code == -EAGAIN) /* killed while it was made: nothing was counted in it yet */
			continue;
		cr_assert_eq(code, 0, "%s: %s", e->d_name, err.text);
		cr_assert_eq(segfile_test_dead(s), 1, "%s is still locked", e->d_name);
		cr_assert_eq(segfile_read(s, &rows_buf), 0);
		for (size_t i = 0; i < s->n; i++) {
			if (strcmp(s->metrics[i].name, "storm") == 0)
				res->total += s->values[i];
			if (strcmp(s->metrics[i].name, "storm_bytes") == 0)
				res->bytes += s->values[i];
		}
		res->files++;
		res->starts += s->starts;
		res->rows += s->rows;
		segfile_close(s);
	}
	closedir(d);
	buf_release(&rows_buf);
}

static struct result run_result(const struct run *r)
{
	struct result res = {0};

	read_oracle(r, &res);
	read_segments(r, &res);
	return res;
}

static void check_equal(const char *program, const char *mode, const char *count, const char *more,
	struct result *ret)
{
	struct run r;
	int status;

	run_init(&r, program);
	run_start(&r, mode, count, more);
	run_wait(&r, &status);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s: status %x", program, mode,
		status);
	struct result res = run_result(&r);
	cr_log_info("%s %s: %" PRIu64 " increments, %u rows", program, mode, res.total, res.rows);
	cr_expect(res.returned > 0);
	cr_expect_eq(res.total, res.started, "%s %s: %" PRIu64 " counted, %" PRIu64 " made",
		program, mode, res.total, res.started);
	cr_expect_eq(res.returned, res.started);
	cr_expect_eq(res.bytes, 7 * res.total);
	if (ret)
		*ret = res;
	remove_left();
}

static void check_both(const char *mode, const char *count, const char *more, struct result *ret)
{
	check_equal("storm", mode, count, more, ret);
	check_equal("storm-cxx", mode, count, more, NULL);
}

Test(exact, threads)
{
	check_both("threads", "1000000", NULL, NULL);
}

Test(exact, threads_come_and_go)
{
	struct result res;

	check_both("churn", "200", NULL, &res);
	cr_expect_leq(res.rows, 128, "2,400 threads, 8 at a time, left %u rows", res.rows);
}

Test(exact, more_threads_than_rows)
{
	struct result res;

	check_both("crowd", "300", NULL, &res);
	cr_expect_eq(res.rows, 1024);
}

Test(exact, fork_while_threads_count)
{
	check_both("fork", "400000", NULL, NULL);
}

Test(exact, clone_without_libc)
{
	check_both("clone", "400000", NULL, NULL);
}

Test(exact, vfork)
{
	check_both("vfork", "400000", NULL, NULL);
}

/* What a vfork child claims in its parent's name would be taken from the parent when the child ends. */
Test(exact, first_count_is_a_vfork_childs)
{
	for (int i = 0; i < 3; i++)
		check_both("vfork-first", "500", NULL, NULL);
}

Test(exact, signal_handlers)
{
	check_both("signals", "1000000", NULL, NULL);
}

/* Ten programs one after the other: each adopts the file of the one before, if it had died. */
Test(exact, exec_and_adoption)
{
	struct result res;

	check_both("exec", "1000", "9", &res);
	cr_expect_eq(res.starts, 10);
	cr_expect_leq(res.files, 2);
}

/* Two programs at once: both segments are locked, so neither is adopted, nor taken for dead. */
Test(exact, the_living_are_locked)
{
	struct run r, other;
	unsigned files = 0;
	DIR *d;
	struct dirent *e;

	run_init(&r, "storm");
	run_start(&r, "forever", "50", NULL);
	usleep(50000);
	other = r;
	run_start(&other, "forever", "50", NULL);
	usleep(50000);
	d = opendir(r.seg);
	while ((e = readdir(d))) {
		struct segfile *s;

		if (e->d_name[0] == '.')
			continue;
		cr_assert_eq(segfile_open(dirfd(d), e->d_name, &s, NULL), 0);
		cr_expect_eq(segfile_test_dead(s), 0);
		segfile_close(s);
		files++;
	}
	closedir(d);
	cr_expect_eq(files, 2);
	run_kill(&other);
	run_kill(&r);
	remove_left();
}

Test(exact, killed_at_random_moments)
{
	const char *text = getenv("TALLY_SEED");
	unsigned seed = text ? (unsigned)atoi(text) : (unsigned)time(NULL);
	struct result before = {0}, res;
	struct run r;

	fprintf(stderr, "TALLY_SEED=%u\n", seed);
	srand(seed);
	run_init(&r, "storm");
	for (int round = 0; round < 25; round++) {
		run_start(&r, "forever", "50", NULL);
		usleep((useconds_t)(rand() % 60000));
		run_kill(&r);
		res = run_result(&r);
		cr_assert_leq(res.returned, res.total, "round %d: lost %" PRIu64, round,
			res.returned - res.total);
		cr_assert_leq(res.total, res.started, "round %d: %" PRIu64 " too many", round,
			res.total - res.started);
		cr_assert_geq(res.total, before.total, "a total went down");
		before = res;
	}
	cr_expect_gt(res.total, 1000);
	cr_expect_leq(res.files, 3, "dead files piled up: %u", res.files);
	remove_left();
}
