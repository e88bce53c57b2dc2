/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing a head; see the header. */
#include <errno.h>
#include <stdio.h>

#include "gatherer/store/head.h"
#include "gatherer/store/os.h"
#include "gatherer/store/packed.h"

int head_create(int dirfd, uint64_t number, uint32_t salt, const struct buf *state,
	const struct buf *records, struct head *ret)
{
	struct head h = {.number = number, .salt = salt};
	struct buf all = BUF_INIT;
	char name[HEAD_NAME_SIZE];
	int err;

	snprintf(name, sizeof(name), HEAD_NAME_FORMAT, (unsigned long long)number);
	recfile_put_header(&all, RECFILE_HEAD, number, salt);
	err = packed_put_state(state, salt, &all);
	if (records)
		buf_put(&all, records->data, records->len);
	h.size = all.len;
	if (!err)
		err = buf_error(&all);
	if (!err)
		err = os_make_file(dirfd, name, all.data, all.len, &h.fd);
	buf_release(&all);
	if (!err)
		*ret = h;
	return err;
}

void head_close(struct head *h)
{
	if (h->fd >= 0)
		os->close(h->fd);
	h->fd = -1;
}

int head_append(struct head *h, const struct buf *records)
{
	int err = os_write_all(h->fd, records->data, records->len);

	if (!err) {
		err = os->fdatasync(h->fd);
		if (err) /* the kernel may have dropped the pages: a later success would prove nothing */
			h->broken = true;
	}
	if (!err)
		h->size += records->len;
	else if (os->truncate(h->fd, h->size) < 0)
		h->broken = true;
	return err;
}

int head_rebuild_state(const struct head *h, struct buf *out)
{
	struct nodeset set = {0};
	struct replay replay = {.set = &set, .salt = h->salt};
	struct buf bytes = BUF_INIT;
	size_t pos = RECFILE_HEADER;
	int err = os_read_rest(h->fd, 0, h->size, &bytes);

	if (!err && bytes.len != h->size)
		err = -EIO;
	if (!err)
		err = replay_records(&replay, bytes.data, bytes.len, &pos);
	if (!err)
		err = nodeset_put_state(&set, out);
	replay_release(&replay);
	nodeset_release(&set);
	buf_release(&bytes);
	return err;
}
