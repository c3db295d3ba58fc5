// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking the direct map and the vmemmap of removed memory down.
 */

/**
 * DOC: Unmapping memory that leaves
 *
 * A page table page, or a page of memmap, may be freed once no CPU can reach
 * it any more: not by a page walk, not through a TLB entry, not through a
 * paging-structure cache. The life of a removal is therefore
 *
 * 1. arch_prepare_remove_memory() splits leaves of the direct map that reach
 *    beyond the range. This is the only step that allocates, and so the only
 *    one that can fail; nothing is unmapped yet.
 * 2. arch_remove_memory_begin() opens the gather.
 * 3. arch_remove_memory() and vmemmap_free() clear entries, bottom up, and
 *    hand what is not mapped any longer to the gather. They may run once for
 *    the whole range or once for each memory block. Memory that leaves together
 *    loses its memmap first, all of it, and then arch_remove_direct_map() runs
 *    for each part: page tables of the memmap can lie in any of it.
 * 4. arch_remove_memory_end() flushes the TLBs of all CPUs once, however many
 *    sections have been cleared, and frees what was gathered.
 *
 * Until step 4 a CPU with a stale translation still reads memory that belongs
 * to the removal.
 *
 * What is queued is linked through its struct page. Memmap and page tables that
 * lie in memory which is offline, or has been removed in the same operation,
 * are therefore not queued: they leave together with that memory. An altmap
 * is not queued either.
 *
 * Top-level tables stay: their entries have been copied to the page tables of
 * every process, and to page tables that no list knows of (EFI runtime,
 * trampoline), so that a cleared entry could not be cleared everywhere. That
 * is the PUD page with four levels and the P4D page with five, 4 KiB for each
 * 512 GiB or 256 TiB of address space; memory that returns uses it again.
 *
 * Locking: mem_hotplug_lock, held for writing from begin to end, protects the
 * gather. Entries are looked at and cleared under the lock of those who also
 * change entries of memory that is going: cpa_lock for the direct map, where
 * set_memory_*() walk and write, and init_mm.page_table_lock for the vmemmap,
 * where hugetlb splits leaves. One of set_memory_*() that found an entry before
 * it was cleared has left the table when the lock is taken to clear the entry
 * above. The lock is dropped between entries; init_mm.mmap_lock, held for
 * reading, keeps set_memory_rox() from replacing a table by a leaf meanwhile.
 * Hugetlb walks without the lock, through tables that have entries of the
 * memory it owns, and so are not empty.
 */

#include <linux/cleanup.h>
#include <linux/memory_hotplug.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pgalloc.h>

#include <asm/set_memory.h>
#include <asm/tlbflush.h>

#include <kunit/visibility.h>

#include "hotremove.h"
#include "mm_internal.h"

static struct hotremove_gather hotremove_gather;

VISIBLE_IF_KUNIT void hotremove_gather_init(struct hotremove_gather *gather)
{
	gather->flush = false;
	INIT_LIST_HEAD(&gather->tables);
	INIT_LIST_HEAD(&gather->base_pages);
	INIT_LIST_HEAD(&gather->pmd_pages);
}

static void hotremove_queue_table(struct hotremove_walk *walk, struct page *page)
{
	walk->gather->flush = true;
	if (mhp_may_free_pages(page_to_pfn(page), 0))
		list_add(&page_ptdesc(page)->pt_list, &walk->gather->tables);
}

/*
 * The pages of a compound device memmap are mapped several times, with a
 * reference for each entry: the last one queues the page.
 */
static void hotremove_queue_base_page(struct hotremove_walk *walk,
				      struct page *page)
{
	if (!mhp_may_free_pages(page_to_pfn(page), 0))
		return;
	if (!PageReserved(page)) {
		if (!put_page_testzero(page))
			return;
		init_page_count(page);
	}
	list_add(&page->lru, &walk->gather->base_pages);
}

/* A cleared leaf. Base pages never come from the altmap. */
static void hotremove_leaf(struct hotremove_walk *walk, struct page *page,
			   enum pg_level level)
{
	walk->cleared[level]++;
	walk->gather->flush = true;
	if (walk->direct)
		return;

