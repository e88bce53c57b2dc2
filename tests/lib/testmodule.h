/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of a module on the running kernel, which define MODULE_UNDER_TEST, its struct module (or
 * OPS_UNDER_TEST, where it is a producer of another kind), and then include this: opening, polling and
 * reading it, and main(). Tests run one after the other, for they share CPUs and count what all of the
 * machine does.
 *
 * Exit code 77: not enough rights, or a kernel without BTF.
 */
#ifndef TALLY_TESTS_LIB_TESTMODULE_H
#define TALLY_TESTS_LIB_TESTMODULE_H

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/producer.h"

/* Stands in for the provider's: the test needs no other producer. */
#define SNAPSHOT_GROUPS 512
struct snapshot {
	struct group *group; /* the newest */
	struct group *groups[SNAPSHOT_GROUPS];
	size_t n;
};

int snapshot_add(struct snapshot *s, struct group *g, uint64_t begin_ns, uint64_t end_ns)
{
	cr_assert_lt(s->n, SNAPSHOT_GROUPS);
	s->groups[s->n++] = s->group = g;
	cr_assert_leq(begin_ns, end_ns);
	return 0;
}

void snapshot_forget(struct snapshot *s, struct group *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->groups[i] != g)
			s->groups[kept++] = s->groups[i];
	s->n = kept;
}

#ifndef OPS_UNDER_TEST
#define OPS_UNDER_TEST (&MODULE_UNDER_TEST.ops)
#endif

static struct producer producer = {.ops = OPS_UNDER_TEST};
static struct snapshot snapshot;

static int open_producer(struct errmsg *e)
{
	struct provider_env env = {.interval_ns = NSEC_PER_SEC, .cgroup_dir = "/sys/fs/cgroup"};

	return producer.ops->open(&producer, &env, e);
}

static void setup(void)
{
	struct errmsg e = {""};

	cr_assert_eq(open_producer(&e), 0, "%s", e.text);
}

/*
 * Events that tally's programs have missed, since the same program ran on that CPU just then: newer kernels (seen on
 * 7.3) preempt programs. 0 also without CAP_SYS_ADMIN.
 */
static uint64_t missed_events(void)
{
	uint64_t sum = 0;
	uint32_t id = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && !strncmp(info.name, "tally_", 6))
			sum += info.recursion_misses;
		close(fd);
	}
	return sum;
}

/* Where events were missed, kernels.sh runs the test again if it failed. */
static void teardown(void)
{
	uint64_t missed = missed_events();

	if (missed)
		printf("%lu events missed\n", missed);
	if (producer.state)
		producer.ops->close(&producer);
}

static void poll_producer(void)
{
	snapshot.n = 0;
	cr_assert_eq(producer.ops->get_stats(&producer, &snapshot), 0);
	cr_assert_eq(snapshot.group->schema.n > 0, true);
}

/* In an emulated machine clocks stand while the host does something else, and reading one takes long. */
__attribute__((unused)) static bool clocks_are_real(void)
{
	return !getenv("TALLY_EMULATED");
}

/*
 * For tests that show nothing which depends on the kernel, as .init: they are not run in an emulated machine, where all
 * takes long.
 */
__attribute__((unused)) static void setup_unless_emulated(void)
{
	setup();
}

__attribute__((unused)) static void nothing_unless_emulated(void)
{
}

/*
 * A test that leaves the module as it found it, and skips nothing. In an emulated machine, where to load a module takes
 * longer than most tests do, all of these have one process and one load, in whatever order.
 */
#define Test_together(Suite, Name)                                                           \
	static void Suite##_##Name(void);                                                    \
	Test(Suite, Name, .init = setup_unless_emulated, .fini = teardown)                   \
	{                                                                                    \
		Suite##_##Name();                                                            \
	}                                                                                    \
	__attribute__((section("together"), used)) static void (*const Suite##_##Name##_at)( \
		void) = Suite##_##Name;                                                      \
	static void Suite##_##Name(void)

/* The list of them, as the linker has put it together; NULL: there are none. */
extern void (*const __start_together[])(void) __attribute__((weak));
extern void (*const __stop_together[])(void) __attribute__((weak));

Test(emulated, together, .init = setup, .fini = teardown)
{
	for (void (*const *test)(void) = __start_together; test < __stop_together; test++)
		(*test)();
}

/* Has the canonical text all of these pairs? NULL: whatever it has. */
static bool has_labels(const char *text, const char *pairs)
{
	while (pairs && *pairs) {
		size_t n = (size_t)(strchr(strchr(pairs, '"') + 1, '"') + 1 - pairs);
		const char *at = text;

		while (at && strncmp(at, pairs, n))
			at = strstr(at, "\",") ? strstr(at, "\",") + 2 : NULL;
		if (!at)
			return false;
		pairs += n + (pairs[n] == ',');
	}
	return true;
}

