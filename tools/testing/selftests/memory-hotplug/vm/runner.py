# SPDX-License-Identifier: GPL-2.0
"""Runs scenarios on kernels and prints KTAP.

A job is one scenario on one kernel: its own QEMU, its own folder of logs, a
hard time limit. Jobs run one after the other or a few at a time; each prints
its result when it ends. Control jobs (the unpatched kernel) have to fail in
the way the scenario says, see judge.verdict().
"""

import glob
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

import judge
import mkinitramfs
import needs
from guest import Agent, Guest, GuestError
from machine import Machine, MachineError, QEMU, accelerator, plan
from qmp import Qmp, QmpError
from steps import Interrupted, Run, StepError

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.dirname(HERE)
CFLAGS = ["-static", "-O2", "-Wall", "-Wextra", "-pthread"]

BOOT_SECONDS = 40
COMMAND_SECONDS = 60
PROBE_SECONDS = 10

SHELL_HELP = """The guest's DIMMs: {dimms}. From another terminal:
    S={socket}
    {program} monitor $S 'info memory-devices'
    {program} monitor $S 'device_del d0'
    {program} monitor $S 'object_add memory-backend-ram,id=m9,size=512M'
    {program} monitor $S 'device_add pc-dimm,id=d9,memdev=m9,node=1'"""

stopping = threading.Event()


class RunnerError(Exception):
    """Nothing can be run; the text is one line for the user."""


class Limits:
    """Time limit of one job, and the user's wish to stop."""

    def __init__(self, seconds, scale):
        self.scale = scale
        self.seconds = seconds * scale
        self.deadline = time.monotonic() + self.seconds

    def scaled(self, seconds):
        return seconds * self.scale

    def check(self):
        if stopping.is_set():
            raise Interrupted("stopped by the user")
        if time.monotonic() > self.deadline:
            raise StepError("not done within the scenario's %d s" %
                            self.seconds)


class Kernel:
    """A kernel image and its initramfs."""

    def __init__(self, flavour, image, modules):
        self.flavour = flavour
        self.image = image
        self.modules = modules or module_folder(image)
        self.initramfs = None


class Job:
    """One scenario on one kernel."""

    def __init__(self, scenario, kernel, must_fail):
        self.scenario = scenario
        self.kernel = kernel
        self.must_fail = must_fail

    @property
    def title(self):
        return "%s.%s" % (self.scenario.name, self.kernel.flavour)


def module_folder(image):
    """The build folder of BUILD/arch/x86/boot/bzImage, or the image's own."""
    folder = os.path.dirname(os.path.abspath(image))
    tail = os.path.join("arch", "x86", "boot")
    return folder[:-len(tail)] if folder.endswith(tail) else folder


def need_tool(name, package):
    if not shutil.which(name):
        raise RunnerError("%s is missing (Debian package %s)" % (name, package))


def build_programs(folder):
    """Compile the guest programs, static, when they are out of date."""
    os.makedirs(folder, exist_ok=True)
    for source in sorted(glob.glob(os.path.join(PROGRAMS, "*.c"))):
        name = os.path.basename(source)[:-2]
        target = os.path.join(folder, name)
        if os.path.exists(target) and \
           os.path.getmtime(target) > os.path.getmtime(source):
            continue
        need_tool("gcc", "gcc")
        done = subprocess.run(["gcc"] + CFLAGS + ["-o", target, source],
                              stderr=subprocess.PIPE)
        if done.returncode:
            raise RunnerError("%s does not compile: %s" % (
                name + ".c", done.stderr.decode().splitlines()[0]))


def prepare(args, kernels):
    """Check tools, compile programs, make one initramfs per kernel."""
    need_tool(QEMU, "qemu-system-x86")
    for kernel in kernels:
        if not os.path.isfile(kernel.image):
            raise RunnerError("no kernel image %s" % kernel.image)
    out = os.path.abspath(args.out)
    os.makedirs(out, exist_ok=True)
    folder = args.guest
    if not folder:
        folder = os.path.join(out, "guest")
        build_programs(folder)
    programs = sorted(os.path.join(folder, name) for name in os.listdir(folder)
                      if os.access(os.path.join(folder, name), os.X_OK))
    selftests = args.selftests or os.path.dirname(PROGRAMS)
    for kernel in kernels:
        kernel.initramfs = os.path.join(out, "initramfs.%s.cpio" %
                                        kernel.flavour)
        mkinitramfs.build(kernel.initramfs, kernel.image, kernel.modules,
                          programs, selftests)


