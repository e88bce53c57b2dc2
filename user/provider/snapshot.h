/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot while it is built: the groups that producers add, and when each was read. */
#ifndef TALLY_USER_PROVIDER_SNAPSHOT_H
#define TALLY_USER_PROVIDER_SNAPSHOT_H

#include "user/provider/producer.h"

struct snapshot {
	struct stream_writer *writer; /* told when a group goes; may be NULL */
	int64_t realtime_ns;
	uint64_t monotonic_ns; /* both: when the snapshot began */
	struct group_due *due;
	size_t n, capacity;
	uint64_t series;
};

/* Begins the next snapshot; memory of the one before is used again. */
void snapshot_begin(struct snapshot *s);
void snapshot_release(struct snapshot *s);

/*
 * Lets every open producer add to s. One that fails is counted and logged and spoils nothing else.
 * Returns how many failed.
 */
size_t registry_get_stats(struct registry *r, struct snapshot *s);
/* After the snapshot was encoded: adds what each producer took of it to its stream_bytes. */
void registry_count_bytes(struct registry *r, const struct snapshot *s);
/*
 * Opens the producers in order; one that can't be opened is logged and left out. Returns how many
 * are open.
 */
size_t registry_open(struct registry *r, const struct provider_env *env);
size_t registry_count_open(const struct registry *r);
void registry_close(struct registry *r);

#endif
