/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Performance Co-Pilot for bench_read.c: `peer_pcp DIR` writes ten MMV files of 1,000 counters (1,023 is
 * the most that one can have), and fetches them through libpcp: from a pmcd of its own with nothing but
 * the MMV agent, and without a daemon (PM_CONTEXT_LOCAL: the agent inside the client). Names are looked
 * up before.
 */
#include <pcp/pmapi.h>

#include <pcp/mmv_stats.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/peer_pcp.h"

#define FILES     10
#define PER_FILE  1000
#define ALL       (FILES * PER_FILE)
#define NAMESPACE "root {\n\tmmv\t70:*:*\n}\n"

static char names[ALL][32];
static const char *name_list[ALL];
static pmID ids[ALL];
/* Counter i has the value i + 1. */
static void make_counters(void)
{
	pmUnits count = {.dimCount = 1};

	for (int f = 0; f < FILES; f++) {
		char file[16];
		mmv_registry_t *r;
		void *map;

		snprintf(file, sizeof(file), "f%d", f);
		r = mmv_stats_registry(file, 1 + f, 0);
		for (int i = 0; i < PER_FILE; i++) {
			char *name = names[f * PER_FILE + i];

			snprintf(name, sizeof(names[0]), "mmv.%s.counter_%d", file, i);
			mmv_stats_add_metric(r, strrchr(name, '.') + 1, 1 + i, MMV_TYPE_U64,
				MMV_SEM_COUNTER, count, 0, "A counter", "A counter");
		}
		map = mmv_stats_start(r);
		if (!map)
			fail("an MMV file can't be made", 0);
		for (int i = 0; i < PER_FILE; i++) {
			const char *name = strrchr(names[f * PER_FILE + i], '.') + 1;
			pmAtomValue *value = mmv_lookup_value_desc(map, name, "");

			if (!value)
				fail("a metric is not in its file", 0);
			mmv_set_value(map, value, f * PER_FILE + i + 1);
		}
	}
}

static void check(const pmResult *result, int n)
{
	for (int i = 0; i < n; i++) {
		const pmValueSet *set = result->vset[i];
		uint64_t value = 0;

		if (set->numval == 1 && set->valfmt != PM_VAL_INSITU)
			memcpy(&value, set->vlist[0].value.pval->vbuf, sizeof(value));
		if (value != (uint64_t)i + 1)
			fail("a counter has a wrong value", 0);
	}
}

static void fetch(const char *how, int n)
{
	double samples[PEER_RUNS];
	char name[96];

	for (int i = -3; i < PEER_RUNS; i++) {
		double begin = peer_now_ms();
		pmResult *result;
		int r = pmFetch(n, ids, &result);

		if (r < 0)
			fail("pmFetch", r);
		if (i >= 0)
			samples[i] = peer_now_ms() - begin;
		check(result, n);
		pmFreeResult(result);
	}
	snprintf(name, sizeof(name), "PCP: pmFetch of %d MMV counters, %s", n, how);
	peer_result(name, "ms", samples, PEER_RUNS);
}

static void measure(int context, const char *how)
{
	int r;

	if (context < 0)
		fail(how, context);
	r = pmLookupName(ALL, name_list, ids);
	if (r < 0)
		fail("pmLookupName", r);
	fetch(how, PER_FILE);
	fetch(how, ALL);
	pmDestroyContext(context);
}

int main(int argc, char **argv)
{
	char *agent, spec[700], conf[700], *error;

	use_directory(argc > 1 ? argv[1] : "");
	agent = path_of(root, "usr/lib/pcp/pmdas/mmv/pmda_mmv.so");
	write_text("names", NAMESPACE);
	make_counters();
	for (int i = 0; i < ALL; i++)
		name_list[i] = names[i];

	snprintf(conf, sizeof(conf), "mmv\t70\tdso\tmmv_init\t%.600s\n", agent);
	start_pmcd(conf);
	measure(connect_pmcd(), "from pmcd");
	end_pmcd();

	pmSpecLocalPMDA("clear");
	snprintf(spec, sizeof(spec), "add,70,%.600s,mmv_init", agent);
	error = pmSpecLocalPMDA(spec);
	if (error)
		fail(error, 0);
	pmLoadNameSpace(path_of(dir, "names"));
	measure(pmNewContext(PM_CONTEXT_LOCAL, NULL), "no daemon");
	return 0;
}
