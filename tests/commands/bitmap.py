# SPDX-License-Identifier: Apache-2.0
"""Bitmaps are added, removed, changed and merged: beside qemu-img, in sequences, at the limits, and where it is refused."""

import json
import random
import subprocess

from lib import daily, recipes
from lib.bitmaps import bitmaps_of, dirty_extents
from lib.pairs import KIB, MIB, REFERENCE, Pair
from lib.python_tests import test
from lib.suite import Failure

SIZE = 5 * MIB + 512
FEATURES = {
    "usual": [], "cluster512": ["cluster_size=512"], "cluster2M": ["cluster_size=2M"], "cluster4k": ["cluster_size=4k"],
    "subclusters": ["extended_l2=on", "cluster_size=32k"], "refcount1": ["refcount_bits=1"],
    "refcount64": ["refcount_bits=64", "cluster_size=512"], "backing": ["cluster_size=1k"], "snapshot": [],
    "metadata": ["preallocation=metadata", "cluster_size=16k"],
}
GRANULARITIES = [512, KIB, 4 * KIB, 32 * KIB, 64 * KIB, MIB, 8 * MIB]


def inconsistent_make(context, names):
    """What is killed while it writes leaves bitmaps in use."""
    for name in names:
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", name], cwd=context.directory,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def compare(pair, what):
    context = pair.context
    context.run([REFERENCE, "check", "-f", "qcow2", "own"]).expect()
    context.run([REFERENCE, "compare", "own", "reference"]).expect()
    found = []
    for name in ("own", "reference"):
        info = json.loads(context.run([REFERENCE, "info", "--output=json", name]).expect().stdout)
        listed = info["format-specific"]["data"].get("bitmaps", [])
        found.append((listed, bitmaps_of(context.directory / name) if listed else []))
    if found[0] != found[1]:
        raise Failure(f"{what}: bitmaps are {found[0][0]}, of qemu-img's image {found[1][0]}; or bits differ")


def random_arguments(chance, names, others):
    arguments = []
    has_merge = False
    for _ in range(chance.choice([1, 1, 1, 2, 3, 5])):
        kind = chance.choice(["add", "add", "remove", "clear", "enable", "disable", "merge", "merge"])
        arguments.append("--" + kind)
        if kind == "merge":
            has_merge = True
            arguments.append(chance.choice(names))
    if "--add" in arguments and chance.random() < 0.7:
        arguments += ["-g", str(chance.choice(GRANULARITIES))]
    if has_merge and chance.random() < 0.4:
        arguments += ["-b", chance.choice(others)]
        arguments += ["-F", "qcow2"] if chance.random() < 0.5 else []
    return arguments + chance.choice([[], ["-f", "qcow2"]])


def other_make(maker, name, size, names):
    """Bitmaps of several granularities, each with other bits."""
    maker.create(name, size)
    for index, bitmap in enumerate(names):
        maker.run(REFERENCE, "bitmap", "--add", "-g", GRANULARITIES[index], name, bitmap)
        maker.io(name, f"write {index * 700 * KIB + 512} {(index + 1) * 3 * KIB}", f"write {index * MIB} 512")


@test(cases=daily.sample("bitmap sequences", FEATURES, 2), timeout=180, weight=4)
def sequences(context, case):
    """Actions at random, another sequence each day."""
    chance = random.Random(f"bitmaps {case} {daily.seed()}")
    maker = recipes.Maker(context.directory)
    if case == "backing":
        maker.create("base", SIZE)
    names = ["a", "b", "c d", "é"]
    other_make(maker, "other", SIZE, names[:3])
    other_make(maker, "shorter", 4 * MIB, names[:2])
    pair = Pair(context, SIZE, FEATURES[case], "base" if case == "backing" else None)
    pair.io("write -P 1 100k 700k")
    if case == "snapshot":
        pair.each("snapshot", "-c", "first")
    done = []
    worked = 0
    for step in range(14):
        name = names[step] if step < 2 else chance.choice(names)
        arguments = ["bitmap", "--add"] if step < 2 else ["bitmap", *random_arguments(chance, names, ["other", "other", "shorter"])]
        done.append((arguments, name))
        worked += pair.same([context.qemu_img, *arguments, "own", name], [REFERENCE, *arguments, "reference", name])
        if step % 3 == 2:
            compare(pair, f"INSTAR_TEST_SEED={daily.seed()}: {done}")
            pair.io(f"write -P {step} {chance.randrange(0, 4 * MIB, 512)} {chance.choice([512, 9 * KIB, 200 * KIB])}")
        if step == 8 and chance.random() < 0.5:
            inconsistent_make(context, ["own", "reference"])
    compare(pair, f"INSTAR_TEST_SEED={daily.seed()}: {done}")
    if worked < 3:
        raise Failure(f"nothing has worked: {done}")


