/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Escaping for JSON, CSV and terminals, on one strict UTF-8 decoder. */
#include "tools/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Length of the character at s and *ret_cp, or 0 if no valid UTF-8 stands there (RFC 3629). */
static size_t utf8_decode(const char *s, uint32_t *ret_cp)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *p = (const uint8_t *)s;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t cp = len == 1 ? p[0] : p[0] & (0x7fu >> len);

	if (!len || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if ((len > 1 && cp < smallest[len]) || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret_cp = cp;
	return len;
}

static bool is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
}

void text_put_json(FILE *out, const char *s)
{
	uint32_t cp;

	putc('"', out);
	while (*s) {
		size_t len = utf8_decode(s, &cp);
		if (!len)
			fputs("\\ufffd", out);
		else if (cp == '"' || cp == '\\')
			fprintf(out, "\\%c", (char)cp);
		else if (is_control(cp))
			fprintf(out, "\\u%04x", cp);
		else
			fwrite(s, 1, len, out);
		s += len ? len : 1;
	}
	putc('"', out);
}

void text_put_csv(FILE *out, const char *s)
{
	if (!strpbrk(s, ",\"\r\n")) {
		fputs(s, out);
		return;
	}
	putc('"', out);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', out);
		putc(*s, out);
	}
	putc('"', out);
}

void text_put_clean(FILE *out, const char *s)
{
	uint32_t cp;

	while (*s) {
		size_t len = utf8_decode(s, &cp);
		if (!len || is_control(cp)) {
			fprintf(out, "\\x%02x", (uint8_t)*s);
			s++;
			continue;
		}
		fwrite(s, 1, len, out);
		s += len;
	}
}

char *text_clean(const char *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	text_put_clean(out, s);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

size_t text_width(const char *s)
{
	size_t width = 0;
	uint32_t cp;

	while (*s) {
		size_t len = utf8_decode(s, &cp);
		int columns = len ? wcwidth((wchar_t)cp) : 1;
		width += columns >= 0 ? (size_t)columns : 1;
		s += len ? len : 1;
	}
	return width;
}

char *text_format(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}
