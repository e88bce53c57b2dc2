/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Label text: name="value",name="value" sorted by name, each name once, with the escapes of
 * OpenMetrics (\\ \" \n). Whatever else could disturb a reader (control characters, broken UTF-8)
 * never gets into it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/schema.h"
#include "user/lib/schema_int.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static size_t sequence_length(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first < 0xe0)
		return 2;
	if (first >= 0xe0 && first < 0xf0)
		return 3;
	if (first >= 0xf0 && first < 0xf5)
		return 4;
	return 0;
}

size_t text_char(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len = n ? sequence_length(p[0]) : 0;

	if (len == 0 || len > n || p[0] < 0x20 || p[0] == 0x7f)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xc2 && p[1] < 0xa0) || /* C1 controls */
		(p[0] == 0xe0 && p[1] < 0xa0) || /* overlong */
		(p[0] == 0xed && p[1] > 0x9f) || /* surrogates */
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* Eight bytes at once: a byte of all of them, and the bit that tells how one compares. */
#define BYTES    0x0101010101010101u
#define TOP_BITS (0x80 * BYTES)

static uint64_t load_word(const char *s)
{
	uint64_t w;

	memcpy(&w, s, sizeof(w));
	return w;
}

/* Eight bytes of 0x20 to 0x7e, ASCII's printable ones. Only 0xff carries, and it is none of them. */
static bool all_printable(uint64_t w)
{
	return !((w | (w + BYTES) | ~((w | TOP_BITS) - 0x20 * BYTES)) & TOP_BITS);
}

bool text_valid(const char *s, size_t n)
{
	const char *start = s;

	while (n > 0) {
		size_t len;

		if (n >= 8 && all_printable(load_word(s))) {
			s += 8;
			n -= 8;
			continue;
		}
		/* the last ones, with some before them that are known to be valid */
		if (n < 8 && s - start >= 8 && all_printable(load_word(s + n - 8)))
			return true;
		len = text_char(s, n);
		if (len == 0)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

void text_make_valid(char *s)
{
	if (text_valid(s, strlen(s)))
		return;
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			*s = '?';
}

enum { ALPHA = 1, DIGIT = 2 };
static const uint8_t classes[256] = {
	['0' ... '9'] = DIGIT,
	['A' ... 'Z'] = ALPHA,
	['_'] = ALPHA,
	['a' ... 'z'] = ALPHA,
};

static bool is_alpha(char c)
{
	return classes[(unsigned char)c] & ALPHA;
}

static bool is_alnum(char c)
{
	return classes[(unsigned char)c];
}

/* The top bit of each byte from first to last; of bytes under 0x80 alone. */
static uint64_t between(uint64_t w, uint8_t first, uint8_t last)
{
	return ((w | TOP_BITS) - first * BYTES) & ((last | 0x80) * BYTES - w);
}

/* Eight letters, digits, underscores and colons; the colon comes right after the digits. */
static bool all_name(uint64_t w)
{
	if (w & TOP_BITS)
		return false;
	return !(~(between(w | 0x20 * BYTES, 'a', 'z') | between(w, '0', ':') |
			 between(w, '_', '_')) &
		 TOP_BITS);
}

bool metric_name_valid(const char *name)
{
	size_t n = 0, len = strlen(name);

	if (len > SCHEMA_NAME_MAX || (!is_alpha(*name) && *name != ':'))
		return false;
	while (len - n >= 8 && all_name(load_word(name + n)))
		n += 8;
	while (is_alnum(name[n]) || name[n] == ':')
		n++;
	return n == len;
}

static size_t label_name_length(const char *s)
{
	size_t n = 0;

	if (!is_alpha(*s))
		return 0;
	while (is_alnum(s[n]))
		n++;
	return n;
}

/* One name="value" of canonical text: views into it; the value is still escaped. */
struct label {
	const char *name, *value;
	size_t name_len, value_len;
};

/* Parses the label at s; returns what stands behind it, or NULL if it is malformed. */
static const char *label_parse(const char *s, struct label *ret)
{
	ret->name = s;
	ret->name_len = label_name_length(s);
	s += ret->name_len;
	if (ret->name_len == 0 || s[0] != '=' || s[1] != '"')
		return NULL;
	s += 2;
	ret->value = s;
	while (*s && *s != '"') {
		if (*s == '\\' && s[1] != '\\' && s[1] != '"' && s[1] != 'n')
			return NULL;
		s += *s == '\\' ? 2 : 1;
	}
	ret->value_len = (size_t)(s - ret->value);
	return *s == '"' ? s + 1 : NULL;
}

static int compare_names(const char *a, size_t na, const char *b, size_t nb)
{
	int c = memcmp(a, b, na < nb ? na : nb);

	return c ? c : (na > nb) - (na < nb);
}

bool labels_valid(const char *labels)
{
	struct label before = {.name = ""}, l;
	const char *s = labels;

	if (!text_valid(labels, strlen(labels)))
		return false;
	while (*s) {
		if (s != labels && *s++ != ',')
			return false;
		s = label_parse(s, &l);
		if (!s || compare_names(before.name, before.name_len, l.name, l.name_len) >= 0)
			return false;
		before = l;
	}
	return true;
}

static void put_escaped(struct buf *out, const char *value)
{
	size_t n = strlen(value);

	while (n > 0) {
		size_t len = text_char(value, n);

		if (*value == '\n')
			buf_put(out, "\\n", 2);
		else if (len == 0)
			buf_put(out, REPLACEMENT, strlen(REPLACEMENT));
		else {
			if (*value == '"' || *value == '\\')
				buf_put_u8(out, '\\');
			buf_put(out, value, len);
		}
		if (len == 0)
			len = 1;
		value += len;
		n -= len;
	}
}

struct label_pair {
	const char *name, *value;
};

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const struct label_pair *)a)->name, ((const struct label_pair *)b)->name);
}

