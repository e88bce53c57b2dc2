/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving back what only the start needs: loading BPF programs, keys, looking up users and certificates run once,
 * but their code, and that of the libraries under it, stays mapped until memory is short.
 *
 * This frees no memory at once. The pages are the file's, shared with all who have it mapped, and stay in the page
 * cache; but they are no longer counted as ours, and where nobody else uses them they are the first to go.
 */
#include "user/provider/memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	unsigned long from, to;
	bool file; /* private, of a file, and not to be written */
};

/* Whether the line of smaps begins a mapping, and which. */
static bool mapping_begins(const char *line, struct mapping *ret)
{
	unsigned long from, to;
	char mode[5];
	int at = 0;

	/* two numbers: other lines may begin with letters that are digits */
	if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %n", &from, &to, mode, &at) < 3)
		return false;
	*ret = (struct mapping){from, to,
		(!strcmp(mode, "r-xp") || !strcmp(mode, "r--p")) && at && line[at] == '/'};
	return true;
}

/*
 * Only mappings where every page is the file's, since one that was changed would be lost: by relocation, by a
 * debugger, by a uprobe. Others than files', those of BPF maps for one, don't come back by a fault.
 */
static void drop_clean_mappings(FILE *smaps)
{
	struct mapping m = {0};
	unsigned long changed_kib;
	char line[512];

	while (fgets(line, sizeof(line), smaps))
		if (!mapping_begins(line, &m) && m.file &&
			sscanf(line, "Anonymous: %lu", &changed_kib) == 1 && !changed_kib)
			madvise((void *)m.from, m.to - m.from, MADV_DONTNEED);
}

void memory_give_back(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");

	if (smaps) {
		drop_clean_mappings(smaps);
		fclose(smaps);
	}
	malloc_trim(0);
}
