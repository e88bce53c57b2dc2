/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the provider costs: tallyd with what it reads by default at 1 s, seen from outside: memory, CPU time and
 * wakeups, alone and with a gatherer; beside it other collectors with what they read by default at 1 s, in the same
 * run. And what a poll of many segments takes, in this process.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/bench/bench.h"
#include "tests/lib/polling.h"
#include "tests/lib/segmaker.h"
#include "user/lib/util.h"

#define WINDOWS  5
#define WINDOW_S 5
#define SETTLE_S 3

/* The ten programs of an application. */
#define PROGRAMS    10
#define PER_PROGRAM 1000
#define BUSY        100 /* of them, those that have counted in a second */

#define SEGMENTS 500u
#define POLLS    101

#define TREE_MAX 256 /* processes of a collector */

static char dir[512], build[400];

/* --- processes ------------------------------------------------------------------------------- */

/* With its output in dir/log; it ends when this process does. */
static pid_t spawn(const char *log, char *const argv[])
{
	char path[600];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "%s/%s", dir, log);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
	dup2(fd, 1);
	dup2(fd, 2);
	execv(argv[0], argv);
	_exit(127);
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *)&addr, len) ||
		getsockname(fd, (struct sockaddr *)&addr, &len))
		exit(1);
	close(fd);
	return ntohs(addr.sin_port);
}

static bool wait_for_text(const char *name, const char *text)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (int i = 0; i < 200; i++) {
		struct buf b = BUF_INIT;
		bool found;

		read_file_at(AT_FDCWD, path, 1u << 20, &b);
		buf_put_u8(&b, 0);
		found = b.len > 1 && strstr((char *)b.data, text);
		buf_release(&b);
		if (found)
			return true;
		usleep(100000);
	}
	fprintf(stderr, "%s does not say: %s\n", path, text);
	return false;
}

/* What a command prints, as a number. */
static double number_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static double number_of(const char *format, ...)
{
	char command[2000];
	va_list args;
	double v = -1;
	FILE *f;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	f = popen(command, "r");
	if (!f || fscanf(f, "%lf", &v) != 1)
		fprintf(stderr, "no number from: %s\n", command);
	if (f)
		pclose(f);
	return v;
}

/* --- figures of a process and those that it has started --------------------------------------- */

struct tree {
	pid_t pids[TREE_MAX];
	size_t n;
};

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512] = "";
	const char *after;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	after = strrchr(line, ')');
	return after ? (pid_t)atoi(after + 4) : 0;
}

static bool in_tree(const struct tree *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->pids[i] == pid)
			return true;
	return false;
}

static void find_tree(struct tree *t, pid_t first)
{
	size_t before;

	*t = (struct tree){.pids = {first}, .n = 1};
	do {
		DIR *proc = opendir("/proc");
		const struct dirent *d;

		before = t->n;
		while (proc && (d = readdir(proc))) {
			pid_t pid = isdigit(d->d_name[0]) ? (pid_t)atoi(d->d_name) : 0;

			if (pid && t->n < TREE_MAX && !in_tree(t, pid) &&
				in_tree(t, parent_of(pid)))
				t->pids[t->n++] = pid;
		}
		if (proc)
			closedir(proc);
	} while (t->n > before);
}

/* The number after `field` in a file of /proc/PID. */
static double field_of(pid_t pid, const char *file, const char *field)
{
	char path[300], line[256];
	size_t n = strlen(field);
	double v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, n) && line[n] == ':')
			v = atof(line + n + 1);
	if (f)
		fclose(f);
	return v;
}

static double tree_field(const struct tree *t, const char *file, const char *field)
{
	double sum = 0;

	for (size_t i = 0; i < t->n; i++)
		sum += field_of(t->pids[i], file, field);
	return sum;
}

/* CPU time and wakeups of all threads. */
struct usage {
	double cpu_ns, switches;
};

static void add_thread(struct usage *u, pid_t pid, const char *thread)
{
	char path[300];
	double v = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, thread);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lf", &v) != 1)
		v = 0;
	if (f)
		fclose(f);
	u->cpu_ns += v;
	snprintf(path, sizeof(path), "task/%s/status", thread);
	u->switches += field_of(pid, path, "voluntary_ctxt_switches");
}

static struct usage tree_usage(pid_t first)
{
	struct usage u = {0};
	struct tree t;

