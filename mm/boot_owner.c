// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who owns the pages that memory management allocated at boot.
 */

/**
 * DOC: Owners of boot pages
 *
 * Memory management needs memory for each section: memmap, page tables that
 * map memmap and section, a usage map; and a pgdat for each node. What is
 * allocated for that at boot is a reserved page like any other, which can
 * neither be moved nor be freed, and keeps its memory block from leaving. Most
 * of it is not needed any longer once its sections have left, and nobody would
 * miss it if it left together with them. To act on that, hot-remove has to
 * know what a reserved page is for.
 *
 * Each such page has a tag in page->private, which memory management does not
 * use while a page is reserved; a value of someone else, as kexec has one in
 * pages that it reserves, is not taken for a tag. The tag says what the page is
 * used for, and names the sections (or the node) that need it. It counts nothing
 * and needs no reference. A PMD leaf of memmap has one tag, in the first page of
 * it.
 *
 * Lifecycle:
 *
 * 1. boot_owner_init() tags, once struct pages of reserved memory are there. It
 *    reads page tables and pointers, so that the places that allocate need not
 *    know about tags.
 * 2. boot_owner_get() looks up, in any context, in constant time. Isolation
 *    asks boot_owner_may_stay() whether a page keeps its block from going
 *    offline.
 * 3. boot_owner_park() marks what stays behind in a memory block that goes
 *    offline. A parked page is in use as before, and it is what keeps the
 *    block from being removed as long as others need it.
 * 4. boot_owner_release() is asked by those who free a page, which is vacant
 *    from then on. A page that is not parked goes to the page allocator, with
 *    its tag as long as it is reserved: isolation must not meet a reserved page
 *    without an owner. A parked one has no zone to go to, and stays with its
 *    block.
 * 5. boot_owner_unpark() ends that when the block is online again or could not
 *    go offline; vacant pages are free pages from then on. When a block is
 *    removed, boot_owner_forget() does.
 *
 * Locking: boot_owner_lock serializes changes of tags; a tag is one word that
 * is read without it. Parking and unparking, and removal, hold mem_hotplug_lock
 * for writing; releasing does not.
 */

#include <linux/bitfield.h>
#include <linux/boot_owner.h>
#include <linux/init.h>
#include <linux/kmemleak.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include <kunit/visibility.h>

#include "boot_owner_internal.h"
#include "internal.h"
#include "mm_init.h"
#include "sparse.h"

/* The top byte of a pointer, of poison and of a small number is another one. */
#define TAG_MAGIC	0xb7UL
#define TAG_MAGIC_MASK	GENMASK(63, 56)
#define TAG_CHUNK	BIT(55)		/* for all pages of a PMD leaf */
#define TAG_PARKED	BIT(54)		/* stays in an offline memory block */
#define TAG_VACANT	BIT(53)		/* nobody needs it any longer */
#define TAG_KIND_MASK	GENMASK(52, 49)
#define TAG_NR_MASK	GENMASK(48, 28)
#define TAG_FIRST_MASK	GENMASK(27, 0)

#define CHUNK_ORDER	PMD_ORDER
#define CHUNK_PAGES	(PMD_SIZE >> PAGE_SHIFT)

static DEFINE_SPINLOCK(boot_owner_lock);
static unsigned long boot_owner_parked_pages;
static unsigned long boot_owner_used_pages;	/* of these */
/* Before that, the struct page in front of a reserved one may be garbage. */
static bool boot_owner_all_initialized;

static const char * const boot_owner_names[] = {
	[BOOT_OWNER_NONE]		= "boot memory",
	[BOOT_OWNER_MEMMAP]		= "memmap",
	[BOOT_OWNER_VMEMMAP_TABLE]	= "page table of memmap",
	[BOOT_OWNER_DIRECT_TABLE]	= "page table of the direct map",
	[BOOT_OWNER_USAGE]		= "usage map",
	[BOOT_OWNER_SECTION_ROOT]	= "section table",
	[BOOT_OWNER_PGDAT]		= "pgdat",
	[BOOT_OWNER_SHARED]		= "shared memory management data",
};

