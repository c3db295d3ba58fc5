# SPDX-License-Identifier: GPL-2.0
"""Oracles on logs: what in a console or in QEMU's log is a failure.

The kernel is not asked to panic on a warning: the whole console is read after
the run, so a warning late in a scenario counts as much as an early one.
"""

import re

CONSOLE = [
    r"\bBUG: ",
    r"kernel BUG at ",
    r"\bWARNING: ",
    r"\bOops: ",
    r"\bKernel panic - not syncing",
    r"unable to handle (kernel )?(page fault|paging request|NULL pointer)",
    r"general protection fault",
    r"\bKASAN: ",
    r"\bKCSAN: ",
    r"\bUBSAN: ",
    r"\bKFENCE: ",
    r"possible (circular|recursive) locking",
    r"possible irq lock inversion",
    r"possible deadlock",
    r"inconsistent lock state",
    r"bad unlock balance",
    r"lock held when returning to user space",
    r"held lock freed",
    r"DEBUG_LOCKS_WARN_ON",
    r"(MAX_LOCKDEP_\w+|MAX_LOCK_DEPTH|MAX_STACK_TRACE_ENTRIES) too low",
    r"suspicious RCU usage",
    r"rcu: INFO: .* (stall|detected)",
    r"rcu_\w+ (self-)?detected stall",
    r"sleeping function called from invalid context",
    r"scheduling while atomic",
    r"INFO: task .* blocked for more than",
    r"watchdog: BUG",
    r"soft lockup",
    r"hard LOCKUP",
    r"workqueue lockup",
    r"Bad page (state|map|cache)",
    r"Bad rss-counter",
    r"page (dumped because|table check)",
    r"pagealloc: (memory corruption|single bit error)",
    r"page_poison",
    r"list_(add|del) corruption",
    r"refcount_t: ",
    r"ODEBUG: ",
    r"non-accessible hwpoison",
    r"unreferenced object",
    r"kmemleak: \d+ new suspected",
    r"mm/\S+: bad (pte|pmd|pud|p4d|pgd)\b",
    r"Out of memory: Killed process",
    r"System is deadlocked on memory",
    r"stack-protector|stack guard page was hit",
    r"double fault:",
    r"Unknown kernel command line .*\bmemmap\b",
    r"^(\[[^]]*\])?\s*(# Subtest.*)?not ok \d+",
    r"\bsegfault at\b",
]

# What the patterns above meet in a healthy boot.
HARMLESS = [
    r"[Cc]ommand line: ",
    r"WARNING: (CPU: \d+ )?.*kvm: no hardware support",
    r"page_poison(ing)?\.?.* (on|off|enabled|disabled)",
    r"pagealloc: .*(enabled|disabled)",
    r"unreferenced object.*none",
]

# Of the unpatched kernel's own boot, now and then on a busy host.
BOOT_RACES = [
    # An interrupt in identify_cpu(), which clears the flag for 5-level paging
    # for a moment: KASAN then takes its shadow for one of 4 levels.
    r"BUG: KASAN: wild-memory-access in rcu_is_watching",
]

# QEMU writes one of these when a CPU touches an address nothing answers.
QEMU_ACCESS = re.compile(
    r"Invalid (access|read|write) at addr 0x([0-9a-fA-F]+)")

_CONSOLE = [re.compile(pattern) for pattern in CONSOLE]
_HARMLESS = [re.compile(pattern) for pattern in HARMLESS]
_BOOT_RACES = [re.compile(pattern) for pattern in BOOT_RACES]


def whole_lines(text):
    """@text up to its last newline."""
    return text[:text.rfind("\n") + 1]


def console_faults(text, allowed=()):
    """Lines of @text that no healthy kernel writes."""
    faults = []
    for line in text.splitlines():
        if not any(pattern.search(line) for pattern in _CONSOLE):
            continue
        if any(pattern.search(line) for pattern in _HARMLESS):
            continue
        if any(pattern.search(line) for pattern in allowed):
            continue
        faults.append(line.strip())
    return faults


def only_boot_races(faults):
    """Is each of some lines that console_faults() found such a race?"""
    return all(any(pattern.search(line) for pattern in _BOOT_RACES)
               for line in faults)


def qemu_faults(text, ranges, allowed=()):
    """Lines of QEMU's log about addresses inside @ranges of (start, end)."""
    faults = []
    for line in text.splitlines():
        match = QEMU_ACCESS.search(line)
        if not match or any(pattern.search(line) for pattern in allowed):
            continue
        addr = int(match.group(2), 16)
        if any(start <= addr < end for start, end in ranges):
            faults.append(line.strip())
    return faults


def kunit_suites(text):
    """(name, passed cases, problem or None) of each suite in @text.

    @text is the results files of all suites, a line "suite NAME" before each.
    """
    suites = []
    for part in re.split(r"^suite ", text, flags=re.M)[1:]:
        name, _, results = part.partition("\n")
        bad = re.findall(r"^\s*(not ok \d+.*)", results, re.M)
        cases = len(re.findall(r"^\s+ok \d+ (?!.*# SKIP)", results, re.M))
        problem = None
        if bad:
            problem = bad[0]
        elif not re.search(r"^ok \d+ ", results, re.M):
            problem = "no result"
        elif not cases:
            problem = "no case ran"
        suites.append((name.strip(), cases, problem))
    return suites


def tail(text, lines=6):
    """The last lines of a log, for a failure message."""
    return [line for line in text.splitlines() if line.strip()][-lines:]


class Outcome:
    """What one boot of one scenario gave."""

    def __init__(self):
        self.booted = False
        self.boot_again = False
        self.skip = None
        self.failures = []
        self.notes = []
        self.context = ""
        self.seconds = 0.0
        self.steps_done = 0

    @property
    def failed(self):
        return bool(self.failures)


def verdict(outcome, must_fail):
    """(ok, reasons) of @outcome; @must_fail holds the regexes of a control.

    A control that passes, that does not boot, or that fails without showing
    every line it names is not a proof of anything: it is a failure.
    """
    if outcome.skip:
        return True, []
    if not must_fail:
        if not outcome.failed and not outcome.steps_done:
            return False, ["nothing ran"]
        return not outcome.failed, outcome.failures
    if not outcome.booted:
        return False, ["did not boot, so it shows nothing"] + outcome.failures
    if not outcome.failed:
        return False, ["passes, but has to fail"]
    seen = "\n".join(outcome.failures) + "\n" + outcome.context
    missing = [pattern.pattern for pattern in must_fail
               if not re.search(pattern, seen)]
    if missing:
        return False, (["fails without '%s'" % text for text in missing] +
                       outcome.failures)
    return True, []
