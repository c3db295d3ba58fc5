# SPDX-License-Identifier: GPL-2.0
"""The guest seen from the host: run a command, read its memory layout.

The agent (guest/init) reads lines "ID COMMAND" from the second serial port,
runs each with bash and answers with the command's output and a last line
"\\1 ID STATUS". To start a process takes a tenth of a second and more under
TCG, so what is read often is read by bash itself. Facts about the guest that
scenarios refer to, such as a DIMM's node id or its memory blocks, are always
read from sysfs: the numbers of QEMU, of ACPI and of Linux need not agree.
"""

import base64
import re
import select
import struct
import time

MARK = b"\x01"
READY = MARK + b" ready"

MEMORY = "/sys/devices/system/memory"

PT_LOAD = 1

# bash reads these without a process of its own.
READ_MEMINFO = 'echo "$(</proc/meminfo)"'
READ_OWNERS = ('owners=/sys/kernel/debug/boot_owner; '
               '[ ! -e $owners ] || echo "$(<$owners)"')


def count_owners(text, *kinds):
    """kB of boot pages of these kinds, in what READ_OWNERS gives."""
    return 4 * sum(int(pages) for kind, pages in
                   re.findall(r"^(\w+) (\d+)$", text, re.M) if kind in kinds)


class GuestError(Exception):
    """The guest does not answer or a command it was given failed."""


class Agent:
    """The line protocol with the guest's command loop."""

    def __init__(self, sock, log, pulse):
        self.sock = sock
        self.log = log
        self.pulse = pulse
        self.pending = b""
        self.serial = 0

    def wait_ready(self, timeout):
        """Wait for the agent's first line."""
        self._until(READY, timeout, "boot")

    def run(self, command, timeout):
        """Run @command; return (status, output)."""
        self.serial += 1
        encoded = command.encode().decode("latin-1").encode("unicode_escape")
        if len(encoded) > 3500:
            raise GuestError("command too long for the agent")
        self.log.write("%.3f $ %s\n" % (time.monotonic(), command))
        self.sock.sendall(b"%d %s\n" % (self.serial, encoded))
        mark = MARK + b" %d " % self.serial
        output, last = self._until(mark, timeout, command)
        status = int(last[len(mark):])
        text = output.decode(errors="replace").replace("\r", "")
        self.log.write("%s%.3f status %d\n" % (text, time.monotonic(), status))
        self.log.flush()
        return status, text.strip("\n")

    def _until(self, mark, timeout, what):
        """Read up to the line that starts with @mark."""
        deadline = time.monotonic() + timeout
        while True:
            start = self.pending.find(mark)
            end = self.pending.find(b"\n", start)
            if start >= 0 and end >= 0:
                output = self.pending[:start]
                line = self.pending[start:end].rstrip(b"\r")
                self.pending = self.pending[end + 1:]
                return output, line
            if time.monotonic() > deadline:
                raise GuestError("no answer within %d s to: %s" %
                                 (timeout, what))
            self._receive()

    def _receive(self):
        self.pulse()
        ready, _, _ = select.select([self.sock], [], [], 0.1)
        if not ready:
            return
        data = self.sock.recv(65536)
        if not data:
            raise GuestError("the machine is gone")
        self.pending += data


