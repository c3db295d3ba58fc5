# SPDX-License-Identifier: GPL-2.0
"""ACPI tables that QEMU does not make: whose memory it is, and what can go.

QEMU's SRAT gives the whole DIMM window to the last node, and no RAM is
hotpluggable. table_srat() makes one in which every DIMM is of its own node,
and the RAM of a node can have the hotplug bit. source_ssdt() has an ACPI memory
device for a part of the RAM, compiled by iasl (Debian package acpica-tools).
Linux takes both from the front of the initramfs: see
Documentation/admin-guide/acpi/initrd_table_override.rst.

The memory devices of the SSDT write to an I/O port what the guest asks of
them; QEMU puts that into a file, which records() reads: an eject is heard of
in the same way as one of QEMU's own DIMMs.
"""

import os
import struct
import subprocess

from mkinitramfs import Cpio

# Where SeaBIOS does not look for a debug console.
EVENT_PORT = 0x5f0
EVENT_EJECT = ord("E")
EVENT_OST = ord("O")
_RECORD = struct.Struct("<BBHH")

# An override has to have the name of the table, and a newer revision.
OEM_ID, OEM_TABLE_ID, OEM_REVISION = b"BOCHS ", b"BXPC    ", 2

MEMORY_ENABLED, MEMORY_HOTPLUG = 1, 2


class AcpiError(Exception):
    """No table could be made."""


def _table(signature, revision, body):
    """@body behind an ACPI table header with the right checksum."""
    header = struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision,
                         0, OEM_ID, OEM_TABLE_ID, OEM_REVISION, b"VMTS", 1)
    table = bytearray(header + body)
    table[9] = -sum(table) & 0xff
    return bytes(table)


def _cpu(node, apic_id):
    return struct.pack("<BBBBIB3BI", 0, 16, node & 0xff, apic_id, 1, 0,
                       node >> 8 & 0xff, node >> 16 & 0xff, node >> 24, 0)


def _memory(node, start, end, flags):
    return struct.pack("<BBIHQQIIQ", 1, 40, node, 0, start, end - start, 0,
                       MEMORY_ENABLED | flags, 0)


def table_srat(cpus, memory):
    """SRAT of [(node, apic id)] and [(node, start, end, hotpluggable)]."""
    body = struct.pack("<IQ", 1, 0)
    body += b"".join(_cpu(node, apic_id) for node, apic_id in cpus)
    body += b"".join(_memory(node, start, end,
                             MEMORY_HOTPLUG if hotpluggable else 0)
                     for node, start, end, hotpluggable in memory)
    return _table(b"SRAT", 3, body)


_SSDT = """DefinitionBlock ("", "SSDT", 2, "VMTEST", "MEMORY", 1)
{
    Scope (\\_SB)
    {
        OperationRegion (EVTR, SystemIO, 0x%x, 1)
        Field (EVTR, ByteAcc, NoLock, WriteAsZeros) { EVTB, 8 }
        Mutex (EVTM, 0)
        // Kind, device, source and status: 6 bytes, the low one first.
        Method (EVNT, 4)
        {
            Acquire (EVTM, 0xffff)
            EVTB = Arg0
            EVTB = Arg1
            EVTB = Arg2
            EVTB = Arg2 >> 8
            EVTB = Arg3
            EVTB = Arg3 >> 8
            Release (EVTM)
        }
%s    }
}
"""

_DEVICE = """        Device (%(name)s)
        {
            Name (_HID, EisaId ("PNP0C80"))
            Name (_UID, "%(name)s")
            Name (_PXM, %(node)d)
            Name (STAT, 0x0f)
            Name (_CRS, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    Cacheable, ReadWrite, 0, 0x%(start)x, 0x%(last)x, 0,
                    0x%(size)x)
            })
            Method (_STA) { Return (STAT) }
            Method (_EJ0, 1) { STAT = 0  EVNT (%(eject)d, %(slot)d, 0, 0) }
            Method (_OST, 3) { EVNT (%(ost)d, %(slot)d, Arg0, Arg1) }
        }
"""


def source_ssdt(dimms):
    """ASL with a memory device for each of @dimms, which are RAM."""
    return _SSDT % (EVENT_PORT, "".join(_DEVICE % {
        "name": dimm.acpi_name, "node": dimm.node, "slot": dimm.slot,
        "start": dimm.addr, "last": dimm.end - 1, "size": dimm.size,
        "eject": EVENT_EJECT, "ost": EVENT_OST} for dimm in dimms))


def compile_ssdt(source, folder):
    """AML of ASL @source; files are left in @folder."""
    path = os.path.join(folder, "ssdt.asl")
    with open(path, "w", encoding="ascii") as asl:
        asl.write(source)
    try:
        done = subprocess.run(["iasl", "-p", path[:-len(".asl")], path],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError as error:
        raise AcpiError("iasl is missing (package acpica-tools)") from error
    if done.returncode:
        raise AcpiError("iasl: %s" % done.stdout.decode()[-500:])
    with open(path[:-len(".asl")] + ".aml", "rb") as aml:
        return aml.read()


def prepend(path, initramfs, tables):
    """Write @initramfs to @path with {name: table} in front of it."""
    with open(path, "wb") as out:
        cpio = Cpio(out)
        for name, table in tables.items():
            cpio.folder("kernel/firmware/acpi")
            cpio.add("kernel/firmware/acpi/%s.aml" % name, 0o100644, table)
        cpio.finish()
        with open(initramfs, "rb") as source:
            out.write(source.read())


def records(path, start):
    """(kind, slot, source, status) of each event after the first @start."""
    with open(path, "rb") as events:
        data = events.read()[start * _RECORD.size:]
    whole = len(data) // _RECORD.size * _RECORD.size
    return list(_RECORD.iter_unpack(data[:whole]))
