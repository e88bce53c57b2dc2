/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile files in the segment directory, each of another user: one by one beside good segments, and
 * all at once. Each is refused or clipped, counted by its reason and logged once; the good ones stay
 * exact, through restart and death; a poll takes at most POLL_CPU_NS of CPU time.
 *
 * A case is a line of the table: what is made, what is done to it before each poll, what must come of it.
 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>

#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "tests/lib/testdir.h"
#include "user/lib/util.h"
#include "user/provider/segments.h"

#define GOOD_UID    1001u
#define HOSTILE_UID 65000u /* of the first case */
#define POLLS       4

/*
 * Of a poll with all that this file makes. The largest part of it is what the limits allow to each
 * user: 64 MiB of rows are read, which may be holes, at about 5 GiB/s.
 */
#define POLL_CPU_NS (50 * NSEC_PER_MSEC)

#define C TALLY_TYPE_COUNTER
#define G TALLY_TYPE_GAUGE
static const struct segmaker_metric two[] = {{"requests", C, 0}, {"depth", G, 0}};

/* What must come of a file. A reason of refusal, or: */
enum outcome {
	LEFT_METRICS = REFUSED_REASONS, /* metrics are left out, the rest is read */
	KEPT_VALUES, /* reads fail, the values before are used */
	READ, /* it is a segment as good as others */
};

struct hostile {
	const char *name; /* of the file too */
	int (*make)(const char *segs, const char *name); /* a descriptor to keep, or -1 */
	void (*step)(int fd, int poll); /* before each poll but the first; NULL: nothing */
	unsigned outcome, count;
};

/* --- making them --------------------------------------------------------------------------------- */

static struct tally_segment get_header(int fd)
{
	struct tally_segment h;

	cr_assert_eq(pread(fd, &h, sizeof(h), 0), (ssize_t)sizeof(h));
	return h;
}

static void put_header(int fd, const struct tally_segment *h)
{
	cr_assert_eq(pwrite(fd, h, sizeof(*h), 0), (ssize_t)sizeof(*h));
}

static off_t desc_at(int fd, uint32_t i)
{
	return (off_t)(get_header(fd).desc_off + i * sizeof(struct tally_segment_desc));
}

static int make_segment(const char *segs, const char *name)
{
	return segmaker_make(segs, name, "evil", two, 2);
}

/* make_NAME(): a segment with a header that was changed. */
#define HEADER_CASE(NAME, change)                                  \
	static int make_##NAME(const char *segs, const char *name) \
	{                                                          \
		int fd = make_segment(segs, name);                 \
		struct tally_segment h = get_header(fd);           \
                                                                   \
		change;                                            \
		put_header(fd, &h);                                \
		return fd;                                         \
	}
HEADER_CASE(magic, h.magic[0] = 't')
HEADER_CASE(version, h.version = 999)
HEADER_CASE(header_size, h.header_size = 8)
HEADER_CASE(desc_outside, h.desc_off = h.strings_off = h.rows_off = UINT32_MAX / 64 * 64)
HEADER_CASE(desc_in_header, h.desc_off = 64)
HEADER_CASE(strings_in_desc, h.strings_off = h.desc_off)
HEADER_CASE(strings_in_rows, h.strings_len += 64)
HEADER_CASE(rows_in_strings, h.rows_off = 64)
HEADER_CASE(rows_outside, h.rows_off = UINT32_MAX / 64 * 64)
HEADER_CASE(ndesc_overflows, h.ndesc = 0x08000001)
HEADER_CASE(ndesc_large, h.ndesc = UINT32_MAX)
HEADER_CASE(strings_large, h.strings_len = UINT32_MAX)
HEADER_CASE(rows_large, h.row_size = 1u << 31; h.rows_max = h.rows = 2)
HEADER_CASE(rows_many, h.rows_max = h.rows = UINT32_MAX)
HEADER_CASE(row_odd, h.row_size = 65)
HEADER_CASE(program_outside, h.program = UINT32_MAX)
HEADER_CASE(no_program, h.program = 0)

HEADER_CASE(rows_beyond, h.rows = UINT32_MAX)

static int make_endless_strings(const char *segs, const char *name)
{
	int fd = make_segment(segs, name);
	struct tally_segment h = get_header(fd);
	char x[4096];

	memset(x, 'x', sizeof(x));
	cr_assert_eq(pwrite(fd, x, h.strings_len, h.strings_off), (ssize_t)h.strings_len);
	return fd;
}

