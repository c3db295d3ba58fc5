// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests of arch/x86/mm/hotremove.c: which entries a range takes with it,
 * and which tables and pages are queued for freeing. The tables are built for
 * the test and never loaded by a CPU.
 */

#include <kunit/test.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/sizes.h>

#include "../../arch/x86/mm/hotremove.h"

/* In the kernel half, aligned to 512 GiB, and not where EFI has its copies. */
#define TEST_BASE	(pgtable_l5_enabled() ? 0xff11000000000000UL : \
						0xffff888000000000UL)
/* Physical address that the leaves of a fake direct map begin at. */
#define TEST_PHYS	SZ_1T

#define TEST_TABLES	16

struct test_tables {
	pgd_t *pgd;
	struct page *pages[TEST_TABLES];
	unsigned int nr;
	spinlock_t lock;	/* of the walk; nobody else takes it */
	struct hotremove_gather gather;
	struct hotremove_walk walk;
};

static unsigned long test_new_table(struct kunit *test)
{
	struct test_tables *t = test->priv;
	struct page *page;

	KUNIT_ASSERT_LT(test, t->nr, TEST_TABLES);
	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, page);
	t->pages[t->nr++] = page;
	return page_to_phys(page) | _KERNPG_TABLE;
}

static pud_t *test_pud(struct kunit *test, unsigned long addr)
{
	struct test_tables *t = test->priv;
	pgd_t *pgd = pgd_offset_pgd(t->pgd, addr);
	p4d_t *p4d;

	if (pgtable_l5_enabled() && pgd_none(*pgd))
		set_pgd(pgd, __pgd(test_new_table(test)));
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		set_p4d(p4d, __p4d(test_new_table(test)));
	return pud_offset(p4d, addr);
}

static pmd_t *test_pmd(struct kunit *test, unsigned long addr)
{
	pud_t *pud = test_pud(test, addr);

	if (pud_none(*pud))
		set_pud(pud, __pud(test_new_table(test)));
	return pmd_offset(pud, addr);
}

static pte_t *test_pte(struct kunit *test, unsigned long addr)
{
	pmd_t *pmd = test_pmd(test, addr);

	if (pmd_none(*pmd))
		set_pmd(pmd, __pmd(test_new_table(test)));
	return pte_offset_kernel(pmd, addr);
}

static unsigned long test_phys(unsigned long addr)
{
	return TEST_PHYS + (addr - TEST_BASE);
}

static void test_map_puds(struct kunit *test, unsigned long addr,
			  unsigned long end)
{
	for (; addr < end; addr += PUD_SIZE)
		set_pud(test_pud(test, addr),
			pfn_pud(PHYS_PFN(test_phys(addr)), PAGE_KERNEL_LARGE));
}

static void test_map_pmds(struct kunit *test, unsigned long addr,
			  unsigned long end)
{
	for (; addr < end; addr += PMD_SIZE)
		set_pmd(test_pmd(test, addr),
			pfn_pmd(PHYS_PFN(test_phys(addr)), PAGE_KERNEL_LARGE));
}

static void test_map_ptes(struct kunit *test, unsigned long addr,
			  unsigned long end)
{
	for (; addr < end; addr += PAGE_SIZE)
		set_pte(test_pte(test, addr),
			pfn_pte(PHYS_PFN(test_phys(addr)), PAGE_KERNEL));
}

static void test_clear(struct kunit *test, unsigned long start,
		       unsigned long end)
{
	struct test_tables *t = test->priv;

	hotremove_clear_range(&t->walk, t->pgd, start, end);
}

static void test_expect_cleared(struct kunit *test, unsigned long ptes,
				unsigned long pmds, unsigned long puds)
{
	struct test_tables *t = test->priv;

	KUNIT_EXPECT_EQ(test, t->walk.cleared[PG_LEVEL_4K], ptes);
	KUNIT_EXPECT_EQ(test, t->walk.cleared[PG_LEVEL_2M], pmds);
	KUNIT_EXPECT_EQ(test, t->walk.cleared[PG_LEVEL_1G], puds);
}

static size_t test_nr_queued(struct kunit *test)
{
	struct test_tables *t = test->priv;

	return list_count_nodes(&t->gather.tables);
}

static int hotremove_test_init(struct kunit *test)
{
	struct test_tables *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	hotremove_gather_init(&t->gather);
	spin_lock_init(&t->lock);
	t->walk.gather = &t->gather;
	t->walk.lock = &t->lock;
	t->walk.direct = true;
	test_new_table(test);
	t->pgd = page_address(t->pages[0]);
	return 0;
}

static void hotremove_test_exit(struct kunit *test)
{
	struct test_tables *t = test->priv;
	struct ptdesc *table;
	unsigned int i;

	if (!t)
		return;

	/* What is queued is freed by the code under test, the rest here. */
	list_for_each_entry(table, &t->gather.tables, pt_list)
		for (i = 0; i < t->nr; i++)
			if (t->pages[i] == ptdesc_page(table))
				t->pages[i] = NULL;
	hotremove_gather_free(&t->gather);
	for (i = 0; i < t->nr; i++)
		if (t->pages[i])
			__free_page(t->pages[i]);
}

