/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Label text, one label at a time. */
#include "tools/labelwalk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The end of the label that starts at p (its comma or the final zero), or NULL. */
static const char *label_end(const char *p)
{
	p = strchr(p, '"');
	if (!p)
		return NULL;
	for (p++; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		if (!*p)
			return NULL;
	}
	return p + 1;
}

static void unescape(const char *p, const char *end, char *out)
{
	for (; p < end; p++) {
		bool escaped = *p == '\\';
		p += escaped;
		*out++ = escaped && *p == 'n' ? '\n' : *p;
	}
	*out = 0;
}

bool label_next(const char **text, struct label *ret)
{
	const char *end = **text ? label_end(*text) : NULL;
	const char *eq = end ? strchr(*text, '=') : NULL;

	if (!eq || eq[1] != '"' || (size_t)(end - *text) > SCHEMA_LABELS_MAX)
		return false;
	memcpy(ret->name, *text, (size_t)(eq - *text));
	ret->name[eq - *text] = 0;
	unescape(eq + 2, end - 1, ret->value);
	*text = *end == ',' ? end + 1 : end;
	return true;
}

double labels_bound(const char *labels)
{
	char text[64];

	return labels_get(labels, "le", text, sizeof(text)) < 0 ? NAN : strtod(text, NULL);
}

void labels_without_bound(const char *labels, char out[SCHEMA_LABELS_MAX + 1])
{
	struct label label;
	const char *p = labels;
	char *to = out;

	*to = 0;
	if (strlen(labels) > SCHEMA_LABELS_MAX)
		return;
	while (label_next(&labels, &label)) {
		size_t len = (size_t)(labels - p) - (labels[-1] == ',');
		if (strcmp(label.name, "le")) {
			if (to > out)
				*to++ = ',';
			memcpy(to, p, len);
			to += len;
			*to = 0;
		}
		p = labels;
	}
}
