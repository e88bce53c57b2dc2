/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Field names and labels for munin. */
#include "tools/munin-field.h"

#include <stdlib.h>
#include <string.h>

#include "tools/labelwalk.h"
#include "tools/text.h"

#define HASH_ROOM 18u /* "_", 16 digits, zero */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

void munin_clean_name(const char *text, char *out, size_t size)
{
	size_t room = size - HASH_ROOM, len = 0;

	if (!is_letter(*text))
		out[len++] = '_';
	/* A digit may not come first, but behind the _ it is kept: 1 and 2 stay apart. */
	for (; *text && len < room; text++)
		out[len++] = is_letter(*text) || (*text >= '0' && *text <= '9') ? *text : '_';
	out[len] = 0;
	if (!strcmp(out, "root"))
		strcpy(out, "__root");
}

void munin_put_text(FILE *out, const char *s)
{
	char *clean = text_clean(s);

	for (char *p = clean; p && *p; p++)
		putc(*p == '#' || *p == '\\' ? '_' : *p, out);
	free(clean);
}

/* FNV-1a, 64 bits */
static uint64_t hash_more(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3;
	} while (*text++);
	return hash;
}

static uint64_t hash_identity(const struct pick *p)
{
	uint64_t hash = 0xcbf29ce484222325;

	hash = hash_more(hash, p->fingerprint);
	hash = hash_more(hash, p->series.group);
	hash = hash_more(hash, p->series.def->name);
	return hash_more(hash, p->series.def->labels);
}

/* Node and label values (for names), or node and labels (for people). */
static char *describe(const struct pick *p, bool for_people)
{
	const char *labels = p->series.def->labels;
	const char *before = for_people ? ": " : "_";
	struct label label;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs(p->node->name, out);
	while (label_next(&labels, &label)) {
		if (for_people)
			fprintf(out, "%s%s=%s", before, label.name, label.value);
		else
			fprintf(out, "%s%s", before, label.value);
		before = for_people ? ", " : "_";
	}
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

static int name_field(struct munin_field *f)
{
	char *text = describe(f->pick, false), hash[17];
	size_t len;

	if (!text)
		return -ENOMEM;
	munin_clean_name(text, f->name, sizeof(f->name));
	free(text);
	if (!f->digits)
		return 0;
	snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)f->hash);
	len = strlen(f->name);
	snprintf(f->name + len, sizeof(f->name) - len, "_%.*s", (int)f->digits, hash);
	return 0;
}

static int compare_names(const void *va, const void *vb)
{
	const struct munin_field *a = *(struct munin_field *const *)va;
	const struct munin_field *b = *(struct munin_field *const *)vb;

	return strcmp(a->name, b->name);
}

/* Those that share their name get `digits` digits of their hash. Returns how many that were. */
static size_t part_equal_names(struct munin_field **sorted, size_t n, unsigned digits)
{
	size_t end, changed = 0;

	qsort(sorted, n, sizeof(*sorted), compare_names);
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && !compare_names(&sorted[i], &sorted[end]); end++)
			;
		for (size_t j = i; j < end && end - i > 1; j++, changed++)
			sorted[j]->digits = digits;
	}
	return changed;
}

static int make_names_distinct(struct munin_field *fields, size_t n)
{
	struct munin_field **sorted = calloc(n + 1, sizeof(struct munin_field *));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &fields[i];
	/* A name with eight digits may be the plain name of another series: then all sixteen. */
	for (unsigned digits = 8; digits <= 16 && !err; digits += 8) {
		if (!part_equal_names(sorted, n, digits))
			break;
		for (size_t i = 0; i < n && !err; i++)
			err = name_field(&fields[i]);
	}
	free(sorted);
	return err;
}

int munin_fields_make(const struct picks *picks, struct munin_field **ret)
{
	struct munin_field *fields = calloc(picks->n + 1, sizeof(*fields));
	int err = fields ? 0 : -ENOMEM;

	for (size_t i = 0; i < picks->n && !err; i++) {
		struct munin_field *f = &fields[i];

		f->pick = &picks->v[i];
		f->hash = hash_identity(f->pick);
		f->label = describe(f->pick, true);
		err = f->label ? name_field(f) : -ENOMEM;
	}
	if (!err)
		err = make_names_distinct(fields, picks->n);
	if (err) {
		munin_fields_free(fields, picks->n);
		return err;
	}
	*ret = fields;
	return 0;
}

void munin_fields_free(struct munin_field *fields, size_t n)
{
	for (size_t i = 0; fields && i < n; i++)
		free(fields[i].label);
	free(fields);
}