@test()
def merged_granularities(context):
    """Each granularity into each other one."""
    maker = recipes.Maker(context.directory)
    pair = Pair(context, SIZE, ["cluster_size=512"])
    sizes = [512, 2 * KIB, 64 * KIB, 8 * MIB]
    for size in sizes:
        for name in ("own", "reference"):
            maker.run(REFERENCE, "bitmap", "--add", "-g", size, name, f"from {size}")
        pair.io(f"write {sizes.index(size) * MIB + 1536} 5k", f"write {SIZE - 512} 512", "write 100k 512")
        for name in ("own", "reference"):
            maker.run(REFERENCE, "bitmap", "--disable", name, f"from {size}")
    for size in sizes:
        for source in sizes:
            words = ["bitmap", "--add", "-g", str(size), "--merge", f"from {source}"]
            pair.same([context.qemu_img, *words, "own", f"{source} {size}"], [REFERENCE, *words, "reference", f"{source} {size}"])
    compare(pair, "granularities")
    for bitmap in (f"{sizes[0]} {sizes[2]}", f"{sizes[2]} {sizes[1]}"):
        if dirty_extents(context, "own", bitmap) != dirty_extents(context, "reference", bitmap):
            raise Failure(f"QEMU shows other bits of {bitmap}")


WRONG_CALLS = [
    [], ["IMAGE"], ["IMAGE", "b"], ["--add", "IMAGE"], ["--add", "IMAGE", "b", "c"], ["--merge"], ["--clear", "-g", "4k", "IMAGE", "b"],
    ["--add", "-F", "raw", "IMAGE", "b"], ["--add", "-b", "other", "IMAGE", "b"], ["--add", "--bogus", "IMAGE", "b"],
    ["--add", "-g", "3", "IMAGE", "b"], ["--add", "-g", "256", "IMAGE", "b"], ["--add", "-g", "5k", "IMAGE", "b"],
    ["--add", "-g", "4G", "IMAGE", "b"], ["--add", "-g", "x", "IMAGE", "b"], ["--add", "-g", "9" * 30, "IMAGE", "b"],
    ["--add", "IMAGE", ""], ["--remove", "IMAGE", ""], ["--add", "IMAGE", "here"],
    *([kind, "IMAGE", "gone"] for kind in ("--remove", "--clear", "--enable", "--disable")),
    *([kind, "IMAGE", "broken"] for kind in ("--add", "--clear", "--enable", "--disable")), ["--merge", "here", "IMAGE", "broken"],
    ["--merge", "here", "IMAGE", "gone"], ["--merge", "gone", "IMAGE", "here"], ["--merge", "broken", "IMAGE", "here"],
    ["--merge", "gone", "IMAGE", "broken"], ["--merge", "", "IMAGE", "here"], ["--merge", "x", "-b", "other", "IMAGE", "here"],
    ["--merge", "x", "-b", "missing", "IMAGE", "here"], ["--merge", "x", "-b", "raw", "-F", "raw", "IMAGE", "here"],
    ["--add", "missing", "b"], ["--add", "-f", "foo", "IMAGE", "b"], ["--add", "raw", "b"], ["--clear", "-f", "raw", "raw", "b"],
    ["--add", "-f", "raw", "raw", "b"], ["--add", "old", "b"], ["--clear", "old", "b"], ["--add", "--image-opts", "-f", "qcow2", "IMAGE", "b"],
    ["--add", "-g", "512", "huge", "b"],
]


@test()
def refused(context):
    """In qemu-img's words, and without a change."""
    maker = recipes.Maker(context.directory)
    pair = Pair(context, 4 * MIB, [])
    for name in ("own", "reference"):
        maker.run(REFERENCE, "bitmap", "--add", name, "broken")
    inconsistent_make(context, ["own", "reference"])
    for name in ("own", "reference"):
        maker.run(REFERENCE, "bitmap", "--add", name, "here")
    maker.create("old", MIB, "compat=0.10")
    maker.create("other", 3 * MIB)
    maker.run(REFERENCE, "bitmap", "--add", "other", "x")
    maker.create("raw", MIB, format="raw")
    maker.create("huge", "4T")
    before = (context.directory / "own").read_bytes()
    for words in WRONG_CALLS:
        if pair.same([context.qemu_img, "bitmap", *(("own" if word == "IMAGE" else word) for word in words)],
                     [REFERENCE, "bitmap", *(("reference" if word == "IMAGE" else word) for word in words)]):
            raise Failure(f"{words} has worked")
    if (context.directory / "own").read_bytes() != before:
        raise Failure("a refusal has changed the image")


