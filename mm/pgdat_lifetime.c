// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pgdat of a node comes and goes with it.
 */

/**
 * DOC: Lifetime of a pgdat
 *
 * NODE_DATA() of a possible node is never NULL. As long as the node is offline
 * and has no device memory it is the stand-in, one for all such nodes: it has
 * no pages, no zone with memory, no threads, and no node number, so that it
 * does not say which node is meant. What belongs to a node number and has to be
 * there for offline nodes is kept by number: zonelists, the lruvecs of memcgs
 * and lists of them.
 *
 * 1. When a node gets its first memory or CPU, pgdat_add() allocates a pgdat,
 *    sets it up and publishes it in node_data[]. Then the node goes online.
 * 2. When the last of both has left, the node goes offline, and pgdat_remove()
 *    publishes the stand-in.
 * 3. The pgdat is freed when nobody can use it any longer, see mm/pgdat_rcu.c:
 *    its per-CPU counters, which are added to the global ones first, the pages
 *    that its zones share for the memmap of huge pages, and the pgdat itself.
 *    A node that comes back in the meantime gets a new one.
 *
 * The pgdat of a node that was there at boot is freed in the same way. It may lie
 * in memory of its own node. When the last of that memory is removed,
 * pgdat_move() gives the node another pgdat before, and waits until the first one
 * has been freed; what is left of the node is CPUs, or nothing.
 *
 * With PREEMPT_RT a pgdat stays, and is used again when the node comes back:
 * readers that use it while they hold a spinlock may sleep there, which RCU-tasks
 * does not wait for. Memory that holds a boot pgdat stays, too.
 *
 * Locking: mem_hotplug_lock is held for writing while node_data[] changes.
 * Readers are in a read section of mm/pgdat_rcu.c, or have a page of the node, or
 * hold a lock that keeps memory hotplug out, or are a thread of the node.
 */

#define pr_fmt(fmt) "memory hotplug: " fmt

#include <linux/atomic.h>
#include <linux/boot_owner.h>
#include <linux/container_of.h>
#include <linux/gfp.h>
#include <linux/kmemleak.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/pgdat_rcu.h>
#include <linux/poison.h>
#include <linux/range.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>

#include "hugetlb_vmemmap.h"
#include "internal.h"
#include "pgdat_lifetime.h"
#include "sparse.h"

/* All locks of memory hotplug are held while readers are waited for. */
#define PGDAT_MOVE_MS	10000

static struct pglist_data pgdat_standin;

/* Pgdats from boot that have been retired and not been freed yet. */
static atomic_t pgdat_nr_boot_retired = ATOMIC_INIT(0);

/**
 * pgdat_init_standin() - set up the pgdat of offline nodes
 *
 * Context: Boot, before pgdat_use_standin().
 */
void __init pgdat_init_standin(void)
{
	pgdat_standin.node_id = NUMA_NO_NODE;
	/* Nobody waits for its kswapd. */
	atomic_set(&pgdat_standin.kswapd_failures, MAX_RECLAIM_RETRIES);
	free_area_init_empty(&pgdat_standin);
}

/**
 * pgdat_use_standin() - use the stand-in for a node that is offline at boot
 * @nid: a possible node that has no pgdat
 *
 * Context: Boot.
 * Return: false when the node is online and has to get a pgdat.
 */
bool __init pgdat_use_standin(int nid)
{
	if (node_online(nid))
		return false;
	node_data[nid] = &pgdat_standin;
	return true;
}

/**
 * pgdat_is_standin() - is this the pgdat of offline nodes?
 * @pgdat: what NODE_DATA() returned
 *
 * Context: Any.
 * Return: true when it has no node.
 */
bool pgdat_is_standin(const struct pglist_data *pgdat)
{
	return pgdat == &pgdat_standin;
}

/* A pgdat without pages, that nobody else knows yet. */
static struct pglist_data *pgdat_alloc(int nid)
{
	struct pglist_data *pgdat;

	/*
	 * Its own memory is not online. On the node nearest to it, it could be
	 * what keeps that one.
	 */
	if (IS_ENABLED(CONFIG_DEBUG_PGDAT))
		pgdat = vzalloc_node(sizeof(*pgdat), first_online_node);
	else
		pgdat = kzalloc_node(sizeof(*pgdat), GFP_KERNEL,
				     first_online_node);
	if (!pgdat)
		return NULL;
	pgdat->node_id = nid;
	free_area_init_empty(pgdat);
	if (free_area_init_core_hotplug(pgdat)) {
		kvfree(pgdat);
		return NULL;
	}
	return pgdat;
}

