// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/pgdat_rcu.c: what is retired is freed, once, and not while
 * a reader of any kind may use it.
 */

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/pgdat_rcu.h>

struct retired_object {
	struct pgdat_retired retired;
	struct completion freed;
	atomic_t nr_freed;
};

/* Much more than a grace period takes, also on a slow debug kernel. */
#define FREED_MS	60000
/* Long enough for all grace periods when nobody reads. */
#define READER_MS	1500

static void retired_object_free(struct pgdat_retired *retired)
{
	struct retired_object *object =
		container_of(retired, struct retired_object, retired);

	might_sleep();
	atomic_inc(&object->nr_freed);
	complete(&object->freed);
}

static struct retired_object *retired_object_alloc(struct kunit *test)
{
	struct retired_object *object =
		kunit_kzalloc(test, sizeof(*object), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, object);
	init_completion(&object->freed);
	return object;
}

static void expect_freed(struct kunit *test, struct retired_object *object)
{
	KUNIT_ASSERT_NE(test, 0UL,
			wait_for_completion_timeout(&object->freed,
						    msecs_to_jiffies(FREED_MS)));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&object->nr_freed));
}

static void pgdat_rcu_test_freed(struct kunit *test)
{
	struct retired_object *object = retired_object_alloc(test);

	pgdat_retire(&object->retired, retired_object_free);
	expect_freed(test, object);
}

#define NR_RETIRED	20

static void retire_some(struct kunit *test, struct retired_object **objects)
{
	int i;

	for (i = 0; i < NR_RETIRED; i++) {
		objects[i] = retired_object_alloc(test);
		pgdat_retire(&objects[i]->retired, retired_object_free);
	}
}

static void pgdat_rcu_test_many(struct kunit *test)
{
	struct retired_object *objects[NR_RETIRED];
	int i;

	retire_some(test, objects);
	for (i = 0; i < NR_RETIRED; i++)
		expect_freed(test, objects[i]);
}

static void pgdat_rcu_test_wait(struct kunit *test)
{
	struct retired_object *objects[NR_RETIRED];
	int i;

	retire_some(test, objects);
	KUNIT_EXPECT_TRUE(test, pgdat_wait_retired(FREED_MS));
	for (i = 0; i < NR_RETIRED; i++)
		KUNIT_EXPECT_EQ(test, 1, atomic_read(&objects[i]->nr_freed));
}

static void pgdat_rcu_test_sleeping_reader(struct kunit *test)
{
	struct retired_object *object = retired_object_alloc(test);
	struct srcu_ctr __percpu *section = pgdat_read_lock_sleepable();
	int freed_early;

	pgdat_retire(&object->retired, retired_object_free);
	msleep(READER_MS);
	freed_early = atomic_read(&object->nr_freed);
	pgdat_read_unlock_sleepable(section);
	KUNIT_EXPECT_EQ(test, 0, freed_early);
	expect_freed(test, object);
}

/* Sleeps only in the inner section, so that the outer one must count, too. */
static void pgdat_rcu_test_nested(struct kunit *test)
{
	struct retired_object *object = retired_object_alloc(test);
	struct srcu_ctr __percpu *outer = pgdat_read_lock_sleepable();
	struct srcu_ctr __percpu *inner = pgdat_read_lock_sleepable();
	int freed_early;

	pgdat_retire(&object->retired, retired_object_free);
	pgdat_read_unlock_sleepable(inner);
	msleep(READER_MS);
	freed_early = atomic_read(&object->nr_freed);
	pgdat_read_unlock_sleepable(outer);
	KUNIT_EXPECT_EQ(test, 0, freed_early);
	expect_freed(test, object);
}

struct fast_reader {
	struct retired_object *object;
	struct completion begun;
	struct completion done;
	bool sleepable;
	int freed_early;
};

/* Runs, and is preempted, but does not sleep; as the page allocator. */
static void fast_reader_run(unsigned int ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(ms);

	while (time_before(jiffies, end))
		cpu_relax();
}

static int fast_reader(void *data)
{
	struct fast_reader *reader = data;
	struct srcu_ctr __percpu *section = NULL;
	struct srcu_ctr __percpu *fast;

	fast = pgdat_read_lock_fast();
	complete(&reader->begun);
	fast_reader_run(READER_MS);
	if (reader->sleepable)
		section = pgdat_read_lock_sleepable();
	pgdat_read_unlock_fast(fast);
	if (reader->sleepable)
		msleep(READER_MS);
	reader->freed_early = atomic_read(&reader->object->nr_freed);
	if (reader->sleepable)
		pgdat_read_unlock_sleepable(section);
	complete(&reader->done);
	return 0;
}

static void test_fast_reader(struct kunit *test, bool sleepable)
{
	struct fast_reader *reader =
		kunit_kzalloc(test, sizeof(*reader), GFP_KERNEL);
	struct task_struct *task;

	KUNIT_ASSERT_NOT_NULL(test, reader);
	reader->object = retired_object_alloc(test);
	reader->sleepable = sleepable;
	init_completion(&reader->begun);
	init_completion(&reader->done);
	task = kthread_run(fast_reader, reader, "pgdat_rcu_reader");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));

	wait_for_completion(&reader->begun);
	pgdat_retire(&reader->object->retired, retired_object_free);
	if (sleepable)
		KUNIT_EXPECT_FALSE(test, pgdat_wait_retired(1));
	wait_for_completion(&reader->done);
	KUNIT_EXPECT_EQ(test, 0, reader->freed_early);
	expect_freed(test, reader->object);
}

static void pgdat_rcu_test_fast_reader(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_PREEMPTION))
		kunit_skip(test, "a reader that runs on holds up the test");
	test_fast_reader(test, false);
}

/* As the page allocator does that enters its slow path with a zonelist. */
static void pgdat_rcu_test_fast_then_sleeping(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_PREEMPTION))
		kunit_skip(test, "a reader that runs on holds up the test");
	test_fast_reader(test, true);
}

static struct kunit_case pgdat_rcu_cases[] = {
	KUNIT_CASE(pgdat_rcu_test_freed),
	KUNIT_CASE(pgdat_rcu_test_many),
	KUNIT_CASE(pgdat_rcu_test_wait),
	KUNIT_CASE_SLOW(pgdat_rcu_test_sleeping_reader),
	KUNIT_CASE_SLOW(pgdat_rcu_test_nested),
	KUNIT_CASE_SLOW(pgdat_rcu_test_fast_reader),
	KUNIT_CASE_SLOW(pgdat_rcu_test_fast_then_sleeping),
	{}
};

static struct kunit_suite pgdat_rcu_suite = {
	.name = "pgdat_rcu",
	.test_cases = pgdat_rcu_cases,
};

kunit_test_suite(pgdat_rcu_suite);

MODULE_DESCRIPTION("KUnit tests of read sections for nodes");
MODULE_LICENSE("GPL");
