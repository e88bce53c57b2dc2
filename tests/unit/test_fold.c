/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal of folds against a model that is an array: random folds, repeats, restarts and rewrites;
 * the journal cut at every byte, damaged, and on a full disk.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "include/tally/segment.h"
#include "tests/lib/testrand.h"
#include "user/provider/fold.h"

static char dir[64], journal[128];
static struct programs programs;
static struct fold *fold;
static uint8_t boot[16] = {7};

static void open_fold(void)
{
	struct errmsg e = {""};

	programs = (struct programs){0};
	cr_assert_eq(fold_open(dir, boot, false, &programs, &fold, &e), 0, "%s", e.text);
}

static void close_fold(void)
{
	fold_close(fold);
	programs_release(&programs);
	fold = NULL;
}

static void setup(void)
{
	strcpy(dir, "/tmp/tally-fold-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(journal, sizeof(journal), "%s/%s", dir, FOLD_JOURNAL_NAME);
	open_fold();
}

static void teardown(void)
{
	char cmd[128];

	close_fold();
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

TestSuite(fold, .init = setup, .fini = teardown);

static struct program *program(const char *name)
{
	struct program *p;

	cr_assert_eq(programs_find(&programs, name, 4242, "", &p), 0);
	return p;
}

static uint32_t metric(struct program *p, unsigned i)
{
	char name[32];
	const struct program_metric m = {
		.name = name,
		.labels = "",
		.unit = "",
		.help = "help",
		.type = TALLY_TYPE_COUNTER,
		.cells = 1,
	};
	uint32_t index;

	snprintf(name, sizeof(name), "metric_%u", i);
	cr_assert_eq(program_find_metric(&programs, p, &m, &index), 0);
	return index;
}

static struct fold_id id_of(uint64_t segment)
{
	return (struct fold_id){.dev = 1, .ino = segment % 10, .btime_ns = segment, .id = {1}};
}

/* Folds one value of metric 0 of program "p". */
static int fold_one(uint64_t segment, uint64_t value)
{
	struct program *p = program("p");
	struct fold_value v = {metric(p, 0), value};
	struct fold_id id = id_of(segment);

	return fold_write(fold, &id, p, &v, 1);
}

static uint64_t total(void)
{
	struct program *p = program("p");
	uint32_t index = metric(p, 0); /* may move the array */

	return p->folded ? p->folded[index] : 0;
}

static size_t read_journal(uint8_t *out, size_t size)
{
	FILE *f = fopen(journal, "r");
	size_t n = fread(out, 1, size, f);

	fclose(f);
	return n;
}

static void write_journal(const uint8_t *bytes, size_t n)
{
	FILE *f = fopen(journal, "w");

	cr_assert_eq(fwrite(bytes, 1, n, f), n);
	cr_assert_eq(fclose(f), 0);
}

Test(fold, a_segment_counts_with_its_last_values)
{
	cr_assert_eq(fold_one(1, 10), 0);
	cr_assert_eq(fold_one(2, 5), 0);
	cr_expect_eq(total(), 15);
	cr_assert_eq(fold_one(1, 10), 0);
	cr_expect_eq(total(), 15, "the same again changes nothing");
	cr_assert_eq(fold_one(1, 13), 0);
	cr_expect_eq(total(), 18, "more of the same segment counts with what is new");
	close_fold();
	open_fold();
	cr_expect_eq(total(), 18);
	cr_assert_eq(fold_one(1, 13), 0);
	cr_expect_eq(total(), 18, "also after a restart");
}

static int compare_values(const void *a, const void *b)
{
	const struct fold_value *x = a, *y = b;

	return (x->series > y->series) - (x->series < y->series);
}

/* Random folds of segments that come, die, and come again, with restarts and rewrites in between. */
Test(fold, model)
{
	enum { PROGRAMS = 7, METRICS = 9, SEGMENTS = 60 };
	static uint64_t model[PROGRAMS][METRICS], last[SEGMENTS][METRICS];
	uint64_t generation[SEGMENTS] = {0};

	test_rand_init();
	for (int step = 0; step < 6000; step++) {
		unsigned s = (unsigned)test_rand_below(SEGMENTS);
		struct fold_value v[METRICS];
		struct fold_id id = id_of(s + SEGMENTS * generation[s]);
		struct program *p;
		char name[16];
		size_t n = 0;

		snprintf(name, sizeof(name), "p%u", s % PROGRAMS);
		p = program(name);
		if (!test_rand_below(8)) {
			fold_forget(fold,
				&id); /* its file is gone; the next one has an id of its own */
			generation[s]++;
			memset(last[s], 0, sizeof(last[s]));
			continue;
		}
		for (unsigned m = 0; m < METRICS; m++) {
			uint64_t more = test_rand_below(3) ? test_rand_below(1000) : test_rand();

			/* A segment always has the same metrics: those that its number says. */
			if ((s >> m % 6 & 1) || m == s % METRICS) {
				last[s][m] += more;
				model[s % PROGRAMS][m] += more;
				v[n++] = (struct fold_value){metric(p, m), last[s][m]};
			}
		}
		qsort(v, n, sizeof(*v), compare_values);
		cr_assert_eq(fold_write(fold, &id, p, v, n), 0);
		if (!test_rand_below(20))
			cr_assert_eq(fold_sync(fold), 0);
		if (!test_rand_below(40)) {
			close_fold();
			open_fold();
		}
		cr_assert_eq(fold_compact(fold), 0);
	}
	close_fold();
	open_fold();
	for (unsigned i = 0; i < PROGRAMS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		for (unsigned m = 0; m < METRICS; m++) {
			struct program *p = program(name);
			uint32_t index = metric(p, m);

			cr_assert_eq(p->folded[index], model[i][m], "p%u metric %u", i, m);
		}
	}
}

Test(fold, the_journal_stays_small)
{
	struct stat st;

	for (uint64_t i = 0; i < 50000; i++) {
		struct fold_id id = id_of(i);

		cr_assert_eq(fold_one(i, 1), 0);
		cr_assert_eq(fold_compact(fold), 0);
		fold_forget(fold, &id);
	}
	cr_expect_eq(total(), 50000);
	cr_assert_eq(stat(journal, &st), 0);
	cr_expect_lt(st.st_size, 512 << 10);
	close_fold();
	open_fold();
	cr_expect_eq(total(), 50000);
}

/* A tail that was not finished was not folded: it goes, and the totals and their start stay. */
Test(fold, cut_at_every_byte)
{
	uint64_t start = programs.start_ns, before = 0;
	uint8_t bytes[4096];
	size_t n;

	for (uint64_t i = 1; i <= 8; i++)
		cr_assert_eq(fold_one(i, i), 0);
	n = read_journal(bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= n; cut++) {
		close_fold();
		write_journal(bytes, cut);
		open_fold();
		cr_assert_geq(total(), before, "cut at %zu", cut);
		before = total();
		if (cut < 44)
			cr_assert_gt(programs.start_ns, start, "cut at %zu", cut);
		else
			cr_assert_eq(programs.start_ns, start, "cut at %zu", cut);
		cr_assert_eq(fold_one(100, 1), 0, "it goes on behind the cut");
		close_fold();
		open_fold();
		cr_assert_eq(total(), before + 1, "cut at %zu", cut);
	}
	cr_expect_eq(before, 36);
}

/* Damage inside may have taken folds away: that is a new start, never a silently smaller counter. */
Test(fold, damage_is_a_reset)
{
	uint64_t start = programs.start_ns;
	uint8_t bytes[4096];
	size_t n;

	for (uint64_t i = 1; i <= 8; i++)
		cr_assert_eq(fold_one(i, i), 0);
	n = read_journal(bytes, sizeof(bytes));
	for (size_t at = 0; at < n; at++) {
		bytes[at] ^= 0x40;
		close_fold();
		write_journal(bytes, n);
		bytes[at] ^= 0x40;
		open_fold();
		cr_assert_leq(total(), 36, "byte %zu", at);
		cr_assert(programs.start_ns > start, "byte %zu", at);
	}
}

Test(fold, another_boot)
{
	cr_assert_eq(fold_one(1, 10), 0);
	close_fold();
	boot[0]++;
	open_fold();
	cr_expect_eq(programs.n, 0);
	cr_assert_eq(fold_one(1, 3), 0);
	close_fold();
	open_fold();
	cr_expect_eq(total(), 3);
}

Test(fold, full_disk)
{
	struct rlimit small = {.rlim_max = RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(fold_one(1, 10), 0);
	cr_assert_eq(stat(journal, &st), 0);
	small.rlim_cur = (rlim_t)st.st_size + 9;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	cr_expect_lt(fold_one(2, 5), 0);
	cr_expect_eq(total(), 10, "what is not written is not folded");
	cr_expect_lt(fold_one(2, 5), 0);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	cr_assert_eq(fold_one(2, 5), 0);
	cr_expect_eq(total(), 15);
	close_fold();
	open_fold();
	cr_expect_eq(total(), 15);
}

/* Histograms, labels, infos and doubles keep their places; gauges of the dead are nothing. */
Test(fold, metrics_of_all_kinds)
{
	const struct program_metric metrics[] = {
		{"lat", "", "seconds", "Time", TALLY_TYPE_HISTOGRAM, -9, 0, 10, 12, 2, 11},
		{"req", "method=\"get\"", "", "", TALLY_TYPE_COUNTER, 0, 0, 0, 0, 0, 1},
		{"req", "method=\"p\\\"t\"", "", "", TALLY_TYPE_COUNTER, 0, 0, 0, 0, 0, 1},
		{"about", "v=\"1\"", "", "", TALLY_TYPE_INFO, 0, 0, 0, 0, 0, 0},
		{"temp", "", "", "", TALLY_TYPE_GAUGE_DOUBLE, 0, TALLY_FLAG_PEAK, 0, 0, 0, 1},
	};
	struct fold_id id = id_of(1);
	uint32_t first[5];

	for (int round = 0; round < 3; round++) {
		struct program *p = program("p");
		struct fold_value v[3];

		for (int i = 0; i < 5; i++) {
			uint32_t at;

			cr_assert_eq(program_find_metric(&programs, p, &metrics[i], &at), 0);
			cr_assert(round == 0 || at == first[i]);
			first[i] = at;
		}
		if (round == 0) {
			v[0] = (struct fold_value){first[0] + 3, 30};
			v[1] = (struct fold_value){first[1], 7};
			v[2] = (struct fold_value){first[2], UINT64_MAX};
			cr_assert_eq(fold_write(fold, &id, p, v, 3), 0);
		}
		cr_expect_eq(p->folded[first[0] + 3], 30);
		cr_expect_eq(p->folded[first[0] + 4], 0);
		cr_expect_eq(p->folded[first[1]], 7);
		cr_expect_eq(p->folded[first[2]], UINT64_MAX);
		cr_expect_str_eq(p->group.schema.series[first[3]].name, "about_info");
		cr_expect_eq(p->group.schema.series[first[4]].kind, VALUE_F64);
		close_fold();
		open_fold();
	}
}

static void put_old_record(struct buf *out, uint8_t kind, uint64_t segment, uint64_t value)
{
	struct buf payload = BUF_INIT;
	struct fold_id id = id_of(segment);
	uint32_t head[3];

	buf_put_u8(&payload, kind);
	if (kind != 2) {
		buf_put_u64(&payload, id.dev);
		buf_put_u64(&payload, id.ino);
		buf_put_u64(&payload, id.btime_ns);
		buf_put(&payload, id.id, sizeof(id.id));
	}
	buf_put_str(&payload, "p");
	buf_put_varint(&payload, 4242);
	buf_put_varint(&payload, 2);
	for (int i = 0; i < 2; i++) {
		buf_put_str(&payload, i ? "depth" : "metric_0");
		buf_put_str(&payload, "");
		buf_put_str(&payload, "help");
		buf_put_u8(&payload, i ? 2 : 1);
		buf_put_u8(&payload, 0);
		buf_put_varint(&payload, i ? 0 : value);
	}
	head[0] = (uint32_t)payload.len;
	head[1] = (uint32_t)crc32(0, payload.data, (uInt)payload.len);
	head[2] = (uint32_t)crc32(0, (const Bytef *)head, 8);
	buf_put(out, head, sizeof(head));
	buf_put(out, payload.data, payload.len);
	buf_release(&payload);
}

/* A journal that a provider of version 1 has left in this boot. */
Test(fold, version_1)
{
	struct buf text = BUF_INIT;
	uint64_t start = 12345;
	struct fold_id id = id_of(7);
	size_t n;

	buf_put(&text, "TALLYFLD\1\0\0\0\0\0\0\0", 16);
	buf_put(&text, boot, sizeof(boot));
	buf_put_u64(&text, start);
	buf_put_u32(&text, (uint32_t)crc32(0, text.data, 40));
	put_old_record(&text, 2, 0, 100);
	put_old_record(&text, 3, 7, 40);
	put_old_record(&text, 1, 8, 5);
	put_old_record(&text, 1, 7, 43);
	close_fold();
	write_journal(text.data, text.len);
	buf_release(&text);
	for (int twice = 0; twice < 2; twice++) {
		open_fold();
		cr_expect_eq(programs.start_ns, start, "it goes on");
		cr_expect_eq(total(), 100 + 5 + 3);
		cr_assert_not_null(fold_base(fold, &id, &n));
		close_fold();
	}
	open_fold();
	cr_assert_eq(fold_one(7, 50), 0);
	cr_expect_eq(total(), 100 + 5 + 10);
}

static bool keep_even(void *arg, const struct fold_id *id)
{
	return id->btime_ns % 2 == 0;
}

Test(fold, bases_end_with_their_files)
{
	struct fold_id one = id_of(1), two = id_of(2);
	size_t n;

	cr_assert_eq(fold_one(1, 10) | fold_one(2, 20), 0);
	fold_retain(fold, keep_even, NULL);
	cr_expect_null(fold_base(fold, &one, &n));
	cr_assert_not_null(fold_base(fold, &two, &n));
	cr_expect_eq(fold_base(fold, &two, &n)[0].value, 20);
	cr_expect_eq(total(), 30);
}
