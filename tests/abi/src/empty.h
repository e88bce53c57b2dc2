/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tally's macros, empty. */
#ifndef EMPTY_H
#define EMPTY_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_COUNTER(id, name, help)                                            struct none_##id
#define TALLY_COUNTER_UNIT(id, name, unit, help)                                 struct none_##id
#define TALLY_GAUGE(id, name, help)                                              struct none_##id
#define TALLY_GAUGE_UNIT(id, name, unit, help)                                   struct none_##id
#define TALLY_INC(id)                                                            ((void)0)
#define TALLY_ADD(id, n)                                                         ((void)(n))
#define TALLY_VALUE(id)                                                          ((uint64_t)0)
#define TALLY_GAUGE_SET(id, v)                                                   ((void)(v))
#define TALLY_GAUGE_ADD(id, n)                                                   ((void)(n))
#define TALLY_GAUGE_VALUE(id)                                                    ((int64_t)0)
#define TALLY_PEAK(id, name, unit, help)                                         struct none_##id
#define TALLY_GAUGE_MAX(id, v)                                                   ((void)(v))
#define TALLY_GAUGE_DOUBLE(id, name, unit, help)                                 struct none_##id
#define TALLY_GAUGE_DOUBLE_ADD(id, n)                                            ((void)(n))
#define TALLY_GAUGE_DOUBLE_VALUE(id)                                             0.0
#define TALLY_HISTOGRAM(id, name, unit, min, max, help)                          struct none_##id
#define TALLY_RECORD(id, v)                                                      ((void)(v))
#define TALLY_HISTOGRAM_COUNT(id)                                                ((uint64_t)0)
#define TALLY_HISTOGRAM_SUM(id)                                                  ((uint64_t)0)
#define TALLY_COUNTER_BY(id, name, help, max, ...)                               struct none_##id
#define TALLY_GAUGE_BY(id, name, help, max, ...)                                 struct none_##id
#define TALLY_HISTOGRAM_BY(id, name, unit, scale, min, max, error, help, n, ...) struct none_##id
#define TALLY_INC_H(handle)                                                      ((void)0)
#define TALLY_GAUGE_ADD_H(handle, n)                                             ((void)(n))
#define TALLY_RECORD_H(handle, v)                                                ((void)(v))
#define TALLY_VALUE_H(handle)                                                    ((uint64_t)0)
#define TALLY_GAUGE_VALUE_H(handle)                                              ((int64_t)0)
#define TALLY_HISTOGRAM_COUNT_H(handle)                                          ((uint64_t)0)

#endif
