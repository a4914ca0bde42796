# SPDX-License-Identifier: Apache-2.0
"""Existing images of formats other than raw and qcow2: the same command by qemu-img on a copy of the same image, and both have the
same disk then, and are sound. What a crash leaves is formats/blocks_modify.py's."""

import os
import shutil
import struct
import uuid

from lib import daily, recipes, second_readers, vhd_images
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
    """Where qemu-img has it: qed. vpc, vhdx and vmdk are beyond it, and qemu-img reads them; the other ones are refused likewise."""
    image_make(context.maker, format, "image", "write -P 1 1M 1M", "write -P 2 8000k 100k")
    shutil.copy(context.directory / "image", context.directory / "copy")
    if format in ("vpc", "vhdx", "vmdk"):
        context.run([REFERENCE, "convert", "-f", format, "-O", "raw", "image", "expected"]).expect()
        for length in (SIZE + 3 * MIB + 512, 20 << 30):
            context.run([context.qemu_img, "resize", "-f", format, "image", length]).expect()
            with open(context.directory / "expected", "r+b") as file:
                file.truncate(length)
            context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
            context.run([context.qemu_img, "check", "-q", "-f", format, "image"]).expect()
            if length < MIB << 10:
                read_by_others(context, format)
            if format == "vmdk" and f"\nRW {length // 512} SPARSE ".encode() not in (context.directory / "image").read_bytes()[512:11264]:
                raise Failure("the descriptor has another length")
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


def read_by_others(context, format):
    """libvhdi, libvmdk and 7zip find the disk that has become longer."""
    expected = (context.directory / "expected").read_bytes()
    for found in second_readers.read_disk(context, format, ["image"]), second_readers.extract(context, format, "image"):
        if found != expected:
            raise Failure(f"another program reads another disk, of {len(found)} bytes")


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
    """Of vmdk it is beyond qemu-img, which reads what comes of it: a parent by its content ID."""
    image_make(context.maker, format, "base", "write -P 1 1M 1M", "write -P 4 8M 64k")
    image_make(context.maker, format, "image", "write -P 2 1500k 3M", "write -P 3 64k 512", backing="base")
    behind_format = "vmdk" if format == "vmdk" else "raw"
    if format == "vmdk":
        image_make(context.maker, format, "other", "write -P 7 1M 100k", "write -P 8 7M 1M")
    else:
        filled(context.directory / "other", (7, MIB, 100 * KIB), (8, 7 * MIB, MIB))
    context.run([REFERENCE, "convert", "-f", format, "-O", "raw", "image", "expected"]).expect()
    (context.directory / "moved").mkdir()
    shutil.copy(context.directory / "base", context.directory / "moved/base")
    long_name = "../" + context.directory.name + "/./" * 150 + "other"
    for name, *unsafe in (("other",), (long_name,), ("base",), ("moved/base", "-u"), ("",)):
        behind = ["-F", format if "base" in name else behind_format] if name else []
        context.run([context.qemu_img, "rebase", *unsafe, "--backing=beside", "--backing-dir", context.directory, "-f", format, "-b", name,
                     *behind, "image"]).expect()
        context.run([REFERENCE, "compare", "-f", "raw", "-F", format, "expected", "image"]).expect()
    if format == "vmdk":
        before = (context.directory / "image").read_bytes()
        for unsafe, name in ([], "expected"), (["-u"], "other"):
            context.run([context.qemu_img, "rebase", *unsafe, "-f", format, "-b", name, "-F", "raw" if not unsafe else "vmdk", "image"]).expect(1)
        if (context.directory / "image").read_bytes() != before:
            raise Failure("what is refused has changed the image")


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
    length = os.stat(context.directory / "image").st_size
    context.run([context.qemu_img, "check", "-q", "-r", "leaks", "-f", format, "image"])
    if format in ("vmdk", "parallels") and length > os.stat(context.directory / "image").st_size + MIB:
        raise Failure(f"the file keeps {length} bytes")
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


IN_FILES = {"twoGbMaxExtentSparse": "s001", "twoGbMaxExtentFlat": "f001", "monolithicFlat": "flat"}
IN_FILES_CASES = ("content", "some_writes", "refused", "commit")
LENGTHS = {"twoGbMaxExtentSparse": ((2 << 30) + 9 * MIB, 2 << 30)}  # and where one extent ends; others have one


