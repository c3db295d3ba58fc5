// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/zonelist.c: each zone is where it belongs in the zonelists
 * of this machine, and a rebuild replaces them and leaves the old ones alone.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/pgdat_rcu.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "../zonelist.h"

static unsigned int count_zone(const struct zonelist *zonelist,
			       const struct zone *zone)
{
	const struct zoneref *z;
	unsigned int count = 0;

	for (z = zonelist->_zonerefs; z->zone; z++)
		count += z->zone == zone;
	return count;
}

static unsigned int count_zones(const struct zonelist *zonelist)
{
	unsigned int count = 0;

	while (zonelist->_zonerefs[count].zone)
		count++;
	return count;
}

static struct zonelist *test_zonelist(int nid, int type)
{
	return rcu_dereference_check(node_zonelists[nid][type],
				     pgdat_read_held());
}

/* The caller keeps memory hotplug out. */
static void expect_zones_of_node(struct kunit *test, int nid, int of)
{
	struct zonelist *fallback = test_zonelist(nid, ZONELIST_FALLBACK);
	int i;

	for (i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &NODE_DATA(of)->node_zones[i];
		unsigned int count = populated_zone(zone) ? 1 : 0;

		KUNIT_EXPECT_EQ_MSG(test, count_zone(fallback, zone), count,
				    "node %d zone %d in the list of node %d",
				    of, i, nid);
#ifdef CONFIG_NUMA
		KUNIT_EXPECT_EQ_MSG(test,
				    count_zone(test_zonelist(nid, ZONELIST_NOFALLBACK),
					       zone),
				    nid == of ? count : 0,
				    "node %d zone %d in the own list of node %d",
				    of, i, nid);
#endif
	}
}

static void zonelist_test_all_zones(struct kunit *test)
{
	int nid, of;

	get_online_mems();
	scoped_guard(pgdat_read_sleepable) {
		for_each_node(nid)
			for_each_online_node(of)
				expect_zones_of_node(test, nid, of);
	}
	put_online_mems();
}

/* A node with memory comes first in its own list, highest zone first. */
static void zonelist_test_order(struct kunit *test)
{
	int nid;

	get_online_mems();
	scoped_guard(pgdat_read_sleepable) for_each_node(nid) {
		struct zoneref *z = test_zonelist(nid, ZONELIST_FALLBACK)->_zonerefs;

		if (node_state(nid, N_MEMORY))
			KUNIT_EXPECT_EQ(test, zonelist_node_idx(z), nid);
		for (; zonelist_zone(z) && zonelist_zone(z + 1); z++) {
			KUNIT_EXPECT_EQ(test, zonelist_zone_idx(z),
					zone_idx(zonelist_zone(z)));
			if (zonelist_node_idx(z) == zonelist_node_idx(z + 1))
				KUNIT_EXPECT_GT(test, zonelist_zone_idx(z),
						zonelist_zone_idx(z + 1));
		}
	}
	put_online_mems();
}

/* Not in a read section. */
static struct zonelist_set *test_rebuild(void)
{
	struct zonelist_set *set;

	mem_hotplug_begin();
	set = zonelist_set_alloc(0);
	if (set)
		build_all_zonelists(set);
	mem_hotplug_done();
	return set;
}

struct test_reader {
	struct kunit *test;
	struct completion in_section;
	/* Set before the reader is stopped. */
	bool rebuilt;
};

static void test_wait_stop(void)
{
	set_current_state(TASK_IDLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_IDLE);
	}
	__set_current_state(TASK_RUNNING);
}

/* Looks up a list, and again after it has been replaced. */
static int test_read(void *arg)
{
	struct test_reader *reader = arg;
	struct kunit *test = reader->test;
	struct srcu_ctr __percpu *section = pgdat_read_lock_sleepable();
	int nid = first_online_node;
	struct zonelist *old = test_zonelist(nid, ZONELIST_FALLBACK);
	size_t size = flex_array_size(old, _zonerefs, count_zones(old) + 1);
	struct zonelist *copy, *new;

	copy = kunit_kmalloc(test, size, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, copy);
	if (copy)
		memcpy(copy, old, size);
	KUNIT_EXPECT_FALSE(test, zonelist_is_replaced(old));
	KUNIT_EXPECT_PTR_EQ(test, old, zonelist_renew(old));

	complete(&reader->in_section);
	test_wait_stop();
	if (reader->rebuilt) {
		new = test_zonelist(nid, ZONELIST_FALLBACK);
		KUNIT_EXPECT_PTR_NE(test, old, new);
		KUNIT_EXPECT_TRUE(test, zonelist_is_replaced(old));
		KUNIT_EXPECT_PTR_EQ(test, new, zonelist_renew(old));
		KUNIT_EXPECT_FALSE(test, zonelist_is_replaced(new));
		KUNIT_EXPECT_EQ(test, count_zones(old), count_zones(new));
		if (copy)
			KUNIT_EXPECT_MEMEQ(test, copy, old, size);
	}
	pgdat_read_unlock_sleepable(section);
	return 0;
}

/*
 * The reader is another task: memory hotplug, which holds its locks while it
 * waits for readers, may not be started in a section.
 */
static void zonelist_test_rebuild(struct kunit *test)
{
	struct test_reader reader = { .test = test };
	struct task_struct *task;

	init_completion(&reader.in_section);
	task = kthread_run(test_read, &reader, "zonelist_reader");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_completion(&reader.in_section);
	reader.rebuilt = test_rebuild();
	kthread_stop(task);
	if (!reader.rebuilt)
		kunit_skip(test, "no memory for zonelists");
	zonelist_test_all_zones(test);
}

/* Allocators of each kind run while zonelists are replaced under them. */
static void zonelist_test_rebuild_in_use(struct kunit *test)
{
	int round;

	for (round = 0; round < 50; round++) {
		struct page *page;

		if (!test_rebuild())
			kunit_skip(test, "no memory for zonelists");
		page = alloc_pages(GFP_KERNEL, round % 4);
		KUNIT_EXPECT_NOT_NULL(test, page);
		if (page)
			__free_pages(page, round % 4);
	}
}

static void zonelist_test_unused_set(struct kunit *test)
{
	struct zonelist_set *set;

	mem_hotplug_begin();
	set = zonelist_set_alloc(1);
	zonelist_set_free(set);
	zonelist_set_free(NULL);
	mem_hotplug_done();
	KUNIT_EXPECT_NOT_NULL(test, set);
	zonelist_test_all_zones(test);
}

static struct kunit_case zonelist_cases[] = {
	KUNIT_CASE(zonelist_test_all_zones),
	KUNIT_CASE(zonelist_test_order),
	KUNIT_CASE(zonelist_test_rebuild),
	KUNIT_CASE(zonelist_test_rebuild_in_use),
	KUNIT_CASE(zonelist_test_unused_set),
	{}
};

static struct kunit_suite zonelist_suite = {
	.name = "zonelist",
	.test_cases = zonelist_cases,
};

kunit_test_suite(zonelist_suite);

MODULE_DESCRIPTION("KUnit tests of zonelists");
MODULE_LICENSE("GPL");
