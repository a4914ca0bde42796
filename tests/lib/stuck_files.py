# SPDX-License-Identifier: Apache-2.0
"""A command beside a file system whose server does not answer, as one that is gone:

    unshare -rm python3 stuck_files.py DIRECTORY OPERATION SIGNAL COMMAND...

mounts a FUSE file system at DIRECTORY that has one file, `stuck`, of 1 MiB. OPERATION on it (`lookup`, `open`, `lock`,
`read` or `write`) is never answered; with the first one COMMAND is sent SIGNAL, unless that is 0. The exit status is COMMAND's, or 128 and the number
of the signal that ended it; 77 when there is no such file system to be had.

The numbers and structures are those of include/uapi/linux/fuse.h.
"""

import ctypes
import errno
import os
import struct
import subprocess
import sys
import threading

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH = 1, 2, 3, 14, 15, 16, 17, 18, 25
INIT, INTERRUPT, BATCH_FORGET = 26, 36, 42
GETLK, SETLK, POSIX_LOCKS = 31, 32, 2
STUCK = {"lookup": (LOOKUP,), "open": (OPEN,), "lock": (GETLK, SETLK), "read": (READ,),
         "write": (WRITE,)}
ROOT, FILE = 1, 2
FILE_LEN = 1 << 20
VALID_S = 3600
SKIPPED = 77


def attributes(node):
    mode, links, size = (0o040755, 2, 0) if node == ROOT else (0o100644, 1, FILE_LEN)
    return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def answer(operation, node, body, stuck):
    """An error number, or what the kernel is answered."""
    if operation == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, POSIX_LOCKS if SETLK in stuck else 0, 12, 9, 65536, 1, 1, 0, *[0] * 8)
    if operation == LOOKUP:
        if node != ROOT or body.rstrip(b"\0") != b"stuck":
            return errno.ENOENT
        return struct.pack("<4Q2I", FILE, 0, VALID_S, VALID_S, 0, 0) + attributes(FILE)
    if operation == GETATTR:
        return struct.pack("<Q2I", VALID_S, 0, 0) + attributes(node)
    if operation == OPEN:
        return struct.pack("<Q2I", 1, 0, 0)
    if operation == STATFS:
        return struct.pack("<5Q10I", 1000, 500, 500, 100, 50, 4096, 255, 4096, *[0] * 7)
    return b"" if operation in (RELEASE, FLUSH) else errno.ENOSYS


def serve(device, stuck, reached):
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        _, operation, unique, node = struct.unpack_from("<2I2Q", request)
        if operation in stuck:
            reached.set()
        elif operation not in (FORGET, BATCH_FORGET, INTERRUPT):
            reply = answer(operation, node, request[40:], stuck)
            number, content = (reply, b"") if isinstance(reply, int) else (0, reply)
            os.write(device, struct.pack("<IiQ", 16 + len(content), -number, unique) + content)


def mount(directory):
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    return device if library.mount(b"stuck", directory.encode(), b"fuse", 0, options) == 0 else None


def main():
    directory, operation, signal_number, *command = sys.argv[1:]
    device = mount(directory)
    if device is None:
        os._exit(SKIPPED)
    reached = threading.Event()
    threading.Thread(target=serve, args=(device, STUCK[operation], reached), daemon=True).start()
    process = subprocess.Popen(command)

    def signal_when_reached():
        reached.wait()
        if int(signal_number) != 0:
            process.send_signal(int(signal_number))

    threading.Thread(target=signal_when_reached, daemon=True).start()
    status = process.wait()
    if not reached.is_set():
        print("stuck_files: the command did not get there", file=sys.stderr, flush=True)
    # Ends the connection: whoever waits for an answer has an error then.
    os._exit(status if status >= 0 else 128 - status)


main()
