/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of include/linux/pgdat_rcu.h that definitions of structures need.
 */
#ifndef _LINUX_PGDAT_RCU_TYPES_H
#define _LINUX_PGDAT_RCU_TYPES_H

#include <linux/types.h>
#include <linux/workqueue_types.h>

struct pgdat_retired;

/**
 * typedef pgdat_free_fn - free what no reader can see any longer
 * @retired: member of the object
 *
 * Context: Process context, may sleep.
 */
typedef void (*pgdat_free_fn)(struct pgdat_retired *retired);

/**
 * struct pgdat_retired - member of an object that pgdat_retire() frees
 * @rcu: while readers are waited for
 * @work: while @free is waited for
 * @free: frees the object
 */
struct pgdat_retired {
	union {
		struct rcu_head rcu;
		struct work_struct work;
	};
	pgdat_free_fn free;
};

#endif /* _LINUX_PGDAT_RCU_TYPES_H */