	if (level == PG_LEVEL_4K)
		hotremove_queue_base_page(walk, page);
	else if (walk->altmap)
		vmem_altmap_free(walk->altmap, PTRS_PER_PTE);
	else if (mhp_may_free_pages(page_to_pfn(page), PMD_ORDER))
		list_add(&page->lru, &walk->gather->pmd_pages);
}

/*
 * An entry that is not present is not always empty: debug_pagealloc, memory
 * failure and set_direct_map_invalid_noflush() clear the present bit only.
 * Such an entry is a leaf too, and would keep its table for ever.
 */
static void hotremove_clear_ptes(struct hotremove_walk *walk, pmd_t *pmd,
				 unsigned long addr, unsigned long end)
{
	pte_t *pte = pte_offset_kernel(pmd, addr);
	pte_t old;

	guard(spinlock)(walk->lock);
	for (; addr < end; addr += PAGE_SIZE, pte++) {
		old = *pte;
		if (pte_none(old))
			continue;
		pte_clear(&init_mm, addr, pte);
		hotremove_leaf(walk, pte_page(old), PG_LEVEL_4K);
	}
}

static void hotremove_clear_pte_table(struct hotremove_walk *walk, pmd_t *pmd)
{
	pte_t *pte = pte_offset_kernel(pmd, 0);
	struct page *table = pmd_page(*pmd);
	int i;

	guard(spinlock)(walk->lock);
	for (i = 0; i < PTRS_PER_PTE; i++)
		if (!pte_none(pte[i]))
			return;
	pmd_clear(pmd);
	hotremove_queue_table(walk, table);
}

/* Is the leaf unused once [addr, end) has left it? */
static bool hotremove_pmd_unused(struct hotremove_walk *walk,
				 unsigned long addr, unsigned long end)
{
	if (end - addr == PMD_SIZE)
		return true;
	return !walk->direct && vmemmap_pmd_is_unused(addr, end);
}

/* Returns false if the entry leads to a table. */
static bool hotremove_clear_pmd_leaf(struct hotremove_walk *walk, pmd_t *pmd,
				     unsigned long addr, unsigned long end)
{
	pmd_t old;

	guard(spinlock)(walk->lock);
	old = *pmd;
	if (pmd_none(old))
		return true;
	if (pmd_present(old) && !pmd_leaf(old))
		return false;
	if (!hotremove_pmd_unused(walk, addr, end)) {
		walk->kept++;
		return true;
	}
	pmd_clear(pmd);
	hotremove_leaf(walk, pmd_page(old), PG_LEVEL_2M);
	return true;
}

static void hotremove_clear_pmds(struct hotremove_walk *walk, pud_t *pud,
				 unsigned long addr, unsigned long end)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;

	for (; addr < end; addr = next, pmd++) {
		next = pmd_addr_end(addr, end);
		if (hotremove_clear_pmd_leaf(walk, pmd, addr, next))
			continue;
		hotremove_clear_ptes(walk, pmd, addr, next);
		hotremove_clear_pte_table(walk, pmd);
	}
}

static void hotremove_clear_pmd_table(struct hotremove_walk *walk, pud_t *pud)
{
	pmd_t *pmd = pmd_offset(pud, 0);
	struct page *table = pud_page(*pud);
	int i;

	guard(spinlock)(walk->lock);
	for (i = 0; i < PTRS_PER_PMD; i++)
		if (!pmd_none(pmd[i]))
			return;
	pud_clear(pud);
	hotremove_queue_table(walk, table);
}

/* Returns false if the entry leads to a table. */
static bool hotremove_clear_pud_leaf(struct hotremove_walk *walk, pud_t *pud,
				     unsigned long addr, unsigned long end)
{
	pud_t old;

	guard(spinlock)(walk->lock);
	old = *pud;
	if (pud_none(old))
		return true;
	if (pud_present(old) && !pud_leaf(old))
		return false;
	/* The vmemmap has no leaves of this size. */
	if (end - addr != PUD_SIZE || !walk->direct) {
		walk->kept++;
		return true;
	}
	pud_clear(pud);
	hotremove_leaf(walk, NULL, PG_LEVEL_1G);
	return true;
}

