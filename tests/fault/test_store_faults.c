/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every call that the store makes of the operating system fails once: with an error, with a short
 * write, or by a power loss. After each, what was acknowledged must be there and nothing else, and the
 * store must take in the rest.
 */
#include <criterion/criterion.h>

#include "tests/lib/faultos.h"

#define POLLS 14u

struct scene {
	char dir[PATH_MAX];
	struct store *store;
	struct test_sender senders[TEST_NODES];
	uint64_t acknowledged[TEST_NODES];
};

/* A fault may cost an opening; once it is over, the next one must succeed, unless power is lost. */
static void open_store(struct scene *s)
{
	int err = store_open(s->dir, NULL, &s->store, NULL);

	for (unsigned int i = 0; i < FAULT_FULL_CALLS && err && !fault_is_power(); i++)
		err = store_open(s->dir, NULL, &s->store, NULL);
	if (err)
		s->store = NULL;
	cr_assert(!err || (faultos.happened && fault_is_power()), "opening: %d", err);
}

static void sync_store(struct scene *s)
{
	if (store_sync(s->store) != 0)
		return;
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		uint64_t incarnation, seq;
		uint32_t node;

		cr_assert_eq(test_node(s->store, i, &node), 0);
		store_durable(s->store, node, &incarnation, &seq);
		cr_assert_eq(seq, s->senders[i].seq);
		s->acknowledged[i] = seq;
	}
}

static void poll_all(struct scene *s)
{
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		test_sender_poll(&s->senders[i]);
		if (s->store)
			cr_assert_eq(test_append(s->store, &s->senders[i], s->senders[i].last), 0);
	}
	if (s->store)
		sync_store(s);
}

static void close_store(struct scene *s)
{
	if (s->store)
		store_close(s->store);
	s->store = NULL;
}

/* As after a reconnection: everything once more; what is there already is refused as old. */
static void resend(struct scene *s)
{
	for (uint32_t i = 0; i < TEST_NODES && s->store; i++)
		cr_assert_eq(test_append(s->store, &s->senders[i], 0), 0);
}

static void play(struct scene *s)
{
	struct errmsg e;

	open_store(s);
	for (unsigned int i = 1; i <= POLLS && s->store; i++) {
		poll_all(s);
		if (i == 4 || i == 8)
			store_seal(s->store, &e);
		if (i == 6 || i == 11) {
			close_store(s);
			open_store(s);
			resend(s);
		}
	}
	close_store(s);
}

static void assert_found(const struct scene *s, uint64_t at, bool all)
{
	struct test_found found[TEST_NODES];

	cr_assert_eq(test_read(s->dir, found), 0);
	for (uint32_t i = 0; i < TEST_NODES; i++) {
		const struct test_found *f = &found[i];

		cr_assert(!f->wrong, "fault %d at %llu: wrong samples", faultos.kind,
			(unsigned long long)at);
		cr_assert(f->n == 0 || f->first == 1);
		cr_assert_eq(f->n, f->last, "fault %d at %llu: %llu samples up to %llu",
			faultos.kind, (unsigned long long)at, (unsigned long long)f->n,
			(unsigned long long)f->last);
		cr_assert_geq(f->last, s->acknowledged[i], "fault %d at %llu: %llu of %llu",
			faultos.kind, (unsigned long long)at, (unsigned long long)f->last,
			(unsigned long long)s->acknowledged[i]);
		cr_assert_leq(f->last, s->senders[i].seq);
		cr_assert(!all || f->last == s->senders[i].seq);
	}
}

/* Plays with one fault; returns false when there were not so many calls. */
static bool try_fault(struct scene *s, enum fault kind, uint64_t at)
{
	bool happened;

	memset(s->acknowledged, 0, sizeof(s->acknowledged));
	test_dir_make(s->dir, "store-faults");
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_start(&s->senders[i], i);
	faultos_start(s->dir, kind, at);
	play(s);
	happened = faultos.happened;
	if (happened && fault_is_power())
		faultos_reboot();
	os = &os_real;
	assert_found(s, at, false);
	open_store(s);
	resend(s);
	poll_all(s);
	close_store(s);
	assert_found(s, at, true);
	for (uint32_t i = 0; i < TEST_NODES; i++)
		test_sender_stop(&s->senders[i]);
	test_dir_remove(s->dir);
	faultos_stop();
	return happened;
}

static void sweep(enum fault kind)
{
	struct scene s = {0};
	uint64_t at = 1;

	while (try_fault(&s, kind, at))
		at++;
	printf("fault %d: %llu injection points\n", kind, (unsigned long long)at - 1);
	cr_assert_gt(at, 50);
}

Test(store_faults, errors)
{
	sweep(FAULT_EIO);
}

Test(store_faults, full_disk)
{
	sweep(FAULT_ENOSPC);
}

Test(store_faults, disk_full_for_a_while)
{
	sweep(FAULT_FULL);
}

Test(store_faults, short_writes)
{
	sweep(FAULT_SHORT);
}

Test(store_faults, power_loss)
{
	sweep(FAULT_POWER);
}

Test(store_faults, power_loss_with_half_of_the_unsynced)
{
	sweep(FAULT_POWER_HALF);
}

Test(store_faults, power_loss_with_all_of_the_unsynced)
{
	sweep(FAULT_POWER_ALL);
}
