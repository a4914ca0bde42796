# SPDX-License-Identifier: Apache-2.0
"""Daemons that have devices of a machine: the real ones, and one that says whatever a test wants."""

import array
import mmap
import os
import select
import socket
import struct
import threading

from lib import daemon_commands, users
from lib.suite import Failure, Skip

PACKAGE = "qemu-system-common"

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE = 8, 9, 10, 11
SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES = 12, 13, 15, 16
SET_VRING_ENABLE, GET_CONFIG = 18, 24

REPLY_ACK, CONFIG = 1 << 3, 1 << 9
VERSION_1, INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES = 1 << 32, 1 << 28, 1 << 29, 1 << 30
FEATURES = VERSION_1 | INDIRECT_DESC | EVENT_IDX | PROTOCOL_FEATURES | 1 << 2 | 1 << 6 | 1 << 9  # SEG_MAX BLK_SIZE FLUSH
NEED_REPLY = 8
HEADER = struct.Struct("<III")

ORDINARY, CLOSE = object(), object()


def daemon_start(context, arguments, name):
    if not arguments[0].exists():
        raise Skip(f"{arguments[0]} is missing: install {PACKAGE}")
    path = context.directory / name
    path.unlink(missing_ok=True)
    process = context.start(arguments)
    if not daemon_commands.sockets_wait(process, [path], 20):
        raise Failure(f"{arguments[0]} does not start: {context.finish(process).stderr}")
    return process


def daemon_stop(context, process):
    process.terminate()
    return context.finish(process)


def storage_daemon_start(context, name, path, writable=False):
    """qemu-storage-daemon with one disk, at the socket `name`."""
    options = f",discard=unmap,detect-zeroes={'unmap' if writable else 'off'}"
    return daemon_start(context, daemon_commands.storage_daemon(name, path, writable, options), name)


def fs_daemon_start(context, name, directory):
    """virtiofsd, which ends when its client does."""
    if not users.is_root():
        raise Skip("virtiofsd runs as root only")
    return daemon_start(context, daemon_commands.fs_daemon(context.directory / name, directory), name)


def fs_daemon_end(context, name, process):
    """It has no client any more."""
    context.finish(process)
    daemon_commands.fs_daemon_lock(context.directory / name).unlink(missing_ok=True)


def disk_config(capacity=2048, seg_max=16, blk_size=512):
    """struct virtio_blk_config, as far as it is asked for."""
    return struct.pack("<QIIIIQBBHIIIIIB3x", capacity, 0, seg_max, 0, blk_size, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)


def message(request, payload, flags=5, length=None):
    return HEADER.pack(request, flags, len(payload) if length is None else length) + payload


def number(request, value):
    return message(request, struct.pack("<Q", value))


