# SPDX-License-Identifier: Apache-2.0
"""Existing images of formats other than raw and qcow2: the same command by qemu-img on a copy of the same image, and both have the
same disk then, and are sound. What a crash leaves is formats/blocks_modify.py's."""

import os
import shutil
import struct
import uuid

from lib import daily, recipes, vhd_images
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20
SIZE = 9 * MIB
FORMATS = {"vdi": "", "vpc": "force_size=on", "vhdx": "", "vmdk": "", "parallels": "", "qcow": "", "qed": ""}
BACKED = ("qed", "qcow", "vmdk")


def filled(path, *stretches):
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for byte, offset, length in stretches:
            file.seek(offset)
            file.write(bytes([byte]) * length)


def image_make(maker, format, name, *writes, backing=None):
    options = ["-o", FORMATS[format]] if FORMATS[format] else []
    backed = ["-b", backing, "-F", format] if backing else []
    maker.run(REFERENCE, "create", "-q", "-f", format, *options, *backed, name, SIZE)
    maker.run("qemu-io", "-f", format, *(word for write in writes for word in ("-c", write)), name)


def expect_alike(context, format, ours, theirs):
    context.run([REFERENCE, "compare", "-f", format, "-F", format, ours, theirs]).expect()
    done = context.run([REFERENCE, "check", "-f", format, ours])
    if done.status not in (0, 63):
        raise Failure(f"{done.stdout}{done.stderr}")
    context.run([context.qemu_img, "check", "-q", "-f", format, ours])


def both(context, format, *words, options=()):
    """The command, by us and by qemu-img, on `image` and its copy; what each is called stands last."""
    shutil.copy(context.directory / "image", context.directory / "copy")
    ours = context.run([context.qemu_img, words[0], *options, *words[1:], "image"])
    theirs = context.run([REFERENCE, *words, "copy"])
    if ours.status != theirs.status:
        raise Failure(f"{words}: {ours.status} {ours.stderr}, qemu-img: {theirs.status} {theirs.stderr}")
    expect_alike(context, format, "image", "copy")
    return ours, theirs


def content(context, format):
    image_make(context.maker, format, "image", "write -P 1 1M 1M", "write -P 2 8000k 100k")
    filled(context.directory / "source", (3, 512 * KIB, MIB), (4, 5 * MIB + 512, 70 * KIB), (5, SIZE - 512, 512))
    both(context, format, "convert", "-n", "-f", "raw", "-O", format, "source")


def some_writes(context, format):
    image_make(context.maker, format, "image", "write -P 1 1M 1M", "write -P 2 8000k 100k")
    both(context, format, "bench", "-w", "-f", format, "-c", "40", "-s", "2048", "-S", "229376", "--pattern", "9", "--flush-interval", "8")


def resize(context, format):
    """Where qemu-img has it: qed. vpc and vhdx are beyond it, and qemu-img reads them; the other ones are refused likewise."""
    image_make(context.maker, format, "image", "write -P 1 1M 1M", "write -P 2 8000k 100k")
    shutil.copy(context.directory / "image", context.directory / "copy")
    if format in ("vpc", "vhdx"):
        context.run([REFERENCE, "convert", "-f", format, "-O", "raw", "image", "expected"]).expect()
        for length in (SIZE + 3 * MIB + 512, 300 << 30):
            context.run([context.qemu_img, "resize", "-f", format, "image", length]).expect()
            with open(context.directory / "expected", "r+b") as file:
                file.truncate(length)
            context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
            context.run([context.qemu_img, "check", "-q", "-f", format, "image"]).expect()
            context.run(["qemu-io", "-f", format, "-c", f"write -P 6 {length - 4096} 4k", "image"]).expect()
            with open(context.directory / "expected", "r+b") as file:
                file.seek(length - 4096)
                file.write(b"\6" * 4096)
        return context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
    for length in ("+3M", "+10G", "512M"):
        done = [context.run([program, "resize", "-f", format, name, length]) for program, name in
                ((context.qemu_img, "image"), (REFERENCE, "copy"))]
        if done[0].status != done[1].status or (format == "qed" and length != "512M" and done[0].status != 0):
            raise Failure(f"{length}: {done[0].stderr} {done[1].stderr}")
    return expect_alike(context, format, "image", "copy")


def commit(context, format):
    image_make(context.maker, format, "base", "write -P 1 1M 1M")
    image_make(context.maker, format, "image", "write -P 2 1500k 3M", "write -P 3 64k 512", backing="base")
    context.run([REFERENCE, "convert", "-f", format, "-O", "raw", "image", "expected"]).expect()
    context.run([context.qemu_img, "commit", "--backing=beside", "--backing-file", "base", "-f", format, "image"]).expect()
    for name in ("base", "image"):
        context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", name]).expect()
    if (context.directory / "image").stat().st_size > MIB:
        raise Failure("the image is not empty")


