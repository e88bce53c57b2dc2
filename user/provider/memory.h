/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that only the start needs. */
#ifndef TALLY_USER_PROVIDER_MEMORY_H
#define TALLY_USER_PROVIDER_MEMORY_H

/*
 * Hands back to the system what the heap has free, and drops from this process what it has mapped of code and
 * constants. What runs again comes back by itself, a fault for some pages. Does what it can; never fails.
 */
void memory_give_back(void);

#endif
