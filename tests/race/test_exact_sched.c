/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No increment is lost or doubled, whatever the scheduler does (tests/race/storm-sched.c): threads that are
 * moved between CPUs by others, by themselves and by cpusets, and processes that are stopped in mid-air.
 */
#include <sched.h>

#include "tests/race/exact.h"

static char sets[2][64]; /* cpusets that were made, to be removed */
static char controllers[64]; /* a cgroup.subtree_control to which cpuset was added */

static void write_file(const char *dir, const char *name, const char *text, int *ret)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	*ret = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	if (fd >= 0)
		close(fd);
}

static void remove_sets(void)
{
	int code;

	for (int i = 0; i < 2; i++)
		if (sets[i][0])
			rmdir(sets[i]);
	if (controllers[0])
		write_file(controllers, "cgroup.subtree_control", "-cpuset", &code);
	memset(sets, 0, sizeof(sets));
	memset(controllers, 0, sizeof(controllers));
}

static void clean_up(void)
{
	remove_sets();
	remove_left();
}

TestSuite(exact_sched, .fini = clean_up);

static int cpus(cpu_set_t *ret)
{
	return sched_getaffinity(0, sizeof(*ret), ret) == 0 ? CPU_COUNT(ret) : 0;
}

Test(exact_sched, moved_by_another_thread)
{
	cpu_set_t all;

	if (cpus(&all) < 2)
		cr_skip_test("needs two CPUs");
	check_both("storm-sched", "migrate", "1000", NULL);
}

Test(exact_sched, move_themselves_and_fork)
{
	cpu_set_t all;

	if (cpus(&all) < 2)
		cr_skip_test("needs two CPUs");
	check_both("storm-sched", "wander", "500", NULL);
}

/* A pair that counts until enough() has been told; ends it and compares. */
static struct oracle *start_pair(struct run *r, const char *program)
{
	run_init(r, program);
	run_start(r, "pair", "1000", NULL);
	return oracle_map(r);
}

static void end_pair(struct run *r, struct oracle *o, const char *program, const char *what)
{
	struct result res;
	int status;

	o->notes[NOTE_ENOUGH] = 1;
	oracle_unmap(o);
	run_wait(r, &status);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
	res = run_result(r);
	expect_equal(program, what, &res);
	remove_left();
}

/* Stopped and continued at random; whoever is stopped goes on in mid-air. */
static void check_stops(const char *program)
{
	struct run r;
	struct oracle *o = start_pair(&r, program);

	for (long i = 0; i < 200 * exact_scale(); i++) {
		kill(-r.pid, SIGSTOP);
		usleep((useconds_t)test_rand_below(200));
		kill(-r.pid, SIGCONT);
		usleep((useconds_t)test_rand_below(1000));
	}
	end_pair(&r, o, program, "pair-stopped");
}

Test(exact_sched, stopped_in_mid_air)
{
	test_rand_init();
	check_stops("storm-sched");
	check_stops("storm-sched-cxx");
}

Test(exact_sched, stopped_for_long_while_rows_are_wanted)
{
	check_both("storm-sched", "stopped", "20000", NULL);
}

/*
 * Two cpusets of one CPU each. Where cpuset is a hierarchy of its own (cgroup v1) it wants memory nodes too;
 * in cgroup v2 the root must pass the controller on.
 */
static const char *make_sets(const cpu_set_t *all)
{
	const char *v1 = "/sys/fs/cgroup/cpuset", *v2 = "/sys/fs/cgroup";
	char text[16];
	bool old = access("/sys/fs/cgroup/cpuset/cpuset.cpus", F_OK) == 0;
	int code, cpu = -1;

	if (!old && access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0)
		return "no cgroup file system";
	if (!old) {
		char have[200] = "";
		FILE *f = fopen("/sys/fs/cgroup/cgroup.subtree_control", "r");

		if (!f || !fgets(have, sizeof(have), f) || !strstr(have, "cpuset")) {
			write_file(v2, "cgroup.subtree_control", "+cpuset", &code);
			if (code == 0)
				strcpy(controllers, v2);
		}
		if (f)
			fclose(f);
	}
	for (int i = 0; i < 2; i++) {
		snprintf(sets[i], sizeof(sets[i]), "%s/tally-exact-%d-%d", old ? v1 : v2,
			(int)getpid(), i);
		if (mkdir(sets[i], 0755) != 0) {
			sets[i][0] = '\0';
			return "no cpuset can be made";
		}
		do
			cpu++;
		while (!CPU_ISSET(cpu, all));
		snprintf(text, sizeof(text), "%d", cpu);
		write_file(sets[i], "cpuset.cpus", text, &code);
		if (code == 0 && old)
			write_file(sets[i], "cpuset.mems", "0", &code);
		if (code != 0)
			return "the cpuset takes no CPU";
	}
	return NULL;
}

/* The processes go from set to set in turn, and the sets' CPUs change under them too. */
static void check_cpusets(const char *program, const cpu_set_t *all)
{
	char pids[2][16], own[2][16];
	struct run r;
	struct oracle *o = start_pair(&r, program);
	long moves = 0, rounds = 200 * exact_scale();
	int code, cpu = -1;

	for (int i = 0; i < 2; i++) {
		do
			cpu++;
		while (!CPU_ISSET(cpu, all));
		snprintf(own[i], sizeof(own[i]), "%d", cpu);
	}
	snprintf(pids[0], sizeof(pids[0]), "%d", (int)r.pid);
	while (o->notes[NOTE_PROGRESS] == 0) /* its child, once it has one */
		usleep(1000);
	snprintf(pids[1], sizeof(pids[1]), "%d", (int)o->notes[NOTE_PROGRESS]);
	for (long i = 0; i < rounds; i++) {
		for (int k = 0; k < 2 && i % 8 == 7; k++)
			write_file(sets[k], "cpuset.cpus", own[(i / 8 + k) % 2], &code);
		write_file(sets[i / 2 % 2], "cgroup.procs", pids[i % 2], &code);
		moves += code == 0;
	}
	end_pair(&r, o, program, "pair-in-cpusets");
	cr_expect_eq(moves, rounds);
}

Test(exact_sched, cpusets)
{
	const char *reason;
	cpu_set_t all;

	if (geteuid() != 0)
		cr_skip_test("needs root");
	if (cpus(&all) < 2)
		cr_skip_test("needs two CPUs");
	reason = make_sets(&all);
	if (reason) {
		remove_sets();
		cr_skip_test("%s", reason);
	}
	check_cpusets("storm-sched", &all);
	check_cpusets("storm-sched-cxx", &all);
	remove_sets();
}
