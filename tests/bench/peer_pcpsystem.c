/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Performance Co-Pilot for bench_provider.c: `peer_pcpsystem DIR` has a pmcd with the agent for the system, and
 * fetches all that this has each second. It prints pmcd's process number and how many values a fetch brings, then
 * goes on until it is killed. DIR is absolute.
 */
#include <pcp/pmapi.h>

#include <stdlib.h>
#include <string.h>

#include "tests/bench/peer_pcp.h"

#define NAMES_MAX 4096

static char *names[NAMES_MAX];
static pmID ids[NAMES_MAX];
static int nnames;

static void take_name(const char *name)
{
	if (nnames < NAMES_MAX)
		names[nnames++] = strdup(name);
}

static int fetch(void)
{
	pmResult *result;
	int n = 0, r = pmFetch(nnames, ids, &result);

	if (r < 0)
		fail("pmFetch", r);
	for (int i = 0; i < result->numpmid; i++)
		n += result->vset[i]->numval > 0 ? result->vset[i]->numval : 0;
	pmFreeResult(result);
	return n;
}

static void symlink_names(void)
{
	if (symlink(path_of(root, "usr/lib/pcp/pmns/root_linux"), path_of(dir, "names")))
		fail("no names", -oserror());
}

int main(int argc, char **argv)
{
	char conf[1400];
	int r;

	use_directory(argc > 1 ? argv[1] : "");
	if (chdir(dir)) /* the agent writes its log where it is */
		fail(dir, -oserror());
	symlink_names();
	snprintf(conf, sizeof(conf),
		"linux\t60\tpipe\tbinary\t%.600s/usr/lib/pcp/pmdas/linux/pmdalinux\n", root);
	start_pmcd(conf);
	r = connect_pmcd();
	if (r < 0)
		fail("no pmcd", r);
	r = pmTraversePMNS("", take_name);
	if (r < 0)
		fail("pmTraversePMNS", r);
	r = pmLookupName(nnames, (const char **)names, ids);
	if (r < 0)
		fail("pmLookupName", r);
	fetch();
	printf("%d %d\n", (int)pmcd, fetch());
	fflush(stdout);
	for (;;) {
		sleep(1);
		fetch();
	}
}
