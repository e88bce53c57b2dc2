/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is given back, by what the kernel says is mapped; and that all that is needed again is there. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "user/provider/memory.h"

#define PAGES 64u

static size_t page;

/* A file of PAGES pages, each full of its number; it has no name any more. */
static int make_file(void)
{
	char path[] = "/tmp/test-memory-XXXXXX";
	int fd = mkstemp(path);
	uint8_t *bytes;

	page = (size_t)sysconf(_SC_PAGESIZE);
	cr_assert_geq(fd, 0);
	cr_assert_eq(unlink(path), 0);
	bytes = malloc(page);
	for (unsigned i = 0; i < PAGES; i++) {
		memset(bytes, (int)i, page);
		cr_assert_eq(write(fd, bytes, page), (ssize_t)page);
	}
	free(bytes);
	return fd;
}

static void assert_content(const uint8_t *at)
{
	for (unsigned i = 0; i < PAGES; i++)
		for (size_t k = 0; k < page; k++)
			cr_assert_eq(at[i * page + k], i, "page %u", i);
}

static uint8_t *map_file(int fd, int protection, int flags)
{
	uint8_t *at = mmap(NULL, PAGES * page, protection, flags, fd, 0);

	cr_assert_neq(at, MAP_FAILED);
	assert_content(at);
	return at;
}

/* Pages that are in memory for this process: bit 63 of Documentation/admin-guide/mm/pagemap.rst. */
static unsigned count_present(const uint8_t *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entries[PAGES];
	unsigned n = 0;

	cr_assert_eq(pread(fd, entries, sizeof(entries), (off_t)((uintptr_t)at / page * 8)),
		sizeof(entries));
	close(fd);
	for (unsigned i = 0; i < PAGES; i++)
		n += entries[i] >> 63 & 1;
	return n;
}

Test(memory, pages_of_files_go_and_come_back)
{
	int fd = make_file();
	uint8_t *constants = map_file(fd, PROT_READ, MAP_PRIVATE);
	uint8_t *code = map_file(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE);

	cr_assert_eq(count_present(constants), PAGES);
	cr_assert_eq(count_present(code), PAGES);
	memory_give_back();
	cr_assert_eq(count_present(constants), 0);
	cr_assert_eq(count_present(code), 0);
	assert_content(constants);
	assert_content(code);
}

/* As relocation does. */
Test(memory, what_was_changed_stays)
{
	int fd = make_file();
	uint8_t *at = map_file(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	at[3 * page + 5] = 99;
	cr_assert_eq(mprotect(at, PAGES * page, PROT_READ), 0);
	memory_give_back();
	cr_assert_eq(at[3 * page + 5], 99);
}

Test(memory, what_can_be_written_or_is_shared_stays)
{
	int fd = make_file();
	uint8_t *variables = map_file(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint8_t *shared = map_file(fd, PROT_READ, MAP_SHARED);

	memory_give_back();
	cr_assert_eq(count_present(variables), PAGES);
	cr_assert_eq(count_present(shared), PAGES);
}

/* glibc keeps what lies below a block in use. */
Test(memory, what_the_heap_has_free_goes)
{
	enum { N = 64, SIZE = 64 << 10 };
	uint8_t *block[N], *free_one;

	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	for (unsigned i = 0; i < N; i++) {
		block[i] = malloc(SIZE);
		memset(block[i], 1, SIZE);
	}
	for (unsigned i = 0; i + 1 < N; i++)
		free(block[i]);
	page = (size_t)sysconf(_SC_PAGESIZE);
	free_one = (uint8_t *)(((uintptr_t)block[1] + page) & ~(page - 1));
	cr_assert_eq(count_present(free_one), PAGES);
	memory_give_back();
	cr_assert_eq(count_present(free_one), 0);
	free(block[N - 1]);
}