static void pgdat_publish(int nid, struct pglist_data *pgdat)
{
	/* Pairs with the address dependency of readers of NODE_DATA(). */
	smp_store_release(&node_data[nid], pgdat);
}

/**
 * pgdat_add() - give a node a pgdat of its own
 * @nid: a possible node
 *
 * Context: Process context, may sleep. mem_hotplug_lock is held for writing.
 * Return: 0, and NODE_DATA() is a pgdat without pages, or the one that the node
 * has had already. -ENOMEM: no memory, nothing has changed.
 */
int pgdat_add(int nid)
{
	struct pglist_data *pgdat;

	mem_hotplug_assert_held_write();
	if (!pgdat_is_standin(NODE_DATA(nid)))
		return 0;

	pgdat = pgdat_alloc(nid);
	if (!pgdat)
		return -ENOMEM;
	pgdat_publish(nid, pgdat);
	return 0;
}

static bool pgdat_is_boot(const struct pglist_data *pgdat)
{
	return !is_vmalloc_addr(pgdat) && PageReserved(virt_to_page(pgdat));
}

/* mm/numa.c allocates whole pages at boot. */
static void pgdat_free_memory(struct pglist_data *pgdat)
{
	void *start = pgdat, *page;

	if (IS_ENABLED(CONFIG_DEBUG_PGDAT))
		memset(pgdat, PAGE_POISON, sizeof(*pgdat));
	if (!pgdat_is_boot(pgdat)) {
		kvfree(pgdat);
		return;
	}
	kmemleak_free_part_phys(__pa(pgdat), PAGE_ALIGN(sizeof(*pgdat)));
	for (page = start; page < start + sizeof(*pgdat); page += PAGE_SIZE)
		free_reserved_page(virt_to_page(page));
	/* Pairs with pgdat_get_left(), after which the memory is removed. */
	atomic_fetch_dec_release(&pgdat_nr_boot_retired);
}

static void pgdat_free(struct pgdat_retired *retired)
{
	struct pglist_data *pgdat =
		container_of(retired, struct pglist_data, retired);
	int i;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		WARN_ON_ONCE(populated_zone(&pgdat->node_zones[i]));
		hugetlb_vmemmap_free_tails(&pgdat->node_zones[i]);
	}
	lru_gen_exit_lruvec(&pgdat->__lruvec);
	free_node_stats(pgdat);
	pgdat_free_memory(pgdat);
}

/* Who waits for the node to make progress would wait for ever. */
static void pgdat_wake_all(struct pglist_data *pgdat)
{
	int i;

	atomic_set(&pgdat->kswapd_failures, MAX_RECLAIM_RETRIES);
	wake_up_all(&pgdat->pfmemalloc_wait);
	for (i = 0; i < NR_VMSCAN_THROTTLE; i++)
		wake_up_all(&pgdat->reclaim_wait[i]);
}

/* The one that the node has had has no pages. */
static void pgdat_switch(int nid, struct pglist_data *pgdat)
{
	struct pglist_data *old = NODE_DATA(nid);

	WARN_ON_ONCE(old->kswapd);
	/* Before: afterwards, processes that end do not find its walks. */
	lru_gen_retire_lruvec(&old->__lruvec);
	if (pgdat_is_boot(old))
		atomic_inc(&pgdat_nr_boot_retired);
	pgdat_publish(nid, pgdat);
	pgdat_wake_all(old);
	pgdat_retire(&old->retired, pgdat_free);
}

/**
 * pgdat_remove() - take back the pgdat of a node
 * @nid: a node that is offline
 *
 * NODE_DATA() is the stand-in when this returns, unless the node has, or has
 * had, device memory, which it spans for good, or the kernel is PREEMPT_RT. Does
 * not wait for readers.
 *
 * Context: Process context, may sleep. mem_hotplug_lock is held for writing.
 */
void pgdat_remove(int nid)
{
	struct pglist_data *pgdat = NODE_DATA(nid);

	mem_hotplug_assert_held_write();
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || pgdat_is_standin(pgdat))
		return;
	/* It may have device memory, which does not need the node online. */
	if (pgdat->node_spanned_pages)
		return;

	pgdat_switch(nid, &pgdat_standin);
}

