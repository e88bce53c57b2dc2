/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader: opens every sealed file's index and follows the heads. It never writes, and it holds no
 * lock: files are immutable or only grow, and what vanishes between listing and opening is looked for
 * again under its new name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatherer/store/array.h"
#include "gatherer/store/history_int.h"
#include "gatherer/store/names.h"
#include "gatherer/store/os.h"
#include "user/lib/util.h"

#define LIST_TRIES 10
/* A directory that has changed so shortly before it was listed may have changed again since. */
#define RACY_NS ((int64_t)NSEC_PER_SEC)

/* --- sealed files --------------------------------------------------------------------------- */

static bool has_file(const struct history *h, uint64_t number)
{
	for (size_t i = h->nfiles; i > 0; i--)
		if (h->files[i - 1]->number == number)
			return true;
	for (size_t i = 0; i < h->nunreadable; i++)
		if (h->unreadable[i] == number)
			return true;
	return false;
}

static ssize_t shape_of(struct history *h, const struct sealed *f, uint32_t node, uint32_t schema)
{
	const uint8_t *digest = f->index.schemas[schema].digest;
	ssize_t shape = catalog_find_shape(&h->catalog, node, digest);
	struct schema s;
	int err;

	if (shape != -ENOENT)
		return shape;
	err = sealed_read_schema(h->reader, f, schema, &s);
	if (err)
		return err;
	shape = catalog_add_shape(&h->catalog, node, digest, &s);
	schema_release(&s);
	return shape;
}

static int add_run(
	struct history *h, const struct sealed *f, uint32_t node, const struct sealed_run *run)
{
	const struct catalog_run *r = catalog_add_run(&h->catalog, node, f, run);
	int err = r ? 0 : -ENOMEM;

	for (size_t i = 0; i < run->nblocks && !err; i++) {
		struct catalog_block block = {.run = r, .block = &run->blocks[i]};
		ssize_t shape;

		if (block.block->is_times)
			continue;
		shape = shape_of(h, f, node, block.block->schema);
		if (shape == -EBADMSG)
			continue; /* nobody can tell what it holds; checking reports it */
		block.shape = (uint32_t)shape;
		err = shape < 0 ? (int)shape : catalog_add_block(&h->catalog, &block);
	}
	return err;
}

static int add_nodes(struct history *h, const struct sealed *f)
{
	int err = 0;

	for (size_t i = 0; i < f->index.nnodes && !err; i++) {
		const struct sealed_node *n = &f->index.nodes[i];
		ssize_t node = catalog_node(&h->catalog, n->id, n->name);

		err = node < 0 ? (int)node : 0;
		for (size_t k = 0; k < n->nruns && !err; k++)
			err = add_run(h, f, (uint32_t)node, &n->runs[k]);
	}
	return err;
}

static int add_unreadable(struct history *h, uint64_t number)
{
	int err = array_reserve(
		&h->unreadable, h->nunreadable + 1, &h->unreadable_cap, sizeof(*h->unreadable));

	if (!err)
		h->unreadable[h->nunreadable++] = number;
	return err;
}

static int add_file(struct history *h, uint64_t number)
{
	int err = array_reserve(&h->files, h->nfiles + 1, &h->files_cap, sizeof(struct sealed *));
	struct sealed *f;

	if (err)
		return err;
	err = sealed_open(h->dirfd, number, &f);
	if (err == -EBADMSG || err == -EPROTO || err == -EIO)
		return add_unreadable(h, number);
	if (err)
		return err;
	h->files[h->nfiles++] = f;
	return add_nodes(h, f);
}

static void drop_files(struct history *h, const struct numbers *present)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->nfiles; i++) {
		struct sealed *f = h->files[i];

		if (numbers_have(present, f->number)) {
			h->files[kept++] = f;
			continue;
		}
		catalog_drop_file(&h->catalog, f);
		sealed_close(f);
	}
	h->nfiles = kept;
}

