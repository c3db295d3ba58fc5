# SPDX-License-Identifier: GPL-2.0
"""Scenarios: the text files under scenarios/, read into plain data.

The grammar is described in README. This file only knows its shape: which
words exist, how many arguments they take and where a number or a size is
expected. What a step does is in steps.py.
"""

import os
import re
import shlex

SCENARIO_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                            "scenarios")

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# Step verbs: (fewest arguments, most arguments, last one takes the whole rest)
VERBS = {
    "guest": (1, 1, True),
    "guest!": (1, 1, True),
    "report": (1, 1, True),
    "spawn": (2, 2, True),
    "stop": (1, 1, False),
    "wait": (1, 1, False),
    "running": (1, 1, False),
    "ready": (1, 1, False),
    "plug": (1, 1, False),
    "try-plug": (1, 1, False),
    "replug": (2, 2, False),
    "unplug": (1, 1, False),
    "try-unplug": (1, 1, False),
    "unplug-refused": (1, 2, True),
    "eject": (1, 1, False),
    "eject-refused": (1, 2, True),
    "ost": (2, 2, False),
    "online": (1, 2, False),
    "offline": (1, 1, False),
    "save": (1, 1, False),
    "same": (2, 9, False),
    "gone": (1, 1, False),
    "unmapped": (1, 2, False),
    "mapped": (1, 2, False),
    "scribble": (1, 1, False),
    "untouched": (1, 1, False),
    "directmap": (0, 0, False),
    "count": (2, 2, False),
    "console": (1, 1, True),
    "no-console": (1, 1, True),
    "console-count": (2, 2, True),
    "kunit": (0, 1, True),
    "sleep": (1, 1, False),
    "repeat": (1, 3, False),
    "end": (0, 0, False),
}


class ScenarioError(Exception):
    """A scenario file that cannot be understood; the text names the line."""


def parse_size(text):
    """Bytes of a size such as 512M, 0x1000 or 1G."""
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([KMGT]?)", text)
    if not match:
        raise ValueError("'%s' is not a size" % text)
    return int(match.group(1), 0) * UNITS[match.group(2)]


class Dimm:
    """A DIMM: on the command line (boot) or plugged later by a step.

    It can also be a part of a node's RAM (ram), which belongs to a memory
    device (acpi) in an SSDT; that is there at boot.
    """

    def __init__(self, name, size, slot):
        self.name = name
        self.size = size
        self.node = None
        self.slot = slot
        self.addr = None
        self.align = None
        self.boot = False
        self.ram = False
        self.shared = False
        self.acpi = None

    @property
    def end(self):
        return self.addr + self.size

    @property
    def acpi_name(self):
        """Last part of the ACPI path: a name of ours, or QEMU's name."""
        return self.acpi or "%s%02X" % ("RM" if self.ram else "MP", self.slot)


class Cpu:
    """A CPU that is there at boot, and can be unplugged and come back."""

    def __init__(self, name):
        self.name = name
        self.node = 0
        self.number = None

    @property
    def acpi_name(self):
        """Last part of the ACPI path, QEMU's name."""
        return "C%03X" % self.number


class Node:
    """A NUMA node of the machine."""

    def __init__(self, number):
        self.number = number
        self.ram = 0
        self.cpus = None
        self.initiator = None
        self.hotplug = False


class Step:
    """One line to be done; a repeat holds the lines up to its end."""

    def __init__(self, verb, args, line, text):
        self.verb = verb
        self.args = args
        self.line = line
        self.text = text
        self.body = []


class Scenario:
    """What a file says, nothing derived except the shape of the machine."""

    def __init__(self, name):
        self.name = name
        self.about = ""
        self.ram = 1 << 30
        self.maxmem = 16 << 30
        self.slots = 8
        self.smp = 4
        self.cpu = "max"
        self.memmap = True
        self.srat = False
        self.qemu = []
        self.nodes = []
        self.dimms = {}
        self.cpus = {}
        self.containers = {}
        self.cmdline = ""
        self.timeout = 60
        self.needs = []
        self.control = None
        self.fails = []
        self.allow_console = []
        self.allow_qemu = []
        self.steps = []

    @property
    def own_srat(self):
        """Whether QEMU's SRAT is not what the scenario says."""
        return (self.srat or any(node.hotplug for node in self.nodes) or
                any(dimm.ram for dimm in self.dimms.values()))

    @property
    def numa(self):
        """Whether QEMU has to know the nodes; it makes an SRAT of them."""
        return not (self.own_srat and
                    all(dimm.ram for dimm in self.dimms.values()))

    def members(self, name):
        """DIMMs that leave with @name: a DIMM, ACPI device or container."""
        if name in self.dimms:
            name = self.dimms[name].acpi_name
        devices = self.containers.get(name, [name])
        return [dimm for dimm in self.dimms.values()
                if dimm.acpi_name in devices]


