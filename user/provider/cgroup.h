/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The producer "cgroup": how many control groups it shows. */
#ifndef TALLY_USER_PROVIDER_CGROUP_H
#define TALLY_USER_PROVIDER_CGROUP_H

#define CGROUP_LIMIT_DEFAULT 512u
#define CGROUP_LIMIT_MAX     16384u

#endif
