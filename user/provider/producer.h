/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producers: anything that adds values to a snapshot.
 *
 *   open       as root (or whoever started us), before privileges are dropped: open descriptors,
 *              load programs. A negative code leaves this producer out, with its message; the
 *              provider goes on without it.
 *   get_stats  at each poll: fill groups' values, then snapshot_add() each group that was read.
 *              Must not block. A negative code is counted and logged; what was added stays.
 *   close      release everything.
 *   hold       for what works between polls too, as BPF programs do: stop that, or start it again. A
 *              producer over its budget (user/provider/budget.h) is not polled while it is held.
 *
 * One event loop calls all of them; no thread safety is needed or given.
 */
#ifndef TALLY_USER_PROVIDER_PRODUCER_H
#define TALLY_USER_PROVIDER_PRODUCER_H

#include "user/lib/diag.h"
#include "user/lib/err.h"
#include "user/lib/stream.h"
#include "user/provider/budget.h"
#include "user/provider/describe.h"

struct provider;
struct registry;

struct provider_env {
	const char *segment_dir; /* /run/tally/seg */
	const char *state_dir; /* /var/lib/tally */
	const char *proc_dir; /* "/proc"; tests give another */
	const char *sys_dir; /* "/sys/devices/system"; tests give another */
	const char *cgroup_dir; /* "/sys/fs/cgroup"; tests give another */
	uint64_t interval_ns;
	uint32_t cgroup_limit; /* control groups that are shown; 0: as many as usual */
	uint32_t top; /* processes that are shown, by each criterion; 0: as many as usual */
	uint64_t incarnation_start_ns; /* realtime of this start of the provider */
	uint8_t boot_id[16];
	uint64_t boot_ns; /* realtime of the machine's start: one value for the whole boot */
	bool read_only; /* look only: write, fold and remove nothing */
	struct provider *provider; /* for the producer "self"; NULL in tests */
	const struct registry *registry; /* where those are that were opened before; may be NULL */
};

struct snapshot; /* being built */
struct producer;

struct producer_ops {
	const char *name; /* "proc", "sched", "segments", "self" */
	const char *help; /* one line for --help and docs */
	int (*open)(struct producer *p, const struct provider_env *env, struct errmsg *e);
	int (*get_stats)(struct producer *p, struct snapshot *s);
	void (*close)(struct producer *p);
	/* Why it is only opened where it is asked for by name, one short line; NULL: it is on by default. */
	const char *opt_in;
	/* CPU time of its BPF programs since it was opened, on all CPUs, in ns; NULL: it has none. */
	uint64_t (*programs_ns)(const struct producer *p);
	/*
	 * Has its programs run as its budget allows it; called at each poll unless that is BUDGET_WHOLE and was so
	 * before. A negative errno value if they could not be attached again: then none is. Required with programs_ns.
	 */
	int (*set_level)(struct producer *p, enum budget_level level);
	bool samples; /* its programs can do with BUDGET_COARSE */
	/* For docs/kernel-metrics.md: how a poll reads, in sentences, and every metric that it may show. */
	const char *reads;
	void (*describe)(struct describer *d);
};

struct producer {
	const struct producer_ops *ops;
	void *state; /* the producer's own */
	/* kept by the registry */
	uint64_t polls, errors, cpu_ns; /* cpu_ns: thread CPU time spent in get_stats */
	uint64_t last_series;
	uint64_t stream_bytes; /* of its rows and schemas, in all snapshots */
	size_t due, ndue; /* its groups in the snapshot that was taken last: the first, how many */
	bool is_open;
	struct budget_account account;
	struct diag_limit log_limit, hold_log_limit, coarse_log_limit;
};

/* Adds a group that was read between begin_ns and end_ns (CLOCK_MONOTONIC). -ENOMEM. */
int snapshot_add(struct snapshot *s, struct group *g, uint64_t begin_ns, uint64_t end_ns);
/* A group's series are gone for good (and g will be released by the producer). */
void snapshot_forget(struct snapshot *s, struct group *g);

#define PRODUCERS_MAX 64

struct registry {
	size_t n;
	struct producer producers[PRODUCERS_MAX];
	struct budget budget; /* of each; zeros: no limit */
	uint32_t ncpus; /* on which programs run */
};

/*
 * Registers a producer. -EINVAL with a message if the interface is incomplete (name, open, get_stats and close are
 * all required, and set_level with programs_ns), -EEXIST for a second one of the same name, -E2BIG.
 */
int registry_add(struct registry *r, const struct producer_ops *ops, struct errmsg *e);

/*
 * Whether a list of names has this producer: NULL-terminated; NULL or empty is "default", which stands for
 * all that are not opt-in. "+name" adds, "-name" takes away, and a list that begins with either begins
 * with the default. The last word about a producer holds.
 */
bool producer_is_wanted(const struct producer_ops *ops, const char *const *names);

/* The producers of this program that are no modules (user/provider/kernel/modules.h). */
extern const struct producer_ops producer_segments, producer_proc, producer_sys, producer_self,
	producer_ended, producer_tasks, producer_cgroup;

#endif
