/* SPDX-License-Identifier: MIT */
/*
 * The shared memory ABI of tally: what a segment file holds, byte by byte. Version 1.
 *
 * A segment belongs to one instrumented object (the program or one of its shared objects) of one
 * process and of the processes forked from it. All integers are in the byte order of the machine.
 *
 *   0            +--------------------------------------------------------------+
 *                | struct tally_segment: magic, sizes, offsets                  |
 *   desc_off     +--------------------------------------------------------------+
 *                | struct tally_segment_desc [ndesc]: name, type, place in row  |
 *   strings_off  +--------------------------------------------------------------+
 *                | strings, each ended by a zero byte; offsets are from         |
 *                | strings_off, and offset 0 is the empty string                |
 *   rows_off     +--------------------------------------------------------------+
 *                | row 0   shared: lock add, and all gauges                     |
 *                | row 1   owned by one thread: plain add                       |
 *                | ...                                                          |
 *                | row rows-1                                                   |
 *                +--------------------------------------------------------------+  rows_off + rows * row_size
 *
 *   row:  0   8  owner: generation << 32 | claim << 22 | thread id; 0: free. Row 0: always 0
 *         8   8  generation << 32 | process id, as the owner sees it
 *        16   8  generation << 32 | inode of the owner's pid namespace, 0 if unknown
 *        24   8  zero
 *        32      cells, 8 bytes each; a descriptor says which are its own
 *
 * A generation is drawn by each process of the family, so that the owner of a row is one thread of one
 * process, for ever; claim counts up, so that a thread id that is used again makes another owner. The two
 * words after the owner count only while their generation is the owner's;
 * writers use them to find rows whose owner is gone, readers need neither.
 *
 * The value of a counter is the sum of its cell over all rows (wrapping at 2^64); of a gauge, its cell
 * in row 0. Cells only grow, whoever owns the row: a row that gets another owner keeps its values.
 *
 * Readers: everything but `rows`, `generation`, `starts` and the rows themselves is constant
 * once the file has its final name (it is made as NAME.new). A writer holds a write lock (F_OFD_SETLK,
 * whole file) on the open file description that all its processes share: who can take a read lock
 * knows that all of them are dead, and that none will write again while he holds it. A new process of
 * the same program and user may take over a dead file (write lock, same descriptors): `starts` then
 * goes up, and the cells go on from where they were.
 */
#ifndef TALLY_SEGMENT_H
#define TALLY_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_SEGMENT_MAGIC    "TALLYSEG"
#define TALLY_SEGMENT_VERSION  1u
#define TALLY_ROW_HEADER       32u
#define TALLY_ROW_ALIGN        64u
#define TALLY_SEGMENT_NAME_MAX 255u /* bytes of a string, without its zero */

/* The numbers of enum tally_type are part of the ABI. */
enum tally_type {
	TALLY_TYPE_COUNTER = 1, /* one cell, unsigned */
	TALLY_TYPE_GAUGE = 2, /* one cell, signed, in row 0 */
};

struct tally_segment {
	char magic[8];
	uint32_t version;
	uint32_t header_size; /* sizeof(struct tally_segment) */
	uint8_t id[16]; /* random, drawn when the file was made */
	uint64_t birth_ns; /* realtime when the file was made */
	uint32_t desc_off, ndesc;
	uint32_t strings_off, strings_len;
	uint32_t rows_off, row_size; /* row_size: a multiple of TALLY_ROW_ALIGN */
	uint32_t rows_max; /* rows never exceeds it */
	uint32_t rows; /* allocated in the file; grows (atomic) */
	uint32_t generation; /* newest that was given to a process (atomic) */
	uint32_t starts; /* processes that started on this file: 1, more if adopted */
	uint32_t program, object; /* strings: name of the program, of the instrumented object */
	uint32_t desc_size; /* sizeof(struct tally_segment_desc) */
	uint32_t reserved[9];
};

struct tally_segment_desc {
	uint32_t name, unit, help; /* strings */
	uint8_t type; /* enum tally_type */
	int8_t scale; /* shown value = cell x 10^scale */
	uint16_t reserved0;
	uint32_t cell; /* byte offset of its first cell from the start of a row */
	uint32_t cells; /* how many */
	uint32_t reserved1[2];
};

#if defined(__cplusplus)
#define TALLY_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define TALLY_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

TALLY_STATIC_ASSERT(sizeof(struct tally_segment_desc) == 32, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, id) == 16, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, birth_ns) == 32, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, desc_off) == 40, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, rows_off) == 56, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, rows) == 68, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, generation) == 72, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, program) == 80, "segment ABI");
TALLY_STATIC_ASSERT(sizeof(struct tally_segment) == 128, "segment ABI");

#endif
