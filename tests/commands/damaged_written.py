# SPDX-License-Identifier: Apache-2.0
"""Damaged qcow2 images that are written to: they do not get worse.

What was sound stays so: the header, and all that qemu-img's check finds nothing wrong with. A job that succeeds has done
what it was asked for.
"""

import json
import shutil

from lib import daily, recipes
from lib.python_tests import test
from lib.qcow2_image import BASES, HEADER, Tables, bad_values
from lib.suite import Failure

MIB = 1 << 20
REFERENCE = "/usr/bin/qemu-img"

# What writes; {} is the disk's length.
COMMANDS = [
    ("data over all of the disk", "convert -n -f raw -O qcow2 data image"),
    ("compressed clusters", "convert -n -c -f raw -O qcow2 data image"),
    ("zeros", "convert -n -f raw -O qcow2 zeros image"),
    ("what is stored as zeros", "convert -n -S 0 -f raw -O qcow2 zeros image"),
    ("a part of a cluster", "bench -w -f qcow2 -c 1 -s 512 -o 512 image"),
    ("here and there", "bench -w -f qcow2 -c 12 -s 4k -S 68k -d 4 image"),
    ("bitmaps", "convert -n --bitmaps -f qcow2 -O qcow2 with_bitmaps image"),
    ("a longer disk", "resize -f qcow2 image +8G"),
    ("a longer disk with storage", "resize -f qcow2 --preallocation=metadata image +8M"),
    ("a shorter disk", "resize -f qcow2 --shrink image 512"),
    ("a snapshot", "snapshot -c one image"),
    ("a snapshot less", "snapshot -d first image"),
]


def inputs_make(maker, size):
    (maker.directory / "data").write_bytes(bytes((i * 2654435761 >> 7) & 255 for i in range(4096)) * (size // 4096))
    (maker.directory / "zeros").write_bytes(bytes(size))
    maker.create("with_bitmaps", size)
    maker.run(REFERENCE, "bitmap", "--add", "with_bitmaps", "added")
    maker.io("with_bitmaps", "write -P 9 0 512")


class Judge:
    def __init__(self, context):
        self.context = context
        self.path = context.directory / "image"

    def corruptions(self):
        """How many qemu-img finds; None: it cannot even look."""
        done = self.context.run([REFERENCE, "check", "-f", "qcow2", "--output=json", "image"])
        try:
            found = json.loads(done.stdout)
        except json.JSONDecodeError:
            return None
        return found.get("corruptions", 0) + found.get("check-errors", 0)

    def info(self):
        done = self.context.run([REFERENCE, "info", "-f", "qcow2", "--output=json", "image"])
        return json.loads(done.stdout) if done.status == 0 else None

    def expect_no_worse(self, what, done, damaged, command, corruptions):
        """Corruptions are no more than before, or no more than qemu-img leaves of the same image by the same command."""
        after = self.corruptions()
        if corruptions is None or (after is not None and after <= corruptions):
            return
        own = self.path.read_bytes()
        self.path.write_bytes(damaged)
        self.context.run([REFERENCE, *command.split()])
        theirs = self.corruptions()
        self.path.write_bytes(own)
        if theirs is not None and (after is None or after > theirs):
            raise Failure(done.describe(f"{what}: {corruptions} corruptions have become {after}, with qemu-img {theirs}"))

    def judge(self, what, command):
        before = self.path.read_bytes()
        corruptions, info = self.corruptions(), self.info()
        done = self.context.run([self.context.qemu_img, *command.split()])
        if done.status not in (0, 1) or (done.status == 1 and not done.stderr.strip()):
            raise Failure(done.describe(f"{what}: no clear end"))
        if info is None:
            if self.path.read_bytes() != before:
                raise Failure(done.describe(f"{what}: an image was changed that cannot be opened"))
            return
        self.expect_no_worse(what, done, before, command, corruptions)
        info_after = self.info()
        if info_after is None or (done.status == 1 and info_after["virtual-size"] != info["virtual-size"]):
            raise Failure(done.describe(f"{what}: the header has changed"))
        if done.status == 0 and corruptions == 0 and command.startswith("convert -n"):
            source = command.split()[-2]
            compared = self.context.run([REFERENCE, "compare", "-f", command.split("-f ")[1].split()[0], "-F", "qcow2", source,
                                         "image"])
            if compared.status != 0:
                raise Failure(compared.describe(f"{what}: the disk is not as it was written"))


def damages(base, tables):
    places = (HEADER[:13] if base == "version2" else HEADER) + Tables.entries(tables)
    for name, offset, length in places:
        for value in bad_values(length, tables.number(offset, length)):
            for purpose, command in COMMANDS:
                yield f"{name} = {value:#x}, {purpose}", offset, length, value, command


@test(cases=daily.sample("damaged_written not_worse", BASES, 3), timeout=240, weight=20)
def not_worse(context, case):
    maker = recipes.Maker(context.directory)
    BASES[case](maker)
    image = context.directory / "image"
    shutil.copy(image, context.directory / "good")
    size = json.loads(context.run([REFERENCE, "info", "-f", "qcow2", "--output=json", image]).stdout)["virtual-size"]
    inputs_make(maker, size)
    judge = Judge(context)
    failures = []
    for what, offset, length, value, command in daily.sample(f"damaged {case}", damages(case, Tables(image)), 16):
        shutil.copy(context.directory / "good", image)
        with open(image, "r+b") as file:
            file.seek(offset)
            file.write(value.to_bytes(length, "big"))
        try:
            judge.judge(what, command)
        except Failure as failure:
            failures.append(str(failure))
    if failures:
        raise Failure(f"{len(failures)} damages have got worse (INSTAR_TEST_SEED={daily.seed()})\n" + "\n".join(failures[:8]))


@test(cases=["convert -n -f raw -O qcow2 data image", "convert -n -c -f raw -O qcow2 data image", "bench -w -c 3 image",
             "resize image 1T", "resize --preallocation=metadata image +1M", "bitmap --add image b",
             "amend -o refcount_bits=32 image"])
def no_refcount_block(context, case):
    """The refcount table leads to no block, which would be that of the header: counts are not made up."""
    maker = recipes.Maker(context.directory)
    maker.create("image", MIB)
    inputs_make(maker, MIB)
    image = context.directory / "image"
    content = bytearray(image.read_bytes())
    at = Tables(image).refcounts
    content[at:at + 8] = bytes(8)
    image.write_bytes(content)
    done = context.run([context.qemu_img, *case.split()]).expect(1)
    expected = ("an entry of the refcount table leads to no refcount block" if case.startswith("amend") else
                "Preventing invalid allocation of refcount block at offset 0")
    if f"image: {expected}" not in done.stderr:
        raise Failure(done.describe("not these words"))
    if image.read_bytes() != content:
        raise Failure(done.describe("refused, and the image was changed"))


@test(cases=["convert -n -f raw -O qcow2 data image", "bench -w -f qcow2 -c 1 image", "resize -f qcow2 image +1M",
             "snapshot -c one image"])
def counts_behind_the_end(context, case):
    """A refcount table of which nothing is in the file is an error, and nothing is written."""
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "image", "4M"]).expect()
    (context.directory / "data").write_bytes(bytes(range(256)) * 16384)
    image = context.directory / "image"
    damaged = bytearray(image.read_bytes())
    damaged[50] = 2  # of the eight bytes of the table's offset
    image.write_bytes(damaged)
    done = context.run([context.qemu_img, *case.split()])
    if done.status != 1 or len(done.stderr.strip().splitlines()) != 1 or image.read_bytes() != damaged:
        raise Failure(done.describe("expected one line, and an image that is as before"))


