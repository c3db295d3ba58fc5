// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/boot_memmap.c: which memory blocks may host their memmap,
 * on memory maps made for the test.
 */

#include <kunit/test.h>
#include <linux/memblock.h>
#include <linux/sizes.h>

#include "../boot_memmap.h"

/* The memory block that is looked at. */
#define TEST_START	SZ_4G
#define TEST_END	(SZ_4G + SZ_128M)

struct boot_memmap_test_map {
	struct memblock_region memory[4];
	struct memblock_region reserved[2];
	enum boot_memmap_verdict verdict;
};

#define TEST_REGION(_base, _size, _nid, _flags) \
	{ .base = (_base), .size = (_size), .nid = (_nid), .flags = (_flags) }

static struct memblock_type
boot_memmap_test_type(struct memblock_region *regions, unsigned long max)
{
	struct memblock_type type = { .max = max, .regions = regions };

	while (type.cnt < max && regions[type.cnt].size)
		type.cnt++;
	return type;
}

static void boot_memmap_test_verdict(struct kunit *test, struct boot_memmap_test_map map)
{
	struct memblock_type memory = boot_memmap_test_type(map.memory,
						ARRAY_SIZE(map.memory));
	struct memblock_type reserved = boot_memmap_test_type(map.reserved,
						  ARRAY_SIZE(map.reserved));

	KUNIT_EXPECT_EQ(test, map.verdict,
			boot_memmap_check(&memory, &reserved, TEST_START,
					  TEST_END));
}

static void boot_memmap_test_whole_block(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(0, SZ_1G, 0, 0),
			TEST_REGION(SZ_4G, SZ_1G, 1, MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_HOSTED,
	});
}

static void boot_memmap_test_block_of_two_regions(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_64M, 1, MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G + SZ_64M, SZ_64M, 1,
				    MEMBLOCK_HOTPLUG | MEMBLOCK_MIRROR),
		},
		.verdict = BOOT_MEMMAP_HOSTED,
	});
}

static void boot_memmap_test_not_hotpluggable(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_1G, 0, 0),
		},
		.verdict = BOOT_MEMMAP_STAYS,
	});
}

static void boot_memmap_test_hotpluggable_neighbours(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G - SZ_128M, SZ_128M, 1,
				    MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G, SZ_128M, 0, 0),
			TEST_REGION(SZ_4G + SZ_128M, SZ_128M, 1,
				    MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_STAYS,
	});
}

static void boot_memmap_test_no_memory(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(0, SZ_1G, 0, 0),
		},
		.verdict = BOOT_MEMMAP_STAYS,
	});
}

static void boot_memmap_test_partly_hotpluggable(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_64M, 1, MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G + SZ_64M, SZ_64M, 1, 0),
		},
		.verdict = BOOT_MEMMAP_MIXED,
	});
}

static void boot_memmap_test_two_nodes(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_64M, 0, MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G + SZ_64M, SZ_64M, 1,
				    MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_NODES,
	});
}

static void boot_memmap_test_hole_at_start(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G + SZ_4K, SZ_1G, 1, MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_HOLE,
	});
}

static void boot_memmap_test_hole_at_end(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_128M - SZ_4K, 1,
				    MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_HOLE,
	});
}

static void boot_memmap_test_hole_inside(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_64M, 1, MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G + SZ_64M + SZ_1M, SZ_64M, 1,
				    MEMBLOCK_HOTPLUG),
		},
		.verdict = BOOT_MEMMAP_HOLE,
	});
}

static void boot_memmap_test_not_mapped(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_64M, 1, MEMBLOCK_HOTPLUG),
			TEST_REGION(SZ_4G + SZ_64M, SZ_64M, 1,
				    MEMBLOCK_HOTPLUG | MEMBLOCK_NOMAP),
		},
		.verdict = BOOT_MEMMAP_HOLE,
	});
}

static void boot_memmap_test_reserved_inside(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G, SZ_1G, 1, MEMBLOCK_HOTPLUG),
		},
		.reserved = {
			TEST_REGION(SZ_1G, SZ_4K, 0, 0),
			TEST_REGION(SZ_4G + SZ_128M - SZ_4K, SZ_4K, 1, 0),
		},
		.verdict = BOOT_MEMMAP_IN_USE,
	});
}

static void boot_memmap_test_reserved_beside(struct kunit *test)
{
	boot_memmap_test_verdict(test, (struct boot_memmap_test_map) {
		.memory = {
			TEST_REGION(SZ_4G - SZ_1G, SZ_2G, 1, MEMBLOCK_HOTPLUG),
		},
		.reserved = {
			TEST_REGION(SZ_4G - SZ_4K, SZ_4K, 1, 0),
			TEST_REGION(SZ_4G + SZ_128M, SZ_4K, 1, 0),
		},
		.verdict = BOOT_MEMMAP_HOSTED,
	});
}

static struct kunit_case boot_memmap_test_cases[] = {
	KUNIT_CASE(boot_memmap_test_whole_block),
	KUNIT_CASE(boot_memmap_test_block_of_two_regions),
	KUNIT_CASE(boot_memmap_test_not_hotpluggable),
	KUNIT_CASE(boot_memmap_test_hotpluggable_neighbours),
	KUNIT_CASE(boot_memmap_test_no_memory),
	KUNIT_CASE(boot_memmap_test_partly_hotpluggable),
	KUNIT_CASE(boot_memmap_test_two_nodes),
	KUNIT_CASE(boot_memmap_test_hole_at_start),
	KUNIT_CASE(boot_memmap_test_hole_at_end),
	KUNIT_CASE(boot_memmap_test_hole_inside),
	KUNIT_CASE(boot_memmap_test_not_mapped),
	KUNIT_CASE(boot_memmap_test_reserved_inside),
	KUNIT_CASE(boot_memmap_test_reserved_beside),
	{}
};

static struct kunit_suite boot_memmap_test_suite = {
	.name = "boot_memmap",
	.test_cases = boot_memmap_test_cases,
};

kunit_test_suite(boot_memmap_test_suite);

MODULE_DESCRIPTION("KUnit tests of memmap hosted by boot memory");
MODULE_LICENSE("GPL");
