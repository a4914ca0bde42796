# SPDX-License-Identifier: Apache-2.0
"""Daemons that have the other end of a transport, for bench/transports: started for a run, and ended after it."""
import contextlib
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from lib import daemon_commands, vsock_ends  # noqa: E402

START_S = 10
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A daemon is not installed, or does not start; says so."""


class Daemon:
    """A process that serves `socket`."""

    def __init__(self, socket, arguments):
        if not pathlib.Path(arguments[0]).exists():
            raise Missing(f"{arguments[0]} is missing")
        socket.unlink(missing_ok=True)
        # A group of its own: whoever waits for the job's processes does not wait for this one.
        self.process = subprocess.Popen([str(argument) for argument in arguments], start_new_session=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if not daemon_commands.sockets_wait(self.process, [socket], START_S):
            raise Missing(f"{arguments[0]} does not start")

    def processor_s(self):
        stat = pathlib.Path("/proc", str(self.process.pid), "stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * TICK_S

    def end(self):
        self.process.terminate()
        self.process.wait()


@contextlib.contextmanager
def vhost_user_blk(source, target):
    sockets = [source.with_name("input.sock"), source.with_name("output.sock")]
    with open(target, "wb") as file:
        file.truncate(source.stat().st_size)
    started = []
    try:
        for socket, path in zip(sockets, (source, target)):
            started.append(Daemon(socket, daemon_commands.storage_daemon(socket, path, writable=path == target)))
        yield [f"--vhost-user-input={sockets[0]}", f"--vhost-user-output={sockets[1]}"], started
    finally:
        for daemon in started:
            daemon.end()


@contextlib.contextmanager
def virtiofs(source, target):
    socket = source.with_name("share.sock")
    daemon = Daemon(socket, daemon_commands.fs_daemon(socket, source.parent))
    try:
        yield [f"--virtiofs={socket}", "--input", source.name, "--output", target.name], [daemon]
    finally:
        daemon.end()
        daemon_commands.fs_daemon_lock(socket).unlink(missing_ok=True)


@contextlib.contextmanager
def vsock_socket(source, target):
    path = source.with_name("vsock.sock")
    service = source.with_name("vsock.sock_1025")
    program = pathlib.Path(vsock_ends.__file__)
    daemon = Daemon(service, [program, path, source, target])
    try:
        yield [f"--vsock-socket={path}"], [daemon]
    finally:
        daemon.end()
        service.unlink(missing_ok=True)


@contextlib.contextmanager
def none(source, target):
    yield ["--input", source, "--output", target], []


SERVED = {"vhost-user-blk": vhost_user_blk, "virtiofs": virtiofs, "vsock-socket": vsock_socket}


def served(transport, source, target):
    """For `with`: the options that name the files, and the daemons that are needed for them."""
    return SERVED.get(transport, none)(source, target)