def choose_accelerator(kernel, out):
    """TCG, unless ACCEL=kvm, or ACCEL=auto and a guest really boots on KVM."""
    wish = os.environ.get("ACCEL", "tcg")
    if wish not in ("tcg", "kvm", "auto"):
        raise RunnerError("ACCEL is '%s', not tcg, kvm or auto" % wish)
    if wish != "auto":
        return wish
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    args = [QEMU, "-nodefaults", "-display", "none", "-no-reboot",
            "-machine", "q35", "-m", "512M"] + accelerator("kvm") + [
                "-cpu", "host", "-serial", "stdio", "-kernel", kernel.image,
                "-initrd", kernel.initramfs, "-append",
                "console=ttyS0 panic=-1 -- probe"]
    try:
        done = subprocess.run(args, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL,
                              timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return "tcg"
    return "kvm" if b"probe: alive" in done.stdout else "tcg"


def make_jobs(args, chosen):
    """Jobs for the tested kernel, then for the control kernel."""
    tested = args.kernel and Kernel("patched", args.kernel, args.modules)
    control = args.control and Kernel("base", args.control,
                                      args.control_modules)
    jobs = []
    for scenario in chosen:
        plan(scenario)
        if tested:
            jobs.append(Job(scenario, tested, scenario.fails))
        if control and scenario.control is not None:
            jobs.append(Job(scenario, control, scenario.control))
    if not jobs:
        raise RunnerError("nothing to run: no scenario has a control line")
    return jobs, [kernel for kernel in (tested, control) if kernel]


def run_job(job, args, accel):
    """Run a job, up to three times if its guest has a known reason not to boot.

    It can go silent: under TCG on a busy host that was seen once in some 200
    boots, after the clocksource came up and before any memory was plugged or
    ejected. Or it can meet one of judge.BOOT_RACES.
    """
    for number in 1, 2, 3:
        outcome = attempt(job, args, accel)
        if number > 1:
            outcome.notes.insert(0, "the guest did not boot, try %d" % number)
        if not outcome.boot_again or stopping.is_set():
            break
    return outcome


def attempt(job, args, accel):
    """Boot, do the steps, read the logs; return the Outcome."""
    outcome = judge.Outcome()
    started = time.monotonic()
    out = os.path.join(os.path.abspath(args.out), job.title)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    machine = Machine(job.scenario, job.kernel.image, job.kernel.initramfs,
                      out, accel, args.append)
    try:
        with open(os.path.join(out, "agent.log"), "w",
                  encoding="utf-8") as log:
            drive(job, args, machine, outcome, log)
    except (StepError, GuestError, MachineError, QmpError) as error:
        outcome.failures.append(str(error))
    except ValueError as error:
        outcome.failures.append("the guest said what is not expected: %s" %
                                error)
    except Interrupted as error:
        outcome.skip = None
        outcome.failures.append(str(error))
    finally:
        if outcome.booted:
            machine.settle()
        machine.stop()
    read_logs(job.scenario, machine, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def drive(job, args, machine, outcome, log):
    """The part of a job during which the machine runs."""
    scenario = job.scenario
    limits = Limits(scenario.timeout, args.timeout_scale)
    reason = needs.unmet_on_host(scenario, job.kernel.image)
    if reason:
        outcome.skip = reason
        return
    machine.start()
    if args.live:
        follow(machine, job.title)
    agent = Agent(machine.agent_socket(), log, limits.check)
    guest = Guest(agent, limits.scaled(COMMAND_SECONDS))
    run = Run(scenario, machine, guest, outcome, limits)
    agent.pulse = run.pulse
    try:
        agent.wait_ready(max(limits.scaled(BOOT_SECONDS), limits.seconds / 3))
    except (StepError, GuestError):
        outcome.boot_again = machine.alive() and judge.only_boot_races(
            judge.console_faults(machine.console(), scenario.allow_console))
        raise
    outcome.booted = True
    outcome.skip = needs.unmet_in_guest(scenario, guest)
    if not outcome.skip:
        run.steps(scenario.steps)


def follow(machine, title):
    """Copy the console to standard error while the machine lives."""
    def copy():
        at = 0
        while True:
            alive = machine.alive()
            text = machine.console()
            for line in text[at:].splitlines():
                print("%s| %s" % (title, line), file=sys.stderr)
            at = len(text)
            if not alive:
                return
            time.sleep(0.1)
    threading.Thread(target=copy, daemon=True).start()


def read_logs(scenario, machine, outcome):
    """The oracles that read the whole logs, after the machine has ended."""
    console = machine.console()
    outcome.context = console
    for line in judge.console_faults(console, scenario.allow_console):
        if not any(line in failure for failure in outcome.failures):
            outcome.failures.append("console: %s" % line)
    ranges = [(dimm.addr, dimm.end) for dimm in scenario.dimms.values()]
    for line in judge.qemu_faults(machine.qemu_log(), ranges,
                                  scenario.allow_qemu)[:10]:
        outcome.failures.append("access to an unplugged address: %s" % line)
    if outcome.failures:
        outcome.failures.append("last console lines: %s" %
                                " | ".join(judge.tail(console, 3)))


class Report:
    """Writes KTAP; one lock so that jobs do not mix their lines."""

    def __init__(self, total):
        self.lock = threading.Lock()
        self.count = 0
        self.totals = {"pass": 0, "fail": 0, "skip": 0}
        print("KTAP version 1\n1..%d" % total, flush=True)

    def add(self, job, outcome):
        good, reasons = judge.verdict(outcome, job.must_fail)
        with self.lock:
            self.count += 1
            for note in outcome.notes:
                print("# %s" % note)
            for reason in reasons[:20]:
                print("# %s" % reason)
            if job.must_fail and good and not outcome.skip:
                print("# fails as it has to: %s" % outcome.failures[0])
            print("# %.1f s, %d steps" % (outcome.seconds, outcome.steps_done))
            word = "ok" if good else "not ok"
            skip = " # SKIP %s" % outcome.skip if outcome.skip else ""
            print("%s %d %s%s" % (word, self.count, job.title, skip),
                  flush=True)
            kind = "skip" if outcome.skip else "pass" if good else "fail"
            self.totals[kind] += 1

    def finish(self, wanted):
        totals = self.totals
        missing = wanted - self.count
        print("# Totals: pass:%d fail:%d xfail:0 xpass:0 skip:%d error:%d" % (
            totals["pass"], totals["fail"], totals["skip"], missing),
            flush=True)
        return not (totals["fail"] or missing or not totals["pass"])


def stop_on_signals():
    def handler(_signal, _frame):
        stopping.set()
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def work(todo, args, accel, report):
    """Take jobs until there are none left."""
    while not stopping.is_set():
        try:
            job = todo.get_nowait()
        except queue.Empty:
            return
        outcome = run_job(job, args, accel)
        if not stopping.is_set():
            report.add(job, outcome)


def run(args, chosen):
    """The 'run' command."""
    jobs, kernels = make_jobs(args, chosen)
    prepare(args, kernels)
    accel = choose_accelerator(kernels[0], args.out)
    stop_on_signals()
    report = Report(len(jobs))
    todo = queue.Queue()
    for job in jobs:
        todo.put(job)
    threads = [threading.Thread(target=work, args=(todo, args, accel, report))
               for _ in range(max(1, args.jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0 if report.finish(len(jobs)) else 1


def shell(args, scenario):
    """The 'shell' command: the guest's console on this terminal."""
    plan(scenario)
    kernel = Kernel("shell", args.kernel, args.modules)
    prepare(args, [kernel])
    out = os.path.join(os.path.abspath(args.out), "shell")
    accel = choose_accelerator(kernel, out)
    machine = Machine(scenario, kernel.image, kernel.initramfs, out, accel,
                      args.append, "shell", terminal=True)
    try:
        machine.start()
        print(SHELL_HELP.format(program=sys.argv[0],
                                socket=machine.path("user"),
                                dimms=" ".join(scenario.dimms)), flush=True)
        machine.process.wait()
    except MachineError as error:
        raise RunnerError(str(error)) from error
    except KeyboardInterrupt:
        pass
    finally:
        machine.stop()
    return 0


def monitor(path, line):
    """The 'monitor' command: one line for the QEMU of a 'shell'."""
    try:
        with open(os.devnull, "w", encoding="ascii") as log:
            qmp = Qmp(path, log)
            qmp.negotiate()
            print(qmp.monitor(line).strip())
            qmp.close()
    except (OSError, QmpError) as error:
        raise RunnerError("%s: %s" % (path, error)) from error
    return 0
