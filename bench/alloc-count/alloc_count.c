// SPDX-License-Identifier: GPL-2.0-only
/*
 * alloc_count - instructions per allocated and freed page
 *
 * Under QEMU's -icount shift=0 the time stamp counter advances by one with each
 * instruction. The smallest of many batches is one without an interrupt.
 */

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sort.h>
#include <linux/timex.h>

#define NR_PAIRS	64
#define NR_BATCHES	400
#define NR_HELD		40

static unsigned int order;
static gfp_t flags;
static bool bulk;
static struct page *pages[NR_PAIRS];

static void pair(void)
{
	struct page *page = alloc_pages(flags, order);

	if (page)
		__free_pages(page, order);
}

static void bulk_of_pairs(void)
{
	int i;

	memset(pages, 0, sizeof(pages));
	alloc_pages_bulk(flags, NR_PAIRS, pages);
	for (i = 0; i < NR_PAIRS; i++)
		if (pages[i])
			__free_pages(pages[i], 0);
}

static u64 batch(bool empty)
{
	u64 start = get_cycles();
	int i;

	if (bulk && !empty) {
		bulk_of_pairs();
		return get_cycles() - start;
	}
	for (i = 0; i < NR_PAIRS; i++) {
		if (!empty)
			pair();
		barrier();
	}
	return get_cycles() - start;
}

static u64 smallest(bool empty)
{
	struct page *held[NR_HELD];
	u64 best = U64_MAX;
	int i;

	/* Which pages one gets makes a difference of some instructions. */
	for (i = 0; i < NR_BATCHES; i++) {
		if (i % (NR_BATCHES / NR_HELD) == 0)
			held[i / (NR_BATCHES / NR_HELD)] =
				alloc_pages(GFP_KERNEL, order);
		best = min(best, batch(empty));
	}
	for (i = 0; i < NR_HELD; i++)
		if (held[i])
			__free_pages(held[i], order);
	return best;
}

static void measure(const char *name)
{
	u64 all = smallest(false), loop = bulk ? 0 : smallest(true);
	u64 hundredths = (all - loop) * 100 / NR_PAIRS;

	pr_info("alloc_count: %s %llu.%02llu\n", name, hundredths / 100,
		hundredths % 100);
}

static int __init alloc_count_init(void)
{
	flags = GFP_KERNEL;
	measure("kernel");
	flags = GFP_ATOMIC;
	measure("atomic");
	flags = GFP_KERNEL | __GFP_THISNODE;
	measure("thisnode");
	flags = GFP_HIGHUSER_MOVABLE;
	measure("movable");
	flags = GFP_KERNEL;
	order = 2;
	measure("order-2");
	order = 0;
	bulk = true;
	measure("bulk");
	return -ENODEV;
}

module_init(alloc_count_init);

MODULE_DESCRIPTION("Count instructions of the page allocator");
MODULE_LICENSE("GPL");
