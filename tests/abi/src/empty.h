/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tally's macros, empty. */
#ifndef EMPTY_H
#define EMPTY_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_COUNTER(id, name, help)            struct none_##id
#define TALLY_COUNTER_UNIT(id, name, unit, help) struct none_##id
#define TALLY_GAUGE(id, name, help)              struct none_##id
#define TALLY_GAUGE_UNIT(id, name, unit, help)   struct none_##id
#define TALLY_INC(id)                            ((void)0)
#define TALLY_ADD(id, n)                         ((void)(n))
#define TALLY_VALUE(id)                          ((uint64_t)0)
#define TALLY_GAUGE_SET(id, v)                   ((void)(v))
#define TALLY_GAUGE_ADD(id, n)                   ((void)(n))
#define TALLY_GAUGE_VALUE(id)                    ((int64_t)0)

#endif
