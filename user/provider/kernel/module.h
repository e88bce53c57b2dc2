/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A module: BPF programs and a table that says what the numbers in their maps mean. The table is all
 * there is to write; opening, polling, closing and the documentation come from it.
 *
 *   per-CPU struct of bpf/NAME.h          table                        series
 *   +--------+--------+----------+
 *   | own    | cell   | buckets  |   {.name, .offset, ...}     name{label="...",cpu="..."} value
 *   +--------+--------+----------+
 *
 * A cell is a uint64_t. A metric is one cell, or with a label an array of `n` things `stride` bytes apart;
 * for a histogram the thing is its buckets, and `sum` is the cell of their sum. It is summed over all CPUs,
 * or a series for each.
 *
 * What is absent from the running kernel costs the programs that need it and the metrics they count, with
 * one message; the rest of the module works. Series come when there is something to show: a CPU's with
 * its first event, a label's value with its own. None ever goes: its counters stay.
 */
#ifndef TALLY_USER_PROVIDER_KERNEL_MODULE_H
#define TALLY_USER_PROVIDER_KERNEL_MODULE_H

#include "bpf/module.h"
#include "user/provider/cgroup_names.h"
#include "user/provider/kernel/load.h"
#include "user/provider/producer.h"

#define MODULE_PROGRAMS_MAX 14u
#define MODULE_METRICS_MAX  16u

struct module_program {
	struct load_needs needs; /* .module is the program's name, as in the object */
	size_t own; /* where its struct tally_own is in the per-CPU struct */
	bool begins; /* it notes a time that another program takes up: detached before that one */
	const char *runs; /* how often it runs: for people */
};

struct module_metric {
	const char *name, *unit, *help;
	const char *source; /* where the kernel has it from: for people */
	uint8_t type; /* enum metric_type */
	int8_t scale;
	bool per_cpu;
	bool slotted; /* offset and sum are in the struct of a slot: a series for each of them */
	uint8_t lo, hi; /* histogram: its range, see include/tally/histogram.h */
	uint8_t program; /* which of the module's counts it */
	uint32_t factor; /* cell x factor = value; 0 stands for 1 */
	size_t offset; /* of the cell or buckets in the per-CPU struct */
	size_t sum; /* histogram: of its sum's cell, in the same unit */
	const char *label; /* NULL: none */
	const char *const
		*values; /* of the label, n; NULL: they are those of an enum of the kernel's */
	const char *values_enum, *values_prefix; /* that enum, and how its names begin */
	uint32_t n;
	size_t stride;
};

/* Labels of a slot; text and of_path are where a function may put values. */
#define MODULE_SLOT_LABELS 4u
struct slot_labels {
	size_t n;
	const char *names[MODULE_SLOT_LABELS], *values[MODULE_SLOT_LABELS];
	char text[512];
	struct cgroup_names_text of_path;
	char distinct
		[192]; /* the first value with the slot's number, if another slot has the same labels */
};

/*
 * What has a series for each of some names that turn up, disks for one: see bpf/module.h. The label's values
 * are those names, and "other" for what found no slot.
 */
struct module_slots {
	const char *map; /* how its maps begin: MAP_cells, MAP_names */
	size_t size; /* of a cell's struct */
	const char *label, *more; /* more: names of further labels, for people; NULL: none */
	uint32_t (*count)(void); /* how many slots are wanted on this machine; some are added */
	/*
	 * Makes labels of a name's struct, of name_size bytes, the first one being `label`; called once for a
	 * slot. NULL: the name is the text of a struct tally_slot.
	 */
	void (*labels)(const void *name, struct slot_labels *ret);
	size_t name_size;
};

struct module_capability {
	unsigned number;
	const char *name; /* "CAP_NET_ADMIN" */
};

/* Maps of an object that others read, by their descriptors. */
#define MODULE_KEPT_MAX 4u

/* For .labels and .name_size of slots whose names are numbers, struct tally_slot_number. */
void module_number_labels(const void *name, struct slot_labels *ret);
/* For slots that are ports. */
uint32_t module_count_ports(void);
#define MODULE_PORT_NAMES                                \
	.label = "port", .labels = module_number_labels, \
	.name_size = sizeof(struct tally_slot_number), .count = module_count_ports
