/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the BPF modules cost those who make the events: CPU time of five kinds of work, in blocks with the
 * programs attached and without that alternate within one process. All modules that are on by default
 * are measured as one set, each opt-in module alone. A difference is that of two neighbouring blocks; what is
 * given is the median of PAIRS of them, with its quartiles. Programs that do nothing show how much of it the
 * kernel takes to call them.
 *
 * Peers count the same things by programs of their own. They take a second to start, so they are started only
 * PEER_STARTS times, and measured as often before and after.
 *
 * Exit code 77: the programs can't be loaded here. 1: the default set passes a limit, or a peer is missing.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "bpf/module.h"
#include "tests/bench/bench.h"
#include "tests/bench/empty.skel.h"
#include "tests/lib/polling.h"
#include "user/lib/util.h"
#include "user/provider/kernel/modules.h"
#include "user/provider/provider.h"

#define PAIRS    61
#define BLOCK_NS (20 * NSEC_PER_MSEC) /* that a block takes, about */
#define POLLS    1000u
#define SET_MAX  32u
#define NONE     1e-9 /* a limit of nothing: 0 would be none */

/* --- work -------------------------------------------------------------------------------------- */

static int pipes[2][2], sockets[2], disk = -1;
static char *page;

static void *answer(void *arg)
{
	char c;

	while (read(pipes[0][0], &c, 1) == 1 && write(pipes[1][1], &c, 1) == 1)
		;
	return arg;
}

static void pipe_round_trip(void)
{
	char c = 0;

	if (write(pipes[0][1], &c, 1) != 1 || read(pipes[1][0], &c, 1) != 1)
		abort();
}

/* There and back in one thread: what is measured is the network, not the scheduler. */
static void udp_round_trip(void)
{
	char c = 0;

	for (int from = 0; from < 2; from++)
		if (send(sockets[from], &c, 1, 0) != 1 || recv(sockets[1 - from], &c, 1, 0) != 1)
			abort();
}

static void direct_read(void)
{
	if (pread(disk, page, 4096, 0) != 4096)
		abort();
}

/* 64 faults on new memory. */
static void page_faults(void)
{
	const size_t size = 64 * 4096;
	volatile char *p =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	munmap((void *)p, size);
}

static void system_calls(void)
{
	for (int i = 0; i < 100; i++)
		syscall(SYS_getppid);
}

static struct work {
	const char *name;
	void (*once)(void);
	double limit; /* of the default set, in %; 0: its lower quartile is not above nothing */
	unsigned per_once, times;
} works[] = {
	{"pipe round trip", pipe_round_trip, 3, 1, 0},
	{"UDP round trip", udp_round_trip, 4, 1, 0},
	{"direct read of 4 KiB", direct_read, 4, 1, 0},
	{"page fault", page_faults, 0, 64, 0},
	{"system call", system_calls, 0, 100, 0},
};
#define WORKS       (sizeof(works) / sizeof(works[0]))
#define ROUND_TRIPS 2u /* the first of them */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* ns of CPU time of one piece of work. */
static double block(const struct work *w)
{
	uint64_t begin = cpu_ns();

	for (unsigned i = 0; i < w->times; i++)
		w->once();
	return (double)(cpu_ns() - begin) / w->times / w->per_once;
}

/* One CPU for all threads: then a round trip is two context switches, always. */
static void pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void open_sockets(void)
{
	struct sockaddr_in a[2];
	socklen_t len = sizeof(a[0]);

	for (int i = 0; i < 2; i++) {
		a[i] = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (bind(sockets[i], (struct sockaddr *)&a[i], len) ||
			getsockname(sockets[i], (struct sockaddr *)&a[i], &len))
			abort();
	}
	for (int i = 0; i < 2; i++)
		if (connect(sockets[i], (struct sockaddr *)&a[1 - i], len))
			abort();
}