def rebase(context, format):
    if format == "vmdk":  # its child knows its parent by content
        done = context.run([context.qemu_img, "rebase", "-u", "-b", "base", "-F", "vmdk", "image"])
        return done.status == 1 or Failure("vmdk")
    image_make(context.maker, format, "base", "write -P 1 1M 1M", "write -P 4 8M 64k")
    image_make(context.maker, format, "image", "write -P 2 1500k 3M", "write -P 3 64k 512", backing="base")
    filled(context.directory / "other", (7, MIB, 100 * KIB), (8, 7 * MIB, MIB))
    context.run([REFERENCE, "convert", "-f", format, "-O", "raw", "image", "expected"]).expect()
    long_name = "../" + context.directory.name + "/./" * 150 + "other"
    for name in ("other", long_name, ""):
        behind = ["-F", "raw"] if name else []
        context.run([context.qemu_img, "rebase", "--backing=beside", "--backing-dir", context.directory, "-f", format, "-b", name, *behind,
                     "image"]).expect()
        context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
    return None


def shown(context, format, name):
    context.run([REFERENCE, "convert", "-f", format, "-O", "raw", name, "shown"]).expect()
    return (context.directory / "shown").read_bytes()


def no_room(context, format):
    """The file may not become long enough: each sector is as before, or as it was to become, and the image is sound."""
    image_make(context.maker, format, "image", "write -P 1 1M 1M", "write -P 2 8000k 100k")
    filled(context.directory / "source", (3, 0, SIZE))
    before = shown(context, format, "image")
    limit = (context.directory / "image").stat().st_size // 512 + 5 * 2048
    done = context.run(["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh", context.qemu_img, "convert", "-n", "-f", "raw", "-O", format, "source",
                        "image"])
    if done.status != 1:
        raise Failure(done.describe("the file cannot have become so long"))
    after = shown(context, format, "image")
    for at in range(0, len(before), 512):
        if after[at:at + 512] not in (before[at:at + 512], b"\3" * 512):
            raise Failure(f"offset {at:#x} has what was never written there")
    done = context.run([context.qemu_img, "check", "-q", "-f", format, "image"])
    if done.status not in (0, 3, 63):
        raise Failure(done.describe("not sound"))


OPERATIONS = {"no_room": no_room, "content": content, "some_writes": some_writes, "resize": resize, "commit": commit, "rebase": rebase}
CASES = [f"{format},{name}" for format in FORMATS for name in OPERATIONS if format in BACKED or name not in ("commit", "rebase")]


@test(cases=daily.sample("changed_formats", CASES, 5))
def as_qemu_img(context, case):
    format, name = case.split(",")
    context.maker = recipes.Maker(context.directory)
    OPERATIONS[name](context, format)


def patched(path, *patches):
    with open(path, "r+b") as file:
        for offset, value, length in patches:
            file.seek(offset)
            file.write(value.to_bytes(length, "little"))


def word(path, offset, length):
    return int.from_bytes(path.read_bytes()[offset:offset + length], "little")


def damage_parallels(path):
    """Not closed, a cluster that is outside of the file, and space that is leaked."""
    patched(path, (44, 0x746F6E59, 4), (64 + 4 * 7, 0x1000, 4))
    with open(path, "ab") as file:
        file.truncate(path.stat().st_size + 3 * MIB)


def damage_qed(path):
    """An L2 table and a cluster that are nowhere."""
    l1 = word(path, 40, 8)
    patched(path, (word(path, l1, 8) + 8 * 40, 0x12345, 8), (l1 + 8, 0x7777, 8), (16, 2, 8))


@test(cases=["parallels", "qed"])
def repaired_as_by_qemu_img(context, case):
    image_make(recipes.Maker(context.directory), case, "image", "write -P 1 1M 1M", "write -P 2 5M 64k")
    {"parallels": damage_parallels, "qed": damage_qed}[case](context.directory / "image")
    before = (context.directory / "image").read_bytes()
    done = context.run([context.qemu_img, "bench", "-w", "-f", case, "-c", "1", "image"])
    if done.status != 1 or (context.directory / "image").read_bytes() != before:
        raise Failure("a damaged image is changed")
    ours, theirs = both(context, case, "check", "-r", "all", "-f", case)
    if (ours.stdout, ours.stderr) != (theirs.stdout, theirs.stderr):
        raise Failure(f"{ours.stdout}{ours.stderr}, qemu-img: {theirs.stdout}{theirs.stderr}")