static void hotremove_clear_puds(struct hotremove_walk *walk, p4d_t *p4d,
				 unsigned long addr, unsigned long end)
{
	pud_t *pud = pud_offset(p4d, addr);
	unsigned long next;

	for (; addr < end; addr = next, pud++) {
		cond_resched();
		next = pud_addr_end(addr, end);
		if (hotremove_clear_pud_leaf(walk, pud, addr, next))
			continue;
		hotremove_clear_pmds(walk, pud, addr, next);
		hotremove_clear_pmd_table(walk, pud);
	}
}

/* Top-level entries have copies; so have P4D entries, in EFI's page table. */
static bool hotremove_p4d_copied(unsigned long addr)
{
	return !pgtable_l5_enabled() ||
	       pgd_index(addr) == pgd_index(EFI_VA_END);
}

static void hotremove_clear_pud_table(struct hotremove_walk *walk, p4d_t *p4d)
{
	pud_t *pud = pud_offset(p4d, 0);
	struct page *table = p4d_page(*p4d);
	int i;

	guard(spinlock)(walk->lock);
	for (i = 0; i < PTRS_PER_PUD; i++)
		if (!pud_none(pud[i]))
			return;
	p4d_clear(p4d);
	hotremove_queue_table(walk, table);
}

static void hotremove_clear_p4ds(struct hotremove_walk *walk, pgd_t *pgd,
				 unsigned long addr, unsigned long end)
{
	p4d_t *p4d = p4d_offset(pgd, addr);
	unsigned long next;

	for (; addr < end; addr = next, p4d++) {
		next = p4d_addr_end(addr, end);
		if (!p4d_present(*p4d))
			continue;
		hotremove_clear_puds(walk, p4d, addr, next);
		if (!hotremove_p4d_copied(addr))
			hotremove_clear_pud_table(walk, p4d);
	}
}

/**
 * hotremove_clear_range - clear a range of kernel page tables
 * @walk: what kind of range it is, and the gather; counts what was cleared
 * @pgd: top-level table
 * @start: first virtual address, page aligned
 * @end: address after the last one, page aligned
 *
 * Clears the leaves in the range, and the entries of tables that became
 * empty. Nothing is flushed or freed. A leaf that reaches beyond the range
 * stays, unless it maps memmap of which no other part is in use.
 *
 * Context: May sleep. Takes the lock of the walk.
 */
VISIBLE_IF_KUNIT void hotremove_clear_range(struct hotremove_walk *walk,
					    pgd_t *pgd, unsigned long start,
					    unsigned long end)
{
	unsigned long addr, next;
	pgd_t *entry;

	for (addr = start; addr < end; addr = next) {
		next = pgd_addr_end(addr, end);
		entry = pgd_offset_pgd(pgd, addr);
		if (pgd_present(*entry))
			hotremove_clear_p4ds(walk, entry, addr, next);
	}
}

/*
 * Boot-time tables are reserved pages, those of hot-added memory have no
 * constructor, and those of a leaf that was split have one. As kernel page
 * tables they are freed when IOMMUs that walk them have been flushed too.
 */
static void hotremove_free_table(struct ptdesc *table)
{
	struct page *page = ptdesc_page(table);

	if (PageReserved(page))
		mhp_unreserve_page(page);
	else if (PageTable(page))
		pagetable_dtor(table);
	ptdesc_set_kernel(table);
	pagetable_free(table);
}

static void hotremove_free_memmap(struct page *page, unsigned int order)
{
	if (PageReserved(page))
		free_reserved_pages(page, order);
	else
		__free_pages(page, order);
}

/*
 * Free what was gathered, which takes a while for a TiB of memory. The caller
 * has flushed the TLBs, or knows that the tables were never used by a CPU.
 */
VISIBLE_IF_KUNIT void hotremove_gather_free(struct hotremove_gather *gather)
{
	struct ptdesc *table, *next_table;
	struct page *page, *next;

	list_for_each_entry_safe(table, next_table, &gather->tables, pt_list) {
		list_del(&table->pt_list);
		hotremove_free_table(table);
		cond_resched();
	}
	list_for_each_entry_safe(page, next, &gather->base_pages, lru) {
		list_del(&page->lru);
		hotremove_free_memmap(page, 0);
		cond_resched();
	}
	list_for_each_entry_safe(page, next, &gather->pmd_pages, lru) {
		list_del(&page->lru);
		hotremove_free_memmap(page, PMD_ORDER);
		cond_resched();
	}
}