@test()
def partly(context):
    """What was asked for before an action that cannot be is done."""
    pair = Pair(context, MIB, [])
    for words in (["--add", "--disable", "--add"], ["--enable", "--merge", "gone"], ["--remove", "--clear"]):
        if pair.same([context.qemu_img, "bitmap", *words, "own", "b"], [REFERENCE, "bitmap", *words, "reference", "b"]):
            raise Failure(f"{words} has worked")
        compare(pair, str(words))


@test()
def long_names(context):
    """Names of the longest length, and a directory of several clusters."""
    pair = Pair(context, MIB, ["cluster_size=512"])
    names = [letter * 1023 for letter in "abcd"]
    for name in names:
        pair.same([context.qemu_img, "bitmap", "--add", "own", name], [REFERENCE, "bitmap", "--add", "reference", name])
    pair.io("write 64k 64k")
    if context.run([context.qemu_img, "bitmap", "--add", "own", "n" * 1024]).expect(1).stderr.count("Name length exceeds maximum") != 1:
        raise Failure("a name that is too long")
    for words, name in ((["--merge", names[0]], names[1]), (["--remove"], names[2])):
        pair.same([context.qemu_img, "bitmap", *words, "own", name], [REFERENCE, "bitmap", *words, "reference", name])
    compare(pair, "long names")


@test()
def stale(context):
    """Bitmaps that are stale, and what they left in the header, give way to others."""
    pair = Pair(context, MIB, [])
    for name in ("own", "reference"):
        pair.maker.run(REFERENCE, "bitmap", "--add", name, "b")
        with open(context.directory / name, "r+b") as file:
            file.seek(88)
            file.write(bytes(8))
    context.run([context.qemu_img, "bitmap", "--add", "own", "b"]).expect()
    context.run([REFERENCE, "bitmap", "--add", "reference", "b"]).expect()
    for name in ("own", "reference"):
        info = json.loads(context.run([REFERENCE, "info", "--output=json", name]).expect().stdout)
        if [bitmap["name"] for bitmap in info["format-specific"]["data"]["bitmaps"]] != ["b"]:
            raise Failure(f"{name}: {info}")


@test()
def empty_disk(context):
    """QEMU says that it is done, and loses the bitmap."""
    recipes.Maker(context.directory).create("own", 0)
    before = (context.directory / "own").read_bytes()
    done = context.run([context.qemu_img, "bitmap", "--add", "own", "b"]).expect(1)
    if "The disk is empty" not in done.stderr or (context.directory / "own").read_bytes() != before:
        raise Failure(done.describe("expected a refusal"))


@test()
def huge_disk(context):
    """Memory does not depend on the bitmap's length: 128 MiB of bits, most of them in no cluster."""
    maker = recipes.Maker(context.directory)
    maker.create("own", "4T")
    maker.run(REFERENCE, "bitmap", "--add", "-g", "64k", "own", "coarse")
    maker.io("own", "write 3T 64k", "write 0 512")
    context.run([context.qemu_img, "bitmap", "--add", "-g", "4k", "--merge", "coarse", "own", "fine"]).expect()
    context.run([REFERENCE, "check", "own"]).expect()
    if dirty_extents(context, "own", "fine") != [(0, 64 * KIB), (3 << 40, 64 * KIB)]:
        raise Failure("other bits")


@test()
def as_vdsm_calls_it(context):
    """A volume gets a bitmap; those of an overlay come into its base, which a commit has been made to."""
    maker = recipes.Maker(context.directory)
    for name in ("own", "reference"):
        maker.create(name, 4 * MIB, "compat=1.1")
        maker.create(f"{name}.top", 4 * MIB, "compat=1.1", backing=name)
    done = []
    for program, name in ((context.qemu_img, "own"), (REFERENCE, "reference")):
        context.run([program, "bitmap", "--add", name, "one"]).expect()
        context.run([program, "bitmap", "--add", "--disable", f"{name}.top", "one"]).expect()
        context.run([program, "bitmap", "--add", "-g", "131072", "--enable", f"{name}.top", "two"]).expect()
        maker.io(f"{name}.top", "write 1M 200k")
        context.run([program, "bitmap", "--merge", "two", "-F", "qcow2", "-b", f"{name}.top", name, "one"]).expect()
        context.run([program, "bitmap", "--remove", f"{name}.top", "two"]).expect()
        context.run([REFERENCE, "check", "-f", "qcow2", name]).expect()
        done.append([bitmaps_of(context.directory / path) for path in (name, f"{name}.top")])
    if done[0] != done[1] or dirty_extents(context, "own", "one") != [(MIB, 256 * KIB)]:
        raise Failure(f"bitmaps are {done[0]}, with qemu-img {done[1]}")
