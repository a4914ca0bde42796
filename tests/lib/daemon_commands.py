# SPDX-License-Identifier: Apache-2.0
"""Command lines of the daemons that have devices of a machine, for tests and benchmarks."""

import pathlib
import time

FS_DAEMON = pathlib.Path("/usr/lib/qemu/virtiofsd")
STORAGE_DAEMON = pathlib.Path("/usr/bin/qemu-storage-daemon")


def storage_daemon(socket, path, writable=False, disk_options=""):
    """qemu-storage-daemon with one disk."""
    disk = f"driver=file,node-name=disk,filename={path},read-only={'off' if writable else 'on'}{disk_options}"
    export = f"vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket}"
    return [STORAGE_DAEMON, "--blockdev", disk, "--export", export + (",writable=on" if writable else "")]


def fs_daemon(socket, directory):
    """virtiofsd, which ends when its client does. `socket` is an absolute path: see fs_daemon_lock."""
    return [FS_DAEMON, f"--socket-path={socket}", "-o", f"source={directory}", "-o", "cache=none", "-o",
            "sandbox=chroot"]


def fs_daemon_lock(socket):
    """The file that virtiofsd locks, which is named for the socket, and stays when it ends."""
    return pathlib.Path("/run/virtiofsd", str(socket).replace("/", ".") + ".pid")


def sockets_wait(process, paths, seconds):
    """Until the sockets are there. False when they do not come."""
    end = time.monotonic() + seconds
    while not all(path.is_socket() for path in paths):
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
