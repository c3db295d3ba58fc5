# SPDX-License-Identifier: GPL-2.0
"""A QEMU q35 machine: where its DIMMs are, its command line, its process.

Lifecycle: plan() gives every DIMM a slot and an address, start() runs QEMU
with its sockets in a private folder, stop() ends it by its own pid: QMP quit
first, then SIGTERM, then SIGKILL. A stopped machine leaves only its logs.
"""

import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import acpi
import judge
from qmp import Qmp, QmpError
from scenario import ScenarioError

GIB = 1 << 30
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
# For scenarios that need a newer one than that.
QEMU_NEWER = os.environ.get("QEMU_NEWER")

# q35 puts this much RAM below 4 GiB; with more RAM than that, only 2 GiB.
Q35_LOW_RAM_MAX = 0xb0000000
Q35_LOW_RAM = 0x80000000

# An emulated timer comes too late for the check when the host is busy.
CMDLINE = ("console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 panic=-1 "
           "no_timer_check")

PR_SET_PDEATHSIG = 1


class MachineError(Exception):
    """QEMU could not be started or ended too early."""


def dimm_window(ram):
    """First address of the DIMM window of a q35 machine with @ram bytes."""
    low = ram if ram < Q35_LOW_RAM_MAX else Q35_LOW_RAM
    above = ram - low
    return (4 * GIB + above + GIB - 1) // GIB * GIB


def node_ranges(scenario):
    """[(node, start, end)] of the RAM of each node, in ascending order."""
    low = scenario.ram if scenario.ram < Q35_LOW_RAM_MAX else Q35_LOW_RAM
    ranges, start = [], 0
    for node in scenario.nodes:
        left = node.ram
        while left:
            size = min(left, low - start) if start < low else left
            ranges.append((node, start, start + size))
            left -= size
            start += size
            if start == low:
                start = 4 * GIB
    return ranges


def plan_ram(scenario):
    """DIMMs that are RAM follow each other from the start of their node's."""
    ranges = [(node.number, start, end)
              for node, start, end in node_ranges(scenario)]
    next_addr = {node: start for node, start, _ in reversed(ranges)}
    for dimm in scenario.dimms.values():
        if not dimm.ram:
            continue
        if dimm.addr is None:
            dimm.addr = next_addr.get(dimm.node, 0)
        if not any(dimm.node == node and start <= dimm.addr and dimm.end <= end
                   for node, start, end in ranges):
            raise ScenarioError("%s: dimm '%s' is not in the RAM of node %d" %
                                (scenario.name, dimm.name, dimm.node))
        next_addr[dimm.node] = dimm.end


def plan(scenario):
    """Give each DIMM the address that the guest will see."""
    plan_ram(scenario)
    next_addr = dimm_window(scenario.ram)
    for dimm in scenario.dimms.values():
        if dimm.ram:
            continue
        if dimm.node is None:
            dimm.node = scenario.nodes[-1].number
        if dimm.addr is None:
            align = dimm.align or min(dimm.size & -dimm.size, 128 << 20)
            dimm.addr = (next_addr + align - 1) // align * align
        next_addr = max(next_addr, dimm.end)


def memmap_arguments(scenario):
    """memmap= options that make the boot DIMMs part of the boot memory map."""
    ranges = []
    for dimm in sorted(scenario.dimms.values(), key=lambda dimm: dimm.addr):
        if not dimm.boot or dimm.ram:
            continue
        if ranges and ranges[-1][1] == dimm.addr:
            ranges[-1][1] = dimm.end
        else:
            ranges.append([dimm.addr, dimm.end])
    return ["memmap=%#x@%#x" % (end - start, start) for start, end in ranges]


def kernel_cmdline(scenario, extra=""):
    """The kernel command line, without arguments for init."""
    words = [CMDLINE]
    if scenario.memmap:
        words += memmap_arguments(scenario)
    words += [scenario.cmdline, extra]
    return " ".join(word for word in words if word)


def accelerator(accel):
    """QEMU arguments for 'tcg' or 'kvm'."""
    if accel == "kvm":
        return ["-accel", "kvm"]
    return ["-accel", "tcg,thread=multi"]


def cpu_argument(cpu, accel):
    """CPU model; 'max' means the host's own with KVM."""
    if accel == "kvm" and cpu.split(",")[0] == "max":
        return ",".join(["host"] + cpu.split(",")[1:])
    return cpu


def backend(name, size, path=None):
    """Properties of a RAM backend, as object-add has them.

    It takes no host memory before the guest touches it. With @path it is a
    file that others can see.
    """
    if path:
        return {"qom-type": "memory-backend-file", "id": name, "size": size,
                "mem-path": path, "share": True}
    return {"qom-type": "memory-backend-ram", "id": name, "size": size,
            "reserve": False}


