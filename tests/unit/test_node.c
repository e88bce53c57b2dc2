/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of nodes made harmless, and each node's own place in the interval. */
#include <criterion/criterion.h>
#include <string.h>

#include "gatherer/node.h"
#include "gatherer/poll.h"
#include "user/lib/util.h"

#define PRINT "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq"

Test(node, names)
{
	static const struct {
		const char *name, *clean;
	} cases[] = {
		{"web-1.example.org", "web-1.example.org"},
		{"stra\xc3\x9f"
		 "e 7",
			"stra\xc3\x9f"
			"e 7"},
		{"", "aaaqeaye"},
		{"a\"b\\c\nd\x7f", "a_b_c_d_"},
		{"\x1b[31mred", "_[31mred"},
		{"cut\xe2\x82", "cut__"},
		{"\xc0\xaf\xed\xa0\x80", "_____"},
		{"0123456789012345678901234567890123456789012345678901234567890123456789",
			"012345678901234567890123456789012345678901234567890123456789012"},
		{"01234567890123456789012345678901234567890123456789012345678901\xe2\x82\xac",
			"01234567890123456789012345678901234567890123456789012345678901"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char clean[NODE_NAME_MAX + 1];

		node_clean_name(cases[i].name, PRINT, clean);
		cr_assert_str_eq(clean, cases[i].clean);
	}
}

Test(poll, next_moment)
{
	uint64_t interval = 10 * NSEC_PER_SEC, buckets[10] = {0};
	uint8_t id[NODE_ID_SIZE] = {0};

	for (int i = 0; i < 1000; i++) {
		uint64_t now = 123456789012345ull + (uint64_t)i * 987654321, delay, next;

		random_bytes(id, sizeof(id));
		delay = poll_next_delay(id, interval, now);
		cr_assert(delay >= 1 && delay <= interval);
		next = poll_next_delay(id, interval, now + delay);
		cr_assert_eq(next, interval, "the rhythm is kept");
		cr_assert_eq(poll_next_delay(id, interval, now + delay - 1), 1);
		buckets[(now + delay) % interval / NSEC_PER_SEC]++;
	}
	for (int i = 0; i < 10; i++)
		cr_assert_gt(buckets[i], 40, "nodes are spread over the interval");
}
