# SPDX-License-Identifier: GPL-2.0
"""Checks of the harness itself that need no guest, as KTAP.

The oracle-* scenarios prove the oracles on a running guest; here every
pattern of the console scan meets a line that it has to find, and the grammar
meets the mistakes it has to name.
"""

import os
import re
import shutil
import tempfile

import acpi
import judge
import machine
import mkinitramfs
import needs
import scenario as scenarios
import scribble

# A line as the kernel writes it for each fault that has to be found.
FAULTS = """
BUG: unable to handle page fault for address: ffd435d604000000
BUG: kernel NULL pointer dereference, address: 0000000000000008
BUG: KASAN: slab-use-after-free in free_pagetable+0x10/0x80
BUG: KFENCE: out-of-bounds read in test+0x1/0x2
BUG: sleeping function called from invalid context at mm/page_alloc.c:1
BUG: scheduling while atomic: kworker/0:1/12/0x00000002
BUG: Bad page state in process kworker/u16:0  pfn:100000
BUG: Bad page map in process bash  pte:8000000100000067 pmd:01
BUG: Bad rss-counter state mm:0000000012345678 type:MM_ANONPAGES val:1
BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 41s!
kernel BUG at mm/memory_hotplug.c:2295!
WARNING: CPU: 1 PID: 11 at arch/x86/mm/init_64.c:1 remove_pagetable+0x1/0x2
WARNING: possible circular locking dependency detected
WARNING: possible recursive locking detected
WARNING: suspicious RCU usage
WARNING: bad unlock balance detected!
Oops: Oops: 0000 [#1] SMP NOPTI
Oops: general protection fault, probably for non-canonical address 0xdead: 0
Kernel panic - not syncing: System is deadlocked on memory
UBSAN: array-index-out-of-bounds in mm/sparse.c:1:2
watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [kworker/u16:0:11]
INFO: task kworker/u16:0:11 blocked for more than 120 seconds.
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
rcu: INFO: rcu_sched self-detected stall on CPU
page dumped because: VM_BUG_ON_PAGE(PagePoisoned(page))
pagealloc: memory corruption
list_del corruption. prev->next should be ff00, but was ff01
refcount_t: underflow; use-after-free.
ODEBUG: free active (active state 0) object: ff00 object type: work_struct
kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
unreferenced object 0xff1100010a000000 (size 64):
mm/pgtable-generic.c:50: bad pmd ff00(8000000000000000)
Out of memory: Killed process 93 (hammer) total-vm:1kB, anon-rss:1kB
MAX_LOCKDEP_CHAINS too low!
DEBUG_LOCKS_WARN_ON(1)
        not ok 3 split_range_unaligned
hammer[84]: segfault at 0 ip 0000000000401000 sp 00007ffe error 4
"""

# Lines that are no fault.
HARMLESS = """
[    0.0] Command line: console=ttyS0 page_poison=1
[    0.1] Kernel command line: console=ttyS0 page_poison=1
Linux version 7.3.4 (a@b) (gcc, ld) #1 SMP PREEMPT_DYNAMIC
memory memory32: Offline failed.
ok 1 split_range_unaligned
mem auto-init: stack:off, heap alloc:off, heap free:off
Policy zone: DMA32
debug_pagealloc: disabled
"""

# A machine with a memory device of ours, which takes all of its node's RAM.
RAM = "about x\ndimm r 1G ram node=0 acpi=MEM0\n"

