# SPDX-License-Identifier: Apache-2.0
"""SIGKILL while images are written: what was read is as it was, a new image is whole or not there, and an image that
is changed in place has at worst leaked clusters, and nothing in it but what was there and what was to come.

INSTAR_TEST_KILLS is the number of kills for each kind of job; when it is not set, 6 of each of a day's kinds.
"""

import dataclasses
import os
import shutil
import subprocess
import time

from lib import daily, images, jobs
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
KILLS = int(os.environ.get("INSTAR_TEST_KILLS", "6"))
REFERENCE = "/usr/bin/qemu-img"
LEN = 12 * MIB
# What a guest's file system writes at once, and the unit in which old and new may be mixed.
BLOCK_LEN = 4 * KIB


@dataclasses.dataclass
class Kind:
    arguments: list
    format: str = "qcow2"
    in_place: bool = False
    virtual_len: int = LEN  # afterwards
    extents: tuple = ()  # files that the image consists of besides


NEW = ["convert", "-f"]
KINDS = {
    "raw_to_qcow2": Kind([*NEW, "raw", "-O", "qcow2", "source.raw", "out"]),
    "qcow2_to_raw": Kind([*NEW, "qcow2", "-O", "raw", "source.qcow2", "out"], format="raw"),
    "compressed": Kind([*NEW, "raw", "-O", "qcow2", "-c", "-o", "cluster_size=16k", "source.raw", "out"]),
    "create": Kind(["create", "-q", "-f", "qcow2", "-o", "preallocation=full,cluster_size=512", "out", str(LEN)]),
    "into_qcow2": Kind(["convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "out"], in_place=True),
    "into_small_clusters": Kind(["convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "out"], in_place=True),
    "compressed_into_qcow2": Kind(["convert", "-n", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "out"], in_place=True),
    "into_data_file": Kind(["convert", "-n", "--data-file", "data", "-f", "raw", "-O", "qcow2", "source.raw", "out"],
                           in_place=True),
    "bitmaps_into_qcow2": Kind(["convert", "-n", "--bitmaps", "-f", "qcow2", "-O", "qcow2", "source.qcow2", "out"],
                               in_place=True),
    "grow": Kind(["resize", "-f", "qcow2", "--preallocation=metadata", "out", "2G"], in_place=True, virtual_len=2 << 30),
    "shrink_with_bitmaps": Kind(["resize", "-f", "qcow2", "--shrink", "out", "3M"], in_place=True,
                                virtual_len=3 * MIB),
    "shrink": Kind(["resize", "-f", "qcow2", "--shrink", "out", "3M"], in_place=True, virtual_len=3 * MIB),
}
FORMATS = (("vdi", ""), ("vdi", "static=on"), ("vpc", ""), ("vpc", "subformat=fixed"), ("vhdx", ""), ("vhdx", "subformat=fixed"), ("qed", ""),
           ("parallels", ""), ("qcow", ""), ("vmdk", ""), ("vmdk", "subformat=streamOptimized"))
for format, options in FORMATS:
    KINDS[f"{format},{options}"] = Kind([*NEW, "raw", "-O", format, *(["-o", options] if options else []), "source.raw", "out"], format=format)
KINDS["flat"] = Kind([*NEW, "raw", "-O", "vmdk", "-o", "subformat=monolithicFlat", "source.raw", "out"], format="vmdk", extents=("out-flat",))
for kind, letter in (("Flat", "f"), ("Sparse", "s")):  # a second extent without data
    KINDS[f"split{kind}"] = Kind([*NEW, "raw", "-O", "vmdk", "-o", f"subformat=twoGbMaxExtent{kind}", "source.raw", "hole.raw", "out"],
                                 format="vmdk", extents=(f"out-{letter}001", f"out-{letter}002"))
KINDS["dd"] = Kind(["dd", "-f", "raw", "-O", "vhdx", "bs=1M", "if=source.raw", "of=out"], format="vhdx")
KINDS["create_static"] = Kind(["create", "-q", "-f", "vdi", "-o", "static=on,preallocation=full", "out", str(LEN)], format="vdi")
KINDS["create_split"] = Kind(["create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "out", "5G"], format="vmdk",
                             extents=("out-f001", "out-f002", "out-f003"))


def reference(directory, *arguments):
    return subprocess.run([REFERENCE, *arguments], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)


def reference_must(directory, *arguments):
    done = reference(directory, *arguments)
    if done.returncode != 0:
        raise Failure(f"{arguments}: {done.stdout.decode()}")


class Scene:
    """A directory with sources, and for a job that works in place what it starts from."""

    def __init__(self, context, name):
        self.context = context
        self.kind = KINDS[name]
        self.directory = context.directory
        self.out = self.directory / "out"
        images.write_islands(self.directory / "source.raw", LEN, [(0, 5 * MIB), (6 * MIB + 512, 3 * MIB), (LEN - 512, 512)])
        reference_must(self.directory, "convert", "-f", "raw", "-O", "qcow2", "-c", "source.raw", "source.qcow2")
        if name.startswith("bitmaps"):
            for bitmap in ("one", "two"):
                reference_must(self.directory, "bitmap", "--add", "-g", "512", "source.qcow2", bitmap)
        self.old = b""
        if self.kind.in_place:
            self.has_bitmaps = "bitmaps" in name
            self.has_data_file = name == "into_data_file"
            self.old_make(cluster="4k" if name == "into_small_clusters" else "64k")
        if name.startswith("split"):
            (self.directory / "hole.raw").touch()
            os.truncate(self.directory / "hole.raw", 2 << 30)
        self.sources = {path: path.read_bytes() for path in self.directory.iterdir() if path.name != "hole.raw"}
        # What the disk is when all has gone well. Zeros behind it are not kept.
        self.new = b"" if name.startswith("create") else self.sources[self.directory / "source.raw"]
        if self.kind.arguments[0] == "resize":
            self.new = self.old[:self.kind.virtual_len]

    def old_make(self, cluster):
        """An image with data of its own, which a snapshot shares in part."""
        images.write_islands(self.directory / "old.raw", LEN, [(MIB, 4 * MIB), (8 * MIB, 3 * MIB)])
        self.old = (self.directory / "old.raw").read_bytes()
        options = f"cluster_size={cluster}" + (",data_file=data" if self.has_data_file else "")
        reference_must(self.directory, "convert", "-f", "raw", "-O", "qcow2", "-o", options, "old.raw", "old.qcow2")
        if self.has_data_file:
            (self.directory / "data").rename(self.directory / "old.data")
        if self.has_bitmaps:
            reference_must(self.directory, "bitmap", "--add", "-g", "512", "--disable", "old.qcow2", "old")
        if cluster == "4k":
            reference_must(self.directory, "snapshot", "-c", "before", "old.qcow2")

    def start(self):
        if self.kind.in_place:
            shutil.copyfile(self.directory / "old.qcow2", self.out)
            if self.has_data_file:
                shutil.copyfile(self.directory / "old.data", self.directory / "data")
        else:
            for name in ("out", *self.kind.extents):
                (self.directory / name).unlink(missing_ok=True)
        return self.context.start([self.context.qemu_img, *self.kind.arguments], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE)

    def check(self, is_finished):
        names = {path.name for path in self.directory.iterdir()}
        if names - {"out", "data", "hole.raw", *self.kind.extents} != {path.name for path in self.sources}:
            raise Failure(f"the directory holds {sorted(names)}")
        for path, content in self.sources.items():
            if path.read_bytes() != content:
                raise Failure(f"{path.name} has changed")
        if not self.out.exists():
            if is_finished or self.kind.in_place:
                raise Failure("there is no output")
            return
        if not names.issuperset(self.kind.extents):
            raise Failure(f"of the image's files there are {names}")
        if self.kind.in_place:
            self.check_image(allowed=(0,) if is_finished else (0, 3))
            self.check_content([self.new] if is_finished else [self.old, self.new])
        else:
            if self.kind.format not in ("raw", "vpc", "qcow"):
                self.check_image(allowed=(0,))
            self.check_content([self.new])

    def check_image(self, allowed):
        done = reference(self.directory, "check", "-f", self.kind.format, "out")
        if done.returncode not in allowed:
            raise Failure(f"qemu-img check: {done.returncode}: {done.stdout.decode()}")

    def check_content(self, allowed):
        """Each block is that of one of these disks, of which the ends are zeros."""
        reference_must(self.directory, "dd", "-f", self.kind.format, "-O", "raw", "bs=1M", f"count={LEN // MIB}",
                       f"if={self.out.name}", f"of={self.directory.parent / 'seen'}")
        seen = (self.directory.parent / "seen").read_bytes()
        (self.directory.parent / "seen").unlink()
        allowed = [disk.ljust(len(seen), b"\0") for disk in allowed]
        for at in range(0, len(seen), BLOCK_LEN):
            block = seen[at:at + BLOCK_LEN]
            if all(disk[at:at + BLOCK_LEN] != block for disk in allowed):
                raise Failure(f"at {at} the disk has neither what was there nor what was to be written")


@test(cases=list(KINDS) if "INSTAR_TEST_KILLS" in os.environ else daily.sample("writing_killed", KINDS, 5), timeout=120 + KILLS, weight=KILLS / 4)
def killed(context, case):
    """At any moment from the program's start to a bit after its usual end."""
    scene = Scene(context, case)
    process = scene.start()
    begin = time.monotonic()
    context.finish(process).expect()
    duration = time.monotonic() - begin
    scene.check(is_finished=True)
    finished_count = 0
    for number in range(KILLS):
        process = scene.start()
        is_finished = jobs.kill_at_random(process, duration, number)
        finished_count += is_finished
        scene.check(is_finished=is_finished)
    if finished_count == KILLS and KILLS > 8:
        raise Failure("no job was killed in time")
