// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memmap of hotpluggable boot memory, hosted by the memory that it describes.
 */

/**
 * DOC: Boot memory that hosts its own memmap
 *
 * With movable_node, boot allocations stay off hotpluggable nodes, so that the
 * memmap of their memory, 1/64 of its size, is on nodes that cannot leave. With
 * memory_hotplug.memmap_on_memory as well, a hotpluggable memory block hosts
 * its memmap in its first pages, as a block does that is hot-added. It depends
 * on no other block and can be removed in any order.
 *
 * The life of such a block:
 *
 * 1. sparse_init() calls boot_memmap_populate() for each section. In the first
 *    section of a memory block boot_memmap_place() decides about all of it: the
 *    whole block has to be hotpluggable memory of one node in which nothing is
 *    reserved. The pages for the memmap are reserved then, and the block has
 *    its bit in boot_memmap_hosted.
 * 2. boot_memmap_report() says how many blocks there are, and why others are
 *    not. Their memmap is where it always was.
 * 3. memory_dev_init() asks for the altmap of each memory block. It also makes
 *    the hosted memmap look like that of a hot-added block, which so far are
 *    reserved pages: PageVmemmapSelfHosted and not PageReserved. The vmemmap
 *    optimization of hugetlb pages, which begins later, leaves them alone.
 * 4. From here on generic code treats the block like a hot-added one: the
 *    memmap is no part of what is offlined, and removing the block frees the
 *    altmap. What returns is hot-added memory.
 *
 * The memory counts as present, not as managed, as any memmap of boot memory.
 *
 * The command line is looked at by early_param(), so a value that only comes
 * with the bootconfig of the initrd is too late for boot memory.
 *
 * Locking: none. Steps 1 and 2 run before there is a second CPU, step 3 before
 * there is memory hotplug.
 */

#define pr_fmt(fmt) "boot memmap: " fmt

#include <linux/boot_memmap.h>
#include <linux/kexec_handover.h>
#include <linux/memblock.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/page-isolation.h>
#include <linux/seq_buf.h>
#include <linux/slab.h>

#include <kunit/visibility.h>

#include "boot_memmap.h"

static const char *const boot_memmap_reasons[NR_BOOT_MEMMAP_VERDICTS] __initconst = {
	[BOOT_MEMMAP_MIXED] = "not all of it hotpluggable",
	[BOOT_MEMMAP_NODES] = "on two nodes",
	[BOOT_MEMMAP_HOLE] = "with a hole",
	[BOOT_MEMMAP_IN_USE] = "partly reserved",
	[BOOT_MEMMAP_ERROR] = "not reservable",
};

static unsigned long boot_memmap_count[NR_BOOT_MEMMAP_VERDICTS] __initdata;

/* A bit for each memory block that hosts its memmap; NULL if none may. */
static unsigned long *boot_memmap_hosted __ro_after_init;

static bool boot_memmap_overlaps(const struct memblock_type *type,
				 phys_addr_t start, phys_addr_t end)
{
	const struct memblock_region *region = type->regions;

	for (; region < type->regions + type->cnt; region++)
		if (region->base < end && region->base + region->size > start)
			return true;
	return false;
}

/**
 * boot_memmap_check - what keeps a memory block from hosting its memmap
 * @memory: memory regions of memblock
 * @reserved: reserved regions of memblock
 * @start: physical address of the memory block
 * @end: physical address after the memory block
 *
 * Return: BOOT_MEMMAP_HOSTED if nothing does.
 */
