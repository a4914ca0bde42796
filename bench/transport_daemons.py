# SPDX-License-Identifier: Apache-2.0
"""Daemons that have the other end of a transport, for bench/transports: started for a run, and ended after it."""
import contextlib
import os
import pathlib
import subprocess
import time

STORAGE_DAEMON = pathlib.Path("/usr/bin/qemu-storage-daemon")
FS_DAEMON = pathlib.Path("/usr/lib/qemu/virtiofsd")
START_S = 10
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A daemon is not installed, or does not start; says so."""


class Daemon:
    """A process that serves `socket`."""

    def __init__(self, socket, *arguments):
        if not pathlib.Path(arguments[0]).exists():
            raise Missing(f"{arguments[0]} is missing")
        socket.unlink(missing_ok=True)
        # A group of its own: whoever waits for the job's processes does not wait for this one.
        self.process = subprocess.Popen([str(argument) for argument in arguments], start_new_session=True,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_S
        while not socket.is_socket():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Missing(f"{arguments[0]} does not start")
            time.sleep(0.01)

    def processor_s(self):
        stat = pathlib.Path("/proc", str(self.process.pid), "stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * TICK_S

    def end(self):
        self.process.terminate()
        self.process.wait()


def storage_daemon(socket, path, writable):
    disk = f"driver=file,node-name=disk,filename={path},read-only={'off' if writable else 'on'}"
    export = f"vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket}"
    return Daemon(socket, STORAGE_DAEMON, "--blockdev", disk, "--export",
                  export + (",writable=on" if writable else ""))


@contextlib.contextmanager
def vhost_user_blk(source, target):
    sockets = [source.with_name("input.sock"), source.with_name("output.sock")]
    with open(target, "wb") as file:
        file.truncate(source.stat().st_size)
    started = []
    try:
        started.append(storage_daemon(sockets[0], source, False))
        started.append(storage_daemon(sockets[1], target, True))
        yield [f"--vhost-user-input={sockets[0]}", f"--vhost-user-output={sockets[1]}"], started
    finally:
        for daemon in started:
            daemon.end()


@contextlib.contextmanager
def virtiofs(source, target):
    socket = source.with_name("share.sock")
    daemon = Daemon(socket, FS_DAEMON, f"--socket-path={socket}", "-o", f"source={source.parent}", "-o", "cache=none",
                    "-o", "sandbox=chroot")
    try:
        yield [f"--virtiofs={socket}", "--input", source.name, "--output", target.name], [daemon]
    finally:
        daemon.end()
        # It locks a file that is named for the socket, and leaves it.
        pathlib.Path("/run/virtiofsd", str(socket).replace("/", ".") + ".pid").unlink(missing_ok=True)


@contextlib.contextmanager
def none(source, target):
    yield ["--input", source, "--output", target], []


SERVED = {"vhost-user-blk": vhost_user_blk, "virtiofs": virtiofs}


def served(transport, source, target):
    """For `with`: the options that name the files, and the daemons that are needed for them."""
    return SERVED.get(transport, none)(source, target)