def backend_argument(properties):
    """The same for -object."""
    words = [properties["qom-type"]]
    for key, value in properties.items():
        if key != "qom-type":
            word = value if not isinstance(value, bool) else (
                "on" if value else "off")
            words.append("%s=%s" % (key, word))
    return ",".join(words)


def shared_path(dimm, folder):
    """The file of a DIMM that is shared with this program."""
    return os.path.join(folder, dimm.name + ".memory")


def dimm_backend(dimm, folder):
    """Properties of the backend of @dimm."""
    return backend("mem-" + dimm.name, dimm.size,
                   shared_path(dimm, folder) if dimm.shared else None)


def device(dimm):
    """Properties of the pc-dimm device for @dimm, as device_add has them."""
    return {"driver": "pc-dimm", "id": dimm.name, "memdev": "mem-" + dimm.name,
            "node": dimm.node, "slot": dimm.slot, "addr": dimm.addr}


def cpu_plugs(steps):
    """How often a CPU is plugged."""
    return sum(cpu_plugs(step.body) * int(step.args[0])
               if step.verb == "repeat" else step.verb == "plug-cpu"
               for step in steps)


def max_cpus(scenario):
    """CPUs of the machine, and more for TCG.

    TCG has something for as many CPUs as there may be, and takes a new one
    each time that a CPU comes.
    """
    return scenario.smp + len(scenario.cpus) + cpu_plugs(scenario.steps)


def smp_argument(scenario):
    """A CPU that can be unplugged is a socket: nodes have whole sockets."""
    if not scenario.cpus:
        return str(scenario.smp)
    return "cpus=%d,maxcpus=%d,sockets=%d,cores=1,threads=1" % (
        scenario.smp, max_cpus(scenario), max_cpus(scenario))


def cpu_device(cpu, model):
    """Properties of the device for @cpu, as device_add has them."""
    return {"driver": model.split(",")[0] + "-x86_64-cpu", "id": cpu.name,
            "socket-id": cpu.number, "core-id": 0, "thread-id": 0}


def device_argument(properties):
    """The same for -device."""
    return ",".join(value if key == "driver" else "%s=%s" % (key, value)
                    for key, value in properties.items())


def node_arguments(scenario):
    """-m and -numa."""
    args = ["-m", "%dM,slots=%d,maxmem=%dM" % (scenario.ram >> 20,
                                               scenario.slots,
                                               scenario.maxmem >> 20)]
    for node in scenario.nodes:
        numa = "node,nodeid=%d" % node.number
        if node.ram:
            args += ["-object", backend_argument(
                backend("ram%d" % node.number, node.ram))]
            numa += ",memdev=ram%d" % node.number
        cpus = node_cpus(scenario, node)
        if cpus:
            numa += ",cpus=%s" % cpus
        if node.initiator is not None:
            numa += ",initiator=%d" % node.initiator
        args += ["-numa", numa]
    sockets = [(cpu.number, cpu.node) for cpu in scenario.cpus.values()]
    if sockets:
        # Those that never come have to be of a node, too.
        sockets += [(number, scenario.nodes[0].number) for number in
                    range(sockets[-1][0] + 1, max_cpus(scenario))]
    for number, node in sockets:
        args += ["-numa", "cpu,node-id=%d,socket-id=%d" % (node, number)]
    return args


def ram_arguments(scenario):
    """-m without -numa: QEMU makes no SRAT and has no slots for DIMMs."""
    return ["-m", "%dM" % (scenario.ram >> 20),
            "-machine", "memory-backend=ram",
            "-object", backend_argument(backend("ram", scenario.ram))]


def dimm_arguments(scenario, folder):
    """The DIMMs that are there at boot."""
    args = []
    for dimm in scenario.dimms.values():
        if dimm.boot and not dimm.ram:
            args += ["-object",
                     backend_argument(dimm_backend(dimm, folder))]
            args += ["-device", device_argument(device(dimm))]
    return args


def node_cpus(scenario, node):
    """CPUs of @node, such as 0-3; None when it has none."""
    if node.cpus is None and node is scenario.nodes[0]:
        return "0-%d" % (scenario.smp - 1)
    return node.cpus


def srat_cpus(scenario):
    """[(node, apic id)] of all CPUs."""
    cpus = []
    for node in scenario.nodes:
        first, _, last = (node_cpus(scenario, node) or "").partition("-")
        if first:
            cpus += [(node.number, cpu) for cpu in
                     range(int(first), int(last or first) + 1)]
    return cpus + [(cpu.node, cpu.number) for cpu in scenario.cpus.values()]


