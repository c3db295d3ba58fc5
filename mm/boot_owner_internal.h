/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __MM_BOOT_OWNER_INTERNAL_H
#define __MM_BOOT_OWNER_INTERNAL_H

#include <linux/boot_owner.h>
#include <linux/mm.h>

/* More than are mapped by any page table that is ever freed. */
#define BOOT_OWNER_MAX_NR	((1UL << 21) - 1)

/* No PageReserved(): struct pages of offline memory can be poisoned. */
static inline bool boot_owner_is_reserved(const struct page *page)
{
	unsigned long flags = READ_ONCE(page->flags.f);

	return flags != PAGE_POISON_PATTERN && flags & BIT(PG_reserved);
}

/* mm/boot_owner.c */
void boot_owner_merge(struct boot_owner *owner, const struct boot_owner *other);

/* mm/boot_owner_find.c */
void boot_owner_find_all(boot_owner_fn fn, void *arg);
bool boot_owner_is_pgdat(int nid, unsigned long pfn);

#if IS_ENABLED(CONFIG_KUNIT)
unsigned long boot_owner_encode(const struct boot_owner *owner);
void boot_owner_decode(unsigned long tag, struct boot_owner *owner);
void boot_owner_tag(unsigned long pfn, unsigned long nr_pages,
		    const struct boot_owner *owner, void *arg);
void boot_owner_sort(const unsigned long *ids, unsigned long * const *after,
		     unsigned long nr, unsigned long *left,
		     unsigned long nr_blocks, unsigned long *sorted);
#endif

#endif /* __MM_BOOT_OWNER_INTERNAL_H */