/* A name that goes on over all others to the end of the texts, 300 bytes long. */
static int make_long_name(const char *segs, const char *name)
{
	char text[301];
	const struct segmaker_metric m[] = {{text, C, 0}, {"depth", G, 0}};

	memset(text, 'n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	return segmaker_make(segs, name, "evil", m, 2);
}

/* make_NAME(): a segment whose first descriptor was changed. */
#define DESC_CASE(NAME, change)                                                              \
	static int make_##NAME(const char *segs, const char *name)                           \
	{                                                                                    \
		int fd = make_segment(segs, name);                                           \
		struct tally_segment_desc d;                                                 \
                                                                                             \
		cr_assert_eq(pread(fd, &d, sizeof(d), desc_at(fd, 0)), (ssize_t)sizeof(d));  \
		change;                                                                      \
		cr_assert_eq(pwrite(fd, &d, sizeof(d), desc_at(fd, 0)), (ssize_t)sizeof(d)); \
		return fd;                                                                   \
	}
DESC_CASE(name_outside, d.name = UINT32_MAX)
DESC_CASE(unit_outside, d.unit = UINT32_MAX - 1)
DESC_CASE(cell_outside, d.cell = 64)
DESC_CASE(cell_overflows, d.cell = UINT32_MAX - 7)
DESC_CASE(cell_in_owner, d.cell = 0)
DESC_CASE(cells_overflow, d.cells = UINT32_MAX)
DESC_CASE(type_unknown, d.type = 200)
DESC_CASE(scale_large, d.scale = -128)
DESC_CASE(cells_shared, d.cell = TALLY_ROW_HEADER + 8)

/* Names of the provider's own metrics. */
static int make_imitation(const char *segs, const char *name)
{
	static const struct segmaker_metric m[] = {{"tallyd_polls", C, 0},
		{"tally_exposition_left_out_series", G, 0}, {"tallying", C, 0}};

	return segmaker_make(segs, name, "tallyd", m, 3);
}

/* The program of somebody else. */
static int make_namesake(const char *segs, const char *name)
{
	int fd = segmaker_make(segs, name, "web", two, 2);

	segmaker_set(fd, 0, 0, 1000000);
	return fd;
}

/* A program name that tries to close its label. */
static int make_escape(const char *segs, const char *name)
{
	return segmaker_make(segs, name, "web\",user=\"root\",x=\"", two, 2);
}

static void make_path(char *path, const char *segs, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", segs, name);
}

static int make_fifo(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	cr_assert_eq(mkfifo(path, 0644), 0);
	return -1;
}

static int make_device(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	cr_assert_eq(mknod(path, S_IFCHR | 0644, makedev(1, 5)), 0); /* endless zeros */
	return -1;
}

static int make_socket(const char *segs, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_lt(snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", segs, name),
		(int)sizeof(a.sun_path));
	cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* To the good segment: it must not count twice. */
static int make_symlink(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	cr_assert_eq(symlink("good", path), 0);
	return -1;
}

static int make_loop(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	cr_assert_eq(symlink(name, path), 0);
	return -1;
}

static int make_directory(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	cr_assert_eq(mkdir(path, 0755), 0);
	return -1;
}

static int make_empty(const char *segs, const char *name)
{
	char path[PATH_MAX];

	make_path(path, segs, name);
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
}

/* The largest file that the file system takes. */
static void make_largest(int fd)
{
	off_t low = 0, high = INT64_MAX;

	while (low < high) {
		off_t mid = low + (high - low) / 2 + 1;

		if (ftruncate(fd, mid) == 0)
			low = mid;
		else
			high = mid - 1;
	}
	cr_assert_eq(ftruncate(fd, low), 0);
	cr_expect_geq(low, (off_t)1 << 40);
}

static int make_largest_zeros(const char *segs, const char *name)
{
	int fd = make_empty(segs, name);

	make_largest(fd);
	return fd;
}

static int make_largest_segment(const char *segs, const char *name)
{
	int fd = make_segment(segs, name);

	make_largest(fd);
	return fd;
}

/* 64 MiB of rows that are holes, the most that is read. */
static int make_holes(const char *segs, const char *name)
{
	int fd = make_segment(segs, name);
	struct tally_segment h = get_header(fd);

	h.row_size = 1024;
	h.rows = h.rows_max = 65536;
	put_header(fd, &h);
	cr_assert_eq(ftruncate(fd, (off_t)h.rows_off + (64 << 20)), 0);
	return fd;
}

/*
 * As many metrics as a segment may have, all on one cell, and as many rows: little to read, and four
 * thousand million additions.
 */
static int make_wide(const char *segs, const char *name)
{
	uint32_t n = 65536;
	struct tally_segment_desc *d = calloc(n, sizeof(*d));
	int fd = make_segment(segs, name);
	struct tally_segment h = get_header(fd);
	char strings[] = "\0evil\0m";

	cr_assert_not_null(d);
	for (uint32_t i = 0; i < n; i++)
		d[i] = (struct tally_segment_desc){
			.name = 6, .type = C, .cell = TALLY_ROW_HEADER, .cells = 1};
	h.ndesc = n;
	h.strings_off = h.desc_off + n * (uint32_t)sizeof(*d);
	h.strings_len = sizeof(strings);
	h.program = 1;
	h.tables_off = h.rows_off = segmaker_align(h.strings_off + sizeof(strings));
	h.row_size = 64;
	h.rows = h.rows_max = 65536;
	put_header(fd, &h);
	cr_assert_eq(pwrite(fd, d, n * sizeof(*d), h.desc_off), (ssize_t)(n * sizeof(*d)));
	cr_assert_eq(pwrite(fd, strings, sizeof(strings), h.strings_off), (ssize_t)sizeof(strings));
	cr_assert_eq(ftruncate(fd, h.rows_off + (off_t)h.rows * h.row_size), 0);
	free(d);
	return fd;
}

/* A lease of its owner: whoever opens the file waits, or is told to come again. */
static int make_leased(const char *segs, const char *name)
{
	int fd = make_segment(segs, name);

	cr_assert_eq(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	signal(SIGIO, SIG_IGN);
	return fd;
}

/* --- what they do before a poll ----------------------------------------------------------------- */

static void step_truncate(int fd, int poll)
{
	(void)poll;
	cr_assert_eq(ftruncate(fd, 100), 0);
}

static void step_cut_rows(int fd, int poll)
{
	struct tally_segment h = get_header(fd);

	cr_assert_eq(ftruncate(fd, h.rows_off + h.row_size + poll), 0);
}

/* More rows than the file said it would ever have. */
static void step_too_many_rows(int fd, int poll)
{
	struct tally_segment h = get_header(fd);

	h.rows = h.rows_max + (uint32_t)poll;
	put_header(fd, &h);
}

static void step_grow(int fd, int poll)
{
	cr_assert_eq(ftruncate(fd, (off_t)poll << 30), 0);
}

static void step_punch(int fd, int poll)
{
	struct tally_segment h = get_header(fd);

	(void)poll;
	cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, h.desc_off,
			     h.rows_off - h.desc_off),
		0);
}

static void step_backwards(int fd, int poll)
{
	segmaker_set(fd, 0, 0, 1000 - (uint64_t)poll);
}

/* Everything that was checked at the first poll is another now. */
static void step_rewrite(int fd, int poll)
{
	struct tally_segment h = get_header(fd);
	char junk[2048];

	memset(junk, 0xff, sizeof(junk));
	h.ndesc = h.strings_len = h.desc_off = UINT32_MAX - (uint32_t)poll;
	put_header(fd, &h);
	cr_assert_eq(pwrite(fd, junk, h.rows_off - sizeof(h), sizeof(h)),
		(ssize_t)(h.rows_off - sizeof(h)));
}

static void step_unlease(int fd, int poll)
{
	if (poll == 2)
		fcntl(fd, F_SETLEASE, F_UNLCK);
}

#define FORMAT     REFUSED_FORMAT
#define LARGE      REFUSED_LARGE
#define UNREADABLE REFUSED_UNREADABLE
static const struct hostile cases[] = {
	{"magic", make_magic, NULL, FORMAT, 1},
	{"version", make_version, NULL, FORMAT, 1},
	{"header_size", make_header_size, NULL, FORMAT, 1},
	{"desc_outside", make_desc_outside, NULL, FORMAT, 1},
	{"desc_in_header", make_desc_in_header, NULL, FORMAT, 1},
	{"strings_in_desc", make_strings_in_desc, NULL, FORMAT, 1},
	{"strings_in_rows", make_strings_in_rows, NULL, FORMAT, 1},
	{"rows_in_strings", make_rows_in_strings, NULL, FORMAT, 1},
	{"rows_outside", make_rows_outside, NULL, FORMAT, 1},
	{"row_odd", make_row_odd, NULL, FORMAT, 1},
	{"program_outside", make_program_outside, NULL, FORMAT, 1},
	{"no_program", make_no_program, NULL, FORMAT, 1},
	{"endless_strings", make_endless_strings, NULL, FORMAT, 1},
	{"ndesc_overflows", make_ndesc_overflows, NULL, LARGE, 1},
	{"ndesc_large", make_ndesc_large, NULL, LARGE, 1},
	{"strings_large", make_strings_large, NULL, LARGE, 1},
	{"rows_large", make_rows_large, NULL, LARGE, 1},
	{"rows_many", make_rows_many, NULL, LARGE, 1},
	{"empty", make_empty, NULL, FORMAT, 1},
	{"fifo", make_fifo, NULL, FORMAT, 1},
	{"device", make_device, NULL, FORMAT, 1},
	{"directory", make_directory, NULL, FORMAT, 1},
	{"socket", make_socket, NULL, UNREADABLE, 1},
	{"symlink", make_symlink, NULL, UNREADABLE, 1},
	{"loop", make_loop, NULL, UNREADABLE, 1},
	{"leased", make_leased, step_unlease, UNREADABLE, 1},
	{"largest_zeros", make_largest_zeros, NULL, FORMAT, 1},
	{"largest_segment", make_largest_segment, NULL, READ, 0},
	{"long_name", make_long_name, NULL, LEFT_METRICS, 1},
	{"name_outside", make_name_outside, NULL, LEFT_METRICS, 1},
	{"unit_outside", make_unit_outside, NULL, LEFT_METRICS, 1},
	{"cell_outside", make_cell_outside, NULL, LEFT_METRICS, 1},
	{"cell_overflows", make_cell_overflows, NULL, LEFT_METRICS, 1},
	{"cell_in_owner", make_cell_in_owner, NULL, LEFT_METRICS, 1},
	{"cells_overflow", make_cells_overflow, NULL, LEFT_METRICS, 1},
	{"cells_shared", make_cells_shared, NULL, LEFT_METRICS, 1},
	{"type_unknown", make_type_unknown, NULL, LEFT_METRICS, 1},
	{"scale_large", make_scale_large, NULL, LEFT_METRICS, 1},
	{"imitation", make_imitation, NULL, LEFT_METRICS, 2},
	{"wide", make_wide, NULL, LEFT_METRICS, 65535},
	{"namesake", make_namesake, NULL, READ, 0},
	{"escape", make_escape, NULL, READ, 0},
	{"holes", make_holes, NULL, READ, 0},
	{"grows", make_segment, step_grow, READ, 0},
	{"rewritten", make_segment, step_rewrite, READ, 0},
	{"punched", make_segment, step_punch, READ, 0},
	{"backwards", make_segment, step_backwards, READ, 0},
	{"locked", make_segment, NULL, READ, 0},
	{"truncated", make_segment, step_truncate, KEPT_VALUES, POLLS - 1},
	{"cut_rows", make_segment, step_cut_rows, KEPT_VALUES, POLLS - 1},
	{"too_many_rows", make_segment, step_too_many_rows, KEPT_VALUES, POLLS - 1},
	{"rows_beyond", make_rows_beyond, NULL, FORMAT, 1},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* --- worlds: a provider, good segments, some hostile ones ----------------------------------------- */

struct world {
	char dir[128], segs[160], state[160];
	struct registry registry;
	struct snapshot snap;
	struct provider_env env;
	int good, worker; /* of two programs of the same user */
	int fds[CASES];
	uint64_t count, start_ns;
	uint64_t worst_ns;
};

static char base[PATH_MAX];
static int real_stderr = -1;

static void start_provider(struct world *w)
{
	struct errmsg e = {""};

	w->registry = (struct registry){0};
	cr_assert_eq(registry_add(&w->registry, &producer_segments, &e), 0);
	cr_assert_eq(registry_open(&w->registry, &w->env), 1);
}

static void give_to(const struct world *w, const char *name, uid_t uid)
{
	char path[PATH_MAX];

	make_path(path, w->segs, name);
	cr_assert_eq(lchown(path, uid, uid), 0);
}

static void world_init(struct world *w, const char *name)
{
	*w = (struct world){0};
	snprintf(w->dir, sizeof(w->dir), "%.80s/%.40s", base, name);
	snprintf(w->segs, sizeof(w->segs), "%s/s", w->dir);
	snprintf(w->state, sizeof(w->state), "%s/state", w->dir);
	cr_assert_eq(mkdir(w->dir, 0755) | mkdir(w->segs, 0755) | mkdir(w->state, 0755), 0);
	w->env = (struct provider_env){.segment_dir = w->segs,
		.state_dir = w->state,
		.proc_dir = "/proc",
		.interval_ns = NSEC_PER_SEC,
		.boot_id = {1}};
	w->good = segmaker_make(w->segs, "good", "web", two, 2);
	w->worker = segmaker_make(w->segs, "worker", "web", two, 1);
	give_to(w, "good", GOOD_UID);
	give_to(w, "worker", GOOD_UID);
	for (size_t i = 0; i < CASES; i++)
		w->fds[i] = -1;
}

static void add_hostile(struct world *w, size_t i)
{
	w->fds[i] = cases[i].make(w->segs, cases[i].name);
	give_to(w, cases[i].name, HOSTILE_UID + (uid_t)i);
}

static const char *value_of(
	const struct world *w, const char *metric, const char *program, uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);
	char name[256], user[32];

	snprintf(user, sizeof(user), "%u", (unsigned)uid);
	snprintf(name, sizeof(name), "%s{program=\"%s\",user=\"%s\"}", metric, program,
		pw ? pw->pw_name : user);
	return polling_value(&w->snap, name);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The good ones count on, and a poll must see just that. */
static void poll_world(struct world *w, const char *what)
{
	struct group *g;
	char name[64], total[32];
	uint64_t start;
	int err;

	if (w->good >= 0) {
		w->count += 7;
		segmaker_set(w->good, 1, 0, w->count);
		segmaker_set(w->worker, 0, 0, w->count);
		segmaker_set(w->good, 0, 1, w->count);
	}
	start = cpu_ns();
	err = polling_take(&w->registry.producers[0], &w->snap);
	start = cpu_ns() - start;
	if (start > w->worst_ns)
		w->worst_ns = start;
	cr_assert_eq(err, 0, "%s: %s", what, strerror(-err));
	snprintf(total, sizeof(total), "%llu", (unsigned long long)(2 * w->count));
	cr_expect_str_eq(value_of(w, "requests_total", "web", GOOD_UID), total, "%s", what);
	snprintf(total, sizeof(total), "%llu", (unsigned long long)(w->good < 0 ? 0 : w->count));
	cr_expect_str_eq(value_of(w, "depth", "web", GOOD_UID), total, "%s", what);
	snprintf(name, sizeof(name), "app:web:%u", GOOD_UID);
	g = polling_group(&w->snap, name);
	cr_assert_not_null(g, "%s", what);
	w->start_ns = w->start_ns ? w->start_ns : g->schema.start_ns;
	cr_expect_eq(g->schema.start_ns, w->start_ns, "%s: the good program was reset", what);
}

static void step_world(struct world *w, int poll)
{
	for (size_t i = 0; i < CASES; i++)
		if (w->fds[i] >= 0 && cases[i].step)
			cases[i].step(w->fds[i], poll);
}

static struct segments_stats stats_of(const struct world *w)
{
	struct segments_stats st;

	segments_stats(&w->registry, &st);
	return st;
}

/* What the counters must say of these cases, POLLS polls after they came. */
static void expect_counted(const struct world *w, size_t first, size_t n, const char *what)
{
	uint64_t counts[READ + 1] = {0}, segments = 2;
	struct segments_stats st = stats_of(w);

	for (size_t i = first; i < first + n; i++) {
		counts[cases[i].outcome] += cases[i].count;
		segments += cases[i].outcome >= LEFT_METRICS;
	}
	for (size_t i = 0; i < REFUSED_REASONS; i++)
		cr_expect_eq(st.refused[i], counts[i], "%s: %llu refused as %s, wanted %llu", what,
			(unsigned long long)st.refused[i], segment_refusals[i],
			(unsigned long long)counts[i]);
	cr_expect_eq(st.bad_metrics, counts[LEFT_METRICS], "%s: %llu metrics refused, wanted %llu",
		what, (unsigned long long)st.bad_metrics, (unsigned long long)counts[LEFT_METRICS]);
	cr_expect_eq(st.shrunk, counts[KEPT_VALUES], "%s: %llu reads failed, wanted %llu", what,
		(unsigned long long)st.shrunk, (unsigned long long)counts[KEPT_VALUES]);
	cr_expect_eq(st.segments, segments, "%s: %llu segments, wanted %llu", what,
		(unsigned long long)st.segments, (unsigned long long)segments);
	cr_expect_eq(st.fold_errors, 0, "%s", what);
}

/* A restart, then all die, the hostile ones too. */
static void end_world(struct world *w, const char *what)
{
	registry_close(&w->registry);
	start_provider(w);
	poll_world(w, what);
	for (size_t i = 0; i < CASES; i++)
		if (w->fds[i] >= 0)
			close(w->fds[i]);
	close(w->good);
	close(w->worker);
	w->good = -1;
	poll_world(w, what);
	registry_close(&w->registry);
	start_provider(w);
	poll_world(w, what);
	registry_close(&w->registry);
	snapshot_release(&w->snap);
	cr_expect_leq(w->worst_ns, POLL_CPU_NS, "%s: a poll took %.1f ms of CPU time", what,
		(double)w->worst_ns / NSEC_PER_MSEC);
}

/* --- the log ------------------------------------------------------------------------------------- */

static void log_to_file(void)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.4000s/log", base);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	real_stderr = dup(STDERR_FILENO);
	cr_assert(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	close(fd);
}

/* Lines so far that hold the text. */
static unsigned log_lines(const char *text)
{
	char path[PATH_MAX], line[4096];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%.4000s/log", base);
	f = fopen(path, "r");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, text) != NULL;
	fclose(f);
	return n;
}

/* --- tests ----------------------------------------------------------------------------------------- */

static void setup(void)
{
	if (geteuid() != 0)
		cr_skip_test("needs root: files of several users");
	test_raise_files();
	test_dir_make_in_memory(base, "hostile");
	log_to_file();
}

static void teardown(void)
{
	if (real_stderr < 0)
		return;
	dup2(real_stderr, STDERR_FILENO);
	test_dir_remove(base);
}

TestSuite(hostile, .init = setup, .fini = teardown, .timeout = 240);

/* Each case in a directory of its own. All polls are taken side by side, since a log line waits a second. */
Test(hostile, in_turn)
{
	struct world *w = calloc(CASES, sizeof(*w));

	cr_assert_not_null(w);
	for (size_t i = 0; i < CASES; i++) {
		world_init(&w[i], cases[i].name);
		add_hostile(&w[i], i);
		start_provider(&w[i]);
	}
	for (int poll = 0; poll < POLLS; poll++) {
		for (size_t i = 0; i < CASES; i++) {
			if (poll)
				step_world(&w[i], poll);
			poll_world(&w[i], cases[i].name);
		}
		if (poll == 1 || poll == 2)
			usleep(1100000);
	}
	for (size_t i = 0; i < CASES; i++) {
		char path[PATH_MAX];
		unsigned lines;

		expect_counted(&w[i], i, 1, cases[i].name);
		make_path(path, w[i].segs, cases[i].name);
		lines = log_lines(path);
		cr_expect_eq(lines, cases[i].outcome != READ, "%s: %u lines in the log",
			cases[i].name, lines);
	}
	for (size_t i = 0; i < CASES; i++)
		end_world(&w[i], cases[i].name);
	free(w);
}

Test(hostile, all_at_once)
{
	static struct world w;

	world_init(&w, "all");
	for (size_t i = 0; i < CASES; i++)
		add_hostile(&w, i);
	start_provider(&w);
	for (int poll = 0; poll < POLLS; poll++) {
		if (poll)
			step_world(&w, poll);
		poll_world(&w, "all");
	}
	expect_counted(&w, 0, CASES, "all");
	cr_expect_leq(log_lines(w.segs), 2, "one line a second");
	end_world(&w, "all");
	printf("all at once: worst poll %.1f ms of CPU time\n", (double)w.worst_ns / NSEC_PER_MSEC);
}

/* They come while the provider runs, and change at once. */
Test(hostile, one_after_the_other)
{
	static struct world w;

	world_init(&w, "later");
	start_provider(&w);
	poll_world(&w, "later");
	for (size_t i = 0; i < CASES; i++) {
		add_hostile(&w, i);
		poll_world(&w, cases[i].name);
		step_world(&w, 1);
	}
	end_world(&w, "later");
}
