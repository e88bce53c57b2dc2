/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of 100,000 short lives, not compacted since: a provider that starts reads it in less than
 * a second of CPU time, and knows each of them.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "include/tally/segment.h"
#include "tests/lib/testdir.h"
#include "user/lib/util.h"
#include "user/provider/fold.h"

#define LIVES       100000u
#define OPEN_CPU_NS NSEC_PER_SEC

static const uint8_t boot_id[16] = {1};
static char dir[PATH_MAX];

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static struct fold_id id_of(uint32_t i)
{
	return (struct fold_id){1, i, 7, {(uint8_t)i, (uint8_t)(i >> 8)}};
}

static struct fold *open_fold(struct programs *programs)
{
	struct errmsg e = {""};
	struct fold *f = NULL;

	*programs = (struct programs){0};
	cr_assert_eq(fold_open(dir, boot_id, false, programs, &f, &e), 0, "%s", e.text);
	return f;
}

static void live(void)
{
	const struct program_metric m = {.name = "requests",
		.labels = "",
		.unit = "",
		.help = "",
		.type = TALLY_TYPE_COUNTER,
		.cells = 1};
	struct programs programs;
	struct fold *f = open_fold(&programs);
	struct fold_value v = {.value = 1};
	struct program *p;

	cr_assert_eq(programs_find(&programs, "web", 1001, "", &p), 0);
	cr_assert_eq(program_find_metric(&programs, p, &m, &v.series), 0);
	for (uint32_t i = 0; i < LIVES; i++) {
		const struct fold_id id = id_of(i);

		cr_assert_eq(fold_write(f, &id, p, &v, 1), 0);
		fold_forget(f, &id); /* its file is gone; the journal does not say so */
	}
	fold_close(f);
	programs_release(&programs);
}

static uint64_t total_of(const struct program *p)
{
	for (size_t i = 0; i < p->nmetrics; i++)
		if (!strcmp(program_metric(p, i).name, "requests"))
			return p->folded ? p->folded[p->metrics[i].first] : 0;
	return 0;
}

Test(fold_many, opens_in_time)
{
	struct programs programs;
	uint64_t start;
	struct fold *f;

	test_dir_make(dir, "fold-many");
	live();
	start = cpu_ns();
	f = open_fold(&programs);
	start = cpu_ns() - start;
	printf("%u folds: opened in %.0f ms of CPU time\n", LIVES, (double)start / NSEC_PER_MSEC);
	cr_expect_leq(start, OPEN_CPU_NS, "%.0f ms of CPU time", (double)start / NSEC_PER_MSEC);
	for (uint32_t i = 0; i < LIVES; i += 97) {
		const struct fold_id id = id_of(i);
		size_t n;

		cr_assert_not_null(fold_base(f, &id, &n), "%u", i);
	}
	cr_assert_eq(programs.n, 1);
	cr_expect_eq(total_of(programs.list[0]), LIVES);
	fold_close(f);
	programs_release(&programs);
	test_dir_remove(dir);
}
