# SPDX-License-Identifier: Apache-2.0
"""The main commands for who is not root, and for who is root of a namespace only."""

import os
import shutil
import subprocess

from lib import images, users
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"
NOBODY = "65534"
ORDINARY = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
NAMESPACE = ["unshare", "-Ur"]
# What stands before a command: who runs it, and where.
USERS = {
    "ordinary": ORDINARY,
    "root-of-namespace": NAMESPACE,
    "root-of-ordinary-namespace": [*ORDINARY, *NAMESPACE],
    "own-processes": ["unshare", "--pid", "--fork", "--mount-proc"],
    "own-processes-of-namespace": [*NAMESPACE, "--pid", "--fork", "--mount-proc"],
}
DISK_LEN = 3 << 20
# Each after those before it.
COMMANDS = """
create -q -f qcow2 new 5M
convert -f raw -O qcow2 disk.raw disk.qcow2
convert -f raw -O qcow2 -c disk.raw packed.qcow2
create -q -f qcow2 -b disk.qcow2 -F qcow2 top
info disk.qcow2
info --output=json packed.qcow2
check disk.qcow2
map --output=json disk.qcow2
measure -O qcow2 disk.qcow2
compare -f raw -F qcow2 disk.raw packed.qcow2
convert --backing=beside -O raw top back.raw
dd -f qcow2 -O raw bs=64k if=disk.qcow2 of=dd.raw
snapshot -l disk.qcow2
resize -q new 9M
bench -w -c 4 -f qcow2 new
convert -n -f raw -O qcow2 disk.raw new
"""


def place_make(context):
    """A directory that everybody may reach and write to, with the program in it, wherever the build is."""
    place = context.directory / "place"
    place.mkdir()
    images.write_islands(place / "disk.raw", DISK_LEN, [(0, 300000), (1 << 20, 70000)])
    shutil.copy(context.build.instar, place / "qemu-img")
    for path, mode in ((context.directory.parent, 0o755), (context.directory, 0o755), (place, 0o777)):
        path.chmod(mode)
    return place


@test(cases=list(USERS))
def main_commands(context, case):
    before = USERS[case]
    if os.geteuid() != 0:
        raise Skip("only root can be all of these")
    if subprocess.run([*before, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("this system has no such namespace")
    if ORDINARY[0] in before:
        users.kvm_expect_for_others(context)
    place = place_make(context)
    for line in COMMANDS.strip().splitlines():
        done = context.run([*before, place / "qemu-img", *line.split()], cwd=place).expect()
        if done.stderr:
            raise Failure(done.describe("it says something else than it was asked for"))
    wanted = images.sha256(place / "disk.raw")
    for name in ("back.raw", "dd.raw"):
        if images.sha256(place / name) != wanted:
            raise Failure(f"{name} is not the disk")
    for name in ("disk.qcow2", "packed.qcow2"):
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", place / "disk.raw", place / name]).expect()
    for name in ("disk.qcow2", "packed.qcow2", "top", "new"):
        context.run([REFERENCE, "check", "-q", "-f", "qcow2", place / name]).expect()
    owner = int(NOBODY) if "ordinary" in case else 0
    if (found := (place / "disk.qcow2").stat().st_uid) != owner:
        raise Failure(f"what was made belongs to user {found}")
    if left := [name for name in os.listdir(place) if name.startswith(".")]:
        raise Failure(f"left behind: {left}")
