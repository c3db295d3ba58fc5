# SPDX-License-Identifier: GPL-2.0-only
"""What bench/alloc, bench/faults and bench/nodes share.

Their guests have one CPU, measure by themselves, print numbers to the console
and power off. Guest is one boot of such a guest.
"""

import argparse
import os
import re
import shutil
import stat
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# For the modules of the harness, here and in who imports this.
sys.path.insert(0, os.path.join(
    TOP, "tools/testing/selftests/memory-hotplug/vm"))

import mkinitramfs  # noqa: E402
from machine import QEMU, die_with_parent  # noqa: E402

NAME = os.path.basename(sys.argv[0])
LIMIT = 180  # seconds until a guest has to be done

# Arguments of QEMU: time stamp counter and clock advance by one with each
# instruction.
COUNTING = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]


class BenchError(Exception):
    """Ends the benchmark; the text is one line."""


def usage(message):
    print("bench/%s: %s (bench/%s -h tells how)" % (NAME, message, NAME),
          file=sys.stderr)
    sys.exit(2)


def die(error):
    print("bench/%s: %s" % (NAME, error), file=sys.stderr)
    sys.exit(1)


def make_parser():
    """A parser that knows the options that all have."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = usage
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-o", dest="out",
                        default=os.path.join(TOP, "out/bench-" + NAME))
    return parser


def parse(parser, manual):
    args = parser.parse_args()
    if args.help:
        print(manual.strip())
        sys.exit(0)
    args.out = os.path.abspath(args.out)
    need_tool(QEMU, "qemu-system-x86")
    return args


def need_tool(name, package):
    if not shutil.which(name):
        usage("%s is missing (Debian package %s)" % (name, package))


def built_kernel(flavour):
    return os.path.join(TOP, "build", flavour, "bzImage")


def need_kernel(path):
    if not os.path.isfile(path):
        usage("there is no kernel %s" % path)


def build_kernels(flavours, variant):
    """Let bin/kernel build a variant; {flavour: name in build}."""
    names = {flavour: "%s-%s" % (flavour, variant) for flavour in flavours}
    done = subprocess.run([os.path.join(TOP, "bin/kernel"), *names.values()],
                          stdout=sys.stderr, check=False)
    if done.returncode:
        raise BenchError("there are no kernels with bench/%s.config" % variant)
    return names


def write_initramfs(path, files):
    """An initramfs with @files, {name: path}; one of them is init."""
    with open(path, "wb") as out:
        cpio = mkinitramfs.Cpio(out)
        for folder in ("dev", "proc", "sys"):
            cpio.folder(folder)
        cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        for name, source in files.items():
            cpio.file(name, source)
        cpio.finish()


def numa_nodes(sizes):
    """Arguments of QEMU for nodes with so many MiB; the CPU is of node 0."""
    args = ["-m", "%dM" % sum(sizes)]
    for nid, size in enumerate(sizes):
        args += ["-object", "memory-backend-ram,reserve=off,id=m%d,size=%dM" %
                 (nid, size),
                 "-numa", "node,nodeid=%d,memdev=m%d%s" %
                 (nid, nid, "" if nid else ",cpus=0")]
    return args


class Guest:
    """A guest that measures by itself; its console is the file @log."""

    def __init__(self, flavour, kernel, log):
        self.flavour = flavour
        self.kernel = kernel
        self.log = log

    def run(self, initramfs, machine, cmdline):
        """Boot, and wait until it has powered off."""
        args = [QEMU, "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-machine", "q35", "-smp", "1", *machine,
                "-serial", "stdio", "-kernel", self.kernel,
                "-initrd", initramfs,
                "-append", "console=ttyS0 panic=-1 " + cmdline]
        with open(self.log, "wb") as console:
            try:
                done = subprocess.run(args, stdin=subprocess.DEVNULL,
                                      stdout=console, stderr=console,
                                      preexec_fn=die_with_parent,
                                      timeout=LIMIT, check=False)
            except subprocess.TimeoutExpired:
                raise self.error("was not done after %d s" % LIMIT) from None
        if done.returncode:
            raise self.error("ended with QEMU's status %d" % done.returncode)

    def facts(self, expressions):
        """{name: text} for {name: expression}, of which each has one group."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            console = log.read()
        found = {name: re.search(expression, console, re.M)
                 for name, expression in expressions.items()}
        missing = [name for name, match in found.items() if not match]
        if missing:
            raise self.error("did not get to the end (no %s)" % missing[0])
        return {name: match.group(1) for name, match in found.items()}

    def counts(self, program, names):
        """{name: number} of the lines "program: name number"."""
        found = self.facts({name: r"%s: %s (\d+\.?\d*)" % (program, name)
                            for name in names})
        values = {name: float(text) for name, text in found.items()}
        for name, value in values.items():
            if not value:
                raise self.error("did not measure %s" % name)
        return values

    def error(self, what):
        return BenchError("the guest of %s %s, see %s" %
                          (self.flavour, what, self.log))