def srat_ram(scenario):
    """[(node, start, end, hotpluggable)] of RAM."""
    memory = []
    for node, start, end in node_ranges(scenario):
        if start == 0:  # the hole for devices of the PC
            memory.append((node.number, 0, 0xa0000, node.hotplug))
            start = 1 << 20
        memory.append((node.number, start, end, node.hotplug))
    return memory


def srat_dimms(scenario):
    """The same of DIMMs, and of room for them, which is of the last node."""
    memory = []
    at = dimm_window(scenario.ram)
    end = at + scenario.maxmem - scenario.ram + scenario.slots * GIB
    last = scenario.nodes[-1].number
    for dimm in sorted(scenario.dimms.values(), key=lambda dimm: dimm.addr):
        if dimm.ram:
            continue
        if dimm.addr > at:
            memory.append((last, at, dimm.addr, True))
        memory.append((dimm.node, dimm.addr, dimm.end, True))
        at = dimm.end
    memory.append((last, at, end, True))
    return memory


def acpi_sources(scenario):
    """{name: source} of the tables that QEMU does not make."""
    sources = {}
    if scenario.own_srat:
        memory = srat_ram(scenario)
        if scenario.numa:
            memory += srat_dimms(scenario)
        sources["srat"] = acpi.srat(srat_cpus(scenario), memory)
    ram = [dimm for dimm in scenario.dimms.values() if dimm.ram]
    if ram:
        sources["ssdt"] = acpi.ssdt(ram, scenario.containers)
    return sources


def qemu(scenario):
    """The program for @scenario."""
    if QEMU_NEWER and qemu_version(QEMU) < qemu_needed(scenario):
        return QEMU_NEWER
    return QEMU


def qemu_needed(scenario):
    """(major, minor) of the oldest QEMU that @scenario can do with."""
    return max((version(what) for kind, what in scenario.needs
                if kind == "qemu"), default=(0, 0))


@functools.lru_cache(maxsize=None)
def qemu_version(program):
    """(major, minor) of a QEMU, (0, 0) when there is none."""
    return version(_output([program, "--version"]))