	find_tree(&t, first);
	for (size_t i = 0; i < t.n; i++) {
		char path[64];
		const struct dirent *d;
		DIR *tasks;

		snprintf(path, sizeof(path), "/proc/%d/task", (int)t.pids[i]);
		tasks = opendir(path);
		while (tasks && (d = readdir(tasks)))
			if (isdigit(d->d_name[0]))
				add_thread(&u, t.pids[i], d->d_name);
		if (tasks)
			closedir(tasks);
	}
	return u;
}

/* --- measuring -------------------------------------------------------------------------------- */

/* What happens each second while a collector is measured; NULL: nothing. */
typedef void (*each_second_fn)(void);

/* CPU time of a second, which is one poll, in ms; and how often any thread slept: at most so often, 0: no limit. */
static double measure_cpu(
	struct bench *b, pid_t pid, const char *who, each_second_fn each_second, double sleeps)
{
	double cpu[WINDOWS], switches[WINDOWS];
	struct usage before;
	char name[96];

	sleep(SETTLE_S);
	before = tree_usage(pid);
	for (int i = 0; i < WINDOWS; i++) {
		struct usage now;

		for (int k = 0; k < WINDOW_S; k++) {
			if (each_second)
				each_second();
			sleep(1);
		}
		now = tree_usage(pid);
		cpu[i] = (now.cpu_ns - before.cpu_ns) / WINDOW_S / 1e6;
		switches[i] = (now.switches - before.switches) / WINDOW_S;
		before = now;
	}
	snprintf(name, sizeof(name), "%s: sleeps a second", who);
	bench_samples(b, name, "", switches, WINDOWS);
	if (sleeps > 0)
		bench_at_most(b, sleeps);
	snprintf(name, sizeof(name), "%s: CPU time of a poll", who);
	return bench_samples(b, name, "ms", cpu, WINDOWS);
}

/* Of all processes; limit_kib: of VmRSS, 0: none. */
static void measure_memory(struct bench *b, pid_t pid, const char *who, double limit_kib)
{
	struct tree t;
	char name[96];

	find_tree(&t, pid);
	snprintf(name, sizeof(name), "%s: processes", who);
	bench_value(b, name, "", (double)t.n);
	snprintf(name, sizeof(name), "%s: VmRSS", who);
	bench_value(b, name, "KiB", tree_field(&t, "status", "VmRSS"));
	if (limit_kib > 0)
		bench_at_most(b, limit_kib);
	snprintf(name, sizeof(name), "%s: PSS", who);
	bench_value(b, name, "KiB", tree_field(&t, "smaps_rollup", "Pss"));
}

static void measure_sample(struct bench *b, const char *who, double ms, double samples)
{
	char name[96];

	snprintf(name, sizeof(name), "%s: samples of a poll", who);
	bench_value(b, name, "", samples);
	snprintf(name, sizeof(name), "%s: CPU time of a sample", who);
	bench_value(b, name, "us", ms * 1e3 / samples);
}

/* --- tallyd ----------------------------------------------------------------------------------- */

static int programs[PROGRAMS];

/* Ten programs of 1,000 counters, which live as long as this process. Whoever tallyd becomes may read them. */
static void make_programs(const char *seg)
{
	static struct segmaker_metric metrics[PER_PROGRAM];
	static char names[PER_PROGRAM][32];

	for (int i = 0; i < PER_PROGRAM; i++) {
		snprintf(names[i], sizeof(names[i]), "requests_served_%d", i);
		metrics[i] = (struct segmaker_metric){names[i], TALLY_TYPE_COUNTER, 0};
	}
	for (int i = 0; i < PROGRAMS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "program%d", i);
		programs[i] = segmaker_make(seg, name, name, metrics, PER_PROGRAM);
		fchmod(programs[i], 0644);
	}
}

static void count_something(void)
{
	static uint64_t value;

	value += 12345;
	for (int i = 0; i < PROGRAMS; i++)
		for (uint32_t k = 0; k < BUSY; k++)
			segmaker_set(programs[i], 0, k * (PER_PROGRAM / BUSY), value + k);
}

static double series_of(const char *state)
{
	return number_of("'%s/bin/tally' cost --state-dir '%s' --json | python3 -c '"
			 "import json, sys; print(sum(p[\"series\"] for p in "
			 "json.load(sys.stdin)[\"producers\"]))'",
		build, state);
}