VISIBLE_IF_KUNIT unsigned long boot_owner_encode(const struct boot_owner *owner)
{
	unsigned long nr = min(owner->nr, BOOT_OWNER_MAX_NR);

	BUILD_BUG_ON(BOOT_OWNER_MAX_NR > FIELD_MAX(TAG_NR_MASK));
	BUILD_BUG_ON(BOOT_OWNER_NR_KINDS > FIELD_MAX(TAG_KIND_MASK) + 1);
	BUILD_BUG_ON(NODES_SHIFT > 28);

	return FIELD_PREP(TAG_MAGIC_MASK, TAG_MAGIC) |
	       FIELD_PREP(TAG_KIND_MASK, owner->kind) |
	       FIELD_PREP(TAG_NR_MASK, nr) |
	       FIELD_PREP(TAG_FIRST_MASK, owner->first);
}

VISIBLE_IF_KUNIT void boot_owner_decode(unsigned long tag,
					struct boot_owner *owner)
{
	owner->kind = FIELD_GET(TAG_KIND_MASK, tag);
	owner->first = FIELD_GET(TAG_FIRST_MASK, tag);
	owner->nr = FIELD_GET(TAG_NR_MASK, tag);
}

static struct page *chunk_head(const struct page *page)
{
	/* In the same section, so there is memmap for it. */
	return pfn_to_page(ALIGN_DOWN(page_to_pfn(page), CHUNK_PAGES));
}

/* The page's own word; 0 if that is not a tag. */
static unsigned long own_tag(const struct page *page)
{
	unsigned long tag = READ_ONCE(page->private);

	if (FIELD_GET(TAG_MAGIC_MASK, tag) != TAG_MAGIC ||
	    FIELD_GET(TAG_KIND_MASK, tag) >= BOOT_OWNER_NR_KINDS ||
	    !boot_owner_is_reserved(page))
		return 0;
	return tag;
}

/* The tag that counts for a page: its own, or that of its chunk; or 0. */
static unsigned long page_tag(const struct page *page)
{
	unsigned long tag = own_tag(page);

	if (tag || !READ_ONCE(boot_owner_all_initialized) ||
	    !boot_owner_is_reserved(page))
		return tag;
	tag = own_tag(chunk_head(page));
	if (tag & TAG_CHUNK)
		return tag;
	/* The chunk may have been split just now; pairs with split_chunk(). */
	smp_rmb();
	return own_tag(page);
}

static void write_tag(struct page *page, unsigned long tag)
{
	WRITE_ONCE(page->private, tag);
}

/* Pages from @pfn on that have the same tag for the same reason. */
static unsigned long tag_pages(unsigned long tag, unsigned long pfn)
{
	if (!(tag & TAG_CHUNK))
		return 1;
	return ALIGN(pfn + 1, CHUNK_PAGES) - pfn;
}

/* A part of the chunk gets a fate of its own. */
static void split_chunk(struct page *head, unsigned long tag)
{
	unsigned long i;

	lockdep_assert_held(&boot_owner_lock);
	for (i = 1; i < CHUNK_PAGES; i++)
		if (boot_owner_is_reserved(head + i) && !own_tag(head + i))
			write_tag(head + i, tag & ~TAG_CHUNK);
	/* Who sees that there is no chunk sees the tags: see page_tag(). */
	smp_wmb();
	write_tag(head, tag & ~TAG_CHUNK);
}

/**
 * boot_owner_get - look up who owns a page
 * @page: a page that has been initialized
 * @owner: filled in when there is one
 *
 * Context: Any. The answer can be outdated unless mem_hotplug_lock is held; a
 * page of hugetlb's optimized memmap can be freed even then.
 * Return: true if the page was allocated at boot for memory management and
 * still is in use.
 */
bool boot_owner_get(const struct page *page, struct boot_owner *owner)
{
	unsigned long tag = page_tag(page);

	if (!tag || tag & TAG_VACANT)
		return false;
	boot_owner_decode(tag, owner);
	return true;
}

/**
 * boot_owner_describe - write what a page is used for
 * @owner: the owner
 * @text: takes BOOT_OWNER_TEXT_SIZE bytes
 *
 * Sections are given as memory blocks, as in memory32 or memory32-39.
 *
 * Context: Any.
 */
void boot_owner_describe(const struct boot_owner *owner, char *text)
{
	const char *name = boot_owner_names[owner->kind];
	unsigned long first, last;

	switch (owner->kind) {
	case BOOT_OWNER_NONE:
	case BOOT_OWNER_SHARED:
		strscpy(text, name, BOOT_OWNER_TEXT_SIZE);
		return;
	case BOOT_OWNER_PGDAT:
		snprintf(text, BOOT_OWNER_TEXT_SIZE, "%s of node %lu", name,
			 owner->first);
		return;
	default:
		break;
	}
	first = memory_block_id(owner->first);
	last = memory_block_id(owner->first + owner->nr - 1);
	if (first == last)
		snprintf(text, BOOT_OWNER_TEXT_SIZE, "%s of memory%lu", name,
			 first);
	else
		snprintf(text, BOOT_OWNER_TEXT_SIZE, "%s of memory%lu-%lu",
			 name, first, last);
}

