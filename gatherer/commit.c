/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commit and seal threads.
 *
 *   event loop        asked = 5            asked = 7
 *   commit thread       | delay | sync(5) ----> done = 5 | sync(7) ----> done = 7
 *
 * Tickets are counted, not queued: however many ask, there is one number to reach.
 */
#include "gatherer/commit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "gatherer/store/store.h"
#include "user/lib/diag.h"
#include "user/lib/util.h"

#define COMMIT_RETRY NSEC_PER_SEC
#define SEAL_RETRY   (60 * NSEC_PER_SEC)

struct commit {
	struct store *store;
	uint64_t delay_ns;
	int fd;
	pthread_t committer, sealer;
	bool has_committer, has_sealer;

	pthread_mutex_t lock; /* all that follows */
	pthread_cond_t wake_committer, wake_sealer;
	uint64_t asked, done;
	uint64_t start_at_ns; /* when the next sync begins; CLOCK_MONOTONIC */
	bool urgent; /* the next sync does not wait for start_at_ns */
	bool seal_asked, stopping;
	int error;
};

static void commit_sleep_until(struct commit *c, pthread_cond_t *cond, uint64_t at_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(at_ns / NSEC_PER_SEC), .tv_nsec = (long)(at_ns % NSEC_PER_SEC)};

	pthread_cond_timedwait(cond, &c->lock, &ts);
}

static void commit_notify(struct commit *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->fd, &one, sizeof(one));

	(void)n; /* fails only if the counter is full: then it is readable anyway */
}

/* Called and left with the lock held; the sync itself is made without it. */
static void commit_sync(struct commit *c)
{
	uint64_t ticket = c->asked;
	int rc;

	c->urgent = false;
	pthread_mutex_unlock(&c->lock);
	rc = store_sync(c->store);
	pthread_mutex_lock(&c->lock);
	if (rc && rc != c->error)
		diag_error(
			"history: can't make it durable: %s; polls rest, trying again each second",
			strerror(-rc));
	else if (!rc && c->error)
		diag_notice("history can be written again");
	c->error = rc;
	if (!rc)
		c->done = ticket;
	/* Who asked while this one ran shares the next. */
	c->start_at_ns = clock_monotonic_ns() + (rc ? COMMIT_RETRY : c->delay_ns);
	commit_notify(c);
}

static void *commit_run(void *arg)
{
	struct commit *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		if (c->asked == c->done)
			pthread_cond_wait(&c->wake_committer, &c->lock);
		else if ((!c->urgent || c->error) && clock_monotonic_ns() < c->start_at_ns)
			commit_sleep_until(c, &c->wake_committer, c->start_at_ns);
		else
			commit_sync(c);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static void *seal_run(void *arg)
{
	struct commit *c = arg;
	uint64_t not_before_ns = 0;

	pthread_mutex_lock(&c->lock);
	while (!c->stopping) {
		struct errmsg e = {""};
		int rc;

		if (!c->seal_asked) {
			pthread_cond_wait(&c->wake_sealer, &c->lock);
			continue;
		}
		c->seal_asked = false;
		if (clock_monotonic_ns() < not_before_ns)
			continue;
		pthread_mutex_unlock(&c->lock);
		rc = store_seal(c->store, &e);
		if (rc) {
			diag_error(
				"history: sealing failed: %s; the head stays, trying again in 60 s",
				e.text[0] ? e.text : strerror(-rc));
			not_before_ns = clock_monotonic_ns() + SEAL_RETRY;
		}
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int commit_init_locks(struct commit *c)
{
	pthread_condattr_t attr;
	int rc = pthread_condattr_init(&attr);

	if (rc)
		return -rc;
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake_committer, &attr);
	pthread_cond_init(&c->wake_sealer, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

int commit_start(struct store *s, uint64_t delay_ns, struct commit **ret, struct errmsg *e)
{
	struct commit *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return err_set(e, -ENOMEM, "commit: no memory");
	c->store = s;
	c->delay_ns = delay_ns;
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = c->fd < 0 ? -errno : commit_init_locks(c);
	if (!rc) {
		rc = -pthread_create(&c->committer, NULL, commit_run, c);
		c->has_committer = !rc;
	}
	if (!rc) {
		rc = -pthread_create(&c->sealer, NULL, seal_run, c);
		c->has_sealer = !rc;
	}
	if (rc) {
		commit_stop(c);
		return err_set(e, rc, "commit: can't start threads: %s", strerror(-rc));
	}
	*ret = c;
	return 0;
}

uint64_t commit_request(struct commit *c, bool now)
{
	uint64_t ticket;

	pthread_mutex_lock(&c->lock);
	if (c->asked == c->done)
		c->start_at_ns = clock_monotonic_ns() + c->delay_ns;
	c->urgent |= now;
	ticket = ++c->asked;
	pthread_cond_signal(&c->wake_committer);
	pthread_mutex_unlock(&c->lock);
	return ticket;
}

int commit_fd(const struct commit *c)
{
	return c->fd;
}

uint64_t commit_done(struct commit *c, int *ret_error)
{
	uint64_t done;

	pthread_mutex_lock(&c->lock);
	done = c->done;
	*ret_error = c->error;
	pthread_mutex_unlock(&c->lock);
	return done;
}

void commit_seal(struct commit *c)
{
	pthread_mutex_lock(&c->lock);
	c->seal_asked = true;
	pthread_cond_signal(&c->wake_sealer);
	pthread_mutex_unlock(&c->lock);
}

void commit_stop(struct commit *c)
{
	if (!c)
		return;
	if (c->has_committer) {
		pthread_mutex_lock(&c->lock);
		c->stopping = true;
		pthread_cond_signal(&c->wake_committer);
		pthread_cond_signal(&c->wake_sealer);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->committer, NULL);
	}
	if (c->has_sealer)
		pthread_join(c->sealer, NULL);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}
