// SPDX-License-Identifier: GPL-2.0-only
/*
 * Find what memory management allocated at boot, by following its pointers.
 */

/**
 * DOC: What boot memory is for
 *
 * boot_owner_find_all() goes through everything that the tags of boot pages
 * speak about, and says for each page who needs it: page tables and memmap of
 * each section, by walking the kernel's page table at the addresses of the
 * section's memmap and of its direct map; usage maps and section tables by
 * their pointers; pgdats by NODE_DATA().
 *
 * It is how tags are made, once, and how they are checked later. A page can be
 * named several times, when it has several users.
 *
 * Locking: nothing is removed meanwhile: mem_hotplug_lock, or boot. Hugetlb
 * can split and free memmap while this walks; what is found is then right for
 * some moment of the walk.
 */

#include <linux/boot_owner.h>
#include <linux/cleanup.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/rcupdate.h>

#include "boot_owner_internal.h"
#include "sparse.h"

enum find_level {
	FIND_PTE_TABLE,
	FIND_PMD_TABLE,
	FIND_PUD_TABLE,
	FIND_P4D_TABLE,
	FIND_LEVELS,
};

/* A walk of the page tables behind one kind of addresses. */
struct find_walk {
	boot_owner_fn fn;
	void *arg;
	enum boot_owner_kind table_kind;
	unsigned long base;		/* address of section 0 */
	unsigned long section_bytes;	/* addresses of one section */
	bool leaves;			/* pages behind leaves are wanted too */
	const void *tables[FIND_LEVELS];/* reported last */
};

static void find_pages(struct find_walk *walk, const void *start, size_t bytes,
		       enum boot_owner_kind kind, unsigned long first,
		       unsigned long nr)
{
	struct boot_owner owner = { .kind = kind, .first = first, .nr = nr };
	unsigned long pfn = PHYS_PFN(__pa(start));
	unsigned long last = PHYS_PFN(__pa(start + bytes - 1));

	for (; pfn <= last; pfn++)
		walk->fn(pfn, 1, &owner, walk->arg);
}

/* Which sections have something in [addr, addr + size)? */
static void find_sections(const struct find_walk *walk, unsigned long addr,
			  unsigned long size, struct boot_owner *owner)
{
	unsigned long last = addr + (size - 1);

	addr = max(addr, walk->base);
	owner->first = (addr - walk->base) / walk->section_bytes;
	owner->nr = (last - walk->base) / walk->section_bytes -
		    owner->first + 1;
	owner->nr = min(owner->nr, BOOT_OWNER_MAX_NR);
}

/* The table that @entry is in maps @size bytes around @addr. */
static void find_table(struct find_walk *walk, enum find_level level,
		       const void *entry, unsigned long addr, unsigned long size)
{
	const void *table = PTR_ALIGN_DOWN(entry, PAGE_SIZE);
	struct boot_owner owner;

	/* Sections that follow each other share most tables. */
	if (walk->tables[level] == table)
		return;
	walk->tables[level] = table;
	/*
	 * Page tables of processes have copies of the top-level entries, so the
	 * table stays. With five levels a PUD table is freed once it is empty,
	 * but it has 512 GiB, which need not be of one device.
	 */
	if (level >= FIND_PUD_TABLE) {
		find_pages(walk, table, PAGE_SIZE, BOOT_OWNER_SHARED, 0, 0);
		return;
	}
	find_sections(walk, ALIGN_DOWN(addr, size), size, &owner);
	find_pages(walk, table, PAGE_SIZE, walk->table_kind, owner.first,
		   owner.nr);
}

static void find_leaf(struct find_walk *walk, unsigned long pfn,
		      unsigned long nr_pages, unsigned long addr)
{
	struct boot_owner owner = { .kind = BOOT_OWNER_MEMMAP };

	if (!walk->leaves)
		return;
	find_sections(walk, addr, nr_pages << PAGE_SHIFT, &owner);
	walk->fn(pfn, nr_pages, &owner, walk->arg);
}

static void find_ptes(struct find_walk *walk, pmd_t *pmd, unsigned long addr,
		      unsigned long end)
{
	pte_t *pte = pte_offset_kernel(pmd, addr);
	pte_t entry;

	find_table(walk, FIND_PTE_TABLE, pte, addr, PMD_SIZE);
	if (!walk->leaves)
		return;
	for (; addr < end; addr += PAGE_SIZE, pte++) {
		entry = ptep_get(pte);
		if (pte_present(entry))
			find_leaf(walk, pte_pfn(entry), 1, addr);
	}
}

static void find_pmds(struct find_walk *walk, pud_t *pud, unsigned long addr,
		      unsigned long end)
{
	pmd_t *pmd = pmd_offset(pud, addr);
	unsigned long next;
	pmd_t entry;

	find_table(walk, FIND_PMD_TABLE, pmd, addr, PUD_SIZE);
	for (; addr < end; addr = next, pmd++) {
		next = pmd_addr_end(addr, end);
		entry = pmdp_get(pmd);
		if (!pmd_present(entry))
			continue;
		if (pmd_leaf(entry))
			find_leaf(walk, pmd_pfn(entry), 1UL << PMD_ORDER,
				  ALIGN_DOWN(addr, PMD_SIZE));
		else
			find_ptes(walk, pmd, addr, next);
	}
}

static void find_puds(struct find_walk *walk, p4d_t *p4d, unsigned long addr,
		      unsigned long end)
{
	pud_t *pud = pud_offset(p4d, addr);
	unsigned long next;
	pud_t entry;

	find_table(walk, FIND_PUD_TABLE, pud, addr, P4D_SIZE);
	for (; addr < end; addr = next, pud++) {
		next = pud_addr_end(addr, end);
		entry = pudp_get(pud);
		if (pud_present(entry) && !pud_leaf(entry))
			find_pmds(walk, pud, addr, next);
	}
}

