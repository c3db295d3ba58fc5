# SPDX-License-Identifier: GPL-2.0
"""Dead memory: the host overwrites a DIMM that is offline, and looks later.

The DIMM is a file that QEMU shares with this program. Nobody has a reason to
write to memory that is offline, or to what an eject has removed: a byte that
differs from what was written here is a write after the end. Left alone are
pages that the guest still uses though they are offline, which its page tables
tell: memmap, and page tables themselves.
"""

PAGE = 4096
CHUNK = 1 << 20

# Not zero, and as an entry of a page table it is present.
PATTERN = b"\xa7dead memory, \r\n" * (PAGE // 16)


def overwrite(path, size, used):
    """Fill the file @path except for pages whose offset is in @used."""
    chunk = PATTERN * (CHUNK // PAGE)
    with open(path, "r+b") as memory:
        for offset in range(0, size, CHUNK):
            pages = range(offset, offset + CHUNK, PAGE)
            if used.isdisjoint(pages):
                memory.write(chunk)
                continue
            for page in pages:
                memory.seek(page)
                if page not in used:
                    memory.write(PATTERN)
            memory.seek(offset + CHUNK)


def changed(path, size, used):
    """Offsets of pages that are not as overwrite() left them."""
    found = []
    chunk = PATTERN * (CHUNK // PAGE)
    with open(path, "rb") as memory:
        for offset in range(0, size, CHUNK):
            data = memory.read(CHUNK)
            if data == chunk:
                continue
            found += [offset + at for at in range(0, CHUNK, PAGE)
                      if offset + at not in used and
                      data[at:at + PAGE] != PATTERN]
    return found
