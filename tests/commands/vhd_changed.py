# SPDX-License-Identifier: Apache-2.0
"""VHD and VHDX that exist, changed in ways that qemu-img does not have: repairs of a VHD, and differencing disks."""

import os
import shutil
import struct

from lib import daily, recipes, second_readers, vhd_images
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20
SIZE = 13 * MIB
TABLE = 1536  # of the VHD that qemu-img makes
WRITES = ((1, 0, 2 * MIB), (2, 4 * MIB, MIB), (3, 9 * MIB, 3 * MIB))


def disk_of(*writes):
    found = bytearray(SIZE)
    for byte, offset, length in writes:
        found[offset:offset + length] = bytes([byte]) * length
    return found


def entry(data, block):
    return int.from_bytes(data[TABLE + 4 * block:TABLE + 4 * block + 4], "big")


def set_entry(data, block, sector):
    data[TABLE + 4 * block:TABLE + 4 * block + 4] = struct.pack(">I", sector)


def is_undone(data, place, content):
    """Damage that is undone, byte for byte."""
    good = bytes(data)
    data[place:place + len(content)] = content
    return good


def damage(case, data):
    """Damages a sound VHD. The file that is to come of it, or the disk; None: the disk that qemu-img shows."""
    if case == "copy":
        return is_undone(data, 0, bytes(512))
    if case == "copy's sum":
        return is_undone(data, 100, b"\1")
    if case == "header's sum":
        return is_undone(data, 512 + 36, bytes(4))
    if case == "footer":
        return is_undone(data, len(data) - 512, b"x" * 512)
    if case == "no footer":
        good = bytes(data)
        del data[-512:]
        return good
    if case == "same place":
        set_entry(data, 5, entry(data, 4))
    elif case == "overlap":
        set_entry(data, 4, entry(data, 5) - 100)
    elif case == "metadata":
        set_entry(data, 2, 2)
    elif case == "footer's place":  # with the start of another block, so that the block reaches over the end
        place = (len(data) - 512) // 512 - 4096
        set_entry(data, 4, place)
    elif case == "nowhere":
        set_entry(data, 2, 0x10000000)
        return disk_of(WRITES[0], WRITES[2])
    elif case == "cut":
        del data[512 * entry(data, 5) + 512 + 700 * 512:]
        return disk_of(WRITES[0], WRITES[1], (3, 9 * MIB, MIB + 700 * 512))
    elif case == "space":
        good = bytes(data)
        data[-512:] = bytes(5 * MIB) + data[-512:]
        return good
    return None


CASES = ["copy", "copy's sum", "header's sum", "footer", "no footer", "same place", "overlap", "metadata", "footer's place", "nowhere", "cut", "space"]


@test(cases=daily.sample("vpc repaired", CASES, 4))
def vpc_repaired(context, case):
    """What check finds, and -r repairs, so that nothing is found any more: the disk is what was shown before, where that is known."""
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "vpc", "-o", "force_size=on", "image", SIZE)
    maker.io("image", *(f"write -P {byte} {offset} {length}" for byte, offset, length in WRITES), format="vpc")
    path = context.directory / "image"
    data = bytearray(path.read_bytes())
    wanted = damage(case, data)
    path.write_bytes(data)
    if wanted is None:
        context.run([REFERENCE, "convert", "-f", "vpc", "-O", "raw", "image", "expected"]).expect()
        if case == "footer's place":  # which is none of a disk's
            with open(context.directory / "expected", "r+b") as file:
                file.seek(10 * MIB - 512)
                file.write(bytes(512))
    elif len(wanted) == SIZE:
        (context.directory / "expected").write_bytes(wanted)
    found = context.run([context.qemu_img, "check", "-f", "vpc", "image"]).expect(0 if case == "space" else 2)
    if case in ("same place", "overlap", "metadata", "nowhere", "footer's place"):
        context.run([context.qemu_img, "bench", "-w", "-f", "vpc", "-c", "1", "image"]).expect(1)
    if case != "space" and "ERROR" not in found.stderr + found.stdout or path.read_bytes() != data:
        raise Failure(found.describe("another finding, or another file"))
    end = next((int(line[18:]) for line in found.stdout.splitlines() if line.startswith("Image end offset: ")), 1)
    if end % 512 != 0 or "\\x0a" in found.stdout + found.stderr:
        raise Failure(found.describe("an end within a sector, or within a line"))
    if case == "nowhere" and "ERROR: block 2 is behind the end of the file" not in (found.stdout + found.stderr).splitlines():
        raise Failure(found.describe("another line"))
    if case != "space":
        context.run([context.qemu_img, "check", "-r", "leaks", "-f", "vpc", "image"]).expect(2)
        if path.read_bytes() != data:
            raise Failure("errors are repaired with the leaks")
    done = context.run([context.qemu_img, "check", "-r", "leaks" if case == "space" else "all", "-f", "vpc", "image"]).expect()
    if (done.stdout + done.stderr).count("Repairing") != (2 if case in ("cut", "footer's place") else 1):
        raise Failure(done.describe("another number of repairs"))
    if wanted is not None and len(wanted) != SIZE:
        if path.read_bytes() != wanted:
            raise Failure("the file is not as it was before the damage")
    else:
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "vpc", "expected", "image"]).expect()
    context.run([context.qemu_img, "check", "-f", "vpc", "image"]).expect()
    context.run([context.qemu_img, "bench", "-w", "-f", "vpc", "-c", "9", "-s", "64k", "-S", "1M", "--pattern", "7", "image"]).expect()
    context.run([context.qemu_img, "check", "-f", "vpc", "image"]).expect()


