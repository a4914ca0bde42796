# SPDX-License-Identifier: Apache-2.0
"""--transport=vsock-socket: programs outside of the job have the far ends of the guest's connections."""

import errno
import signal
import socket
import struct
import sys
import time

from lib import images, vsock_ends
from lib.python_tests import test
from lib.suite import Failure

KIB = 1 << 10
MIB = 1 << 20
HEAD = struct.pack("<Q", 64 * KIB)


def command(context, *options):
    return [context.build.vmm, "--transport=vsock-socket", "--vsock-socket", "sock", "--progress-percent=100", *options,
            context.build.guests / "transport-copy.bin"]


def expect_gone(context):
    """The socket's name, and only that, is the job's."""
    if (context.directory / "sock").exists():
        raise Failure("the socket is still there")


def far_end_start(context):
    process = context.start([sys.executable, vsock_ends.__file__, context.directory / "sock", "in", "out"])
    while not (context.directory / "sock_1025").is_socket():
        if process.poll() is not None:
            raise Failure(context.finish(process).describe("the far end does not start"))
        time.sleep(0.01)
    return process


@test(cases=["1", "4096", str(64 * KIB + 1), str(MIB + 1), str(300 * MIB)], weight=4, timeout=120)
def outside(context, case):
    """Another program gives the input and takes the output."""
    images.prepare(context.directory, int(case))
    process = far_end_start(context)
    completed = context.run(command(context, "--sync")).expect()
    context.finish(process).expect()
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure(completed.describe("the output is not the input"))
    expect_gone(context)


@test()
def latency(context):
    images.prepare(context.directory, 64 * KIB)
    process = far_end_start(context)
    completed = context.run(command(context, "--latency-reads=16")).expect()
    context.finish(process).expect()
    if "latency: read of 4096 bytes, 16 times: " not in completed.stderr:
        raise Failure(completed.describe("no latency"))


@test()
def options(context):
    """What the transport needs, and what it cannot have."""
    images.prepare(context.directory, KIB)
    program = context.build.guests / "transport-copy.bin"
    vmm = [context.build.vmm, "--transport=vsock-socket"]
    context.run([*vmm, program]).expect_error("--vsock-socket: is missing")
    context.run(command(context, "--input", "in")).expect_error("--input: does not go with the transport")
    context.run(command(context, "--max-output=1M")).expect_error("--max-output: does not go with the transport")
    context.run([context.build.vmm, "--input", "in", "--output", "out", "--vsock-socket", "sock", program]).expect_error(
        "--vsock-socket: does not go with the transport")
    context.run([*vmm, "--vsock-socket", "s" * 108, program]).expect_error("the socket's name is too long")
    context.run([*vmm, "--vsock-socket", "s" * 103, program]).expect_error("the socket's name is too long")
    context.run([*vmm, "--vsock-socket", "no/sock", program]).expect_error("cannot make a socket: No such file")
    context.run(command(context)).expect_error("sock_1025: cannot connect: No such file")
    expect_gone(context)
    (context.directory / "sock").write_text("mine")
    context.run(command(context)).expect_error("sock: cannot make a socket: Address already in use")
    if (context.directory / "sock").read_text() != "mine":
        raise Failure("what had the name is gone")


@test()
def nobody_comes(context):
    """The job waits, and leaves no name when it is ended."""
    listener = vsock_ends.listen(context.directory / "sock")
    context.run(command(context, "--max-time=1")).expect_error("the job exceeded its time limit of 1 s")
    expect_gone(context)
    process = context.start(command(context))
    while not (context.directory / "sock").is_socket():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    context.finish(process).expect(-signal.SIGINT)
    expect_gone(context)
    listener.close()


def client_greets(text):
    def act(path, listener):
        return [vsock_ends.connect(path, text)]
    return act


def client_gives(content, ends=True):
    """A sound greeting, and then this."""
    def act(path, listener):
        client = vsock_ends.connect(path)
        vsock_ends.line_read(client)
        client.sendall(content)
        if ends:
            client.shutdown(socket.SHUT_WR)
        return [client]
    return act


def service_answers(content):
    """The whole input, and then this on the output's connection, before it ends."""
    def act(path, listener):
        held = client_gives(HEAD + bytes(64 * KIB), ends=False)(path, listener)
        connection, _ = listener.accept()
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return [*held, connection]
    return act


EARLY = "vsock: the host's data ends early"

# What the far ends do, and what the user reads.
HOSTILE = {
    "no_greeting": (client_greets(b"GET / HTTP/1.1\r\n\r\n"), "vsock: the client does not say CONNECT and a port"),
    "greeting_cut": (lambda path, _: vsock_ends.connect(path, b"CONN").close() or [],
                     "vsock: the client does not say CONNECT and a port"),
    "greeting_negative": (client_greets(b"CONNECT -1\n"), "vsock: the client does not say CONNECT and a port"),
    "another_port": (client_greets(b"CONNECT 99\n"), "vsock: the guest refuses the client's connection (port 99)"),
    "leaves": (lambda path, _: vsock_ends.connect(path).close() or [], EARLY),
    "head_cut": (client_gives(HEAD[:5]), EARLY),
    "input_cut": (client_gives(HEAD + bytes(1000)), EARLY),
    "input_of_16_eib": (client_gives(b"\xff" * 8 + bytes(1000)),
                        "the guest says that 36028797018963968 sectors of 512 bytes are 18446744073709551615 bytes"),
    "service_leaves": (service_answers(b""), EARLY),
    "service_reply_cut": (service_answers(b"\0" * 3), EARLY),
    "service_fails": (service_answers(struct.pack("<II", 1, 0)), "output: the device reports an I/O error"),
    "service_babbles": (service_answers(b"\xff" * 100000), "output: the device reports an I/O error"),
}


@test(cases=list(HOSTILE), timeout=20, with_sanitizers=True)
def hostile(context, case):
    """Far ends are not trusted: one line of error, and no job that waits for ever."""
    act, text = HOSTILE[case]
    listener = vsock_ends.listen(context.directory / "sock")
    process = context.start(command(context))
    held = act(context.directory / "sock", listener)
    completed = context.finish(process)
    for connection in held:
        connection.close()
    listener.close()
    completed.expect_error(text)
    expect_gone(context)


@test()
def one_client(context):
    """Whoever comes second is refused while the first is served."""
    listener = vsock_ends.listen(context.directory / "sock")
    process = context.start(command(context))
    held = client_gives(HEAD, ends=False)(context.directory / "sock", listener)
    with socket.socket(socket.AF_UNIX) as second:
        if second.connect_ex(str(context.directory / "sock")) != errno.ECONNREFUSED:
            raise Failure("a second client is let in")
    for connection in held:
        connection.close()
    context.finish(process).expect_error(EARLY)
    listener.close()
