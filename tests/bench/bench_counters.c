/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What counting costs: tally's macros in all the ways that they can be linked, and beside them what else
 * a program could do, all on one machine in one run. Each line of programs[] is run by the shell and
 * prints results as loops.h says; limits and ratios are on their names.
 *
 * Below some 2 ns processors are bimodal (a store's value is forwarded by renaming, or not): read the
 * range, not the digit.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/bench/bench.h"

#define SAMPLES_MAX 512

static const char *const programs[] = {
	"loops_tally",
	"loops_timers",
	"clock",
	"loops_tally-clang ', compiled by clang' TALLY_INC",
	"loops_tally-static ', static program' TALLY_INC",
	"loops_tally-default ', shared object, default TLS' TALLY_INC",
	"loops_tally-gnu2 ', shared object, gnu2 TLS' TALLY_INC",
	"loops_tally-ie ', shared object, initial-exec TLS' TALLY_INC",
	"LOOPS_OBJECT=libloops-default.so loops_dlopen ', dlopened, default TLS' TALLY_INC",
	"LOOPS_OBJECT=libloops-gnu2.so loops_dlopen ', dlopened, gnu2 TLS' TALLY_INC",
	"LOOPS_OBJECT=libloops-ie.so loops_dlopen ', dlopened, initial-exec TLS' TALLY_INC",
	"peer_mmv",
	"peer_prometheus",
	"peer_lttng.sh",
	"peer_statsd",
	"startup",
	"sites.py",
};

static const struct {
	const char *name;
	double at_most; /* ns above the empty loop */
} limits[] = {
	{"TALLY_INC", 1.0},
	{"TALLY_INC, 16 counters in turn", 1.3},
	{"TALLY_INC, two threads, same counter", 1.0},
};

static const struct {
	const char *dividend, *divisor;
	double at_most; /* 0: only shown */
} upper_ratios[] = {
	{"TALLY_INC_H, by handle", "TALLY_INC", 1.2},
	{"TALLY_INC_H, handle loaded from memory", "TALLY_INC", 0},
};

static const struct {
	const char *name, *above;
	double at_most; /* ns; 0: only shown */
} differences[] = {
	{"TALLY_RECORD, varying values", "TALLY_INC", 3},
	{"TALLY_RECORD_H, by handle, varying values", "TALLY_INC", 3},
	{"the same 8 stores and TALLY_INC", "8 stores to lines of the program's own", 0},
	{"the same 8 stores and a relaxed atomic on its own line",
		"8 stores to lines of the program's own", 0},
	{"TALLY_TIME, a scope", "two reads of rdtsc", 0},
};

static const struct {
	const char *dividend, *divisor;
	double at_least; /* 0: only shown */
} ratios[] = {
	{"relaxed atomic on its own line", "TALLY_INC", 5},
	{"relaxed atomic, two threads, same line", "TALLY_INC, two threads, same counter", 15},
	{"PCP mmv_inc, by handle", "TALLY_INC", 0},
	{"PCP mmv_inc, two threads, same metric", "TALLY_INC, two threads, same counter", 0},
	{"prometheus-cpp Counter.Increment, kept reference", "TALLY_INC", 0},
	{"LTTng-UST tracepoint, into the ring buffer of a session", "TALLY_INC", 0},
};

/* Of each program the first case is the empty loop: one is enough to be shown. */
static bool is_shown(const struct bench *b, const char *name)
{
	return strncmp(name, "empty loop", 10) != 0 || b->nresults == 0;
}

static void add_line(struct bench *b, char *line)
{
	double samples[SAMPLES_MAX];
	unsigned n = 0;
	char *name = strtok(line, "\t"), *unit = strtok(NULL, "\t"), *sample;

	while ((sample = strtok(NULL, " \n")) && n < SAMPLES_MAX)
		samples[n++] = strtod(sample, NULL);
	if (n == 0) {
		fprintf(stderr, "%s: no sample\n", name ? name : "an empty line");
		exit(1);
	}
	if (!is_shown(b, name))
		return;
	bench_samples(b, name, unit, samples, n);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (strcmp(limits[i].name, name) == 0)
			bench_at_most(b, limits[i].at_most);
}

static void run_program(struct bench *b, const char *command)
{
	FILE *f = popen(command, "r");
	char *line = NULL;
	size_t size = 0;
	int status;

	if (!f) {
		perror(command);
		exit(1);
	}
	while (getline(&line, &size, f) > 0)
		add_line(b, line);
	free(line);
	status = pclose(f);
	if (status == 0)
		return;
	fprintf(stderr, "%s: did not succeed\n", command);
	exit(WIFEXITED(status) && WEXITSTATUS(status) == 77 ? 77 : 1);
}

static void compare_results(struct bench *b)
{
	char name[sizeof(b->results[0].name)];

	for (size_t i = 0; i < sizeof(upper_ratios) / sizeof(upper_ratios[0]); i++) {
		const char *dividend = upper_ratios[i].dividend, *divisor = upper_ratios[i].divisor;

		snprintf(name, sizeof(name), "%s / %s", dividend, divisor);
		bench_value(b, name, "times", bench_find(b, dividend) / bench_find(b, divisor));
		if (upper_ratios[i].at_most > 0)
			bench_at_most(b, upper_ratios[i].at_most);
	}
	for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
		snprintf(name, sizeof(name), "%s, above %s", differences[i].name,
			differences[i].above);
		bench_value(b, name, "ns",
			bench_find(b, differences[i].name) - bench_find(b, differences[i].above));
		if (differences[i].at_most > 0)
			bench_at_most(b, differences[i].at_most);
	}
	for (size_t i = 0; i < sizeof(ratios) / sizeof(ratios[0]); i++) {
		bench_over(b, ratios[i].dividend, ratios[i].divisor);
		if (ratios[i].at_least > 0)
			bench_at_least(b, ratios[i].at_least);
	}
}

static void find_programs(void)
{
	char path[4096];

	setenv("B", "build", 0);
	snprintf(path, sizeof(path), "%s/tests/bench:tests/bench:%s", getenv("B"), getenv("PATH"));
	setenv("PATH", path, 1);
}

static char dir[] = "/dev/shm/tally-bench-XXXXXX";

static void remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		perror(dir);
}

static void stop(int signal)
{
	exit(128 + signal);
}

/* In memory, for segments and for whatever the programs leave. Not only root goes there. */
static void make_dir(void)
{
	if (!mkdtemp(dir) || chmod(dir, 0711)) {
		perror(dir);
		exit(1);
	}
	atexit(remove_dir);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	signal(SIGHUP, stop);
	signal(SIGPIPE, stop);
	setenv("TALLY_DIR", dir, 1);
	setenv("TMPDIR", dir, 1);
}

int main(void)
{
	static struct bench b = {
		.name = "counters",
		.unit = "ns",
		.about = "What one operation costs above an empty loop, median of undisturbed "
			 "repetitions",
	};

	setvbuf(stdout, NULL, _IOLBF, 0); /* in order with what programs say */
	find_programs();
	make_dir();
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		run_program(&b, programs[i]);
	compare_results(&b);
	return bench_write(&b);
}
