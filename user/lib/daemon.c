/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a daemon does once at its start. */
#include "user/lib/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/lib/diag.h"

int daemon_find_user(const char *name, struct daemon_user *ret, struct errmsg *e)
{
	struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	if (!pw && errno && errno != ENOENT)
		return err_set(e, -errno, "user %s: %s", name, strerror(errno));
	if (!pw)
		return -ENOENT;
	*ret = (struct daemon_user){.uid = pw->pw_uid, .gid = pw->pw_gid};
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	return 0;
}

int daemon_find_user_or_nobody(const char *name, struct daemon_user *ret, struct errmsg *e)
{
	int err = daemon_find_user(name, ret, e);

	if (err == -ENOENT) {
		diag_warning("there is no user '%s': running as nobody instead", name);
		err = daemon_find_user("nobody", ret, e);
	}
	return err == -ENOENT ? err_set(e, err, "neither user '%s' nor 'nobody' exists", name)
			      : err;
}

static int daemon_drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

static int daemon_check_dropped(const struct daemon_user *u)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct now[_LINUX_CAPABILITY_U32S_3];
	uid_t r, eff, saved;

	if (getresuid(&r, &eff, &saved) || r != u->uid || eff != u->uid || saved != u->uid)
		return -EPERM;
	if (syscall(SYS_capget, &header, now))
		return -errno;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (now[i].effective | now[i].permitted | now[i].inheritable)
			return -EPERM;
	return u->uid && !setresuid(0, 0, 0) ? -EPERM : 0;
}

/* Not even a program with file capabilities could give any back. Root in a container may not be allowed to. */
static void daemon_empty_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

int daemon_become(const struct daemon_user *u, struct errmsg *e)
{
	int rc = 0;

	daemon_empty_bounding_set();
	if (setgroups(0, NULL) || setresgid(u->gid, u->gid, u->gid) ||
		setresuid(u->uid, u->uid, u->uid) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		rc = -errno;
	if (!rc)
		rc = daemon_drop_capabilities();
	if (!rc)
		rc = daemon_check_dropped(u);
	return rc ? err_set(e, rc, "can't become user %s: %s", u->name, strerror(-rc)) : 0;
}

/* In the parent: until the child is ready, or gone. */
static int daemon_await(int fd, pid_t child)
{
	int status = 0;
	char c = 0;

	while (read(fd, &c, 1) < 0 && errno == EINTR)
		;
	if (c == 'r')
		return 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int daemon_detach(int *ret_fd, struct errmsg *e)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return err_set(e, -errno, "pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		return err_set(e, -errno, "fork: %s", strerror(errno));
	if (pid) {
		close(fds[1]);
		_exit(daemon_await(fds[0], pid));
	}
	close(fds[0]);
	setsid();
	*ret_fd = fds[1];
	return 0;
}

void daemon_ready(int fd)
{
	int null;

	daemon_notify("READY=1");
	if (fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	if (write(fd, "r", 1) == 1)
		close(fd);
}

void daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
