/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_BOOT_OWNER_H
#define _LINUX_BOOT_OWNER_H

#include <linux/types.h>

struct page;
struct range;

/**
 * enum boot_owner_kind - what a page that was allocated at boot is used for
 * @BOOT_OWNER_NONE:		no tag: not allocated at boot, or for something
 *				else
 * @BOOT_OWNER_MEMMAP:		struct pages of sections
 * @BOOT_OWNER_VMEMMAP_TABLE:	page table that maps memmap of sections
 * @BOOT_OWNER_DIRECT_TABLE:	page table of the direct map of sections
 * @BOOT_OWNER_USAGE:		struct mem_section_usage of sections
 * @BOOT_OWNER_SECTION_ROOT:	struct mem_section of sections
 * @BOOT_OWNER_PGDAT:		pgdat of a node
 * @BOOT_OWNER_SHARED:		needed by more than one of these
 * @BOOT_OWNER_NR_KINDS:	number of kinds
 */
enum boot_owner_kind {
	BOOT_OWNER_NONE,
	BOOT_OWNER_MEMMAP,
	BOOT_OWNER_VMEMMAP_TABLE,
	BOOT_OWNER_DIRECT_TABLE,
	BOOT_OWNER_USAGE,
	BOOT_OWNER_SECTION_ROOT,
	BOOT_OWNER_PGDAT,
	BOOT_OWNER_SHARED,
	BOOT_OWNER_NR_KINDS,
};

/**
 * struct boot_owner - who a boot page belongs to
 * @kind:	what the page is used for
 * @first:	number of the first section that needs it; the node of a pgdat
 * @nr:		number of sections from @first on; those that are not present
 *		do not count
 */
struct boot_owner {
	enum boot_owner_kind kind;
	unsigned long first;
	unsigned long nr;
};

/**
 * typedef boot_owner_fn - what boot_owner_for_each() calls
 * @pfn:	first page
 * @nr_pages:	pages that belong to @owner, 1 or a whole PMD leaf
 * @owner:	who owns them
 * @arg:	what the caller passed
 */
typedef void (*boot_owner_fn)(unsigned long pfn, unsigned long nr_pages,
			      const struct boot_owner *owner, void *arg);

/* Room for the longest text that boot_owner_describe() writes. */
#define BOOT_OWNER_TEXT_SIZE	64

#ifdef CONFIG_BOOT_OWNER
void boot_owner_init(void);
bool boot_owner_get(const struct page *page, struct boot_owner *owner);
void boot_owner_describe(const struct boot_owner *owner, char *text);
void boot_owner_for_each(unsigned long start_pfn, unsigned long end_pfn,
			 boot_owner_fn fn, void *arg);
bool boot_owner_release(struct page *page, unsigned int order);

bool boot_owner_may_stay(const struct page *page);
bool boot_owner_parked(const struct page *page);
unsigned long boot_owner_next_parked(unsigned long start_pfn,
				     unsigned long end_pfn);
unsigned long boot_owner_end_parked(unsigned long start_pfn,
				    unsigned long end_pfn);
unsigned long boot_owner_nr_parked(void);
unsigned long boot_owner_nr_used(void);
void boot_owner_park(unsigned long start_pfn, unsigned long end_pfn);
void boot_owner_unpark(unsigned long start_pfn, unsigned long end_pfn);
void boot_owner_forget(unsigned long start_pfn, unsigned long end_pfn);
bool boot_owner_reinit_page(struct page *page, unsigned long pfn,
			    unsigned long zone, int nid);

unsigned long boot_owner_nr_blocks(void);
unsigned long *boot_owner_remove_after(const struct range *ranges,
				       unsigned int nr_ranges,
				       unsigned long *nr_blocks,
				       struct boot_owner *pinned_by);
int boot_owner_check_remove(const struct range *ranges, unsigned int nr_ranges);
int boot_owner_sort_blocks(unsigned long *ids, unsigned long nr);
void boot_owner_report_unmovable(const struct page *page);

int boot_owner_move_usage(unsigned long start_pfn, unsigned long end_pfn);
#else
static inline void boot_owner_init(void)
{
}

static inline bool boot_owner_get(const struct page *page,
				  struct boot_owner *owner)
{
	return false;
}

static inline void boot_owner_describe(const struct boot_owner *owner,
				       char *text)
{
	*text = '\0';
}

static inline void boot_owner_for_each(unsigned long start_pfn,
				       unsigned long end_pfn, boot_owner_fn fn,
				       void *arg)
{
}

static inline bool boot_owner_release(struct page *page, unsigned int order)
{
	return false;
}

static inline bool boot_owner_may_stay(const struct page *page)
{
	return false;
}

static inline bool boot_owner_parked(const struct page *page)
{
	return false;
}

static inline unsigned long boot_owner_next_parked(unsigned long start_pfn,
						   unsigned long end_pfn)
{
	return end_pfn;
}

static inline unsigned long boot_owner_end_parked(unsigned long start_pfn,
						  unsigned long end_pfn)
{
	return start_pfn;
}

static inline unsigned long boot_owner_nr_parked(void)
{
	return 0;
}

static inline unsigned long boot_owner_nr_used(void)
{
	return 0;
}

static inline void boot_owner_park(unsigned long start_pfn,
				   unsigned long end_pfn)
{
}

static inline void boot_owner_unpark(unsigned long start_pfn,
				     unsigned long end_pfn)
{
}

static inline void boot_owner_forget(unsigned long start_pfn,
				     unsigned long end_pfn)
{
}

static inline bool boot_owner_reinit_page(struct page *page, unsigned long pfn,
					  unsigned long zone, int nid)
{
	return false;
}

static inline unsigned long boot_owner_nr_blocks(void)
{
	return 0;
}

static inline unsigned long *
boot_owner_remove_after(const struct range *ranges, unsigned int nr_ranges,
			unsigned long *nr_blocks, struct boot_owner *pinned_by)
{
	*nr_blocks = 0;
	if (pinned_by)
		pinned_by->kind = BOOT_OWNER_NONE;
	return NULL;
}

static inline int boot_owner_check_remove(const struct range *ranges,
					  unsigned int nr_ranges)
{
	return 0;
}

static inline int boot_owner_sort_blocks(unsigned long *ids, unsigned long nr)
{
	return 0;
}

static inline void boot_owner_report_unmovable(const struct page *page)
{
}

static inline int boot_owner_move_usage(unsigned long start_pfn,
					unsigned long end_pfn)
{
	return 0;
}
#endif /* CONFIG_BOOT_OWNER */

#endif /* _LINUX_BOOT_OWNER_H */
