// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of mm/boot_owner.c: what fits into a tag, which tag counts for a
 * page, and what becomes of it when pages are released or stay behind. The
 * pages come from the page allocator and are reserved for the test.
 */

#include <kunit/test.h>
#include <linux/boot_owner.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>

#include "../boot_owner_internal.h"
#include "../internal.h"

#define TEST_PAGES	(PMD_SIZE >> PAGE_SHIFT)

static void expect_owner(struct kunit *test, const struct boot_owner *is,
			 enum boot_owner_kind kind, unsigned long first,
			 unsigned long nr)
{
	KUNIT_EXPECT_EQ(test, is->kind, kind);
	KUNIT_EXPECT_EQ(test, is->first, first);
	KUNIT_EXPECT_EQ(test, is->nr, nr);
}

static void boot_owner_test_encoding(struct kunit *test)
{
	const struct boot_owner owners[] = {
		{ BOOT_OWNER_MEMMAP, 0, 1 },
		{ BOOT_OWNER_MEMMAP, NR_MEM_SECTIONS - 1, 1 },
		{ BOOT_OWNER_VMEMMAP_TABLE, 512, 512 },
		{ BOOT_OWNER_DIRECT_TABLE, 0, 1UL << 20 },
		{ BOOT_OWNER_PGDAT, MAX_NUMNODES - 1, 0 },
		{ BOOT_OWNER_SHARED, 0, 0 },
	};
	struct boot_owner is;
	int i;

	for (i = 0; i < ARRAY_SIZE(owners); i++) {
		boot_owner_decode(boot_owner_encode(&owners[i]), &is);
		expect_owner(test, &is, owners[i].kind, owners[i].first,
			     owners[i].nr);
	}
}

/* More sections than fit: as many as possible, never fewer than a bit less. */
static void boot_owner_test_many_sections(struct kunit *test)
{
	struct boot_owner owner = { BOOT_OWNER_DIRECT_TABLE, 5, 1UL << 40 };
	struct boot_owner is;

	boot_owner_decode(boot_owner_encode(&owner), &is);
	expect_owner(test, &is, BOOT_OWNER_DIRECT_TABLE, 5, (1UL << 21) - 1);
}

static void boot_owner_test_merge(struct kunit *test)
{
	struct boot_owner owner = { BOOT_OWNER_USAGE, 10, 2 };

	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_USAGE, 14, 1 });
	expect_owner(test, &owner, BOOT_OWNER_USAGE, 10, 5);
	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_USAGE, 8, 3 });
	expect_owner(test, &owner, BOOT_OWNER_USAGE, 8, 7);
	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_MEMMAP, 8, 7 });
	KUNIT_EXPECT_EQ(test, owner.kind, BOOT_OWNER_SHARED);
	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_USAGE, 8, 7 });
	KUNIT_EXPECT_EQ(test, owner.kind, BOOT_OWNER_SHARED);

	owner = (struct boot_owner){ BOOT_OWNER_PGDAT, 1, 0 };
	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_PGDAT, 1, 0 });
	KUNIT_EXPECT_EQ(test, owner.kind, BOOT_OWNER_PGDAT);
	boot_owner_merge(&owner, &(struct boot_owner){ BOOT_OWNER_PGDAT, 2, 0 });
	KUNIT_EXPECT_EQ(test, owner.kind, BOOT_OWNER_SHARED);
}

static void boot_owner_test_describe(struct kunit *test)
{
	unsigned long per_block = memory_block_size_bytes() >> SECTION_SIZE_BITS;
	struct boot_owner owner = { BOOT_OWNER_MEMMAP, 32 * per_block, 1 };
	char text[BOOT_OWNER_TEXT_SIZE];

	boot_owner_describe(&owner, text);
	KUNIT_EXPECT_STREQ(test, text, "memmap of memory32");
	owner.nr = 8 * per_block;
	boot_owner_describe(&owner, text);
	KUNIT_EXPECT_STREQ(test, text, "memmap of memory32-39");
	owner = (struct boot_owner){ BOOT_OWNER_PGDAT, 1, 0 };
	boot_owner_describe(&owner, text);
	KUNIT_EXPECT_STREQ(test, text, "pgdat of node 1");
	owner = (struct boot_owner){ BOOT_OWNER_DIRECT_TABLE, -1UL >> 36,
				     -1UL >> 43 };
	boot_owner_describe(&owner, text);
	KUNIT_EXPECT_LT(test, strlen(text), BOOT_OWNER_TEXT_SIZE - 1);
}

