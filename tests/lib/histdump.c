/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints history as it is, for test scripts that count samples without the tools under test:
 *
 *   histdump DIR [NODE [SERIES]]
 *
 * One sample a line: node, series, realtime ns, monotonic ns, raw value, flags (R reset, G gap, -).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gatherer/store/store.h"

struct dump {
	const char *node, *series;
};

static int print_sample(void *arg, const struct series *def, const struct sample *s)
{
	const struct dump *d = arg;

	printf("%s %s %" PRId64 " %" PRIu64 " %" PRIu64 " %s%s%s\n", d->node, d->series,
		s->realtime_ns, s->monotonic_ns, s->value, s->flags & SAMPLE_RESET ? "R" : "",
		s->flags & SAMPLE_GAP ? "G" : "", s->flags ? "" : "-");
	return 0;
}

static int dump_series(
	struct history *h, const struct history_series *s, const char *node, const char *series)
{
	struct buf name = BUF_INIT;
	struct dump d;
	int rc = 0;

	series_print(s->def, &name);
	buf_put_u8(&name, 0);
	if (buf_error(&name))
		return -ENOMEM;
	d.node = history_node(h, s->node)->name;
	d.series = (const char *)name.data;
	if ((!node || !strcmp(node, d.node)) && (!series || !strcmp(series, d.series)))
		rc = history_read(h, s->id, INT64_MIN, INT64_MAX, print_sample, &d);
	buf_release(&name);
	return rc;
}

int main(int argc, char **argv)
{
	struct errmsg e = {""};
	struct history *h;
	int rc;

	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: histdump DIR [NODE [SERIES]]\n");
		return 2;
	}
	rc = history_open(argv[1], &h, &e);
	if (rc) {
		fprintf(stderr, "histdump: %s\n", e.text);
		return 1;
	}
	for (size_t i = 0; i < history_series_count(h) && !rc; i++)
		rc = dump_series(h, history_series(h, i), argc > 2 ? argv[2] : NULL,
			argc > 3 ? argv[3] : NULL);
	if (rc)
		fprintf(stderr, "histdump: %s: %s\n", argv[1], strerror(-rc));
	history_close(h);
	return rc ? 1 : 0;
}