static bool pairs_valid(const struct label_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = label_name_length(pairs[i].name);

		if (len == 0 || pairs[i].name[len] != '\0')
			return false;
		if (i > 0 && strcmp(pairs[i - 1].name, pairs[i].name) == 0)
			return false;
	}
	return true;
}

static void put_pair(struct buf *out, size_t start, const struct label_pair *pair)
{
	buf_put(out, ",", out->len > start);
	buf_put(out, pair->name, strlen(pair->name));
	buf_put(out, "=\"", 2);
	put_escaped(out, pair->value);
	buf_put_u8(out, '"');
}

int labels_format(struct buf *out, size_t n, const char *const names[], const char *const values[])
{
	struct label_pair *pairs = calloc(n ? n : 1, sizeof(*pairs));
	size_t start = out->len;
	int err = -EPROTO;

	if (!pairs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		pairs[i] = (struct label_pair){.name = names[i], .value = values[i]};
	qsort(pairs, n, sizeof(*pairs), compare_pairs);
	if (!pairs_valid(pairs, n))
		goto out;
	for (size_t i = 0; i < n; i++)
		put_pair(out, start, &pairs[i]);
	err = buf_error(out);
	if (!err && out->len - start > SCHEMA_LABELS_MAX)
		err = -E2BIG;
out:
	if (err)
		out->len = start;
	free(pairs);
	return err;
}

int labels_add(struct buf *out, const char *labels, size_t n, const char *const names[],
	const char *const values[])
{
	struct label_pair pairs[LABELS_ADD_MAX];
	size_t start = out->len, next = 0;
	const char *s = labels;
	struct label l;
	int err = n <= LABELS_ADD_MAX ? 0 : -E2BIG;

	for (size_t i = 0; i < n && !err; i++)
		pairs[i] = (struct label_pair){.name = names[i], .value = values[i]};
	if (!err && n)
		qsort(pairs, n, sizeof(*pairs), compare_pairs);
	if (!err && !pairs_valid(pairs, n))
		err = -EPROTO;
	while (*s && !err) {
		const char *end = label_parse(s == labels ? s : s + 1, &l);
		int c = -1;

		if (!end) {
			err = -EPROTO;
			break;
		}
		while (next < n && (c = compare_names(pairs[next].name, strlen(pairs[next].name),
					    l.name, l.name_len)) < 0)
			put_pair(out, start, &pairs[next++]);
		if (next < n && c == 0)
			err = -EEXIST;
		buf_put(out, ",", out->len > start);
		buf_put(out, l.name, (size_t)(end - l.name));
		s = end;
	}
	while (next < n && !err)
		put_pair(out, start, &pairs[next++]);
	if (!err)
		err = buf_error(out);
	if (!err && out->len - start > SCHEMA_LABELS_MAX)
		err = -E2BIG;
	if (err)
		out->len = start;
	return err;
}

static int unescape(const struct label *l, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < l->value_len; i++) {
		char c = l->value[i];

		if (c == '\\') {
			c = l->value[++i];
			if (c == 'n')
				c = '\n';
		}
		if (n + 1 >= size)
			return -E2BIG;
		out[n++] = c;
	}
	if (size == 0)
		return -E2BIG;
	out[n] = '\0';
	return (int)n;
}

int labels_get(const char *labels, const char *name, char *out, size_t size)
{
	struct label l;
	const char *s = labels;

	while (*s) {
		if (s != labels && *s++ != ',')
			return -ENOENT;
		s = label_parse(s, &l);
		if (!s)
			return -ENOENT;
		if (compare_names(l.name, l.name_len, name, strlen(name)) == 0) {
			int err = unescape(&l, out, size);

			return err < 0 ? err : 0;
		}
	}
	return -ENOENT;
}
