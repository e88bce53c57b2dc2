/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the reader: shared by history.c (what there is) and history_read.c (its samples). */
#ifndef TALLY_GATHERER_STORE_HISTORY_INT_H
#define TALLY_GATHERER_STORE_HISTORY_INT_H

#include "gatherer/store/live.h"
#include "gatherer/store/store.h"

struct history {
	char *dir;
	int dirfd;
	int64_t listed_ns, changed_ns; /* when the directory was listed, and had changed before */
	size_t nfiles, files_cap, nunreadable, unreadable_cap;
	struct sealed **files; /* by number, ascending */
	uint64_t *unreadable; /* numbers of sealed files that are damaged as a whole */
	struct sealed_reader *reader;
	struct catalog catalog;
	struct live live;
	/* what callers see */
	size_t nnodes;
	struct history_node *nodes;
	size_t nseries;
	struct history_series *series; /* NULL: to be made when it is asked for */
};

/* Makes the nodes that callers see. */
int history_make_nodes(struct history *h);
void history_free_nodes(struct history *h);

#endif
