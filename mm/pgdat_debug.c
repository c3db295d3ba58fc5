// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who looks up a pgdat must have a reason why it stays.
 */

/**
 * DOC: Checked lookups of nodes
 *
 * With CONFIG_DEBUG_PGDAT, NODE_DATA() warns when its caller has none of the
 * reasons that can be seen from here:
 *
 * - a read section, see mm/pgdat_rcu.c, or what is one for RCU: interrupts,
 *   softirqs or preemption are off;
 * - a lock that keeps memory hotplug out;
 * - being a thread of the node;
 * - boot: nothing is removed before there are user processes.
 *
 * The others cannot be seen: a page of the node, and not sleeping before the
 * last use. They are for __NODE_DATA(), which is not checked.
 *
 * The warning is about the lookup. It does not tell if the pgdat is used for
 * longer than the reason lasts; for that, pgdats are poisoned and unmapped when
 * they are freed.
 *
 * Locking: none.
 */

#include <linux/bug.h>
#include <linux/cpu.h>
#include <linux/debug_locks.h>
#include <linux/device.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/numa.h>
#include <linux/pgdat_rcu.h>
#include <linux/sched.h>

/* A thread of the node is stopped before the node goes. */
static bool pgdat_is_own_thread(int nid)
{
	const struct pglist_data *pgdat;

	if (!(current->flags & PF_KTHREAD))
		return false;
	guard(pgdat_read)();
	pgdat = __NODE_DATA(nid);
	return current == READ_ONCE(pgdat->kswapd) ||
	       current == READ_ONCE(pgdat->kcompactd);
}

/**
 * pgdat_has_reason() - does the caller keep a node from going?
 * @nid: number of the node
 *
 * Boot is not looked at.
 *
 * Context: Any but NMI.
 * Return: true if there is a reason that can be seen, or lockdep is off.
 */
bool pgdat_has_reason(int nid)
{
	return pgdat_read_held() || mem_hotplug_is_held() ||
	       (IS_ENABLED(CONFIG_HOTPLUG_CPU) && lockdep_is_cpus_write_held()) ||
	       device_hotplug_is_locked() || pgdat_is_own_thread(nid);
}

/**
 * pgdat_check_use() - warn about a lookup of a node without a reason
 * @nid: number of the node
 * @reported: of the place that looks it up: warned already?
 *
 * Context: Any but NMI.
 */
void pgdat_check_use(int nid, bool *reported)
{
	if (READ_ONCE(*reported) || system_state < SYSTEM_RUNNING ||
	    pgdat_has_reason(nid))
		return;
	WRITE_ONCE(*reported, true);
	WARN(1, "node %d is looked up by who does not keep it from going\n",
	     nid);
}
EXPORT_SYMBOL_GPL(pgdat_check_use);
