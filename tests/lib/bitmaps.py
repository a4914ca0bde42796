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