/**
 * arch_remove_memory_begin - start to gather what removals unmap
 *
 * Calls nest. Each is paired with arch_remove_memory_end().
 *
 * Context: mem_hotplug_lock is held for writing until the matching end.
 */
void arch_remove_memory_begin(void)
{
	mem_hotplug_assert_held_write();
	if (!hotremove_gather.depth++)
		hotremove_gather_init(&hotremove_gather);
}

/**
 * arch_remove_memory_end - flush and free what removals have unmapped
 *
 * The outermost call flushes the TLBs of all CPUs once, and then frees page
 * tables and memmap.
 *
 * Context: May sleep. mem_hotplug_lock is held for writing.
 */
void arch_remove_memory_end(void)
{
	mem_hotplug_assert_held_write();
	if (--hotremove_gather.depth)
		return;
	if (hotremove_gather.flush)
		flush_tlb_all();
	hotremove_gather_free(&hotremove_gather);
}

void vmemmap_free(unsigned long start, unsigned long end,
		  struct vmem_altmap *altmap)
{
	struct hotremove_walk walk = {
		.gather = &hotremove_gather,
		.lock = &init_mm.page_table_lock,
		.altmap = altmap,
	};

	VM_WARN_ON_ONCE(!PAGE_ALIGNED(start) || !PAGE_ALIGNED(end));

	arch_remove_memory_begin();
	hotremove_clear_range(&walk, init_mm.pgd, start, end);
	arch_remove_memory_end();
}

static void hotremove_clear_direct_map(unsigned long start, unsigned long end)
{
	struct hotremove_walk walk = {
		.gather = &hotremove_gather,
		.lock = &cpa_lock,
		.direct = true,
	};
	int level;

	/* No table of the direct map is collapsed into a leaf meanwhile. */
	scoped_guard(mmap_read_lock, &init_mm)
		hotremove_clear_range(&walk, init_mm.pgd, start, end);
	for (level = PG_LEVEL_4K; level <= PG_LEVEL_1G; level++)
		update_page_count(level, -walk.cleared[level]);

	/* Only a caller that did not prepare the removal gets here. */
	WARN_ONCE(walk.kept, "direct map of [mem %#lx-%#lx] stays: a leaf reaches beyond it\n",
		  __pa(start), __pa(end - 1));
}

/**
 * arch_prepare_remove_memory - do what may fail before memory is removed
 * @start: physical address, aligned to 2 MiB
 * @size: bytes, a multiple of 2 MiB
 *
 * Make leaves of the direct map begin and end where the range does.
 *
 * Context: May sleep and allocate page tables.
 * Return: 0, or -ENOMEM; then everything is mapped as before, some of it
 * perhaps by smaller leaves.
 */
int arch_prepare_remove_memory(u64 start, u64 size)
{
	unsigned long addr = (unsigned long)__va(start);

	return split_kernel_leaf_mapping(addr, addr + size);
}

/**
 * arch_remove_direct_map - unmap memory whose memmap has been removed
 * @start: physical address
 * @size: bytes
 *
 * For who takes the steps of arch_remove_memory() one by one: memory that
 * leaves can hold page tables of the memmap of other memory that leaves with
 * it, and __remove_pages() reads them through the direct map.
 *
 * Context: May sleep. mem_hotplug_lock is held for writing.
 */
void arch_remove_direct_map(u64 start, u64 size)
{
	unsigned long addr = (unsigned long)__va(start);

	arch_remove_memory_begin();
	hotremove_clear_direct_map(addr, addr + size);
	arch_remove_memory_end();
}

void arch_remove_memory(u64 start, u64 size, struct vmem_altmap *altmap,
			struct dev_pagemap *pgmap)
{
	arch_remove_memory_begin();
	__remove_pages(PHYS_PFN(start), PHYS_PFN(size), altmap, pgmap);
	arch_remove_direct_map(start, size);
	arch_remove_memory_end();
}