/**
 * boot_owner_for_each - call a function for each owned page of a range
 * @start_pfn: first page; its section has memmap
 * @end_pfn: page after the last one
 * @fn: called with what belongs to one owner, in ascending order
 * @arg: passed to @fn
 *
 * Context: The range is not removed meanwhile. See boot_owner_get().
 */
void boot_owner_for_each(unsigned long start_pfn, unsigned long end_pfn,
			 boot_owner_fn fn, void *arg)
{
	struct boot_owner owner;
	unsigned long pfn, tag, nr;

	for (pfn = start_pfn; pfn < end_pfn; pfn += nr) {
		tag = page_tag(pfn_to_page(pfn));
		nr = tag_pages(tag, pfn);
		if (!tag || tag & TAG_VACANT)
			continue;
		boot_owner_decode(tag, &owner);
		fn(pfn, min(nr, end_pfn - pfn), &owner, arg);
	}
}

/* Tags of the pages of one release: the chunk's, or one for each page. */
static void release_tags(struct page *page, unsigned int order,
			 unsigned long tag)
{
	unsigned long nr = tag & TAG_CHUNK ? 1 : 1UL << order;
	unsigned long i;

	for (i = 0; i < nr; i++)
		write_tag(page + i, tag | TAG_VACANT);
}

static unsigned long release_locked(struct page *page, unsigned int order)
{
	unsigned long tag;

	guard(spinlock)(&boot_owner_lock);
	tag = page_tag(page);
	if (tag & TAG_CHUNK && order < CHUNK_ORDER) {
		split_chunk(chunk_head(page), tag);
		tag &= ~TAG_CHUNK;
	}
	release_tags(page, order, tag);
	if (tag & TAG_PARKED)
		boot_owner_used_pages -= 1UL << order;
	return tag;
}

/* Whoever scans for leaks reads what was allocated at boot. */
static void forget_leaks(unsigned long pfn, unsigned long nr_pages)
{
	kmemleak_free_part_phys(PFN_PHYS(pfn), PFN_PHYS(nr_pages));
}

/**
 * boot_owner_release - the user of boot pages does not need them any longer
 * @page: first page; reserved
 * @order: 2^@order pages, at most a PMD leaf, with the same owner
 *
 * To be called before the pages are given to the page allocator. Who does that
 * clears page->private when a page is not reserved any longer, that of @page
 * last.
 *
 * Context: Process context; not under a spinlock, unless the pages lie in a
 * memory block that is offline.
 * Return: false if they can be freed. true if they lie in a memory block that
 * is offline: nothing more is to be done, they are free when it is online.
 */
bool boot_owner_release(struct page *page, unsigned int order)
{
	if (!page_tag(page))
		return false;
	if (release_locked(page, order) & TAG_PARKED)
		return true;
	forget_leaks(page_to_pfn(page), 1UL << order);
	return false;
}

/* What can stay behind in a memory block that goes offline. */
static bool kind_may_stay(unsigned long tag)
{
	switch (FIELD_GET(TAG_KIND_MASK, tag)) {
	case BOOT_OWNER_MEMMAP:
	case BOOT_OWNER_VMEMMAP_TABLE:
		return true;
	case BOOT_OWNER_PGDAT:
		return pgdat_may_move();
	default:
		return false;
	}
}

/**
 * boot_owner_may_stay - does a reserved page let its memory block go offline?
 * @page: the page
 *
 * Context: Any.
 * Return: true if the page can stay in use in a memory block that is offline,
 * because it is known when it is not needed any longer, or is being freed now.
 */
bool boot_owner_may_stay(const struct page *page)
{
	unsigned long tag = page_tag(page);

	return tag & TAG_VACANT || kind_may_stay(tag);
}

/**
 * boot_owner_parked - is a page one that stays behind?
 * @page: the page
 *
 * Context: Any.
 * Return: true between boot_owner_park() and boot_owner_unpark(), whether the
 * page is still in use or not.
 */
bool boot_owner_parked(const struct page *page)
{
	return page_tag(page) & TAG_PARKED;
}

