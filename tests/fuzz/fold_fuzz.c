/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fold_fuzz DIR: damaged and invented journals of folds (user/provider/fold.c) against their replay,
 * built with the address and undefined behaviour sanitizers. Runs for TALLY_FUZZ_SECONDS (15).
 *
 *	journal   made by fold_write(), restarts and compactions; after each record the test knows what
 *	          all totals are (the states)
 *	damaged   cut, overwritten or lengthened from byte k on: the totals are those of the last state
 *	          that ends at or before k, no more and no less, and a reset is marked unless the end is
 *	          merely torn
 *	invented  payloads changed and their checksums made right, whole records left out or twice:
 *	          nothing crashes
 *
 * In all cases the journal opens, a look (read_only) sees the same and changes nothing, and what is
 * folded after the damage is there after the next restart.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "include/tally/segment.h"
#include "tests/fuzz/fuzzlib.h"
#include "tests/lib/testrand.h"
#include "user/lib/buf.h"
#include "user/provider/fold.h"

#define HEADER         44u
#define RECORD         12u
#define PROGRAMS       4u
#define METRICS        4u
#define SEGMENTS       12u
#define STATES_MAX     512u
#define KIND_TOTAL     7 /* a record's first byte: it gives totals of the next program */
#define OPEN_CPU_NS    NSEC_PER_SEC
#define OPEN_BYTES_MAX (64u << 20)

static const struct {
	const char *name;
	uid_t uid;
} program_list[PROGRAMS] = {{"web", 0}, {"web", 1000}, {"db \"main\"", 1000}, {"\xc3\xbc", 65534}};
#define METRIC(n, l, u, h, t, s)                                                                \
	{                                                                                       \
		.name = n, .labels = l, .unit = u, .help = h, .type = t, .scale = s, .cells = 1 \
	}
static const struct program_metric metric_list[METRICS] = {
	METRIC("requests", "", "", "Requests", TALLY_TYPE_COUNTER, 0),
	METRIC("requests", "kind=\"\xc3\xa4\"", "", "", TALLY_TYPE_COUNTER, 0),
	METRIC("wait_seconds", "", "seconds", "\xc3\xa4", TALLY_TYPE_COUNTER, -9),
	METRIC("sent_bytes", "", "bytes", "", TALLY_TYPE_COUNTER, 0),
};

struct totals {
	uint64_t v[PROGRAMS][METRICS];
};

/* After the record that ends at byte `end` of the journal. */
struct state {
	size_t end;
	struct totals totals;
};

struct journal {
	struct buf bytes;
	struct state states[STATES_MAX];
	size_t nstates;
	uint64_t start_ns;
	/* the model */
	struct totals totals;
	uint64_t base[SEGMENTS][METRICS]; /* a segment's program is its number modulo PROGRAMS */
	unsigned order[PROGRAMS], nprograms; /* by their first fold */
};

static char dir[512];
static int dirfd_;
static const uint8_t boot_id[16] = {1, 2, 3};
static struct {
	uint64_t damaged, invented, journals, open_max_ns, memory_max;
} done;

/* --- a provider's end of it ------------------------------------------------------------------------ */

struct opened {
	struct programs programs;
	struct fold *fold;
};

static void open_fold(struct opened *o, bool read_only)
{
	size_t before = __sanitizer_get_current_allocated_bytes();
	uint64_t start = fuzz_cpu_ns(), used;
	struct errmsg e = {""};

	*o = (struct opened){{0}};
	CHECK(fold_open(dir, boot_id, read_only, &o->programs, &o->fold, &e) == 0, "%s", e.text);
	start = fuzz_cpu_ns() - start;
	used = __sanitizer_get_current_allocated_bytes() - before;
	fuzz_keep_max(&done.open_max_ns, start);
	fuzz_keep_max(&done.memory_max, used);
	CHECK(start <= OPEN_CPU_NS, "%.1f ms", fuzz_ms(start));
	CHECK(used <= OPEN_BYTES_MAX, "%" PRIu64 " bytes", used);
	CHECK(o->programs.n <= 2 * PROGRAMS_MAX, "%zu programs", o->programs.n);
}

