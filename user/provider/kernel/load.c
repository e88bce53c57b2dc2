/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading BPF programs: one clear line for whatever goes wrong.
 *
 * Nothing is examined before a load: on a machine where it works, the check would cost a second
 * parse of the kernel's BTF. Only after a failure is its cause looked for, in the order in which a
 * person would mend it: capabilities, BTF, tracepoint or function, members, and last what forbids bpf(2).
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <ctype.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/provider/kernel/load.h"

/* libbpf hands no pointer of ours to its print function. */
static char first_warning[200];
static libbpf_print_fn_t print_before;

static int keep_first_warning(enum libbpf_print_level level, const char *fmt, va_list args)
{
	if (level == LIBBPF_WARN && !*first_warning) {
		vsnprintf(first_warning, sizeof(first_warning), fmt, args);
		first_warning[strcspn(first_warning, "\n")] = 0;
	}
	return 0;
}

void load_begin(void)
{
	*first_warning = 0;
	print_before = libbpf_set_print(keep_first_warning);
}

void load_end(void)
{
	libbpf_set_print(print_before);
}

static bool capability_held(const struct __user_cap_data_struct *data, unsigned cap)
{
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

/* All are 0 where it fails: none is held. */
static void capabilities_read(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	memset(data, 0, _LINUX_CAPABILITY_U32S_3 * sizeof(data[0]));
	if (syscall(SYS_capget, &head, data))
		memset(data, 0, _LINUX_CAPABILITY_U32S_3 * sizeof(data[0]));
}

/* CAP_SYS_ADMIN includes both others. */
static bool capabilities_suffice(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	capabilities_read(data);
	return capability_held(data, CAP_SYS_ADMIN) ||
	       (capability_held(data, CAP_BPF) && capability_held(data, CAP_PERFMON));
}

int load_check_capability(unsigned number, const char *name, const char *module, struct errmsg *e)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	capabilities_read(data);
	if (capability_held(data, number))
		return 0;
	return err_set(e, -EPERM,
		"%s: %s is missing, which it needs besides CAP_BPF and CAP_PERFMON; start as root "
		"or "
		"grant it",
		module, name);
}

static bool btf_has_function(const struct btf *btf, const char *name)
{
	return name && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

static bool btf_has_tracepoint(const struct btf *btf, const char *name)
{
	char type[128];

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	return btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF) > 0;
}

/* Arguments of a tracepoint; its type is a pointer to a function that has a context before them. */
static unsigned btf_tracepoint_args(const struct btf *btf, const char *name)
{
	char type[128];
	const struct btf_type *t;
	int id;

	snprintf(type, sizeof(type), "btf_trace_%s", name);
	id = btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF);
	t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	t = t ? btf__type_by_id(btf, t->type) : NULL;
	t = t && btf_is_ptr(t) ? btf__type_by_id(btf, t->type) : NULL;
	return t && btf_is_func_proto(t) && btf_vlen(t) ? btf_vlen(t) - 1u : 0;
}

/* Members of one that has no name are those of what it is in. */
static bool btf_type_has_member(const struct btf *btf, uint32_t id, const char *member)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	for (uint32_t i = 0; t && btf_is_composite(t) && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(btf, m->name_off);

		if (*name ? !strcmp(name, member) : btf_type_has_member(btf, m->type, member))
			return true;
	}
	return false;
}

static bool btf_has_member(const struct btf *btf, const struct load_member *m)
{
	int id = btf__find_by_name_kind(btf, m->type, BTF_KIND_STRUCT);

	return id > 0 && btf_type_has_member(btf, (uint32_t)id, m->member);
}

/* Whether programs can call bpf_NAME, as the kernel's own list of its helpers has it. */
static bool btf_has_helper(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "BPF_FUNC_%s", name);
	for (uint32_t i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), wanted))
			return true;
	return false;
}

/* 0 if the kernel has all that is needed. */
static int explain_kernel(const struct btf *btf, const struct load_needs *needs, struct errmsg *e)
{
	if (needs->function && !btf_has_function(btf, needs->function) &&
		!btf_has_function(btf, needs->renamed))
		return err_set(e, -EOPNOTSUPP,
			"%s: this kernel has no function %s, or none that programs can be attached "
			"to; "
			"another kernel is needed for it",
			needs->module, needs->function);
	if (needs->tracepoint && !btf_has_tracepoint(btf, needs->tracepoint))
		return err_set(e, -EOPNOTSUPP,
			"%s: this kernel has no tracepoint %s; another kernel is needed for it",
			needs->module, needs->tracepoint);
	if (needs->helper && !btf_has_helper(btf, needs->helper))
		return err_set(e, -EOPNOTSUPP,
			"%s: this kernel's programs can't call bpf_%s; a newer kernel is needed "
			"for it",
			needs->module, needs->helper);
	if (needs->args && btf_tracepoint_args(btf, needs->tracepoint) < needs->args)
		return err_set(e, -EOPNOTSUPP,
			"%s: this kernel's tracepoint %s does not tell what is counted; a newer "
			"kernel is "
			"needed for it",
			needs->module, needs->tracepoint);
	for (const struct load_member *m = needs->members; m && m->type; m++)
		if (!btf_has_member(btf, m))
			return err_set(e, -EOPNOTSUPP,
				"%s: this kernel's struct %s has no member %s; a kernel with %s is "
				"needed for it",
				needs->module, m->type, m->member, m->option);
	return 0;
}

