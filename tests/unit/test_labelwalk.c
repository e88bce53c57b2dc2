/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "tools/labelwalk.h"

#include <math.h>
#include <string.h>

Test(labelwalk, gives_each_label_unescaped)
{
	const char *p = "a=\"\",b=\"x,y=\\\"z\\\"\",c=\"\\\\n\\n\"";
	struct label l;

	cr_assert(label_next(&p, &l));
	cr_assert_str_eq(l.name, "a");
	cr_assert_str_eq(l.value, "");
	cr_assert(label_next(&p, &l));
	cr_assert_str_eq(l.name, "b");
	cr_assert_str_eq(l.value, "x,y=\"z\"");
	cr_assert(label_next(&p, &l));
	cr_assert_str_eq(l.value, "\\n\n");
	cr_assert_not(label_next(&p, &l));
	cr_assert_str_eq(p, "");
}

Test(labelwalk, ends_at_what_is_not_canonical)
{
	static const char *const texts[] = {"a", "a=", "a=\"", "a=\"\\", "a=\"x\\\"", "=", "\"\""};
	struct label l;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *p = texts[i];
		cr_assert_not(label_next(&p, &l), "'%s' was taken", texts[i]);
	}
}

Test(labelwalk, bound_of_a_bucket)
{
	char rest[SCHEMA_LABELS_MAX + 1];

	cr_assert_eq(labels_bound("cpu=\"0\",le=\"0.25\""), 0.25);
	cr_assert_eq(labels_bound("le=\"+Inf\""), INFINITY);
	cr_assert(isnan(labels_bound("cpu=\"0\"")));
	labels_without_bound("cpu=\"0\",le=\"0.25\",z=\"1\"", rest);
	cr_assert_str_eq(rest, "cpu=\"0\",z=\"1\"");
	labels_without_bound("le=\"1\"", rest);
	cr_assert_str_eq(rest, "");
	labels_without_bound("a=\"1\"", rest);
	cr_assert_str_eq(rest, "a=\"1\"");
}
