#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vsock_ends.py PATH INPUT OUTPUT: the far ends of --transport=vsock-socket, as another program has them.

Gives INPUT to the guest, at PATH, and takes OUTPUT from it, at PATH_1025 (abi/transports/stream.h). Independent of the
code that is tested.
"""

import os
import pathlib
import socket
import struct
import sys
import threading
import time

INPUT_PORT, OUTPUT_PORT = 1024, 1025
DATA, FLUSH, FINISH = 1, 2, 3
REQUEST = struct.Struct("<IIQ")
REPLY = struct.pack("<II", 0, 0)
START_S = 20
PART_LEN = 1 << 20


def listen(path):
    """Where the guest's connection comes from; before the machine is started."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}_{OUTPUT_PORT}")
    listener.listen(1)
    return listener


def connect(path, greeting=f"CONNECT {INPUT_PORT}\n".encode()):
    """To the machine, as soon as it is there."""
    end = time.monotonic() + START_S
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
            client.sendall(greeting)
            return client
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.005)


def line_read(client):
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv(1)
        if not byte:
            raise EOFError(f"the machine says {line!r}")
        line += byte
    return line


def input_give(path, source):
    client = connect(path)
    answer = line_read(client)
    if not answer.startswith(b"OK ") or not answer[3:-1].isdigit():
        raise ValueError(f"the machine says {answer!r}")
    with open(source, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        client.sendall(struct.pack("<Q", length))
        off = 0
        while off < length:
            off += os.sendfile(client.fileno(), file.fileno(), off, length - off)
    client.shutdown(socket.SHUT_WR)
    client.recv(1)  # until the guest has closed it
    client.close()


def exactly(connection, length):
    """In parts."""
    while length > 0:
        part = connection.recv(min(length, PART_LEN))
        if not part:
            raise EOFError("the guest's stream ends early")
        length -= len(part)
        yield part


def output_take(listener, target):
    connection, _ = listener.accept()
    with open(target, "wb") as file:
        while True:
            kind, reserved, length = REQUEST.unpack(b"".join(exactly(connection, REQUEST.size)))
            if kind not in (DATA, FLUSH, FINISH) or reserved != 0 or (kind == DATA) == (length == 0):
                raise ValueError(f"the guest makes the request {kind} with {length} bytes")
            for part in exactly(connection, length):
                file.write(part)
            if kind != DATA:
                file.flush()
                connection.sendall(REPLY)
            if kind == FINISH:
                return


def main():
    path, source, target = sys.argv[1:]
    listener = listen(path)
    # A guest that only measures ends without an output.
    threading.Thread(target=output_take, args=(listener, target), daemon=True).start()
    try:
        input_give(path, source)
    except (BrokenPipeError, ConnectionResetError):
        pass  # likewise, without the whole of the input
    finally:
        pathlib.Path(f"{path}_{OUTPUT_PORT}").unlink()


if __name__ == "__main__":
    main()