/* tallyd is one process. */
static void limit_memory(struct bench *b, pid_t pid, const char *who)
{
	char name[96];

	snprintf(name, sizeof(name), "%s: RssAnon", who);
	bench_value(b, name, "KiB", field_of(pid, "status", "RssAnon"));
	bench_at_most(b, 3072);
	snprintf(name, sizeof(name), "%s: VmHWM, its peak", who);
	bench_value(b, name, "KiB", field_of(pid, "status", "VmHWM"));
	bench_at_most(b, 24576);
	measure_memory(b, pid, who, 10240);
}

/* `which`: of its directories; `furl`: a file, or one that is not there. */
static pid_t start_tallyd(const char *which, const char *furl, char *state, char *seg)
{
	char tallyd[600], log[64];
	char *argv[] = {tallyd, "--foreground", "--interval", "1s", "--state-dir", state,
		"--segment-dir", seg, "--furl-file", (char *)furl, NULL};
	pid_t pid;

	snprintf(tallyd, sizeof(tallyd), "%s/bin/tallyd", build);
	snprintf(log, sizeof(log), "tallyd-%s.log", which);
	pid = spawn(log, argv);
	if (wait_for_text(log, "ready: "))
		return pid;
	end(pid);
	return 0;
}

static void name_dirs(const char *which, char *state, char *seg, size_t size)
{
	snprintf(state, size, "%s/state-%s", dir, which);
	snprintf(seg, size, "%s/seg-%s", dir, which);
	mkdir(seg, 0755);
}

/* The system alone: what a sample costs. */
static int measure_system(struct bench *b)
{
	static const char who[] = "tallyd, the system alone";
	char state[600], seg[600];
	pid_t pid;
	double ms;

	name_dirs("system", state, seg, sizeof(state));
	pid = start_tallyd("system", "", state, seg);
	if (!pid)
		return 1;
	ms = measure_cpu(b, pid, who, NULL, 1.1);
	measure_memory(b, pid, who, 0);
	measure_sample(b, who, ms, series_of(state));
	bench_at_most(b, 0.4);
	end(pid);
	return 0;
}

static int measure_counters(struct bench *b)
{
	static const char who[] = "tallyd, and 10,000 counters";
	double ring, ms, series;
	char state[600], seg[600];
	pid_t pid;

	name_dirs("counters", state, seg, sizeof(state));
	make_programs(seg);
	pid = start_tallyd("counters", "", state, seg);
	if (!pid)
		return 1;
	ring = number_of("du -sb --apparent-size '%s/ring' | cut -f 1", state);
	ms = measure_cpu(b, pid, who, count_something, 1.1);
	bench_at_most(b, 0.5);
	limit_memory(b, pid, who);
	series = series_of(state);
	if (series < PROGRAMS * PER_PROGRAM) {
		fprintf(stderr, "tallyd shows only %g series\n", series);
		end(pid);
		return 1;
	}
	measure_sample(b, who, ms, series);
	bench_value(b, "tallyd, and 10,000 counters: ring, with the first snapshots", "B/snapshot",
		(number_of("du -sb --apparent-size '%s/ring' | cut -f 1", state) - ring) /
			(SETTLE_S + WINDOWS * WINDOW_S));
	end(pid);
	return 0;
}

static pid_t start_gatherer(const char *furl)
{
	const struct passwd *pw = getpwuid(getuid());
	char gatherer[600], data[600], listen[64], user[64];
	char *argv[] = {gatherer, "--foreground", "--interval", "1s", "--data-dir", data,
		"--listen", listen, "--http-listen", "", "--furl-file", (char *)furl, "--user",
		user, NULL};
	pid_t pid;

	snprintf(gatherer, sizeof(gatherer), "%s/bin/tally-gatherer", build);
	snprintf(data, sizeof(data), "%s/data", dir);
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", free_port());
	snprintf(user, sizeof(user), "%s", pw ? pw->pw_name : "root");
	pid = spawn("gatherer.log", argv);
	if (wait_for_text("furl", "tally://"))
		return pid;
	end(pid);
	return 0;
}

static int measure_link(struct bench *b)
{
	static const char who[] = "tallyd, 10,000 counters and a gatherer";
	char state[600], seg[600], furl[600];
	pid_t g, pid;

	snprintf(furl, sizeof(furl), "%s/furl", dir);
	name_dirs("link", state, seg, sizeof(state));
	make_programs(seg);
	g = start_gatherer(furl);
	pid = g ? start_tallyd("link", furl, state, seg) : 0;
	if (!pid || !wait_for_text("tallyd-link.log", "connected to gatherer")) {
		end(pid);
		end(g);
		return 1;
	}
	measure_cpu(b, pid, who, count_something, 0);
	limit_memory(b, pid, who);
	end(pid);
	end(g);
	return 0;
}

