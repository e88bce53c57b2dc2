/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tally doctor: looks at an installation, the provider's and the gatherer's, and says what is wrong and what to do. It
 * changes nothing and contacts nobody; root sees all of it.
 */
#include "tools/tally.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tools/ringdir.h"
#include "user/lib/furl.h"
#include "user/lib/util.h"

#define KERNEL_MAJOR 5 /* docs/kernel-metrics.md: Needs */
#define KERNEL_MINOR 10
#define DISK_LOW     (64ull << 20) /* the default size of a ring */
#define LATE_S       60 /* a snapshot may be as old, or three intervals */

enum verdict {
	WELL,
	NOTE, /* something is left out, or can't be seen */
	WRONG
};

struct doctor {
	char *state_dir, *segment_dir, *furl_file, *history_dir;
	unsigned notes, wrongs;
};

static void say(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "note", "WRONG"};
	va_list ap;

	d->notes += v == NOTE;
	d->wrongs += v == WRONG;
	printf("%-5s  %-14s  ", words[v], what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* --- the machine ------------------------------------------------------------------------------ */

static void look_at_kernel(struct doctor *d)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR))
		say(d, WRONG, "kernel",
			"Linux %s: BPF producers need %d.%d or later; all others work", u.release,
			KERNEL_MAJOR, KERNEL_MINOR);
	else
		say(d, WELL, "kernel", "Linux %s", u.release);
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		say(d, WELL, "BTF", "/sys/kernel/btf/vmlinux");
	else
		say(d, WRONG, "BTF",
			"/sys/kernel/btf/vmlinux: %s: BPF producers need a kernel made with "
			"CONFIG_DEBUG_INFO_BTF",
			strerror(errno));
}

static void look_at_clock(struct doctor *d)
{
	struct timex t = {0};

	if (adjtimex(&t) == TIME_ERROR)
		say(d, NOTE, "clock",
			"nobody keeps it right: run a time service (systemd-timesyncd, chrony), "
			"else "
			"times of different nodes don't fit");
	else
		say(d, WELL, "clock", "synchronised, to %.3f ms", (double)t.maxerror / 1e3);
}

/* --- directories ------------------------------------------------------------------------------ */

static void look_at_disk(struct doctor *d, const char *what, const char *dir)
{
	struct statvfs fs;
	uint64_t free;

	if (statvfs(dir, &fs))
		return;
	free = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free < DISK_LOW)
		say(d, WRONG, what, "%s: %llu MiB are free on its disk: make room", dir,
			(unsigned long long)(free >> 20));
	else if (fs.f_files && !fs.f_favail)
		say(d, WRONG, what, "%s: no inode is free on its disk: remove files", dir);
	else
		say(d, WELL, what, "%s: %.1f GiB are free on its disk", dir,
			(double)free / (1u << 30));
}

/*
 * Whether a daemon holds its directory: 1, 0, or why that can't be seen. To try its lock would be in the way of one
 * that starts just then. Its number alone: some file systems have several devices.
 */
static int is_held(const char *dir)
{
	FILE *locks = fopen("/proc/locks", "re");
	unsigned long long inode;
	struct stat st;
	char line[256];
	int held = 0;

	if (stat(dir, &st) || !locks)
		held = -errno;
	while (!held && fgets(line, sizeof(line), locks))
		held = sscanf(line, "%*u: FLOCK ADVISORY WRITE %*d %*[^:]:%*[^:]:%llu", &inode) ==
			       1 &&
		       inode == st.st_ino;
	if (locks)
		fclose(locks);
	return held;
}

/* False: there is nothing further to see. *running: the daemon is there. */
static bool look_at_daemon(
	struct doctor *d, const char *name, const char *dir, const char *option, bool *running)
{
	int held = is_held(dir);

	*running = held == 1;
	if (held == -ENOENT)
		say(d, NOTE, name, "%s: never ran here; %s names another directory", dir, option);
	else if (held < 0)
		say(d, NOTE, name, "%s: %s: root can see more", dir, strerror(-held));
	else if (!held)
		say(d, WRONG, name, "not running on %s: systemctl start %s", dir, name);
	else
		say(d, WELL, name, "runs on %s", dir);
	if (held >= 0)
		look_at_disk(d, name, dir);
	return held >= 0;
}

