# SPDX-License-Identifier: Apache-2.0
"""VMDKs that consist of several files and exist: longer disks, another parent, repairs. QEMU has none of it, and reads what comes of it."""

import os
import shutil

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure, Skip

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
    for words in ["1M"], ["--preallocation=full", "3G"]:
        context.run([context.qemu_img, "resize", "-f", "vmdk", name, *words]).expect(1)
    if contents(context.directory / "image") != before:
        raise Failure("what is refused has changed the image")


def extent_lines(path):
    return [line for line in path.read_text().splitlines() if line.startswith("RW ")]


@test(cases=["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
def further_files(context, subformat):
    """A disk that outgrows its last file gets others, as qemu-img gives them to a new one of that length."""
    maker = recipes.Maker(context.directory)
    size, new_size = 9 * MIB, 2 * SPLIT + 3 * MIB + 512
    name, sign = "image/disk.vmdk", "s" if subformat.endswith("Sparse") else "f"
    for folder in "image", "theirs":
        (context.directory / folder).mkdir()
        maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", f"{folder}/disk.vmdk",
                  size if folder == "image" else new_size)
    maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 1 1M 1M", "-c", f"write -P 2 {size - 100 * KIB} 100k", name)
    folder = context.directory / "image"
    for path in folder.iterdir():
        path.chmod(0o640)
    before = contents(folder)
    (folder / f"disk-{sign}002.vmdk").symlink_to("nowhere")
    done = context.run([context.qemu_img, "resize", "-f", "vmdk", name, new_size]).expect(1)
    (folder / f"disk-{sign}002.vmdk").unlink()
    if "already there" not in done.stderr or contents(folder) != before:
        raise Failure(done.describe("something stands where a new file is to be"))
    context.run([context.qemu_img, "resize", "-f", "vmdk", name, f"+{new_size - size}"]).expect()
    if extent_lines(folder / "disk.vmdk") != extent_lines(context.directory / "theirs" / "disk.vmdk"):
        raise Failure((folder / "disk.vmdk").read_text())
    if {path.name for path in folder.iterdir()} != {path.name for path in (context.directory / "theirs").iterdir()}:
        raise Failure(f"{sorted(folder.iterdir())}")
    if {path.stat().st_mode & 0o777 for path in folder.iterdir()} != {0o640}:
        raise Failure("the new files are for others than the old ones")
    stretches = [(1, MIB, MIB), (2, size - 100 * KIB, 100 * KIB)]
    same(context, name, new_size, *stretches)
    # One that is no part of the image stays what it is, and the next one has another number.
    stranger = folder / f"disk-{sign}004.vmdk"
    stranger.write_bytes(b"not ours")
    maker.run("qemu-io", "-f", "vmdk", "-c", f"write -P 6 {2 * SPLIT - 50 * KIB} 100k", "-c", f"write -P 7 {new_size - 512} 512", name)
    stretches += [(6, 2 * SPLIT - 50 * KIB, 100 * KIB), (7, new_size - 512, 512)]
    context.run([context.qemu_img, "resize", "-f", "vmdk", name, 3 * SPLIT + MIB]).expect()
    if stranger.read_bytes() != b"not ours" or extent_lines(folder / "disk.vmdk")[-1].split()[1:4:2] != ["2048", f'"disk-{sign}005.vmdk"']:
        raise Failure((folder / "disk.vmdk").read_text())
    same(context, name, 3 * SPLIT + MIB, *stretches)
    done = context.run([context.qemu_img, "resize", "-f", "vmdk", name, 2049 * SPLIT]).expect(1)
    if "2048" not in done.stderr:
        raise Failure(done.describe("more files than there may be"))
    # What fails before the job itself fails it.
    (folder / f"disk-{sign}002.vmdk").rename(context.directory / "taken away")
    done = context.run([context.qemu_img, "resize", "-f", "vmdk", name, 4 * SPLIT]).expect(1)
    if f"cannot open 'disk-{sign}002.vmdk'" not in done.stderr:
        raise Failure(done.describe("a file of the image is missing"))


@test()
def further_files_stopped(context):
    """Killed between the names of two new files, the image is what it was, and the job can be done again."""
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    maker = recipes.Maker(context.directory)
    (context.directory / "image").mkdir()
    name = "image/disk.vmdk"
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", name, 9 * MIB)
    maker.run("qemu-io", "-f", "vmdk", "-c", "write -P 1 1M 1M", name)
    before = (context.directory / name).read_bytes().split(b"\n")[3:]
    done = context.run(["strace", "-f", "-o", "trace", "-e", "trace=linkat", "-e", "inject=linkat:signal=KILL:when=2", context.qemu_img,
                        "resize", "-f", "vmdk", name, 3 * SPLIT])
    links = (context.directory / "trace").read_text().count("linkat(")
    if links == 0 and done.status == 0:
        raise Skip("this file system has no unnamed files")
    if done.status == 0 or (context.directory / name).read_bytes().split(b"\n")[3:] != before:
        raise Failure(done.describe("the descriptor is another one"))
    same(context, name, 9 * MIB, (1, MIB, MIB))
    context.run([context.qemu_img, "resize", "-f", "vmdk", name, 3 * SPLIT]).expect()
    same(context, name, 3 * SPLIT, (1, MIB, MIB))


@test()
def further_files_backed(context):
    """New files never show what the image behind has beyond the disk's end."""
    maker = recipes.Maker(context.directory)
    (context.directory / "image").mkdir()
    name = "image/disk.vmdk"
    for length, status in ((SPLIT + MIB, 0), (2 * SPLIT, 1)):
        maker.create("image/base.vmdk", length, format="vmdk")
        maker.io("image/base.vmdk", f"write -P 4 {length - MIB} 1M", format="vmdk")
        maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "-b", "base.vmdk", "-F", "vmdk", name, SPLIT + MIB)
        for words, expected in (["--backing=no"], 1), (["--backing=beside"], status):
            before = contents(context.directory / "image")
            context.run([context.qemu_img, "resize", *words, "-f", "vmdk", name, 2 * SPLIT + 9 * MIB]).expect(expected)
            if expected == 1 and contents(context.directory / "image") != before:
                raise Failure("what is refused has changed the image")
        if status == 0:
            done = context.run([context.qemu_img, "compare", "--backing=beside", "-f", "vmdk", "-F", "vmdk", name, "image/base.vmdk"])
            done.expect()


