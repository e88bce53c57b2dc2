/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listing a store's directory. Files that are not the store's are left alone. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/names.h"
#include "gatherer/store/noderec.h"
#include "gatherer/store/os.h"
#include "gatherer/store/sealed.h"

static int numbers_add(struct numbers *l, uint64_t number)
{
	int err = array_reserve(&l->list, l->n + 1, &l->cap, sizeof(*l->list));

	if (!err)
		l->list[l->n++] = number;
	return err;
}

static int compare_numbers(const void *pa, const void *pb)
{
	uint64_t a = *(const uint64_t *)pa, b = *(const uint64_t *)pb;

	return (a > b) - (a < b);
}

bool numbers_have(const struct numbers *l, uint64_t number)
{
	return l->n && bsearch(&number, l->list, l->n, sizeof(*l->list), compare_numbers);
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static int add_temp(struct names *n, const char *name)
{
	int err = array_reserve(&n->temps, n->ntemps + 1, &n->temps_cap, sizeof(*n->temps));

	if (!err)
		snprintf(n->temps[n->ntemps++], sizeof(*n->temps), "%s", name);
	return err;
}

/* Is name what the format makes of a number? */
static bool parse_name(const char *name, const char *prefix, const char *suffix, uint64_t *ret)
{
	size_t skip = strlen(prefix);
	uint64_t number;
	char again[64];
	char *end;

	if (strncmp(name, prefix, skip) != 0 || name[skip] < '0' || name[skip] > '9')
		return false;
	number = strtoull(name + skip, &end, 10);
	snprintf(again, sizeof(again), "%s%08llu%s", prefix, (unsigned long long)number, suffix);
	if (strcmp(name, again) != 0)
		return false;
	*ret = number;
	return true;
}

static int add_name(void *arg, const char *name)
{
	struct names *n = arg;
	uint64_t number;

	if (parse_name(name, "head-", ".rec", &number))
		return numbers_add(&n->heads, number);
	if (parse_name(name, "", ".tly", &number))
		return numbers_add(&n->sealed, number);
	if (strlen(name) < 64 && (ends_with(name, ".rec.tmp") || ends_with(name, ".tly.tmp")))
		return add_temp(n, name);
	return 0;
}

void names_release(struct names *n)
{
	free(n->heads.list);
	free(n->sealed.list);
	free(n->temps);
	*n = (struct names){0};
}

int names_list(int dirfd, struct names *ret)
{
	struct names n = {0};
	int err = os_list(dirfd, add_name, &n);

	if (err) {
		names_release(&n);
		return err;
	}
	if (n.heads.n)
		qsort(n.heads.list, n.heads.n, sizeof(*n.heads.list), compare_numbers);
	if (n.sealed.n)
		qsort(n.sealed.list, n.sealed.n, sizeof(*n.sealed.list), compare_numbers);
	*ret = n;
	return 0;
}
