/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on files by kind of file system, where all kinds are alike: at the functions that system calls come
 * through. Each is counted where it ends, and timed if its begin was noted.
 */
#include "bpf/files.h"
#include "bpf/module.bpf.h"

#define MAX_ERRNO 4095

CPU_MAP(tally_files_cpu, struct files_cpu);
SLOT_MAPS(tally_files, struct files_cell, struct tally_slot);

/*
 * When an operation of a task began; the key is the task's id, with enum files_op above it. A task that ends in one
 * leaves it: so the oldest make room.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} tally_files_timed SEC(".maps");

KNOBS_MAP(tally_files_knobs);

static __always_inline enum files_op op_of(enum files_function function)
{
	switch (function) {
	case FILES_VFS_READ:
	case FILES_VFS_READV:
		return FILES_READ;
	case FILES_VFS_WRITE:
	case FILES_VFS_WRITEV:
		return FILES_WRITE;
	case FILES_DO_OPEN:
		return FILES_OPEN;
	default:
		return FILES_FSYNC;
	}
}

/* What waits for the disk is rare enough to be timed each time. */
static __always_inline bool is_timed(struct files_cpu *c, enum files_op op)
{
	return op == FILES_FSYNC || is_chosen(FILES_EVERY, &c->left);
}

static __always_inline __u64 timed_key(enum files_op op)
{
	return (__u64)op << 32 | (__u32)bpf_get_current_pid_tgid();
}

static __always_inline int begin_op(enum files_function function)
{
	struct files_cpu *c = THIS_CPU(tally_files_cpu);
	enum files_op op = op_of(function);
	__u64 key = timed_key(op), begin, now;

	if (!c)
		return 0;
	begin = own_begin(&c->begin[function]);
	if (is_timed(c, op)) {
		now = bpf_ktime_get_ns();
		bpf_map_update_elem(&tally_files_timed, &key, &now, BPF_ANY);
	}
	own_end_atomic(&c->begin[function], begin);
	return 0;
}

static __always_inline void count_time(struct files_figures *f, __u64 key)
{
	__u64 *since = bpf_map_lookup_elem(&tally_files_timed, &key);

	if (!since)
		return;
	if (BEGAN_ATTACHED(tally_files_knobs, *since))
		histogram_count(
			f->times, &f->ns, elapsed(*since, bpf_ktime_get_ns()), FILES_LO, FILES_HI);
	bpf_map_delete_elem(&tally_files_timed, &key);
}

/* fs: the kernel's name of the kind of file system; NULL if there was no file: that is with the others. */
static __always_inline int end_op(enum files_function function, const char *fs, long result)
{
	struct files_cpu *own = THIS_CPU(tally_files_cpu);
	enum files_op op = op_of(function);
	struct files_cell *c;
	__u64 begin, key;

	if (!own)
		return 0;
	begin = own_begin(&own->end[function]);
	key = fs ? text_key(fs) : 0;
	c = SLOT_CELL(tally_files, key ? SLOT(tally_files, key, SLOT_TEXT(fs)) : 0);
	if (c) {
		__sync_fetch_and_add(&c->ops[op].operations, 1);
		if (result < 0)
			__sync_fetch_and_add(&c->ops[op].errors, 1);
		else if (result)
			__sync_fetch_and_add(&c->ops[op].bytes, result);
		count_time(&c->ops[op], timed_key(op));
	}
	own_end_atomic(&own->end[function], begin);
	return 0;
}

static __always_inline const char *fs_of(const struct file *file)
{
	return file->f_inode->i_sb->s_type->name;
}

#define BEGIN_AT(name, kernels, function)    \
	SEC("fentry/" kernels)               \
	int tally_##name##_begin(__u64 *ctx) \
	{                                    \
		return begin_op(function);   \
	}

/* At a function whose first argument is the file; all results fit into an int. */
#define AT_FILE(name, kernels, function, args)                                        \
	BEGIN_AT(name, kernels, function)                                             \
	SEC("fexit/" kernels)                                                         \
	int tally_##name##_end(__u64 *ctx)                                            \
	{                                                                             \
		return end_op(function, fs_of((const void *)ctx[0]), (int)ctx[args]); \
	}

AT_FILE(read, "vfs_read", FILES_VFS_READ, 4)
AT_FILE(write, "vfs_write", FILES_VFS_WRITE, 4)
AT_FILE(readv, "vfs_readv", FILES_VFS_READV, 5)
AT_FILE(writev, "vfs_writev", FILES_VFS_WRITEV, 5)

BEGIN_AT(open, "do_filp_open", FILES_DO_OPEN)

/* The result is the file, or an error. */
SEC("fexit/do_filp_open")
int tally_open_end(__u64 *ctx)
{
	const struct file *file = (const void *)ctx[3];

	if ((__u64)file >= (__u64)-MAX_ERRNO)
		return end_op(FILES_DO_OPEN, NULL, -1);
	return end_op(FILES_DO_OPEN, fs_of(file), 0);
}

/* NULL if there is none. */
static __always_inline const char *fs_of_descriptor(__u32 fd)
{
	const struct task_struct *task = (const void *)bpf_get_current_task();
	const struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	const struct file *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file ? BPF_CORE_READ(file, f_inode, i_sb, s_type, name) : NULL;
}

/*
 * System calls: compilers put what they call into them, so that vfs_fsync_range() is often not called. This name is
 * that of processors whose first argument of a system call is in this register.
 */
#define AT_DESCRIPTOR(name, kernels, function)                                           \
	BEGIN_AT(name, kernels, function)                                                \
	SEC("fexit/" kernels)                                                            \
	int tally_##name##_end(__u64 *ctx)                                               \
	{                                                                                \
		const struct pt_regs *regs = (const void *)ctx[0];                       \
                                                                                         \
		return end_op(function, fs_of_descriptor((__u32)regs->di), (int)ctx[1]); \
	}

AT_DESCRIPTOR(fsync, "__x64_sys_fsync", FILES_SYS_FSYNC)
AT_DESCRIPTOR(fdatasync, "__x64_sys_fdatasync", FILES_SYS_FDATASYNC)
