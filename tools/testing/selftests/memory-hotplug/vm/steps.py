# SPDX-License-Identifier: GPL-2.0
"""What the steps of a scenario do.

Each verb is a method do_VERB. A step that is not true raises StepError with
one line that says what was expected and what was there instead. Waiting is
always in wait_for(), which gives up at once when the console shows a fault,
so a crashed guest costs no time.
"""

import re
import time

import judge
import pgtable
import scribble
from guest import GuestError
from machine import cpu_device, device, dimm_backend, shared_path
from qmp import QmpError

# _OST source and status codes of the ACPI specification: an eject that the
# platform asked for, one that the OS asked for, done, and still being done.
OST_EJECT_SOURCES = (0x3, 0x103)
OST_SUCCESS = 0
OST_EJECT_IN_PROGRESS = 0x84


class StepError(Exception):
    """A step found something else than what it expects."""


class Interrupted(Exception):
    """The user, or the time limit of the scenario, ended the run."""


class Run:
    """A booted machine on which steps are done, one after the other."""

    def __init__(self, scenario, machine, guest, outcome, limits):
        self.scenario = scenario
        self.machine = machine
        self.guest = guest
        self.outcome = outcome
        self.limits = limits
        self.saved = {}
        self.scribbled = {}
        # By names in ACPI: _OST status codes since the last request to eject,
        # what has gone, and what the guest has answered an insertion of.
        self.ost = {}
        self.inserted = set()
        self.ejected = set()
        self.plugged = {name for name, dimm in scenario.dimms.items()
                        if dimm.boot}
        self.backends = set(self.plugged)
        self.plugged.update(scenario.cpus)
        self.tables = None
        self.directmap_error = None
        self.index = []

    # Sequence

    def steps(self, steps):
        """Do @steps; stop at the first that is not true."""
        for step in steps:
            self.limits.check()
            if step.verb == "repeat":
                self._repeat(step)
                continue
            try:
                self._do(step)
            except (StepError, GuestError, QmpError) as error:
                raise StepError("line %d, `%s`%s: %s" % (
                    step.line, step.text, self._round(), error)) from error
            self.outcome.steps_done += 1

    def _do(self, step):
        name = step.verb.replace("-", "_").replace("!", "_fails")
        args = [self._expand(arg) for arg in step.args]
        getattr(self, "do_" + name)(*args)
        self.no_faults()

    def _repeat(self, step):
        count = int(step.args[0])
        until = step.args[2] if len(step.args) == 3 else None
        for index in range(count):
            self.index.append(index)
            self.steps(step.body)
            self.index.pop()
            if until and until not in self.plugged:
                self.note("%s was gone after %d rounds" % (until, index + 1))
                return
        if until:
            raise StepError("line %d, `%s`: %s is still there after %d rounds"
                            % (step.line, step.text, until, count))

    def _round(self):
        if not self.index:
            return ""
        return " in round %s" % ".".join(str(i) for i in self.index)

    def _expand(self, text):
        return re.sub(r"\{(\w+)(?:\.(\w+))?\}", self._fact, text)

    def _fact(self, match):
        name, fact = match.groups()
        if name == "i" and not fact and self.index:
            return str(self.index[-1])
        if name in self.scenario.cpus and fact == "number":
            return str(self.scenario.cpus[name].number)
        dimm = self.scenario.dimms.get(name)
        if not dimm or not fact:
            return match.group(0)
        if fact == "nid":
            return str(self.guest.dimm_node(dimm))
        if fact == "acpi":
            return self.guest.acpi_device(dimm.acpi_name)
        if fact == "blocks":
            return " ".join(str(b) for b in self.guest.dimm_blocks(dimm))
        if fact == "kcore":
            return str(self.guest.layout().kcore_offset(dimm))
        if fact in ("addr", "end", "size"):
            return "%#x" % getattr(dimm, fact)
        raise StepError("a dimm has no '%s'" % fact)

    def dimm(self, name):
        return self.scenario.dimms[name]

    def acpi_name(self, name):
        """Of a DIMM or CPU; a device or container has it already."""
        one = self.scenario.dimms.get(name) or self.scenario.cpus.get(name)
        return one.acpi_name if one else name

    def note(self, text):
        self.outcome.notes.append(text)

    # Waiting and watching

    def faults(self):
        return judge.console_faults(self.machine.console(),
                                    self.scenario.allow_console)

    def no_faults(self):
        faults = self.faults()
        if faults:
            raise StepError("console: %s" % faults[0])

    def pulse(self):
        """Called while waiting: the limit, QEMU's life, the console."""
        self.limits.check()
        if not self.machine.alive():
            raise StepError("QEMU ended")
        self.no_faults()

    def wait_for(self, what, condition, seconds=None):
        """Poll @condition until it gives something true; return that."""
        seconds = self.limits.scaled(seconds or 20)
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            self.pulse()
            if time.monotonic() > deadline:
                raise StepError("no %s within %d s" % (what, seconds))
            self.machine.qmp.poll(0.05)

    def listen(self):
        """Remember what QEMU, and devices of our own, said since last time."""
        for event in self.machine.qmp.take_events():
            data = event.get("data", {})
            if event["event"] == "ACPI_DEVICE_OST":
                self._slot_heard(data["info"])
            elif event["event"] == "DEVICE_DELETED":
                name = data.get("device") or data["path"].split("/")[-1]
                self.ejected.add(self.acpi_name(name))
        for event in self.machine.acpi_events():
            self._heard(*event)

    def _slot_heard(self, info):
        cpu = info["slot-type"] == "CPU"
        device = ("C%03X" if cpu else "MP%02X") % int(info["slot"])
        self._heard(device, "ost", info["source"], info["status"])
        # QEMU 10 keeps a CPU that has left: no DEVICE_DELETED names it.
        if cpu and "device" not in info:
            self.ejected.add(device)

    def _heard(self, device, what, source, status):
        if what == "eject":
            self.ejected.add(device)
            self.plugged.difference_update(
                dimm.name for dimm in self.scenario.members(device))
        elif source in OST_EJECT_SOURCES:
            self.ost.setdefault(device, []).append(status)
        else:
            self.inserted.add(device)

    def present(self, dimm):
        if dimm.ram:
            return dimm.name in self.plugged
        devices = self.machine.qmp.command("query-memory-devices")
        return any(dev["data"].get("id") == dimm.name for dev in devices)

    # Commands in the guest

    def do_guest(self, command):
        status, output = self.guest.run(command)
        if status:
            raise StepError("status %d: %s" % (
                status, " / ".join(judge.tail(output, 4)) or "no output"))
        return output

    def do_guest_fails(self, command):
        status, output = self.guest.run(command)
        if not status:
            raise StepError("succeeded: %s" % output[-200:])

    def do_report(self, command):
        for line in self.do_guest(command).splitlines():
            self.note("data: %s" % line)

    def do_spawn(self, name, command):
        self.do_guest("spawn %s %s" % (name, _quote(command)))

    def do_stop(self, name):
        self._collect("stop", name)

    def do_wait(self, name):
        self._collect("wait", name)

    def do_running(self, name):
        self.do_guest("spawned running %s" % name)

    def do_ready(self, name):
        self.do_guest("spawned ready %s" % name)

    def _collect(self, verb, name):
        for line in self.do_guest("spawned %s %s" % (verb, name)).splitlines():
            self.note("%s: %s" % (name, line))

    def do_sleep(self, seconds):
        deadline = time.monotonic() + float(seconds)
        while time.monotonic() < deadline:
            self.pulse()
            time.sleep(0.05)

    # DIMMs from outside

    def _insert(self, dimm):
        qmp = self.machine.qmp
        if dimm.name not in self.backends:
            qmp.command("object-add",
                        **dimm_backend(dimm, self.machine.folder))
            self.backends.add(dimm.name)
        qmp.command("device_add", **device(dimm))
        self.plugged.add(dimm.name)

    def do_plug(self, name):
        dimm = self.dimm(name)
        self._insert(dimm)
        first = self.guest.dimm_blocks(dimm)[0]
        self.wait_for("memory%d in sysfs" % first,
                      lambda: self._blocks_there(dimm))
        self._settle()

    def do_try_plug(self, name):
        """The memory is there, or everything is as before: then take it out."""
        dimm = self.dimm(name)
        before = self._before()
        before["nodes"] = self._state("nodes")
        self._forget(dimm.acpi_name)
        self._insert(dimm)
        self.wait_for("_OST for the insertion of %s" % name,
                      lambda: self._insertion_ended(dimm))
        self._settle()
        if self._blocks_there(dimm):
            return
        for what in before:
            self._compare(what, before[what], self._state(what))
        self._request(name)
        self._must_go(name)

    def _insertion_ended(self, dimm):
        self.listen()
        return dimm.acpi_name in self.inserted

    def do_replug(self, name, kind):
        """Plug the DIMM when it is not there, and online its memory."""
        if name not in self.plugged:
            self.do_plug(name)
        self.do_online(name, kind)

    def _blocks_there(self, dimm):
        blocks = self.guest.blocks()
        return all(block in blocks for block in self.guest.dimm_blocks(dimm))

    def _forget(self, device):
        """What is heard of it from now on is about the next request."""
        self.listen()
        self.ost[device] = []
        self.ejected.discard(device)
        self.inserted.discard(device)

    def _request(self, name):
        if self.dimm(name).ram:
            raise StepError("%s is RAM: only the guest can eject it" % name)
        self._forget(self.acpi_name(name))
        self.machine.qmp.command("device_del", id=name)

    def _guest_request(self, name):
        device = self.acpi_name(name)
        self._forget(device)
        self.do_guest("echo 1 > /sys/bus/acpi/devices/%s/eject" %
                      self.guest.acpi_device(device))

    def _answer(self, name):
        """Wait for the end of an eject: 'gone', or 'refused'."""
        device = self.acpi_name(name)

        def answer():
            self.listen()
            if device in self.ejected:
                return "gone"
            if set(self.ost[device]) - {OST_SUCCESS, OST_EJECT_IN_PROGRESS}:
                return "refused"
            return None
        return self.wait_for("DEVICE_DELETED and no refusal of %s" % name,
                             answer, 40)

    def _ost_text(self, name):
        return " ".join("%#x" % status
                        for status in self.ost.get(self.acpi_name(name), []))

    def _must_go(self, name):
        if self._answer(name) != "gone":
            raise StepError("refused, _OST status %s" % self._ost_text(name))
        dimms = self.scenario.members(name)
        if dimms[0].ram:
            self._must_end_well(name)
        for dimm in dimms:
            self._after_eject(dimm)

    def _must_end_well(self, name):
        """The last word of the guest, after the device has gone, is success."""
        def success():
            self.listen()
            return self.ost[self.acpi_name(name)][-1:] == [OST_SUCCESS]
        self.wait_for("_OST success after the eject of %s" % name, success)

    def _after_eject(self, dimm):
        self.plugged.discard(dimm.name)
        if not dimm.ram:
            self.wait_for("removal of %s's backend" % dimm.name,
                          lambda: self._delete_backend(dimm), 5)
        self.wait_for("end of %s's ACPI device" % dimm.name,
                      lambda: not self._left(dimm), 5)
        self.do_gone(dimm.name)

    def _delete_backend(self, dimm):
        try:
            self.machine.qmp.command("object-del", id="mem-" + dimm.name)
        except QmpError as error:
            if "in use" in str(error):
                return False
            raise
        self.backends.discard(dimm.name)
        return True

    def _must_stay(self, name, before, pattern):
        if self._answer(name) == "gone":
            raise StepError("it was ejected")
        for dimm in self.scenario.members(name):
            if not self.present(dimm):
                raise StepError("refused, but %s is gone" % dimm.name)
        self._settle()
        self._compare("blocks", before["blocks"], self._state("blocks"))
        self._compare("memtotal", before["memtotal"], self._state("memtotal"))
        if pattern:
            self.do_console(pattern)

    def _settle(self):
        """Wait for the hotplug work to end: it holds the lock that this takes.

        The block is online already, so the write is refused.
        """
        self.guest.run("cd /sys/devices/system/memory/memory0; "
                       "[ $(cat state) = online ] && echo online > state")

    def _before(self):
        return {what: self._state(what) for what in ("blocks", "memtotal")}

    def do_unplug(self, name):
        self._request(name)
        self._must_go(name)

    def do_eject(self, name):
        self._guest_request(name)
        self._must_go(name)

    def do_unplug_refused(self, name, pattern=None):
        before = self._before()
        self._request(name)
        self._must_stay(name, before, pattern)

    def do_eject_refused(self, name, pattern=None):
        before = self._before()
        self._guest_request(name)
        self._must_stay(name, before, pattern)

    def do_try_unplug(self, name):
        """The DIMM goes, or everything stays: nothing in between."""
        before = self._before()
        self._request(name)
        if self._answer(name) == "gone":
            self._after_eject(self.dimm(name))
            return
        self._settle()
        self._compare("blocks", before["blocks"], self._state("blocks"))
        self._compare("memtotal", before["memtotal"], self._state("memtotal"))

    def do_ost(self, name, status):
        self.listen()
        if int(status, 0) not in self.ost.get(self.acpi_name(name), []):
            raise StepError("_OST status is %s" %
                            (self._ost_text(name) or "none"))

    # CPUs from outside

    def _cpu_path(self, name):
        return "/sys/devices/system/cpu/cpu%d" % self.scenario.cpus[name].number

    def _cpu_there(self, name):
        return not self.guest.run("[ -e %s ]" % self._cpu_path(name))[0]

    def do_plug_cpu(self, name):
        self.machine.qmp.command("device_add", **cpu_device(
            self.scenario.cpus[name], self.machine.cpu_model()))
        self.plugged.add(name)
        self.wait_for("%s in sysfs" % name, lambda: self._cpu_there(name))
        self._settle()

    def _cpu_must_go(self, name):
        if self._answer(name) != "gone":
            raise StepError("refused, _OST status %s" % self._ost_text(name))
        self.plugged.discard(name)
        self._settle()
        if self._cpu_there(name):
            raise StepError("%s is still there" % self._cpu_path(name))

    def do_unplug_cpu(self, name):
        self._forget(self.acpi_name(name))
        self.machine.qmp.command("device_del", id=name)
        self._cpu_must_go(name)

    def do_eject_cpu(self, name):
        self._guest_request(name)
        self._cpu_must_go(name)

    def do_online_cpu(self, name):
        self.do_guest("echo 1 > %s/online" % self._cpu_path(name))

    def do_offline_cpu(self, name):
        self.do_guest("echo 0 > %s/online" % self._cpu_path(name))

    # Memory blocks

    def do_online(self, name, kind):
        if kind not in ("movable", "kernel", "any"):
            raise StepError("'%s' is not movable, kernel or any" % kind)
        self._write_blocks(name, "online" if kind == "any"
                           else "online_" + kind, "online")

    def do_offline(self, name):
        self._write_blocks(name, "offline", "offline")

    def _write_blocks(self, name, word, state):
        numbers = self.guest.dimm_blocks(self.dimm(name))
        status, output = self.guest.run(
            "cd /sys/devices/system/memory; for b in {%d..%d}; do "
            "read -r s < memory$b/state; [ $s = %s ] || "
            "echo %s > memory$b/state || exit 1; done" % (
                numbers[0], numbers[-1], state, word))
        if status:
            raise StepError(output)

    # What must be the same

    STATES = ("memtotal", "directmap", "blocks", "nodes")

    def _state(self, what):
        if what == "memtotal":
            return {"MemTotal": self.guest.memtotal()}
        if what == "directmap":
            return {key: value for key, value in self.guest.meminfo().items()
                    if key.startswith("DirectMap")}
        if what == "blocks":
            return self.guest.blocks()
        if what == "nodes":
            text = self.guest.read("cat /sys/devices/system/node/"
                                   "{online,has_memory,has_normal_memory}")
            return dict(enumerate(text.splitlines()))
        if what.startswith("mapping:"):
            return self._mapping(self.dimm(what[len("mapping:"):]))
        raise StepError("nothing is called '%s'" % what)

    def _mapping(self, dimm):
        """Attributes of @dimm's direct map, per 2 MiB, in init_mm."""
        start, end = self.guest.layout().direct_map(dimm)
        state = {}
        for leaf in self._leaves(start, end)[0]:
            step = min(leaf.size, 2 << 20)
            for va in range(max(leaf.va, start), min(leaf.end, end), step):
                state["%#x" % (va - start)] = leaf.attributes()
        return state

    def do_save(self, name):
        whats = list(self.STATES) + ["mapping:" + dimm
                                     for dimm in self.scenario.dimms]
        self.saved[name] = {what: self._state(what) for what in whats}

    def do_same(self, name, *whats):
        if name not in self.saved:
            raise StepError("nothing saved as '%s'" % name)
        for what in whats:
            if what not in self.saved[name]:
                raise StepError("nothing is called '%s'" % what)
            self._compare(what, self.saved[name][what], self._state(what))

    @staticmethod
    def _compare(what, before, after):
        changes = ["%s was %s, is %s" % (key, before.get(key), after.get(key))
                   for key in sorted(set(before) | set(after), key=str)
                   if before.get(key) != after.get(key)]
        if changes:
            raise StepError("%s: %s%s" % (
                what, "; ".join(changes[:4]),
                " and %d more" % (len(changes) - 4) if changes[4:] else ""))

    # Page tables

    def _leaves(self, start, end):
        """Leaves of [start, end) in init_mm, and in each CPU's table."""
        if self.tables is None:
            self.tables = pgtable.Tables(self.machine, self.guest.layout())
        self.tables.forget()
        return [self.tables.leaves(root, start, end)
                for root in self.tables.roots()]

    def _left(self, dimm):
        """What the guest still says about @dimm, '' when nothing."""
        blocks = self.guest.blocks()
        first = self.guest.block_size()
        for number in self.guest.dimm_blocks(dimm):
            whole = (number * first >= dimm.addr and
                     (number + 1) * first <= dimm.end)
            if whole and number in blocks:
                return "memory%d is still there" % number
        return ""

    def do_gone(self, name):
        """No memory block and no mapping of the DIMM is left."""
        left = self._left(self.dimm(name))
        if left:
            raise StepError(left)
        self.do_unmapped(name)

    def do_unmapped(self, name, place=None):
        """Nothing translates to the DIMM, nor to its struct pages."""
        layout = self.guest.layout()
        places = {"direct-map": layout.direct_map(self.dimm(name)),
                  "vmemmap": layout.vmemmap_range(self.dimm(name))}
        if place and place not in places:
            raise StepError("'%s' is not direct-map or vmemmap" % place)
        for where, (start, end) in places.items():
            if place in (None, where):
                self._no_leaf(name, where, start, end)

    def _no_leaf(self, name, where, start, end):
        for leaves in self._leaves(start, end):
            if where == "vmemmap":
                leaves = self._own(leaves, start, end)
            if leaves:
                raise StepError("the %s still maps %s at %s" %
                                (where.replace("-", " "), name, leaves[0]))

    def _own(self, leaves, start, end):
        """vmemmap leaves that translate nothing but [start, end)."""
        return [leaf for leaf in leaves
                if leaf.va >= start and leaf.end <= end]

    def do_mapped(self, name, size=None):
        """The DIMM is mapped without a hole; with leaves of @size only."""
        start, end = self.guest.layout().direct_map(self.dimm(name))
        leaves = self._leaves(start, end)[0]
        holes = pgtable.coverage(leaves, start, end)
        if holes:
            raise StepError("nothing maps %#x-%#x" % holes[0])
        found = {pgtable.LEVEL_NAMES[leaf.shift] for leaf in leaves}
        if size and found != {size}:
            raise StepError("mapped with %s" % " and ".join(sorted(found)))

    def _used_pages(self, dimm):
        """Offsets in @dimm of memmap and of the page tables of the kernel."""
        layout = self.guest.layout()
        top = max(other.end for other in self.scenario.dimms.values())
        leaves = self._leaves(layout.vmemmap,
                              layout.vmemmap + (top >> 12) *
                              layout.page_struct_bytes)[0]
        used = set(self.tables.pages)
        for leaf in leaves:
            used.update(range(leaf.phys, leaf.phys + leaf.size, 4096))
        self._leaves(layout.page_offset, layout.page_offset + top)
        used.update(self.tables.pages)
        return {phys - dimm.addr for phys in used
                if dimm.addr <= phys < dimm.end}

    def _shared(self, dimm):
        if not dimm.shared:
            raise StepError("%s is not shared" % dimm.name)
        return shared_path(dimm, self.machine.folder)

    def do_scribble(self, name):
        """Overwrite what the guest does not use of a DIMM that is offline."""
        dimm = self.dimm(name)
        blocks = self.guest.blocks()
        for number in self.guest.dimm_blocks(dimm):
            if blocks[number][0] != "offline":
                raise StepError("memory%d is not offline" % number)
        used = self._used_pages(dimm)
        scribble.overwrite(self._shared(dimm), dimm.size, used)
        self.scribbled[name] = used
        self.note("%s: %d pages in use, the others overwritten" %
                  (name, len(used)))

    def do_untouched(self, name):
        """Nobody has written to it since, gone or not."""
        if name not in self.scribbled:
            raise StepError("%s was not overwritten" % name)
        dimm = self.dimm(name)
        pages = scribble.changed(self._shared(dimm), dimm.size,
                                 self.scribbled[name])
        if pages:
            raise StepError("%d dead pages were written to, the first at %#x" %
                            (len(pages), dimm.addr + pages[0]))

    def do_directmap(self):
        """The DirectMap counters follow what the page table has.

        A leaf that was mapped twice during boot is counted twice for ever, so
        the first use of this step in a run notes the difference, and later
        ones look for a change of it.
        """
        error = self._directmap_error()
        if self.directmap_error is None:
            self.directmap_error = error
        self._compare("DirectMap counters minus page table",
                      self.directmap_error, error)

    def _directmap_error(self):
        start = self.guest.layout().page_offset
        top = max([4 << 30] + [dimm.end for dimm in
                               self.scenario.dimms.values()])
        sizes = pgtable.sizes_kib(self._leaves(start, start + top)[0])
        counted = self._state("directmap")
        return {name: counted[name] - sizes[name[len("DirectMap"):]]
                for name in counted if name[len("DirectMap"):] in sizes}

    # Logs and numbers

    def do_console(self, pattern):
        self.wait_for("console line '%s'" % pattern, lambda: re.search(
            pattern, self.machine.console(), re.M), 5)

    def do_no_console(self, pattern):
        match = re.search(pattern, self.machine.console(), re.M)
        if match:
            raise StepError("the console has '%s'" % match.group(0))

    def do_console_count(self, count, pattern):
        """The console is printed a moment later: wait for the last line."""
        def found():
            return len(re.findall(pattern, self.machine.console(), re.M))
        self.wait_for("%s console lines '%s'" % (count, pattern),
                      lambda: found() >= int(count), 5)
        if found() != int(count):
            raise StepError("it is there %d times" % found())

    def do_count(self, verb, label):
        """Count what flushing costs between 'count start' and 'count stop'."""
        if verb == "start":
            self.do_guest("flushes start")
        elif verb == "stop":
            for line in self.do_guest("flushes stop").splitlines():
                self.note("data: %s %s" % (label, line))
        else:
            raise StepError("'count' is followed by start or stop")

    def do_kunit(self, pattern=".*"):
        """All KUnit suites whose name matches have run and passed."""
        text = self.do_guest(
            "cd /sys/kernel/debug/kunit && for s in *; do "
            "[ -e $s/results ] || continue; echo \"suite $s\"; "
            "cat $s/results; done")
        suites = [suite for suite in judge.kunit_suites(text)
                  if re.search(pattern, suite[0])]
        if not suites:
            raise StepError("no KUnit suite ran")
        for name, cases, problem in suites:
            if problem:
                raise StepError("suite %s: %s" % (name, problem))
            self.note("kunit %s: %d cases passed" % (name, cases))


def _quote(text):
    return "'" + text.replace("'", "'\\''") + "'"
