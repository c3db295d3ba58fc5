// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compare the tags of boot pages with what memory management really uses.
 */

/**
 * DOC: Truth of the tags
 *
 * A tag is a copy of something that can be computed. The check computes it
 * again, from page tables and pointers as they are now, for every page of
 * memory that was there at boot, and compares:
 *
 * 1. boot_owner_find_all() collects what is in use, by page.
 * 2. Each reserved page has to have a tag that says the same.
 * 3. A page that is not in use may not have a tag, except for what is freed
 *    later, or never: a pgdat, and shared data such as a top-level page table.
 *
 * It runs when the kernel has booted, and whenever debugfs/boot_owner is read.
 * Each line of that is a name and a number of pages: reserved ones by kind, see
 * enum boot_owner_kind ("untagged" is BOOT_OWNER_NONE); "parked", tagged ones in
 * memory blocks that are offline; and "wrong".
 *
 * Locking: mem_hotplug_lock is held for reading. Hugetlb may free memmap
 * meanwhile; what looks wrong is therefore computed once more, and is wrong
 * only if it looks the same twice.
 */

#include <linux/boot_owner.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "boot_owner_internal.h"

struct owner_check {
	struct xarray owners;		/* by pfn, struct boot_owner */
	int err;
	unsigned long pages[BOOT_OWNER_NR_KINDS];
	unsigned long wrong;
	unsigned long wrong_pfn;	/* the first */
	struct boot_owner is, should;	/* of that page */
};

static void check_collect_page(struct owner_check *check, unsigned long pfn,
			       const struct boot_owner *owner)
{
	struct boot_owner *old = xa_load(&check->owners, pfn);
	struct boot_owner *new;

	if (old) {
		boot_owner_merge(old, owner);
		return;
	}
	new = kmemdup(owner, sizeof(*owner), GFP_KERNEL);
	if (!new) {
		check->err = -ENOMEM;
		return;
	}
	if (xa_err(xa_store(&check->owners, pfn, new, GFP_KERNEL))) {
		kfree(new);
		check->err = -ENOMEM;
	}
}

static void check_collect(unsigned long pfn, unsigned long nr_pages,
			  const struct boot_owner *owner, void *arg)
{
	unsigned long end = pfn + nr_pages;

	cond_resched();
	for (; pfn < end; pfn++)
		check_collect_page(arg, pfn, owner);
}

/* A usage map that reaches into another page leaves that one's tag as it is. */
static bool check_same(const struct boot_owner *is,
		       const struct boot_owner *should)
{
	if (is->kind != should->kind)
		return false;
	if (is->kind == BOOT_OWNER_USAGE)
		return is->first <= should->first &&
		       is->first + is->nr >= should->first + should->nr;
	return is->kind == BOOT_OWNER_SHARED ||
	       (is->first == should->first && is->nr == should->nr);
}

/* May the page be there although what it was for has left? */
static bool check_is_left(const struct boot_owner *is, unsigned long pfn)
{
	/* A pgdat is freed after its readers. */
	if (is->kind == BOOT_OWNER_PGDAT)
		return !boot_owner_is_pgdat(is->first, pfn);
	/* A top-level page table waits for memory that comes back. */
	return is->kind == BOOT_OWNER_SHARED;
}

static void check_page(struct owner_check *check, unsigned long pfn)
{
	struct page *page = pfn_to_page(pfn);
	const struct boot_owner *should;
	struct boot_owner is = {};

	/* Most pages are not; no look into the xarray for each of them. */
	if (!boot_owner_is_reserved(page))
		return;
	boot_owner_get(page, &is);
	should = xa_load(&check->owners, pfn);
	if (!should) {
		if (is.kind == BOOT_OWNER_NONE)
			return;
		if (check_is_left(&is, pfn)) {
			check->pages[is.kind]++;
			return;
		}
	} else {
		check->pages[is.kind]++;
		if (check_same(&is, should))
			return;
	}
	if (check->wrong++)
		return;
	check->wrong_pfn = pfn;
	check->is = is;
	check->should = should ? *should : (struct boot_owner){};
}

/* Memory that was there at boot has struct pages for all of each section. */
static void check_sections(struct owner_check *check)
{
	unsigned long nr, pfn, end;

	for_each_present_section_nr(0, nr) {
		if (!early_section(__nr_to_section(nr)))
			continue;
		cond_resched();
		pfn = section_nr_to_pfn(nr);
		for (end = pfn + PAGES_PER_SECTION; pfn < end; pfn++)
			check_page(check, pfn);
	}
}

static void check_once(struct owner_check *check)
{
	struct boot_owner *owner;
	unsigned long pfn;

	*check = (struct owner_check){};
	xa_init(&check->owners);
	get_online_mems();
	boot_owner_find_all(check_collect, check);
	if (!check->err)
		check_sections(check);
	put_online_mems();
	xa_for_each(&check->owners, pfn, owner)
		kfree(owner);
	xa_destroy(&check->owners);
}

/* Runs until the result is right, or the same page is wrong twice. */
static int check_all(struct owner_check *check)
{
	char is[BOOT_OWNER_TEXT_SIZE], should[BOOT_OWNER_TEXT_SIZE];
	unsigned long last_pfn;

	check_once(check);
	do {
		if (check->err || !check->wrong)
			return check->err;
		last_pfn = check->wrong_pfn;
		check_once(check);
	} while (!check->wrong || check->wrong_pfn != last_pfn);

	boot_owner_describe(&check->is, is);
	boot_owner_describe(&check->should, should);
	WARN(1, "boot_owner: pfn %#lx is tagged as %s (%lu, %lu), and is %s (%lu, %lu); %lu pages are wrong\n",
	     check->wrong_pfn, is, check->is.first, check->is.nr, should,
	     check->should.first, check->should.nr, check->wrong);
	return 0;
}

static int boot_owner_show(struct seq_file *m, void *unused)
{
	static const char * const names[BOOT_OWNER_NR_KINDS] = {
		"untagged", "memmap", "vmemmap_table", "direct_table", "usage",
		"section_root", "pgdat", "shared",
	};
	struct owner_check *check;
	int i, err;

	check = kmalloc_obj(*check);
	if (!check)
		return -ENOMEM;
	err = check_all(check);
	for (i = 0; !err && i < BOOT_OWNER_NR_KINDS; i++)
		seq_printf(m, "%s %lu\n", names[i], check->pages[i]);
	seq_printf(m, "parked %lu\nwrong %lu\n", boot_owner_nr_parked(),
		   check->wrong);
	kfree(check);
	return err;
}
DEFINE_SHOW_ATTRIBUTE(boot_owner);

static int __init boot_owner_debug_init(void)
{
	struct owner_check *check;

	debugfs_create_file("boot_owner", 0400, NULL, NULL, &boot_owner_fops);
	check = kmalloc_obj(*check);
	if (!check)
		return -ENOMEM;
	check_all(check);
	kfree(check);
	return 0;
}
late_initcall(boot_owner_debug_init);