/* A file of a real file system, for a tmpfs has no direct reads. */
static void open_disk(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/bench/direct.tmp", getenv("B") ? getenv("B") : "build");
	if (posix_memalign((void **)&page, 4096, 4096))
		abort();
	memset(page, 1, 4096);
	disk = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (disk < 0 || write(disk, page, 4096) != 4096 || fsync(disk)) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	close(disk);
	disk = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	unlink(path);
	if (disk < 0) {
		fprintf(stderr, "%s: no direct reads there: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void prepare_works(void)
{
	pthread_t t;

	pin();
	open_sockets();
	open_disk();
	if (pipe(pipes[0]) || pipe(pipes[1]) || pthread_create(&t, NULL, answer, NULL))
		abort();
	for (size_t i = 0; i < WORKS; i++) {
		uint64_t begin = cpu_ns();

		for (works[i].times = 0; cpu_ns() - begin < BLOCK_NS; works[i].times++)
			works[i].once();
	}
}

/* --- modules -------------------------------------------------------------------------------------- */

struct set {
	const char *name;
	enum budget_level level; /* of its modules, while they are attached */
	struct producer producers[SET_MAX];
	size_t n;
};

static void attach_set(struct set *s, bool attached)
{
	for (size_t i = 0; i < s->n; i++)
		if (attached ? module_set_level(&s->producers[i], s->level)
			     : module_attach(&s->producers[i], false)) {
			fprintf(stderr, "%s: can't be attached: %s\n", s->producers[i].ops->name,
				strerror(errno));
			exit(1);
		}
}

/* Opens and adds a module, detached. One that this kernel lacks something for is said and left out. */
static void add_module(struct set *s, const struct producer_ops *ops)
{
	struct provider_env env = {.interval_ns = NSEC_PER_SEC};
	struct errmsg e = {""};
	struct producer *p = &s->producers[s->n];

	if (s->n == SET_MAX)
		abort();
	*p = (struct producer){.ops = ops};
	if (ops->open(p, &env, &e)) {
		printf("%s is left out: %s\n", ops->name, e.text);
		return;
	}
	s->n++;
	module_attach(p, false);
}

static void close_set(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->producers[i].ops->close(&s->producers[i]);
	s->n = 0;
}

/* --- measuring -------------------------------------------------------------------------------------- */

static void put_quartiles(struct bench *b, const char *what, const char *unit, double *v)
{
	char name[128];

	bench_samples(b, what, unit, v, PAIRS);
	snprintf(name, sizeof(name), "%.90s, upper quartile", what);
	bench_value(b, name, unit, v[PAIRS * 3 / 4]);
	snprintf(name, sizeof(name), "%.90s, lower quartile", what);
	bench_value(b, name, unit, v[PAIRS / 4]);
}

static void put_pairs(struct bench *b, const char *what, const struct work *w, double *off,
	double *more, bool limited)
{
	char name[128];
	double base;

	snprintf(name, sizeof(name), "%s, without %s", w->name, what);
	base = bench_samples(b, name, NULL, off, PAIRS);
	snprintf(name, sizeof(name), "%s, more with %s", w->name, what);
	put_quartiles(b, name, NULL, more);
	if (limited && w->limit == 0)
		bench_at_most(b, NONE); /* of the lower quartile, which came last */
	snprintf(name, sizeof(name), "%s, slower with %s", w->name, what);
	bench_value(b, name, "%", more[PAIRS / 2] / base * 100);
	if (limited && w->limit != 0)
		bench_at_most(b, w->limit);
}

static double block_attached(struct set *s, const struct work *w)
{
	double ns;

	attach_set(s, true);
	ns = block(w);
	attach_set(s, false);
	return ns;
}

static void measure(struct bench *b, struct set *s, const struct work *w, bool limited)
{
	double off[PAIRS], more[PAIRS];

	block(w);
	block_attached(s, w);
	for (int i = 0; i < PAIRS; i++) {
		/* each begins every other time, so that a drift does not count */
		double with = i % 2 ? block_attached(s, w) : 0;

		off[i] = block(w);
		with = i % 2 ? with : block_attached(s, w);
		more[i] = with - off[i];
	}
	put_pairs(b, s->name, w, off, more, limited);
}

/* --- peers --------------------------------------------------------------------------------------- */

#define PEER_STARTS   4
#define PEER_WAIT_S   60
#define PEER_STEADY   5 /* tenths of a second without a further program: all are there */
#define PEER_ARGS     5
#define PEER_PROGRAMS 64
#define PMDABPF       "tests/bench/peer_pmdabpf.sh"

static const struct peer {
	const char *name;
	size_t work; /* in works */
	const char *args[PEER_ARGS];
} peers[] = {
	{"runqlat of libbpf-tools", 0, {"/usr/sbin/runqlat", "86400", "1"}},
	{"runqlat by bpftrace", 0,
		{"/usr/bin/bpftrace", "-e",
			"tracepoint:sched:sched_wakeup,tracepoint:sched:sched_wakeup_new "
			"{ @q[args->pid] = nsecs; } "
			"tracepoint:sched:sched_switch { if (args->prev_state == 0) "
			"{ @q[args->prev_pid] = nsecs; } $t = @q[args->next_pid]; "
			"if ($t) { @us = hist((nsecs - $t) / 1000); } delete(@q[args->next_pid]); "
			"}"}},
	{"biolatency of libbpf-tools", 2, {"/usr/sbin/biolatency", "86400", "1"}},
	{"syscount of libbpf-tools", 4, {"/usr/sbin/syscount", "-i", "86400"}},
	{"count of system calls by bpftrace", 4,
		{"/usr/bin/bpftrace", "-e",
			"tracepoint:raw_syscalls:sys_enter { @n[args->id] = count(); }"}},
	{"runqlat of PCP's pmdabpf", 0, {PMDABPF, "runqlat"}},
	{"biolatency of PCP's pmdabpf", 2, {PMDABPF, "biolatency"}},
};

#define PEERS (sizeof(peers) / sizeof(peers[0]))

/* Before anything is measured: a comparison without a peer is none. */
static void require_peers(void)
{
	for (size_t i = 0; i < PEERS; i++)
		if (access(peers[i].args[0], X_OK)) {
			fprintf(stderr, "%s: %s: %s\n", peers[i].name, peers[i].args[0],
				strerror(errno));
			exit(1);
		}
}

/* Numbers of BPF programs. */
struct programs {
	uint32_t ids[PEER_PROGRAMS];
	size_t n;
};

static void add_program(struct programs *all, uint32_t id)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->ids[i] == id)
			return;
	if (all->n < PEER_PROGRAMS)
		all->ids[all->n++] = id;
}

/* Those that a process has descriptors of, or of a link to them. */
static void add_programs_of(struct programs *all, const char *pid)
{
	char path[600], line[128];
	const struct dirent *e;
	unsigned id;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "prog_id: %u", &id) == 1)
				add_program(all, id);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
}