def _output(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except OSError:
        return ""
    return done.stdout.decode(errors="replace")


def version(text):
    """(major, minor) of a text such as 'QEMU emulator version 7.2.22'."""
    match = re.search(r"(\d+)(?:\.(\d+))?", text)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


@functools.lru_cache(maxsize=None)
def log_items(program):
    """What QEMU logs accesses to unplugged addresses under; 8.0 split it."""
    if "invalid_mem" in _output([program, "-d", "help"]):
        return "guest_errors,invalid_mem"
    return "guest_errors"


def die_with_parent():
    """In the child: end QEMU even when this program is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    """One QEMU process and its logs under @out."""

    def __init__(self, scenario, kernel, initramfs, out, accel="tcg",
                 extra_cmdline="", init_args="", terminal=False):
        self.scenario = scenario
        self.kernel = kernel
        self.initramfs = initramfs
        self.out = out
        self.accel = accel
        self.terminal = terminal
        self.cmdline = kernel_cmdline(scenario, extra_cmdline)
        if init_args:
            self.cmdline += " -- " + init_args
        self.acpi_path = os.path.join(out, "acpi-events")
        self.acpi_seen = 0
        self.tables = []
        self.console_path = os.path.join(out, "console.log")
        self.qemu_log_path = os.path.join(out, "qemu.log")
        self.process = None
        self.qmp = None
        self.folder = None
        self.stderr = None
        self.qmp_log = None

    def arguments(self):
        """The whole QEMU command line."""
        scenario = self.scenario
        program = qemu(scenario)
        args = [program, "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-machine", "q35"]
        args += accelerator(self.accel)
        args += ["-cpu", self.cpu_model(), "-smp", smp_argument(scenario)]
        args += (node_arguments(scenario) if scenario.numa
                 else ram_arguments(scenario))
        args += dimm_arguments(scenario, self.folder)
        for cpu in scenario.cpus.values():
            args += ["-device", device_argument(
                cpu_device(cpu, self.cpu_model()))]
        args += self.tables
        args += ["-qmp", "unix:%s,server=on,wait=off" % self.path("qmp")]
        args += self._console()
        args += ["-chardev", "socket,id=agent,path=%s,server=on,wait=off" %
                 self.path("agent"), "-serial", "chardev:agent"]
        if any(dimm.ram for dimm in scenario.dimms.values()):
            args += ["-chardev", "file,id=acpi,path=%s" % self.acpi_path,
                     "-device", "isa-debugcon,iobase=%#x,chardev=acpi" %
                     acpi.EVENT_PORT]
        args += ["-d", log_items(program), "-D", self.qemu_log_path]
        args += scenario.qemu
        args += ["-kernel", self.kernel, "-initrd", self.initramfs,
                 "-append", self.cmdline]
        return args

    def cpu_model(self):
        """CPU model and features of all CPUs."""
        return cpu_argument(self.scenario.cpu, self.accel)

    def _console(self):
        if self.terminal:
            return ["-chardev", "stdio,id=console,signal=off",
                    "-serial", "chardev:console",
                    "-qmp", "unix:%s,server=on,wait=off" % self.path("user")]
        return ["-chardev", "file,id=console,path=%s" % self.console_path,
                "-serial", "chardev:console"]

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        """Start QEMU; return when its monitor answers."""
        os.makedirs(self.out, exist_ok=True)
        for name in ("console.log", "qemu.log", "qmp.log"):
            with open(os.path.join(self.out, name), "wb"):
                pass
        self.folder = tempfile.mkdtemp(prefix="vmtest.")
        self._add_tables()
        args = self.arguments()
        self.stderr = open(os.path.join(self.out, "qemu.stderr"), "wb")
        self.qmp_log = open(os.path.join(self.out, "qmp.log"), "w",
                            encoding="utf-8")
        with open(os.path.join(self.out, "qemu.args"), "w",
                  encoding="utf-8") as log:
            log.write("\n".join(args) + "\n")
        streams = {} if self.terminal else {"stdin": subprocess.DEVNULL,
                                            "stdout": self.stderr}
        self.process = subprocess.Popen(
            args, stderr=self.stderr, start_new_session=not self.terminal,
            preexec_fn=die_with_parent, **streams)
        self.qmp = self._connect(
            "qmp", lambda path: Qmp(path, self.qmp_log))
        self.qmp.negotiate()

    def _add_tables(self):
        """Hand them to QEMU; but an SRAT is in the way of one that it makes."""
        try:
            for name, source in acpi_sources(self.scenario).items():
                table = acpi.build(name, source, self.out)
                if name == "srat" and self.scenario.numa:
                    acpi.override(self.path("initrd"), self.initramfs, table)
                    self.initramfs = self.path("initrd")
                else:
                    self.tables += ["-acpitable", "file=" + table]
        except acpi.AcpiError as error:
            raise MachineError(str(error)) from error

    def acpi_events(self):
        """New (device, what, source, status) of memory devices in the SSDT."""
        if not os.path.exists(self.acpi_path):
            return []
        events = acpi.events(self.acpi_path, self.acpi_seen)
        self.acpi_seen += len(events)
        return events

    def agent_socket(self):
        """A connected socket to the guest's second serial port."""
        def connect(path):
            agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            agent.connect(path)
            return agent
        return self._connect("agent", connect)

    def _connect(self, name, connect):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not self.alive():
                raise MachineError("QEMU ended: %s" % self._stderr_text())
            try:
                return connect(self.path(name))
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.02)
        raise MachineError("QEMU opened no '%s' socket" % name)

    def _stderr_text(self):
        path = os.path.join(self.out, "qemu.stderr")
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = log.read().strip().splitlines()
        return lines[-1] if lines else "status %s" % self.process.returncode

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def console(self):
        """The console so far: while the machine lives, its whole lines.

        Half a line can look like a fault that the whole one is not.
        """
        alive = self.alive()
        text = self._read(self.console_path)
        return judge.whole_lines(text) if alive else text

    def qemu_log(self):
        """What QEMU logged about the guest so far."""
        return self._read(self.qemu_log_path)

    @staticmethod
    def _read(path):
        try:
            with open(path, encoding="utf-8", errors="replace",
                      newline="") as log:
                return log.read().replace("\r", "")
        except FileNotFoundError:
            return ""

    def settle(self):
        """Let the guest finish what it is writing, so no splat is cut off."""
        sizes = []
        for _ in range(12):
            sizes.append(len(self._read(self.console_path)))
            if sizes[-3:] == sizes[-1:] * 3 or not self.alive():
                return
            time.sleep(0.3)

    def stop(self):
        """End QEMU, by this process's pid only, and remove the sockets."""
        if self.process is not None:
            self._end_process()
        if self.qmp:
            self.qmp.close()
        for log in (self.stderr, self.qmp_log):
            if log:
                log.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end_process(self):
        if self.alive() and self.qmp:
            try:
                self.qmp.command("quit", timeout=3)
            except (QmpError, OSError):
                pass
        for end in (None, self.process.terminate, self.process.kill):
            if end and self.alive():
                end()
            try:
                self.process.wait(timeout=3)
                return
            except subprocess.TimeoutExpired:
                continue