/* --- peers ------------------------------------------------------------------------------------ */

static int measure_pcp(struct bench *b)
{
	static const char who[] = "PCP pmcd, pmdalinux";
	char program[600], work[600], log[600];
	char *argv[] = {program, work, NULL};
	int pmcd = 0, values = 0;
	FILE *f = NULL;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/tests/bench/peer_pcpsystem", build);
	snprintf(work, sizeof(work), "%s/pcp", dir);
	snprintf(log, sizeof(log), "%s/pcp.log", dir);
	pid = spawn("pcp.log", argv);
	if (wait_for_text("pcp.log", "\n"))
		f = fopen(log, "r");
	if (!f || fscanf(f, "%d %d", &pmcd, &values) != 2) {
		fprintf(stderr, "see %s\n", log);
		end(pid);
		return 1;
	}
	fclose(f);
	measure_sample(b, who, measure_cpu(b, pmcd, who, NULL, 0), values);
	measure_memory(b, pmcd, who, 0);
	kill(pmcd, SIGTERM);
	end(pid);
	return 0;
}

static char scrape[300];

static void scrape_once(void)
{
	char command[400];

	snprintf(command, sizeof(command), "curl -s -o /dev/null '%s'", scrape);
	if (system(command))
		fprintf(stderr, "failed: %s\n", command);
}

static bool wait_for_port(int port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_addr = {htonl(INADDR_LOOPBACK)},
		.sin_port = htons((uint16_t)port)};

	for (int i = 0; i < 200; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		bool there = !connect(fd, (struct sockaddr *)&addr, sizeof(addr));

		close(fd);
		if (there)
			return true;
		usleep(100000);
	}
	return false;
}

static int measure_node_exporter(struct bench *b)
{
	static const char who[] = "node_exporter, scraped";
	char listen[64];
	char *argv[] = {"/usr/bin/prometheus-node-exporter", listen, NULL};
	int port = free_port();
	pid_t pid;
	double ms;

	snprintf(listen, sizeof(listen), "--web.listen-address=127.0.0.1:%d", port);
	snprintf(scrape, sizeof(scrape), "http://127.0.0.1:%d/metrics", port);
	pid = spawn("node_exporter.log", argv);
	if (!wait_for_port(port)) {
		fprintf(stderr, "see %s/node_exporter.log\n", dir);
		end(pid);
		return 1;
	}
	ms = measure_cpu(b, pid, who, scrape_once, 0);
	measure_sample(b, who, ms, number_of("curl -s '%s' | grep -vc '^#'", scrape));
	measure_memory(b, pid, who, 0);
	end(pid);
	return 0;
}

/* Everything that it writes is in our directory; it speaks to nobody. */
static int write_netdata_conf(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return 1;
	fprintf(f, "[global]\n\trun as user = root\n[directories]\n");
	fprintf(f, "\tconfig = %s/netdata/etc\n\tcache = %s/netdata/cache\n", dir, dir);
	fprintf(f, "\tlib = %s/netdata/lib\n\tlog = %s/netdata/log\n", dir, dir);
	fprintf(f, "\tlock = %s/netdata/lib\n\thome = %s/netdata/cache\n", dir, dir);
	fprintf(f, "[web]\n\tbind to = 127.0.0.1\n[statsd]\n\tenabled = no\n");
	return fclose(f);
}

static int measure_netdata(struct bench *b)
{
	static const char who[] = "netdata";
	char conf[600], port_text[16], command[2400];
	char *argv[] = {"/usr/sbin/netdata", "-D", "-u", "root", "-i", "127.0.0.1", "-p", port_text,
		"-c", conf, NULL};
	int port = free_port();
	pid_t pid;
	double ms;

	snprintf(port_text, sizeof(port_text), "%d", port);
	snprintf(conf, sizeof(conf), "%s/netdata/netdata.conf", dir);
	snprintf(command, sizeof(command),
		"cd '%s' && mkdir -p netdata/etc netdata/cache netdata/lib netdata/log && "
		": >netdata/etc/.opt-out-from-anonymous-statistics",
		dir);
	if (system(command) || write_netdata_conf(conf))
		return 1;
	setenv("DO_NOT_TRACK", "1", 1);
	pid = spawn("netdata.log", argv);
	if (!wait_for_port(port)) {
		fprintf(stderr, "see %s/netdata.log\n", dir);
		end(pid);
		return 1;
	}
	sleep(10); /* its plug-ins start one after the other */
	ms = measure_cpu(b, pid, who, NULL, 0);
	measure_sample(b, who, ms,
		number_of("curl -s 'http://127.0.0.1:%d/api/v1/allmetrics?format=prometheus' | "
			  "grep -vc '^#'",
			port));
	measure_memory(b, pid, who, 0);
	end(pid);
	return 0;
}

