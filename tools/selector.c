/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The selector's parser (recursive descent, one function per rule of the grammar) and its match. */
#include "tools/selector.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* series_sample_name() adds at most "_bucket". */
#define SAMPLE_NAME_MAX (SCHEMA_NAME_MAX + 16)

struct parser {
	const char *text, *p;
	struct errmsg *e;
};

static int fail(struct parser *p, const char *what)
{
	return err_set(p->e, -EINVAL, "selector '%.200s': %s at column %zu", p->text, what,
		(size_t)(p->p - p->text) + 1);
}

static void skip_spaces(struct parser *p)
{
	p->p += strspn(p->p, " \t");
}

static int take_copy(struct parser *p, size_t len, char **ret)
{
	char *copy = strndup(p->p, len);

	if (!copy)
		return -ENOMEM;
	p->p += len;
	*ret = copy;
	return 0;
}

static int parse_quoted(struct parser *p, char **ret)
{
	char *out = malloc(strlen(p->p) + 1), *to = out;

	if (!out)
		return -ENOMEM;
	for (p->p++; *p->p && *p->p != '"'; p->p++) {
		bool escaped = *p->p == '\\' && p->p[1];
		p->p += escaped;
		*to++ = escaped && *p->p == 'n' ? '\n' : *p->p;
	}
	*to = 0;
	if (*p->p != '"') {
		free(out);
		return fail(p, "a value's closing \" is missing");
	}
	p->p++;
	*ret = out;
	return 0;
}

static int parse_value(struct parser *p, char **ret)
{
	size_t len = strcspn(p->p, ",}\" \t");

	if (*p->p == '"')
		return parse_quoted(p, ret);
	if (!len)
		return fail(p, "a value is missing");
	return take_copy(p, len, ret);
}

static int parse_op(struct parser *p, enum matcher_op *ret)
{
	static const struct {
		char text[3];
		enum matcher_op op;
	} ops[] = {{"=~", MATCH_GLOB}, {"!~", MATCH_NOT_GLOB}, {"!=", MATCH_NOT_EQUAL},
		{"=", MATCH_EQUAL}};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		size_t len = strlen(ops[i].text);
		if (!strncmp(p->p, ops[i].text, len)) {
			p->p += len;
			*ret = ops[i].op;
			return 0;
		}
	}
	return fail(p, "=, !=, =~ or !~ is missing");
}

static size_t label_length(const char *p)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

	if (!*p || !strchr(letters, *p))
		return 0;
	return strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
}

static int parse_matcher(struct parser *p, struct selector *s)
{
	struct matcher *m = &s->matchers[s->n];
	size_t len = label_length(p->p);
	int err;

	if (!len)
		return fail(p, "a label's name is missing");
	if (s->n == SELECTOR_MATCHERS_MAX)
		return err_set(
			p->e, -E2BIG, "selector: more than %d conditions", SELECTOR_MATCHERS_MAX);
	*m = (struct matcher){0};
	s->n++;
	err = take_copy(p, len, &m->label);
	if (err)
		return err;
	skip_spaces(p);
	err = parse_op(p, &m->op);
	if (err)
		return err;
	skip_spaces(p);
	return parse_value(p, &m->value);
}

static int parse_matchers(struct parser *p, struct selector *s)
{
	int err;

	p->p++;
	for (;;) {
		skip_spaces(p);
		if (*p->p == '}')
			break;
		err = parse_matcher(p, s);
		if (err)
			return err;
		skip_spaces(p);
		if (*p->p == ',')
			p->p++;
		else if (*p->p != '}')
			return fail(p, "a comma or } is missing");
	}
	p->p++;
	return 0;
}

static int parse_selector(struct parser *p, struct selector *s)
{
	size_t len;
	int err = 0;

	skip_spaces(p);
	len = strcspn(p->p, "{} \t\"=,");
	if (len)
		err = take_copy(p, len, &s->name);
	skip_spaces(p);
	if (!err && *p->p == '{')
		err = parse_matchers(p, s);
	else if (!err && !len)
		err = fail(p, "a metric's name or { is missing");
	if (err)
		return err;
	skip_spaces(p);
	return *p->p ? fail(p, "unexpected text") : 0;
}

int selector_parse(const char *text, struct selector *ret, struct errmsg *e)
{
	struct parser p = {.text = text, .p = text, .e = e};
	struct selector s = {0};
	int err = parse_selector(&p, &s);

	if (err) {
		selector_release(&s);
		return err == -ENOMEM ? err_set(e, err, "out of memory") : err;
	}
	*ret = s;
	return 0;
}

void selector_release(struct selector *s)
{
	free(s->name);
	for (size_t i = 0; i < s->n; i++) {
		free(s->matchers[i].label);
		free(s->matchers[i].value);
	}
	*s = (struct selector){0};
}

int selector_add(struct selector *s, const char *label, enum matcher_op op, const char *value)
{
	struct matcher m = {.label = strdup(label), .value = strdup(value), .op = op};

	if (s->n == SELECTOR_MATCHERS_MAX || !m.label || !m.value) {
		free(m.label);
		free(m.value);
		return s->n == SELECTOR_MATCHERS_MAX ? -E2BIG : -ENOMEM;
	}
	s->matchers[s->n++] = m;
	return 0;
}

/* --- match ------------------------------------------------------------------------------------ */

static bool value_matches(const struct matcher *m, const char *value)
{
	switch (m->op) {
	case MATCH_EQUAL:
	case MATCH_NOT_EQUAL:
		return !strcmp(m->value, value);
	default:
		return !fnmatch(m->value, value, 0);
	}
}

static bool is_negated(const struct matcher *m)
{
	return m->op == MATCH_NOT_EQUAL || m->op == MATCH_NOT_GLOB;
}

static bool node_matches(const struct matcher *m, const struct selector_node *node)
{
	return (value_matches(m, node->name) || value_matches(m, node->fingerprint)) !=
	       is_negated(m);
}

static bool label_matches(const struct matcher *m, const char *labels)
{
	char value[SCHEMA_LABELS_MAX + 1];

	if (labels_get(labels, m->label, value, sizeof(value)) < 0)
		value[0] = 0;
	return value_matches(m, value) != is_negated(m);
}

static bool name_matches(const char *pattern, const struct series *series)
{
	char name[SAMPLE_NAME_MAX];

	if (!pattern || !fnmatch(pattern, series->name, 0))
		return true;
	series_sample_name(series, name, sizeof(name));
	return !fnmatch(pattern, name, 0);
}

bool selector_match_node(const struct selector *s, const struct selector_node *node)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->matchers[i].label, "node") && !node_matches(&s->matchers[i], node))
			return false;
	return true;
}

bool selector_match(
	const struct selector *s, const struct selector_node *node, const struct series *series)
{
	if (!name_matches(s->name, series) || !selector_match_node(s, node))
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->matchers[i].label, "node") &&
			!label_matches(&s->matchers[i], series->labels))
			return false;
	return true;
}
