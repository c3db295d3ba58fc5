/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pgdat of a node comes and goes with it. See mm/pgdat_lifetime.c.
 */
#ifndef __MM_PGDAT_LIFETIME_H
#define __MM_PGDAT_LIFETIME_H

#include <linux/mmzone.h>
#include <linux/types.h>

struct range;

/* mm/mm_init.c */
void free_area_init_empty(struct pglist_data *pgdat);
void free_node_stats(struct pglist_data *pgdat);

/* mm/vmscan.c */
#ifdef CONFIG_LRU_GEN
void lru_gen_retire_lruvec(struct lruvec *lruvec);
#else
static inline void lru_gen_retire_lruvec(struct lruvec *lruvec)
{
}
#endif

#ifdef CONFIG_MEMORY_FAILURE
static inline void pgdat_copy_mf_stats(struct pglist_data *to,
				       const struct pglist_data *from)
{
	to->mf_stats = from->mf_stats;
}
#else
static inline void pgdat_copy_mf_stats(struct pglist_data *to,
				       const struct pglist_data *from)
{
}
#endif

#ifdef CONFIG_PGDAT_LIFETIME
void pgdat_init_standin(void);
bool pgdat_use_standin(int nid);
bool pgdat_is_standin(const struct pglist_data *pgdat);
int pgdat_add(int nid);
void pgdat_remove(int nid);
int pgdat_move(const struct range *ranges, unsigned int nr_ranges);
#else
static inline void pgdat_init_standin(void)
{
}

static inline bool pgdat_use_standin(int nid)
{
	return false;
}

static inline bool pgdat_is_standin(const struct pglist_data *pgdat)
{
	return false;
}

static inline int pgdat_add(int nid)
{
	return 0;
}

static inline void pgdat_remove(int nid)
{
}

static inline int pgdat_move(const struct range *ranges,
			     unsigned int nr_ranges)
{
	return 0;
}
#endif /* CONFIG_PGDAT_LIFETIME */

#endif /* __MM_PGDAT_LIFETIME_H */
