/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registration checks the interface; producers that fail spoil nothing for the others. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/lib/polling.h"
#include "user/lib/util.h"

static struct registry registry;
static struct snapshot snap;
static struct group group;
static const struct provider_env env = {.interval_ns = 1000000000};
static int closed;

static int open_ok(struct producer *p, const struct provider_env *e, struct errmsg *msg)
{
	return 0;
}

static int open_fails(struct producer *p, const struct provider_env *e, struct errmsg *msg)
{
	return err_set(msg, -EPERM, "not today");
}

static int stats_ok(struct producer *p, struct snapshot *s)
{
	uint64_t now = clock_monotonic_ns();

	group.values[0]++;
	return snapshot_add(s, &group, now, now + 500);
}

static int stats_fails(struct producer *p, struct snapshot *s)
{
	return -EIO;
}

/* Fails after it has added what it could. */
static int stats_half(struct producer *p, struct snapshot *s)
{
	stats_ok(p, s);
	return -EIO;
}

static int stats_busy(struct producer *p, struct snapshot *s)
{
	uint64_t end = clock_monotonic_ns() + 20000000;

	while (clock_monotonic_ns() < end)
		;
	return 0;
}

static void close_it(struct producer *p)
{
	closed++;
}

static void setup(void)
{
	struct series s = {(char *)"a", (char *)"", (char *)"", (char *)"help", METRIC_COUNTER,
		VALUE_U64, SERIES_VALUE, 0};

	group.schema.group = strdup("g");
	group.values = calloc(1, sizeof(uint64_t));
	cr_assert_eq(schema_add(&group.schema, &s), 0);
}

static void teardown(void)
{
	registry_close(&registry);
	snapshot_release(&snap);
	group_release(&group);
}

TestSuite(registry, .init = setup, .fini = teardown);

static int add(const struct producer_ops *ops, struct errmsg *e)
{
	return registry_add(&registry, ops, e);
}

Test(registry, incomplete_interfaces_are_refused)
{
	static const struct producer_ops no_name = {NULL, "", open_ok, stats_ok, close_it},
					 empty_name = {"", "", open_ok, stats_ok, close_it},
					 no_open = {"a", "", NULL, stats_ok, close_it},
					 no_stats = {"a", "", open_ok, NULL, close_it},
					 no_close = {"a", "", open_ok, stats_ok, NULL};
	struct errmsg e;

	cr_expect_eq(add(&no_name, &e), -EINVAL);
	cr_expect_eq(add(&empty_name, &e), -EINVAL);
	cr_expect_eq(add(&no_open, &e), -EINVAL);
	cr_expect(strstr(e.text, "'a' has no open()"), "%s", e.text);
	cr_expect_eq(add(&no_stats, &e), -EINVAL);
	cr_expect(strstr(e.text, "no get_stats()"), "%s", e.text);
	cr_expect_eq(add(&no_close, &e), -EINVAL);
	cr_expect(strstr(e.text, "no close()"), "%s", e.text);
	cr_expect_eq(registry.n, 0);
}

Test(registry, names_and_numbers_are_limited)
{
	static struct producer_ops many[PRODUCERS_MAX + 1];
	static char names[PRODUCERS_MAX + 1][8];
	struct errmsg e;

	for (unsigned i = 0; i <= PRODUCERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "p%u", i);
		many[i] = (struct producer_ops){names[i], "", open_ok, stats_ok, close_it};
		cr_expect_eq(add(&many[i], &e), i < PRODUCERS_MAX ? 0 : -E2BIG);
	}
	cr_expect_eq(add(&many[3], &e), -EEXIST);
	cr_expect(strstr(e.text, "'p3'"), "%s", e.text);
}

/* The list is text, as in the configuration. */
static bool wanted(const struct producer_ops *ops, const char *list)
{
	const char *names[8] = {NULL};
	char text[64];
	size_t n = 0;

	snprintf(text, sizeof(text), "%s", list);
	for (char *at = strtok(text, ","); at; at = strtok(NULL, ","))
		names[n++] = at;
	return producer_is_wanted(ops, names);
}

