// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/boot_owner_sort.c: in which order memory blocks go that
 * have to follow each other, and what becomes of a cycle.
 */

#include <kunit/test.h>
#include <linux/bits.h>

#include "../boot_owner_internal.h"

#define TEST_BLOCKS	16

/* @after: what has to precede each of the memory blocks 9, 8, 7 and 3. */
static void expect_order(struct kunit *test, const unsigned long after[4],
			 unsigned long first, unsigned long second,
			 unsigned long third, unsigned long fourth)
{
	const unsigned long expected[] = { first, second, third, fourth };
	const unsigned long ids[] = { 9, 8, 7, 3 };
	unsigned long left = BIT(9) | BIT(8) | BIT(7) | BIT(3);
	unsigned long bits[4], sorted[4] = {}, *maps[4];
	int i;

	for (i = 0; i < 4; i++) {
		bits[i] = after[i];
		maps[i] = bits[i] ? &bits[i] : NULL;
	}
	boot_owner_sort(ids, maps, 4, &left, TEST_BLOCKS, sorted);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, sorted[i], expected[i]);
	KUNIT_EXPECT_EQ(test, left, 0);
}

static void boot_owner_sort_test_order(struct kunit *test)
{
	const unsigned long none[4] = {};
	const unsigned long one[4] = { BIT(8) | BIT(7) | BIT(3) };
	const unsigned long chain[4] = { BIT(8), BIT(7), BIT(3) };

	expect_order(test, none, 9, 8, 7, 3);
	expect_order(test, one, 8, 7, 3, 9);
	expect_order(test, chain, 3, 7, 8, 9);
}

static void boot_owner_sort_test_cycle(struct kunit *test)
{
	const unsigned long cycle[4] = { BIT(3), 0, BIT(9), BIT(7) };
	const unsigned long behind[4] = { BIT(8), BIT(9), BIT(8) };

	expect_order(test, cycle, 8, 9, 7, 3);
	expect_order(test, behind, 3, 9, 8, 7);
}

static struct kunit_case boot_owner_sort_test_cases[] = {
	KUNIT_CASE(boot_owner_sort_test_order),
	KUNIT_CASE(boot_owner_sort_test_cycle),
	{}
};

static struct kunit_suite boot_owner_sort_test_suite = {
	.name = "boot_owner_sort",
	.test_cases = boot_owner_sort_test_cases,
};

kunit_test_suite(boot_owner_sort_test_suite);

MODULE_DESCRIPTION("KUnit tests of the order of memory blocks");
MODULE_LICENSE("GPL");