/*
 * Sum of the newest values of all series of a name and part that have these labels, written name="value",...
 * in any order; NULL: whatever they have.
 */
static uint64_t value(const char *name, const char *labels, int part)
{
	uint64_t sum = 0;

	for (size_t k = 0; k < snapshot.n; k++) {
		const struct group *g = snapshot.groups[k];

		for (size_t i = 0; i < g->schema.n; i++) {
			const struct series *s = &g->schema.series[i];

			if (!strcmp(s->name, name) && s->part == part &&
				has_labels(s->labels, labels))
				sum += g->values[i];
		}
	}
	return sum;
}

/* What the kernel has of one of the module's programs, by the number that the module shows; room for n maps. */
__attribute__((unused)) static struct bpf_prog_info program_info(
	const char *program, uint32_t *maps, uint32_t n)
{
	struct bpf_prog_info info = {.map_ids = (uintptr_t)maps, .nr_map_ids = n};
	uint32_t size = sizeof(info);
	char labels[64];
	int fd;

	snprintf(labels, sizeof(labels), "program=\"%s\"", program);
	fd = bpf_prog_get_fd_by_id((uint32_t)value("bpf_program_id", labels, SERIES_VALUE));
	cr_assert_geq(fd, 0, "%s: %s", program, strerror(errno));
	cr_assert_eq(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	close(fd);
	cr_assert_eq(strncmp(info.name, program, sizeof(info.name) - 1), 0);
	return info;
}

/* fork(2), with this name for the child. */
__attribute__((unused)) static pid_t fork_named(const char *name)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (!pid)
		prctl(PR_SET_NAME, name);
	return pid;
}

/* The calling thread, and threads and processes that it makes from here on. */
__attribute__((unused)) static void stay_on_cpu(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		abort();
}

#define NOBODY 65534

/* For good: the test goes on as somebody who has these capabilities alone, a bit for each. */
__attribute__((unused)) static void keep_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted = data[i].effective = (uint32_t)(kept >> (32 * i));
		data[i].inheritable = 0;
	}
	cr_assert_eq(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
	cr_assert_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
	cr_assert_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
	cr_assert_eq(syscall(SYS_capset, &head, data), 0);
	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	/* else older kernels give /proc/self/fdinfo to root alone */
	cr_assert_eq(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
}

__attribute__((unused)) static void drop_all_privileges(void)
{
	keep_capabilities(0);
}

/* --- running ------------------------------------------------------------------------------------------ */

static bool capability_is_effective(const struct __user_cap_data_struct *data, unsigned cap)
{
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

/* The reason why nothing can be tested here, or NULL. Shares no code with what is tested. */
static const char *reason_to_skip(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
#ifdef NEEDS_FIRST_PID_NAMESPACE
	struct stat st;
#endif

	if (geteuid() != 0 || syscall(SYS_capget, &head, data))
		return "needs root";
	if (!capability_is_effective(data, CAP_SYS_ADMIN) ||
		!capability_is_effective(data, CAP_BPF) ||
		!capability_is_effective(data, CAP_PERFMON))
		return "needs CAP_SYS_ADMIN, CAP_BPF and CAP_PERFMON";
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return "this kernel has no BTF";
#ifdef NEEDS_FIRST_PID_NAMESPACE
	if (stat("/proc/self/ns/pid", &st) || st.st_ino != 0xeffffffc)
		return "needs the first pid namespace";
#endif
	return NULL;
}

/* The list of tests that Criterion takes, as the linker has put it together. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];

static void leave_out_tests(void)
{
	bool emulated = getenv("TALLY_EMULATED");

	for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++)
		if (!strcmp((*t)->category, "emulated"))
			(*t)->data->disabled = !emulated || !__start_together;
		else if ((*t)->data->init == setup_unless_emulated ||
			 (*t)->data->init == nothing_unless_emulated)
			(*t)->data->disabled = emulated;
}

/* 77 if the kernel lacks something. TALLY_LOADS: somebody has seen that it does not. */
static int try_producer(void)
{
	const char *loads = getenv("TALLY_LOADS");
	struct errmsg e = {""};

	if (loads && !strcmp(loads, producer.ops->name))
		return 0;
	if (open_producer(&e) == -EOPNOTSUPP) {
		printf("skip: %s\n", e.text);
		return 77;
	}
	teardown();
	return 0;
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests;
	const char *reason = reason_to_skip();
	int failed = 0;

	if (reason) {
		printf("skip: %s\n", reason);
		return 77;
	}
	failed = try_producer();
	if (failed)
		return failed;
	leave_out_tests();
	tests = criterion_initialize();
	/* They share CPUs and measure them. */
	criterion_options.jobs = 1;
	if (criterion_handle_args(argc, argv, true))
		failed = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	return failed;
}

#endif
