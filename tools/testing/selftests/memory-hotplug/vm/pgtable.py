# SPDX-License-Identifier: GPL-2.0
"""The guest kernel's page tables, read by QEMU from the guest's memory.

The guest is not asked: its tables are walked from outside, from init_mm's
root and from the root each CPU uses. Only the ranges of interest are walked,
which stays cheap on kernels whose KASAN shadow maps terabytes.
"""

import os
import re
import struct

PRESENT = 1 << 0
LEAF = 1 << 7
ADDR_MASK = 0x000ffffffffff000

# Bits that say how memory is mapped: writable, user, write-through, cache
# disable, global and no-execute. PAT moves with the level, see attributes().
RW, USER, PWT, PCD, GLOBAL, NX = (1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 8,
                                  1 << 63)
PAT_4K = 1 << 7
PAT_LARGE = 1 << 12

LEVEL_NAMES = {12: "4k", 21: "2M", 30: "1G"}


class Leaf:
    """One translation: @size bytes at @va."""

    def __init__(self, va, shift, entry):
        self.va = va
        self.shift = shift
        self.entry = entry

    @property
    def size(self):
        return 1 << self.shift

    @property
    def end(self):
        return self.va + self.size

    @property
    def phys(self):
        """Physical address; the low bits of a large leaf are attributes."""
        return self.entry & ADDR_MASK & ~(self.size - 1)

    def attributes(self):
        """Protection and cache mode, comparable between page sizes."""
        bits = self.entry & (RW | USER | PWT | PCD | GLOBAL | NX)
        pat = PAT_4K if self.shift == 12 else PAT_LARGE
        return bits, bool(self.entry & pat)

    def __str__(self):
        return "%#x (%s)" % (self.va, LEVEL_NAMES[self.shift])


class Tables:
    """Page tables of a stopped or running machine."""

    def __init__(self, machine, layout):
        self.machine = machine
        self.layout = layout
        self.pages = {}

    def forget(self):
        """Drop what was read; the guest may have changed it."""
        self.pages = {}

    def roots(self):
        """init_mm's table and the tables the CPUs run on."""
        text = self.machine.qmp.monitor("info registers -a")
        found = {int(value, 16) & ADDR_MASK
                 for value in re.findall(r"CR3=([0-9a-f]+)", text)}
        return [self.layout.root] + sorted(found - {self.layout.root})

    def leaves(self, root, start, end):
        """All leaves of the table at @root that lie in [start, end)."""
        shift = 48 if self.layout.la57 else 39
        return list(self._walk(root, shift, _canonical_base(start, shift),
                               start, end))

    def _walk(self, table, shift, base, start, end):
        entries = self._page(table)
        first = max(0, (start - base) >> shift)
        last = min(511, (end - 1 - base) >> shift)
        for index in range(first, last + 1):
            entry = entries[index]
            if not entry & PRESENT:
                continue
            va = base + (index << shift)
            if shift == 12 or (shift in LEVEL_NAMES and entry & LEAF):
                yield Leaf(va, shift, entry)
            else:
                yield from self._walk(entry & ADDR_MASK, shift - 9, va,
                                      start, end)

    def _page(self, phys):
        if phys not in self.pages:
            path = self.machine.path("table")
            self.machine.qmp.command("pmemsave", val=phys, size=4096,
                                     filename=path)
            with open(path, "rb") as page:
                self.pages[phys] = struct.unpack("<512Q", page.read())
            os.unlink(path)
        return self.pages[phys]


def _canonical_base(va, shift):
    """Address that entry 0 of the top table translates, seen from @va."""
    span = 1 << (shift + 9)
    return va & ~(span - 1)


def coverage(leaves, start, end):
    """Ranges of [start, end) that no leaf translates."""
    holes, at = [], start
    for leaf in sorted(leaves, key=lambda leaf: leaf.va):
        if leaf.va > at:
            holes.append((at, leaf.va))
        at = max(at, leaf.end)
    if at < end:
        holes.append((at, end))
    return holes


def sizes_kib(leaves):
    """{'4k': KiB, '2M': KiB, '1G': KiB} of @leaves."""
    sums = dict.fromkeys(LEVEL_NAMES.values(), 0)
    for leaf in leaves:
        sums[LEVEL_NAMES[leaf.shift]] += leaf.size >> 10
    return sums
