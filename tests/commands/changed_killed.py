# SPDX-License-Identifier: Apache-2.0
"""Existing images of formats other than raw and qcow2 while they are changed: SIGKILL at any moment, and a disk that gets full.

Whatever happens, the image opens and is sound, but for space that nobody has; each sector of its disk is as before or as it was to
become; and the job can be done again, and is complete then. INSTAR_TEST_KILLS is the number of kills of each job; without it, 4.
"""

import dataclasses
import os
import shutil
import subprocess
import time

from lib import daily, images, jobs, recipes, vhd_images
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20
KILLS = int(os.environ.get("INSTAR_TEST_KILLS", "4"))
LEN = 12 * MIB
LONG_LEN = (2 << 30) + 6 * MIB  # of a disk in two files
SECTOR = 512  # the unit in which old and new may be mixed
ROOM = MIB  # of a disk that gets full
OPTIONS = {"vpc": "force_size=on", "vhdx": "block_size=1M", "split": "subformat=twoGbMaxExtentSparse"}
FORMATS = ("vdi", "vpc", "vhdx", "vmdk", "parallels", "qcow", "qed", "split")
BACKED = ("qed", "qcow", "vmdk")


@dataclasses.dataclass
class Job:
    """What is done, and what may be seen of it at any moment."""
    words: list
    shown: dict  # image -> disks (Scene.window_of), of which each sector is from one; the last: when all is done
    lengths: tuple = ()  # that the disk may have; the last: when all is done; empty: that is not looked at
    can_be_read: bool = True  # before the job is complete
    new_files: tuple = ()  # that the job makes; one that did not come to its end may have left some


class Scene:
    def __init__(self, context, case):
        operation, self.name = case.split(",")
        self.format = "vmdk" if self.name == "split" else self.name
        self.context = context
        self.directory = context.directory
        self.maker = recipes.Maker(self.directory)
        self.image = "image.vmdk" if self.name == "split" else "image"  # beside which its files are found
        self.window = LONG_LEN - LEN if self.name == "split" else 0  # where the LEN bytes begin that are looked at
        self.job = OPERATIONS[operation](self)
        self.names = {path.name for path in self.directory.iterdir()}
        self.old = {path.name: path.read_bytes() for path in self.directory.iterdir() if path.stat().st_size < 64 * MIB}
        for name in self.job.shown:
            if self.job.can_be_read and self.window_of(name) != self.job.shown[name][0]:
                raise Failure(f"{name} is not what was made")

    def create(self, name, *words, backing=None):
        options = ["-o", OPTIONS[self.name]] if self.name in OPTIONS else []
        backed = ["-b", backing, "-F", self.format] if backing else []
        self.maker.run(REFERENCE, "create", "-q", "-f", self.format, *options, *backed, name, self.window + LEN)
        if words:
            self.maker.io(name, *words, format=self.format)

    def old_make(self, name, byte, backing=None):
        """An image with something here and there; its disk."""
        stretches = [(MIB, MIB), (5 * MIB + 512, 70 * KIB), (LEN - 3 * MIB, 2 * MIB)]
        self.create(name, *(f"write -P {byte} {self.window + start} {length}" for start, length in stretches), backing=backing)
        disk = bytearray(LEN)
        for start, length in stretches:
            disk[start:start + length] = bytes([byte]) * length
        return bytes(disk)

    def reset(self):
        for name in {path.name for path in self.directory.iterdir()} - self.names:
            (self.directory / name).unlink()
        for name, content in self.old.items():
            images.write_sparse(self.directory / name, content)

    def window_of(self, name):
        """What the disk has there, by qemu-img."""
        seen = self.directory.parent / "seen"
        image = name
        if self.format == "vhdx":  # of which QEMU opens none whose log needs a replay
            image = self.directory.parent / "replayed"
            shutil.copyfile(self.directory / name, image)
            self.maker.run(REFERENCE, "check", "-q", "-r", "all", "-f", "vhdx", image)
        self.maker.run(REFERENCE, "dd", "-f", self.format, "-O", "raw", "bs=1M", f"skip={self.window // MIB}",
                       f"count={(self.window + LEN) // MIB}",  # from the start of the disk
                      
                       f"if={image}", f"of={seen}")
        content = seen.read_bytes()
        seen.unlink()
        return content

    def length_of(self, name):
        done = self.context.run([self.context.qemu_img, "info", "-f", self.format, name]).expect()
        return int(done.stdout.split("virtual size: ")[1].split("(")[1].split()[0])

    def check(self, is_finished):
        names = {path.name for path in self.directory.iterdir()}
        if not names - set(self.job.new_files) == self.names:
            raise Failure(f"the directory holds {sorted(names)}")
        if not is_finished and not self.job.can_be_read:
            return
        for name, disks in self.job.shown.items():
            self.check_sound(name, is_finished)
            allowed = disks[-1:] if is_finished else disks
            seen = self.window_of(name)
            for at in range(0, LEN if seen not in allowed else 0, SECTOR):
                if all(seen[at:at + SECTOR] != disk[at:at + SECTOR] for disk in allowed):
                    raise Failure(f"{name}: at {at} the disk has neither what was there nor what was to be written")
        if self.job.lengths and self.length_of(self.image) not in self.job.lengths[-1 if is_finished else 0:]:
            raise Failure(f"the disk has {self.length_of(self.image)} bytes")

    def check_sound(self, name, is_finished):
        found = self.context.run([self.context.qemu_img, "check", "-f", self.format, name])
        if found.status not in ((0, 63) if is_finished else (0, 3, 63)):
            raise Failure(found.describe("not sound"))
        if self.format == "vhdx":
            return  # see window_of
        found = self.context.run([REFERENCE, "check", "-f", self.format, name])
        # A count that was to become true with the entries that come next: QEMU writes it first, too.
        is_count = not is_finished and "1 errors" in found.stdout and "allocated blocks mismatch" in found.stdout + found.stderr
        if found.status not in ((0, 63) if is_finished else (0, 3, 63)) and not is_count:
            raise Failure(found.describe("not sound"))

    def complete(self):
        """The same job once more."""
        self.context.run([self.context.qemu_img, *self.job.words]).expect()
        self.check(is_finished=True)