static void close_fold(struct opened *o)
{
	fold_close(o->fold);
	programs_release(&o->programs);
}

static const struct program *find_program(const struct opened *o, unsigned p)
{
	for (size_t i = 0; i < o->programs.n; i++)
		if (!strcmp(o->programs.list[i]->name, program_list[p].name) &&
			o->programs.list[i]->user->uid == program_list[p].uid)
			return o->programs.list[i];
	return NULL;
}

static void get_totals(const struct opened *o, struct totals *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned p = 0; p < PROGRAMS; p++) {
		const struct program *program = find_program(o, p);

		for (size_t i = 0; program && program->folded && i < program->nmetrics; i++)
			for (unsigned m = 0; m < METRICS; m++)
				if (!strcmp(program_metric(program, i).name, metric_list[m].name) &&
					!strcmp(program_metric(program, i).labels,
						metric_list[m].labels))
					t->v[p][m] += program->folded[program->metrics[i].first];
	}
}

static int by_series(const void *a, const void *b)
{
	const struct fold_value *x = a, *y = b;

	return (x->series > y->series) - (x->series < y->series);
}

/* Folds a segment with these values. */
static void write_fold(struct opened *o, unsigned segment, const uint64_t values[METRICS])
{
	const struct fold_id id = {1, 100 + segment, 7, {(uint8_t)segment}};
	unsigned p = segment % PROGRAMS;
	struct fold_value v[METRICS];
	struct program *program;

	CHECK(programs_find(
		      &o->programs, program_list[p].name, program_list[p].uid, "", &program) == 0,
		"program %u", p);
	for (unsigned m = 0; m < METRICS; m++) {
		v[m].value = values[m];
		if (program_find_metric(&o->programs, program, &metric_list[m], &v[m].series) != 0)
			return; /* an invented journal has the metric with another type */
	}
	qsort(v, METRICS, sizeof(v[0]), by_series);
	CHECK(fold_write(o->fold, &id, program, v, METRICS) == 0 && fold_sync(o->fold) == 0,
		"segment %u", segment);
}

/* --- making a journal ------------------------------------------------------------------------------- */

static void empty_dir(void)
{
	static const char *const names[] = {
		FOLD_JOURNAL_NAME, FOLD_JOURNAL_NAME ".tmp", FOLD_JOURNAL_NAME ".damaged"};

	for (size_t i = 0; i < 3; i++)
		unlinkat(dirfd_, names[i], 0);
}

static void read_journal(struct buf *out)
{
	buf_reset(out);
	CHECK(read_file_at(dirfd_, FOLD_JOURNAL_NAME, 256u << 20, out) == 0, "journal");
}

static void write_journal(const struct buf *bytes)
{
	int fd = openat(dirfd_, FOLD_JOURNAL_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, bytes->data, bytes->len) == (ssize_t)bytes->len, "%s",
		strerror(errno));
	close(fd);
}

static void add_state(struct journal *j, size_t end, const struct totals *t)
{
	CHECK(j->nstates < STATES_MAX, "states");
	j->states[j->nstates++] = (struct state){end, *t};
}

/* Offset behind the record at `at`, by its own length; 0 if there is none. */
static size_t next_record(const struct buf *b, size_t at)
{
	uint32_t len;

	if (at + RECORD > b->len)
		return 0;
	memcpy(&len, b->data + at, 4);
	return at + RECORD + len <= b->len ? at + RECORD + len : 0;
}

static void fold_one(struct journal *j, struct opened *o)
{
	unsigned segment = (unsigned)test_rand_below(SEGMENTS), p = segment % PROGRAMS, i = 0;
	struct stat st;

	while (i < j->nprograms && j->order[i] != p)
		i++;
	if (i == j->nprograms)
		j->order[j->nprograms++] = p;
	for (unsigned m = 0; m < METRICS; m++) {
		uint64_t more = test_rand_below(3) ? test_rand() >> test_rand_below(64) : 0;

		j->base[segment][m] += more;
		j->totals.v[p][m] += more;
	}
	write_fold(o, segment, j->base[segment]);
	CHECK(fstatat(dirfd_, FOLD_JOURNAL_NAME, &st, 0) == 0, "journal");
	add_state(j, (size_t)st.st_size, &j->totals);
}

