/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider itself, as its other parts see it: it owns the producers, numbers the snapshots and
 * appends each to its ring. The link (user/provider/link.h) polls it and reads the ring.
 *
 * One event loop; no thread safety.
 */
#ifndef TALLY_USER_PROVIDER_PROVIDER_H
#define TALLY_USER_PROVIDER_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "user/lib/err.h"
#include "user/lib/stream.h"
#include "user/provider/producer.h"
#include "user/provider/ring.h"

struct provider;
struct link;

/* --- for the link ------------------------------------------------------------------------------ */

/*
 * Takes a snapshot and appends it to the ring, if the newest one is older than half of interval_ns
 * (0: always). 1: taken; 0: the newest is young enough; negative: it could not be made or stored.
 * Then there is a gap in the numbers, and the next poll tries again.
 */
int provider_poll(struct provider *p, uint64_t interval_ns);
struct ring *provider_ring(struct provider *p);
/* The newest snapshot that is in the ring; seq 0 before the first of this start. */
void provider_newest(const struct provider *p, uint64_t *ret_incarnation, uint64_t *ret_seq);
/* The node's name for people; the host's name unless the configuration says otherwise. */
const char *provider_name(const struct provider *p);
/* The configured interval: what to ask the gatherer for. */
uint64_t provider_interval_ns(const struct provider *p);

/* --- for the main program ----------------------------------------------------------------------- */

struct provider_config {
	const char *name;
	const char *state_dir, *segment_dir, *proc_dir, *sys_dir,
		*cgroup_dir; /* kept by the caller */
	uint64_t interval_ns;
	uint64_t ring_bytes;
	uint32_t top, cgroup_limit; /* struct provider_env */
	uint32_t budget_percent; /* of a CPU, for each producer: struct budget; 0: no limit */
	const char *const *producers; /* as producer_is_wanted() takes them */
	bool read_only; /* --once: nothing is written or removed */
};

/* Whether a producer of that name, with + or - before it or not, is known: -EINVAL with the list of those that are. */
int provider_check_name(const char *name, struct errmsg *e);
/* A list of the producers for --help, with a NUL at its end: what each reads, and why some are opt-in. */
void provider_describe(struct buf *out);
/*
 * Opens the producers that are wanted. One that can't be opened is logged and left out.
 * -EINVAL for an unknown name, as provider_check_name().
 */
int provider_new(const struct provider_config *cfg, struct provider **ret, struct errmsg *e);
/* Opens the ring. Separate, so that its files belong to the user that privileges are dropped to. */
int provider_open_ring(struct provider *p, struct errmsg *e);
/* Closes producers and ring. p may be NULL. */
void provider_free(struct provider *p);
/*
 * When the provider should take a snapshot by itself (CLOCK_MONOTONIC): an interval after the last
 * one or the last try, or one and a half if there is a link that should bring polls.
 */
uint64_t provider_due_ns(const struct provider *p);
/* The link, for its figures; NULL when there is none. */
void provider_set_link(struct provider *p, struct link *l);
struct link *provider_link(const struct provider *p);
struct registry *provider_registry(struct provider *p);
/* Prints the last snapshot as text: name{labels} value, one series a line, groups after a '#'. */
void provider_print(struct provider *p, FILE *f);
/* Every producer that this program knows, NULL-terminated. */
extern const struct producer_ops *const provider_producers[];

/* Counted by the provider, shown by the producer "self". */
struct provider_stats {
	uint64_t polls; /* provider_poll() calls */
	uint64_t snapshots; /* taken */
	uint64_t ring_errors; /* snapshots that the ring did not take */
	uint64_t window_ns; /* how long the last snapshot took */
	uint64_t series, groups; /* in the last snapshot */
};
void provider_stats(const struct provider *p, struct provider_stats *ret);

#endif