/* Those of a peer: of all processes of its group. */
static struct programs programs_of(pid_t group)
{
	struct programs all = {.n = 0};
	DIR *d = opendir("/proc");
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (atoi(e->d_name) > 0 && getpgid(atoi(e->d_name)) == group)
			add_programs_of(&all, e->d_name);
	if (d)
		closedir(d);
	return all;
}

/* Waits for programs of a peer to come, and no more of them; none: none did. */
static struct programs wait_for_programs(pid_t group)
{
	struct programs now = {.n = 0};
	size_t last = 0, steady = 0;

	for (int i = 0; i < PEER_WAIT_S * 10 && steady < PEER_STEADY; i++) {
		now = programs_of(group);
		steady = now.n && now.n == last ? steady + 1 : 0;
		last = now.n;
		usleep(100000);
	}
	if (steady < PEER_STEADY)
		now.n = 0;
	return now;
}

static bool any_in_kernel(const struct programs *all)
{
	for (size_t i = 0; i < all->n; i++) {
		int fd = bpf_prog_get_fd_by_id(all->ids[i]);

		if (fd >= 0) {
			close(fd);
			return true;
		}
	}
	return false;
}

/* bpftrace looks for tracepoints in a file system that is not mounted everywhere: it is for the peer alone. */
static void mount_tracing(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return;
	if (access("/sys/kernel/debug/tracing/events", F_OK) &&
		!mount("none", "/sys/kernel/debug", "debugfs", 0, NULL))
		mount("none", "/sys/kernel/debug/tracing", "tracefs", 0, NULL);
	if (access("/sys/kernel/tracing/events", F_OK))
		mount("none", "/sys/kernel/tracing", "tracefs", 0, NULL);
}

/* In a process group of its own. */
static pid_t start_peer(const struct peer *p, struct programs *ret)
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		setpgid(0, 0);
		mount_tracing();
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		prctl(PR_SET_PDEATHSIG, SIGINT);
		execv(p->args[0], (char *const *)p->args);
		_exit(127);
	}
	if (pid < 0)
		abort();
	*ret = wait_for_programs(pid);
	if (!ret->n) {
		fprintf(stderr, "%s: no program of it comes to the kernel (%s)\n", p->name,
			p->args[0]);
		kill(pid, SIGKILL);
		exit(1);
	}
	return pid;
}

