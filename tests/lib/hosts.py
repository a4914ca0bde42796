# SPDX-License-Identifier: Apache-2.0
"""Hosts for schedulers: network namespaces on a bridge, each with a name and an address of its own, on one file system."""

import os
import shutil
import signal
import subprocess
import time

from lib.suite import Failure, Skip

PREFIX = "10.77.0"


def programs_need(*names):
    """Skips where one of them is missing; the packages are in tools/install-packages (schedulers)."""
    missing = [name for name in names if shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") is None]
    if missing:
        raise Skip(f"not installed: {', '.join(missing)} (tools/install-packages schedulers)")


class Hosts:
    """The first one has the bridge; all end with the test."""

    def __init__(self, context, names):
        programs_need("ip", "nsenter", "unshare")
        self.context = context
        self.names = list(names)
        self.holders = {}
        for name in self.names:
            holder = context.start(["unshare", "--net", "--uts", "sh", "-c", f"hostname {name} && echo ready && exec sleep 600"])
            if holder.stdout.readline().strip() != b"ready":
                raise Skip(f"no network namespaces: {holder.stderr.read().decode().strip()}")
            self.holders[name] = holder
        first = self.names[0]
        self.run(first, ["sh", "-ec", f"ip link set lo up; ip link add bridge type bridge; ip link set bridge up;"
                                      f"ip address add {self.address(first)}/24 dev bridge"])
        for number, name in enumerate(self.names[1:]):
            self.run(first, ["sh", "-ec", f"ip link add v{number} type veth peer name eth0 netns {self.holders[name].pid};"
                                          f"ip link set v{number} master bridge up"])
            self.run(name, ["sh", "-ec", f"ip link set lo up; ip link set eth0 up; ip address add {self.address(name)}/24 dev eth0"])

    def address(self, name):
        return f"{PREFIX}.{1 + self.names.index(name)}"

    def enter(self, name, arguments):
        return ["nsenter", "--target", str(self.holders[name].pid), "--net", "--uts", *map(str, arguments)]

    def run(self, name, arguments, **options):
        done = subprocess.run(self.enter(name, arguments), cwd=self.context.directory, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=self.context.left_s(), **options)
        if done.returncode != 0:
            raise Failure(f"{arguments} on {name}: {done.stdout}")
        return done.stdout

    def start(self, name, arguments, log, **options):
        """A daemon, whose output goes to a file."""
        with (self.context.directory / log).open("ab") as stream:
            return self.context.start(self.enter(name, arguments), stdout=stream, stderr=stream, **options)

    def kill(self, name):
        """Whatever runs there is gone at once; the host itself stays."""
        own = os.readlink(f"/proc/{self.holders[name].pid}/ns/uts")
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and int(entry) != self.holders[name].pid and os.readlink(f"/proc/{entry}/ns/uts") == own:
                    os.kill(int(entry), signal.SIGKILL)
            except OSError:
                continue


def wait_for(context, what, condition, interval_s=0.05):
    while not condition():
        if context.left_s() < 1:
            raise Failure(f"timed out: {what}")
        time.sleep(interval_s)
