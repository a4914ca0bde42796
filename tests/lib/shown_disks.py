# SPDX-License-Identifier: Apache-2.0
"""Many images at once, as QEMU shows them: one qemu-storage-daemon has them all open, which takes much less time than a process
for each."""

import json
import socket
import struct
import subprocess

from lib import daemon_commands
from lib.suite import Failure, Skip

NBD_MAGIC, NBD_OPTION, NBD_REQUEST, NBD_REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x25609513, 0x67446698
EXPORT_NAME, READ, CLOSE = 1, 0, 2
FIXED_NEWSTYLE_WITHOUT_ZEROES = 3
STEP = 16 << 20


def receive_into(connection, view):
    at = 0
    while at < len(view):
        count = connection.recv_into(view[at:])
        if count == 0:
            raise Failure("qemu-storage-daemon has closed the connection")
        at += count


def received(connection, length):
    parts = bytearray(length)
    receive_into(connection, memoryview(parts))
    return parts


def export_read(path, name):
    """All of an export's bytes, by NBD; None where QEMU cannot read it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        if received(connection, 18)[:16] != NBD_MAGIC + NBD_OPTION:
            raise Failure(f"{path}: no server of NBD")
        option = NBD_OPTION + struct.pack(">II", EXPORT_NAME, len(name)) + name.encode()
        connection.sendall(struct.pack(">I", FIXED_NEWSTYLE_WITHOUT_ZEROES) + option)
        length = struct.unpack(">QH", received(connection, 10))[0]
        content = bytearray(length)
        for at in range(0, length, STEP):
            count = min(STEP, length - at)
            connection.sendall(struct.pack(">IHHQQI", NBD_REQUEST, 0, READ, at, at, count))
            magic, error, handle = struct.unpack(">IIQ", received(connection, 16))
            if (magic, handle) != (NBD_REPLY, at):
                raise Failure(f"{path}: {magic:#x} is no reply")
            if error != 0:
                return None
            receive_into(connection, memoryview(content)[at:at + count])
        connection.sendall(struct.pack(">IHHQQI", NBD_REQUEST, 0, CLOSE, 0, 0, 0))
    return content


class ShownDisks:
    """qemu-storage-daemon, started anew for images that do not change meanwhile; `with` ends it. It runs in a folder of the test's, as
    names of data files lead from there, and not from where the image is."""

    def __init__(self, context, folder):
        self.context = context
        self.folder = context.directory / folder
        self.socket = context.directory / f"{folder}.socket"
        self.count = 0

    def __enter__(self):
        if not daemon_commands.STORAGE_DAEMON.exists():
            raise Skip(f"{daemon_commands.STORAGE_DAEMON} is missing: install qemu-system-common")
        self.socket.unlink(missing_ok=True)
        self.process = self.context.start(
            [daemon_commands.STORAGE_DAEMON, "--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor",
             "--nbd-server", f"addr.type=unix,addr.path={self.socket}"], stdin=subprocess.PIPE, cwd=self.folder)
        self.answer()  # a greeting
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.stdin.close()
        self.process.stdin = None  # which nobody is to write to any more
        self.context.finish(self.process)

    def answer(self):
        """What is no event."""
        while line := self.process.stdout.readline():
            found = json.loads(line)
            if "event" not in found:
                return found
        raise Failure("qemu-storage-daemon has ended: " + self.process.stderr.read().decode(errors="replace"))

    def ask(self, command, **arguments):
        """What the command returns; None when there is an error."""
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer().get("return")

    def disk(self, name, image_format):
        """What QEMU tells of an image, without those behind it, and its disk; (None, None) when it cannot be opened or read."""
        self.count += 1
        node = f"n{self.count}"
        if self.ask("blockdev-add", **{"driver": image_format, "node-name": node, "read-only": True,
                                       "file": {"driver": "file", "filename": name}}) is None:
            return None, None
        nodes = self.ask("query-named-block-nodes", flat=True)
        told = next(found["image"] for found in nodes if found["node-name"] == node)
        self.ask("block-export-add", type="nbd", id=node, **{"node-name": node})
        content = export_read(self.socket, node)
        return (told, content) if content is not None else (None, None)

    def snapshots(self, name):
        """The disks of a qcow2 image's snapshots, in their order.

        A copy has their L1 table, and length, as those of its disk, which QEMU reads then with the rest of the image: that is more than
        qemu-img's -l, which shows the disk's own length."""
        content = bytearray((self.folder / name).read_bytes())
        count, at = struct.unpack_from(">IQ", content, 60)
        found = []
        for number in range(count):
            at = (at + 7) // 8 * 8
            table, entries, id_len, name_len = struct.unpack_from(">QIHH", content, at)
            extra_len = struct.unpack_from(">I", content, at + 36)[0]
            disk_len = struct.unpack_from(">Q", content, at + 48 if extra_len >= 16 else 24)[0]
            header = content[:48]
            struct.pack_into(">Q", header, 24, disk_len)
            struct.pack_into(">IQ", header, 36, entries, table)
            copy = self.folder / f"{name}.{number}"
            copy.write_bytes(header + content[48:])
            found.append(self.disk(copy.name, "qcow2")[1])
            copy.unlink()
            at += 40 + extra_len + id_len + name_len
        return found
