/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Zonelists are built as a set and published. See mm/zonelist.c.
 */
#ifndef __MM_ZONELIST_H
#define __MM_ZONELIST_H

#include <linux/container_of.h>
#include <linux/mmzone.h>
#include <linux/pgdat_rcu.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

struct zonelist_set;

/**
 * struct zonelist_entry - a zonelist in a set
 * @published: where it is published, and later what replaces it
 * @list: at the end, and what allocators have a pointer to
 */
struct zonelist_entry {
	struct zonelist __rcu **published;
	struct zonelist list;
};

static inline const struct zonelist_entry *
zonelist_to_entry(const struct zonelist *zonelist)
{
	return container_of(zonelist, struct zonelist_entry, list);
}

struct zonelist_set *zonelist_set_alloc(unsigned int new_zones);
struct zonelist_set *zonelist_set_alloc_boot(void);
void zonelist_set_free(struct zonelist_set *set);
struct zoneref *zonelist_set_begin(struct zonelist_set *set, int nid, int type);
void zonelist_set_end(struct zonelist_set *set, unsigned int nr_zones);
void zonelist_free_pagesets(struct per_cpu_pages __percpu *pagesets,
			    struct per_cpu_zonestat __percpu *stats);
void zonelist_set_publish(struct zonelist_set *set);

/**
 * zonelist_is_replaced() - has a rebuild replaced a zonelist?
 * @zonelist: looked up in the read section that the caller is in
 *
 * Context: Any read section, see mm/pgdat_rcu.c.
 * Return: true when the node has another zonelist by now.
 */
static inline bool zonelist_is_replaced(const struct zonelist *zonelist)
{
	return rcu_access_pointer(*zonelist_to_entry(zonelist)->published) !=
	       zonelist;
}

/**
 * zonelist_renew() - the zonelist that is to be used instead
 * @zonelist: looked up in the read section that the caller is in
 *
 * Context: Any read section, see mm/pgdat_rcu.c.
 * Return: the present zonelist of the same node and type; often the same.
 */
static inline struct zonelist *zonelist_renew(const struct zonelist *zonelist)
{
	return rcu_dereference_check(*zonelist_to_entry(zonelist)->published,
				     pgdat_read_held());
}

#endif /* __MM_ZONELIST_H */
