# SPDX-License-Identifier: GPL-2.0
"""ACPI tables that QEMU does not make: whose memory it is, and what can go.

QEMU's SRAT gives the whole DIMM window to the last node, and no RAM is
hotpluggable; srat() says it as the scenario does. ssdt() has memory devices
for RAM, of one range or more, and containers. To eject one clears its _STA: the
RAM stays where it is, out of sight of the guest. iasl compiles both.

The devices write to an I/O port what the guest asks of them; QEMU puts that
into a file, which events() reads: an eject is heard of in the same way as one
of QEMU's own DIMMs.
"""

import os
import re
import subprocess

from mkinitramfs import Cpio

# Where SeaBIOS does not look for a debug console.
EVENT_PORT = 0x5f0


class AcpiError(Exception):
    """No table could be made."""


# To take the place of QEMU's table, it needs its names and a newer revision.
_SRAT = """
Signature : "SRAT"
Table Length : 0
Revision : 3
Checksum : 0
Oem ID : "BOCHS "
Oem Table ID : "BXPC    "
Oem Revision : 2
Asl Compiler ID : ""
Asl Compiler Revision : 0
Table Revision : 1
Reserved : 0
"""

_SRAT_CPU = """
Subtable Type : 0
Length : 0
Proximity Domain Low(8) : %x
Apic ID : %x
Flags (decoded below) : 0
Enabled : 1
Local Sapic EID : 0
Proximity Domain High(24) : 0
Clock Domain : 0
"""

_SRAT_MEMORY = """
Subtable Type : 1
Length : 0
Proximity Domain : %x
Reserved1 : 0
Base Address : %x
Address Length : %x
Reserved2 : 0
Flags (decoded below) : 0
Enabled : 1
Hot Pluggable : %d
Non-Volatile : 0
Reserved3 : 0
"""


def srat(cpus, memory):
    """SRAT of [(node, apic id)] and [(node, start, end, hotpluggable)]."""
    return _SRAT + "".join(_SRAT_CPU % cpu for cpu in cpus) + "".join(
        _SRAT_MEMORY % (node, start, end - start, hotpluggable)
        for node, start, end, hotpluggable in memory)


_SSDT = """DefinitionBlock ("", "SSDT", 2, "VMTEST", "MEMORY", 1)
{
    Scope (\\_SB)
    {
        OperationRegion (EVTR, SystemIO, 0x%x, 1)
        Field (EVTR, ByteAcc, NoLock, WriteAsZeros) { EVTB, 8 }
        // A line of a device, what is asked of it, and two numbers.
        Method (EVNT, 3, Serialized)
        {
            Local0 = Concatenate (Arg0, ToHexString (Arg1))
            Local0 = Concatenate (Local0, " ")
            Local0 = Concatenate (Local0, ToHexString (Arg2))
            Local0 = ToBuffer (Concatenate (Local0, "\\n"))
            // A zero ends it.
            For (Local1 = 0, Local1 < SizeOf (Local0) - 1, Local1++)
            {
                EVTB = DerefOf (Local0 [Local1])
            }
        }
        %s
    }
}
"""

_DEVICE = """
        Device (%(name)s)
        {
            Name (_HID, %(hid)s)
            Name (_UID, "%(name)s")
            Name (STAT, 0x0f)
            Method (_STA) { Return (STAT) }
            Method (_EJ0, 1) { STAT = 0  EVNT ("%(name)s eject ", 0, 0) }
            Method (_OST, 3) { EVNT ("%(name)s ost ", Arg0, Arg1) }
            %(more)s
        }
"""

_MEMORY = """
            Name (_PXM, %d)
            Name (_CRS, ResourceTemplate ()
            {
                %s
            })
"""

_RANGE = """
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                    Cacheable, ReadWrite, 0, 0x%x, 0x%x, 0, 0x%x)
"""


def _memory_device(name, dimms):
    # In descending order: of ascending ranges without a gap Linux makes one.
    ranges = "".join(_RANGE % (dimm.addr, dimm.end - 1, dimm.size)
                     for dimm in reversed(dimms))
    return _DEVICE % {"name": name, "hid": 'EisaId ("PNP0C80")',
                      "more": _MEMORY % (dimms[0].node, ranges)}


def _container(name, inside):
    return _DEVICE % {"name": name, "hid": '"ACPI0004"', "more": inside}


def ssdt(dimms, containers):
    """SSDT of @dimms, which are RAM, and {container: [device]}."""
    names = dict.fromkeys(dimm.acpi_name for dimm in dimms)
    devices = {name: _memory_device(name, [dimm for dimm in dimms
                                           if dimm.acpi_name == name])
               for name in names}
    outer = [_container(name, "".join(devices.pop(one) for one in inside))
             for name, inside in containers.items()]
    return _SSDT % (EVENT_PORT, "".join(outer + list(devices.values())))


def build(name, source, folder):
    """Path of the table of iasl's @source; both are left in @folder."""
    path = os.path.join(folder, name)
    with open(path + ".asl", "w", encoding="ascii") as asl:
        asl.write(source)
    try:
        done = subprocess.run(["iasl", "-p", path, path + ".asl"],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError as error:
        raise AcpiError("iasl is missing (package acpica-tools)") from error
    if done.returncode:
        said = re.search(r"^Error .*", done.stdout.decode(errors="replace"),
                         re.M)
        raise AcpiError("iasl does not compile %s.asl: %s" % (
            path, said.group() if said else "status %d" % done.returncode))
    return path + ".aml"


def override(path, initramfs, table):
    """Write @initramfs to @path; from it, Linux takes @table for QEMU's.

    See Documentation/admin-guide/acpi/initrd_table_override.rst.
    """
    with open(path, "wb") as out, open(initramfs, "rb") as rest:
        cpio = Cpio(out)
        cpio.file("kernel/firmware/acpi/" + os.path.basename(table), table)
        cpio.finish()
        out.write(rest.read())


def events(path, start):
    """[(device, "eject" or "ost", source, status)] after the first @start."""
    with open(path, encoding="ascii") as log:
        lines = log.read().split("\n")[start:-1]
    words = [line.split() for line in lines]
    return [(device, what, int(source, 16), int(status, 16))
            for device, what, source, status in words]