/* --- many segments --------------------------------------------------------------------------- */

static int measure_segments(struct bench *b)
{
	static const struct segmaker_metric metrics[] = {{"a", TALLY_TYPE_COUNTER, 0},
		{"b", TALLY_TYPE_COUNTER, 0}, {"c", TALLY_TYPE_COUNTER, 0},
		{"d", TALLY_TYPE_COUNTER, 0}, {"e", TALLY_TYPE_GAUGE, 0}};
	struct producer p = {.ops = &producer_segments};
	char seg[600], state[600];
	struct provider_env env = {
		.segment_dir = seg, .state_dir = state, .interval_ns = NSEC_PER_SEC};
	struct snapshot snap = {0};
	struct errmsg e = {""};
	double samples[POLLS];
	int fds[SEGMENTS];

	snprintf(seg, sizeof(seg), "%s/many", dir);
	snprintf(state, sizeof(state), "%s/many-state", dir);
	mkdir(seg, 0700);
	mkdir(state, 0700);
	for (unsigned i = 0; i < SEGMENTS; i++) {
		char name[32], program[32];

		snprintf(name, sizeof(name), "s%u", i);
		snprintf(program, sizeof(program), "program%u", i % 20);
		fds[i] = segmaker_make(seg, name, program, metrics, 5);
	}
	if (p.ops->open(&p, &env, &e)) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	polling_take(&p, &snap);
	for (int i = 0; i < POLLS; i++) {
		uint64_t begin = clock_monotonic_ns();

		polling_take(&p, &snap);
		samples[i] = (double)(clock_monotonic_ns() - begin) / 1e3 / SEGMENTS;
	}
	bench_samples(b, "poll of a living segment (500 of 20 programs)", "us", samples, POLLS);
	for (unsigned i = 0; i < SEGMENTS; i++)
		close(fds[i]);
	samples[0] = (double)clock_monotonic_ns();
	polling_take(&p, &snap);
	bench_value(b, "fold of a dead segment (500 at once)", "us",
		((double)clock_monotonic_ns() - samples[0]) / 1e3 / SEGMENTS);
	p.ops->close(&p);
	snapshot_release(&snap);
	return 0;
}

/* How many times ours a peer's figure is. */
static void compare(struct bench *b, const char *peer, const char *figure)
{
	char theirs[60], ours[60];

	snprintf(theirs, sizeof(theirs), "%s: %s", peer, figure);
	snprintf(ours, sizeof(ours), "tallyd, the system alone: %s", figure);
	bench_over(b, theirs, ours);
}

static int measure_peers(struct bench *b)
{
	static const char *const peers[] = {
		"PCP pmcd, pmdalinux", "netdata", "node_exporter, scraped"};

	if (measure_pcp(b) || measure_netdata(b) || measure_node_exporter(b))
		return 1;
	for (int i = 0; i < 3; i++) {
		compare(b, peers[i], "CPU time of a sample");
		bench_at_least(b, 10);
		compare(b, peers[i], "PSS");
	}
	return 0;
}

int main(void)
{
	struct bench b = {.name = "provider",
		.unit = "KiB",
		.about = "collectors with what they read by default, each second; processes with "
			 "all that they start; the client that asks is not counted"};
	char cmd[1200], path[PATH_MAX];
	int failed;

	if (!realpath(getenv("B") ? getenv("B") : "build", path))
		return 1;
	snprintf(build, sizeof(build), "%.399s", path);
	snprintf(dir, sizeof(dir), "%s/tmp/bench-provider", build);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' && mkdir -p '%s'", dir, dir);
	if (system(cmd))
		return 1;
	failed = measure_segments(&b) || measure_system(&b) || measure_counters(&b) ||
		 measure_link(&b) || measure_peers(&b);
	return failed || bench_write(&b) ? 1 : 0;
}