/* Pages of a PMD leaf, reserved as boot pages are. */
static struct page *test_reserve(struct kunit *test)
{
	struct page *pages = alloc_pages(GFP_KERNEL, PMD_ORDER);
	unsigned long i;

	if (!pages)
		kunit_skip(test, "no PMD-sized page");
	split_page(pages, PMD_ORDER);
	for (i = 0; i < TEST_PAGES; i++)
		__SetPageReserved(pages + i);
	test->priv = pages;
	return pages;
}

static void test_exit(struct kunit *test)
{
	struct page *pages = test->priv;
	unsigned long i;

	if (!pages)
		return;
	for (i = 0; i < TEST_PAGES; i++) {
		if (!PageReserved(pages + i))
			continue;
		set_page_private(pages + i, 0);
		__ClearPageReserved(pages + i);
		__free_page(pages + i);
	}
}

static const struct boot_owner test_owner = { BOOT_OWNER_MEMMAP, 77, 1 };

static void boot_owner_test_page(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	struct boot_owner is;

	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 5, &is));
	boot_owner_tag(page_to_pfn(pages + 5), 1, &test_owner, NULL);
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + 5, &is));
	expect_owner(test, &is, BOOT_OWNER_MEMMAP, 77, 1);
	KUNIT_EXPECT_TRUE(test, boot_owner_may_stay(pages + 5));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 4, &is));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 6, &is));

	/* Who is not reserved has no owner, whatever the word says. */
	__ClearPageReserved(pages + 5);
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 5, &is));
	boot_owner_tag(page_to_pfn(pages + 5), 1, &test_owner, NULL);
	__SetPageReserved(pages + 5);

	KUNIT_EXPECT_FALSE(test, boot_owner_release(pages + 5, 0));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 5, &is));
	/* On its way to the page allocator it is not in the way. */
	KUNIT_EXPECT_TRUE(test, boot_owner_may_stay(pages + 5));
}

static void boot_owner_test_chunk(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	struct boot_owner is;

	boot_owner_tag(page_to_pfn(pages), TEST_PAGES, &test_owner, NULL);
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + TEST_PAGES - 1, &is));
	expect_owner(test, &is, BOOT_OWNER_MEMMAP, 77, 1);

	/* The first page is freed alone: the others keep their owner. */
	KUNIT_EXPECT_FALSE(test, boot_owner_release(pages, 0));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + 1, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + TEST_PAGES - 1, &is));
	expect_owner(test, &is, BOOT_OWNER_MEMMAP, 77, 1);
}

static void boot_owner_test_chunk_at_once(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	struct boot_owner is;

	boot_owner_tag(page_to_pfn(pages), TEST_PAGES, &test_owner, NULL);
	KUNIT_EXPECT_FALSE(test, boot_owner_release(pages, PMD_ORDER));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages, &is));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 9, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_may_stay(pages + 9));
}

static void boot_owner_test_may_stay(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	struct boot_owner owner = { .nr = 1 };
	int kind;

	for (kind = BOOT_OWNER_NONE + 1; kind < BOOT_OWNER_NR_KINDS; kind++) {
		owner.kind = kind;
		set_page_private(pages, 0);
		boot_owner_tag(page_to_pfn(pages), 1, &owner, NULL);
		KUNIT_EXPECT_EQ(test, boot_owner_may_stay(pages),
				kind == BOOT_OWNER_MEMMAP ||
				kind == BOOT_OWNER_VMEMMAP_TABLE ||
				(kind == BOOT_OWNER_PGDAT && pgdat_may_move()));
	}
	KUNIT_EXPECT_FALSE(test, boot_owner_may_stay(pages + 1));
}

