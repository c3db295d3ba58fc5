// SPDX-License-Identifier: GPL-2.0-only
/*
 * What has to be removed first, and why memory cannot go offline.
 */

/**
 * DOC: Order of removal
 *
 * A memory block may hold boot pages that memory elsewhere needs: memmap and
 * page tables, for the most part. It can be offline while they are in use, but
 * it cannot be removed before that memory is. This file turns owners of
 * pages into memory blocks:
 *
 * 1. boot_owner_remove_after() says which memory blocks have to be removed
 *    before some memory. Memory that is removed at once, as one device, does
 *    not wait for itself, and so cycles inside of a device are no obstacle.
 * 2. boot_owner_check_remove() is the check before a removal.
 * 3. boot_owner_report_unmovable() names the user of a boot page that keeps a
 *    memory block online.
 *
 * Locking: device_hotplug_lock keeps memory blocks from coming and going, and
 * mem_hotplug_lock all sections; under the latter the answer does not change,
 * except that hugetlb can free memmap, which takes memory blocks off it. A
 * reader without the lock gets a snapshot of something that changes; struct
 * pages do not go away as long as the device of the memory block is there.
 */

#define pr_fmt(fmt) "memory hotplug: " fmt

#include <linux/bitmap.h>
#include <linux/boot_owner.h>
#include <linux/err.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/range.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "boot_owner_internal.h"
#include "internal.h"
#include "sparse.h"

/* Memory that leaves, and what needs it. */
struct order_walk {
	const struct range *ranges;
	unsigned int nr_ranges;
	unsigned long *blocks;		/* bitmap of memory block ids, or NULL */
	unsigned long nr_blocks;	/* its size; there can be more by now */
	struct boot_owner pinned_by;	/* who does not leave at all */
	const struct range *found;	/* the last range that is needed */
	unsigned int at;		/* index of the range that is looked at */
};

static bool order_leaves(const struct order_walk *walk, unsigned long section)
{
	phys_addr_t phys = PFN_PHYS(section_nr_to_pfn(section));
	unsigned int i;

	for (i = 0; i < walk->nr_ranges; i++)
		if (phys >= walk->ranges[i].start && phys <= walk->ranges[i].end)
			return true;
	return false;
}

static void order_add_block(struct order_walk *walk, unsigned long section)
{
	unsigned long id = memory_block_id(section);

	if (id >= walk->nr_blocks || order_leaves(walk, section))
		return;
	walk->found = &walk->ranges[walk->at];
	if (walk->blocks)
		__set_bit(id, walk->blocks);
}

static bool order_any_leaves(const struct order_walk *walk,
			     unsigned long section, unsigned long end)
{
	for (; section < end; section++)
		if (order_leaves(walk, section))
			return true;
	return false;
}

/*
 * A section table is used whether memory is there or not. A page table of the
 * direct map would be unmapped by its own removal, before the last of its
 * entries has been cleared; that of other memory is free when that has left.
 */
static bool order_is_pinned(const struct order_walk *walk,
			    const struct boot_owner *owner, unsigned long end)
{
	switch (owner->kind) {
	case BOOT_OWNER_MEMMAP:
	case BOOT_OWNER_VMEMMAP_TABLE:
		return false;
	case BOOT_OWNER_DIRECT_TABLE:
		return order_any_leaves(walk, owner->first, end);
	case BOOT_OWNER_PGDAT:
		return !pgdat_may_move();
	default:
		return true;
	}
}

struct order_node {
	struct order_walk *walk;
	int nid;
};

static int order_add_node_block(struct memory_block *mem, void *arg)
{
	struct order_node *node = arg;

	if (mem->nid == node->nid)
		order_add_block(node->walk, mem->start_section_nr);
	return 0;
}

/*
 * A node needs its pgdat as long as it has any memory, online or not. One that
 * it has left behind waits for its last reader only.
 */
static void order_add_node(struct order_walk *walk, int nid, unsigned long pfn)
{
	struct order_node node = { .walk = walk, .nid = nid };

	if (boot_owner_is_pgdat(nid, pfn))
		for_each_memory_block(&node, order_add_node_block);
}

static void order_add_page(unsigned long pfn, unsigned long nr_pages,
			   const struct boot_owner *owner, void *arg)
{
	unsigned long end = min(owner->first + owner->nr,
				__highest_present_section_nr + 1);
	struct order_walk *walk = arg;
	unsigned long nr;

	/* Usage maps move when their memory block goes offline. */
	if (owner->kind == BOOT_OWNER_USAGE)
		return;
	if (order_is_pinned(walk, owner, end)) {
		walk->pinned_by = *owner;
		walk->found = &walk->ranges[walk->at];
		return;
	}
	if (owner->kind == BOOT_OWNER_PGDAT) {
		order_add_node(walk, owner->first, pfn);
		return;
	}
	for (nr = owner->first; nr < end; nr++)
		if (present_section_nr(nr))
			order_add_block(walk, nr);
}

static void order_add_section(struct order_walk *walk, unsigned long section)
{
	unsigned long pfn = section_nr_to_pfn(section);

	if (early_section(__nr_to_section(section)))
		boot_owner_for_each(pfn, pfn + PAGES_PER_SECTION,
				    order_add_page, walk);
}

