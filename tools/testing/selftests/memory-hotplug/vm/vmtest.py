#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Boot guests with hotpluggable memory, plug and eject DIMMs, judge.

    vmtest.py run --kernel bzImage [--control bzImage] [scenario ...]
    vmtest.py shell --kernel bzImage [scenario]
    vmtest.py monitor SOCKET COMMAND
    vmtest.py selfcheck
    vmtest.py list

README describes the scenarios. The result is KTAP on standard output; logs
are kept under the --out folder.
"""

import argparse
import fnmatch
import os
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is

import runner  # noqa: E402
import scenario as scenarios  # noqa: E402
import selfcheck  # noqa: E402
from mkinitramfs import InitramfsError  # noqa: E402


def options():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run scenarios")
    shell = commands.add_parser("shell", help="interactive guest")
    listing = commands.add_parser("list", help="list scenarios")
    monitor = commands.add_parser("monitor", help="QEMU monitor command to a "
                                  "guest that 'shell' runs")
    monitor.add_argument("socket", help="QMP socket, as 'shell' prints it")
    monitor.add_argument("line", help="such as 'device_del d0'")
    commands.add_parser("selfcheck", help="check this program without a guest")
    for command in (run, shell):
        command.add_argument("--kernel", metavar="BZIMAGE",
                             required=command is shell,
                             help="kernel to test")
        command.add_argument("--modules", metavar="DIR",
                             help="where the kernel's modules are "
                             "(default: its build folder)")
        command.add_argument("--guest", metavar="DIR",
                             help="compiled guest programs (default: build "
                             "them)")
        command.add_argument("--selftests", metavar="DIR",
                             help="tools/testing/selftests of the kernel "
                             "(default: the one this file is in)")
        command.add_argument("--out", metavar="DIR", default="out/vm",
                             help="where logs go (default: out/vm)")
        command.add_argument("--append", metavar="TEXT", default="",
                             help="more kernel command line")
    run.add_argument("--control", metavar="BZIMAGE",
                     help="unpatched kernel, for scenarios with a control")
    run.add_argument("--control-modules", metavar="DIR",
                     help="where the control kernel's modules are")
    run.add_argument("--timeout-scale", type=float, default=1.0, metavar="N",
                     help="multiply all time limits, for debug kernels")
    run.add_argument("--jobs", type=int, default=1, metavar="N",
                     help="guests at the same time (default: 1)")
    run.add_argument("--live", action="store_true",
                     help="show the consoles on standard error")
    run.add_argument("--list", action="store_true",
                     help="only list what would run")
    for command in (run, listing):
        command.add_argument("scenario", nargs="*",
                             help="names or patterns (default: all)")
    shell.add_argument("scenario", nargs="?", help="machine to boot")
    return parser.parse_args()


def select(patterns):
    """The scenarios that @patterns name, in the order of their names."""
    known = scenarios.names()
    chosen = []
    for pattern in patterns or ["*"]:
        found = fnmatch.filter(known, pattern)
        if not found and os.path.isfile(pattern) and "/" in pattern:
            found = [pattern]
        if not found:
            raise scenarios.ScenarioError(
                "unknown scenario '%s' (vmtest.py list shows them)" % pattern)
        chosen += [name for name in found if name not in chosen]
    return [scenarios.load(name) for name in chosen]


def list_scenarios(chosen):
    for scenario in chosen:
        print("%-34s %s" % (scenario.name, scenario.about))
    return 0


def main():
    args = options()
    try:
        if args.command == "shell":
            chosen = select([args.scenario] if args.scenario
                            else ["boot-dimms-share-1g-leaf"])
            return runner.shell(args, chosen[0])
        if args.command == "monitor":
            return runner.monitor(args.socket, args.line)
        if args.command == "selfcheck":
            return selfcheck.main()
        chosen = select(args.scenario)
        if args.command == "run" and not (args.kernel or args.control):
            raise runner.RunnerError("run needs --kernel, --control or both")
        if args.command == "list" or args.list:
            return list_scenarios(chosen)
        return runner.run(args, chosen)
    except (scenarios.ScenarioError, runner.RunnerError,
            InitramfsError) as error:
        print("vmtest.py: %s" % error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
