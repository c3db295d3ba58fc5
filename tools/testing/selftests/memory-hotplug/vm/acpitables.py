# SPDX-License-Identifier: GPL-2.0
"""ACPI tables for memory devices that QEMU cannot make.

A DIMM of QEMU is one PNP0C80 device with one range. Here a device can have
several ranges and lie in a container (ACPI0004): an SSDT declares such devices
over RAM of the machine, and an SRAT makes that RAM hotpluggable. Ejecting one
clears its _STA; the RAM stays where it is, out of sight of the guest. _SUN
returns what the last _OST reported, once: NO_ANSWER after that.
"""

import struct

# What _SUN returns when there was no _OST since it was last read.
NO_ANSWER = 0xfe

PNP0C80 = 0x800cd041    # EisaId("PNP0C80")


def table(signature, revision, body):
    """A whole ACPI table, with its checksum."""
    head = struct.pack("<4sIBB6s8sI4sI", signature.encode(), 36 + len(body),
                       revision, 0, b"VMTEST", signature.ljust(8).encode(),
                       1, b"TEST", 1)
    data = bytearray(head + body)
    data[9] = -sum(data) & 0xff
    return bytes(data)


def package(opcode, data):
    """@opcode, the length of @data with itself, and @data."""
    for extra in range(4):
        size = len(data) + 1 + extra
        if extra == 0 and size < 1 << 6:
            return opcode + bytes([size]) + data
        if extra and size < 1 << (4 + 8 * extra):
            rest = size >> 4
            return (opcode + bytes([extra << 6 | size & 0xf]) +
                    rest.to_bytes(extra, "little") + data)
    raise ValueError("%d bytes are too many" % len(data))


def integer(value):
    return b"\x0e" + struct.pack("<Q", value)


def string(text):
    return b"\x0d" + text.encode() + b"\0"


def name(what, data):
    return b"\x08" + what.encode() + data


def method(what, nr_args, code):
    return package(b"\x14", what.encode() + bytes([nr_args | 8]) + code)


def device(what, data):
    return package(b"\x5b\x82", what.encode() + data)


def qword_memory(start, size):
    """A cacheable, writable, fixed range of memory."""
    return struct.pack("<BHBBBQQQQQ", 0x8a, 43, 0, 0x0c, 3, 0, start,
                       start + size - 1, 0, size)


def resources(ranges):
    """_CRS: the ranges in this order, which Linux does not merge backwards."""
    data = b"".join(qword_memory(*one) for one in ranges) + b"\x79\0"
    return package(b"\x11", integer(len(data)) + data)


def ejectable():
    """_STA that _EJ0 clears, and _OST that _SUN tells."""
    local0, arg1 = b"\x60", b"\x69"
    return (name("STAV", integer(0xf)) + name("OSTV", integer(NO_ANSWER)) +
            method("_STA", 0, b"\xa4STAV") +
            method("_EJ0", 1, b"\x70\0STAV") +
            method("_OST", 3, b"\x70" + arg1 + b"OSTV") +
            method("_SUN", 0, b"\x70OSTV" + local0 + b"\x70" +
                   integer(NO_ANSWER) + b"OSTV\xa4" + local0))


def memory_device(what, uid, node, ranges):
    return device(what, name("_HID", b"\x0c" + struct.pack("<I", PNP0C80)) +
                  name("_UID", integer(uid)) + name("_PXM", integer(node)) +
                  name("_CRS", resources(ranges)) + ejectable())


def container(what, uid, inside):
    """@inside leaves with it: a name is searched for in the parents too."""
    return device(what, name("_HID", string("ACPI0004")) +
                  name("_UID", integer(uid)) + ejectable() + inside)


def device_dimms(scenario, what):
    """The DIMMs of an ACPI device, or of all devices in a container."""
    members = scenario.containers.get(what, [what])
    return [dimm for dimm in scenario.dimms.values() if dimm.acpi in members]


def ssdt(scenario):
    devices = {}
    for dimm in scenario.dimms.values():
        if dimm.acpi and dimm.acpi not in devices:
            dimms = device_dimms(scenario, dimm.acpi)
            devices[dimm.acpi] = memory_device(
                dimm.acpi, 0x100 + len(devices), dimm.node,
                [(one.addr, one.size) for one in reversed(dimms)])
    body = b""
    for what, members in scenario.containers.items():
        body += container(what, 0x200 + len(body),
                          b"".join(devices.pop(one) for one in members))
    body += b"".join(devices.values())
    return table("SSDT", 2, package(b"\x10", b"\\_SB_" + body))


def srat(scenario):
    """CPUs and RAM below 4 GiB on node 0, the DIMMs where they say."""
    body = struct.pack("<IQ", 1, 0)
    for cpu in range(scenario.smp):
        body += struct.pack("<BBBBIB3xI", 0, 16, 0, cpu, 1, 0, 0)
    body += memory_affinity(0, 0, scenario.ram, False)
    for dimm in scenario.dimms.values():
        body += memory_affinity(dimm.node, dimm.addr, dimm.size, True)
    return table("SRAT", 3, body)


def memory_affinity(node, start, size, hotpluggable):
    return struct.pack("<BBIHQQIIQ", 1, 40, node, 0, start, size, 0,
                       3 if hotpluggable else 1, 0)