static void order_add_ranges(struct order_walk *walk)
{
	unsigned long nr, end;
	unsigned int i;

	for (i = 0; i < walk->nr_ranges; i++) {
		walk->at = i;
		nr = pfn_to_section_nr(PHYS_PFN(walk->ranges[i].start));
		end = pfn_to_section_nr(PHYS_PFN(walk->ranges[i].end));
		for (; nr <= end; nr++) {
			if (present_section_nr(nr))
				order_add_section(walk, nr);
			cond_resched();
		}
	}
}

/**
 * boot_owner_nr_blocks - what boot_owner_remove_after() returns at most
 *
 * Context: Any. Grows when memory is added.
 * Return: the number of bits.
 */
unsigned long boot_owner_nr_blocks(void)
{
	return memory_block_id(__highest_present_section_nr) + 1;
}

/* How many bits there are up to the last one that is set. */
static unsigned long order_trim(const unsigned long *blocks,
				unsigned long nr_blocks)
{
	unsigned long last = find_last_bit(blocks, nr_blocks);

	return last < nr_blocks ? last + 1 : 0;
}

/* Device memory can make it large. */
static unsigned long *order_alloc_blocks(unsigned long nr_blocks)
{
	return kvcalloc(BITS_TO_LONGS(nr_blocks), sizeof(long), GFP_KERNEL);
}

/**
 * boot_owner_remove_after - find out what has to be removed before some memory
 * @ranges: physical addresses that leave together
 * @nr_ranges: number of ranges
 * @nr_blocks: set to the number of bits, up to the last one that is set
 * @pinned_by: NULL, or set to the owner of a page that keeps memory online
 *	whatever is removed before; its kind is BOOT_OWNER_NONE if there is none
 *
 * Context: May sleep. See above.
 * Return: a bitmap of memory block ids that the caller passes to kvfree(), or
 * an ERR_PTR. -ENOMEM: no memory.
 */
unsigned long *boot_owner_remove_after(const struct range *ranges,
				       unsigned int nr_ranges,
				       unsigned long *nr_blocks,
				       struct boot_owner *pinned_by)
{
	struct order_walk walk = {
		.ranges		= ranges,
		.nr_ranges	= nr_ranges,
		.nr_blocks	= boot_owner_nr_blocks(),
	};

	*nr_blocks = 0;
	walk.blocks = order_alloc_blocks(walk.nr_blocks);
	if (!walk.blocks)
		return ERR_PTR(-ENOMEM);
	order_add_ranges(&walk);
	*nr_blocks = order_trim(walk.blocks, walk.nr_blocks);
	if (pinned_by)
		*pinned_by = walk.pinned_by;
	return walk.blocks;
}

/* Says which memory blocks, if there is memory for that. */
static void order_report(struct order_walk *walk)
{
	const struct range *range = walk->found;

	walk->blocks = order_alloc_blocks(walk->nr_blocks);
	if (!walk->blocks) {
		pr_warn("[mem %#llx-%#llx] cannot be removed: it holds memory management data of other memory\n",
			range->start, range->end);
		return;
	}
	order_add_ranges(walk);
	pr_warn("[mem %#llx-%#llx] cannot be removed: it holds memory management data of memory blocks %*pbl, remove these first\n",
		range->start, range->end,
		(int)order_trim(walk->blocks, walk->nr_blocks), walk->blocks);
	kvfree(walk->blocks);
}

/**
 * boot_owner_check_remove - can memory be removed as far as boot pages go?
 * @ranges: physical addresses that leave together
 * @nr_ranges: number of ranges
 *
 * Writes a line to the log if not.
 *
 * Context: May sleep. The memory is offline. Holds device_hotplug_lock; only
 * with mem_hotplug_lock held for writing is the answer final.
 * Return: 0, or -EBUSY: memory that stays needs pages of it.
 */
int boot_owner_check_remove(const struct range *ranges, unsigned int nr_ranges)
{
	struct order_walk walk = {
		.ranges		= ranges,
		.nr_ranges	= nr_ranges,
		.nr_blocks	= boot_owner_nr_blocks(),
	};
	char text[BOOT_OWNER_TEXT_SIZE];

	/* Nearly always; looking at all pages takes its time. */
	if (!boot_owner_nr_used())
		return 0;
	order_add_ranges(&walk);
	if (!walk.found)
		return 0;
	if (walk.pinned_by.kind != BOOT_OWNER_NONE) {
		boot_owner_describe(&walk.pinned_by, text);
		pr_warn("[mem %#llx-%#llx] cannot be removed: it holds the %s\n",
			walk.found->start, walk.found->end, text);
	} else {
		order_report(&walk);
	}
	return -EBUSY;
}

/**
 * boot_owner_report_unmovable - say what keeps a memory block online
 * @page: a page that cannot leave its memory block
 *
 * Writes a line to the log if it is a boot page.
 *
 * Context: The page does not get removed meanwhile. Not under zone->lock.
 */
void boot_owner_report_unmovable(const struct page *page)
{
	struct boot_owner owner = {};
	char text[BOOT_OWNER_TEXT_SIZE];

	if (!PageReserved(page))
		return;
	boot_owner_get(page, &owner);
	boot_owner_describe(&owner, text);
	pr_warn("memory%lu cannot go offline: it holds the %s\n",
		memory_block_id(pfn_to_section_nr(page_to_pfn(page))), text);
}