def files_make(context, subformat):
    """The image in a folder of its own, and a copy of all of it in another one."""
    maker = recipes.Maker(context.directory)
    size, middle = LENGTHS.get(subformat, (SIZE, 5 * MIB))
    for name in "ours", "theirs":
        (context.directory / name).mkdir()
        maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", f"{name}/disk.vmdk", size)
        maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 1 1M 1M", "-c", f"write -P 2 {middle - 64 * KIB} 200k", f"{name}/disk.vmdk")
    with open(context.directory / "source", "wb") as file:
        file.truncate(size)
        for byte, offset, length in (3, 512 * KIB, MIB), (4, middle - 70 * KIB, 140 * KIB), (5, size - 512, 512):
            file.seek(offset)
            file.write(bytes([byte]) * length)
    return middle


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.stat().st_size < 64 * MIB}


@test(cases=daily.sample("vmdk_in_files", [f"{subformat},{name}" for subformat in IN_FILES for name in IN_FILES_CASES], 2))
def vmdk_in_files(context, case):
    """Images in several files are changed where they are, as by qemu-img: those that are called so, beside the image, and no others."""
    subformat, name = case.split(",")
    ours = context.directory / "ours"
    middle = files_make(context, subformat)
    if name == "refused":
        return files_refused(context, ours, IN_FILES[subformat])
    if name == "commit":
        if subformat != "twoGbMaxExtentSparse":
            return None
        maker = recipes.Maker(context.directory)
        maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", "-b", "disk.vmdk", "-F", "vmdk", "ours/over.vmdk")
        maker.run("qemu-io", "-f", "vmdk", "-c", f"write -P 7 {(2 << 30) - 1000 * 512} 1M", "ours/over.vmdk")
        maker.run(REFERENCE, "convert", "-f", "vmdk", "-O", "raw", "ours/over.vmdk", "expected")
        context.run([context.qemu_img, "commit", "--backing=beside", "--backing-file", "ours/disk.vmdk", "ours/over.vmdk"]).expect()
        for image in "disk", "over":
            context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "expected", f"ours/{image}.vmdk"]).expect()
            context.run([REFERENCE, "check", "-f", "vmdk", f"ours/{image}.vmdk"]).expect()
        return None
    words = {"content": ["convert", "-n", "-f", "raw", "-O", "vmdk", "source"],
             "some_writes": ["bench", "-w", "-f", "vmdk", "-c", "40", "-s", "2048", "-S", "229376", "-o", middle - 4 * MIB, "--pattern", "9",
                             "-d", "8", "--flush-interval", "8"]}[name]
    before = (ours / "disk.vmdk").read_bytes()
    for program, folder in (context.qemu_img, "ours"), (REFERENCE, "theirs"):
        context.run([program, *words, f"{folder}/disk.vmdk"]).expect()
    context.run([REFERENCE, "compare", "-f", "vmdk", "-F", "vmdk", "ours/disk.vmdk", "theirs/disk.vmdk"]).expect()
    context.run([REFERENCE, "check", "-f", "vmdk", "ours/disk.vmdk"]).expect()
    after = (ours / "disk.vmdk").read_bytes()
    if before == after or before.split(b"\n")[3:] != after.split(b"\n")[3:]:
        raise Failure("not just the content ID is another one")
    return None


def files_refused(context, folder, mark):
    part = folder / f"disk-{mark}.vmdk"
    text = (folder / "disk.vmdk").read_bytes()

    def expect_refused(why):
        before = contents(folder)
        done = context.run([context.qemu_img, "bench", "-w", "-f", "vmdk", "-c", "1", "ours/disk.vmdk"])
        if done.status != 1 or len(done.stderr.splitlines()) != 1 or contents(folder) != before:
            raise Failure(done.describe(why))

    os.link(part, folder / "other")
    expect_refused("it has another name")
    os.remove(folder / "other")
    os.rename(part, folder / f"disk-{mark}x.vmdk")
    (folder / "disk.vmdk").write_bytes(text.replace(f"-{mark}.".encode(), f"-{mark}x.".encode()))
    expect_refused("it is called otherwise")
    os.symlink(f"disk-{mark}x.vmdk", part)
    (folder / "disk.vmdk").write_bytes(text)
    expect_refused("it is a link")
    os.remove(part)
    os.rename(folder / f"disk-{mark}x.vmdk", part)
    (folder / "disk.vmdk").write_bytes(text.replace(b"\nRW ", b"\nRDONLY ", 1))
    expect_refused("it is not to be written")
    os.truncate(part, 65536)
    (folder / "disk.vmdk").write_bytes(text)
    expect_refused("it is too short")


