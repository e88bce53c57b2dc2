/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The labels of a segment's metrics: from pairs between separators to canonical text. */
#include "user/lib/seglabels.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "include/tally/segment.h"
#include "user/lib/schema.h"

const char *const seglabels_reserved[] = {"program", "user", "cgroup", "le", NULL};

/* A copy of the text with zeros for separators. A name of a table's labels has no value: NULL. */
struct pairs {
	char text[SEGLABELS_TEXT_MAX + 1];
	const char *names[SEGLABELS_PAIRS], *values[SEGLABELS_PAIRS];
	size_t n;
};

static bool name_is_free(const struct pairs *p, const char *name)
{
	for (size_t i = 0; seglabels_reserved[i]; i++)
		if (!strcmp(name, seglabels_reserved[i]))
			return false;
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(name, p->names[i]))
			return false;
	return strncmp(name, "__", 2) != 0;
}

static int split_pairs(const char *labels, struct pairs *ret)
{
	char *at = ret->text, *end, *value;

	if (strlen(labels) > SEGLABELS_TEXT_MAX)
		return -EPROTO;
	strcpy(at, labels);
	for (ret->n = 0; *at; at = end + 1) {
		end = strchr(at, TALLY_LABEL_END[0]);
		if (!end || ret->n == SEGLABELS_PAIRS)
			return -EPROTO;
		*end = '\0';
		value = strchr(at, TALLY_LABEL_VALUE[0]);
		if (value)
			*value++ = '\0';
		if ((value && !text_valid(value, strlen(value))) || !name_is_free(ret, at))
			return -EPROTO;
		ret->names[ret->n] = at;
		ret->values[ret->n++] = value;
	}
	return 0;
}

/* The values of a slot, one for each name that has none yet. text is cut up. */
static int fill_values(struct pairs *p, char *text)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->values[i])
			continue;
		p->values[i] = text ? strsep(&text, TALLY_LABEL_VALUE) : NULL;
		if (!p->values[i] || !text_valid(p->values[i], strlen(p->values[i])))
			return -EINVAL;
	}
	return text ? -EINVAL : 0;
}

int seglabels_format(const char *labels, const char *slot, bool overflow, struct buf *out)
{
	char text[TALLY_SLOT_TEXT];
	size_t len = out->len;
	struct pairs p;
	int err = split_pairs(labels, &p);

	for (size_t i = 0; !err && i < p.n; i++) {
		if (p.values[i])
			continue;
		if (!slot)
			err = -EPROTO; /* a name without a value, and no table that has one */
		else if (overflow)
			p.values[i] = SEGLABELS_OVERFLOW;
	}
	if (!err && slot && !overflow) {
		snprintf(text, sizeof(text), "%s", slot);
		err = fill_values(&p, text);
	}
	if (!err)
		err = labels_format(out, p.n, p.names, p.values);
	if (!err && buf_error(out))
		err = -ENOMEM;
	if (err)
		out->len = len;
	return err;
}