/**
 * boot_owner_next_parked - find a parked page
 * @start_pfn: first page to look at; its section has memmap
 * @end_pfn: page after the last one
 *
 * Only memory that was there at boot has any, and only its struct pages have
 * been initialized for sure.
 *
 * Context: mem_hotplug_lock is held for writing.
 * Return: the first parked page, or @end_pfn.
 */
unsigned long boot_owner_next_parked(unsigned long start_pfn,
				     unsigned long end_pfn)
{
	unsigned long pfn = start_pfn;

	if (!boot_owner_nr_parked())
		return end_pfn;
	while (pfn < end_pfn) {
		if (!early_section(__pfn_to_section(pfn))) {
			pfn = SECTION_ALIGN_UP(pfn + 1);
			continue;
		}
		if (boot_owner_parked(pfn_to_page(pfn)))
			return pfn;
		pfn++;
	}
	return end_pfn;
}

/**
 * boot_owner_end_parked - find the end of a run of parked pages
 * @start_pfn: a parked page
 * @end_pfn: page after the last one
 *
 * Context: mem_hotplug_lock is held for writing.
 * Return: the first page that is not parked, or @end_pfn.
 */
unsigned long boot_owner_end_parked(unsigned long start_pfn,
				    unsigned long end_pfn)
{
	unsigned long pfn = start_pfn;

	while (pfn < end_pfn && early_section(__pfn_to_section(pfn)) &&
	       boot_owner_parked(pfn_to_page(pfn)))
		pfn++;
	return pfn;
}

/**
 * boot_owner_nr_parked - count boot pages in memory blocks that are offline
 *
 * Context: Any.
 * Return: parked pages, vacant ones included.
 */
unsigned long boot_owner_nr_parked(void)
{
	return READ_ONCE(boot_owner_parked_pages);
}

/**
 * boot_owner_nr_used - count pages in use in memory blocks that are offline
 *
 * Context: Any. It does not grow while device_hotplug_lock is held.
 * Return: parked pages that are not vacant.
 */
unsigned long boot_owner_nr_used(void)
{
	return READ_ONCE(boot_owner_used_pages);
}

/**
 * boot_owner_park - leave boot pages behind in memory that goes offline
 * @start_pfn: first page, not in the middle of a PMD leaf of memmap; isolated
 * @end_pfn: page after the last one
 *
 * From now on they do not go to the page allocator when they are released. One
 * that is being freed at this moment does; the caller finds it in use until
 * it has arrived there.
 *
 * Context: mem_hotplug_lock is held for writing.
 */
void boot_owner_park(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long pfn, tag, nr;
	struct page *page;

	mem_hotplug_assert_held_write();
	for (pfn = start_pfn; pfn < end_pfn; pfn += nr) {
		page = pfn_to_page(pfn);
		nr = 1;
		if (!boot_owner_may_stay(page))
			continue;
		guard(spinlock)(&boot_owner_lock);
		tag = page_tag(page);
		if (!kind_may_stay(tag) || tag & (TAG_PARKED | TAG_VACANT))
			continue;
		nr = tag_pages(tag, pfn);
		write_tag(page, tag | TAG_PARKED);
		boot_owner_parked_pages += nr;
		boot_owner_used_pages += nr;
	}
}

static void count_unparked(unsigned long tag, unsigned long nr)
{
	boot_owner_parked_pages -= nr;
	if (!(tag & TAG_VACANT))
		boot_owner_used_pages -= nr;
}

/* Returns the tag as it was. */
static unsigned long unpark_tag(struct page *page)
{
	unsigned long tag;

	guard(spinlock)(&boot_owner_lock);
	tag = own_tag(page);
	if (tag & TAG_PARKED) {
		count_unparked(tag, tag_pages(tag, page_to_pfn(page)));
		write_tag(page, tag & TAG_VACANT ? 0 : tag & ~TAG_PARKED);
	}
	return tag;
}

/**
 * boot_owner_unpark - the memory is online again, or online still
 * @start_pfn: first page, in a zone
 * @end_pfn: page after the last one
 *
 * Pages that became vacant meanwhile go to the page allocator.
 *
 * Context: May sleep. mem_hotplug_lock is held for writing.
 */