# What is wrong with a scenario, and a part of what has to be said about it.
MISTAKES = [
    ("about x\nfly away", "x:2: unknown word 'fly'"),
    ("about x", "no steps"),
    ("guest true", "no 'about'"),
    ("about x\nunplug d0", "no dimm is called 'd0'"),
    ("about x\ndimm d0 12Q\nguest true", "'12Q' is not a size"),
    ("about x\ndimm d0 1G far\nguest true", "dimm has no 'far'"),
    ("about x\ndimm d0 1G\ndimm d0 1G\nguest true", "there twice"),
    ("about x\nrepeat 3\nguest true", "'repeat' without 'end'"),
    ("about x\nguest true\nend", "'end' without 'repeat'"),
    ("about x\ndimm d0 1G\nplug", "takes 1 to 1 arguments"),
    ("about x\ncontrol maybe\nguest true", "'control' is followed by"),
    ("about x\nfails [\nguest true", "'['"),
    ("about x\nmachine ram=2G\nnode 0 ram=1G\nguest true", "add up"),
    ("about x\nmachine wheels=4\nguest true", "machine has no 'wheels'"),
    ("about x\nneeds luck\nguest true", "'needs' is followed by"),
    ("about x\ndimm d0 1G ram\nguest true", "ram of no node"),
    (RAM + "dimm s 1G node=0 acpi=MEM0\nguest true", "and is not ram"),
    (RAM + "dimm s 1G ram node=0 acpi=memory\nguest true", "'memory' is no"),
    (RAM + "dimm s 1G ram node=1 acpi=MEM0\nguest true", "on two nodes"),
    (RAM + "container CON0 MEM1\nguest true", "names after acpi="),
    (RAM + "container CON0 MEM0 MEM0\nguest true", "there twice"),
    (RAM + "container MEM0 MEM0\nguest true", "there twice"),
    (RAM + "container A000 MEM0\ncontainer B000 MEM0\nguest true", "twice"),
    ("about x\ncpu c\ndimm c 1G\nguest true", "there twice"),
    ("about x\ncpu c wheels=4\nguest true", "cpu has no 'wheels'"),
    ("about x\ncpu c node=1\nguest true", "'c' is of no node"),
    ("about x\ndimm d0 1G\nonline d0", "takes movable, kernel or any"),
    ("about x\ncpu c\ngone c", "no dimm is called 'c'"),
    (RAM + "cpu c\nguest true", "not know the node of cpu 'c'"),
    (RAM + "eject MEM1", "no dimm is called 'MEM1'"),
    (RAM + "online MEM0 any", "no dimm is called 'MEM0'"),
    (RAM + "dimm s 1G ram node=0\nguest true", "not in the RAM of node 0"),
    (RAM + "dimm s 1G ram node=7\nguest true", "not in the RAM of node 7"),
    ("about x\nguest 'unbalanced\nunplug 'd0", "No closing quotation"),
]


class Skip(Exception):
    """The host has not what a check needs."""