class Parser:
    """Reads one file, line by line."""

    def __init__(self, name, path):
        self.path = path
        self.number = 0
        self.scenario = Scenario(name)
        self.open_blocks = [self.scenario.steps]

    def parse(self):
        with open(self.path, encoding="utf-8") as source:
            for self.number, line in enumerate(source, 1):
                line = line.strip()
                if line and not line.startswith("#"):
                    self._line(line)
        self._finish()
        return self.scenario

    def _fail(self, message):
        raise ScenarioError("%s:%d: %s" % (os.path.basename(self.path),
                                           self.number, message))

    def _line(self, line):
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        header = getattr(self, "_head_" + word.replace("-", "_"), None)
        try:
            if header:
                header(rest)
            elif word in VERBS:
                self._step(word, rest, line)
            else:
                self._fail("unknown word '%s'" % word)
        except ValueError as error:
            self._fail(str(error))

    def _step(self, verb, rest, line):
        fewest, most, greedy = VERBS[verb]
        if greedy:
            args = rest.split(None, most - 1) if rest else []
        else:
            args = shlex.split(rest)
        if not fewest <= len(args) <= most:
            self._fail("'%s' takes %d to %d arguments" % (verb, fewest, most))
        if verb == "end":
            if len(self.open_blocks) == 1:
                self._fail("'end' without 'repeat'")
            self.open_blocks.pop()
            return
        step = Step(verb, args, self.number, line)
        if verb in ("plug", "unplug", "eject", "online", "offline") and \
           args[0] in self.scenario.cpus:
            step.verb += "-cpu"
        elif verb == "online" and len(args) != 2:
            self._fail("'online DIMM' takes movable, kernel or any")
        self.open_blocks[-1].append(step)
        if verb == "repeat":
            int(args[0])
            if args[1:] and (len(args) != 3 or args[1] != "until-gone"):
                self._fail("'repeat' is followed by N [until-gone DIMM]")
            self.open_blocks.append(step.body)
        self._check_dimm(step)

    def _check_dimm(self, step):
        by_verb = ("plug", "replug", "unplug", "try-unplug", "unplug-refused",
                   "online", "offline", "gone", "mapped", "unmapped",
                   "scribble", "untouched")
        by_device = ("eject", "eject-refused", "ost")
        name = None
        if step.verb in by_verb + by_device:
            name = step.args[0]
        elif step.verb == "repeat" and len(step.args) == 3:
            name = step.args[2]
        if name is None or name in self.scenario.dimms:
            return
        if step.verb not in by_device or not self.scenario.members(name):
            self._fail("no dimm is called '%s'" % name)

    def _head_about(self, rest):
        self.scenario.about = rest

    def _head_machine(self, rest):
        for key, value in self._pairs(rest):
            if key in ("ram", "maxmem"):
                setattr(self.scenario, key, parse_size(value))
            elif key in ("slots", "smp"):
                setattr(self.scenario, key, int(value))
            elif key == "cpu":
                self.scenario.cpu = value
            elif key == "memmap":
                self.scenario.memmap = value != "off"
            elif key == "srat":
                self.scenario.srat = value == "own"
            else:
                self._fail("machine has no '%s'" % key)

    def _head_qemu(self, rest):
        self.scenario.qemu += shlex.split(rest)

    def _head_node(self, rest):
        number, _, rest = rest.partition(" ")
        node = Node(int(number))
        for key, value in self._pairs(rest):
            if key == "ram":
                node.ram = parse_size(value)
            elif key == "cpus":
                node.cpus = value
            elif key == "initiator":
                node.initiator = int(value)
            elif key == "hotplug":
                node.hotplug = value == "on"
            else:
                self._fail("node has no '%s'" % key)
        self.scenario.nodes.append(node)

    def _head_dimm(self, rest):
        words = shlex.split(rest)
        if len(words) < 2:
            self._fail("'dimm' takes a name and a size")
        dimm = Dimm(words[0], parse_size(words[1]), len(self.scenario.dimms))
        for word in words[2:]:
            key, _, value = word.partition("=")
            if word == "boot":
                dimm.boot = True
            elif word == "ram":
                dimm.boot = dimm.ram = True
            elif word == "shared":
                dimm.shared = True
            elif key in ("node", "slot"):
                setattr(dimm, key, int(value))
            elif key in ("addr", "align"):
                setattr(dimm, key, parse_size(value))
            elif key == "acpi":
                dimm.acpi = self._acpi_name(value)
            else:
                self._fail("dimm has no '%s'" % word)
        self._check_ram(dimm)
        self._new_name(dimm.name)
        self.scenario.dimms[dimm.name] = dimm

    def _head_cpu(self, rest):
        name, _, rest = rest.partition(" ")
        self._new_name(name)
        cpu = Cpu(name)
        for key, value in self._pairs(rest):
            if key != "node":
                self._fail("cpu has no '%s'" % key)
            cpu.node = int(value)
        self.scenario.cpus[name] = cpu

    def _new_name(self, name):
        if not name or name in self.scenario.dimms or \
           name in self.scenario.cpus:
            self._fail("dimm or cpu '%s' is there twice" % name)

    def _check_ram(self, dimm):
        if dimm.ram and dimm.node is None:
            self._fail("dimm '%s' is ram of no node" % dimm.name)
        if dimm.acpi and not dimm.ram:
            self._fail("dimm '%s' has acpi= and is not ram" % dimm.name)
        for other in self.scenario.members(dimm.acpi):
            if other.node != dimm.node:
                self._fail("%s is on two nodes" % dimm.acpi)

    def _head_container(self, rest):
        words = [self._acpi_name(word) for word in shlex.split(rest)]
        devices = {dimm.acpi for dimm in self.scenario.dimms.values()}
        if len(words) < 2 or not devices.issuperset(words[1:]):
            self._fail("'container' takes a name, and names after acpi=")
        containers = self.scenario.containers
        known = sum(containers.values(), list(containers)) + words
        if len(set(known)) < len(known) or words[0] in devices:
            self._fail("a device or container is there twice")
        containers[words[0]] = words[1:]

    def _acpi_name(self, word):
        if not re.fullmatch("[A-Z][A-Z0-9]{3}", word):
            self._fail("'%s' is no name of four letters and digits" % word)
        return word

    def _head_cmdline(self, rest):
        self.scenario.cmdline = (self.scenario.cmdline + " " + rest).strip()

    def _head_timeout(self, rest):
        self.scenario.timeout = int(rest)

    def _head_needs(self, rest):
        kind, _, what = rest.partition(" ")
        if kind not in ("config", "no-config", "cpu", "symbol", "file",
                        "program", "host-mem", "host-program",
                        "qemu") or not what:
            self._fail("'needs' is followed by config, no-config, cpu, symbol, "
                       "file, program, host-mem, host-program or qemu, and a "
                       "name or number")
        self.scenario.needs.append((kind, what.strip()))

    def _head_control(self, rest):
        verdict, _, pattern = rest.partition(" ")
        if verdict == "passes":
            self.scenario.control = []
        elif verdict == "fails" and pattern:
            self.scenario.control = (self.scenario.control or [])
            self.scenario.control.append(self._regex(pattern))
        else:
            self._fail("'control' is followed by 'passes' or 'fails REGEX'")

    def _head_fails(self, rest):
        self.scenario.fails.append(self._regex(rest))

    def _head_allow(self, rest):
        where, _, pattern = rest.partition(" ")
        if where == "console":
            self.scenario.allow_console.append(self._regex(pattern))
        elif where == "qemu":
            self.scenario.allow_qemu.append(self._regex(pattern))
        else:
            self._fail("'allow' is followed by console or qemu, and a regex")

    def _regex(self, pattern):
        try:
            return re.compile(pattern.strip())
        except re.error as error:
            return self._fail("'%s': %s" % (pattern, error))

    def _pairs(self, rest):
        for word in shlex.split(rest):
            key, equals, value = word.partition("=")
            if not equals:
                self._fail("'%s' is not KEY=VALUE" % word)
            yield key, value

    def _finish(self):
        scenario = self.scenario
        if len(self.open_blocks) != 1:
            self._fail("'repeat' without 'end'")
        if not scenario.about:
            self._fail("no 'about' line")
        if not scenario.steps:
            self._fail("no steps: a scenario that does nothing proves nothing")
        if not scenario.nodes:
            node = Node(0)
            node.ram = scenario.ram
            scenario.nodes.append(node)
        if sum(node.ram for node in scenario.nodes) != scenario.ram:
            self._fail("the nodes' ram does not add up to machine ram")
        self._finish_cpus()

    def _finish_cpus(self):
        """CPUs that can be unplugged come after those that cannot."""
        scenario = self.scenario
        nodes = [node.number for node in scenario.nodes]
        for number, cpu in enumerate(scenario.cpus.values(), scenario.smp):
            if cpu.node not in nodes:
                self._fail("cpu '%s' is of no node" % cpu.name)
            if not scenario.numa:
                self._fail("QEMU does not know the node of cpu '%s'" % cpu.name)
            cpu.number = number


def names():
    """Names of all scenarios, sorted."""
    return sorted(name for name in os.listdir(SCENARIO_DIR)
                  if not name.startswith("."))


def load(name):
    """The scenario called @name, or a file when @name has a slash."""
    path = name if "/" in name else os.path.join(SCENARIO_DIR, name)
    return Parser(os.path.basename(name), path).parse()
