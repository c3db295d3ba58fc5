/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_BOOT_MEMMAP_H
#define _LINUX_BOOT_MEMMAP_H

/*
 * Memory blocks that were there at boot and host their own memmap; see
 * mm/boot_memmap.c.
 */

#include <linux/types.h>

struct page;
struct vmem_altmap;

/* With CONFIG_ARCH_HAS_BOOT_MEMMAP_ON_MEMORY the architecture has this one. */
bool arch_boot_memmap_supported(void);

#ifdef CONFIG_BOOT_MEMMAP_ON_MEMORY
void boot_memmap_init(void);
struct page *boot_memmap_populate(unsigned long pfn, int nid);
void boot_memmap_report(void);
struct vmem_altmap *boot_memmap_altmap(unsigned long section_nr);
#else
static inline void boot_memmap_init(void) {}

static inline struct page *boot_memmap_populate(unsigned long pfn, int nid)
{
	return NULL;
}

static inline void boot_memmap_report(void) {}

static inline struct vmem_altmap *boot_memmap_altmap(unsigned long section_nr)
{
	return NULL;
}
#endif /* CONFIG_BOOT_MEMMAP_ON_MEMORY */

#endif /* _LINUX_BOOT_MEMMAP_H */
