/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the snapshots of a provider's ring, for test scripts:
 *
 *   ringdump DIR SERIES
 *
 * One snapshot a line: incarnation, sequence number, and the value of the series ("-" if it is not in
 * it). It reads the files itself, without the ring's own code. Damage is told on stderr; exit code 1.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/stream.h"
#include "user/lib/util.h"

static void print_snapshot(const struct snapshot_view *v, const char *series)
{
	struct buf name = BUF_INIT;
	char value[64] = "-";

	for (size_t i = 0; i < v->ngroups; i++) {
		const struct schema *s = v->groups[i].schema;

		for (size_t j = 0; j < s->n; j++) {
			buf_reset(&name);
			series_print(&s->series[j], &name);
			if (name.len == strlen(series) && !memcmp(name.data, series, name.len))
				value_format(v->groups[i].values[j], s->series[j].kind,
					s->series[j].scale, value, sizeof(value));
		}
	}
	printf("%016" PRIx64 " %" PRIu64 " %s\n", v->incarnation, v->seq, value);
	buf_release(&name);
}

static int dump_file(struct stream *stream, const char *dir, const char *name, const char *series)
{
	struct buf text = BUF_INIT;
	struct snapshot_view view;
	struct recscan scan = {0};
	struct record rec;
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	r = read_file_at(AT_FDCWD, path, 1u << 30, &text);
	scan = (struct recscan){.data = text.data, .len = text.len, .pos = RECFILE_HEADER};
	scan.salt = recfile_salt(text.data, text.len);
	while (!r && (r = recscan_next(&scan, &rec)) == 1) {
		r = stream_apply(stream, rec.type, rec.payload, rec.len, &view);
		if (r == STREAM_SNAPSHOT)
			print_snapshot(&view, series);
		r = r < 0 ? r : 0;
	}
	if (r)
		fprintf(stderr, "%s: %s at %zu\n", path, strerror(-r), scan.pos);
	buf_release(&text);
	return r;
}

static int is_ring_file(const struct dirent *d)
{
	return !strncmp(d->d_name, "ring-", 5);
}

int main(int argc, char **argv)
{
	struct stream *stream = stream_new();
	struct dirent **files;
	int n, failed = 0;

	if (argc != 3 || !stream) {
		fprintf(stderr, "usage: ringdump DIR SERIES\n");
		return 2;
	}
	n = scandir(argv[1], &files, is_ring_file, alphasort);
	if (n < 0) {
		perror(argv[1]);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		failed |= dump_file(stream, argv[1], files[i]->d_name, argv[2]) != 0;
		free(files[i]);
	}
	free(files);
	stream_free(stream);
	return failed;
}
