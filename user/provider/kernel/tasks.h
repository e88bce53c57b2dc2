/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Producer "tasks": the processes that use the most, and all others as one, by the iterator of
 * bpf/tasks.bpf.c.
 *
 * What all processes have used is the sum over those that live and those that ended (producer "ended").
 * What it has grown by since the poll before is split: a process that was shown then and is shown now has its
 * own growth, and the rest is the others'. So nothing is counted twice when a process begins to be shown,
 * with all it has used in its life, or stops.
 */
#ifndef TALLY_USER_PROVIDER_KERNEL_TASKS_H
#define TALLY_USER_PROVIDER_KERNEL_TASKS_H

#include "bpf/tasks.h"
#include "user/provider/producer.h"

#define TASKS_TOP_DEFAULT 8u /* by each criterion; env->top */
#define TASKS_CRITERIA    6u /* CPU, delay, bytes read and written, faults, switches, memory */
#define TASKS_STAY        10u /* polls that a process stays when it is among the top no more */
#define TASKS_TRACKED_MAX \
	8192u /* more processes than that are among the others, whatever they use */

#endif