Test(registry, opt_in_is_asked_for)
{
	static const struct {
		const char *list;
		bool plain, other, opt_in;
	} cases[] = {
		{"", true, true, false},
		{"default", true, true, false},
		{"plain", true, false, false},
		{"dear", false, false, true},
		{"+dear", true, true, true},
		{"default,dear", true, true, true},
		{"-plain", false, true, false},
		{"-plain,+dear", false, true, true},
		{"dear,-dear", false, false, false},
		{"-dear,+dear", true, true, true},
		{"dear,default,-other", true, false, true},
		{"+plain", true, true, false},
		{"dear,+plain", true, false, true},
		{"default,-default,dear", false, false, true},
	};
	const struct producer_ops plain = {.name = "plain"}, other = {.name = "other"},
				  dear = {.name = "dear", .opt_in = "it costs"};

	cr_expect(producer_is_wanted(&plain, NULL));
	cr_expect_not(producer_is_wanted(&dear, NULL));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_expect_eq(wanted(&plain, cases[i].list), cases[i].plain, "%s", cases[i].list);
		cr_expect_eq(wanted(&other, cases[i].list), cases[i].other, "%s", cases[i].list);
		cr_expect_eq(wanted(&dear, cases[i].list), cases[i].opt_in, "%s", cases[i].list);
	}
}

Test(registry, failures_stay_apart)
{
	static const struct producer_ops bad_open = {"bad_open", "", open_fails, stats_ok,
						 close_it},
					 fails = {"fails", "", open_ok, stats_fails, close_it},
					 half = {"half", "", open_ok, stats_half, close_it},
					 good = {"good", "", open_ok, stats_ok, close_it};
	struct errmsg e;

	cr_assert_eq(add(&bad_open, &e) | add(&fails, &e) | add(&half, &e) | add(&good, &e), 0);
	cr_expect_eq(registry_open(&registry, &env), 3);
	for (int i = 0; i < 5; i++) {
		snapshot_begin(&snap);
		cr_expect_eq(registry_get_stats(&registry, &snap), 2);
		cr_expect_eq(snap.n, 2);
		cr_expect_eq(snap.series, 2);
	}
	cr_expect_eq(group.values[0], 10);
	cr_expect_eq(registry.producers[0].polls, 0);
	cr_expect_eq(registry.producers[1].errors, 5);
	cr_expect_eq(registry.producers[2].errors, 5);
	cr_expect_eq(registry.producers[3].errors, 0);
	cr_expect_eq(registry.producers[3].polls, 5);
	cr_expect_eq(registry.producers[3].last_series, 1);
	registry_close(&registry);
	cr_expect_eq(closed, 3, "what was not opened is not closed");
}

Test(registry, cost_is_booked_to_its_producer)
{
	static const struct producer_ops busy = {"busy", "", open_ok, stats_busy, close_it},
					 good = {"good", "", open_ok, stats_ok, close_it};
	struct errmsg e;

	cr_assert_eq(add(&busy, &e) | add(&good, &e), 0);
	cr_assert_eq(registry_open(&registry, &env), 2);
	snapshot_begin(&snap);
	registry_get_stats(&registry, &snap);
	/* 20 ms on the clock; others may have had the CPU for most of it */
	cr_expect_gt(registry.producers[0].cpu_ns, 2000000);
	cr_expect_lt(registry.producers[1].cpu_ns, registry.producers[0].cpu_ns);
}

Test(registry, a_forgotten_group_is_not_in_the_snapshot)
{
	struct group other = group;

	snapshot_begin(&snap);
	cr_assert_eq(
		snapshot_add(&snap, &group, snap.monotonic_ns + 10, snap.monotonic_ns + 30), 0);
	cr_assert_eq(snapshot_add(&snap, &other, 5, 3), 0);
	cr_expect_eq(snap.due[0].begin_ns, 10);
	cr_expect_eq(snap.due[0].window_ns, 20);
	cr_expect_eq(snap.due[1].begin_ns + snap.due[1].window_ns, 0);
	snapshot_forget(&snap, &group);
	cr_assert_eq(snap.n, 1);
	cr_expect_eq(snap.due[0].group, &other);
	cr_expect_eq(snap.series, 1);
}

/* --- budgets ------------------------------------------------------------------------------------ */

static uint64_t programs_used;
static int calls[BUDGET_HELD + 1], attach_result;

static uint64_t programs_ns(const struct producer *p)
{
	return programs_used;
}

static int set_level(struct producer *p, enum budget_level level)
{
	calls[level]++;
	return level == BUDGET_HELD ? 0 : attach_result;
}