static void end_peer(pid_t pid, const struct programs *programs)
{
	bool gone = false;

	kill(pid, SIGINT);
	for (int i = 0; i < 40 && !gone; i++) {
		gone = waitpid(pid, NULL, WNOHANG) == pid;
		usleep(50000);
	}
	if (!gone) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	for (int i = 0; i < 100 && any_in_kernel(programs); i++)
		usleep(50000);
}

static void measure_peer(struct bench *b, const struct peer *p)
{
	const struct work *w = &works[p->work];
	double off[PAIRS], more[PAIRS];
	int done = 0;

	for (int start = 0; start < PEER_STARTS; start++) {
		int end = PAIRS * (start + 1) / PEER_STARTS;
		struct programs programs;
		pid_t pid;

		block(w);
		for (int i = done; i < end; i++)
			off[i] = block(w);
		pid = start_peer(p, &programs);
		block(w);
		for (int i = done; i < end; i++)
			more[i] = block(w) - off[i];
		end_peer(pid, &programs);
		done = end;
	}
	put_pairs(b, p->name, w, off, more, false);
}

static void measure_polls(struct bench *b, struct set *s)
{
	struct snapshot snap = {0};
	double v[PAIRS], series;

	for (int i = 0; i < PAIRS; i++) {
		uint64_t begin = cpu_ns();

		for (unsigned n = 0; n < POLLS; n++) {
			snapshot_begin(&snap);
			for (size_t k = 0; k < s->n; k++)
				if (s->producers[k].ops->get_stats(&s->producers[k], &snap))
					abort();
		}
		v[i] = (double)(cpu_ns() - begin) / POLLS;
	}
	series = (double)snap.series;
	bench_samples(b, "poll of the default set", NULL, v, PAIRS);
	bench_value(b, "series of the default set", "", series);
	snapshot_release(&snap);
}

/* At the tracepoints of the default set that round trips meet: a switch, and a soft interrupt's begin and end. */
static void measure_empty(struct bench *b)
{
	static const struct module_program programs[] = {
		{.needs = {"empty_switch", "sched_switch", NULL}},
		{.needs = {"empty_softirq_entry", "softirq_entry", NULL}},
		{.needs = {"empty_softirq_exit", "softirq_exit", NULL}},
	};
	static const struct module module = {
		.ops = {.name = "empty", MODULE_FUNCTIONS},
		.elf = empty_bpf__elf_bytes,
		.cpu_map = "empty_cpu",
		.cpu_size = sizeof(struct tally_own),
		.programs = programs,
		.nprograms = sizeof(programs) / sizeof(programs[0]),
	};
	struct set set = {.name = "empty programs"};

	add_module(&set, &module.ops);
	for (size_t i = 0; set.n && i < ROUND_TRIPS; i++)
		measure(b, &set, &works[i], false);
	close_set(&set);
}

/* An opt-in module; also when it looks at some events only. */
static void measure_alone(struct bench *b, const struct producer_ops *ops)
{
	struct set set = {.name = ops->name};
	char sampled[64];

	add_module(&set, ops);
	for (size_t i = 0; set.n && i < WORKS; i++) {
		measure(b, &set, &works[i], false);
		if (ops == &module_cgroup_sched.ops && works[i].once == pipe_round_trip)
			bench_at_most(b, 6); /* it has a limit of its own */
	}
	snprintf(sampled, sizeof(sampled), "%s, sampled", ops->name);
	set.name = sampled;
	set.level = BUDGET_COARSE;
	for (size_t i = 0; set.n && ops->samples && i < WORKS; i++)
		measure(b, &set, &works[i], false);
	close_set(&set);
}

int main(void)
{
	static struct bench b = {.name = "kernel",
		.unit = "ns",
		.about = "CPU time of work with the BPF programs attached and without"};
	struct set set = {.name = "the default set"};

	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if ((*ops)->open == module_open && !(*ops)->opt_in)
			add_module(&set, *ops);
	if (!set.n) {
		printf("skip: no module can be loaded here\n");
		return 77;
	}
	require_peers();
	prepare_works();
	for (size_t i = 0; i < WORKS; i++)
		measure(&b, &set, &works[i], true);
	measure_empty(&b);
	attach_set(&set, true);
	measure_polls(&b, &set);
	close_set(&set);
	for (const struct producer_ops *const *ops = provider_producers; *ops; ops++)
		if ((*ops)->open == module_open && (*ops)->opt_in)
			measure_alone(&b, *ops);
	for (size_t i = 0; i < PEERS; i++)
		measure_peer(&b, &peers[i]);
	return bench_write(&b);
}
