/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef __MM_BOOT_MEMMAP_H
#define __MM_BOOT_MEMMAP_H

#include <linux/types.h>

struct memblock_type;
struct vmem_altmap;

/* Of mm/memory_hotplug.c */
bool mhp_memmap_on_memory(void);
struct vmem_altmap mhp_block_altmap(unsigned long start_pfn);

/* What keeps a memory block from hosting its memmap. */
enum boot_memmap_verdict {
	BOOT_MEMMAP_HOSTED,	/* nothing */
	BOOT_MEMMAP_STAYS,	/* none of its memory is hotpluggable */
	BOOT_MEMMAP_MIXED,	/* some of its memory is not hotpluggable */
	BOOT_MEMMAP_NODES,	/* it spans nodes */
	BOOT_MEMMAP_HOLE,	/* it is not memory everywhere */
	BOOT_MEMMAP_IN_USE,	/* something in it is reserved */
	BOOT_MEMMAP_ERROR,	/* memblock cannot reserve any more */
	NR_BOOT_MEMMAP_VERDICTS,
};

#if IS_ENABLED(CONFIG_KUNIT)
enum boot_memmap_verdict
boot_memmap_check(const struct memblock_type *memory,
		  const struct memblock_type *reserved,
		  phys_addr_t start, phys_addr_t end);
#endif

#endif /* __MM_BOOT_MEMMAP_H */
