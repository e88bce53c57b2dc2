/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer: PCP's memory mapped values. Nothing but the library runs; the file is in PCP_TMP_DIR/mmv. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pcp/pmapi.h>
#include <pcp/mmv_stats.h>

#include "tests/bench/loops.h"

#define METRICS  100
#define LOSS_OPS (1u << 23)

static void *map;
static pmAtomValue *handle;
static char dir[256], file[300];

/* clang-format off */
#define CASES(X) \
	X(inc1, "PCP mmv_inc, by handle", 1, 1, mmv_inc(map, handle)) \
	X(inc2, "PCP mmv_inc, two threads, same metric", 2, 1, mmv_inc(map, handle)) \
	X(name_first, "PCP mmv_stats_inc, by name, first of 100", 1, 1, mmv_stats_inc(map, "m0", "")) \
	X(name_last, "PCP mmv_stats_inc, by name, last of 100", 1, 1, mmv_stats_inc(map, "m99", "")) \
	X(name2, "PCP mmv_stats_inc, first of 100, two threads", 2, 1, mmv_stats_inc(map, "m0", ""))
/* clang-format on */

CASES(LOOP_DEFINE)
static const struct loop_case cases[] = {CASES(LOOP_ROW)};

static void remove_file(void)
{
	unlink(file);
	*strrchr(file, '/') = 0;
	rmdir(file);
	rmdir(dir);
}

static int before(void)
{
	static char names[METRICS][8]; /* the registry keeps the pointers */
	mmv_registry_t *registry;
	pmUnits units = MMV_UNITS(0, 0, 1, 0, 0, PM_COUNT_ONE);

	snprintf(dir, sizeof(dir), "%s/mmv-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(dir)) {
		perror(dir);
		return 1;
	}
	snprintf(file, sizeof(file), "%s/mmv", dir);
	mkdir(file, 0700);
	snprintf(file, sizeof(file), "%s/mmv/bench", dir);
	atexit(remove_file);
	setenv("PCP_TMP_DIR", dir, 1);
	registry = mmv_stats_registry("bench", 1, MMV_FLAG_PROCESS);
	for (int i = 0; registry && i < METRICS; i++) {
		snprintf(names[i], sizeof(names[i]), "m%d", i);
		mmv_stats_add_metric(registry, names[i], i + 1, MMV_TYPE_U64, MMV_SEM_COUNTER,
			units, 0, "Counted in a loop", "");
	}
	map = registry ? mmv_stats_start(registry) : NULL;
	handle = map ? mmv_lookup_value_desc(map, "m1", "") : NULL;
	/* Without a value these functions silently do nothing. */
	if (!handle || !mmv_lookup_value_desc(map, "m0", "") ||
		!mmv_lookup_value_desc(map, "m99", "") || access(file, F_OK)) {
		fprintf(stderr, "PCP: no metrics in %s\n", file);
		return 1;
	}
	return 0;
}

/* How many increments of two threads are not in the value afterwards. */
static int after(void)
{
	uint64_t was = handle->ull;

	loops_together(loop_inc2, LOSS_OPS);
	printf("PCP mmv_inc, two threads: increments lost\t%%\t%.6g\n",
		100 - 100.0 * (double)(handle->ull - was) / (2.0 * LOSS_OPS));
	mmv_stats_stop("bench", map);
	return 0;
}

const struct loop_table loop_table = {cases, LOOP_COUNT(cases), before, after};
