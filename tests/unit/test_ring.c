/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: what goes in comes out, through limits, restarts, damage, truncation at every byte, and a
 * disk that is full. What is read is applied to a stream, as a gatherer does.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gatherer/store/store.h"
#include "tests/lib/testrand.h"
#include "user/provider/ring_int.h"

#define SERIES     40
#define SCHEMA_END 4096u /* more than INCARNATION and SCHEMA of these take */

static char dir[64];
static struct ring *ring;
static struct stream_writer *writer;
static struct incarnation inc;
static struct group group;
static uint64_t clock_ns;

static void open_ring(uint64_t limit)
{
	struct errmsg e = {""};

	cr_assert_eq(ring_open(dir, limit, &ring, &e), 0, "%s", e.text);
}

/* Another start of the provider: a new incarnation, numbers from 1. */
static void start(uint64_t limit)
{
	open_ring(limit);
	inc.id++;
	inc.start_ns = clock_ns;
	writer = stream_writer_new(&inc);
	group.written_version = group.schema_id = group.slot = 0;
	group.version++;
}

static void stop(void)
{
	stream_writer_free(writer);
	ring_close(ring);
	writer = NULL;
	ring = NULL;
}

/* One snapshot, in which the first value is its number. 0, or the ring's code. */
static int take(void)
{
	struct group_due due = {.group = &group};
	struct buf records = BUF_INIT;
	uint64_t seq;
	int err = ring_prepare(ring, writer);

	if (err)
		return err;
	clock_ns += 1000000000u;
	for (size_t i = 1; i < SERIES; i++)
		group.values[i] += i * (group.values[0] % 3);
	group.values[0]++;
	cr_assert_eq(stream_writer_snapshot(
			     writer, (int64_t)clock_ns, clock_ns, &due, 1, &records, &seq),
		0);
	err = ring_append(ring, &records);
	if (err)
		stream_writer_lost(writer);
	buf_release(&records);
	return err;
}