def parse(text):
    """Scenario of @text with its plan, or the text of the error."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text + "\n")
        try:
            made = scenarios.load(path)
            machine.plan(made)
            return made
        except scenarios.ScenarioError as error:
            return str(error)


def check_faults():
    for line in FAULTS.strip().splitlines():
        assert judge.console_faults("[    1.5] " + line), line


def check_patterns_used():
    """No pattern is without a line that needs it or one like it."""
    lines = FAULTS.strip().splitlines()
    used = [pattern for pattern in judge.CONSOLE
            if any(re.search(pattern, line) for line in lines)]
    assert len(used) > len(judge.CONSOLE) * 0.6, len(used)


def check_harmless():
    faults = judge.console_faults(HARMLESS)
    assert not faults, faults


def check_boot_races():
    race = "BUG: KASAN: wild-memory-access in rcu_is_watching+0x1d/0x40"
    assert judge.console_faults(race) == [race]
    assert judge.only_boot_races([race])
    assert not judge.only_boot_races([race, FAULTS.split("\n")[1]])


def check_allowed():
    allowed = [re.compile("expected by the test")]
    text = "WARNING: expected by the test\nWARNING: another"
    assert judge.console_faults(text, allowed) == ["WARNING: another"]


def check_whole_lines():
    allowed = [re.compile("migration failure")]
    text = "init\npage dumped because: migration"
    assert judge.console_faults(text, allowed)
    assert judge.whole_lines(text) == "init\n"
    text += " failure\n"
    assert judge.whole_lines(text) == text
    assert not judge.console_faults(text, allowed)
    assert judge.whole_lines("init") == ""


def check_qemu_log():
    text = "Invalid read at addr 0x100000040, size 8, region '(null)'"
    assert judge.qemu_faults(text, [(0x100000000, 0x140000000)])
    assert not judge.qemu_faults(text, [(0x140000000, 0x180000000)])
    text = "Invalid access at addr 0x40, size 1, region '(null)'"
    assert not judge.qemu_faults(text, [(0x100000000, 0x140000000)])


def check_kunit():
    good = "suite a\nKTAP version 1\n1..1\n    ok 1 x\n    ok 2 y\nok 1 a\n"
    bad = "suite b\n    ok 1 x\n    not ok 2 y\nnot ok 1 b\n"
    cut = "suite c\n    ok 1 x\n"
    idle = "suite d\n    ok 1 x # SKIP no\nok 1 d\n"
    assert judge.kunit_suites(good + bad + cut + idle) == [
        ("a", 2, None), ("b", 1, "not ok 2 y"), ("c", 1, "no result"),
        ("d", 0, "no case ran")]


def outcome(booted=True, failures=(), steps=1, skip=None):
    made = judge.Outcome()
    made.booted = booted
    made.failures = list(failures)
    made.steps_done = steps
    made.skip = skip
    return made


def check_verdict():
    stated = [re.compile("BUG: stated")]
    assert judge.verdict(outcome(), [])[0]
    assert not judge.verdict(outcome(failures=["x"]), [])[0]
    assert not judge.verdict(outcome(steps=0), [])[0], "nothing ran"
    assert judge.verdict(outcome(failures=["BUG: stated"]), stated)[0]
    assert not judge.verdict(outcome(), stated)[0], "control passed"
    assert not judge.verdict(outcome(failures=["other"]), stated)[0]
    assert not judge.verdict(outcome(booted=False,
                                     failures=["BUG: stated"]), stated)[0]
    assert judge.verdict(outcome(skip="reason"), stated)[0]


def check_mistakes():
    for text, said in MISTAKES:
        answer = parse(text)
        assert isinstance(answer, str) and said in answer, (text, answer)


def check_plan():
    made = parse("about x\nnode 0 ram=1G\nnode 1\ndimm a 512M boot\n"
                 "dimm b 512M boot\ndimm c 1G align=1G\nguest true")
    assert [dimm.addr for dimm in made.dimms.values()] == [
        4 << 30, (4 << 30) + (512 << 20), 5 << 30]
    assert machine.memmap_arguments(made) == ["memmap=0x40000000@0x100000000"]
    assert [dimm.slot for dimm in made.dimms.values()] == [0, 1, 2]


def check_node_ranges():
    made = parse("about x\nmachine ram=4G\nnode 0 ram=3G\nnode 1 ram=1G\n"
                 "dimm a 512M ram node=1\ndimm b 512M ram node=1\n"
                 "dimm c 1G node=1 boot\nguest true")
    gib = 1 << 30
    assert [(node.number, start, end) for node, start, end in
            machine.node_ranges(made)] == [
                (0, 0, 2 * gib), (0, 4 * gib, 5 * gib), (1, 5 * gib, 6 * gib)]
    assert [dimm.addr for dimm in made.dimms.values()] == [
        5 * gib, 5 * gib + gib // 2, 6 * gib]
    assert machine.memmap_arguments(made) == ["memmap=0x40000000@0x180000000"]
    assert machine.srat_ram(made) + machine.srat_dimms(made) == [
        (0, 0, 0xa0000, False), (0, 1 << 20, 2 * gib, False),
        (0, 4 * gib, 5 * gib, False), (1, 5 * gib, 6 * gib, False),
        (1, 6 * gib, 7 * gib, True), (1, 7 * gib, 26 * gib, True)]
    assert machine.srat_cpus(made) == [(0, 0), (0, 1), (0, 2), (0, 3)]


def check_cpus():
    made = parse("about x\nnode 0 ram=1G\nnode 1\ncpu a node=1\ncpu b\n"
                 "dimm d 1G\n"
                 "machine smp=2 srat=own\nunplug a\nrepeat 5\nplug a\n"
                 "eject a\nend\nplug a\nonline a\noffline b\nneeds qemu 8")
    assert [step.verb for step in made.steps] == [
        "unplug-cpu", "repeat", "plug-cpu", "online-cpu", "offline-cpu"]
    assert [(cpu.number, cpu.acpi_name) for cpu in made.cpus.values()] == [
        (2, "C002"), (3, "C003")]
    assert machine.smp_argument(made) == (
        "cpus=2,maxcpus=10,sockets=10,cores=1,threads=1")
    assert machine.device_argument(machine.cpu_device(
        made.cpus["a"], "max,la57=off")) == (
            "max-x86_64-cpu,id=a,socket-id=2,core-id=0,thread-id=0")
    assert machine.srat_cpus(made) == [(0, 0), (0, 1), (1, 2), (0, 3)]


def check_version():
    assert machine.version("QEMU emulator version 7.2.22 (Debian)") == (7, 2)
    assert machine.version("QEMU emulator version 10.0.2") > (7, 2)
    assert machine.version("8") == (8, 0)
    assert machine.version("none") == (0, 0)
    made = parse("about x\nguest true")
    assert machine.qemu_needed(made) == (0, 0)
    assert machine.qemu(made) == machine.QEMU
    made = parse("about x\nneeds qemu 9999\nguest true")
    assert machine.qemu_needed(made) == (9999, 0)
    assert machine.qemu(made) == (machine.QEMU_NEWER or machine.QEMU)
    assert machine.qemu_version("/nonexistent") == (0, 0)


def check_options():
    with tempfile.TemporaryDirectory() as folder:
        kernel = os.path.join(folder, "bzImage")
        made = parse("about x\nneeds no-config KASAN\nneeds config NUMA\n"
                     "guest true")
        assert needs.built_options(kernel) is None
        assert needs.unmet_on_host(made, kernel) is None
        for text, reason in (
                ("CONFIG_KASAN_VMALLOC=y\nCONFIG_NUMA=y\n", None),
                ("CONFIG_NUMA=y\nCONFIG_KASAN=y\n",
                 "the kernel has CONFIG_KASAN"),
                ("# CONFIG_NUMA is not set\n",
                 "the kernel has no CONFIG_NUMA")):
            with open(os.path.join(folder, ".config"), "w",
                      encoding="ascii") as config:
                config.write(text)
            assert needs.unmet_on_host(made, kernel) == reason


def check_devices():
    made = parse("about x\nmachine ram=4G\nnode 0 ram=2G\n"
                 "node 1 ram=2G hotplug=on\ndimm a 512M ram node=1 acpi=MEM0\n"
                 "dimm b 512M ram node=1 acpi=MEM0\ndimm c 1G ram node=1\n"
                 "container CON0 MEM0\neject-refused CON0\nost MEM0 0\neject c")
    assert not made.numa
    for name, members in ("CON0", "ab"), ("a", "ab"), ("MEM0", "ab"), ("c", "c"):
        assert [dimm.name for dimm in made.members(name)] == list(members), name
    sizes = {"srat": 48 + 4 * 16 + 3 * 40}
    for name, source in machine.acpi_sources(made).items():
        data = compiled(name, source)
        assert data[:4] == name.upper().encode() and not sum(data) & 0xff
        assert len(data) == sizes.get(name, len(data))
    for name in b"MEM0", b"CON0", b"RM02":
        assert name in data, name


def compiled(name, source):
    """The table of @source."""
    if not shutil.which("iasl"):
        raise Skip("no iasl")
    with tempfile.TemporaryDirectory() as folder:
        with open(acpi.build(name, source, folder), "rb") as table:
            return table.read()


def check_bad_source():
    try:
        compiled("ssdt", "DefinitionBlock (wrong")
    except acpi.AcpiError as error:
        assert "Error" in str(error) and "\n" not in str(error), error
    else:
        raise AssertionError("iasl takes everything")


def check_acpi_events():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "events")
        with open(path, "w", encoding="ascii") as log:
            log.write("MEM0 ost 0103 84\nMEM0 eject 0 0\nCON0 o")
        assert acpi.events(path, 0) == [("MEM0", "ost", 0x103, 0x84),
                                        ("MEM0", "eject", 0, 0)]
        assert acpi.events(path, 2) == []


def check_dimm_window():
    gib = 1 << 30
    assert machine.dimm_window(1 * gib) == 4 * gib
    assert machine.dimm_window(2 * gib) == 4 * gib
    assert machine.dimm_window(3 * gib) == 5 * gib
    assert machine.dimm_window(64 * gib) == 66 * gib


def check_repository_scenarios():
    for name in scenarios.names():
        made = scenarios.load(name)
        machine.plan(made)
        if machine.acpi_sources(made):
            assert ("host-program", "iasl") in made.needs, name


def check_scribble():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "memory")
        with open(path, "wb") as memory:
            memory.truncate(4 << 20)
        used = {0x5000, (2 << 20) + 0x1000}
        scribble.overwrite(path, 4 << 20, used)
        assert scribble.changed(path, 4 << 20, used) == []
        with open(path, "r+b") as memory:
            for page in 0x5000, 0x7123, (4 << 20) - 1:
                memory.seek(page)
                memory.write(b"x")
        assert scribble.changed(path, 4 << 20, used) == [
            0x7000, (4 << 20) - 4096]


def check_cpio():
    with tempfile.TemporaryFile() as out:
        cpio = mkinitramfs.Cpio(out)
        cpio.text("a/b/c", "hello")
        cpio.finish()
        out.seek(0)
        data = out.read()
    assert data.count(b"070701") == 4 and len(data) % 4 == 0
    assert b"a/b/c\0" in data and b"hello" in data


CHECKS = [check_faults, check_patterns_used, check_harmless, check_boot_races,
          check_allowed, check_whole_lines, check_qemu_log, check_kunit,
          check_verdict, check_mistakes, check_plan, check_node_ranges,
          check_cpus, check_version, check_options, check_devices,
          check_bad_source, check_acpi_events, check_dimm_window,
          check_repository_scenarios, check_scribble, check_cpio]


def main():
    """Run all checks; 0 when none failed."""
    totals = {"pass": 0, "fail": 0, "skip": 0}
    print("KTAP version 1\n1..%d" % len(CHECKS))
    for number, check in enumerate(CHECKS, 1):
        result, word, reason = "pass", "ok", ""
        try:
            check()
        except Skip as error:
            result, reason = "skip", " # SKIP %s" % error
        except (AssertionError, acpi.AcpiError,
                scenarios.ScenarioError) as error:
            result, word = "fail", "not ok"
            print("# %s" % error)
        print("%s %d %s%s" % (word, number, check.__name__, reason))
        totals[result] += 1
    print("# Totals: pass:%(pass)d fail:%(fail)d xfail:0 xpass:0 skip:%(skip)d "
          "error:0" % totals)
    return 1 if totals["fail"] else 0
