/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Selectors: how people say which series they mean.
 *
 *   selector = name | name? "{" matcher ("," matcher)* ","? "}"
 *   name     = metric name or glob; matches the family (http_requests) or the sample's name
 *              (http_requests_total)
 *   matcher  = label op value
 *   op       = "="  equal    "!="  not equal    "=~"  glob matches    "!~"  glob does not match
 *   value    = "text" with \" \\ \n, or a bare word without , } " and spaces
 *
 * Globs are those of a shell: * ? [a-z]. A label that a series lacks counts as "". `node` matches
 * the node's name or its whole fingerprint.
 */
#ifndef TALLY_TOOLS_SELECTOR_H
#define TALLY_TOOLS_SELECTOR_H

#include "user/lib/err.h"
#include "user/lib/schema.h"

#define SELECTOR_MATCHERS_MAX 32

enum matcher_op { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_GLOB, MATCH_NOT_GLOB };

struct matcher {
	char *label, *value;
	enum matcher_op op;
};

struct selector {
	char *name; /* NULL: any */
	size_t n;
	struct matcher matchers[SELECTOR_MATCHERS_MAX];
};

/* The node a series is from, as selectors see it. */
struct selector_node {
	const char *name, *fingerprint;
};

/* -EINVAL with the column of the mistake, -E2BIG for too many matchers, -ENOMEM. */
int selector_parse(const char *text, struct selector *ret, struct errmsg *e);
void selector_release(struct selector *s);
/* Adds a matcher with copies of label and value. */
int selector_add(struct selector *s, const char *label, enum matcher_op op, const char *value);
bool selector_match(
	const struct selector *s, const struct selector_node *node, const struct series *series);
bool selector_match_node(const struct selector *s, const struct selector_node *node);

#endif
