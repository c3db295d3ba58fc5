// SPDX-License-Identifier: GPL-2.0-only
/*
 * Read sections for nodes and zonelists, and freeing what readers may use.
 */

/**
 * DOC: Readers of nodes
 *
 * Nodes and zonelists come and go with memory. Who uses one must be in a read
 * section, or have another reason why it stays: a page of the node, a lock that
 * keeps memory hotplug out, being the node's own thread.
 *
 * There are three kinds of read sections, since no single one suits all:
 *
 * ================================= ============= =============================
 * section                           may sleep     for
 * ================================= ============= =============================
 * pgdat_read_lock()                 no            a look at a node
 * pgdat_read_lock_sleepable()       yes           reclaim, compaction, walks
 *                                                 over all nodes for a user
 * pgdat_read_lock_fast(), internal  no            the page allocator
 * ================================= ============= =============================
 *
 * The last one is empty. A task that allocates a page does not sleep before it
 * has one or enters the slow path (page_owner, which allocates to store where,
 * does with the page in hand, which keeps the node), so RCU-tasks, which waits
 * until each task has slept or run in user space, covers it; and RCU covers
 * interrupts and idle tasks, which RCU-tasks does not wait for. With PREEMPT_RT,
 * where spinlocks sleep, it is a section that may sleep. Kernels with
 * PREEMPT_COUNT and without PREEMPTION would need a section too, since RCU-tasks
 * is RCU there, and a timer interrupt is the end of a grace period;
 * architectures with memory hotplug have no such kernels.
 *
 * What a reader may use is freed in these steps:
 *
 * 1. The pointer to it is changed.
 * 2. RCU and RCU-tasks wait for those who looked it up and do not sleep.
 * 3. SRCU waits for those who sleep. It comes last, since the page allocator
 *    looks up a zonelist in its fast path, and begins a section that may sleep
 *    while it still has it.
 * 4. It is freed, by a worker.
 *
 * Nobody waits for that, since a task can stay in reclaim for minutes; except
 * who needs the memory back that the object is in.
 *
 * Locking: none. pgdat_retire() can be called from any context in which
 * call_rcu() can.
 */

#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/container_of.h>
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/pgdat_rcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* See "Readers of nodes" for why. */
static_assert(IS_ENABLED(CONFIG_PREEMPTION) || !IS_ENABLED(CONFIG_PREEMPT_COUNT),
	      "The page allocator needs a read section with such a kernel");

DEFINE_SRCU_FAST(pgdat_srcu);

/* Objects that have been retired and not been freed yet. */
static atomic_t pgdat_nr_retired = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(pgdat_all_freed);

#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key pgdat_fast_lock_key;
struct lockdep_map pgdat_fast_lock_map = {
	.name = "pgdat_read_lock_fast",
	.key = &pgdat_fast_lock_key,
};
#endif

#ifdef CONFIG_PROVE_RCU
/**
 * pgdat_read_held() - is this a read section, as far as lockdep can tell?
 *
 * Context: Any.
 * Return: false when it is not one for sure.
 */
bool pgdat_read_held(void)
{
	return !debug_lockdep_rcu_enabled() || rcu_read_lock_any_held() ||
	       srcu_read_lock_held(&pgdat_srcu) ||
	       lock_is_held(&pgdat_fast_lock_map);
}
#endif

static void pgdat_retired_work(struct work_struct *work)
{
	struct pgdat_retired *retired =
		container_of(work, struct pgdat_retired, work);

	retired->free(retired);
	if (atomic_dec_and_test(&pgdat_nr_retired))
		wake_up_all(&pgdat_all_freed);
}

/* Callbacks run with softirqs off, @free may sleep. */
static void pgdat_retired_unused(struct rcu_head *rcu)
{
	struct pgdat_retired *retired =
		container_of(rcu, struct pgdat_retired, rcu);

	INIT_WORK(&retired->work, pgdat_retired_work);
	queue_work(system_dfl_wq, &retired->work);
}

static void pgdat_retired_wait_sleepers(struct rcu_head *rcu)
{
	call_srcu(&pgdat_srcu, rcu, pgdat_retired_unused);
}

static void pgdat_retired_wait_tasks(struct rcu_head *rcu)
{
	call_rcu_tasks(rcu, pgdat_retired_wait_sleepers);
}

/**
 * pgdat_retire() - free an object when its last reader is gone
 * @retired: member of the object
 * @free: frees the object, called once
 *
 * The object must not be found by new readers any longer. It may be used by
 * those who have found it before, for as long as their read section lasts.
 *
 * Context: Any but NMI. Does not wait for readers.
 */
void pgdat_retire(struct pgdat_retired *retired, pgdat_free_fn free)
{
	retired->free = free;
	atomic_inc(&pgdat_nr_retired);
	/* pgdat_wait_retired() may wait for it; RCU-tasks is lazy for HZ / 4. */
	call_rcu_hurry(&retired->rcu, pgdat_retired_wait_tasks);
}

/**
 * pgdat_wait_retired() - wait until all retired objects have been freed
 * @ms: milliseconds to wait at most; readers can take long
 *
 * Waits for objects that are retired in the meantime, too: hold
 * mem_hotplug_lock, so that there are few.
 *
 * Context: Process context, sleeps. Not in a read section, and without a lock
 * that is taken in one.
 * Return: true if all have been freed.
 */
bool pgdat_wait_retired(unsigned int ms)
{
	might_sleep();
	srcu_lock_sync(&pgdat_srcu.dep_map);
	return wait_event_timeout(pgdat_all_freed,
				  !atomic_read(&pgdat_nr_retired),
				  msecs_to_jiffies(ms));
}
