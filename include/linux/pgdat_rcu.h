/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Read sections for nodes and zonelists, and freeing what readers may use.
 * See mm/pgdat_rcu.c.
 */
#ifndef _LINUX_PGDAT_RCU_H
#define _LINUX_PGDAT_RCU_H

#include <linux/cleanup.h>
#include <linux/pgdat_rcu_types.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>

#ifdef CONFIG_PGDAT_RCU

extern struct srcu_struct pgdat_srcu;
#ifdef CONFIG_DEBUG_LOCK_ALLOC
extern struct lockdep_map pgdat_fast_lock_map;
#endif

/**
 * pgdat_read_lock_sleepable() - begin a read section that may sleep
 *
 * A pgdat, zone or zonelist that is looked up in the section stays valid to its
 * end, and so does one that was looked up before in a section of another kind
 * that has not ended yet. Sections nest. Use it for walks over nodes, not in
 * hot paths.
 *
 * Context: Any.
 * Return: to be given to pgdat_read_unlock_sleepable().
 */
static inline struct srcu_ctr __percpu *pgdat_read_lock_sleepable(void)
{
	return srcu_read_lock_fast(&pgdat_srcu);
}

/**
 * pgdat_read_unlock_sleepable() - end a read section that may sleep
 * @section: what pgdat_read_lock_sleepable() returned
 *
 * Context: The one that began the section.
 */
static inline void pgdat_read_unlock_sleepable(struct srcu_ctr __percpu *section)
{
	srcu_read_unlock_fast(&pgdat_srcu, section);
}

/*
 * For the page allocator: costs nothing, except on PREEMPT_RT, where spinlocks
 * sleep and RCU-tasks does not wait for who sleeps. No voluntary sleep
 * until pgdat_read_unlock_fast(), being preempted is fine.
 */
static __always_inline struct srcu_ctr __percpu *pgdat_read_lock_fast(void)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return pgdat_read_lock_sleepable();
	rcu_lock_acquire(&pgdat_fast_lock_map);
	return NULL;
}

static __always_inline void
pgdat_read_unlock_fast(struct srcu_ctr __percpu *section)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		pgdat_read_unlock_sleepable(section);
	else
		rcu_lock_release(&pgdat_fast_lock_map);
}

#ifdef CONFIG_PROVE_RCU
bool pgdat_read_held(void);
#else
static inline bool pgdat_read_held(void)
{
	return true;
}
#endif

#else /* !CONFIG_PGDAT_RCU: nodes and zonelists stay */

static inline struct srcu_ctr __percpu *pgdat_read_lock_sleepable(void)
{
	return NULL;
}

static inline void pgdat_read_unlock_sleepable(struct srcu_ctr __percpu *section)
{
}

static inline struct srcu_ctr __percpu *pgdat_read_lock_fast(void)
{
	return NULL;
}

static inline void pgdat_read_unlock_fast(struct srcu_ctr __percpu *section)
{
}

static inline bool pgdat_read_held(void)
{
	return true;
}

#endif /* CONFIG_PGDAT_RCU */

void pgdat_retire(struct pgdat_retired *retired, pgdat_free_fn free);
bool pgdat_wait_retired(unsigned int ms);

/**
 * pgdat_read_lock() - begin a read section that does not sleep
 *
 * A pgdat, zone or zonelist that is looked up in the section stays valid to its
 * end. Sections nest.
 *
 * Context: Any.
 */
static inline void pgdat_read_lock(void)
{
	rcu_read_lock();
}

/**
 * pgdat_read_unlock() - end a read section that does not sleep
 *
 * Context: The one that began the section.
 */
static inline void pgdat_read_unlock(void)
{
	rcu_read_unlock();
}

DEFINE_LOCK_GUARD_0(pgdat_read, pgdat_read_lock(), pgdat_read_unlock())
DEFINE_LOCK_GUARD_0(pgdat_read_sleepable,
		    _T->section = pgdat_read_lock_sleepable(),
		    pgdat_read_unlock_sleepable(_T->section),
		    struct srcu_ctr __percpu *section)

#endif /* _LINUX_PGDAT_RCU_H */
