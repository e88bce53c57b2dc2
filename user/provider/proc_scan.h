/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scanning the text of /proc by hand: numbers are unsigned and decimal, and one that is followed by anything
 * but a blank makes the file a damaged one.
 */
#ifndef TALLY_USER_PROVIDER_PROC_SCAN_H
#define TALLY_USER_PROVIDER_PROC_SCAN_H

#include <string.h>

#include "user/provider/proc.h"

static inline bool next_line(struct proc_text *t, struct proc_text *ret)
{
	const char *end;

	if (t->p >= t->end)
		return false;
	end = memchr(t->p, '\n', (size_t)(t->end - t->p));
	end = end ? end : t->end;
	*ret = (struct proc_text){t->p, end};
	t->p = end < t->end ? end + 1 : end;
	return true;
}

static inline void skip_blanks(struct proc_text *t)
{
	while (t->p < t->end && (*t->p == ' ' || *t->p == '\t'))
		t->p++;
}

static inline size_t length(const struct proc_text *t)
{
	return (size_t)(t->end - t->p);
}

/* The next word, up to a blank. False at the end of the line. */
static inline bool next_word(struct proc_text *t, struct proc_text *ret)
{
	skip_blanks(t);
	ret->p = t->p;
	while (t->p < t->end && *t->p != ' ' && *t->p != '\t')
		t->p++;
	ret->end = t->p;
	return ret->end > ret->p;
}

static inline bool next_number(struct proc_text *t, uint64_t *ret)
{
	struct proc_text w;
	uint64_t v = 0;

	if (!next_word(t, &w))
		return false;
	for (; w.p < w.end; w.p++) {
		if (*w.p < '0' || *w.p > '9' || __builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*w.p - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

static inline bool at_end(struct proc_text *t)
{
	skip_blanks(t);
	return t->p == t->end;
}

static inline bool is_word(const struct proc_text *w, const char *text)
{
	/* most words differ in the first byte; there are no empty ones */
	return length(w) && *w->p == *text && strlen(text) == length(w) &&
	       !memcmp(w->p, text, length(w));
}

static inline bool begins(const struct proc_text *w, const char *text)
{
	return length(w) && *w->p == *text && strlen(text) <= length(w) &&
	       !memcmp(w->p, text, strlen(text));
}

#endif
