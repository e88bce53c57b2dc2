/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a producer that is no module says of its metrics to people, from the tables that it works with:
 * docs/kernel-metrics.md is made of it. Nothing is opened or read for that.
 */
#ifndef TALLY_USER_PROVIDER_DESCRIBE_H
#define TALLY_USER_PROVIDER_DESCRIBE_H

#include <stdint.h>

struct metric_doc {
	const char *name, *unit,
		*help; /* an asterisk in the name, and then in help, is a word of the source */
	const char *labels; /* their names, "cpu, mode"; NULL: none */
	const char *source; /* where the kernel has it */
	uint8_t type; /* enum metric_type */
	int8_t scale;
};

/* Texts are valid for the call. What has several sources is told once for each of them. */
struct describer {
	void (*tell)(struct describer *d, const struct metric_doc *m);
};

#endif