#ifdef CONFIG_MEMORY_HOTREMOVE
/* The range that it lies in, or NULL. */
static const struct range *pgdat_get_range(const struct pglist_data *pgdat,
					   const struct range *ranges,
					   unsigned int nr_ranges)
{
	phys_addr_t start;
	unsigned int i;

	/* Memory that CONFIG_DEBUG_PGDAT has one in does not go offline. */
	if (pgdat_is_standin(pgdat) || is_vmalloc_addr(pgdat))
		return NULL;
	start = __pa(pgdat);
	for (i = 0; i < nr_ranges; i++)
		if (start <= ranges[i].end &&
		    start + sizeof(*pgdat) > ranges[i].start)
			return &ranges[i];
	return NULL;
}

static void pgdat_found(unsigned long pfn, unsigned long nr_pages,
			const struct boot_owner *owner, void *arg)
{
	bool *found = arg;

	if (owner->kind == BOOT_OWNER_PGDAT)
		*found = true;
}

/* The range with a pgdat of boot that has not been freed yet, or NULL. */
static const struct range *pgdat_get_left(const struct range *ranges,
					  unsigned int nr_ranges)
{
	const struct range *end = ranges + nr_ranges, *range;
	bool found = false;
	unsigned long nr;

	/* Most often there is none, and looking at all pages takes its time. */
	if (!atomic_read_acquire(&pgdat_nr_boot_retired))
		return NULL;
	for (range = ranges; range < end; range++) {
		for (nr = pfn_to_section_nr(PHYS_PFN(range->start));
		     nr <= pfn_to_section_nr(PHYS_PFN(range->end)); nr++) {
			cond_resched();
			if (early_section(__nr_to_section(nr)))
				boot_owner_for_each(section_nr_to_pfn(nr),
						    section_nr_to_pfn(nr + 1),
						    pgdat_found, &found);
		}
		if (found)
			return range;
	}
	return NULL;
}

/* The node stays what it is, without pages. Returns why not, or NULL. */
static const char *pgdat_replace(int nid)
{
	struct pglist_data *old = NODE_DATA(nid), *pgdat;

	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return "which stays with PREEMPT_RT";
	if (old->node_spanned_pages)
		return "which spans other memory";
	pgdat = pgdat_alloc(nid);
	if (!pgdat)
		return "and there is no memory to move that to";
	pgdat_copy_mf_stats(pgdat, old);
	pgdat_switch(nid, pgdat);
	return NULL;
}

/**
 * pgdat_move() - move pgdats off memory that is being removed
 * @ranges: physical addresses of regions that are removed together; offline
 * @nr_ranges: number of entries in @ranges
 *
 * They are of nodes that have no other memory. Waits for readers of these
 * pgdats, and of those that a node has left behind in the regions.
 *
 * Context: Process context, sleeps. mem_hotplug_lock is held for writing.
 * Return: 0, and there is no pgdat in the regions. -EBUSY: a node has other
 * memory, or has had device memory; there is no memory; there are readers for
 * too long; or the kernel is PREEMPT_RT. The log says which. Pgdats that have
 * moved do not move back; what numastat and vmstat of their nodes have counted
 * begins anew. Counts of the whole system stay.
 */
int pgdat_move(const struct range *ranges, unsigned int nr_ranges)
{
	const struct range *range;
	const char *why;
	int nid;

	mem_hotplug_assert_held_write();
	for_each_node(nid) {
		range = pgdat_get_range(NODE_DATA(nid), ranges, nr_ranges);
		why = range ? pgdat_replace(nid) : NULL;
		if (why) {
			pr_warn("[mem %#llx-%#llx] cannot be removed: it holds the pgdat of node %d, %s\n",
				range->start, range->end, nid, why);
			return -EBUSY;
		}
	}

	if (!pgdat_get_left(ranges, nr_ranges) ||
	    pgdat_wait_retired(PGDAT_MOVE_MS))
		return 0;
	/* It may be another one that has readers. */
	range = pgdat_get_left(ranges, nr_ranges);
	if (!range)
		return 0;
	pr_warn("[mem %#llx-%#llx] cannot be removed: it holds a pgdat that may still be read\n",
		range->start, range->end);
	return -EBUSY;
}
#endif
