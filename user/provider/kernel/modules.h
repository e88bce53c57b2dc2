/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modules of this program. */
#ifndef TALLY_USER_PROVIDER_KERNEL_MODULES_H
#define TALLY_USER_PROVIDER_KERNEL_MODULES_H

#include "user/provider/kernel/module.h"

extern const struct module module_sched, module_softirq, module_process, module_tcp, module_block,
	module_reclaim, module_drop, module_udp, module_cgroup_tcp, module_writeback, module_jbd2;
/* Those that are opt-in. */
extern const struct module module_hardirq, module_oom, module_cgroup_sched, module_syscalls,
	module_fsync, module_block_size, module_softirq_latency, module_migrations,
	module_contention, module_timers, module_tcp_probe, module_slices, module_cgroup_net,
	module_page_cache, module_files, module_cgroup_block, module_cgroup_rtt;

/* What several of them need. Names of the soft interrupts, as /proc/softirqs has them. */
extern const char *const softirq_types[];
/* What is read at a context switch; ended by a NULL type. */
extern const struct load_member sched_members[];
/* As many slots as can be, for cgroups; one more is that of others. */
uint32_t cgroup_count_slots(void);
/* Half as many: where a slot has histograms. */
uint32_t cgroup_count_half(void);
/* Names of enum block_op. */
extern const char *const block_ops[];
/* As many as there are disks now that ever did something, and half as many again, at least 8. */
uint32_t block_count_disks(void);

#endif
