# SPDX-License-Identifier: Apache-2.0
"""Bitmaps that track changes of an image that we change: as with qemu-img, they are up to date afterwards."""

import json
import subprocess

from lib import daily, recipes
from lib.bitmaps import dirty_extents
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
SIZE = 8 * MIB + 512
TRACKING = {"fine": ["-g", 512], "default": [], "coarse": ["-g", MIB]}
FEATURES = {
    "default": [], "cluster512": ["cluster_size=512"], "cluster2M": ["cluster_size=2M"],
    "subclusters": ["extended_l2=on"], "refcount1": ["refcount_bits=1"],
    "data_file": ["data_file_raw=on", "data_file={}.data"], "backing": [], "snapshot": [], "compressed": [],
}


def target_make(context, maker, name, case):
    """Data of its own, bits that are set already, and three bitmaps that no change concerns."""
    backing = None
    if case == "backing":
        maker.create("base", SIZE)
        maker.io("base", "write -P 3 5M 2M")
        backing = "base"
    maker.create(name, SIZE, *(option.format(name) for option in FEATURES[case]), backing=backing)
    maker.io(name, "write -P 1 512k 600k", "write -P 2 3M 1M")
    maker.run(REFERENCE, "bitmap", "--add", name, "broken")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", name], cwd=context.directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if case == "snapshot":
        maker.run(REFERENCE, "snapshot", "-c", "before", name)
    for bitmap, options in TRACKING.items():
        maker.run(REFERENCE, "bitmap", "--add", *options, name, bitmap)
    maker.io(name, "write -P 4 1M 70k", f"write -P 4 {SIZE - 512} 512")
    maker.run(REFERENCE, "bitmap", "--add", "--disable", name, "disabled")


def bitmaps_of(context, name):
    done = context.run([REFERENCE, "info", "--output=json", name]).expect()
    return json.loads(done.stdout)["format-specific"]["data"]["bitmaps"]


def is_within(extents, others):
    return all(any(first <= start and start + length <= first + count for first, count in others)
               for start, length in extents)


def compare(context):
    """`out` with `reference`, which is what qemu-img made of the same image by the same command."""
    context.run([REFERENCE, "check", "-f", "qcow2", "out"]).expect()
    context.run([context.qemu_img_beside, "check", "-f", "qcow2", "out"]).expect()
    found = [bitmaps_of(context, name) for name in ("reference", "out")]
    if found[0] != found[1]:
        raise Failure(f"bitmaps are {found[1]}, with qemu-img {found[0]}")
    for bitmap in (*TRACKING, "disabled"):
        own, expected = (dirty_extents(context, name, bitmap) for name in ("out", "reference"))
        if own != expected:
            raise Failure(f"{bitmap}: {own}, with qemu-img {expected}")


def run_both(context, command, *arguments, own=()):
    """What is `own` are options of ours."""
    for program, name, options in ((context.qemu_img_beside, "out", own), (REFERENCE, "reference", ())):
        done = context.run([program, command, *options, *arguments, name]).expect()
        if done.stderr != "":
            raise Failure(done.describe("expected no warning"))


@test(cases=daily.sample("bitmaps_tracked converted", FEATURES, 2))
def converted(context, case):
    maker = recipes.Maker(context.directory)
    recipes.raw_sparse(SIZE, [(64 * KIB, 128 * KIB), (MIB + 512 * KIB, 64 * KIB), (6 * MIB, MIB)])(maker)
    for name in ("out", "reference"):
        target_make(context, maker, name, case)
    options = ["-c"] if case == "compressed" else []
    named = ["--data-file", "out.data"] if case == "data_file" else []
    run_both(context, "convert", "-n", *options, "-f", "raw", "-O", "qcow2", "image", own=named)
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", "image", "out"]).expect()
    compare(context)
    # QEMU goes on with them.
    for name in ("out", "reference"):
        maker.io(name, "write -P 5 2M 64k")
    compare(context)


@test(cases=daily.sample("bitmaps_tracked written", ["default", "cluster512", "subclusters"], 1))
def written(context, case):
    maker = recipes.Maker(context.directory)
    for name in ("out", "reference"):
        target_make(context, maker, name, case)
    run_both(context, "bench", "-w", "-q", "-c", 40, "-d", 4, "-s", 4096, "-S", 100 * KIB, "-o", 512, "-f", "qcow2")
    compare(context)


@test()
def resized(context):
    maker = recipes.Maker(context.directory)
    for name in ("out", "reference"):
        target_make(context, maker, name, "default")
        maker.run(REFERENCE, "bitmap", "--remove", name, "broken")
    for size in ("9M", "90M"):
        for program, name in ((context.qemu_img_beside, "out"), (REFERENCE, "reference")):
            context.run([program, "resize", "-q", "-f", "qcow2", name, size]).expect()
        compare(context)


@test()
def too_many_changes(context):
    """More stretches than are noted: there may be more bits than changes, not less."""
    maker = recipes.Maker(context.directory)
    for name in ("out", "reference"):
        maker.create(name, 64 * MIB)
        maker.run(REFERENCE, "bitmap", "--add", "-g", 512, name, "fine")
    run_both(context, "bench", "-w", "-q", "-c", 6000, "-d", 16, "-s", 512, "-S", 9 * KIB, "-f", "qcow2")
    own, expected = (dirty_extents(context, name, "fine") for name in ("out", "reference"))
    if not is_within(expected, own) or len(own) < 10:
        raise Failure(f"{len(own)} stretches, with qemu-img {len(expected)}")


def tables_damage(path, count):
    """The data of the first bitmaps is the active L1 table."""
    content = bytearray(path.read_bytes())
    extension = content.index(b"\x23\x85\x28\x75")
    entry = int.from_bytes(content[extension + 24:extension + 32], "big")
    for _ in range(count):
        table = int.from_bytes(content[entry:entry + 8], "big")
        content[table:table + 8] = content[40:48]
        entry += (24 + int.from_bytes(content[entry + 18:entry + 20], "big") + 7) // 8 * 8
    path.write_bytes(content)


@test(cases=["1", "16", "20"])
def damaged(context, case):
    """Bitmaps whose data somebody else uses, too, cannot be kept: a line for each one says so, up to a number of them."""
    count = int(case)
    maker = recipes.Maker(context.directory)
    maker.create("out", 8 * MIB)
    names = [f"bitmap {number} \x1b" + "é" * (100 if number % 2 else 0) for number in range(count + 1)]
    for name in names:
        maker.run(REFERENCE, "bitmap", "--add", "out", name)
    tables_damage(context.directory / "out", count)
    done = context.run([context.qemu_img_beside, "bench", "-w", "-q", "-c", 1, "-f", "qcow2", "out"]).expect()
    lines = done.stderr.splitlines()
    told = [f"qemu-img: warning: bitmap 'bitmap {number} \\x1b" for number in range(min(count, 16))]
    if len(lines) != min(count, 17) or not all(line.startswith(start) for line, start in zip(lines, told)):
        raise Failure(done.describe("expected other warnings"))
    if count > 16 and lines[16] != "qemu-img: warning: further bitmaps cannot be kept up to date: they are inconsistent now":
        raise Failure(done.describe("expected a last warning"))
    flags = [bitmap["flags"] for bitmap in bitmaps_of(context, "out")]
    if flags != [["in-use", "auto"]] * count + [["auto"]]:
        raise Failure(f"flags are {flags}")
    if dirty_extents(context, "out", names[-1]) != [(0, 64 * KIB)]:
        raise Failure("the last one has other bits")
