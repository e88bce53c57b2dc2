/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Module "softirq": its events are those of /proc/softirqs; their time is that of the work that makes them. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define MODULE_UNDER_TEST module_softirq
#include "tests/lib/testmodule.h"

#include "tests/lib/testhold.h"

static int packets(void)
{
	return clocks_are_real() ? 200000 : 5000;
}

/* Of a type, or of all if it is NULL. */
static uint64_t proc_softirqs(const char *type)
{
	FILE *f = fopen("/proc/softirqs", "r");
	uint64_t sum = 0;
	char *line = NULL, *at;
	size_t size = 0;

	cr_assert_not_null(f);
	cr_assert_gt(getline(&line, &size, f), 0); /* CPU0 CPU1 ... */
	while (getline(&line, &size, f) > 0) {
		at = strchr(line, ':');
		cr_assert_not_null(at);
		*at++ = '\0';
		if (type && !strstr(line, type))
			continue;
		for (char *end;; at = end) {
			unsigned long long n = strtoull(at, &end, 10);

			if (end == at)
				break;
			sum += n;
		}
	}
	free(line);
	fclose(f);
	return sum;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Each packet over the loopback is one NET_RX, served at the end of the system call that sends it. */
static void send_packets(int n)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
	char c = 0;

	cr_assert_eq(bind(in, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(getsockname(in, (struct sockaddr *)&a, &len), 0);
	cr_assert_eq(connect(out, (struct sockaddr *)&a, sizeof(a)), 0);
	for (int i = 0; i < n; i++) {
		cr_assert_eq(send(out, &c, 1, 0), 1);
		cr_assert_eq(recv(in, &c, 1, 0), 1);
	}
	close(in);
	close(out);
}

static uint64_t events(void)
{
	return value("bpf_program_runs", "program=\"tally_softirq_entry\"", SERIES_VALUE);
}

Test_together(softirq, events_are_those_of_proc)
{
	uint64_t outer = proc_softirqs(NULL), inner, ours,
		 slack = (uint64_t)sysconf(_SC_NPROCESSORS_CONF);

	poll_producer();
	ours = events();
	inner = proc_softirqs(NULL);
	send_packets(packets() / 10);
	inner = proc_softirqs(NULL) - inner;
	poll_producer();
	ours = events() - ours;
	outer = proc_softirqs(NULL) - outer;
	printf("soft interrupts: %lu <= %lu <= %lu\n", inner, ours, outer);
	cr_assert_geq(ours + slack, inner);
	cr_assert_leq(ours, outer + slack);
}

/* Sends packets: what the CPU time of that was, and what of it softirq_seconds says. */
static uint64_t time_of_packets(uint64_t *ret_cpu)
{
	uint64_t before, ours, n;

	poll_producer();
	before = value("softirq_seconds", "type=\"net_rx\"", SERIES_VALUE);
	n = proc_softirqs("NET_RX");
	*ret_cpu = thread_cpu_ns();
	send_packets(packets());
	*ret_cpu = thread_cpu_ns() - *ret_cpu;
	n = proc_softirqs("NET_RX") - n;
	poll_producer();
	ours = value("softirq_seconds", "type=\"net_rx\"", SERIES_VALUE) - before;
	printf("%lu NET_RX took %lu ns of %lu\n", n, ours, *ret_cpu);
	cr_assert_geq(n, (uint64_t)packets());
	return ours;
}

/*
 * The time of NET_RX is within the CPU time of the thread that sends, which does little else; it is more than a tenth
 * of it. Where all is emulated some code takes far longer at times: one of some tries there.
 */
Test_together(softirq, time_is_that_of_the_work)
{
	int tries = clocks_are_real() ? 1 : 5;
	uint64_t ours = 0, cpu = 1;

	while (tries-- && ours <= cpu / 10) {
		ours = time_of_packets(&cpu);
		cr_assert_lt(ours, cpu);
	}
	cr_assert_gt(ours, cpu / 10);
}

Test_together(softirq, series_have_the_names_of_proc)
{
	send_packets(100);
	poll_producer();
	cr_assert_gt(value("softirq_seconds", "type=\"net_rx\"", SERIES_VALUE), 0);
	cr_assert_eq(value("softirq_seconds", "type=\"no_such\"", SERIES_VALUE), 0);
}

static void send_some(void)
{
	send_packets(1000);
}

Test_together(softirq, begins_are_detached_before_ends)
{
	check_begins_go_first("tally_softirq_entry", "tally_softirq_exit", send_some, 1000);
}