/* --- the provider ----------------------------------------------------------------------------- */

struct newest {
	bool found, has_link, link_up;
	uint64_t incarnation, monotonic_ns, interval_ns, lost;
	int64_t realtime_ns;
};

static int take_newest(void *arg, const struct snapshot_view *v)
{
	struct newest *n = arg;

	n->interval_ns = n->incarnation == v->incarnation ? v->monotonic_ns - n->monotonic_ns : 0;
	n->found = true;
	n->incarnation = v->incarnation;
	n->monotonic_ns = v->monotonic_ns;
	n->realtime_ns = v->realtime_ns;
	for (size_t i = 0; i < v->ngroups; i++) {
		const struct schema *s = v->groups[i].schema;

		for (size_t k = 0; k < s->n; k++) {
			if (!strcmp(s->series[k].name, "tallyd_link_up")) {
				n->has_link = true;
				n->link_up = v->groups[i].values[k];
			} else if (!strcmp(s->series[k].name, "tallyd_link_lost_snapshots")) {
				n->lost = v->groups[i].values[k];
			}
		}
	}
	return 0;
}

static void look_at_ring(struct doctor *d, bool running, struct newest *n)
{
	struct errmsg e = {""};
	double age;

	if (ringdir_read(d->state_dir, RINGDIR_NEWEST, take_newest, n, &e)) {
		say(d, NOTE, "ring", "%s", e.text);
		return;
	}
	age = (double)(clock_realtime_ns() - n->realtime_ns) / NSEC_PER_SEC;
	if (!n->found)
		say(d, WRONG, "ring", "%s/ring: no snapshot in it", d->state_dir);
	else if (running && age > LATE_S && age > 3 * (double)n->interval_ns / NSEC_PER_SEC)
		say(d, WRONG, "ring",
			"the newest snapshot is %.0f s old: the log of tallyd says why", age);
	else
		say(d, running ? WELL : NOTE, "ring", "the newest snapshot is %.1f s old", age);
}

static void look_at_furl(struct doctor *d, bool *has_furl)
{
	char fingerprint[FINGERPRINT_SIZE];
	struct errmsg e = {""};
	struct furl furl;
	int err = furl_read_file(d->furl_file, &furl, &e);

	*has_furl = !err;
	if (err == -ENOENT)
		say(d, NOTE, "furl",
			"%s: there is none, so snapshots stay in the ring: put the gatherer's "
			"there "
			"(tally-gatherer --print-furl), mode 0600",
			d->furl_file);
	else if (err == -EACCES)
		say(d, NOTE, "furl", "%s: can't be read: root can see more", d->furl_file);
	else if (err)
		say(d, WRONG, "furl", "%s", e.text);
	if (err)
		return;
	fingerprint_format(furl.id, fingerprint);
	say(d, WELL, "furl", "%s: gatherer %.8s at %s:%s%s", d->furl_file, fingerprint,
		furl.hosts[0].host, furl.hosts[0].port, furl.nhosts > 1 ? " and others" : "");
	explicit_bzero(&furl, sizeof(furl));
}

static void look_at_link(struct doctor *d, const struct newest *n)
{
	if (!n->has_link)
		say(d, NOTE, "link", "the ring does not say: producer \"self\" is left out");
	else if (!n->link_up)
		say(d, WRONG, "link", "no gatherer is connected: the log of tallyd says why");
	else if (n->lost)
		say(d, NOTE, "link",
			"connected; %llu snapshots fell off the ring before they were delivered: a "
			"larger "
			"ring-size lasts longer",
			(unsigned long long)n->lost);
	else
		say(d, WELL, "link", "connected; nothing was lost");
}