/*
 * For slots that are cgroups, struct tally_slot_cgroup: appends labels cgroup, and unit and container if it is that.
 * They take the first MODULE_CGROUP_PATH bytes of the text.
 */
#define MODULE_CGROUP_PATH (TALLY_CGROUP_PATH + 32)
void module_cgroup_labels(const void *name, struct slot_labels *ret);
/* The path as text, of valid characters; out has MODULE_CGROUP_PATH bytes. */
void cgroup_slot_path(const struct tally_slot_cgroup *slot, char *out);
#define MODULE_CGROUP_NAMES                                                               \
	.label = "cgroup", .more = "`unit`, `container`", .labels = module_cgroup_labels, \
	.name_size = sizeof(struct tally_slot_cgroup)

struct module {
	struct producer_ops ops; /* first: a producer finds its module by it */
	const void *(*elf)(size_t *ret_size); /* the object, NAME_bpf__elf_bytes of its skeleton */
	const char *cpu_map; /* name of the map of per-CPU structs */
	size_t cpu_size;
	const struct module_slots *slots; /* NULL: none */
	/* What it needs besides CAP_BPF and CAP_PERFMON, NULL: nothing. Without it the module is not opened. */
	const struct module_capability *capability;
	/* Sets sizes and constants of an object that is not loaded yet; negative errno. NULL: nothing to set */
	int (*prepare)(struct bpf_object *object, uint32_t ncpus);
	const char *knobs_map; /* its KNOBS_MAP(), a struct tally_knobs; NULL: none */
	/* Its programs do nothing while the knob `every` is 0; required with ops.samples and with a cgroup_hook. */
	bool pauses;
	const char *kept[MODULE_KEPT_MAX]; /* maps for module_map(), which are frozen */
	const struct module_program *programs;
	size_t nprograms;
	bool whole; /* its programs are of no use one without another */
	const struct module_metric *metrics;
	size_t nmetrics;
};

/* The members of struct producer_ops that are alike in all modules. */
#define MODULE_FUNCTIONS                                                           \
	.open = module_open, .get_stats = module_get_stats, .close = module_close, \
	.programs_ns = module_programs_ns, .set_level = module_set_level
int module_open(struct producer *p, const struct provider_env *env, struct errmsg *e);
int module_get_stats(struct producer *p, struct snapshot *snap);
void module_close(struct producer *p);
uint64_t module_programs_ns(const struct producer *p);
/*
 * Programs that begin something are detached by the first call, those that end it by the next: what had begun has
 * ended by then. They are attached the other way round, so that nothing is ended that had an earlier begin.
 *
 * Where the kernel would refuse to attach them again, those that can pause are left where they are and do so.
 */
int module_set_level(struct producer *p, enum budget_level level);

/*
 * Attaches or detaches all programs of an open module at once; nothing if they are so already. A negative errno
 * value, and none is attached.
 */
int module_attach(struct producer *p, bool attached);

/* The descriptor of a map that an open module keeps, which owns it; -ENOENT if it keeps none of this name. */
int module_map(const struct producer *p, const char *name);

/* What a program says of itself, from its struct tally_own: for struct module_metric and struct seat_metric. */
#define MODULE_PROGRAM_RUNS                                                                    \
	.name = "bpf_program_runs", .unit = "", .help = "Runs of one of tally's BPF programs", \
	.source = "counted by the program", .type = METRIC_COUNTER, .label = "program"
#define MODULE_PROGRAM_SECONDS                                                                \
	.name = "bpf_program_seconds", .unit = "seconds",                                     \
	.help = "CPU time of one of tally's BPF programs, estimated from one run of 1024",    \
	.source = "the program reads the clock at its begin and end", .type = METRIC_COUNTER, \
	.scale = -9, .label = "program"

/* Metrics that every module has, about its programs: for people. */
extern const struct module_metric module_own_metrics[];
extern const size_t module_own_metrics_n;

#endif