def content(scene):
    """convert -n."""
    old = scene.old_make(scene.image, 1)
    images.write_islands(scene.directory / "source", scene.window + LEN, [(scene.window, 4 * MIB), (scene.window + 5 * MIB + 512, 6 * MIB)])
    with open(scene.directory / "source", "rb") as file:
        file.seek(scene.window)
        new = file.read()
    return Job(["convert", "-n", "-f", "raw", "-O", scene.format, "source", scene.image], {scene.image: (old, new)})


def grow(scene):
    old = scene.old_make(scene.image, 1)
    if scene.name == "split":  # a file more; the second one, whose header has its length, is complete before that
        words = ["resize", "-q", "-f", scene.format, scene.image, str(6 << 30)]
        return Job(words, {scene.image: (old, old)}, (LONG_LEN, 4 << 30, 6 << 30), new_files=("image-s003.vmdk", "image-s004.vmdk"))
    length = {"vpc": 2000 << 30, "vmdk": 900 << 30, "vhdx": 100 << 30, "qed": 60 << 30}[scene.name]
    return Job(["resize", "-q", "-f", scene.format, "image", str(length)], {"image": (old, old)}, (LEN, length))


def damage(path, *patches):
    with open(path, "r+b") as file:
        for offset, value in patches:
            file.seek(offset)
            file.write(value.to_bytes(4, "little"))


def word(path, offset):
    return int.from_bytes(path.read_bytes()[offset:offset + 4], "little")


def damage_vmdk(path):
    """The first entries of two grains lead nowhere; the redundant ones do not."""
    table = word(path, word(path, 56) * 512) * 512
    damage(path, (table + 4 * 16, 0x6000000), (table + 4 * 17, 0x6000000))


def damage_vdi(path):
    table = word(path, 0x154)
    damage(path, (table + 4 * 7, 0x1000), (table + 4 * 8, word(path, table + 4)), (0x184, 7))


def damage_parallels(path):
    damage(path, (44, 0x746F6E59), (64 + 4 * 7, 0x1000))
    os.truncate(path, path.stat().st_size + 3 * MIB)


def damage_qed(path):
    l1 = word(path, 40)
    damage(path, (word(path, l1) + 8 * 40, 0x12345), (l1 + 8, 0x7777), (16, 2))


def damage_vhdx(path):
    """A log has what the file has not: the table."""
    image = vhd_images.Vhdx(path)
    identifier = bytes(range(16))
    table = bytes(image.data[image.bat:image.bat + 4096])
    image.data[image.bat:image.bat + 4096] = bytes(4096)
    image.set_log(identifier, [(0, vhd_images.log_entry(identifier, 5, 0, [(image.bat, table)], len(image.data)))])
    image.save()