@test(cases=["disk.img", "disk"])
def other_names(context, file_name):
    """Parts of an image that is not called .vmdk are written where the user says what it is, and they may be read."""
    maker = recipes.Maker(context.directory)
    (context.directory / "image").mkdir()
    name = f"image/{file_name}"
    maker.run(REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", name, 9 * MIB)
    before = contents(context.directory / "image")
    write = ["bench", "-w", "-c", "1", "-s", "4096", "--pattern", "5"]
    for words in ["-f", "vmdk"], ["--backing=beside"]:  # not to be read, and nobody said what it is
        done = context.run([context.qemu_img, *write, *words, name]).expect(1)
        if len(done.stderr.splitlines()) != 1 or contents(context.directory / "image") != before:
            raise Failure(done.describe("not one line, or the image has changed"))
    context.run([context.qemu_img, *write, "--backing=beside", "-f", "vmdk", name]).expect()
    context.run([context.qemu_img, "resize", "--backing=beside", "-f", "vmdk", name, SPLIT + MIB]).expect()
    filled(context.directory / "expected", SPLIT + MIB, (5, 0, 4096))
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "expected", name]).expect()
    context.run([context.qemu_img, "convert", "-n", "--backing=beside", "-f", "vmdk", "-O", "vmdk", name, name]).expect(1)


@test(cases=daily.sample("vmdk parts with colons", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"], 1))
def colons(context, subformat):
    """Before one there is no protocol: the name of a part is a path, and nothing else."""
    filled(context.directory / "plain", 3 * MIB, (4, MIB, 4096))
    for program, name in ((context.qemu_img, "./file:disk.vmdk"), (context.qemu_img, "./a:disk.vmdk"), (REFERENCE, "theirs/nbd:disk.vmdk")):
        (context.directory / "theirs").mkdir(exist_ok=True)
        context.run([program, "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", "plain", name]).expect()
        context.run([context.qemu_img, "bench", "-w", "-c", "1", "-s", "4096", "--pattern", "5", "-f", "vmdk", name]).expect()
        filled(context.directory / "expected", 3 * MIB, (4, MIB, 4096), (5, 0, 4096))
        for reader in context.qemu_img, REFERENCE:
            context.run([reader, "compare", "-f", "raw", "-F", "vmdk", "expected", name]).expect()


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