static void hotremove_test_nothing_mapped(struct kunit *test)
{
	struct test_tables *t = test->priv;

	test_clear(test, TEST_BASE, TEST_BASE + SZ_1T);
	test_expect_cleared(test, 0, 0, 0);
	KUNIT_EXPECT_FALSE(test, t->gather.flush);
	KUNIT_EXPECT_EQ(test, test_nr_queued(test), 0);
}

static void hotremove_test_ptes(struct kunit *test)
{
	unsigned long middle = TEST_BASE + SZ_1M;

	test_map_ptes(test, TEST_BASE, TEST_BASE + SZ_2M);
	test_clear(test, TEST_BASE, middle);
	test_expect_cleared(test, 256, 0, 0);
	KUNIT_EXPECT_TRUE(test, pte_none(*test_pte(test, middle - PAGE_SIZE)));
	KUNIT_EXPECT_TRUE(test, pte_present(*test_pte(test, middle)));
	KUNIT_EXPECT_EQ(test, test_nr_queued(test), 0);

	test_clear(test, middle, TEST_BASE + SZ_2M);
	test_expect_cleared(test, 512, 0, 0);
	/* The PTE table, the PMD table, and with five levels the PUD table. */
	KUNIT_EXPECT_EQ(test, test_nr_queued(test),
			pgtable_l5_enabled() ? 3 : 2);
}

static void hotremove_test_pmds(struct kunit *test)
{
	unsigned long middle = TEST_BASE + SZ_512M;
	struct test_tables *t = test->priv;

	test_map_pmds(test, TEST_BASE, TEST_BASE + SZ_1G);
	test_clear(test, TEST_BASE, middle);
	test_expect_cleared(test, 0, 256, 0);
	KUNIT_EXPECT_TRUE(test, pmd_none(*test_pmd(test, middle - PMD_SIZE)));
	KUNIT_EXPECT_TRUE(test, pmd_leaf(*test_pmd(test, middle)));
	KUNIT_EXPECT_EQ(test, test_nr_queued(test), 0);
	KUNIT_EXPECT_TRUE(test, t->gather.flush);
	KUNIT_EXPECT_EQ(test, t->walk.kept, 0);
}

static void hotremove_test_pmd_crossing(struct kunit *test)
{
	struct test_tables *t = test->priv;

	test_map_pmds(test, TEST_BASE, TEST_BASE + SZ_4M);
	test_clear(test, TEST_BASE, TEST_BASE + SZ_2M + SZ_1M);
	test_expect_cleared(test, 0, 1, 0);
	KUNIT_EXPECT_EQ(test, t->walk.kept, 1);
	KUNIT_EXPECT_TRUE(test, pmd_leaf(*test_pmd(test, TEST_BASE + SZ_2M)));
}

static void hotremove_test_puds(struct kunit *test)
{
	struct test_tables *t = test->priv;

	test_map_puds(test, TEST_BASE, TEST_BASE + 3UL * SZ_1G);
	test_clear(test, TEST_BASE + SZ_1G, TEST_BASE + 2UL * SZ_1G);
	test_expect_cleared(test, 0, 0, 1);
	KUNIT_EXPECT_TRUE(test, pud_leaf(*test_pud(test, TEST_BASE)));
	KUNIT_EXPECT_TRUE(test, pud_none(*test_pud(test, TEST_BASE + SZ_1G)));
	KUNIT_EXPECT_TRUE(test, pud_leaf(*test_pud(test, TEST_BASE + 2UL * SZ_1G)));
	KUNIT_EXPECT_EQ(test, t->walk.kept, 0);
}

/* The crash of 7.3: the leaf was taken for a table. */
static void hotremove_test_pud_crossing(struct kunit *test)
{
	struct test_tables *t = test->priv;

	test_map_puds(test, TEST_BASE, TEST_BASE + 2UL * SZ_1G);
	test_clear(test, TEST_BASE, TEST_BASE + SZ_512M);
	test_clear(test, TEST_BASE + SZ_1G + SZ_512M, TEST_BASE + 2UL * SZ_1G);
	test_expect_cleared(test, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, t->walk.kept, 2);
	KUNIT_EXPECT_TRUE(test, pud_leaf(*test_pud(test, TEST_BASE)));
	KUNIT_EXPECT_FALSE(test, t->gather.flush);
}

static void hotremove_test_levels_mixed(struct kunit *test)
{
	unsigned long end = TEST_BASE + 2UL * SZ_1G + SZ_4M;

	test_map_puds(test, TEST_BASE, TEST_BASE + 2UL * SZ_1G);
	test_map_pmds(test, TEST_BASE + 2UL * SZ_1G, end - SZ_2M);
	test_map_ptes(test, end - SZ_2M, end);
	test_clear(test, TEST_BASE, end);
	test_expect_cleared(test, 512, 1, 2);
	/* PTE and PMD table, and with five levels the PUD table. */
	KUNIT_EXPECT_EQ(test, test_nr_queued(test),
			pgtable_l5_enabled() ? 3 : 2);
}