class FakeDaemon:
    """A back end of vhost-user with a disk, on a thread, which answers as `answers` says, and otherwise as it should.

    `answers` has for some requests what to do instead: bytes to send, which may be none, CLOSE, or a function that gets
    the daemon and the payload and returns one of these, or ORDINARY. `on_kick` is called when a ring has been kicked,
    with the daemon and the ring's number, and may return CLOSE.
    """

    def __init__(self, context, name, *, answers=None, on_kick=None, features=FEATURES, config=None,
                 protocol=REPLY_ACK | CONFIG, descriptors=()):
        self.answers = answers or {}
        self.on_kick = on_kick
        self.features = features
        self.protocol = protocol
        self.config = disk_config() if config is None else config
        self.descriptors = list(descriptors)  # sent with each answer
        self.seen = []
        self.memory = None
        self.sizes = {}
        self.rings = {}
        self.kicks = {}
        self.calls = {}
        self.fds = []
        self.connection = None
        self.ended = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(context.directory / name))
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ended.set()
        self.thread.join(10)
        if self.thread.is_alive():
            raise Failure("the fake daemon hangs")
        self.listener.close()
        for fd in self.fds:
            os.close(fd)
        if self.memory is not None:
            self.memory.close()

    def run(self):
        self.listener.settimeout(0.05)
        while not self.ended.is_set():
            try:
                self.connection, _ = self.listener.accept()
                break
            except TimeoutError:
                continue
        if self.connection is not None:
            try:
                self.serve()
            except (OSError, ValueError):
                pass  # the other side has ended
            self.connection.close()

    def receive(self, length):
        """Exactly so many bytes, and the descriptors that come with them."""
        found, fds = b"", []
        while len(found) < length:
            part, new_fds, _, _ = socket.recv_fds(self.connection, length - len(found), 8)
            if not part:
                raise OSError("closed")
            found += part
            fds += new_fds
        self.fds += fds
        return found, fds

    def serve(self):
        while not self.ended.is_set():
            ready, _, _ = select.select([self.connection, *self.kicks], [], [], 0.05)
            for fd in ready:
                if fd is self.connection:
                    if not self.message_take():
                        return
                else:
                    os.read(fd, 8)
                    if self.on_kick is not None and self.on_kick(self, self.kicks[fd]) is CLOSE:
                        return

    def message_take(self):
        head, fds = self.receive(HEADER.size)
        request, flags, length = HEADER.unpack(head)
        payload = self.receive(length)[0] if length else b""
        self.seen.append(request)
        self.note(request, payload, fds)
        answer = self.answers.get(request, ORDINARY)
        if callable(answer):
            answer = answer(self, payload)
        if answer is ORDINARY:
            answer = self.answer(request, payload) or (number(request, 0) if flags & NEED_REPLY else b"")
        if answer is CLOSE:
            return False
        if answer:
            self.send(answer)
        return True

    def send(self, data):
        if self.descriptors:
            socket.send_fds(self.connection, [data], self.descriptors)
        else:
            self.connection.sendall(data)

    def answer(self, request, payload):
        if request == GET_FEATURES:
            return number(request, self.features)
        if request == GET_PROTOCOL_FEATURES:
            return number(request, self.protocol)
        if request == GET_CONFIG:
            return message(request, struct.pack("<III", 0, len(self.config), 0) + self.config)
        if request == GET_VRING_BASE:
            return message(request, payload[:4] + bytes(4))
        return None

    def note(self, request, payload, fds):
        if request == SET_MEM_TABLE:
            _, _, _, length, _, offset = struct.unpack("<IIQQQQ", payload)
            self.memory_gpa = struct.unpack_from("<Q", payload, 24)[0]
            self.memory_fd = fds[0]
            self.memory = mmap.mmap(fds[0], length, offset=offset)
        elif request == SET_VRING_ADDR:
            index, _, desc, used, avail, _ = struct.unpack("<IIQQQQ", payload)
            self.rings[index] = {"desc": desc - self.memory_gpa, "used": used - self.memory_gpa,
                                 "avail": avail - self.memory_gpa, "size": self.sizes[index], "next": 0}
        elif request == SET_VRING_NUM:
            index, size = struct.unpack("<II", payload)
            self.sizes[index] = size
        elif request == SET_VRING_KICK:
            self.kicks[fds[0]] = struct.unpack("<Q", payload)[0]
        elif request == SET_VRING_CALL:
            self.calls[struct.unpack("<Q", payload)[0]] = fds[0]

    def short_store(self, offset, value):
        """At once: pack_into clears what it writes to before, which the guest may see."""
        self.memory[offset:offset + 2] = struct.pack("<H", value % 65536)

    def use(self, ring, index, head, length):
        """Writes a used ring as no device should, and tells the guest."""
        used = self.rings[ring]["used"]
        struct.pack_into("<II", self.memory, used + 4, head, length)
        self.short_store(used + 2, index)
        os.write(self.calls[ring], array.array("Q", [1]).tobytes())


INIT, LOOKUP, SETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, CREATE = 26, 1, 4, 14, 15, 16, 18, 20, 25, 35
INPUT_NODE, OUTPUT_NODE = 2, 3


