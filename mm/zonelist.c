// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zonelists are built as a set and published.
 */

/**
 * DOC: Zonelists
 *
 * Each possible node has two zonelists: the zones to allocate from in order of
 * preference, and those of the node alone, for __GFP_THISNODE. The zonelists of
 * all nodes are a set, which is as large as the zones that have memory need.
 * A set is never changed once allocators can see it:
 *
 * 1. Memory hotplug allocates a set before it changes anything,
 *    zonelist_set_alloc(), and can fail then.
 * 2. When a zone has got its first memory, or has lost its last,
 *    build_all_zonelists() fills the set in.
 * 3. zonelist_set_publish() lets the entry of each node in node_zonelists[]
 *    point to its new zonelist. Each allocation uses the old one or the new one.
 * 4. The old set is freed when nobody can use it any longer, see
 *    mm/pgdat_rcu.c.
 *
 * An allocation that is in the slow path for long looks for a replacement
 * before it tries again or gives up: zonelist_is_replaced(), zonelist_renew().
 *
 * The first set is allocated from memblock and filled in at boot. It is boot
 * memory and stays that, so that MemTotal does not change with the first rebuild.
 *
 * Locking: mem_hotplug_lock is held for writing from zonelist_set_alloc() to
 * zonelist_set_publish(), so that zones with memory do not become more in
 * between. Readers are in a read section of mm/pgdat_rcu.c.
 */

#include <linux/container_of.h>
#include <linux/gfp.h>
#include <linux/memblock.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/overflow.h>
#include <linux/percpu.h>
#include <linux/pgdat_rcu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "zonelist.h"

/**
 * struct zonelist_set - the zonelists of all possible nodes
 * @retired: for freeing it after its last reader
 * @nr_bytes: size of the allocation
 * @boot: the first set, allocated from memblock
 * @next: where the next zonelist goes, the end of the last one
 * @zone_pagesets: of a zone that is not in the next set, freed with this one
 * @zone_stats: of the same zone
 */
struct zonelist_set {
	struct pgdat_retired retired;
	size_t nr_bytes;
	bool boot;
	void *next;
	struct per_cpu_pages __percpu *zone_pagesets;
	struct per_cpu_zonestat __percpu *zone_stats;
};

struct zonelist __rcu *node_zonelists[MAX_NUMNODES][MAX_ZONELISTS] __read_mostly;

/* Protected by mem_hotplug_lock. */
static struct zonelist_set *zonelist_set_published;

static unsigned int zonelist_nr_populated_zones(void)
{
	unsigned int nr_zones = 0;
	int nid, i;

	for_each_online_node(nid) {
		for (i = 0; i < MAX_NR_ZONES; i++)
			nr_zones += populated_zone(&NODE_DATA(nid)->node_zones[i]);
	}
	return nr_zones;
}

static void *zonelist_set_first(struct zonelist_set *set)
{
	return PTR_ALIGN(set + 1, __alignof__(struct zonelist_entry));
}

/*
 * Each node can fall back on all zones, each zone is in one list that is the
 * node's own, and each list has an end.
 */
static size_t zonelist_set_nr_bytes(unsigned int nr_zones)
{
	size_t nr_lists = size_mul(num_possible_nodes(), MAX_ZONELISTS);
	size_t nr_zonerefs = size_add(size_mul(num_possible_nodes() + 1, nr_zones),
				      nr_lists);

	return size_add(size_add(sizeof(struct zonelist_set),
				 __alignof__(struct zonelist_entry)),
			size_add(size_mul(nr_lists, sizeof(struct zonelist_entry)),
				 size_mul(nr_zonerefs, sizeof(struct zoneref))));
}

static void zonelist_set_init(struct zonelist_set *set, size_t nr_bytes)
{
	set->nr_bytes = nr_bytes;
	set->next = zonelist_set_first(set);
}

/**
 * zonelist_set_alloc() - allocate zonelists for all possible nodes
 * @new_zones: how many zones are about to get their first memory
 *
 * Context: Process context, may sleep. mem_hotplug_lock is held for writing.
 * Return: an empty set, for build_all_zonelists() or zonelist_set_free(); NULL
 * when there is no memory for it.
 */
struct zonelist_set *zonelist_set_alloc(unsigned int new_zones)
{
	size_t nr_bytes =
		zonelist_set_nr_bytes(zonelist_nr_populated_zones() + new_zones);
	struct zonelist_set *set;

