/* SPDX-License-Identifier: MIT */
/*
 * The shared memory ABI of tally: what a segment file holds, byte by byte. Version 2.
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
 *   tables_off   +--------------------------------------------------------------+
 *                | struct tally_segment_slot [..]: label values of tables       |
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
 * Parts follow each other in the order drawn and do not overlap; tables_off and rows_off are multiples
 * of 64, cells of 8. The file has its full size from the start (rows_max rows), but blocks only as far as
 * `rows` says: a writer allocates a row's blocks before it raises `rows`. A reader takes at most 131,072
 * descriptors, 65,536 slots, 16 MiB of strings and rows of 1 MiB; of what it does not know (a type, a
 * flag) it leaves out the metric, not the file.
 *
 * Names, units and help texts have at most 255 bytes, label texts 1,023, all in UTF-8 without control
 * characters. A file is named PROGRAM.UID.HASH.SLOT and has mode 0640. HASH differs where descriptors do,
 * SLOT is the lowest free number; a name is never taken from another file.
 *
 * A generation is drawn by each process of the family, so that the owner of a row is one thread of one
 * process, for ever; claim (10 bits) counts up, so that a thread id that is used again makes another owner. The two
 * words after the owner count only while their generation is the owner's;
 * writers use them to find rows whose owner is gone, readers need neither.
 *
 * Cells of one series of a metric, by its type:
 *
 *   counter            1: the count
 *   gauge              1: the value, a signed integer or the bits of a double; in row 0 alone
 *   info               none: its labels are what it says, its value is 1
 *   histogram          1 + TALLY_HISTOGRAM_BUCKETS: the sum of the values, then what each bucket has
 *                      counted; the number of values is the sum of the buckets (tally/histogram.h)
 *
 * The value of a cell is its sum over all rows (wrapping at 2^64); of a gauge, its cell in row 0. Cells
 * only grow, whoever owns the row: a row that gets another owner keeps its values. A cell is changed by
 * one aligned write of 8 bytes.
 *
 * Several segments of a program: counters and histograms are summed, cell by cell; gauges of living ones
 * too (integers wrap), or the highest is taken (TALLY_FLAG_PEAK); an info is 1 if one of them lives.
 *
 * Labels are text of pairs, NAME 0x1f VALUE 0x1e each. No name is program, user, cgroup or le, or begins
 * with __.
 *
 * A metric whose descriptor has a table is many series, `slots` of them: the cells of series i begin at
 * cell + i * cells * 8, and its label values are in slot i of the table, in the order of the names,
 * which are the descriptor's label names without a value: NAME 0x1e. A slot counts from when its state
 * is TALLY_SLOT_READY (read before its text), and then never changes. Two slots may have the same values:
 * they are summed. Values that are no UTF-8 are shown as those of the overflow; writers put ? for control
 * characters. The last slot is the overflow series, for which each label has the value "overflow"; its text are the
 * values that were the first to find no slot free; of a set of values that is known beforehand all
 * slots are ready from the start, and the last one's text is empty. Whenever a slot changes its
 * state, `inserts` goes up; a slot in the state TALLY_SLOT_WRITING is looked at again.
 *
 * Readers: the header up to `rows`, and from `program` to `cgroup_ns`, the descriptors and the strings
 * are constant once the file has its final name (it is made as NAME.new). A writer holds a write lock
 * (F_OFD_SETLK, whole file) on the open file description that all its processes share: who can take a
 * read lock knows that all of them are dead, and that none will write again while he holds it. A new
 * process of the same program, user and cgroup may take over a dead file (write lock, same descriptors):
 * `starts` then goes up, and the cells go on from where they were.
 *
 * A process that gets no segment though there is a directory (no space, no memory) adds one byte to
 * the size of the sparse file PROGRAM.UID.refused, under a write lock: the size is how many there were.
 *
 * Version 1 has header_size 128 and desc_size 32: nothing behind desc_size and `cells` means anything, nor
 * do flags. It has counters and gauges (signed), no labels and no tables; rows follow the strings.
 */