def grain_entries(path, grain):
    """Where a grain's entries are in the first and in the redundant table of a vmdk."""
    places = []
    for field in (56, 48):
        directory = word(path, field, 8) * 512
        places.append(word(path, directory + 4 * (grain // 512), 4) * 512 + 4 * (grain % 512))
    return places


@test()
def vmdk_repaired(context):
    """QEMU has no repair. Tables are taken from the redundant ones, a place that two grains have is given to one of them, and
    what is nowhere is zeros; the disk is the same again where it can be."""
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "image", 70 * MIB)
    maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 1 1M 1M", "-c", "write -P 2 33M 64k", "-c", "write -P 3 40M 128k", "image")
    path = context.directory / "image"
    expected = bytearray(70 * MIB)
    for byte, offset, length in (1, MIB, MIB), (2, 33 * MIB, 64 * KIB), (3, 40 * MIB, 128 * KIB):
        expected[offset:offset + length] = bytes([byte]) * length
    first, redundant = grain_entries(path, 16)
    directory = word(path, 56, 8) * 512
    patched(path, (directory + 4, 0x7000000, 4),  # the second table is nowhere: the redundant one has its grains
            (first, 0x6000000, 4),  # a grain that is nowhere, but by its other entry
            (first + 4, 0x6000000, 4), (redundant + 4, 0x6000000, 4),  # and one that is nowhere
            (first + 8, word(path, first + 12, 4), 4))  # two at one place, where the redundant entry is another one
    expected[MIB + 64 * KIB:MIB + 128 * KIB] = bytes(64 * KIB)
    length = path.stat().st_size
    done = context.run([context.qemu_img, "check", "-r", "all", "-f", "vmdk", "image"]).expect()
    if "5 corruptions" not in done.stdout or done.stderr.count("Repairing") != 5:
        raise Failure(done.describe("another number of repairs"))
    context.run([REFERENCE, "check", "-f", "vmdk", "image"]).expect()
    (context.directory / "expected").write_bytes(expected)
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "expected", "image"]).expect()
    os.truncate(path, path.stat().st_size + 3 * MIB + 512)
    done = context.run([context.qemu_img, "check", "-r", "leaks", "-f", "vmdk", "image"]).expect()
    if "49 leaked clusters" not in done.stdout or path.stat().st_size > length + 2 * 65536:
        raise Failure(done.describe(f"space is left: {path.stat().st_size}, {length}"))
    context.run([context.qemu_img, "check", "-r", "all", "-f", "vmdk", "image"]).expect()
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "expected", "image"]).expect()
    context.run([context.qemu_img, "bench", "-w", "-f", "vmdk", "-c", "1", "image"]).expect()


@test()
def vmdk_cut_within_a_grain(context):
    """Which qemu-img reads as zeros from there on: a check tells it, and a repair makes it so. Half of the last grain is no less."""
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "image", 3 * MIB + 1024)
    maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 2 1M 64k", "-c", "write -P 3 3M 1k", "image")
    path = context.directory / "image"
    last = word(path, grain_entries(path, 48)[0], 4) * 512
    os.truncate(path, last + 1024)
    context.run([context.qemu_img, "check", "-f", "vmdk", "image"]).expect()
    os.truncate(path, last - 20000)
    patched(path, *((place, 0, 4) for place in grain_entries(path, 48)))
    context.run([REFERENCE, "convert", "-f", "vmdk", "-O", "raw", "image", "expected"]).expect()
    for words in ([], ["-r", "leaks"]):
        done = context.run([context.qemu_img, "check", *words, "-f", "vmdk", "image"]).expect(1)
        if "ERROR: cluster for sector 2048 ends after EOF" not in (done.stdout + done.stderr).splitlines():
            raise Failure(done.describe("another finding"))
    done = context.run([context.qemu_img, "check", "-r", "all", "-f", "vmdk", "image"]).expect()
    if (done.stdout + done.stderr).count("Repairing grain 16, which ends behind the end of the file") != 1:
        raise Failure(done.describe("another repair"))
    if path.stat().st_size % 65536 != 0:
        raise Failure(f"the file ends within a grain, at {path.stat().st_size}")
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "check", "-f", "vmdk", "image"]).expect()
        context.run([program, "compare", "-f", "raw", "-F", "vmdk", "expected", "image"]).expect()