def parent_make(context, format, options, sector_len):
    maker = recipes.Maker(context.directory)
    maker.create("base", SIZE, *options, format=format)
    maker.io("base", "write -P 5 1M 6M", "write -P 6 10M 1M", format=format)
    maker.convert("base", "base.raw", "-f", format, "-O", "raw")
    if sector_len != 512:
        image = vhd_images.Vhdx(context.directory / "base")
        image.put(image.items[vhd_images.LOGICAL_SECTOR_ITEM], sector_len, 4)
        image.save()
    maker.create("top", None, "cluster_size=512", backing="base.raw", backing_format="raw")
    maker.io("top", "write -P 7 2000k 100k", "write -z 3M 2M", "write -P 9 8704k 512", "write -P 8 0 1536", "write -P 4 7680000 5120")


def read_alike(context, format, names, wanted, sector_len):
    """By us, and by 7zip and libvhdi as far as they know such disks."""
    (context.directory / "disk").unlink(missing_ok=True)
    context.run([context.qemu_img_beside, "convert", "-f", format, "-O", "raw", names[0], "disk"]).expect()
    found = {"us": (context.directory / "disk").read_bytes()}
    if sector_len == 512:
        found["7zip"] = second_readers.extract(context, format, names[0])
        if format == "vhdx":
            found["libvhdi"] = second_readers.read_disk(context, format, names)
    for reader, content in found.items():
        if content != wanted:
            at = next((at for at in range(0, len(wanted), 512) if content[at:at + 512] != wanted[at:at + 512]), len(wanted))
            raise Failure(f"{names[0]}: {reader} reads another content, from {at:#x} on")


CHILDREN = [f"{format},{options},{sector_len},{way}" for format, options, sector_len in
            (("vpc", "", 512), ("vhdx", "", 512), ("vhdx", "block_size=1M", 512), ("vhdx", "block_size=32M", 512), ("vhdx", "", 4096))
            for way in ("convert", "bench", "commit")]


@test(cases=daily.sample("changed children", CHILDREN, 3), timeout=60)
def children_changed(context, case):
    """A differencing disk some of whose blocks it has a part of: what is written is there, all else is what it was."""
    format, options, sector_len, way = case.split(",")
    sector_len, options = int(sector_len), [options] if options else []
    parent_make(context, format, options, sector_len)
    child_options = ["-o", *options] if options else []
    context.run([context.qemu_img_beside, "convert", "-O", format, "-B", "base", "-F", format, *child_options, "-f", "qcow2", "top", "child"]).expect()
    context.run([REFERENCE, "convert", "-f", "qcow2", "-O", "raw", "top", "whole"]).expect()
    wanted = bytearray((context.directory / "whole").read_bytes())
    read_alike(context, format, ["child", "base"], wanted, sector_len)
    base = (context.directory / "base").read_bytes()
    if way == "bench":
        context.run([context.qemu_img_beside, "bench", "-w", "-f", format, "-c", "9", "-s", "8k", "-S", "1234k", "--pattern", "3", "child"]).expect()
        for index in range(9):
            wanted[1234 * KIB * index:1234 * KIB * index + 8 * KIB] = b"\3" * 8 * KIB
    elif way == "convert":
        wanted[2 * MIB:2 * MIB + 70 * KIB] = os.urandom(70 * KIB)
        wanted[6 * MIB:8 * MIB] = bytes(2 * MIB)
        (context.directory / "new").write_bytes(wanted)
        context.run([context.qemu_img_beside, "convert", "-n", "-f", "raw", "-O", format, "new", "child"]).expect()
    else:
        context.run([context.qemu_img_beside, "commit", "-d", "--backing-file", "base", "-f", format, "child"]).expect()
        shutil.copy(context.directory / "base", context.directory / "alone")
        read_alike(context, format, ["alone"], wanted, sector_len)
    if way != "commit" and (context.directory / "base").read_bytes() != base:
        raise Failure("the parent has changed")
    read_alike(context, format, ["child", "base"], wanted, sector_len)
    context.run([context.qemu_img_beside, "check", "-f", format, "child"]).expect()
    done = context.run([context.qemu_img_beside, "resize", "-f", format, "child", "20M"])
    if done.status != 1:
        raise Failure(done.describe("longer than its parent"))
    (context.directory / "base").rename(context.directory / "elsewhere")
    before = (context.directory / "child").read_bytes()
    context.run([context.qemu_img_beside, "bench", "-w", "-f", format, "-c", "1", "child"]).expect(1)
    if (context.directory / "child").read_bytes() != before:
        raise Failure("changed without its parent")
