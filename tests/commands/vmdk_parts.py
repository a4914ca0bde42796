# SPDX-License-Identifier: Apache-2.0
"""VMDKs that consist of several files and exist: longer disks, another parent, repairs. QEMU has none of it, and reads what comes of it."""

import os

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SPLIT = 2 * GIB  # bytes of the disk in one file at most
SIZES = {"twoGbMaxExtentSparse": SPLIT + 9 * MIB, "twoGbMaxExtentFlat": 9 * MIB, "monolithicFlat": 9 * MIB}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.stat().st_blocks < 64 * 2048}


def filled(path, size, *stretches):
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.truncate(size)
        for byte, offset, length in stretches:
            file.seek(offset)
            file.write(bytes([byte]) * length)


def same(context, name, size, *stretches):
    filled(context.directory / "expected", size, *stretches)
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "expected", name]).expect()
    context.run([REFERENCE, "check", "-q", "-f", "vmdk", name]).expect()
    context.run([context.qemu_img, "check", "-q", "-f", "vmdk", name]).expect()


@test(cases=daily.sample("vmdk parts longer", SIZES, 1))
def longer(context, subformat):
    """By the last of its files; what its file had behind its end, and its table, is zeros then."""
    maker = recipes.Maker(context.directory)
    size = SIZES[subformat]
    name = "image/disk.vmdk"
    (context.directory / "image").mkdir()
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", name, size)
    maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 1 1M 1M", "-c", f"write -P 2 {size - 100 * KIB} 100k", name)
    stretches = [(1, MIB, MIB), (2, size - 100 * KIB, 100 * KIB)]
    if subformat != "twoGbMaxExtentSparse":
        last = sorted(path for path in (context.directory / "image").iterdir() if path.name != "disk.vmdk")[-1]
        with open(last, "ab") as file:
            file.write(b"x" * 5000)
    for length in (size + 3 * MIB + 512, size + 700 * MIB):
        context.run([context.qemu_img, "resize", "-f", "vmdk", name, length]).expect()
        text = (context.directory / name).read_bytes()
        if f"\nRW {(length - 1) % SPLIT // 512 + 1} ".encode() not in text or b"\0" in text:
            raise Failure(f"the descriptor does not say {length}: {text}")
        same(context, name, length, *stretches)
        maker.run("qemu-io", "-f", "vmdk", "-c", f"write -P 6 {length - 4096} 4k", name)
        stretches.append((6, length - 4096, 4096))
        same(context, name, length, *stretches)
    before = contents(context.directory / "image")
    for words in ([2 * SPLIT + 512] if subformat != "monolithicFlat" else []), ["1M"], ["--preallocation=full", "3G"]:
        if words:
            context.run([context.qemu_img, "resize", "-f", "vmdk", name, *words]).expect(1)
    if contents(context.directory / "image") != before:
        raise Failure("what is refused has changed the image")


@test()
def other_parents(context):
    """The disk stays what it is, with another parent, without one, and with one where there was none."""
    maker = recipes.Maker(context.directory)
    size = SIZES["twoGbMaxExtentSparse"]
    (context.directory / "image").mkdir()
    for name, *writes in (("base", "write -P 1 1M 1M", f"write -P 4 {SPLIT - MIB} 2M"), ("other", f"write -P 7 {SPLIT - 100 * KIB} 300k")):
        maker.create(name, size, format="vmdk")
        maker.io(name, *writes, format="vmdk")
    name = "image/disk.vmdk"
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "-b", "../base", "-F", "vmdk", name)
    maker.io(name, "write -P 2 1500k 3M", f"write -P 3 {SPLIT - 64 * KIB} 128k", format="vmdk")
    wanted = [(1, MIB, MIB), (4, SPLIT - MIB, 2 * MIB), (2, 1500 * KIB, 3 * MIB), (3, SPLIT - 64 * KIB, 128 * KIB)]  # whole grains: around others QEMU copies from another place of the parent
    same(context, name, size, *wanted)
    for behind in ("../other", "", "../base", "../image/../other"):
        words = ["-F", "vmdk"] if behind else []
        context.run([context.qemu_img, "rebase", "--backing=beside", "--backing-dir", context.directory, "-f", "vmdk", "-b", behind, *words,
                     name]).expect()
        same(context, name, size, *wanted)
        found = context.run([REFERENCE, "info", "-f", "vmdk", name]).expect().stdout
        if ("backing file: " + behind not in found) if behind else "backing file" in found:
            raise Failure(found)
    before = contents(context.directory / "image")
    filled(context.directory / "raw", size)
    context.run([context.qemu_img, "rebase", "-u", "-f", "vmdk", "-b", "../raw", "-F", "raw", name]).expect(1)
    if contents(context.directory / "image") != before:
        raise Failure("what is refused has changed the image")


def word(path, offset, length):
    return int.from_bytes(path.read_bytes()[offset:offset + length], "little")


@test()
def repaired(context):
    """Each file by its own tables; leaks likewise."""
    maker = recipes.Maker(context.directory)
    size = SIZES["twoGbMaxExtentSparse"]
    name = "image/disk.vmdk"
    (context.directory / "image").mkdir()
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", name, size)
    maker.io(name, "write -P 1 1M 1M", f"write -P 2 {SPLIT} 256k", format="vmdk")
    files = [context.directory / "image" / f"disk-s00{number}.vmdk" for number in (1, 2)]
    lengths = [path.stat().st_size for path in files]
    for path, grain in (files[0], 16), (files[1], 0):
        table = word(path, word(path, 56, 8) * 512, 4) * 512  # the first one: that of the redundant directory stays
        with open(path, "r+b") as file:
            file.seek(table + 4 * grain)
            file.write((0x6000000).to_bytes(4, "little"))
    before = contents(context.directory / "image")
    context.run([context.qemu_img, "bench", "-w", "-f", "vmdk", "-c", "1", name]).expect(1)
    context.run([context.qemu_img, "check", "-r", "leaks", "-f", "vmdk", name]).expect(1)
    if contents(context.directory / "image") != before:
        raise Failure("a damaged image has changed")
    done = context.run([context.qemu_img, "check", "-r", "all", "-f", "vmdk", name]).expect()
    if done.stderr.count("Repairing grain") + done.stdout.count("Repairing grain") != 2:
        raise Failure(done.describe("another number of repairs"))
    same(context, name, size, (1, MIB, MIB), (2, SPLIT, 256 * KIB))
    os.truncate(files[1], files[1].stat().st_size + 5 * MIB)
    context.run([context.qemu_img, "check", "-r", "leaks", "-f", "vmdk", name]).expect()
    if files[1].stat().st_size > lengths[1] + 64 * KIB:
        raise Failure(f"{files[1].stat().st_size} bytes are left, of {lengths[1]}")
    same(context, name, size, (1, MIB, MIB), (2, SPLIT, 256 * KIB))
    context.run([context.qemu_img, "bench", "-w", "-f", "vmdk", "-c", "9", name]).expect()