@test()
def vhdx_cut_behind_the_disk(context):
    """The last block goes on behind the disk's end; a file that does not is sound, as qemu-img has it, and one MiB less is not."""
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "vhdx", "-o", "block_size=8M", "image", 12 * MIB)
    maker.run("qemu-io", "-f", "vhdx", "-c", "write -P 1 5M 1M", "-c", "write -P 2 8M 4M", "image")
    path = context.directory / "image"
    length = path.stat().st_size
    context.run([REFERENCE, "convert", "-f", "vhdx", "-O", "raw", "image", "expected"]).expect()
    os.truncate(path, length - 20000)
    before = path.read_bytes()
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "check", "-f", "vhdx", "image"]).expect()
        context.run([program, "compare", "-f", "raw", "-F", "vhdx", "expected", "image"]).expect()
    for command in (["bench", "-w", "-f", "vhdx", "-c", "1", "image"], ["resize", "-f", "vhdx", "image", 15 * MIB]):
        path.write_bytes(before)
        context.run([context.qemu_img, *command]).expect()
        if command[0] == "resize":
            os.truncate(context.directory / "expected", 15 * MIB)
        for program in (REFERENCE, context.qemu_img):
            context.run([program, "check", "-f", "vhdx", "image"]).expect()
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vhdx", "expected", "image"]).expect()
    path.write_bytes(before)
    os.truncate(path, length - 5 * MIB)
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "check", "-f", "vhdx", "image"]).expect(2)
    context.run([context.qemu_img, "convert", "-f", "vhdx", "-O", "raw", "image", "out"]).expect(1)


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


@test(cases=["first", "second", "with_log"])
def vhdx_region_copies(context, case):
    """A copy of the region table that is damaged becomes the other one again; QEMU opens nothing without the first one."""
    image_make(recipes.Maker(context.directory), "vhdx", "image", "write -P 1 0 1M", "write -P 2 4M 2M")
    path = context.directory / "image"
    context.run([REFERENCE, "convert", "-f", "vhdx", "-O", "raw", "image", "expected"]).expect()
    image = vhd_images.Vhdx(path)
    places = vhd_images.REGION_TABLES
    tables = [bytes(image.data[place:place + 65536]) for place in places]
    if case == "with_log":  # which has what the file has not
        identifier, table = bytes(range(16)), bytes(image.data[image.bat:image.bat + 4096])
        image.data[image.bat:image.bat + 4096] = bytes(4096)
        image.set_log(identifier, [(0, vhd_images.log_entry(identifier, 5, 0, [(image.bat, table)], len(image.data)))])
    image.data[places[case == "second"] + 40] ^= 1
    image.save()
    before = path.read_bytes()
    done = context.run([context.qemu_img, "check", "-f", "vhdx", "image"]).expect(0 if case == "second" else 2)
    if path.read_bytes() != before or ("region table, copy 1" in done.stdout + done.stderr) == (case == "second"):
        raise Failure(done.describe("another finding"))
    done = context.run([context.qemu_img, "check", "-r", "all", "-f", "vhdx", "image"]).expect()
    if "Repairing region table" not in done.stdout + done.stderr:
        raise Failure(done.describe("no repair is told"))
    after = path.read_bytes()
    if [after[place:place + 65536] for place in places] != tables:
        raise Failure("the copies are not what they were")
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "check", "-f", "vhdx", "image"]).expect()
        context.run([program, "compare", "-f", "raw", "-F", "vhdx", "expected", "image"]).expect()


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


