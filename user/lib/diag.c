/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log: formats one line into a buffer on the stack, makes control characters visible, and
 * writes it with one write(2), so that lines of threads and processes never mix.
 */
#include "user/lib/diag.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048u

/* Set once at start, before any thread; the text is copied so that the caller may free its own. */
static char program_name[32] = "tally";
static _Atomic int show_level = DIAG_INFO;
static bool to_journal;

void diag_init(const char *program, enum diag_level show_up_to)
{
	snprintf(program_name, sizeof(program_name), "%s", program);
	show_level = show_up_to;
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

/* The line's beginning, for a journal or a person. Returns its length. */
static size_t put_prefix(char *out, size_t size, enum diag_level level)
{
	static const char *const words[] = {
		[DIAG_ERROR] = "error: ",
		[DIAG_WARNING] = "warning: ",
		[DIAG_NOTICE] = "",
		[DIAG_INFO] = "",
		[DIAG_DEBUG] = "debug: ",
	};
	struct timespec ts;
	struct tm tm;

	if (to_journal)
		return (size_t)snprintf(out, size, "<%d>%s", level, words[level]);
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	return (size_t)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s: %s",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		ts.tv_nsec / 1000000, program_name, words[level]);
}

/* C0, DEL, and C1 as UTF-8 writes it (0xc2 0x80..0x9f): what a terminal would act upon. */
static bool is_control(const unsigned char *p)
{
	return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f);
}

static size_t put_visible(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (const unsigned char *p = (const unsigned char *)text; *p && n + 5 < size; p++) {
		if (is_control(p))
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", *p);
		else
			out[n++] = (char)*p;
	}
	return n;
}

void diag(enum diag_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES - 128], line[LINE_MAX_BYTES];
	ssize_t written;
	va_list ap;
	size_t n;

	if ((int)level > show_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = put_prefix(line, sizeof(line), level);
	n += put_visible(line + n, sizeof(line) - n - 1, text);
	line[n++] = '\n';
	/* There is nobody left to tell when stderr can't be written. */
	written = write(STDERR_FILENO, line, n);
	(void)written;
}

bool diag_allowed(struct diag_limit *l, uint64_t now_ns, uint64_t every_ns)
{
	if (now_ns < l->next_ns) {
		l->suppressed++;
		return false;
	}
	if (l->suppressed)
		diag_notice(
			"%llu similar messages were left out", (unsigned long long)l->suppressed);
	l->suppressed = 0;
	l->next_ns = now_ns + every_ns;
	return true;
}