static void find_p4ds(struct find_walk *walk, pgd_t *pgd, unsigned long addr,
		      unsigned long end)
{
	p4d_t *p4d = p4d_offset(pgd, addr);
	unsigned long next;

	if (!mm_p4d_folded(&init_mm))
		find_table(walk, FIND_P4D_TABLE, p4d, addr, PGDIR_SIZE);
	for (; addr < end; addr = next, p4d++) {
		next = p4d_addr_end(addr, end);
		if (p4d_present(p4dp_get(p4d)))
			find_puds(walk, p4d, addr, next);
	}
}

static void find_range(struct find_walk *walk, unsigned long addr,
		       unsigned long end)
{
	unsigned long next;
	pgd_t *pgd;

	for (; addr < end; addr = next) {
		next = pgd_addr_end(addr, end);
		pgd = pgd_offset_k(addr);
		if (pgd_present(*pgd))
			find_p4ds(walk, pgd, addr, next);
	}
}

static void find_section(struct find_walk *memmap, struct find_walk *direct,
			 unsigned long nr)
{
	unsigned long addr = (unsigned long)pfn_to_page(section_nr_to_pfn(nr));

	find_range(memmap, addr, addr + memmap->section_bytes);
	addr = (unsigned long)__va(PFN_PHYS(section_nr_to_pfn(nr)));
	find_range(direct, addr, addr + direct->section_bytes);
}

/* A section that has left keeps its usage map for the time when it returns. */
static void find_usage(struct find_walk *walk)
{
	struct mem_section *ms;
	unsigned long nr;

	for (nr = 0; nr <= __highest_present_section_nr; nr++) {
		ms = __nr_to_section(nr);
		if (ms && ms->usage)
			find_pages(walk, ms->usage, mem_section_usage_size(),
				   BOOT_OWNER_USAGE, nr, 1);
	}
}

#ifdef CONFIG_SPARSEMEM_EXTREME
static void find_section_roots(struct find_walk *walk)
{
	unsigned long last = SECTION_NR_TO_ROOT(__highest_present_section_nr);
	unsigned long root;

	for (root = 0; root <= last; root++)
		if (mem_section[root])
			find_pages(walk, mem_section[root], SECTIONS_PER_ROOT *
				   sizeof(struct mem_section),
				   BOOT_OWNER_SECTION_ROOT,
				   root * SECTIONS_PER_ROOT, SECTIONS_PER_ROOT);
}
#else
static void find_section_roots(struct find_walk *walk)
{
}
#endif

#ifdef CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP
/* The zone keeps them, whatever maps them. */
static void find_zone_tails(struct find_walk *walk, struct zone *zone)
{
	int i;

	for (i = 0; i < NR_VMEMMAP_TAILS; i++)
		if (zone->vmemmap_tails[i])
			find_pages(walk, page_to_virt(zone->vmemmap_tails[i]),
				   PAGE_SIZE, BOOT_OWNER_SHARED, 0, 0);
}
#else
static void find_zone_tails(struct find_walk *walk, struct zone *zone)
{
}
#endif

/* Is the page a part of the pgdat that the node uses now? */
bool boot_owner_is_pgdat(int nid, unsigned long pfn)
{
	const pg_data_t *pgdat;
	phys_addr_t start;

	/* The address is compared only; the node may be leaving. */
	guard(rcu)();
	pgdat = NODE_DATA(nid);
	/* From vmalloc() when memory management is debugged. */
	if (is_vmalloc_addr(pgdat))
		return false;
	start = __pa(pgdat);
	return pfn >= PHYS_PFN(start) &&
	       pfn <= PHYS_PFN(start + sizeof(pg_data_t) - 1);
}

static void find_node(struct find_walk *walk, int nid)
{
	pg_data_t *pgdat = NODE_DATA(nid);
	int zone;

	if (!pgdat || pgdat->node_id != nid)
		return;
	if (!is_vmalloc_addr(pgdat))
		find_pages(walk, pgdat, sizeof(*pgdat), BOOT_OWNER_PGDAT, nid,
			   0);
	for (zone = 0; zone < MAX_NR_ZONES; zone++)
		find_zone_tails(walk, pgdat->node_zones + zone);
}

/**
 * boot_owner_find_all - report what memory management has allocated
 * @fn: called with each page, or PMD leaf of memmap, and who needs it
 * @arg: passed to @fn
 *
 * Pages that were not allocated at boot are reported too. What memory needs
 * that was added later can be one that was: a page table.
 *
 * Context: See above. @fn may not sleep if the caller may not.
 */
void boot_owner_find_all(boot_owner_fn fn, void *arg)
{
	struct find_walk memmap = {
		.fn		= fn,
		.arg		= arg,
		.table_kind	= BOOT_OWNER_VMEMMAP_TABLE,
		.base		= (unsigned long)pfn_to_page(0),
		.section_bytes	= sizeof(struct page) * PAGES_PER_SECTION,
		.leaves		= true,
	};
	struct find_walk direct = {
		.fn		= fn,
		.arg		= arg,
		.table_kind	= BOOT_OWNER_DIRECT_TABLE,
		.base		= (unsigned long)__va(0),
		.section_bytes	= 1UL << SECTION_SIZE_BITS,
	};
	unsigned long nr;
	int nid;

	for_each_present_section_nr(0, nr)
		find_section(&memmap, &direct, nr);
	find_usage(&memmap);
	find_section_roots(&memmap);
	for_each_node(nid)
		find_node(&memmap, nid);
}