static void look_at_segments(struct doctor *d)
{
	struct stat st;

	if (stat(d->segment_dir, &st))
		say(d, NOTE, "segments", "%s: %s: tallyd makes it when it starts", d->segment_dir,
			strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		say(d, WRONG, "segments", "%s is no directory: remove it", d->segment_dir);
	else if ((st.st_mode & 01003) != 01003)
		say(d, WRONG, "segments",
			"%s has mode %04o, so not every user's programs can count: chmod 3773 %s",
			d->segment_dir, st.st_mode & 07777, d->segment_dir);
	else
		say(d, WELL, "segments", "%s", d->segment_dir);
}

static void look_at_provider(struct doctor *d)
{
	struct newest newest = {0};
	bool running, has_furl, seen;

	seen = look_at_daemon(d, "tallyd", d->state_dir, "--state-dir", &running);
	if (seen)
		look_at_ring(d, running, &newest);
	look_at_furl(d, &has_furl);
	if (running && has_furl && newest.found)
		look_at_link(d, &newest);
	look_at_segments(d);
}

/* --- the gatherer ----------------------------------------------------------------------------- */

static void look_at_nodes(struct doctor *d)
{
	int64_t newest = INT64_MIN, now = clock_realtime_ns();
	struct errmsg e = {""};
	struct history *h;
	size_t n, late = 0;

	if (histdir_open(d->history_dir, HISTDIR_OPTIONS, &h, &e)) {
		say(d, WRONG, "history", "%s", e.text);
		return;
	}
	n = history_nodes(h);
	for (size_t i = 0; i < n; i++) {
		int64_t last = history_node(h, i)->last_ns;

		late += now - last > 3 * LATE_S * (int64_t)NSEC_PER_SEC;
		newest = last > newest ? last : newest;
	}
	if (newest > now + LATE_S * (int64_t)NSEC_PER_SEC)
		say(d, WRONG, "history",
			"its newest sample is of the future: look at the clocks of its nodes");
	else if (late)
		say(d, NOTE, "history",
			"%zu of %zu nodes have sent nothing for %d s: 'tally ls --nodes' lists "
			"them",
			late, n, 3 * LATE_S);
	else
		say(d, WELL, "history", "%zu nodes, all up to date", n);
	history_close(h);
}

static void look_at_gatherer(struct doctor *d)
{
	char *history = strdup(d->history_dir);
	bool running;

	if (history && look_at_daemon(d, "tally-gatherer", dirname(history), "--dir", &running))
		look_at_nodes(d);
	free(history);
}

static int look_at_all(struct doctor *d)
{
	look_at_kernel(d);
	look_at_clock(d);
	look_at_provider(d);
	look_at_gatherer(d);
	printf("\n%u wrong, %u to note\n", d->wrongs, d->notes);
	return d->wrongs ? CONF_EXIT_FAIL : CONF_EXIT_OK;
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor d = {.state_dir = strdup("/var/lib/tally"),
		.segment_dir = strdup("/run/tally/seg"),
		.furl_file = strdup("/etc/tally/furl"),
		.history_dir = strdup(histdir_default())};
	const struct conf_option table[] = {
		{"state-dir", CONF_STRING, &d.state_dir, "DIR",
			"of tallyd; /var/lib/tally by default"},
		{"segment-dir", CONF_STRING, &d.segment_dir, "DIR",
			"of instrumented programs; /run/tally/seg by default"},
		{"furl-file", CONF_STRING, &d.furl_file, "FILE",
			"of tallyd; /etc/tally/furl by default"},
		{"dir", CONF_STRING, &d.history_dir, "DIR", "the gatherer's history"},
		{0},
	};
	const struct conf_program prog = {
		.name = "tally doctor",
		.summary = "Looks at provider and gatherer of this machine, and says what is wrong "
			   "and what to do.",
		.usage = "[OPTION]...",
		.options = table,
	};
	int operand, code;

	if (tally_options(&prog, argc, argv, &operand, &code))
		code = operand < argc ? tally_usage(prog.name, "no operand is expected")
				      : look_at_all(&d);
	free(d.state_dir);
	free(d.segment_dir);
	free(d.furl_file);
	free(d.history_dir);
	return code;
}
