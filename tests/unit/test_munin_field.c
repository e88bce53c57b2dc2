/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/munin-field.h"

#include <stdlib.h>
#include <string.h>

#define MANY 2000

static const char *clean(const char *text)
{
	static char out[MUNIN_FIELD_MAX];

	munin_clean_name(text, out, sizeof(out));
	return out;
}

Test(munin_field, names_follow_munins_rules)
{
	char longest[300];

	cr_assert_str_eq(clean("web1_sda"), "web1_sda");
	cr_assert_str_eq(clean("web-1.x y"), "web_1_x_y");
	cr_assert_str_eq(clean("2nd node"), "_2nd_node");
	cr_assert_str_eq(clean("root"), "__root");
	cr_assert_str_eq(clean(""), "_");
	cr_assert_str_eq(clean("é"), "___");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	cr_assert_lt(strlen(clean(longest)), MUNIN_FIELD_MAX - 17);
}

static struct picks make(size_t n, const char *const labels[])
{
	static struct history_node node = {.name = "web"};
	struct picks p = {n, calloc(n, sizeof(struct pick))};

	for (size_t i = 0; i < n; i++) {
		struct series *def = calloc(1, sizeof(*def));
		*def = (struct series){
			"m", (char *)labels[i], "", "", METRIC_GAUGE, VALUE_U64, SERIES_VALUE, 0};
		p.v[i].series = (struct history_series){0, "g", def, (uint32_t)i};
		p.v[i].node = &node;
		strcpy(p.v[i].fingerprint, "abcd");
	}
	return p;
}

static void release(struct picks *p)
{
	for (size_t i = 0; i < p->n; i++)
		free((void *)p->v[i].series.def);
	picks_release(p);
}

Test(munin_field, plain_names_stay_plain)
{
	struct picks p = make(2, (const char *const[]){"d=\"sda\"", "d=\"sdb\""});
	struct munin_field *f;

	cr_assert_eq(munin_fields_make(&p, &f), 0);
	cr_assert_str_eq(f[0].name, "web_sda");
	cr_assert_str_eq(f[1].name, "web_sdb");
	cr_assert_str_eq(f[0].label, "web: d=sda");
	munin_fields_free(f, p.n);
	release(&p);
}

/* Both get a hash, and it is that of the series: the name goes with the series, not with the rank. */
Test(munin_field, names_that_collide_are_told_apart_for_good)
{
	struct picks p = make(3, (const char *const[]){"d=\"a-b\"", "d=\"a_b\"", "d=\"c\""});
	struct picks q = make(2, (const char *const[]){"d=\"a_b\"", "d=\"a-b\""});
	struct munin_field *f, *g;

	cr_assert_eq(munin_fields_make(&p, &f), 0);
	cr_assert_eq(munin_fields_make(&q, &g), 0);
	cr_assert_eq(strlen(f[0].name), strlen("web_a_b_12345678"));
	cr_assert_str_neq(f[0].name, f[1].name);
	cr_assert_str_eq(f[2].name, "web_c");
	cr_assert_str_eq(f[0].name, g[1].name);
	cr_assert_str_eq(f[1].name, g[0].name);
	munin_fields_free(f, p.n);
	munin_fields_free(g, q.n);
	release(&p);
	release(&q);
}

/* A label whose value is what another series' name with its hash would be. */
Test(munin_field, a_hash_that_is_taken_is_made_longer)
{
	const char *labels[3] = {"d=\"a-b\"", "d=\"a_b\"", NULL};
	struct picks p = make(2, labels), q;
	struct munin_field *f, *g;
	char forged[64];

	cr_assert_eq(munin_fields_make(&p, &f), 0);
	snprintf(forged, sizeof(forged), "d=\"%s\"", f[0].name + strlen("web_"));
	labels[2] = forged;
	q = make(3, labels);
	cr_assert_eq(munin_fields_make(&q, &g), 0);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < i; j++)
			cr_assert_str_neq(g[i].name, g[j].name);
	munin_fields_free(f, p.n);
	munin_fields_free(g, q.n);
	release(&p);
	release(&q);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

Test(munin_field, many_that_look_alike)
{
	static char texts[MANY][160];
	const char *labels[MANY], *names[MANY];
	struct munin_field *f;
	struct picks p;

	for (int i = 0; i < MANY; i++) {
		memset(texts[i], 'x', 140);
		memcpy(texts[i], "d=\"", 3);
		snprintf(texts[i] + 140, 20, "%d\"", i); /* differs behind what a name can hold */
		labels[i] = texts[i];
	}
	p = make(MANY, labels);
	cr_assert_eq(munin_fields_make(&p, &f), 0);
	for (int i = 0; i < MANY; i++)
		names[i] = f[i].name;
	qsort(names, MANY, sizeof(names[0]), compare);
	for (int i = 1; i < MANY; i++)
		cr_assert_str_neq(names[i], names[i - 1]);
	munin_fields_free(f, p.n);
	release(&p);
}

Test(munin_field, texts_hold_one_clean_line)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	munin_put_text(out, "a#b\\c\nd é");
	fclose(out);
	cr_assert_str_eq(text, "a_b_c_x0ad é");
	free(text);
}