VISIBLE_IF_KUNIT __meminit enum boot_memmap_verdict
boot_memmap_check(const struct memblock_type *memory,
		  const struct memblock_type *reserved,
		  phys_addr_t start, phys_addr_t end)
{
	bool hotpluggable = false, fixed = false, nodes = false;
	const struct memblock_region *region = memory->regions;
	phys_addr_t hole = end - start;
	int nid = NUMA_NO_NODE;

	for (; region < memory->regions + memory->cnt; region++) {
		phys_addr_t from = max(start, region->base);
		phys_addr_t to = min(end, region->base + region->size);

		if (from >= to || region->flags & MEMBLOCK_NOMAP)
			continue;
		hole -= to - from;
		if (region->flags & MEMBLOCK_HOTPLUG)
			hotpluggable = true;
		else
			fixed = true;
		nodes |= nid != NUMA_NO_NODE && nid != region->nid;
		nid = region->nid;
	}

	if (!hotpluggable)
		return BOOT_MEMMAP_STAYS;
	if (fixed)
		return BOOT_MEMMAP_MIXED;
	if (nodes)
		return BOOT_MEMMAP_NODES;
	if (hole)
		return BOOT_MEMMAP_HOLE;
	if (boot_memmap_overlaps(reserved, start, end))
		return BOOT_MEMMAP_IN_USE;
	return BOOT_MEMMAP_HOSTED;
}

static bool __init boot_memmap_wanted(void)
{
	return movable_node_is_enabled() && mhp_memmap_on_memory();
}

/* Why no memory block at all can host its memmap, NULL if one may. */
static const char * __init boot_memmap_refusal(void)
{
	if (!arch_boot_memmap_supported())
		return "this platform does not support it";
	/* What the previous kernel preserved is not reserved yet. */
	if (is_kho_boot())
		return "memory was handed over by kexec";
	if (!mhp_supports_memmap_on_memory())
		return "the sizes of memory block and struct page do not allow it";
	return NULL;
}

/**
 * boot_memmap_init - find out if memory blocks may host their memmap
 *
 * Context: sparse_init(), before the first section is populated
 */
void __init boot_memmap_init(void)
{
	unsigned long nr_blocks;
	const char *refusal;

	if (!boot_memmap_wanted())
		return;
	/* Not later: there may be too little memory to get there. */
	refusal = boot_memmap_refusal();
	if (refusal) {
		pr_info("no memory block hosts its memmap: %s\n", refusal);
		return;
	}

	nr_blocks = DIV_ROUND_UP(memblock_end_of_DRAM(),
				 memory_block_size_bytes());
	boot_memmap_hosted = memblock_alloc(BITS_TO_LONGS(nr_blocks) *
					    sizeof(long), SMP_CACHE_BYTES);
	if (!boot_memmap_hosted)
		pr_info("no memory block hosts its memmap: no memory for a bitmap\n");
}

/* pfn_to_block_id() is for later: memory_dev_init() prepares it. */
static unsigned long __init boot_memmap_block(unsigned long pfn)
{
	return pfn / PHYS_PFN(memory_block_size_bytes());
}

static bool __init boot_memmap_is_hosted(unsigned long pfn)
{
	return boot_memmap_hosted &&
	       test_bit(boot_memmap_block(pfn), boot_memmap_hosted);
}

/* The altmap of a memory block once the memmap of @nr_pages is populated. */
static struct vmem_altmap __init boot_memmap_block_altmap(unsigned long start_pfn,
							  unsigned long nr_pages)
{
	struct vmem_altmap altmap = mhp_block_altmap(start_pfn);

	altmap.alloc = PFN_UP(nr_pages * sizeof(struct page));
	return altmap;
}

/* Let the memory block at @start_pfn host its memmap, if it can. */
static void __init boot_memmap_place(unsigned long start_pfn)
{
	phys_addr_t size = PFN_PHYS(mhp_block_altmap(start_pfn).free);
	phys_addr_t start = PFN_PHYS(start_pfn);
	enum boot_memmap_verdict verdict;

	verdict = boot_memmap_check(&memblock.memory, &memblock.reserved,
				    start, start + memory_block_size_bytes());
	if (verdict == BOOT_MEMMAP_HOSTED &&
	    memblock_reserve_kern(start, size))
		verdict = BOOT_MEMMAP_ERROR;

	boot_memmap_count[verdict]++;
	if (verdict != BOOT_MEMMAP_HOSTED)
		return;

	/* memblock does it for what it allocates. */
	accept_memory(start, size);
	__set_bit(boot_memmap_block(start_pfn), boot_memmap_hosted);
}