@test(cases=["qemu-img's", "ours"])
def empty_stream_filled(context, case):
    """As qemu-img an empty streamOptimized vmdk is filled, front to back, to what a new one would be; one that has grains stays as it is."""
    filled(context.directory / "source", (3, 512 * KIB, MIB), (4, 5 * MIB + 512, 70 * KIB), (5, SIZE - 512, 512))
    with open(context.directory / "source", "r+b") as file:
        file.seek(3 * MIB)
        file.write(os.urandom(200 * KIB))
    context.run([context.qemu_img if case == "ours" else REFERENCE, "create", "-f", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic",
                 "disk.vmdk", SIZE]).expect()
    path = context.directory / "disk.vmdk"
    before = path.read_bytes()
    context.run([context.qemu_img, "bench", "-w", "-f", "vmdk", "-c", "1", "disk.vmdk"]).expect(1)
    if path.read_bytes() != before:
        raise Failure("a part of a grain has changed the image")
    context.run([context.qemu_img, "convert", "-n", "-f", "raw", "-O", "vmdk", "source", "disk.vmdk"]).expect()
    context.run([context.qemu_img, "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized,adapter_type=lsilogic", "source",
                 "new.vmdk"]).expect()
    if len({len(data) for data in (path.read_bytes(), (context.directory / "new.vmdk").read_bytes())}) != 1:
        raise Failure("a new image has another length")
    after = path.read_bytes()
    if b"lsilogic" not in after[512:10752] or after[512:10752].split(b"CID=")[1][:8] == before[512:10752].split(b"CID=")[1][:8]:
        raise Failure("another descriptor, or the content ID that it had")
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "source", "disk.vmdk"]).expect()
    if second_readers.read_disk(context, "vmdk", ["disk.vmdk"]) != (context.directory / "source").read_bytes():
        raise Failure("libvmdk reads another disk")
    context.run([context.qemu_img, "convert", "-n", "-f", "raw", "-O", "vmdk", "source", "disk.vmdk"]).expect(1)
    if path.read_bytes() != after:
        raise Failure("an image with grains has changed")


@test(cases=["vmdk", "vmdk,zeroed_grain", "qed"])
def longer_over_an_unknown_backing_file(context, case):
    """What hides a backing file that nobody looks at is never stored: entries say it, or the length must be known."""
    format, *options = case.split(",")
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", format, "base", 3 * MIB)
    maker.run("qemu-io", "-f", format, "-c", "write -P 1 0 3M", "base")
    maker.run(REFERENCE, "create", "-q", "-f", format, *(word for option in options for word in ("-o", f"{option}=on")), "-b", "base",
              "-F", format, "image", MIB)
    image = context.directory / "image"
    before = image.read_bytes()
    done = context.run([context.qemu_img, "resize", "-f", format, "image", 40 * MIB])
    if case == "vmdk":
        if done.status != 1 or "--backing-file" not in done.stderr or image.read_bytes() != before:
            raise Failure(done.describe("expected a hint, and no change"))
        context.run([context.qemu_img, "resize", "--backing=beside", "-f", format, "image", 40 * MIB]).expect()
    else:
        done.expect()
    if image.stat().st_size > len(before) + 4 * MIB:
        raise Failure(f"the file has become {image.stat().st_size} bytes long")
    if shown(context, format, "image") != b"\1" * MIB + bytes(39 * MIB):
        raise Failure("the disk is another one")


@test()
def qed_without_room_for_tables(context):
    """A disk that cannot become longer keeps its length, and so does its file."""
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "qed", "base", 40 * MIB)
    maker.run("qemu-io", "-f", "qed", "-c", "write -P 1 0 40M", "base")
    maker.run(REFERENCE, "create", "-q", "-f", "qed", "-b", context.directory / "base", "-F", "qed", "image", MIB)
    before = (context.directory / "image").read_bytes()
    limit = len(before) // 512 + 8
    done = context.run(["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh", context.qemu_img, "resize", "-f", "qed", "image", 40 * MIB])
    if done.status != 1 or (context.directory / "image").read_bytes() != before:
        raise Failure(done.describe("the image is another one"))


@test(cases=["bochs", "cloop", "dmg"])
def read_only_formats(context, case):
    """What would change images of formats that are only read ends as with qemu-img, and changes nothing."""
    recipe = {"bochs": "bochs_version2", "cloop": "cloop_block64k", "dmg": "dmg_zlib"}[case]
    next(found for found in recipes.all_recipes() if found.name == recipe).make(recipes.Maker(context.directory))
    before = (context.directory / "image").read_bytes()
    for words in (["check", "-r", "all"], ["check", "-r", "leaks"], ["resize"], ["snapshot", "-c", "one"], ["bench", "-w", "-c", "1"]):
        words += [*(() if words[0] == "snapshot" else ("-f", case)), "image", *(["64M"] if words[0] == "resize" else [])]
        theirs, ours = (context.run([program, *words]) for program in (REFERENCE, context.qemu_img))
        if (ours.status, ours.stdout, ours.stderr) != (theirs.status, theirs.stdout, theirs.stderr) or ours.status != 1:
            raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
    if (context.directory / "image").read_bytes() != before:
        raise Failure("the image has changed")
