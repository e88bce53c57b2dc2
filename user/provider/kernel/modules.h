/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The modules of this program. */
#ifndef TALLY_USER_PROVIDER_KERNEL_MODULES_H
#define TALLY_USER_PROVIDER_KERNEL_MODULES_H

#include "user/provider/kernel/module.h"

extern const struct module module_sched, module_softirq, module_process, module_tcp, module_block,
	module_reclaim, module_drop, module_udp;

#endif