	mem_hotplug_assert_held_write();
	/* Not on the node that is about to leave */
	set = kvzalloc_node(nr_bytes, GFP_KERNEL | __GFP_RETRY_MAYFAIL,
			    first_online_node);
	if (set)
		zonelist_set_init(set, nr_bytes);
	return set;
}

/**
 * zonelist_set_alloc_boot() - allocate the first set
 *
 * Context: Boot, before the page allocator has memory. Panics without memory.
 * Return: an empty set.
 */
struct zonelist_set * __init zonelist_set_alloc_boot(void)
{
	size_t nr_bytes = zonelist_set_nr_bytes(zonelist_nr_populated_zones());
	struct zonelist_set *set = memblock_alloc_or_panic(nr_bytes,
							   SMP_CACHE_BYTES);

	zonelist_set_init(set, nr_bytes);
	set->boot = true;
	return set;
}

/**
 * zonelist_set_free() - free a set that has not been published
 * @set: from zonelist_set_alloc(), or NULL
 *
 * Context: Process context, may sleep.
 */
void zonelist_set_free(struct zonelist_set *set)
{
	kvfree(set);
}

/**
 * zonelist_set_begin() - begin a zonelist
 * @set: not published yet, no zonelist in it has been begun and not ended
 * @nid: a possible node
 * @type: ZONELIST_FALLBACK or ZONELIST_NOFALLBACK
 *
 * Context: See zonelist_set_alloc().
 * Return: where the zones go.
 */
struct zoneref *zonelist_set_begin(struct zonelist_set *set, int nid, int type)
{
	struct zonelist_entry *entry = set->next;

	entry->published = &node_zonelists[nid][type];
	return entry->list._zonerefs;
}

/**
 * zonelist_set_end() - end the zonelist that was begun last
 * @set: not published yet
 * @nr_zones: how many zones it has
 *
 * Context: See zonelist_set_alloc().
 */
void zonelist_set_end(struct zonelist_set *set, unsigned int nr_zones)
{
	struct zonelist_entry *entry = set->next;
	struct zoneref *end = &entry->list._zonerefs[nr_zones];

	end->zone = NULL;
	end->zone_idx = 0;
	set->next = end + 1;
	WARN_ON_ONCE(set->next > (void *)set + set->nr_bytes);
}

static struct zonelist_entry *zonelist_set_after(struct zonelist_entry *entry)
{
	struct zoneref *z = entry->list._zonerefs;

	while (zonelist_zone(z))
		z++;
	return (void *)(z + 1);
}

static void zonelist_set_free_retired(struct pgdat_retired *retired)
{
	struct zonelist_set *set =
		container_of(retired, struct zonelist_set, retired);

	free_percpu(set->zone_pagesets);
	free_percpu(set->zone_stats);
	if (!set->boot)
		kvfree(set);
}

/**
 * zonelist_free_pagesets() - free the pagesets of a zone that leaves
 * @pagesets: of the zone
 * @stats: of the zone, or NULL
 *
 * Who finds the zone in the present zonelists may use its pagesets. They are
 * freed together, after the next set was published.
 *
 * Context: See zonelist_set_alloc(). Does not sleep.
 */
void zonelist_free_pagesets(struct per_cpu_pages __percpu *pagesets,
			    struct per_cpu_zonestat __percpu *stats)
{
	struct zonelist_set *set = zonelist_set_published;

	mem_hotplug_assert_held_write();
	WARN_ON_ONCE(set->zone_pagesets);
	set->zone_pagesets = pagesets;
	set->zone_stats = stats;
}

/**
 * zonelist_set_publish() - let allocators use a set
 * @set: with all zonelists of all possible nodes
 *
 * The set that was published before is freed some time after its last user.
 *
 * Context: See zonelist_set_alloc(). Does not sleep.
 */
void zonelist_set_publish(struct zonelist_set *set)
{
	struct zonelist_entry *entry = zonelist_set_first(set);
	struct zonelist_set *old = zonelist_set_published;

	for (; (void *)entry < set->next; entry = zonelist_set_after(entry))
		rcu_assign_pointer(*entry->published, &entry->list);

	zonelist_set_published = set;
	if (IS_ENABLED(CONFIG_PGDAT_RCU) && old)
		pgdat_retire(&old->retired, zonelist_set_free_retired);
}
