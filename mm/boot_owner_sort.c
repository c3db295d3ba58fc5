// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which memory blocks that leave together go offline.
 */

/**
 * DOC: Order of memory blocks that leave together
 *
 * Memory blocks that are removed at once can hold boot pages of each other. All
 * of them go offline, one after the other, before any is removed, and all come
 * back when one of them does not. A block that others need is one that could
 * not leave without them: it goes last.
 *
 * 1. boot_owner_remove_after() is asked for each memory block. Nearly all hold
 *    nothing for others, and come first.
 * 2. Of the rest, a block comes when those that need it are through. If they
 *    need each other, which is no obstacle when they leave together, the first
 *    of them comes.
 *
 * Locking: device_hotplug_lock keeps memory blocks from coming and going.
 */

#include <linux/bitmap.h>
#include <linux/boot_owner.h>
#include <linux/err.h>
#include <linux/memory.h>
#include <linux/minmax.h>
#include <linux/range.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <kunit/visibility.h>

#include "boot_owner_internal.h"

/* Of the memory blocks in @left, those that need pages of block @id. */
static int sort_get_after(unsigned long id, const unsigned long *left,
			  unsigned long nr_blocks, unsigned long **after)
{
	const u64 size = memory_block_size_bytes();
	const struct range range = {
		.start	= id * size,
		.end	= id * size + size - 1,
	};
	unsigned long *blocks, nr;

	blocks = boot_owner_remove_after(&range, 1, &nr, NULL);
	if (IS_ERR(blocks))
		return PTR_ERR(blocks);
	if (bitmap_and(blocks, blocks, left, min(nr, nr_blocks)))
		*after = blocks;
	else
		kvfree(blocks);
	return 0;
}

/* The first one that nothing in @left has to precede. */
static unsigned long sort_next(const unsigned long *ids,
			       unsigned long * const *after, unsigned long nr,
			       const unsigned long *left,
			       unsigned long nr_blocks)
{
	unsigned long i, any = nr;

	for (i = 0; i < nr; i++) {
		if (!test_bit(ids[i], left))
			continue;
		if (!after[i] || !bitmap_intersects(after[i], left, nr_blocks))
			return i;
		any = min(any, i);
	}
	/* They need each other. */
	return any;
}

/**
 * boot_owner_sort - put memory blocks in an order
 * @ids: memory block ids
 * @after: for each of @ids, a bitmap of what has to precede it, or NULL
 * @nr: number of ids
 * @left: bitmap of @ids; empty afterwards
 * @nr_blocks: size of the bitmaps
 * @sorted: takes @nr ids
 */
VISIBLE_IF_KUNIT void boot_owner_sort(const unsigned long *ids,
				      unsigned long * const *after,
				      unsigned long nr, unsigned long *left,
				      unsigned long nr_blocks,
				      unsigned long *sorted)
{
	unsigned long i, n = 0;

	for (i = 0; i < nr; i++) {
		if (after[i])
			continue;
		sorted[n++] = ids[i];
		__clear_bit(ids[i], left);
	}
	while (n < nr) {
		i = sort_next(ids, after, nr, left, nr_blocks);
		sorted[n++] = ids[i];
		__clear_bit(ids[i], left);
	}
}

/**
 * boot_owner_sort_blocks - put memory blocks in the order of their removal
 * @ids: ids of memory blocks that are there, each once; sorted in place
 * @nr: number of ids
 *
 * A memory block comes after those that need pages of it, if they are in @ids
 * too and do not need each other. Where that leaves a choice, they stay in the
 * order that they have.
 *
 * Context: May sleep. Holds device_hotplug_lock.
 * Return: 0, or a negative errno, and @ids is as it was. -ENOMEM: no memory.
 * -EINVAL: an id is there twice.
 */
int boot_owner_sort_blocks(unsigned long *ids, unsigned long nr)
{
	unsigned long *sorted = kvcalloc(nr, sizeof(*sorted), GFP_KERNEL);
	unsigned long **after = kvcalloc(nr, sizeof(*after), GFP_KERNEL);
	unsigned long i, nr_blocks = 0, *left;
	int rc = 0;

	for (i = 0; i < nr; i++)
		nr_blocks = max(nr_blocks, ids[i] + 1);
	left = kvcalloc(BITS_TO_LONGS(nr_blocks), sizeof(long), GFP_KERNEL);
	if (!sorted || !after || !left)
		rc = -ENOMEM;
	for (i = 0; !rc && i < nr; i++)
		if (__test_and_set_bit(ids[i], left))
			rc = -EINVAL;
	for (i = 0; !rc && i < nr; i++)
		rc = sort_get_after(ids[i], left, nr_blocks, &after[i]);
	if (!rc) {
		boot_owner_sort(ids, after, nr, left, nr_blocks, sorted);
		memcpy(ids, sorted, nr * sizeof(*ids));
	}

	for (i = 0; after && i < nr; i++)
		kvfree(after[i]);
	kvfree(left);
	kvfree(after);
	kvfree(sorted);
	return rc;
}