void boot_owner_unpark(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long pfn, tag, nr;
	struct page *page;

	mem_hotplug_assert_held_write();
	for (pfn = boot_owner_next_parked(start_pfn, end_pfn); pfn < end_pfn;
	     pfn = boot_owner_next_parked(pfn + nr, end_pfn)) {
		page = pfn_to_page(pfn);
		tag = unpark_tag(page);
		nr = tag_pages(tag, pfn);
		if (tag & TAG_VACANT) {
			forget_leaks(pfn, nr);
			free_reserved_pages(page, nr > 1 ? CHUNK_ORDER : 0);
		}
	}
}

/**
 * boot_owner_reinit_page - initialize the struct page of a parked page
 * @page: a page that goes online; its section has memmap
 * @pfn: its number
 * @zone: zone type that it goes to
 * @nid: node that it goes to
 *
 * The page is in use and stays as it is, but belongs to another zone perhaps.
 * Who frees it at this moment has it on a list. A vacant page is left to the
 * caller, as memory like any other.
 *
 * Context: mem_hotplug_lock is held for writing.
 * Return: false if the page is not a parked one in use; nothing is done then.
 */
bool __meminit boot_owner_reinit_page(struct page *page, unsigned long pfn,
				      unsigned long zone, int nid)
{
	unsigned long tag, nr;

	if (!early_section(__pfn_to_section(pfn)) || !boot_owner_parked(page))
		return false;

	scoped_guard(spinlock, &boot_owner_lock) {
		if (!(page_tag(page) & TAG_VACANT)) {
			set_page_links(page, zone, nid, pfn);
			return true;
		}
		tag = own_tag(page);
		nr = tag_pages(tag, pfn);
		count_unparked(tag, nr);
		write_tag(page, 0);
	}
	forget_leaks(pfn, nr);
	return false;
}

static void forget_parked(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long pfn, tag, nr;

	for (pfn = boot_owner_next_parked(start_pfn, end_pfn); pfn < end_pfn;
	     pfn = boot_owner_next_parked(pfn + nr, end_pfn)) {
		scoped_guard(spinlock, &boot_owner_lock) {
			tag = own_tag(pfn_to_page(pfn));
			nr = tag_pages(tag, pfn);
			count_unparked(tag, nr);
			write_tag(pfn_to_page(pfn), 0);
		}
		forget_leaks(pfn, nr);
	}
}

/**
 * boot_owner_forget - memory is removed, and what stayed behind in it too
 * @start_pfn: first page, offline
 * @end_pfn: page after the last one
 *
 * Context: mem_hotplug_lock is held for writing.
 */
void boot_owner_forget(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long next;

	mem_hotplug_assert_held_write();
	for (; start_pfn < end_pfn; start_pfn = next) {
		next = min(end_pfn, SECTION_ALIGN_UP(start_pfn + 1));
		forget_parked(start_pfn, next);
		cond_resched();
	}
}

/* Both owners need the page. */
void boot_owner_merge(struct boot_owner *owner, const struct boot_owner *other)
{
	unsigned long end = max(owner->first + owner->nr,
				other->first + other->nr);

	if (owner->kind != other->kind || owner->kind == BOOT_OWNER_SHARED ||
	    (owner->kind == BOOT_OWNER_PGDAT && owner->first != other->first)) {
		*owner = (struct boot_owner) { .kind = BOOT_OWNER_SHARED };
		return;
	}
	owner->first = min(owner->first, other->first);
	owner->nr = min(end - owner->first, BOOT_OWNER_MAX_NR);
}

/* Pages that are not reserved any more, or never were, have no tag. */
VISIBLE_IF_KUNIT void boot_owner_tag(unsigned long pfn, unsigned long nr_pages,
				     const struct boot_owner *owner, void *arg)
{
	struct boot_owner merged = *owner, old;
	struct page *page;
	unsigned long tag;

	if (!pfn_valid(pfn))
		return;
	page = pfn_to_page(pfn);
	if (!boot_owner_is_reserved(page))
		return;
	tag = own_tag(page);
	if (tag) {
		boot_owner_decode(tag, &old);
		boot_owner_merge(&merged, &old);
	}
	tag = boot_owner_encode(&merged);
	write_tag(page, nr_pages == CHUNK_PAGES ? tag | TAG_CHUNK : tag);
}

void __init boot_owner_init(void)
{
	boot_owner_find_all(boot_owner_tag, NULL);
}

/* Deferred initialization of struct pages is over by the first of these. */
static int __init boot_owner_init_done(void)
{
	WRITE_ONCE(boot_owner_all_initialized, true);
	return 0;
}
pure_initcall(boot_owner_init_done);
