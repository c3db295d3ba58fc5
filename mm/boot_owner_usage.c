// SPDX-License-Identifier: GPL-2.0-only
/*
 * Move usage maps of sections out of memory that goes offline.
 */

/**
 * DOC: Usage maps
 *
 * The usage map of a section says which of its subsections exist, and has the
 * flags of its pageblocks. At boot the maps of all sections of a node are
 * allocated as one, in pages that hold nothing else. They are small and there
 * is one pointer to each, so that they can move:
 *
 * 1. Each map in the range is copied to the slab, and published in
 *    mem_section->usage. It goes to the first node, so that it is not in the
 *    way when another one leaves.
 * 2. The pages are given to the page allocator when no reader can be left.
 *    Readers of the subsections use RCU. Readers of pageblock flags do not,
 *    but they do not sleep either, which RCU-tasks waits for.
 *
 * A map that has moved is freed with its section. A section that is not there
 * any longer has kept its map for the time when it returns; that one is
 * dropped, and allocated when it is needed.
 *
 * Locking: mem_hotplug_lock is held for writing: subsections do not change.
 * Pageblock flags change under zone->lock, which is held while they are copied.
 * The exception is the hint of compaction to skip a pageblock, which may get
 * lost.
 */

#define pr_fmt(fmt) "memory hotplug: " fmt

#include <linux/boot_owner.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "boot_owner_internal.h"
#include "sparse.h"

static bool usage_in_range(const struct mem_section *ms,
			   unsigned long start_pfn, unsigned long end_pfn)
{
	const void *usage = ms->usage;
	unsigned long first, last;

	if (!usage || !PageReserved(virt_to_page(usage)))
		return false;
	first = PHYS_PFN(__pa(usage));
	last = PHYS_PFN(__pa(usage + mem_section_usage_size() - 1));
	return first < end_pfn && last >= start_pfn;
}

static void usage_publish(struct mem_section *ms,
			  struct mem_section_usage *new)
{
	memcpy(new, ms->usage, mem_section_usage_size());
	/* Pairs with the address dependency in readers. */
	smp_store_release(&ms->usage, new);
}

/* Memory for a map, until there is one in it. */
struct usage_spare {
	struct usage_spare *next;
};

static void usage_free_spares(struct usage_spare *spares)
{
	while (spares) {
		struct usage_spare *spare = spares;

		spares = spare->next;
		kfree(spare);
	}
}

static struct usage_spare *usage_alloc_spares(unsigned long nr)
{
	struct usage_spare *spares = NULL;

	BUILD_BUG_ON(sizeof(struct usage_spare) > sizeof(struct mem_section_usage));
	while (nr--) {
		struct usage_spare *spare;

		spare = kmalloc_node(mem_section_usage_size(), GFP_KERNEL,
				     first_online_node);
		if (!spare) {
			usage_free_spares(spares);
			return NULL;
		}
		spare->next = spares;
		spares = spare;
	}
	return spares;
}

static void usage_move(struct mem_section *ms, unsigned long section,
		       struct usage_spare **spares)
{
	unsigned long pfn = section_nr_to_pfn(section);
	struct mem_section_usage *new = (void *)*spares;

	if (!valid_section(ms)) {
		WRITE_ONCE(ms->usage, NULL);
		return;
	}
	*spares = (*spares)->next;
	if (online_section(ms)) {
		guard(spinlock_irqsave)(&page_zone(pfn_to_page(pfn))->lock);
		usage_publish(ms, new);
	} else {
		usage_publish(ms, new);
	}
}

/* Pageblock flags of a section that lies in two zones have two locks. */
static bool usage_can_move(const struct mem_section *ms, unsigned long section)
{
	struct page *first = pfn_to_page(section_nr_to_pfn(section));

	return !online_section(ms) ||
	       page_zone(first) == page_zone(first + PAGES_PER_SECTION - 1);
}

static void usage_found(unsigned long pfn, unsigned long nr_pages,
			const struct boot_owner *owner, void *arg)
{
	bool *found = arg;

	if (owner->kind == BOOT_OWNER_USAGE)
		*found = true;
}

static void usage_free_page(unsigned long pfn, unsigned long nr_pages,
			    const struct boot_owner *owner, void *arg)
{
	if (owner->kind == BOOT_OWNER_USAGE)
		free_reserved_page(pfn_to_page(pfn));
}

/**
 * boot_owner_move_usage - free a range from usage maps
 * @start_pfn: first page; online
 * @end_pfn: page after the last one
 *
 * Context: May sleep. mem_hotplug_lock is held for writing, also while
 * RCU-tasks waits for each task to sleep or to be in user space, once.
 * Return: 0, or a negative errno, and none has moved. -EBUSY: a map belongs to
 * a section that lies in two zones, as the log says. -ENOMEM: no memory.
 */
int boot_owner_move_usage(unsigned long start_pfn, unsigned long end_pfn)
{
	struct usage_spare *spares;
	unsigned long nr, nr_valid = 0;
	struct mem_section *ms;
	bool found = false;

	mem_hotplug_assert_held_write();
	if (!early_section(__pfn_to_section(start_pfn)))
		return 0;
	boot_owner_for_each(start_pfn, end_pfn, usage_found, &found);
	if (!found)
		return 0;

	for (nr = 0; nr <= __highest_present_section_nr; nr++) {
		ms = __nr_to_section(nr);
		if (!ms || !usage_in_range(ms, start_pfn, end_pfn))
			continue;
		if (!usage_can_move(ms, nr)) {
			pr_warn("memory%lu cannot go offline: it holds the usage map of memory%lu, which lies in two zones\n",
				memory_block_id(pfn_to_section_nr(start_pfn)),
				memory_block_id(nr));
			return -EBUSY;
		}
		nr_valid += valid_section(ms);
	}
	spares = usage_alloc_spares(nr_valid);
	if (nr_valid && !spares)
		return -ENOMEM;
	for (nr = 0; nr <= __highest_present_section_nr; nr++) {
		ms = __nr_to_section(nr);
		if (!ms || !usage_in_range(ms, start_pfn, end_pfn))
			continue;
		usage_move(ms, nr, &spares);
	}

	synchronize_rcu();
	synchronize_rcu_tasks();
	boot_owner_for_each(start_pfn, end_pfn, usage_free_page, NULL);
	return 0;
}
