#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Make the guest's initramfs: a cpio archive, written without root rights.

It holds busybox and bash (static binaries), the scripts of guest/, compiled
test programs, the kernel's modules and, when asked, other selftests.
"""

import os
import re
import shutil
import stat
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_SCRIPTS = os.path.join(HERE, "guest")
FOLDERS = ["bin", "sbin", "usr", "usr/bin", "usr/sbin", "dev", "proc", "sys",
           "run", "tmp", "root", "etc", "lib", "lib/modules", "guest",
           "selftests"]


class InitramfsError(Exception):
    """Something the initramfs needs is not there."""


class Cpio:
    """Writer of the 'newc' format that the kernel unpacks."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.known = set()

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        name = name.lstrip("/")
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0,
                  device[0], device[1], len(raw), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields)
                    + raw)
        self._write(data)
        self.known.add(name)

    def _write(self, data):
        self.out.write(data)
        self.out.write(b"\0" * (-self.out.tell() % 4))

    def folder(self, name):
        name = name.strip("/")
        if name and name not in self.known:
            self.folder(os.path.dirname(name))
            self.add(name, stat.S_IFDIR | 0o755)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name, path):
        self.folder(os.path.dirname(name))
        mode = 0o755 if os.access(path, os.X_OK) else 0o644
        with open(path, "rb") as source:
            self.add(name, stat.S_IFREG | mode, source.read())

    def text(self, name, text):
        self.folder(os.path.dirname(name))
        self.add(name, stat.S_IFREG | 0o644, text.encode())

    def finish(self):
        self.add("TRAILER!!!", 0)


def find_tool(names, package):
    """Path of the first of @names; it has to be a static binary."""
    for name in names:
        path = shutil.which(name)
        if path and is_static(path):
            return path
    raise InitramfsError("no static %s found (Debian package %s)" %
                         (names[0], package))


def is_static(path):
    """Whether an ELF file has no program interpreter."""
    with open(path, "rb") as source:
        data = source.read(4096)
    if data[:4] != b"\x7fELF":
        return False
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    kinds = [struct.unpack_from("<I", data, offset + index * size)[0]
             for index in range(count)]
    return 3 not in kinds


def kernel_release(image):
    """The version a bzImage says it is, such as '7.3.0'."""
    with open(image, "rb") as source:
        head = source.read(0x8000)
    if head[0x202:0x206] != b"HdrS" and head[0x202:0x206] != b"SrdH":
        raise InitramfsError("%s is not a bzImage" % image)
    offset, = struct.unpack_from("<H", head, 0x20e)
    text = head[offset + 0x200:].split(b"\0", 1)[0].decode()
    return text.split(" ", 1)[0]


def find_modules(folder):
    """Paths of all modules under @folder."""
    found = []
    for root, _, names in os.walk(folder):
        found += [os.path.join(root, name) for name in names
                  if name.endswith(".ko")]
    return sorted(found)


def module_depends(path):
    """Names of the modules that a module needs, from its .modinfo."""
    with open(path, "rb") as source:
        data = source.read()
    match = re.search(rb"\0depends=([^\0]*)\0", data)
    return [name for name in match.group(1).decode().split(",")
            if name] if match else []


def add_modules(cpio, folder, release):
    """Add modules and the modules.dep that modprobe reads."""
    base = "lib/modules/" + release
    cpio.folder(base)
    files = {}
    for path in find_modules(folder):
        name = os.path.basename(path)[:-len(".ko")].replace("-", "_")
        files[name] = os.path.basename(path)
        cpio.file("%s/%s" % (base, os.path.basename(path)), path)
    lines = []
    for path in find_modules(folder):
        needs = [files[name.replace("-", "_")]
                 for name in module_depends(path)
                 if name.replace("-", "_") in files]
        lines.append("%s: %s\n" % (os.path.basename(path), " ".join(needs)))
    cpio.text(base + "/modules.dep", "".join(lines))


def add_user_space(cpio):
    """busybox with a link per applet, bash and the device for the console."""
    busybox = find_tool(["busybox"], "busybox-static")
    bash = find_tool(["bash-static"], "bash-static")
    cpio.file("bin/busybox", busybox)
    cpio.file("bin/bash", bash)
    applets = subprocess.run([busybox, "--list"], check=True,
                             stdout=subprocess.PIPE).stdout.decode().split()
    for applet in applets:
        if applet not in ("busybox", "bash"):
            cpio.link("bin/" + applet, "/bin/busybox")
    cpio.link("sbin/modprobe", "/bin/busybox")
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.add("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))
    cpio.text("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
    cpio.text("etc/group", "root:x:0:\n")


def build(path, kernel, modules=None, programs=(), selftests=None):
    """Write the initramfs for @kernel to @path."""
    with open(path + ".new", "wb") as out:
        cpio = Cpio(out)
        for folder in FOLDERS:
            cpio.folder(folder)
        add_user_space(cpio)
        cpio.file("init", os.path.join(GUEST_SCRIPTS, "init"))
        for name in sorted(os.listdir(GUEST_SCRIPTS)):
            if name != "init":
                cpio.file("guest/" + name, os.path.join(GUEST_SCRIPTS, name))
        for program in programs:
            cpio.file("guest/" + os.path.basename(program), program)
        if modules:
            add_modules(cpio, modules, kernel_release(kernel))
        for folder in ("memory-hotplug", "kselftest"):
            source = selftests and os.path.join(selftests, folder)
            if source and os.path.isdir(source):
                add_scripts(cpio, source, "selftests/" + folder)
        cpio.finish()
    os.rename(path + ".new", path)


def add_scripts(cpio, folder, target):
    """Add the shell scripts of a selftest folder."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".sh"):
            cpio.file("%s/%s" % (target, name), os.path.join(folder, name))


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        print("usage: mkinitramfs.py OUTPUT BZIMAGE [MODULES-DIR] [PROGRAM...]")
        return 0 if "-h" in sys.argv or "--help" in sys.argv else 2
    modules = sys.argv[3] if len(sys.argv) > 3 else None
    try:
        build(sys.argv[1], sys.argv[2], modules, sys.argv[4:])
    except (InitramfsError, OSError) as error:
        print("mkinitramfs.py: %s" % error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
