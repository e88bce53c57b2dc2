/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The producers: registration with a check of their interface, opening, and one call each a poll. */
#include "user/provider/snapshot.h"

#include <string.h>
#include <time.h>

#include "user/lib/diag.h"
#include "user/lib/util.h"

#define LOG_EVERY_NS      (60 * NSEC_PER_SEC)
#define LOG_HOLD_EVERY_NS (600 * NSEC_PER_SEC)

int registry_add(struct registry *r, const struct producer_ops *ops, struct errmsg *e)
{
	const char *missing = NULL;

	if (!ops->name || !ops->name[0])
		return err_set(e, -EINVAL, "a producer without a name");
	if (!ops->get_stats)
		missing = "get_stats";
	else if (!ops->open)
		missing = "open";
	else if (!ops->close)
		missing = "close";
	else if (ops->programs_ns && !ops->set_level)
		missing = "set_level";
	if (missing)
		return err_set(e, -EINVAL,
			"producer '%s' has no %s(): open, get_stats and close are "
			"required, and set_level with programs_ns",
			ops->name, missing);
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->producers[i].ops->name, ops->name))
			return err_set(e, -EEXIST, "a second producer '%s'", ops->name);
	if (r->n == PRODUCERS_MAX)
		return err_set(e, -E2BIG, "more than %u producers", PRODUCERS_MAX);
	r->producers[r->n++] = (struct producer){.ops = ops};
	return 0;
}

bool producer_is_wanted(const struct producer_ops *ops, const char *const *names)
{
	bool wanted = !names || !names[0] || names[0][0] == '+' || names[0][0] == '-';

	wanted = wanted && !ops->opt_in;
	for (; names && *names; names++) {
		const char *name = *names + (**names == '+' || **names == '-');

		if (!strcmp(name, ops->name) || (!strcmp(name, "default") && !ops->opt_in))
			wanted = **names != '-';
	}
	return wanted;
}

size_t registry_open(struct registry *r, const struct provider_env *env)
{
	for (size_t i = 0; i < r->n; i++) {
		struct producer *p = &r->producers[i];
		struct errmsg e = {""};
		int err = p->ops->open(p, env, &e);

		p->is_open = !err;
		if (err)
			diag_warning("producer %s is left out: %s", p->ops->name,
				e.text[0] ? e.text : strerror(-err));
	}
	return registry_count_open(r);
}

size_t registry_count_open(const struct registry *r)
{
	size_t open = 0;

	for (size_t i = 0; i < r->n; i++)
		open += r->producers[i].is_open;
	return open;
}

void registry_close(struct registry *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct producer *p = &r->producers[i];

		if (p->is_open)
			p->ops->close(p);
		p->is_open = false;
	}
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int producer_get_stats(struct producer *p, struct snapshot *s)
{
	uint64_t series = s->series;
	size_t due = s->n;
	int err = p->ops->get_stats(p, s);

	p->due = due;
	p->ndue = s->n - due;
	p->last_series = s->series - series;
	p->polls++;
	if (!err)
		return 0;
	p->errors++;
	if (diag_allowed(&p->log_limit, s->monotonic_ns, LOG_EVERY_NS))
		diag_warning("producer %s: %s (%llu errors in %llu polls)", p->ops->name,
			strerror(-err), (unsigned long long)p->errors,
			(unsigned long long)p->polls);
	return err;
}

/* --- budgets ---------------------------------------------------------------------------------- */

static void log_level(const struct registry *r, struct producer *p, uint64_t now_ns)
{
	bool held = p->account.level == BUDGET_HELD;
	double percent = r->budget.share_ppm / 1e4;

	if (!diag_allowed(
		    held ? &p->hold_log_limit : &p->coarse_log_limit, now_ns, LOG_HOLD_EVERY_NS))
		return;
	if (!held)
		diag_warning(
			"producer %s has used half of what its budget of %g %% of %u CPUs lets it "
			"save: its programs look at fewer events until it has that again",
			p->ops->name, percent, r->ncpus);
	else if (p->ops->set_level)
		diag_warning("producer %s is over its budget of %g %% of %u CPUs: its programs are "
			     "stopped until that is made up for",
			p->ops->name, percent, r->ncpus);
	else
		diag_warning("producer %s is over its budget of %g %% of a CPU: it is asked less "
			     "often, until it is not",
			p->ops->name, percent);
}

/* False: they can't go on, and it stays held. */
static bool set_level(struct producer *p, enum budget_level level, uint64_t now_ns)
{
	int err = p->ops->set_level(p, level);

	if (!err)
		return true;
	p->account.level = BUDGET_HELD;
	if (diag_allowed(&p->log_limit, now_ns, LOG_EVERY_NS))
		diag_warning("producer %s: its programs can't be attached again: %s%s",
			p->ops->name, strerror(-err),
			err == -EPERM ? "; before Linux 5.19 that needs privileges which are given "
					"up: start tallyd again"
				      : "");
	return false;
}

static bool may_work(struct registry *r, struct producer *p, uint64_t now_ns)
{
	uint64_t used = p->cpu_ns + (p->ops->programs_ns ? p->ops->programs_ns(p) : 0);
	enum budget_kind kind = !p->ops->set_level ? BUDGET_POLLED
				: p->ops->samples  ? BUDGET_SAMPLED
						   : BUDGET_PROGRAMS;
	enum budget_level before = p->account.level,
			  level = budget_look(&r->budget, &p->account,
				  p->ops->set_level ? r->ncpus : 1, kind, now_ns, used);

	if (level > before)
		log_level(r, p, now_ns);
	if (p->ops->set_level && (level != BUDGET_WHOLE || before != BUDGET_WHOLE) &&
		!set_level(p, level, now_ns))
		return false;
	return level != BUDGET_HELD;
}

size_t registry_get_stats(struct registry *r, struct snapshot *s)
{
	uint64_t before = thread_cpu_ns(), now;
	size_t failed = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct producer *p = &r->producers[i];
		bool may;

		if (!p->is_open)
			continue;
		may = may_work(r, p, s->monotonic_ns);
		if (may)
			failed += producer_get_stats(p, s) != 0;
		else
			p->ndue = p->last_series = 0;
		/* reading this clock is a system call: where one ends the next begins */
		now = thread_cpu_ns();
		p->cpu_ns += may ? now - before : 0;
		before = now;
	}
	return failed;
}

void registry_count_bytes(struct registry *r, const struct snapshot *s)
{
	for (size_t i = 0; i < r->n; i++) {
		struct producer *p = &r->producers[i];

		for (size_t k = 0; p->is_open && k < p->ndue; k++)
			p->stream_bytes += s->due[p->due + k].bytes;
	}
}