@test()
def vdi_repaired(context):
    """QEMU has no repair, but its check finds nothing afterwards, and the disk is what it was but for what was nowhere."""
    image_make(recipes.Maker(context.directory), "vdi", "image", "write -P 1 1M 1M", "write -P 2 5M 64k")
    path = context.directory / "image"
    table = word(path, 0x154, 4)
    # Block 8 is another one, block 7 none that can be, and the header counts seven.
    patched(path, (table + 4 * 8, word(path, table + 4, 4), 4), (table + 4 * 7, 0x1000, 4), (0x184, 7, 4))
    if context.run([context.qemu_img, "bench", "-w", "-f", "vdi", "-c", "1", "image"]).status != 1:
        raise Failure("a damaged image is changed")
    context.run([context.qemu_img, "check", "-r", "all", "-f", "vdi", "image"]).expect()
    context.run([REFERENCE, "check", "-f", "vdi", "image"]).expect()
    context.run([REFERENCE, "convert", "-f", "vdi", "-O", "raw", "image", "shown"]).expect()
    shown = (context.directory / "shown").read_bytes()
    if shown != bytes(MIB) + b"\1" * MIB + bytes(3 * MIB) + b"\2" * 64 * KIB + bytes(3 * MIB - 64 * KIB) + b"\1" * MIB:
        raise Failure("the disk is another one")


@test()
def vpc_that_was_longer(context):
    """The table of a disk that was made shorter has blocks behind its end: a longer disk has zeros there."""
    image = context.directory / "image"
    image_make(recipes.Maker(context.directory), "vpc", "image", "write -P 1 0 2M", "write -P 2 4M 5M")
    data = bytearray(image.read_bytes())
    for place in (0, len(data) - 512):
        data[place + 48:place + 56] = struct.pack(">Q", 3 * MIB)
        data[place + 64:place + 68] = bytes(4)
        data[place + 64:place + 68] = struct.pack(">I", ~sum(data[place:place + 512]) & 0xffffffff)
    image.write_bytes(data)
    (context.directory / "expected").write_bytes(bytes([1]) * (2 * MIB) + bytes(MIB))
    for length in (3 * MIB, 9 * MIB, 40 * MIB):
        if length > 3 * MIB:
            context.run([context.qemu_img, "resize", "-f", "vpc", "image", length]).expect()
        os.truncate(context.directory / "expected", length)
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "vpc", "expected", "image"]).expect()


@test(cases=["kept", "behind_the_end", "too_many"])
def vhdx_region_of_others(context, case):
    """A region that is not known, and not required, stays: blocks go behind it. What it is not safe to change is as it was."""
    image_make(recipes.Maker(context.directory), "vhdx", "image", "write -P 1 0 1M")
    image = vhd_images.Vhdx(context.directory / "image")
    image.data += bytes(-len(image.data) % MIB)
    place = len(image.data)
    image.data += b"R" * (MIB if case != "behind_the_end" else 0)
    for table in vhd_images.REGION_TABLES:
        for number in range(2, 3 if case != "too_many" else 30):
            entry = table + 16 + 32 * number
            image.data[entry:entry + 32] = uuid.uuid4().bytes_le + struct.pack("<QII", place, MIB, 0)
            image.put(table + 8, number + 1, 4)
    image.fit_sums()
    image.save()
    before = (context.directory / "image").read_bytes()
    (context.directory / "source").write_bytes(b"n" * SIZE)
    done = context.run([context.qemu_img, "convert", "-n", "-f", "raw", "-O", "vhdx", "source", "image"])
    after = (context.directory / "image").read_bytes()
    if case != "kept":
        if done.expect(1) and after != before:
            raise Failure("the image has changed")
        return
    done.expect()
    if after[place:place + MIB] != b"R" * MIB:
        raise Failure("the region is lost")
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vhdx", "source", "image"]).expect()


@test(cases=["qcow2", "vdi"])
def bench_past_the_end(context, format):
    """The requests before the one that is behind the disk's end have been done."""
    recipes.Maker(context.directory).run(REFERENCE, "create", "-q", "-f", format, "image", 4 * MIB)
    done = context.run([context.qemu_img, "bench", "-w", "-f", format, "-c", "8", "-d", "1", "-s", "1M", "-S", "1536k", "--pattern", "9",
                        "image"]).expect(1)
    if "Input/output error" not in done.stderr:
        raise Failure(done.describe("expected another error"))
    (context.directory / "expected").write_bytes(bytes([9]) * (4 * MIB))  # at 0, 1.5, 3, 0.5 and 2 MiB, and not at 3.5
    context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
