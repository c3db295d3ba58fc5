/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __X86_MM_HOTREMOVE_H
#define __X86_MM_HOTREMOVE_H

#include <linux/list.h>
#include <linux/pgtable.h>
#include <linux/spinlock_types.h>

struct vmem_altmap;

/**
 * struct hotremove_gather - what a removal has unmapped and not freed yet
 * @depth:	nesting of arch_remove_memory_begin()
 * @flush:	an entry was cleared since the last TLB flush
 * @tables:	page tables, linked by ptdesc->pt_list
 * @base_pages:	memmap that was mapped by a PTE, linked by page->lru
 * @pmd_pages:	memmap that was mapped by a PMD, the first page of each
 *		PMD_SIZE chunk linked by page->lru
 */
struct hotremove_gather {
	unsigned int depth;
	bool flush;
	struct list_head tables;
	struct list_head base_pages;
	struct list_head pmd_pages;
};

/**
 * struct hotremove_walk - one range of kernel page tables to clear
 * @gather:	takes the pages that are not mapped any longer
 * @lock:	cpa_lock (direct map) or init_mm.page_table_lock (vmemmap), held
 *		while entries are looked at and cleared
 * @altmap:	where the memmap came from, NULL for the page allocator
 * @direct:	direct map (the memory behind it is not freed) or vmemmap
 * @cleared:	leaves cleared, by level
 * @kept:	leaves that reach beyond the range and were left alone
 */
struct hotremove_walk {
	struct hotremove_gather *gather;
	spinlock_t *lock;	/* of the entries */
	struct vmem_altmap *altmap;
	bool direct;
	unsigned long cleared[PG_LEVEL_NUM];
	unsigned long kept;
};

#if IS_ENABLED(CONFIG_KUNIT)
void hotremove_gather_init(struct hotremove_gather *gather);
void hotremove_clear_range(struct hotremove_walk *walk, pgd_t *pgd,
			   unsigned long start, unsigned long end);
void hotremove_gather_free(struct hotremove_gather *gather);
#endif

#endif /* __X86_MM_HOTREMOVE_H */