/* A chunk stays behind, a page of it is freed meanwhile, the block returns. */
static void boot_owner_test_park(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	unsigned long pfn = page_to_pfn(pages);
	unsigned long parked = boot_owner_nr_parked();
	unsigned long used = boot_owner_nr_used();
	struct boot_owner is;

	if (!early_section(__pfn_to_section(pfn)))
		kunit_skip(test, "not in memory that was there at boot");
	boot_owner_tag(pfn, TEST_PAGES, &test_owner, NULL);

	mem_hotplug_begin();
	boot_owner_park(pfn, pfn + TEST_PAGES);
	KUNIT_EXPECT_EQ(test, boot_owner_nr_parked(), parked + TEST_PAGES);
	KUNIT_EXPECT_EQ(test, boot_owner_nr_used(), used + TEST_PAGES);
	KUNIT_EXPECT_TRUE(test, boot_owner_release(pages + 3, 0));
	KUNIT_EXPECT_FALSE(test, boot_owner_get(pages + 3, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + 4, &is));
	KUNIT_EXPECT_TRUE(test, boot_owner_parked(pages + 3));
	KUNIT_EXPECT_TRUE(test, PageReserved(pages + 3));
	KUNIT_EXPECT_EQ(test, boot_owner_nr_parked(), parked + TEST_PAGES);
	KUNIT_EXPECT_EQ(test, boot_owner_nr_used(), used + TEST_PAGES - 1);
	KUNIT_EXPECT_EQ(test, boot_owner_next_parked(pfn, pfn + 9), pfn);
	KUNIT_EXPECT_EQ(test, boot_owner_end_parked(pfn, pfn + 9), pfn + 9);

	/* The vacant page goes to the page allocator, as one that is new there. */
	boot_owner_unpark(pfn, pfn + TEST_PAGES);
	adjust_managed_page_count(pages + 3, -1);
	mem_hotplug_done();
	KUNIT_EXPECT_EQ(test, boot_owner_nr_parked(), parked);
	KUNIT_EXPECT_EQ(test, boot_owner_nr_used(), used);
	KUNIT_EXPECT_FALSE(test, PageReserved(pages + 3));
	KUNIT_EXPECT_TRUE(test, PageReserved(pages + 4));
	KUNIT_EXPECT_TRUE(test, boot_owner_get(pages + 4, &is));
	KUNIT_EXPECT_FALSE(test, boot_owner_parked(pages + 4));
}

/* A page that is being freed does not stay behind. */
static void boot_owner_test_park_released(struct kunit *test)
{
	struct page *pages = test_reserve(test);
	unsigned long pfn = page_to_pfn(pages);
	unsigned long parked = boot_owner_nr_parked();

	if (!early_section(__pfn_to_section(pfn)))
		kunit_skip(test, "not in memory that was there at boot");
	boot_owner_tag(pfn, TEST_PAGES, &test_owner, NULL);
	KUNIT_EXPECT_FALSE(test, boot_owner_release(pages + 6, 0));

	mem_hotplug_begin();
	boot_owner_park(pfn, pfn + TEST_PAGES);
	KUNIT_EXPECT_EQ(test, boot_owner_nr_parked(), parked + TEST_PAGES - 1);
	KUNIT_EXPECT_TRUE(test, boot_owner_parked(pages + 5));
	KUNIT_EXPECT_FALSE(test, boot_owner_parked(pages + 6));
	boot_owner_unpark(pfn, pfn + TEST_PAGES);
	mem_hotplug_done();
	KUNIT_EXPECT_EQ(test, boot_owner_nr_parked(), parked);
}

static struct kunit_case boot_owner_test_cases[] = {
	KUNIT_CASE(boot_owner_test_encoding),
	KUNIT_CASE(boot_owner_test_many_sections),
	KUNIT_CASE(boot_owner_test_merge),
	KUNIT_CASE(boot_owner_test_describe),
	KUNIT_CASE(boot_owner_test_page),
	KUNIT_CASE(boot_owner_test_chunk),
	KUNIT_CASE(boot_owner_test_chunk_at_once),
	KUNIT_CASE(boot_owner_test_may_stay),
	KUNIT_CASE(boot_owner_test_park),
	KUNIT_CASE(boot_owner_test_park_released),
	{}
};

static struct kunit_suite boot_owner_test_suite = {
	.name = "boot_owner",
	.exit = test_exit,
	.test_cases = boot_owner_test_cases,
};

kunit_test_suite(boot_owner_test_suite);

MODULE_DESCRIPTION("KUnit tests of the owners of boot pages");
MODULE_LICENSE("GPL");
