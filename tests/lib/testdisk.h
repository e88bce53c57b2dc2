/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of the kernel: loop devices over files in a tmpfs of the test's own. Needs root. Before the first
 * include of a header of the system, _GNU_SOURCE.
 */
#ifndef TALLY_TESTS_LIB_TESTDISK_H
#define TALLY_TESTS_LIB_TESTDISK_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk {
	char name[16]; /* loop3 */
	int number, fd, backing;
	bool made; /* the device itself is ours, too */
};

static char space[] = "/tmp/tally-disk-XXXXXX";

/* A tmpfs of the test's own, of this size. */
static void make_space(const char *size)
{
	char options[32];

	memset(space + sizeof(space) - 7, 'X', 6); /* also the second time */
	cr_assert_not_null(mkdtemp(space));
	snprintf(options, sizeof(options), "size=%s", size);
	cr_assert_eq(mount("none", space, "tmpfs", 0, options), 0, "%s", strerror(errno));
}

static void remove_space(void)
{
	umount2(space, MNT_DETACH);
	rmdir(space);
}

static int highest_disk(void)
{
	char path[64];
	int n = 0;

	do
		snprintf(path, sizeof(path), "/sys/block/loop%d", n++);
	while (access(path, F_OK) == 0);
	return n - 2;
}

/* The number of bytes is the disk's; the file behind it may be too small a tmpfs for that. */
static struct disk make_disk(int i, off_t bytes)
{
	static int highest = -1;
	char path[64];
	struct disk d;
	int control;

	if (access("/dev/loop-control", F_OK))
		cr_assert_eq(mknod("/dev/loop-control", S_IFCHR | 0600, (dev_t)(10 << 8 | 237)), 0);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	cr_assert_geq(control, 0, "/dev/loop-control: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/%d", space, i);
	d.backing = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(d.backing, 0);
	cr_assert_eq(ftruncate(d.backing, bytes), 0);
	highest = highest < 0 ? highest_disk() : highest;
	d.number = ioctl(control, LOOP_CTL_GET_FREE);
	cr_assert_geq(d.number, 0);
	close(control);
	d.made = d.number > highest;
	snprintf(d.name, sizeof(d.name), "loop%d", d.number);
	snprintf(path, sizeof(path), "/dev/%s", d.name);
	if (access(path, F_OK))
		cr_assert_eq(mknod(path, S_IFBLK | 0600, (dev_t)(7 << 8 | d.number)), 0);
	d.fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	cr_assert_geq(d.fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(ioctl(d.fd, LOOP_SET_FD, d.backing), 0, "%s: %s", path, strerror(errno));
	return d;
}

static void remove_disk(struct disk *d)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	ioctl(d->fd, LOOP_CLR_FD, 0);
	close(d->fd);
	close(d->backing);
	/* it is busy until the kernel has let go of it */
	for (int i = 0; d->made && i < 100 && ioctl(control, LOOP_CTL_REMOVE, d->number) < 0; i++)
		usleep(10000);
	close(control);
}

enum { DISK_READ = 3 << 20, DISK_WRITTEN = 1 << 20 };

/* Reads and writes so many bytes, past the page cache. */
__attribute__((unused)) static void move_bytes(const struct disk *d)
{
	enum { PIECE = 1 << 20 };
	void *piece;

	if (posix_memalign(&piece, 4096, PIECE))
		abort();
	memset(piece, 1, PIECE);
	for (off_t at = 0; at < DISK_WRITTEN; at += PIECE)
		if (pwrite(d->fd, piece, PIECE, at) != PIECE)
			abort();
	for (off_t at = 0; at < DISK_READ; at += PIECE)
		if (pread(d->fd, piece, PIECE, at) != PIECE)
			abort();
	free(piece);
}

struct file_system {
	struct disk disk;
	char at[48]; /* where it is mounted */
};

/* An ext4 of the test's own, with a journal, on a disk of its own. */
__attribute__((unused)) static struct file_system make_file_system(void)
{
	struct file_system fs;
	char command[128], device[32];

	make_space("64m");
	fs.disk = make_disk(0, 32 << 20);
	snprintf(device, sizeof(device), "/dev/%s", fs.disk.name);
	snprintf(command, sizeof(command), "mkfs.ext4 -q -J size=4 %s", device);
	cr_assert_eq(system(command), 0, "%s", command);
	snprintf(fs.at, sizeof(fs.at), "%s/mnt", space);
	cr_assert_eq(mkdir(fs.at, 0700), 0);
	cr_assert_eq(mount(device, fs.at, "ext4", 0, NULL), 0, "%s", strerror(errno));
	return fs;
}

__attribute__((unused)) static void remove_file_system(struct file_system *fs)
{
	umount(fs->at);
	rmdir(fs->at);
	remove_disk(&fs->disk);
	remove_space();
}

/* For tests that keep it here: to be called at their end, also if they have failed. */
static struct file_system own_fs;

__attribute__((unused)) static void remove_own_fs(void)
{
	if (*own_fs.at)
		remove_file_system(&own_fs);
}

#endif