/* Polls at a time of the test's own: how many groups there were. */
static size_t poll_at(uint64_t seconds)
{
	snapshot_begin(&snap);
	snap.monotonic_ns = seconds * NSEC_PER_SEC;
	registry_get_stats(&registry, &snap);
	return snap.n;
}

/* 1 % of two CPUs, for 10 s: 200 ms. */
static void limit(const struct producer_ops *ops)
{
	struct errmsg e;

	cr_assert_eq(add(ops, &e), 0, "%s", e.text);
	registry.budget = (struct budget){.share_ppm = 10000, .span_ns = 10 * NSEC_PER_SEC};
	registry.ncpus = 2;
	cr_assert_eq(registry_open(&registry, &env), 1);
}

static const struct producer_ops storm = {.name = "storm",
	.open = open_ok,
	.get_stats = stats_ok,
	.close = close_it,
	.programs_ns = programs_ns,
	.set_level = set_level};

Test(registry, programs_over_budget_are_held_and_come_back)
{
	const struct producer *p = &registry.producers[0];

	limit(&storm);
	cr_expect_eq(poll_at(1), 1);
	programs_used = 150 * NSEC_PER_MSEC;
	cr_expect_eq(poll_at(2), 1);
	cr_expect_eq(calls[BUDGET_HELD], 0);
	programs_used = 400 * NSEC_PER_MSEC;
	cr_expect_eq(poll_at(3), 0, "over it");
	cr_expect_eq(calls[BUDGET_HELD], 1);
	cr_expect_eq(p->last_series, 0);
	cr_expect_eq(p->polls, 2);
	/* 190 ms too much, and 200 until it is full: 20 ms a second */
	cr_expect_eq(poll_at(21), 0);
	cr_expect_eq(calls[BUDGET_WHOLE], 0);
	attach_result = -EPERM;
	cr_expect_eq(poll_at(23), 0, "it can't be attached");
	cr_expect_eq(calls[BUDGET_WHOLE], 1);
	attach_result = 0;
	cr_expect_eq(poll_at(24), 1);
	cr_expect_eq(calls[BUDGET_WHOLE], 2);
	cr_expect_eq(p->account.holds, 1);
	cr_expect_eq(p->account.held_ns, 21 * NSEC_PER_SEC);
	cr_expect_eq(poll_at(25), 1);
	cr_expect_eq(calls[BUDGET_WHOLE], 2, "once");
	cr_expect_eq(calls[BUDGET_COARSE], 0);
}

Test(registry, programs_that_can_are_sampled_and_go_on)
{
	static struct producer_ops sampled;
	const struct producer *p = &registry.producers[0];

	sampled = storm;
	sampled.samples = true;
	limit(&sampled);
	cr_expect_eq(poll_at(1), 1);
	programs_used = 150 * NSEC_PER_MSEC;
	cr_expect_eq(poll_at(2), 1, "sampled, it is asked");
	cr_expect_eq(calls[BUDGET_COARSE], 1);
	cr_expect_eq(poll_at(3), 1);
	cr_expect_eq(calls[BUDGET_WHOLE], 0);
	cr_expect_eq(poll_at(12), 1);
	cr_expect_eq(calls[BUDGET_WHOLE], 1, "all is there again");
	cr_expect_eq(p->account.coarse_ns, 10 * NSEC_PER_SEC);
	cr_expect_eq(p->account.holds, 0);
	cr_expect_eq(calls[BUDGET_HELD], 0);
}

Test(registry, what_costs_too_much_is_asked_less_often)
{
	static const struct producer_ops ops = {
		.name = "dear", .open = open_ok, .get_stats = stats_ok, .close = close_it};
	struct producer *p = &registry.producers[0];
	size_t groups = 0;

	limit(&ops);
	for (uint64_t i = 0; i < 1000; i++) {
		size_t n = poll_at(i);

		p->cpu_ns += n * 40 * NSEC_PER_MSEC; /* of 10 ms a second */
		groups += n;
	}
	cr_expect_geq(groups, 250);
	cr_expect_leq(groups, 260);
	cr_expect_eq(group.values[0], groups);
}

Test(registry, programs_need_a_set_level)
{
	static const struct producer_ops ops = {.name = "a",
		.open = open_ok,
		.get_stats = stats_ok,
		.close = close_it,
		.programs_ns = programs_ns};
	struct errmsg e;

	cr_expect_eq(add(&ops, &e), -EINVAL);
	cr_expect(strstr(e.text, "no set_level()"), "%s", e.text);
}
