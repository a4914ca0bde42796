# SPDX-License-Identifier: Apache-2.0
"""Persistent bitmaps of qcow2 images, as QEMU sees them."""

import json
import socket
import time

from lib.suite import Failure


def is_listening(path):
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def dirty_extents(context, image, bitmap):
    """What QEMU shows of a bitmap to those who make backups."""
    path = context.directory / "socket"
    path.unlink(missing_ok=True)
    server = context.start(["/usr/bin/qemu-nbd", "-r", "-t", "-e", "2", "-f", "qcow2", "-B", bitmap, "-k", path, image])
    try:
        while not is_listening(path):
            if server.poll() is not None or context.left_s() < 1:
                raise Failure(f"qemu-nbd does not serve {bitmap} of {image}")
            time.sleep(0.005)
        options = f"driver=nbd,server.type=unix,server.path={path},x-dirty-bitmap=qemu:dirty-bitmap:{bitmap}"
        done = context.run(["/usr/bin/qemu-img", "map", "--output=json", "--image-opts", options]).expect()
    finally:
        server.terminate()
        context.finish(server)
    return [(extent["start"], extent["length"]) for extent in json.loads(done.stdout) if not extent["data"]]


def bitmaps_of(image):
    """Of each bitmap of the qcow2 image at this path: whether it is in use, its granularity, and its bits, a number.

    In version 2, for which qemu-img leaves them there, nothing says that they are valid: they are none."""
    content = image.read_bytes()

    def number(at, length):
        return int.from_bytes(content[at:at + length].ljust(length, b"\0"), "big")

    cluster = 1 << number(20, 4)
    extension = content.find(b"\x23\x85\x28\x75", 0, cluster)
    if extension < 0 or number(4, 4) < 3:
        return []
    at = number(extension + 24, 8)
    found = []
    for _ in range(number(extension + 8, 4)):
        table, count, flags, granularity = number(at, 8), number(at + 8, 4), number(at + 12, 4), 1 << content[at + 17]
        bits = b""
        for index in range(count):
            entry = number(table + index * 8, 8)
            data = content[entry & ~1:][:cluster].ljust(cluster, b"\0") if entry > 1 else b"\0\xff"[entry:][:1] * cluster
            bits += data
        found.append((flags & 1 != 0, granularity, int.from_bytes(bits, "little")))
        at += (24 + number(at + 18, 2) + number(at + 20, 4) + 7) // 8 * 8
    return found