int load_explain(int err, const struct load_needs *needs, struct errmsg *e)
{
	struct btf *btf;
	int rc;

	if (!capabilities_suffice())
		return err_set(e, -EPERM,
			"%s: CAP_BPF and CAP_PERFMON are missing; start as root or grant both",
			needs->module);
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return err_set(e, -EOPNOTSUPP,
			"%s: the kernel's types are not readable at /sys/kernel/btf/vmlinux; a "
			"kernel with CONFIG_DEBUG_INFO_BTF and /sys mounted are needed for it",
			needs->module);
	rc = explain_kernel(btf, needs, e);
	btf__free(btf);
	if (rc)
		return rc;
	/* some virtual machines' kernels do so, and take all other programs */
	if (err == -EPERM && needs->function)
		return err_set(e, -EOPNOTSUPP,
			"%s: this kernel refuses programs at its functions although the "
			"capabilities are "
			"there; another kernel is needed for it (libbpf: %s)",
			needs->module, *first_warning ? first_warning : "no message");
	if (err == -EPERM) /* -EACCES is the verifier's own */
		return err_set(e, err,
			"%s: the kernel refuses bpf(2) although the capabilities are there; look "
			"for "
			"%sa security module, a seccomp filter or lockdown (libbpf: %s)",
			needs->module,
			needs->cgroup_hook ? "a program at the root cgroup that was attached as "
					     "the only one (bpftool cgroup show), "
					   : "",
			*first_warning ? first_warning : "no message");
	return err_set(e, err, "%s: the kernel does not take the program: %s (%s)", needs->module,
		strerror(-err), *first_warning ? first_warning : "no message");
}

static void name_copy(char *to, const char *from, const char *prefix, size_t size)
{
	size_t skip = strncmp(from, prefix, strlen(prefix)) ? 0 : strlen(prefix), i = 0;

	for (from += skip; *from && i + 1 < size; from++)
		to[i++] = (char)tolower((unsigned char)*from);
	to[i] = '\0';
}

/* A copy that takes no more room than its texts do. */
static char **pack_names(char *const *names, uint32_t n)
{
	size_t size = n * sizeof(*names);
	char **packed, *to;

	for (uint32_t i = 0; i < n; i++)
		size += strlen(names[i]) + 1;
	packed = malloc(size);
	if (!packed)
		return NULL;
	to = (char *)(packed + n);
	for (uint32_t i = 0; i < n; i++) {
		packed[i] = to;
		to = stpcpy(to, names[i]) + 1;
	}
	return packed;
}

int load_enum_names(const char *type, const char *prefix, uint32_t n, char ***ret)
{
	enum { SIZE = 64 };
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf ? btf__find_by_name_kind(btf, type, BTF_KIND_ENUM) : -1;
	const struct btf_type *t = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	char **names = t ? malloc(n * (sizeof(*names) + SIZE)) : NULL;

	for (uint32_t i = 0; names && i < n; i++) {
		names[i] = (char *)(names + n) + (size_t)i * SIZE;
		snprintf(names[i], SIZE, i == n - 1 ? "other" : "%u", i);
	}
	for (uint32_t i = 0; names && i < btf_vlen(t); i++) {
		const struct btf_enum *e = &btf_enum(t)[i];

		if (e->val >= 0 && (uint32_t)e->val < n - 1)
			name_copy(
				names[e->val], btf__name_by_offset(btf, e->name_off), prefix, SIZE);
	}
	btf__free(btf);
	if (!names)
		return t ? -ENOMEM : -EOPNOTSUPP;
	*ret = pack_names(names, n);
	free(names);
	return *ret ? 0 : -ENOMEM;
}

int load_map_view(const struct bpf_map *map, size_t size, const void **ret)
{
	int fd = bpf_map__fd(map);
	void *view;

	if (bpf_map_freeze(fd))
		return -errno;
	view = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (view == MAP_FAILED)
		return -errno;
	*ret = view;
	return 0;
}

int load_map_knob(const struct bpf_map *map, size_t size, void **ret)
{
	void *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (view == MAP_FAILED)
		return -errno;
	*ret = view;
	return 0;
}
