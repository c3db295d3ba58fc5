// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/pgdat_debug.c: each reason to look up a node is seen, and that
 * there is none too.
 */

#include <kunit/test.h>
#include <linux/debug_locks.h>
#include <linux/device.h>
#include <linux/irqflags.h>
#include <linux/memory_hotplug.h>
#include <linux/mmzone.h>
#include <linux/numa.h>
#include <linux/pgdat_rcu.h>
#include <linux/preempt.h>

static int pgdat_debug_test_init(struct kunit *test)
{
	if (!debug_locks)
		kunit_skip(test, "lockdep has turned itself off");
	return 0;
}

static void pgdat_debug_test_none(struct kunit *test)
{
	int nid = first_online_node;

	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
	scoped_guard(pgdat_read) {
	}
	scoped_guard(pgdat_read_sleepable) {
	}
	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
}

static void pgdat_debug_test_sections(struct kunit *test)
{
	struct srcu_ctr __percpu *section;
	int nid = first_online_node;
	bool fast;

	scoped_guard(pgdat_read)
		KUNIT_EXPECT_TRUE(test, pgdat_has_reason(nid));
	scoped_guard(pgdat_read_sleepable)
		KUNIT_EXPECT_TRUE(test, pgdat_has_reason(nid));
	section = pgdat_read_lock_fast();
	fast = pgdat_has_reason(nid);
	pgdat_read_unlock_fast(section);
	KUNIT_EXPECT_TRUE(test, fast);
	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
}

static void pgdat_debug_test_not_preemptible(struct kunit *test)
{
	int nid = first_online_node;
	bool preempt, irq;

	preempt_disable();
	preempt = pgdat_has_reason(nid);
	preempt_enable();
	local_irq_disable();
	irq = pgdat_has_reason(nid);
	local_irq_enable();
	KUNIT_EXPECT_TRUE(test, preempt);
	KUNIT_EXPECT_TRUE(test, irq);
	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
}

static void pgdat_debug_test_hotplug_locks(struct kunit *test)
{
	int nid = first_online_node;

	get_online_mems();
	KUNIT_EXPECT_TRUE(test, pgdat_has_reason(nid));
	put_online_mems();
	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
	lock_device_hotplug();
	KUNIT_EXPECT_TRUE(test, pgdat_has_reason(nid));
	unlock_device_hotplug();
	KUNIT_EXPECT_FALSE(test, pgdat_has_reason(nid));
}

static struct kunit_case pgdat_debug_test_cases[] = {
	KUNIT_CASE(pgdat_debug_test_none),
	KUNIT_CASE(pgdat_debug_test_sections),
	KUNIT_CASE(pgdat_debug_test_not_preemptible),
	KUNIT_CASE(pgdat_debug_test_hotplug_locks),
	{}
};

static struct kunit_suite pgdat_debug_test_suite = {
	.name = "pgdat_debug",
	.init = pgdat_debug_test_init,
	.test_cases = pgdat_debug_test_cases,
};

kunit_test_suite(pgdat_debug_test_suite);

MODULE_DESCRIPTION("KUnit tests for checked lookups of nodes");
MODULE_LICENSE("GPL");