static struct page * __init boot_memmap_populate_section(unsigned long start_pfn,
							 unsigned long pfn,
							 int nid)
{
	struct vmem_altmap altmap = boot_memmap_block_altmap(start_pfn,
							     pfn - start_pfn);
	struct page *map;

	map = __populate_section_memmap(pfn, PAGES_PER_SECTION, nid, &altmap,
					NULL);
	if (map)
		page_init_poison(map, PAGES_PER_SECTION * sizeof(struct page));
	return map;
}

/**
 * boot_memmap_populate - populate the memmap of a section in its memory block
 * @pfn: first page of the section; sections come in ascending order
 * @nid: node of the section
 *
 * Context: sparse_init()
 * Return: the memmap, or NULL if it has to be elsewhere.
 */
struct page * __init boot_memmap_populate(unsigned long pfn, int nid)
{
	static unsigned long block_pfn __initdata = ULONG_MAX;
	unsigned long start_pfn;

	if (!boot_memmap_hosted)
		return NULL;

	start_pfn = ALIGN_DOWN(pfn, PHYS_PFN(memory_block_size_bytes()));
	if (start_pfn != block_pfn)
		boot_memmap_place(start_pfn);
	block_pfn = start_pfn;

	if (!boot_memmap_is_hosted(pfn))
		return NULL;
	return boot_memmap_populate_section(start_pfn, pfn, nid);
}

static void __init boot_memmap_report_reasons(struct seq_buf *s)
{
	int i;

	for (i = 0; i < NR_BOOT_MEMMAP_VERDICTS; i++)
		if (boot_memmap_reasons[i] && boot_memmap_count[i])
			seq_buf_printf(s, ", %lu %s", boot_memmap_count[i],
				       boot_memmap_reasons[i]);
}

/**
 * boot_memmap_report - log where the memmap of hotpluggable memory is
 *
 * Context: the end of sparse_init()
 */
void __init boot_memmap_report(void)
{
	DECLARE_SEQ_BUF(reasons, 160);

	if (!boot_memmap_hosted)
		return;

	boot_memmap_report_reasons(&reasons);
	pr_info("%lu hotpluggable memory blocks host their memmap%s%s\n",
		boot_memmap_count[BOOT_MEMMAP_HOSTED],
		seq_buf_used(&reasons) ? "; others do not" : "",
		seq_buf_str(&reasons));
}

static void __init boot_memmap_init_pages(unsigned long pfn,
					  unsigned long end_pfn)
{
	for (; pfn < end_pfn; pfn++) {
		struct page *page = pfn_to_page(pfn);

		/* From now on as those of a block that was hot-added. */
		ClearPageReserved(page);
		set_page_private(page, 0);
		SetPageVmemmapSelfHosted(page);
		if (pageblock_aligned(pfn))
			init_pageblock_migratetype(page, MIGRATE_UNMOVABLE,
						   false);
	}
}

/**
 * boot_memmap_altmap - the altmap of a memory block that was there at boot
 * @section_nr: first present section of the memory block
 *
 * Context: memory_dev_init(). Allocates.
 * Return: an altmap, to be freed with kfree() once the block is removed, or
 * NULL if the block does not host its memmap. It is NULL as well if it cannot
 * be allocated; the memmap is boot memory like that of other blocks then.
 */
struct vmem_altmap * __init boot_memmap_altmap(unsigned long section_nr)
{
	unsigned long pfn = section_nr_to_pfn(section_nr);
	unsigned long nr_pages = PHYS_PFN(memory_block_size_bytes());
	struct vmem_altmap altmap = boot_memmap_block_altmap(pfn, nr_pages);
	struct vmem_altmap *copy;

	if (!boot_memmap_is_hosted(pfn))
		return NULL;

	copy = kmemdup(&altmap, sizeof(altmap), GFP_KERNEL);
	if (copy)
		boot_memmap_init_pages(pfn, pfn + altmap.free);
	return copy;
}
