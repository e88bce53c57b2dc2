/* SPDX-License-Identifier: MIT */
/*
 * The few system calls that tally makes, without libc: no errno is touched, no feature macro is
 * needed, nothing can be interposed. All return a negative errno on failure.
 */
#ifndef TALLY_SYSTEM_H
#define TALLY_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/*
 * Objects that were compiled with headers of different versions may be linked into one: whatever the
 * linker would make one of has the version of the segment in its name.
 */
#define tally_thread_  tally2_thread_
#define tally_process_ tally2_process_
#define tally_object_  tally2_object_
#define tally_clock_   tally2_clock_
#ifdef __cplusplus
#define TALLY_BEGIN_             \
	inline namespace tally2_ \
	{
#define TALLY_END_ }
#else
#define TALLY_BEGIN_
#define TALLY_END_
#endif

/* MANY: what runs once a metric at the start, and so for speed where SLOW is for size. */
#ifdef __cplusplus
#define TALLY_MANY_                                                        \
	__attribute__((__visibility__("hidden"), __unused__, __noinline__, \
		__no_instrument_function__)) inline
#define TALLY_FN_ \
	__attribute__((__visibility__("hidden"), __unused__, __no_instrument_function__)) inline
#define TALLY_SLOW_                                                                  \
	__attribute__((__visibility__("hidden"), __unused__, __noinline__, __cold__, \
		__no_instrument_function__)) inline
#else
#define TALLY_MANY_ __attribute__((__unused__, __noinline__, __no_instrument_function__)) static
#define TALLY_FN_   __attribute__((__unused__, __no_instrument_function__)) static inline
#define TALLY_SLOW_ \
	__attribute__((__unused__, __noinline__, __cold__, __no_instrument_function__)) static
#endif

TALLY_BEGIN_

#if defined(__x86_64__)
TALLY_FN_ long tally_sys_(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ __volatile__("syscall"
			     : "=a"(ret)
			     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			     : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
TALLY_FN_ long tally_sys_(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ __volatile__("svc 0"
			     : "+r"(x0)
			     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			     : "memory", "cc");
	return x0;
}
#else
#error "tally knows the system calls of x86-64 and arm64 only"
#endif

/* One copy for each linked object, however many files include this. */
#define TALLY_ONE_ __attribute__((__weak__, __visibility__("hidden")))

/* Values of the kernel's ABI; libc shows some of them only under feature macros. */
enum tally_abi_ {
	TALLY_EPERM_ = 1,
	TALLY_EEXIST_ = 17,
	TALLY_EINVAL_ = 22,
	TALLY_ENOSPC_ = 28,
	TALLY_ESRCH_ = 3,
	TALLY_ENOSYS_ = 38,
	TALLY_ENOENT_ = 2,
	TALLY_EOPNOTSUPP_ = 95,
	TALLY_AT_FDCWD_ = -100,
	TALLY_AT_EMPTY_PATH_ = 0x1000,
	TALLY_O_RDWR_ = 2,
	TALLY_O_CREAT_ = 0100,
	TALLY_O_EXCL_ = 0200,
	TALLY_O_NONBLOCK_ = 04000,
	TALLY_O_CLOEXEC_ = 02000000,
#if defined(__aarch64__)
	TALLY_O_DIRECTORY_ = 040000,
	TALLY_O_NOFOLLOW_ = 0100000,
#else
	TALLY_O_DIRECTORY_ = 0200000,
	TALLY_O_NOFOLLOW_ = 0400000,
#endif
	TALLY_O_PATH_ = 010000000,
	TALLY_O_TMPFILE_ = 020000000 | TALLY_O_DIRECTORY_,
	TALLY_AT_SYMLINK_FOLLOW_ = 0x400,
	TALLY_PROT_RW_ = 3,
	TALLY_MAP_SHARED_ = 1,
	TALLY_MAP_ANONYMOUS_ = 0x20,
	TALLY_MADV_WIPEONFORK_ = 18,
	TALLY_MADV_POPULATE_WRITE_ = 23,
	TALLY_F_OFD_SETLK_ = 37,
	TALLY_F_WRLCK_ = 1,
	TALLY_RENAME_NOREPLACE_ = 1,
	TALLY_RLIMIT_FSIZE_ = 1,
	TALLY_SIG_SETMASK_ = 2,
	TALLY_KCMP_VM_ = 1,
	TALLY_CLOCK_MONOTONIC_ = 1,
	TALLY_PR_GET_DUMPABLE_ = 3,
	TALLY_FUTEX_CMP_REQUEUE_PRIVATE_ = 4 | 128,
	TALLY_FUTEX_WAKE_OP_PRIVATE_ = 5 | 128,
	TALLY_AT_SECURE_ = 23,
	TALLY_AT_EXECFN_ = 31,
	TALLY_S_IFMT_ = 0170000,
	TALLY_S_IFREG_ = 0100000,
	TALLY_STATX_BASIC_ = 0x7ff,
};

/* struct statx of linux/stat.h, as far as it is used here */
struct tally_statx_ {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad0;
	uint64_t ino, size, blocks;
	uint64_t rest[25];
};

struct tally_flock_ {
	int16_t type, whence;
	int32_t pad;
	int64_t start, len;
	int32_t pid, pad1;
};

/* MemorySanitizer does not see what the kernel writes for these calls: it is zero before. */
TALLY_FN_ long tally_sys_statx_(int fd, const char *path, struct tally_statx_ *st)
{
	memset(st, 0, sizeof(*st));
	return tally_sys_(
		SYS_statx, fd, (long)path, TALLY_AT_EMPTY_PATH_, TALLY_STATX_BASIC_, (long)st, 0);
}

TALLY_FN_ int tally_sys_open_(int dirfd, const char *path, int flags, int mode)
{
	return (int)tally_sys_(SYS_openat, dirfd, (long)path, flags, mode, 0, 0);
}

TALLY_FN_ void tally_sys_close_(int fd)
{
	tally_sys_(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* NULL if there is none to be had. fd -1: memory without a file. Shared with forked children. */
TALLY_FN_ char *tally_sys_mmap_(uint64_t size, int fd)
{
	long r = tally_sys_(SYS_mmap, 0, (long)size, TALLY_PROT_RW_,
		TALLY_MAP_SHARED_ | (fd < 0 ? TALLY_MAP_ANONYMOUS_ : 0), fd, 0);

	return r < 0 && r > -4096 ? (char *)0 : (char *)r;
}

TALLY_FN_ void tally_sys_munmap_(void *p, uint64_t size)
{
	tally_sys_(SYS_munmap, (long)p, (long)size, 0, 0, 0, 0);
}

TALLY_FN_ uint32_t tally_sys_getpid_(void)
{
	return (uint32_t)tally_sys_(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

TALLY_FN_ uint32_t tally_sys_gettid_(void)
{
	return (uint32_t)tally_sys_(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* What a file of /proc or /sys says, at most size bytes of it; 0 if it can't be read. */
TALLY_SLOW_ size_t tally_sys_read_file_(const char *path, char *out, size_t size)
{
	int fd = tally_sys_open_(TALLY_AT_FDCWD_, path, TALLY_O_CLOEXEC_, 0);
	long r;

	memset(out, 0, size);
	r = fd < 0 ? fd : tally_sys_(SYS_read, fd, (long)out, (long)size, 0, 0, 0);

	if (fd >= 0)
		tally_sys_close_(fd);
	return r > 0 ? (size_t)r : 0;
}

/* Blocks all signals; *old is what to restore. */
TALLY_FN_ void tally_sys_block_signals_(uint64_t *old)
{
	uint64_t all = ~(uint64_t)0;

	*old = 0;
	tally_sys_(SYS_rt_sigprocmask, TALLY_SIG_SETMASK_, (long)&all, (long)old, 8, 0, 0);
}

TALLY_FN_ void tally_sys_restore_signals_(const uint64_t *old)
{
	tally_sys_(SYS_rt_sigprocmask, TALLY_SIG_SETMASK_, (long)old, 0, 8, 0, 0);
}

/*
 * Lets others run before what they hold is asked for again, the turn-th time. A thread of SCHED_FIFO that
 * only yields would keep those of lower priority from its CPU.
 */
TALLY_FN_ void tally_sys_wait_(uint32_t turn)
{
	const long for_a_moment[2] = {0, 100000}; /* s, ns */

	if (turn < 16 || tally_sys_(SYS_nanosleep, (long)for_a_moment, 0, 0, 0, 0, 0) < 0)
		tally_sys_(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/*
 * Makes sure that the page at p has memory behind it, without changing it: the kernel adds 0 to the
 * word there. A plain store would end in SIGBUS where the file system is full; this says so instead.
 */
TALLY_FN_ long tally_sys_populate_(void *p)
{
	static uint32_t nobody;

	/* op ADD 0, comparison "== -1 after"; nobody waits on either address */
	long op = (1l << 28) | 0xfff;

	return tally_sys_(
		SYS_futex, (long)&nobody, TALLY_FUTEX_WAKE_OP_PRIVATE_, 0, 0, (long)p, op);
}

/*
 * Is the word at p, where there may be no memory at all, this one? The kernel compares before it would
 * move those who wait there, of whom there are none.
 */
TALLY_FN_ int tally_sys_word_is_(const void *p, uint32_t word)
{
	return tally_sys_(SYS_futex, (long)p, TALLY_FUTEX_CMP_REQUEUE_PRIVATE_, 0, 0, (long)p,
		       (long)word) == 0;
}

TALLY_END_

#endif
