// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pgdat of a node comes and goes with it.
 */

/**
 * DOC: Lifetime of a pgdat
 *
 * NODE_DATA() of a possible node is never NULL. As long as the node is offline
 * it is the stand-in, one for all such nodes: it has no pages, no zone with
 * memory, no threads, and no node number, so that it does not say which node
 * is meant. What belongs to a node number and has to be there for offline nodes
 * is kept by number: zonelists, the lruvecs of memcgs and lists of them.
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
 * The pgdat of a node that was there at boot is freed in the same way.
 *
 * With PREEMPT_RT a pgdat that has been added stays, and is used again when the
 * node comes back: readers may sleep on a spinlock there, which RCU-tasks does
 * not wait for.
 *
 * Locking: mem_hotplug_lock is held for writing while node_data[] changes.
 * Readers are in a read section of mm/pgdat_rcu.c, or have a page of the node, or
 * hold a lock that keeps memory hotplug out, or are a thread of the node.
 */

#include <linux/container_of.h>
#include <linux/gfp.h>
#include <linux/kmemleak.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/pgdat_rcu.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/wait.h>

#include "hugetlb_vmemmap.h"
#include "internal.h"
#include "pgdat_lifetime.h"

static struct pglist_data pgdat_standin;

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
	int rc;

	mem_hotplug_assert_held_write();
	if (!pgdat_is_standin(NODE_DATA(nid)))
		return 0;

	/* From the node nearest to it; its own memory is not online yet. */
	pgdat = kzalloc_node(sizeof(*pgdat), GFP_KERNEL, nid);
	if (!pgdat)
		return -ENOMEM;
	pgdat->node_id = nid;
	free_area_init_empty(pgdat);
	rc = free_area_init_core_hotplug(pgdat);
	if (rc) {
		kfree(pgdat);
		return rc;
	}
	/* Pairs with the address dependency of readers of NODE_DATA(). */
	smp_store_release(&node_data[nid], pgdat);
	return 0;
}

/* mm/numa.c allocates whole pages at boot. */
static void pgdat_free_memory(struct pglist_data *pgdat)
{
	void *start = pgdat, *page;

	if (!PageReserved(virt_to_page(pgdat))) {
		kfree(pgdat);
		return;
	}
	kmemleak_free_part_phys(__pa(pgdat), PAGE_ALIGN(sizeof(*pgdat)));
	for (page = start; page < start + sizeof(*pgdat); page += PAGE_SIZE)
		free_reserved_page(virt_to_page(page));
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

/**
 * pgdat_remove() - take back the pgdat of a node
 * @nid: a node that is offline
 *
 * NODE_DATA() is the stand-in when this returns, unless the node has device
 * memory. Does not wait for readers.
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

	WARN_ON_ONCE(pgdat->kswapd);
	WRITE_ONCE(node_data[nid], &pgdat_standin);
	lru_gen_retire_lruvec(&pgdat->__lruvec);
	pgdat_wake_all(pgdat);
	pgdat_retire(&pgdat->retired, pgdat_free);
}