class Guest:
    """Facts read through the agent."""

    def __init__(self, agent, timeout):
        self.agent = agent
        self.timeout = timeout
        self._block_size = None
        self._layout = None

    def run(self, command, timeout=None):
        return self.agent.run(command, timeout or self.timeout)

    def read(self, command):
        """Output of a command that must succeed."""
        status, output = self.run(command)
        if status:
            raise GuestError("'%s' gives status %d: %s" %
                             (command, status, output[-200:]))
        return output

    def block_size(self):
        """Bytes of a memory block."""
        if self._block_size is None:
            text = self.read("cat %s/block_size_bytes" % MEMORY)
            self._block_size = int(text, 16)
        return self._block_size

    def dimm_blocks(self, dimm):
        """Numbers of the memory blocks that @dimm has a part in."""
        size = self.block_size()
        return range(dimm.addr // size, (dimm.end + size - 1) // size)

    def blocks(self):
        """{number: (state, zone)} of every memory block."""
        # One that is just coming or going may have no files.
        text = self.read(
            "cd %s; for b in memory[0-9]*; do z= s=; read -r z < $b/valid_zones;"
            " read -r s < $b/state; [ ! \"$s\" ] ||"
            " echo ${b#memory} $s ${z// /,}; done 2>/dev/null" % MEMORY)
        blocks = {}
        for line in text.splitlines():
            number, state, zone = (line.split() + [""])[:3]
            # An offline block lists what it could become: that may change.
            blocks[int(number)] = (state, zone if state == "online" else "")
        return blocks

    def dimm_node(self, dimm):
        """Linux node id of @dimm's first memory block."""
        block = self.dimm_blocks(dimm)[0]
        text = self.read("cd %s/memory%d && echo node[0-9]*" % (MEMORY, block))
        return int(text[len("node"):])

    def acpi_device(self, name):
        """Name in sysfs, such as PNP0C80:01, of what ACPI calls @name."""
        text = self.read(
            "cd /sys/bus/acpi/devices; for d in *:*; do "
            "[ -f $d/path ] && read -r path < $d/path && "
            "case $path in *%s) echo $d;; esac; done; true" % name)
        if not text:
            raise GuestError("there is no ACPI device '%s'" % name)
        return text.splitlines()[0]

    def boot_pages(self, *kinds):
        """kB of boot pages of these kinds, as debugfs/boot_owner has them."""
        return count_owners(self.read(READ_OWNERS), *kinds)

    def memtotal(self):
        """MemTotal, and what becomes part of it when a DIMM or node leaves.

        Page tables and pgdats of boot are not part of it, those that come
        later are. Where KASLR puts the direct map decides how many page tables
        a DIMM has for itself. A pgdat may be freed at any moment.
        """
        while True:
            text = self.read("; ".join((READ_MEMINFO, READ_OWNERS,
                                        READ_MEMINFO)))
            before, after = re.findall(r"^MemTotal:\s+(\d+)", text, re.M)
            if before == after:
                break
        return int(after) + count_owners(text, "vmemmap_table", "direct_table",
                                         "shared", "pgdat")

    def meminfo(self):
        """/proc/meminfo in KiB."""
        text = self.read(READ_MEMINFO)
        return {key: int(value) for key, value in
                re.findall(r"^(\S+):\s+(\d+)", text, re.M)}

    def symbols(self, *names):
        """{name: address} of those of these kernel symbols that exist."""
        text = self.read(
            "awk 'BEGIN { left = split(\"%s\", names); "
            "for (i in names) want[names[i]] } $3 in want { print $3, $1; "
            "delete want[$3]; if (!--left) exit }' /proc/kallsyms" %
            " ".join(names))
        return {name: int(address, 16) for name, address in
                (line.split() for line in text.splitlines())}

    def layout(self):
        """Where the kernel put the direct map, vmemmap and its page table."""
        if self._layout is None:
            self._layout = Layout(self)
        return self._layout


class Layout:
    """Addresses that KASLR may move, read from /proc/kcore."""

    def __init__(self, guest):
        self.guest = guest
        header = self._bytes(0, 8192)
        self.segments = self._segments(header)
        self.symbols = guest.symbols("page_offset_base", "vmemmap_base",
                                     "init_top_pgt")
        self.page_offset = self._read_ulong("page_offset_base")
        self.vmemmap = self._read_ulong("vmemmap_base")
        self.root = self._phys("init_top_pgt")
        self.la57 = guest.run("grep -qw la57 /proc/cpuinfo")[0] == 0
        self.page_struct_bytes = 64

    def direct_map(self, dimm):
        """Virtual range of @dimm in the direct map."""
        return self.page_offset + dimm.addr, self.page_offset + dimm.end

    def kcore_offset(self, dimm):
        """Where /proc/kcore has @dimm's first byte."""
        vaddr = self.direct_map(dimm)[0]
        start, _, offset, _ = self._segment(vaddr)
        return offset + vaddr - start

    def vmemmap_range(self, dimm):
        """Virtual range of the struct pages of @dimm."""
        size = self.page_struct_bytes
        return (self.vmemmap + (dimm.addr >> 12) * size,
                self.vmemmap + (dimm.end >> 12) * size)

    def _bytes(self, offset, size):
        text = self.guest.read(
            "dd if=/proc/kcore bs=%d skip=%d count=1 iflag=skip_bytes,"
            "fullblock 2>/dev/null | base64 -w0" % (size, offset))
        return base64.b64decode(text)

    @staticmethod
    def _segments(header):
        offset, = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        found = []
        for index in range(count):
            at = offset + index * size
            if at + 56 > len(header):
                break
            kind, _, start, vaddr, paddr, length = struct.unpack_from(
                "<IIQQQQ", header, at)
            if kind == PT_LOAD:
                found.append((vaddr, length, start, paddr))
        return found

    def _segment(self, vaddr):
        for segment in self.segments:
            if segment[0] <= vaddr < segment[0] + segment[1]:
                return segment
        raise GuestError("/proc/kcore has no address %#x" % vaddr)

    def _address(self, symbol):
        address = self.symbols.get(symbol)
        if not address:
            raise GuestError("no symbol %s in /proc/kallsyms" % symbol)
        return address

    def _read_ulong(self, symbol):
        address = self._address(symbol)
        vaddr, _, start, _ = self._segment(address)
        return struct.unpack("<Q", self._bytes(start + address - vaddr, 8))[0]

    def _phys(self, symbol):
        address = self._address(symbol)
        vaddr, _, _, paddr = self._segment(address)
        return paddr + address - vaddr