static int add_files(struct history *h, const struct numbers *sealed)
{
	int err = 0;

	drop_files(h, sealed);
	for (size_t i = 0; i < sealed->n && !err; i++)
		if (!has_file(h, sealed->list[i]))
			err = add_file(h, sealed->list[i]);
	return err == -ENOENT ? -EAGAIN : err;
}

/* --- heads ---------------------------------------------------------------------------------- */

static bool is_followed(const struct live *l, uint64_t number)
{
	for (size_t i = 0; i < l->nfiles; i++)
		if (l->files[i].number == number)
			return true;
	return false;
}

/* Follows exactly these heads. One that is sealed now takes all that was parsed with it. */
static int follow_heads(struct history *h, const struct numbers *heads)
{
	int err = 0;

	for (size_t i = 0; i < h->live.nfiles; i++)
		if (!numbers_have(heads, h->live.files[i].number)) {
			live_release(&h->live);
			break;
		}
	for (size_t i = 0; i < heads->n && !err; i++)
		if (!is_followed(&h->live, heads->list[i]))
			err = live_add_file(&h->live, h->dirfd, heads->list[i]);
	return err == -ENOENT ? -EAGAIN : err;
}

static void drop_sealed(struct numbers *heads, const struct numbers *sealed)
{
	size_t kept = 0;

	for (size_t i = 0; i < heads->n; i++)
		if (!numbers_have(sealed, heads->list[i]))
			heads->list[kept++] = heads->list[i];
	heads->n = kept;
}

/* --- refreshing ----------------------------------------------------------------------------- */

/* 1 if the directory was listed anew. */
static int list_once(struct history *h)
{
	struct names names;
	int64_t changed, now;
	int err = os_changed_ns(h->dirfd, &changed, &now); /* before listing: later changes show */

	if (err || (changed == h->changed_ns && h->listed_ns - changed > RACY_NS))
		return err;
	err = names_list(h->dirfd, &names);
	if (err)
		return err;
	drop_sealed(&names.heads, &names.sealed);
	err = add_files(h, &names.sealed);
	if (!err)
		err = follow_heads(h, &names.heads);
	names_release(&names);
	if (err)
		return err;
	h->changed_ns = changed;
	h->listed_ns = now;
	return 1;
}

int history_refresh(struct history *h)
{
	int listed = -EAGAIN, grown;

	for (int i = 0; i < LIST_TRIES && listed == -EAGAIN; i++)
		listed = list_once(h);
	grown = listed < 0 ? listed : live_refresh(&h->live);
	if (grown < 0)
		return grown;
	if (!listed && !grown)
		return 0;
	free(h->series);
	h->series = NULL;
	return history_make_nodes(h);
}

int history_open(const char *dir, struct history **ret, struct errmsg *e)
{
	struct history *h = calloc(1, sizeof(*h));
	int err = h ? 0 : -ENOMEM;

	if (err)
		return err_set(e, err, "%s: no memory", dir);
	h->dirfd = -1;
	h->live.catalog = &h->catalog;
	h->reader = sealed_reader_new();
	h->dir = strdup(dir);
	if (!h->reader || !h->dir)
		err = err_set(e, -ENOMEM, "%s: no memory", dir);
	if (!err)
		err = os_open_dir(dir, false, &h->dirfd, e);
	if (!err) {
		err = history_refresh(h);
		if (err)
			err_set(e, err, "%s: cannot read: %s", dir, strerror(-err));
	}
	if (err)
		history_close(h);
	else
		*ret = h;
	return err;
}

void history_close(struct history *h)
{
	if (!h)
		return;
	live_release(&h->live);
	history_free_nodes(h);
	free(h->series);
	catalog_release(&h->catalog);
	for (size_t i = 0; i < h->nfiles; i++)
		sealed_close(h->files[i]);
	free(h->files);
	free(h->unreadable);
	sealed_reader_free(h->reader);
	if (h->dirfd >= 0)
		os->close(h->dirfd);
	free(h->dir);
	free(h);
}