static void setup(void)
{
	strcpy(dir, "/tmp/tally-ring-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	inc = (struct incarnation){.id = 100, .boot_id = {1}};
	clock_ns = 1700000000000000000u;
	group.schema.group = strdup("g");
	group.values = calloc(SERIES, sizeof(uint64_t));
	for (int i = 0; i < SERIES; i++) {
		char name[32];
		struct series s = {name, (char *)"", (char *)"", (char *)"help", METRIC_COUNTER,
			VALUE_U64, SERIES_VALUE, 0};

		snprintf(name, sizeof(name), "metric_%d", i);
		cr_assert_eq(schema_add(&group.schema, &s), 0);
	}
}

static void teardown(void)
{
	char cmd[128];

	stop();
	group_release(&group);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(ring, .init = setup, .fini = teardown);

/* --- a reader -------------------------------------------------------------------------------- */

struct seen {
	uint64_t n, first, last; /* of group.values[0] */
	uint64_t gaps, incarnations, bad, repeats;
	uint64_t incarnation, seq;
};

static void note(struct seen *s, const struct snapshot_view *v)
{
	uint64_t value = v->ngroups ? v->groups[0].values[0] : 0;

	if (s->n && value != s->last + 1)
		s->gaps++;
	if (!s->n)
		s->first = value;
	s->incarnations += v->incarnation != s->incarnation;
	s->incarnation = v->incarnation;
	s->seq = v->seq;
	s->last = value;
	s->n++;
}

static void apply(struct stream *stream, const struct buf *bytes, struct seen *s)
{
	struct recscan scan = {.data = bytes->data, .len = bytes->len};
	struct snapshot_view view;
	struct record rec;
	int r;

	while ((r = recscan_next(&scan, &rec)) == 1) {
		r = stream_apply(stream, rec.type, rec.payload, rec.len, &view);
		s->bad += r < 0;
		s->repeats += r == STREAM_OLD;
		if (r == STREAM_SNAPSHOT)
			note(s, &view);
	}
	cr_assert_eq(r, 0, "only whole records may come out");
}

/* Reads on from the cursor, in bites of a random size. */
static void read_on(struct stream *stream, struct ring_cursor *c, struct seen *s)
{
	struct buf out = BUF_INIT;

	for (;;) {
		size_t max = test_rand_below(3) ? 1 : test_rand_below(20000);
		int n;

		buf_reset(&out);
		n = ring_read(ring, c, max, &out);
		cr_assert_geq(n, 0);
		if (!n)
			break;
		cr_assert(n == 1 || out.len <= max);
		apply(stream, &out, s);
	}
	buf_release(&out);
}

/* The state of a reader that has everything up to this snapshot; an empty one if that is not there. */
static struct stream *stream_up_to(uint64_t incarnation, uint64_t seq)
{
	struct stream *stream = stream_new();
	struct buf out = BUF_INIT;
	struct seen s = {0};
	struct ring_cursor c;

	cr_assert_eq(ring_seek(ring, 0, 0, &c), 0);
	while (incarnation && (s.incarnation != incarnation || s.seq != seq)) {
		buf_reset(&out);
		if (ring_read(ring, &c, 1, &out) <= 0) {
			stream_free(stream);
			stream = stream_new();
			break;
		}
		apply(stream, &out, &s);
	}
	buf_release(&out);
	return stream;
}

static struct seen read_from(uint64_t incarnation, uint64_t seq, uint64_t *ret_lost)
{
	struct stream *stream = stream_up_to(incarnation, seq);
	struct seen s = {0};
	struct ring_cursor c;

	cr_assert_eq(ring_seek(ring, incarnation, seq, &c), 0);
	read_on(stream, &c, &s);
	if (ret_lost)
		*ret_lost = c.lost;
	stream_free(stream);
	return s;
}

/* --- tests ----------------------------------------------------------------------------------- */

Test(ring, what_goes_in_comes_out)
{
	struct seen s;
	uint64_t lost;

	start(1u << 20);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(take(), 0);
	s = read_from(0, 0, &lost);
	cr_expect_eq(s.n, 300);
	cr_expect_eq(s.first, 1);
	cr_expect_eq(s.gaps, 0);
	cr_expect_eq(s.bad, 0);
	cr_expect_eq(lost, 0);
}

/* A reader that follows gets each once, also over the change of files. */
Test(ring, a_cursor_follows)
{
	struct stream *stream = stream_new();
	struct ring_cursor c;
	struct ring_stats st;
	struct seen s = {0};

	test_rand_init();
	start(RING_LIMIT_MIN);
	cr_assert_eq(ring_seek(ring, 0, 0, &c), 0);
	for (int i = 0; i < 6000; i++) {
		cr_assert_eq(take(), 0);
		if (!test_rand_below(50))
			read_on(stream, &c, &s);
	}
	read_on(stream, &c, &s);
	cr_expect_eq(s.n, 6000);
	cr_expect_eq(s.gaps + s.bad, 0);
	cr_expect_eq(c.lost, 0);
	ring_stats(ring, &st);
	cr_expect_gt(st.removed_files, 0);
	cr_expect_leq(st.bytes, RING_LIMIT_MIN);
	stream_free(stream);
}

static uint64_t bytes_on_disk(void)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	uint64_t sum = 0;
	struct stat st;

	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.' && !fstatat(dirfd(d), entry->d_name, &st, 0))
			sum += (uint64_t)st.st_size;
	closedir(d);
	return sum;
}

/* A reader that is too slow loses what fell off, and that number is right. */
Test(ring, losses_are_counted)
{
	struct stream *stream = stream_new();
	struct ring_cursor c;
	struct seen s = {0};
	uint64_t lost;

	test_rand_init();
	start(RING_LIMIT_MIN);
	cr_assert_eq(ring_seek(ring, 0, 0, &c), 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(take(), 0);
	read_on(stream, &c, &s);
	cr_assert_eq(s.n, 100);
	for (int i = 0; i < 9000; i++) {
		cr_assert_eq(take(), 0);
		cr_assert_leq(bytes_on_disk() * !(i % 500), RING_LIMIT_MIN);
	}
	read_on(stream, &c, &s);
	cr_expect_gt(c.lost, 1000);
	cr_expect_eq(s.n + c.lost, 9100);
	cr_expect_eq(s.last, 9100);
	cr_expect_eq(s.bad, 0);
	/* The same from a reader that comes back with what it had. */
	s = read_from(inc.id, 100, &lost);
	cr_expect_eq(s.n + lost, 9000);
	stream_free(stream);
}

/* The whole incarnation of the cursor's last snapshot fell off, and another one with it. */
Test(ring, losses_over_incarnations)
{
	struct stream *stream = stream_new();
	struct ring_cursor c = {0};
	struct seen s = {0};
	uint64_t taken = 0;

	start(RING_LIMIT_MIN);
	cr_assert_eq(ring_seek(ring, 0, 0, &c), 0);
	for (int i = 0; i < 50; i++, taken++)
		cr_assert_eq(take(), 0);
	read_on(stream, &c, &s);
	for (int k = 0; k < 2; k++) {
		stream_writer_free(writer);
		ring_close(ring);
		start(RING_LIMIT_MIN);
		for (int i = 0; i < 5000; i++, taken++)
			cr_assert_eq(take(), 0);
	}
	read_on(stream, &c, &s);
	cr_expect_eq(s.incarnation, inc.id);
	cr_expect_eq(s.seq, 5000);
	/* What fell off before the last start can only be known in part. */
	cr_expect_leq(s.n + c.lost, taken);
	cr_expect_gt(c.lost, 0);
	stream_free(stream);
}

Test(ring, restarts)
{
	struct seen s;

	for (int k = 0; k < 20; k++) {
		start(4u << 20);
		for (int i = 0; i < 10; i++)
			cr_assert_eq(take(), 0);
		stop();
	}
	open_ring(4u << 20);
	s = read_from(0, 0, NULL);
	cr_expect_eq(s.n, 200);
	cr_expect_eq(s.gaps + s.bad, 0);
	cr_expect_eq(s.incarnations, 20);
	/* A gatherer that has up to number 5 of the tenth start gets all behind, in order. */
	s = read_from(110, 5, NULL);
	cr_expect_eq(s.first, 96);
	cr_expect_eq(s.n, 105);
	cr_expect_eq(s.gaps, 0);
	/* One that claims what the ring never had gets what may be behind, not everything. */
	s = read_from(110, 1000, NULL);
	cr_expect_eq(s.first, 91);
	s = read_from(99999, 5, NULL);
	cr_expect_eq(s.n, 200);
}

Test(ring, two_writers)
{
	struct errmsg e = {""};
	struct ring *other;

	start(1u << 20);
	cr_expect_eq(ring_open(dir, 1u << 20, &other, &e), -EBUSY);
	cr_expect(strstr(e.text, "another provider"), "%s", e.text);
}

static char newest_name[400];
static size_t read_newest(uint8_t *out, size_t size)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	size_t n;
	FILE *f;

	newest_name[0] = '\0';
	while ((entry = readdir(d))) {
		char path[400];

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (!strncmp(entry->d_name, "ring-", 5) && strcmp(path, newest_name) > 0)
			strcpy(newest_name, path);
	}
	closedir(d);
	f = fopen(newest_name, "r");
	n = fread(out, 1, size, f);
	fclose(f);
	return n;
}

static void write_newest(const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(newest_name, "w");

	cr_assert_eq(fwrite(bytes, 1, n, f), n);
	cr_assert_eq(fclose(f), 0);
}

/* Power loss leaves any part of the file: it opens, loses whole snapshots from the end, and goes on. */
Test(ring, truncation_at_every_byte)
{
	static uint8_t bytes[65536];
	struct errmsg e;
	size_t n;

	test_rand_init();
	start(1u << 20);
	for (int i = 0; i < 12; i++)
		cr_assert_eq(take(), 0);
	stop();
	n = read_newest(bytes, sizeof(bytes));
	for (size_t cut = 0, before = 0; cut <= n; cut++) {
		char name[400];
		struct seen s;

		strcpy(name, newest_name);
		write_newest(bytes, cut);
		cr_assert_eq(ring_open(dir, 1u << 20, &ring, &e), 0, "cut at %zu", cut);
		s = read_from(0, 0, NULL);
		cr_assert_eq(s.bad + s.gaps, 0, "cut at %zu", cut);
		cr_assert_geq(s.n, before, "cut at %zu", cut);
		cr_assert(s.n == 12 || cut < n);
		before = s.n;
		ring_close(ring);
		ring = NULL;
		cr_assert_str_eq(name, newest_name);
	}
}

/* After such a start the next snapshots follow, under a new incarnation. */
Test(ring, goes_on_after_a_torn_end)
{
	static uint8_t bytes[65536];
	struct ring_stats st;
	struct seen s;
	size_t n;

	start(1u << 20);
	for (int i = 0; i < 12; i++)
		cr_assert_eq(take(), 0);
	stop();
	n = read_newest(bytes, sizeof(bytes));
	write_newest(bytes, n - 1);
	start(1u << 20);
	ring_stats(ring, &st);
	cr_expect_gt(st.damage_bytes, 0);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(take(), 0);
	s = read_from(inc.id - 1, 11, NULL);
	cr_expect_eq(s.n, 5, "%llu", (unsigned long long)s.n);
	s = read_from(0, 0, NULL);
	cr_expect_eq(s.n, 16);
	cr_expect_eq(s.gaps, 1);
}

/* A flipped bit anywhere costs what depends on it, and nothing is made up. */
Test(ring, damage_is_skipped)
{
	static uint8_t bytes[262144];
	size_t n;

	test_rand_init();
	start(2u << 20);
	for (int i = 0; i < 400; i++)
		cr_assert_eq(take(), 0);
	stop();
	n = read_newest(bytes, sizeof(bytes));
	for (int round = 0; round < 200; round++) {
		size_t at = RECFILE_HEADER + test_rand_below(n - RECFILE_HEADER);
		struct seen s;

		bytes[at] ^= 0x10;
		write_newest(bytes, n);
		bytes[at] ^= 0x10;
		open_ring(2u << 20);
		s = read_from(0, 0, NULL);
		/* Schemas stand at the start alone: without them the file says nothing. */
		cr_assert(s.n >= 400 - 1 - STREAM_KEY_EVERY || at < SCHEMA_END, "byte %zu", at);
		cr_assert_leq(s.last, 400);
		ring_close(ring);
		ring = NULL;
	}
}

/* --- damage to what a file begins with, with history at the other end --------------------------- */

/* Flips a bit in the payload of the first record of a type in the ring's first file. */
static void damage_first(uint8_t type)
{
	static uint8_t bytes[262144];
	struct recscan scan = {.data = bytes, .pos = RECFILE_HEADER};
	struct record rec;
	FILE *f;

	snprintf(newest_name, sizeof(newest_name), "%s/ring-00000001.rec", dir);
	f = fopen(newest_name, "r");
	cr_assert_not_null(f);
	scan.len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	scan.salt = recfile_salt(bytes, scan.len);
	do
		cr_assert_eq(recscan_next(&scan, &rec), 1);
	while (rec.type != type);
	bytes[rec.offset + RECORD_HEADER + 3] ^= 4;
	write_newest(bytes, scan.len);
}

/* All that the ring has goes to a new history. Returns the snapshots that had their group. */
static uint64_t deliver(uint64_t *ret_seq, uint64_t *ret_lost)
{
	const uint8_t id[32] = {1};
	struct ring_cursor c;
	struct buf out = BUF_INIT;
	struct errmsg e = {""};
	uint64_t whole = 0, incarnation;
	char path[80], cmd[128];
	struct store *st;
	uint32_t node;

	snprintf(path, sizeof(path), "%s/history", dir);
	cr_assert_eq(store_open(path, NULL, &st, &e), 0, "%s", e.text);
	cr_assert_eq(store_node(st, id, "n", &node), 0);
	cr_assert_eq(ring_seek(ring, 0, 0, &c), 0);
	for (buf_reset(&out); ring_read(ring, &c, 10000, &out) > 0; buf_reset(&out)) {
		struct recscan scan = {.data = out.data, .len = out.len};
		struct snapshot_view view;
		struct record rec;

		while (recscan_next(&scan, &rec) == 1) {
			int result = store_append(st, node, &rec, &view);

			cr_assert_geq(result, 0, "refused: the provider would never get on");
			whole += result == STREAM_SNAPSHOT && view.ngroups == 1;
		}
	}
	store_last(st, node, &incarnation, ret_seq);
	cr_assert_eq(incarnation, inc.id);
	cr_assert_eq(store_close(st), 0);
	*ret_lost = c.lost;
	buf_release(&out);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", path);
	cr_assert_eq(system(cmd), 0);
	return whole;
}

static void fill_three_files(void)
{
	struct ring_stats st;

	start(RING_LIMIT_MIN);
	do {
		cr_assert_eq(take(), 0);
		ring_stats(ring, &st);
	} while (st.files < 3);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(take(), 0);
}

Test(ring, a_damaged_schema_costs_its_file)
{
	uint64_t seq, lost, all, whole, first_file;

	fill_three_files();
	all = group.values[0];
	first_file = ring->files[1].base_seq;
	cr_assert_eq(deliver(&seq, &lost), all);
	damage_first(RECORD_SCHEMA);
	whole = deliver(&seq, &lost);
	cr_expect_eq(seq, all);
	cr_expect_eq(whole, all - first_file);
}

Test(ring, a_damaged_incarnation_costs_its_file)
{
	uint64_t seq, lost, all, first_file;

	fill_three_files();
	all = group.values[0];
	first_file = ring->files[1].base_seq;
	damage_first(RECORD_INCARNATION);
	cr_expect_eq(deliver(&seq, &lost), all - first_file);
	cr_expect_eq(seq, all);
	cr_expect_eq(lost, first_file, "and it is counted");
}

Test(ring, damaged_header)
{
	static uint8_t bytes[65536];
	struct seen s;
	size_t n;

	start(1u << 20);
	cr_assert_eq(take(), 0);
	stop();
	start(1u << 20);
	cr_assert_eq(take(), 0);
	stop();
	n = read_newest(bytes, sizeof(bytes));
	bytes[3] ^= 1;
	write_newest(bytes, n);
	start(1u << 20);
	cr_assert_eq(take(), 0);
	s = read_from(0, 0, NULL);
	cr_expect_eq(s.n, 2);
	cr_expect_eq(access(newest_name, F_OK), -1);
}

/* The disk is full for a while: the ring says so, keeps what it has, and goes on when there is room. */
Test(ring, full_disk)
{
	struct rlimit small = {.rlim_max = RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
	struct ring_stats st;
	struct stat file;
	struct seen s;
	uint64_t first = 0;
	static uint8_t bytes[65536];

	signal(SIGXFSZ, SIG_IGN);
	start(1u << 20);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(take(), 0);
	read_newest(bytes, sizeof(bytes));
	cr_assert_eq(stat(newest_name, &file), 0);
	small.rlim_cur = (rlim_t)file.st_size + 10; /* the next record fits in part */
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	cr_expect_lt(take(), 0);
	cr_assert_eq(stat(newest_name, &file), 0);
	cr_expect_eq(file.st_size + 10, (off_t)small.rlim_cur, "what was half written is cut off");
	small.rlim_cur = 20;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 5; i++)
		cr_expect_lt(take(), 0);
	ring_stats(ring, &st);
	cr_expect_eq(st.append_errors, 6);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(take(), 0);
	s = read_from(0, 0, &first);
	cr_expect_eq(s.n, 40);
	cr_expect_eq(s.last, 41);
	cr_expect_eq(s.bad, 0);
	cr_expect_eq(s.gaps, 1);
	s = read_from(inc.id, 20, &first);
	cr_expect_eq(s.n, 20);
	cr_expect_eq(first, 1, "the one snapshot that was not written is counted as lost");
}

Test(ring, many_small_files)
{
	struct ring_stats st;

	for (unsigned k = 0; k < RING_FILES_MAX + 30; k++) {
		start(64u << 20);
		cr_assert_eq(take(), 0);
		ring_stats(ring, &st);
		cr_assert_leq(st.files, RING_FILES_MAX);
		stop();
	}
	start(64u << 20);
	cr_expect_eq(read_from(0, 0, NULL).n, RING_FILES_MAX);
}