#ifndef TALLY_SEGMENT_H
#define TALLY_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#define TALLY_SEGMENT_MAGIC    "TALLYSEG"
#define TALLY_SEGMENT_VERSION  2u
#define TALLY_ROW_HEADER       32u
#define TALLY_ROW_ALIGN        64u
#define TALLY_SEGMENT_NAME_MAX 255u /* bytes of a string, without its zero */
#define TALLY_SLOT_TEXT        120u /* bytes of a slot's label values, with the zero at their end */
#define TALLY_LABEL_VALUE      "\x1f" /* between a label's name and its value, and between values */
#define TALLY_LABEL_END        "\x1e"

/* The numbers of enum tally_type are part of the ABI. */
enum tally_type {
	TALLY_TYPE_COUNTER = 1, /* unsigned */
	TALLY_TYPE_GAUGE = 2, /* signed, in row 0 */
	TALLY_TYPE_GAUGE_DOUBLE = 3, /* bits of an IEEE 754 double, in row 0 */
	TALLY_TYPE_HISTOGRAM = 4,
	TALLY_TYPE_INFO = 5,
};

enum tally_desc_flags {
	/* a gauge of which several processes show the highest, not the sum */
	TALLY_FLAG_PEAK = 1,
	TALLY_FLAGS_KNOWN = 1,
};

enum tally_slot_state {
	TALLY_SLOT_FREE = 0,
	TALLY_SLOT_WRITING = 1, /* for ever, if its writer was killed */
	TALLY_SLOT_READY = 2,
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
	/*
	 * string: the maker's cgroup as it saw it, of version 2, else of systemd's hierarchy; "" if it is
	 * the root or unknown; its word only
	 */
	uint32_t cgroup;
	uint32_t cgroup_ns; /* inode of the cgroup namespace in which it saw that; 0: unknown */
	uint32_t inserts; /* changes of slots (atomic) */
	/* the process that started last: process id in its namespace, and when it began, to find it by */
	uint32_t pid, pid_ns;
	uint64_t start_ticks; /* field 22 of its /proc/self/stat; 0: nobody need look for it */
	/* where the object is mapped in process unloaded_pid, which has unloaded it; for the writers */
	uint64_t unloaded;
	uint32_t unloaded_pid, unloaded_generation;
	uint32_t tables_off, tables_len; /* bytes; a whole number of slots */
	uint32_t reserved[12];
};

struct tally_segment_desc {
	uint32_t name, unit, help; /* strings */
	uint8_t type; /* enum tally_type */
	int8_t scale; /* shown value = cell x 10^scale */
	uint16_t flags; /* enum tally_desc_flags */
	uint32_t cell; /* byte offset of its first cell from the start of a row */
	uint32_t cells; /* of one series */
	uint32_t labels; /* string: its labels; of a table also the names */
	/* histogram: its range is 2^lo .. 2^hi (lo -1: from 0), a power of two has 2^bits buckets */
	int8_t lo;
	uint8_t hi, bits, reserved0;
	uint32_t table; /* slots: index of the first one in all tables of the segment */
	uint32_t slots; /* 0: no table, one series */
	uint32_t reserved1[2];
};

struct tally_segment_slot {
	uint32_t state; /* enum tally_slot_state (atomic) */
	uint32_t hash; /* of text; for the writers */
	char text[TALLY_SLOT_TEXT]; /* values with 0x1f between them, ended by a zero */
};

#if defined(__cplusplus)
#define TALLY_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define TALLY_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

TALLY_STATIC_ASSERT(sizeof(struct tally_segment_desc) == 48, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment_desc, labels) == 24, "segment ABI");
TALLY_STATIC_ASSERT(sizeof(struct tally_segment_slot) == 128, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, id) == 16, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, birth_ns) == 32, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, desc_off) == 40, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, rows_off) == 56, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, rows) == 68, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, generation) == 72, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, program) == 80, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, cgroup) == 92, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, start_ticks) == 112, "segment ABI");
TALLY_STATIC_ASSERT(offsetof(struct tally_segment, unloaded) == 120, "segment ABI");
TALLY_STATIC_ASSERT(sizeof(struct tally_segment) == 192, "segment ABI");

#endif