@test(cases=["convert -n -f raw -O qcow2 zeros image", "bench -w -f qcow2 -c 1 -s 512 -o 512 image"])
def zeros_of_version_2(context, case):
    """Version 2 has no entry that says zeros: it is replaced by what is written as a whole, and is never taken for data."""
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "image", "1M"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", "image"]).expect()
    (context.directory / "zeros").write_bytes(bytes(MIB))
    image = context.directory / "image"
    damaged = bytearray(image.read_bytes())
    at = int.from_bytes(damaged[Tables(image).l1:][:8], "big") & 0x00fffffffffffe00
    damaged[at:at + 8] = (1).to_bytes(8, "big")
    image.write_bytes(damaged)
    if case.startswith("convert"):
        context.run([context.qemu_img, *case.split()]).expect()
        context.run([REFERENCE, "compare", "-q", "-f", "raw", "-F", "qcow2", "zeros", "image"]).expect()
        return
    done = context.run([context.qemu_img, *case.split()]).expect(1)
    if "Zero cluster entry found in pre-v3 image" not in done.stderr or image.read_bytes() != damaged:
        raise Failure(done.describe("expected a line about the entry, and an image that is as before"))


@test(cases=["metadata", "falloc", "full"])
def preallocated_beside_lost_counts(context, case):
    """What a disk gets that becomes longer is not what has a count of 0 and is data all the same."""
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "image", "4M"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 2M", "image"]).expect()
    image = context.directory / "image"
    content = bytearray(image.read_bytes())
    block = int.from_bytes(content[Tables(image).refcounts:][:8], "big")
    content[block + 2 * 20:block + 2 * 23] = bytes(6)  # of three clusters of data
    image.write_bytes(content)
    context.run([context.qemu_img, "resize", "-q", f"--preallocation={case}", "image", "5M"]).expect()
    context.run([REFERENCE, "convert", "-f", "qcow2", "-O", "raw", "image", "raw"]).expect()
    if (context.directory / "raw").read_bytes() != b"\x07" * (2 * MIB) + bytes(3 * MIB):
        raise Failure("the disk is another one")