/* A restart that rewrites the journal: a total for each program, then what is known of segments. */
static void compact(struct journal *j, struct opened *o)
{
	int fd = openat(dirfd_, FOLD_JOURNAL_NAME, O_WRONLY | O_APPEND | O_CLOEXEC);
	struct totals t = {0};
	struct buf bytes = BUF_INIT;
	size_t at = HEADER, next;

	close_fold(o);
	CHECK(fd >= 0 && write(fd, "\xff\0", 2) == 2, "tear");
	close(fd);
	open_fold(o, false);
	read_journal(&bytes);
	j->nstates = 0;
	add_state(j, HEADER, &t);
	for (unsigned i = 0; (next = next_record(&bytes, at)); at = next) {
		bool total = bytes.data[at + RECORD] == KIND_TOTAL && i < j->nprograms;

		if (total) {
			memcpy(t.v[j->order[i]], j->totals.v[j->order[i]], sizeof(t.v[0]));
			i++;
		}
		add_state(j, next, &t);
	}
	buf_release(&bytes);
	get_totals(o, &t);
	CHECK(!memcmp(&t, &j->totals, sizeof(t)), "a compaction changed a total");
}

static void make_journal(struct journal *j)
{
	uint64_t folds = test_rand_below(60);
	struct opened o;

	*j = (struct journal){.bytes = BUF_INIT};
	empty_dir();
	open_fold(&o, false);
	j->start_ns = o.programs.start_ns;
	add_state(j, HEADER, &j->totals);
	for (uint64_t i = 0; i < folds; i++) {
		fold_one(j, &o);
		if (test_rand_below(40) == 0)
			compact(j, &o);
	}
	close_fold(&o);
	read_journal(&j->bytes);
	CHECK(j->states[j->nstates - 1].end == j->bytes.len, "states and journal differ");
	done.journals++;
}

/* Rewrites the checksums of the header and of all records, as far as their lengths lead. */
static void make_valid(struct buf *b)
{
	uint32_t head[3], crc;
	size_t at = HEADER, next;

	if (b->len < HEADER)
		return;
	crc = (uint32_t)crc32(0, b->data, HEADER - 4);
	memcpy(b->data + HEADER - 4, &crc, 4);
	for (; (next = next_record(b, at)); at = next) {
		memcpy(head, b->data + at, RECORD);
		head[1] = (uint32_t)crc32(0, b->data + at + RECORD, head[0]);
		head[2] = (uint32_t)crc32(0, (const Bytef *)head, 8);
		memcpy(b->data + at, head, RECORD);
	}
}

/* A fold as version 1 wrote it: every metric in full. It had no labels. */
static void put_old_fold(struct journal *j, unsigned segment)
{
	unsigned p = segment % PROGRAMS, n = 0;
	struct buf *b = &j->bytes;
	size_t start = b->len;
	const uint32_t head[3] = {0};

	buf_put(b, head, RECORD);
	buf_put_u8(b, 1); /* FOLD */
	buf_put_u64(b, 1);
	buf_put_u64(b, 100 + segment);
	buf_put_u64(b, 7);
	buf_put(b, (uint8_t[16]){(uint8_t)segment}, 16);
	buf_put_str(b, program_list[p].name);
	buf_put_varint(b, program_list[p].uid);
	for (unsigned m = 0; m < METRICS; m++)
		n += !*metric_list[m].labels;
	buf_put_varint(b, n);
	for (unsigned m = 0; m < METRICS; m++) {
		uint64_t more = test_rand() >> test_rand_below(64);

		if (*metric_list[m].labels)
			continue;
		j->base[segment][m] += more;
		j->totals.v[p][m] += more;
		buf_put_str(b, metric_list[m].name);
		buf_put_str(b, metric_list[m].unit);
		buf_put_str(b, metric_list[m].help);
		buf_put_u8(b, 1); /* counter */
		buf_put_u8(b, (uint8_t)metric_list[m].scale);
		buf_put_varint(b, j->base[segment][m]);
	}
	n = (unsigned)(b->len - start - RECORD);
	memcpy(b->data + start, &n, sizeof(n)); /* the checksums come after */
}

