# SPDX-License-Identifier: GPL-2.0
"""What a scenario needs, and the reason to skip when that is not there."""

import os
import re
import shutil

import machine


def unmet_on_host(scenario, kernel):
    """A reason not to start the machine with @kernel, None without any."""
    options = built_options(kernel)
    for kind, what in scenario.needs:
        if kind in ("config", "no-config") and options is not None:
            reason = _option(kind, what, what in options)
            if reason:
                return reason
        if kind == "host-mem" and available_mib() < int(what):
            return "needs %s MiB of free host memory" % what
        if kind == "host-program" and not shutil.which(what):
            return "needs the program %s on the host" % what
        if kind == "qemu":
            have = machine.qemu_version(machine.qemu(scenario))
            if have < machine.version(what):
                return "needs QEMU %s, this one is %d.%d" % ((what,) + have)
    return None


def built_options(kernel):
    """The options of the .config beside @kernel, None when there is none."""
    path = os.path.join(os.path.dirname(os.path.abspath(kernel)), ".config")
    try:
        with open(path, encoding="ascii") as config:
            return set(re.findall(r"^CONFIG_(\w+)=[ym]$", config.read(), re.M))
    except OSError:
        return None


def _option(kind, what, there):
    if there == (kind == "config"):
        return None
    return "the kernel has %s%s" % ("no CONFIG_" if kind == "config"
                                    else "CONFIG_", what)


def available_mib():
    """MiB of host memory that can be used without swapping."""
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        for line in meminfo:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10
    return 0


def unmet_in_guest(scenario, guest):
    """A reason not to do the steps, None when there is none."""
    for kind, what in scenario.needs:
        reason = CHECKS.get(kind, _nothing)(guest, what)
        if reason:
            return reason
    return None


def _nothing(_guest, _what):
    return None


def _has_option(guest, what):
    status, _ = guest.run("zcat /proc/config.gz | grep -q '^CONFIG_%s=[ym]'" %
                          what)
    return not status


def _config(guest, what):
    return _option("config", what, _has_option(guest, what))


def _no_config(guest, what):
    return _option("no-config", what, _has_option(guest, what))


def _cpu(guest, what):
    status, _ = guest.run("grep -qw %s /proc/cpuinfo" % what)
    return "the CPU has no %s" % what if status else None


def _symbol(guest, what):
    if what in guest.symbols(what):
        return None
    return "the kernel has no %s" % what


def _file(guest, what):
    status, _ = guest.run("test -e %s" % what)
    return "the guest has no %s" % what if status else None


def _program(guest, what):
    status, _ = guest.run("command -v %s" % what)
    return "the guest has no program %s" % what if status else None


CHECKS = {"config": _config, "no-config": _no_config, "cpu": _cpu,
          "symbol": _symbol, "file": _file, "program": _program}
