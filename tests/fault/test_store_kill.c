/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writing process is killed at random moments, again and again in the same directory. Whatever it
 * had reported as acknowledged must be there; what it had not may be, but nothing else.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/lib/testrand.h"
#include "tests/lib/teststore.h"

#define ROUNDS      30u
#define KILL_MAX_US 40000u

struct acknowledged {
	uint64_t number[TEST_NODES];
};

/* Runs until it is killed. */
static void write_forever(const char *dir, unsigned int round, const uint64_t *base, int out)
{
	struct test_sender senders[TEST_NODES];
	struct acknowledged ack;
	struct store *st;
	struct errmsg e;

	if (store_open(dir, NULL, &st, &e) != 0) {
		fprintf(stderr, "%s\n", e.text);
		_exit(1);
	}
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_start_at(&senders[i], i, 1 + round * TEST_NODES + i, base[i]);
	for (unsigned int n = 1;; n++) {
		for (uint32_t i = 0; i < TEST_NODES; i++) {
			test_sender_poll(&senders[i]);
			TEST_MUST(test_append(st, &senders[i], senders[i].last) == 0);
			ack.number[i] = senders[i].base + senders[i].seq;
		}
		TEST_MUST(store_sync(st) == 0);
		TEST_MUST(write(out, &ack, sizeof(ack)) == sizeof(ack));
		if (n % 10 == 0)
			TEST_MUST(store_seal(st, &e) == 0);
	}
}

/* What the child had acknowledged when it was killed. */
static struct acknowledged run_and_kill(const char *dir, unsigned int round, const uint64_t *base)
{
	struct acknowledged ack = {0}, got;
	int pipes[2], status;
	pid_t pid;

	cr_assert_eq(pipe(pipes), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		close(pipes[0]);
		write_forever(dir, round, base, pipes[1]);
	}
	close(pipes[1]);
	/* From its first acknowledgement on, so that slow machines get somewhere, too. */
	cr_assert_eq(read(pipes[0], &ack, sizeof(ack)), sizeof(ack));
	usleep((useconds_t)test_rand_below(KILL_MAX_US));
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status), "it ended by itself");
	while (read(pipes[0], &got, sizeof(got)) == sizeof(got))
		ack = got;
	close(pipes[0]);
	return ack;
}

Test(store_kill, acknowledged_samples_survive)
{
	uint64_t base[TEST_NODES] = {0}, sealed;
	struct test_found found[TEST_NODES];
	struct store_stats stats;
	struct store *st;
	char dir[PATH_MAX];
	struct errmsg e;

	test_rand_init();
	test_dir_make(dir, "store-kill");
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct acknowledged ack = run_and_kill(dir, round, base);

		cr_assert_eq(test_read(dir, found), 0);
		for (uint32_t i = 0; i < TEST_NODES; i++) {
			cr_assert(!found[i].wrong && found[i].first == 1);
			cr_assert_eq(found[i].n, found[i].last);
			cr_assert_geq(found[i].last, ack.number[i]);
			base[i] = found[i].last;
		}
	}
	cr_assert_eq(store_open(dir, NULL, &st, &e), 0, "%s", e.text);
	cr_assert_eq(store_seal(st, &e), 0, "%s", e.text);
	store_stats(st, &stats);
	sealed = stats.sealed_files;
	cr_assert_eq(store_close(st), 0);
	cr_assert_eq(test_read(dir, found), 0);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		cr_assert(!found[i].wrong && found[i].n == base[i] && found[i].last == base[i]);
	printf("%u kills, %llu samples a series, %llu sealed files\n", ROUNDS,
		(unsigned long long)base[0], (unsigned long long)sealed);
	test_dir_remove(dir);
}