DAMAGES = {"vdi": damage_vdi, "vmdk": damage_vmdk, "parallels": damage_parallels, "qed": damage_qed, "vhdx": damage_vhdx}


def repair(scene):
    """The disk is what a repair that nobody interrupts makes of it."""
    scene.old_make("image", 1)
    path = scene.directory / "image"
    DAMAGES[scene.name](path)
    before = path.read_bytes()
    words = ["check", "-q", "-r", "all", "-f", scene.format, "image"]
    scene.context.run([scene.context.qemu_img, *words])
    disk = scene.window_of("image")
    path.write_bytes(before)
    return Job(words, {"image": (disk,)}, can_be_read=False)


def commit(scene):
    base = scene.old_make("base", 1)
    scene.create("image", "write -P 7 3M 6M", "write -P 8 0 512", backing="base")
    new = bytearray(base)
    new[3 * MIB:9 * MIB] = b"\7" * (6 * MIB)
    new[:512] = b"\x08" * 512
    words = ["commit", "-q", "--backing=beside", "--backing-file", "base", "-f", scene.format, "image"]
    return Job(words, {"image": (bytes(new),), "base": (base, bytes(new))})


def rebase(scene):
    """Whatever the image names at the moment: its disk is the same."""
    scene.old_make("base", 1)
    scene.create("other", "write -P 9 64k 9M")
    scene.create("image", "write -P 7 3M 100k", backing="base")
    disk = scene.window_of("image")
    words = ["rebase", "--backing=beside", "-f", scene.format, "-b", "other", "-F", scene.format, "image"]
    return Job(words, {"image": (disk,)})


OPERATIONS = {"content": content, "grow": grow, "repair": repair, "commit": commit, "rebase": rebase}
ALL = [f"{operation},{format}" for operation, formats in (("content", FORMATS), ("grow", ("vpc", "vmdk", "vhdx", "qed", "split")), ("repair", DAMAGES),
                                                         ("commit", BACKED), ("rebase", BACKED)) for format in formats]


@test(cases=ALL if "INSTAR_TEST_KILLS" in os.environ else daily.sample("changed_killed", ALL, 2), timeout=120 + KILLS, weight=KILLS / 4)
def killed(context, case):
    """At any moment from the program's start to a bit after its usual end."""
    scene = Scene(context, case)
    begin = time.monotonic()
    scene.complete()
    duration = time.monotonic() - begin
    for number in range(KILLS):
        scene.reset()
        process = context.start([context.qemu_img, *scene.job.words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        scene.check(is_finished=jobs.kill_at_random(process, duration, number))
        scene.complete()


NOT_MOUNTED = 77
# In a mount namespace of its own, with which the file system goes.
INSIDE = """
mount -t tmpfs -o size=256m tmpfs disk || exit 77
cp --sparse=always $2 disk/ && cd disk || exit 1
fallocate -l $(($(stat -f -c '%a * %S' .) - {room})) filler || exit 1
shift 2
"$@"
status=$?
rm filler
cp --sparse=always * ../ || exit 1
exit $status
"""


@test(cases=daily.sample("changed_killed full_disk", [case for case in ALL if not case.startswith("repair") and case not in ("grow,vhdx", "grow,qed")], 2))
def full_disk(context, case):
    """One line that says so, the image as in `killed`, and no longer a file than before."""
    scene = Scene(context, case)
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    (context.directory / "disk").mkdir()
    room = {"grow,split": 0, "grow,vpc": 64 * KIB, "grow,vmdk": 64 * KIB}.get(case, ROOM)  # new files are holes for the most part
    script = INSIDE.format(room=room)
    names = " ".join(path.name for path in context.directory.iterdir() if path.is_file())
    command, *rest = scene.job.words
    done = context.run(["unshare", "--mount", "sh", "-uc", script, "sh", "-", names, context.qemu_img, command, "--min-free=0", *rest])
    if done.status == NOT_MOUNTED:
        raise Skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    if done.status != 1 or len(done.stderr.splitlines()) != 1 or "No space left on device" not in done.stderr:
        raise Failure(done.describe("expected one line that says that there is no room"))
    (context.directory / "disk").rmdir()
    scene.check(is_finished=False)
    for name, content in scene.old.items() if case != "rebase,qcow" else ():  # of whose small clusters tables tell meanwhile
        if (context.directory / name).stat().st_size > len(content):
            raise Failure(done.describe(f"{name} has {(context.directory / name).stat().st_size} bytes, before it had {len(content)}"))
    scene.complete()