/* A journal of version 1, by its description in fold.c; it is read, and begins anew as version 2. */
static void make_old_journal(struct journal *j)
{
	uint64_t folds = test_rand_below(30);

	*j = (struct journal){.bytes = BUF_INIT, .start_ns = 1};
	buf_put(&j->bytes, "TALLYFLD", 8);
	buf_put_u32(&j->bytes, 1);
	buf_put_u32(&j->bytes, 0);
	buf_put(&j->bytes, boot_id, sizeof(boot_id));
	buf_put_u64(&j->bytes, j->start_ns);
	buf_put_u32(&j->bytes, 0);
	add_state(j, HEADER, &j->totals);
	for (uint64_t i = 0; i < folds; i++) {
		put_old_fold(j, (unsigned)test_rand_below(SEGMENTS));
		add_state(j, j->bytes.len, &j->totals);
	}
	make_valid(&j->bytes);
	done.journals++;
}

/* --- damage ------------------------------------------------------------------------------------------ */

static void copy_bytes(struct buf *to, const struct buf *from)
{
	buf_reset(to);
	buf_put(to, from->data, from->len);
}

/* Damages a copy. The first byte that differs; *ret_torn: only its end is missing. */
static size_t damage(const struct journal *j, struct buf *b, bool *ret_torn)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	size_t at, k;

	copy_bytes(b, &j->bytes);
	*ret_torn = false;
	switch (test_rand_below(4)) {
	case 0:
		b->len = test_rand_below(b->len + 1);
		*ret_torn = b->len >= HEADER;
		return b->len;
	case 1: /* rubbish behind */
		for (uint64_t n = 1 + test_rand_below(40); n-- > 0;)
			buf_put_u8(b, (uint8_t)test_rand());
		break;
	case 2: /* bits */
		b->data[test_rand_below(b->len)] ^= (uint8_t)(1u << test_rand_below(8));
		break;
	default: /* a run of one value, or of rubbish; often in a record's head */
		at = test_rand_below(b->len);
		if (test_rand_below(2)) {
			at = j->states[test_rand_below(j->nstates)].end + test_rand_below(RECORD);
			at = at < b->len ? at : b->len - 1;
		}
		for (uint64_t n = 1 + test_rand_below(24); n-- > 0 && at < b->len; at++)
			b->data[at] = test_rand_below(2) ? values[test_rand_below(5)]
							 : (uint8_t)test_rand();
	}
	for (k = 0; k < j->bytes.len && j->bytes.data[k] == b->data[k];)
		k++;
	return k;
}

static const struct totals *totals_before(const struct journal *j, size_t k)
{
	static const struct totals none;
	const struct totals *t = &none;

	for (size_t i = 0; i < j->nstates && j->states[i].end <= k; i++)
		t = &j->states[i].totals;
	return t;
}

/* What an attacker could write who knows the format. */
static void invent(const struct journal *j, struct buf *b)
{
	bool torn;

	if (test_rand_below(3))
		copy_bytes(b, &j->bytes);
	else
		damage(j, b, &torn);
	for (uint64_t n = test_rand_below(4); n-- > 0 && b->len > HEADER;) {
		size_t from = j->states[test_rand_below(j->nstates)].end,
		       to = j->states[test_rand_below(j->nstates)].end, len = b->len;

		if (test_rand_below(2)) { /* a byte of a payload: a kind, a length, a type */
			size_t at = from + RECORD + test_rand_below(48);

			if (at < len)
				b->data[at] = (uint8_t)(test_rand() >> test_rand_below(8));
		} else if (to > from && to <= len) { /* records that are gone */
			memmove(b->data + from, b->data + to, len - to);
			b->len -= to - from;
		} else if (from > to && from <= len) { /* records that come twice */
			struct buf twice = BUF_INIT;

			buf_put(&twice, b->data + to, from - to);
			buf_put(b, twice.data, twice.len);
			buf_release(&twice);
		}
	}
	make_valid(b);
}

/* --- trying one --------------------------------------------------------------------------------------- */

