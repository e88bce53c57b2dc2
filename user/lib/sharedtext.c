/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts that are shared, by a count of those who have them. */
#include "user/lib/sharedtext.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct text {
	_Atomic uint32_t users;
	char s[];
};

/* A series has four: each finds that of the series before, whichever of the others are new. */
#define RECENT 4

static char empty[1];
static struct text *recent[RECENT]; /* the newest first; we are one of their users */
static atomic_flag busy = ATOMIC_FLAG_INIT; /* somebody looks into `recent` */

static void drop(struct text *t)
{
	if (t && atomic_fetch_sub(&t->users, 1) == 1)
		free(t);
}

static struct text *make(const char *s)
{
	size_t n = strlen(s) + 1;
	struct text *t = malloc(sizeof(*t) + n);

	if (!t)
		return NULL;
	atomic_init(&t->users, 1);
	memcpy(t->s, s, n);
	return t;
}

/* At `i` of those before it is the newest then. */
static void put_first(struct text *t, size_t i)
{
	memmove(&recent[1], &recent[0], i * sizeof(recent[0]));
	recent[0] = t;
}

static struct text *find_or_make(const char *s)
{
	struct text *t;

	for (size_t i = 0; i < RECENT && recent[i]; i++) {
		t = recent[i];
		if (strcmp(t->s, s) || atomic_load(&t->users) == UINT32_MAX)
			continue;
		put_first(t, i);
		atomic_fetch_add(&t->users, 1);
		return t;
	}
	t = make(s);
	if (!t)
		return NULL;
	atomic_fetch_add(&t->users, 1);
	drop(recent[RECENT - 1]);
	put_first(t, RECENT - 1);
	return t;
}

char *text_dup(const char *s)
{
	struct text *t;

	if (!*s)
		return empty;
	if (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire)) {
		t = make(s); /* another thread is at it: nothing is shared this time */
	} else {
		t = find_or_make(s);
		atomic_flag_clear_explicit(&busy, memory_order_release);
	}
	return t ? t->s : NULL;
}

void text_free(char *s)
{
	if (s && s != empty)
		drop((struct text *)(void *)(s - offsetof(struct text, s)));
}