def fuse_attributes(length, mode=0o100644):
    return struct.pack("<6Q10I", 1, length, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def fuse_entry(node, length, mode=0o100644):
    return struct.pack("<5Q", node, 0, 0, 0, 0) + fuse_attributes(length, mode)


def fuse_init(major=7, max_write=1 << 20):
    return struct.pack("<4I2H2I2H8I", major, 31, 0, 1 << 22, 0, 0, max_write, 1, 256, 0, *[0] * 8)


class FakeShare(FakeDaemon):
    """A server of FUSE with a file `in`, which answers as `fuse` says, and otherwise as it should.

    `fuse` has for some kinds of requests what to answer instead: an errno value, the answer's content, CLOSE, or a
    function that gets the request's number and the ordinary answer, and returns the whole answer and what length the
    ring shall tell.
    """

    def __init__(self, context, name, content, fuse=None, write_len_max=1 << 20, **options):
        self.write_len_max = write_len_max
        self.content = content
        self.fuse = fuse or {}
        self.written = bytearray(len(content))
        super().__init__(context, name, on_kick=lambda daemon, ring: daemon.ring_serve(ring), protocol=REPLY_ACK,
                         features=FEATURES & ~(1 << 2 | 1 << 6 | 1 << 9), **options)

    def chain_read(self, ring, head):
        """The bytes of a chain's readable part, and where its writable one lies."""
        table, table_len, _, _ = struct.unpack_from("<QIHH", self.memory, ring["desc"] + 16 * head)
        readable, writable = b"", []
        for index in range(table_len // 16):
            gpa, length, flags, _ = struct.unpack_from("<QIHH", self.memory, table - self.memory_gpa + 16 * index)
            offset = gpa - self.memory_gpa
            if flags & 2:
                writable.append((offset, length))
            else:
                readable += self.memory[offset:offset + length]
        return readable, writable

    def ring_serve(self, number_of_ring):
        ring = self.rings[number_of_ring]
        while True:
            available = struct.unpack_from("<H", self.memory, ring["avail"] + 2)[0]
            self.short_store(ring["used"] + 4 + 8 * ring["size"], available)
            if ring["next"] == available:
                break
            place = ring["next"] % ring["size"]
            head = struct.unpack_from("<H", self.memory, ring["avail"] + 4 + 2 * place)[0]
            request, writable = self.chain_read(ring, head)
            answer = self.request_answer(request)
            if answer is CLOSE:
                return CLOSE
            content, told_len = answer
            for offset, length in writable:
                part, content = content[:length], content[length:]
                self.memory[offset:offset + len(part)] = part
            struct.pack_into("<II", self.memory, ring["used"] + 4 + 8 * place, head, told_len)
            ring["next"] = (ring["next"] + 1) % 65536
            self.short_store(ring["used"] + 2, ring["next"])
        os.write(self.calls[number_of_ring], array.array("Q", [1]).tobytes())
        return None

    def request_answer(self, request):
        _, opcode, unique, _, _, _, _, _ = struct.unpack_from("<IIQQIIII", request)
        lie = self.fuse.get(opcode)
        if lie is CLOSE:
            return CLOSE
        content = lie if isinstance(lie, bytes) else self.ordinary(opcode, request[40:])
        error = lie if isinstance(lie, int) else 0
        if isinstance(content, int):
            error, content = content, b""
        answer = struct.pack("<IiQ", 16 + len(content), -error, unique) + content
        return lie(unique, answer) if callable(lie) else (answer, len(answer))

    def ordinary(self, opcode, arguments):
        """Content, or an errno value."""
        if opcode == INIT:
            return fuse_init()
        if opcode == LOOKUP:
            return fuse_entry(INPUT_NODE, len(self.content)) if arguments == b"in\0" else 2
        if opcode == OPEN:
            return struct.pack("<QII", 7, 0, 0)
        if opcode == CREATE:
            return fuse_entry(OUTPUT_NODE, 0) + struct.pack("<QII", 8, 0, 0)
        if opcode == SETATTR:
            return bytes(16) + fuse_attributes(0)
        if opcode in (READ, WRITE):
            _, offset, length = struct.unpack_from("<QQI", arguments)
            if opcode == READ:
                return self.content[offset:offset + length]
            length = min(length, self.write_len_max)
            self.written[offset:offset + length] = arguments[40:40 + length]
            return struct.pack("<II", length, 0)
        return b""