/* A look at it: the totals, and the file is as it was. */
static void look(const struct buf *b, struct totals *ret)
{
	struct buf after = BUF_INIT;
	struct opened o;

	open_fold(&o, true);
	get_totals(&o, ret);
	close_fold(&o);
	read_journal(&after);
	CHECK(after.len == b->len && !memcmp(after.data, b->data, b->len), "a look changed it");
	buf_release(&after);
}

/* wanted: NULL if the journal was invented. torn: its start must stay, else it must be a new one. */
static void try_journal(
	const struct journal *j, const struct buf *b, const struct totals *wanted, bool torn)
{
	uint64_t values[METRICS], start_ns;
	struct totals seen, opened, after;
	unsigned segment = SEGMENTS + 4 * (unsigned)test_rand_below(1000); /* program 0 */
	struct opened o;

	empty_dir();
	write_journal(b);
	look(b, &seen);
	open_fold(&o, false);
	get_totals(&o, &opened);
	start_ns = o.programs.start_ns;
	CHECK(!memcmp(&seen, &opened, sizeof(seen)), "a look saw other totals");
	if (wanted) {
		CHECK(!memcmp(wanted, &opened, sizeof(opened)), "not the totals of its good part");
		CHECK(torn ? start_ns == j->start_ns : start_ns > j->start_ns, "reset");
	}
	for (unsigned m = 0; m < METRICS; m++)
		values[m] = test_rand_below(1000);
	write_fold(&o, segment, values);
	get_totals(&o, &opened);
	close_fold(&o);
	open_fold(&o, false);
	get_totals(&o, &after);
	for (unsigned p = 0; p < PROGRAMS; p++)
		for (unsigned m = 0; m < METRICS; m++)
			CHECK(opened.v[p][m] == after.v[p][m],
				"a restart changed program %u, metric %u from %" PRIu64
				" to %" PRIu64 "; the journal was %s",
				p, m, opened.v[p][m], after.v[p][m],
				wanted ? "damaged" : "invented");
	CHECK(o.programs.start_ns == start_ns, "a restart marked a reset");
	close_fold(&o);
	fuzz_executions++;
}

static void try_some(unsigned n)
{
	struct journal *j = malloc(sizeof(*j));
	struct buf b = BUF_INIT;

	CHECK(j != NULL, "no memory");
	if (test_rand_below(4) == 0)
		make_old_journal(j);
	else
		make_journal(j);
	for (unsigned i = 0; i < n; i++) {
		const struct totals *wanted = NULL;
		bool torn = false;

		if (test_rand_below(3) == 0) {
			invent(j, &b);
			done.invented++;
		} else {
			size_t k = damage(j, &b, &torn);

			/* what was overwritten was the same, or less than a record's head follows */
			if (k == j->bytes.len && b.len < k + RECORD)
				torn = true;
			wanted = totals_before(j, k);
			done.damaged++;
		}
		try_journal(j, &b, wanted, torn);
	}
	buf_release(&b);
	buf_release(&j->bytes);
	free(j);
}

static void report(void)
{
	printf("%" PRIu64 " journals of folds, %" PRIu64 " times damaged, %" PRIu64
	       " times invented\n",
		done.journals, done.damaged, done.invented);
	printf("worst, with sanitizers: opening one %.1f ms of CPU time, %" PRIu64 " KiB\n",
		fuzz_ms(done.open_max_ns), done.memory_max >> 10);
}

int main(int argc, char **argv)
{
	uint64_t end_ns = fuzz_end_ns(15);
	size_t before;

	if (argc != 2 || strlen(argv[1]) >= sizeof(dir))
		return 2;
	strcpy(dir, argv[1]);
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dirfd_ >= 0, "%s: %s", dir, strerror(errno));
	test_rand_init();
	diag_init("fold_fuzz", getenv("TALLY_FUZZ_LOG") ? DIAG_WARNING : 0);
	try_some(10); /* what is allocated once */
	before = __sanitizer_get_current_allocated_bytes();
	while (clock_monotonic_ns() < end_ns) {
		try_some(40);
		CHECK(__sanitizer_get_current_allocated_bytes() <= before + 65536,
			"memory is not given back");
	}
	report();
	close(dirfd_);
	return 0;
}