static void hotremove_test_top_level_stays(struct kunit *test)
{
	unsigned long boundary = TEST_BASE + 512UL * SZ_1G;
	struct test_tables *t = test->priv;

	test_map_puds(test, boundary - SZ_1G, boundary + SZ_1G);
	test_clear(test, boundary - SZ_1G, boundary + SZ_1G);
	test_expect_cleared(test, 0, 0, 2);
	KUNIT_EXPECT_EQ(test, test_nr_queued(test),
			pgtable_l5_enabled() ? 2 : 0);
	KUNIT_EXPECT_TRUE(test, pgd_present(*pgd_offset_pgd(t->pgd, TEST_BASE)));
}

/* What debug_pagealloc and memory failure leave behind. */
static void hotremove_test_not_present(struct kunit *test)
{
	pte_t *pte;

	test_map_ptes(test, TEST_BASE, TEST_BASE + SZ_2M);
	pte = test_pte(test, TEST_BASE + SZ_1M);
	set_pte(pte, pfn_pte(pte_pfn(*pte),
			     __pgprot(pgprot_val(PAGE_KERNEL) &
				      ~(_PAGE_PRESENT | _PAGE_GLOBAL))));
	KUNIT_ASSERT_FALSE(test, pte_present(*pte));
	KUNIT_ASSERT_FALSE(test, pte_none(*pte));

	test_clear(test, TEST_BASE, TEST_BASE + SZ_2M);
	test_expect_cleared(test, 512, 0, 0);
	KUNIT_EXPECT_GE(test, test_nr_queued(test), 2);
}

static void hotremove_test_memmap_base_pages(struct kunit *test)
{
	struct test_tables *t = test->priv;
	struct page *page = alloc_page(GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	t->walk.direct = false;

	/* As a compound device memmap does: one page, three entries. */
	for (i = 0; i < 3; i++) {
		if (i)
			get_page(page);
		set_pte(test_pte(test, TEST_BASE + i * PAGE_SIZE),
			mk_pte(page, PAGE_KERNEL));
	}
	test_clear(test, TEST_BASE, TEST_BASE + 2 * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, list_empty(&t->gather.base_pages));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);

	test_clear(test, TEST_BASE, TEST_BASE + SZ_2M);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&t->gather.base_pages), 1);
	KUNIT_EXPECT_PTR_EQ(test, list_first_entry(&t->gather.base_pages,
						   struct page, lru), page);
}

static void hotremove_test_memmap_pmd(struct kunit *test)
{
	struct test_tables *t = test->priv;
	struct page *page = alloc_pages(GFP_KERNEL, PMD_ORDER);

	KUNIT_ASSERT_NOT_NULL(test, page);
	t->walk.direct = false;
	set_pmd(test_pmd(test, TEST_BASE),
		pfn_pmd(page_to_pfn(page), PAGE_KERNEL_LARGE));

	test_clear(test, TEST_BASE, TEST_BASE + SZ_2M);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&t->gather.pmd_pages), 1);
	KUNIT_EXPECT_TRUE(test, t->gather.flush);
}

static void hotremove_test_memmap_altmap(struct kunit *test)
{
	struct vmem_altmap altmap = { .alloc = 2 * PTRS_PER_PTE };
	struct test_tables *t = test->priv;

	t->walk.direct = false;
	t->walk.altmap = &altmap;
	test_map_pmds(test, TEST_BASE, TEST_BASE + SZ_4M);

	test_clear(test, TEST_BASE, TEST_BASE + SZ_4M);
	KUNIT_EXPECT_EQ(test, altmap.alloc, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&t->gather.pmd_pages));
	KUNIT_EXPECT_TRUE(test, t->gather.flush);
}

static struct kunit_case hotremove_test_cases[] = {
	KUNIT_CASE(hotremove_test_nothing_mapped),
	KUNIT_CASE(hotremove_test_ptes),
	KUNIT_CASE(hotremove_test_pmds),
	KUNIT_CASE(hotremove_test_pmd_crossing),
	KUNIT_CASE(hotremove_test_puds),
	KUNIT_CASE(hotremove_test_pud_crossing),
	KUNIT_CASE(hotremove_test_levels_mixed),
	KUNIT_CASE(hotremove_test_top_level_stays),
	KUNIT_CASE(hotremove_test_not_present),
	KUNIT_CASE(hotremove_test_memmap_base_pages),
	KUNIT_CASE(hotremove_test_memmap_pmd),
	KUNIT_CASE(hotremove_test_memmap_altmap),
	{}
};

static struct kunit_suite hotremove_test_suite = {
	.name = "x86_hotremove",
	.init = hotremove_test_init,
	.exit = hotremove_test_exit,
	.test_cases = hotremove_test_cases,
};

kunit_test_suite(hotremove_test_suite);

MODULE_DESCRIPTION("KUnit tests of the x86 memory hot-remove page table code");
MODULE_LICENSE("GPL");
