# SPDX-License-Identifier: GPL-2.0
"""QMP: commands to a running QEMU and events from it.

One Qmp object owns one unix socket. Everything that crosses it is written to
a log, one JSON text per line, so that a run can be understood afterwards.
Events that arrive while a command waits for its answer are kept for later.
"""

import json
import select
import socket
import time


class QmpError(Exception):
    """QEMU refused a command, or the connection broke."""


class Qmp:
    """A QMP session on a unix socket."""

    def __init__(self, path, log):
        self.log = log
        self.events = []
        self.pending = b""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)

    def negotiate(self, timeout=10):
        """Read the greeting and leave capabilities negotiation mode."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._next(deadline)
            if message is None:
                raise QmpError("no greeting from QEMU")
            if "QMP" in message:
                break
        self.command("qmp_capabilities")

    def command(self, name, timeout=30, **arguments):
        """Run a command; return what it answers or raise QmpError."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = arguments
        self._log(">", request)
        try:
            self.sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError("%s: %s" % (name, error.strerror)) from error
        deadline = time.monotonic() + timeout
        while True:
            message = self._next(deadline)
            if message is None:
                raise QmpError("%s: no answer within %d s" % (name, timeout))
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError("%s: %s" % (name, message["error"]["desc"]))
            elif "return" in message:
                return message["return"]

    def monitor(self, line):
        """Run a line of the human monitor and return its text."""
        return self.command("human-monitor-command",
                            **{"command-line": line})

    def poll(self, wait=0.0):
        """Collect what arrives within @wait seconds; return all kept events."""
        deadline = time.monotonic() + wait
        while True:
            message = self._next(deadline)
            if message is None:
                return self.events
            if "event" in message:
                self.events.append(message)

    def take_events(self):
        """Return the kept events and forget them."""
        taken = self.poll()
        self.events = []
        return taken

    def close(self):
        self.sock.close()

    def _next(self, deadline):
        while b"\n" not in self.pending:
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.sock], [], [], left)
            if not ready:
                return None
            try:
                data = self.sock.recv(65536)
            except OSError as error:
                raise QmpError("connection lost: %s" % error.strerror) from error
            if not data:
                raise QmpError("QEMU closed the connection")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        message = json.loads(line)
        self._log("<", message)
        return message

    def _log(self, direction, message):
        self.log.write("%.3f %s %s\n" % (time.monotonic(), direction,
                                         json.dumps(message)))
        self.log.flush()
