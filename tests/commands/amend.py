# SPDX-License-Identifier: Apache-2.0
"""What images are said to be is changed: beside qemu-img, in sequences, and where it is refused."""

import json
import random

from lib import daily, recipes
from lib.bitmaps import bitmaps_of
from lib.pairs import KIB, MIB, REFERENCE, Pair
from lib.python_tests import test
from lib.suite import Failure

SIZE = 6 * MIB + 512
FEATURES = {
    "usual": [], "cluster512": ["cluster_size=512"], "cluster2M": ["cluster_size=2M"], "cluster4k": ["cluster_size=4k"],
    "refcount1": ["refcount_bits=1"], "refcount64": ["refcount_bits=64", "cluster_size=512"], "old": ["compat=0.10"],
    "old_small": ["compat=0.10", "cluster_size=1k"], "subclusters": ["extended_l2=on", "cluster_size=32k"],
    "zstd": ["compression_type=zstd"], "metadata": ["preallocation=metadata", "cluster_size=16k"], "backing": ["cluster_size=4k"],
}
CHOICES = {
    "compat": ["0.10", "1.1", "v2", "v3", "0.10", "1.1"],
    "lazy_refcounts": ["on", "off", "off"],
    "refcount_bits": ["1", "2", "4", "8", "16", "16", "16", "32", "64"],
    "size": ["5M", "7M", str(MIB + 512), "20M"],
}


def state(context, name):
    """What info tells of an image, but for times and what only its file has."""
    info = json.loads(context.run([REFERENCE, "info", "--output=json", name]).expect().stdout)
    for snapshot in info.get("snapshots", []):
        snapshot.pop("date-sec")
        snapshot.pop("date-nsec")
    return info["virtual-size"], info["format-specific"], info.get("snapshots"), info.get("backing-filename")


def compare(pair, what):
    """
    Nothing is leaked by ours, and disk and snapshots have the same content. Of qemu-img's own image, bitmaps may be leaked.
    """
    context = pair.context
    context.run([REFERENCE, "check", "-f", "qcow2", "own"]).expect()
    found = [state(context, name) for name in ("own", "reference")]
    if found[0] != found[1]:
        raise Failure(f"{what}: info tells {found[0]}, of qemu-img's image {found[1]}")
    context.run([REFERENCE, "compare", "own", "reference"]).expect()
    for snapshot in found[0][2] or []:
        for name in ("own", "reference"):
            context.run([REFERENCE, "convert", "-O", "raw", "-l", f"snapshot.id={snapshot['id']}", name, name + ".raw"]).expect()
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "raw", "own.raw", "reference.raw"]).expect()


def take_longer(context, old_length, what):
    """What a disk has beyond its old length is zeros; qemu-img's amend shows there what the last cluster had before it was cut."""
    for name in ("own", "reference"):
        context.run([REFERENCE, "convert", "-O", "raw", name, name + ".raw"]).expect()
    own, theirs = ((context.directory / f"{name}.raw").read_bytes() for name in ("own", "reference"))
    if own[:old_length] != theirs[:old_length] or any(own[old_length:]):
        raise Failure(f"{what}: a longer disk has another content")
    if own != theirs:
        context.run(["cp", "own", "reference"]).expect()


def random_options(chance, case):
    """qemu-img looks at each count that the table has room for, which are 2^38 with clusters of 2 MiB: that takes minutes."""
    names = chance.sample(sorted(set(CHOICES) - ({"refcount_bits"} if case == "cluster2M" else set())), chance.choice([1, 1, 2, 2, 3]))
    return ",".join(f"{name}={chance.choice(CHOICES[name])}" for name in names)


def disk_change(chance, pair, step):
    """Data, zeros of both sorts, compressed clusters, snapshots."""
    info = json.loads(pair.context.run([REFERENCE, "info", "--output=json", "own"]).expect().stdout)
    end = min(4 * MIB, info["virtual-size"] - 320 * KIB)  # a size may have been chosen that is less than what is written to
    if end < MIB // 2:
        return
    at = chance.randrange(0, end, 512)
    pair.io(f"write -P {step + 1} {at} {chance.choice([512, 5 * KIB, 90 * KIB])}",
            f"write -z {chance.randrange(0, end, 512)} {chance.choice([64 * KIB, 300 * KIB])}",
            f"write -z -u {chance.randrange(0, end, 512)} {chance.choice([64 * KIB, 300 * KIB])}")
    if chance.random() < 0.4:
        pair.compress(step + 100, step % 3 * 2 * MIB)
    if chance.random() < 0.3:
        pair.each("snapshot", "-c", f"s{step}")


@test(cases=daily.sample("amend sequences", FEATURES, 2), timeout=240, weight=4)
def sequences(context, case):
    """Options at random, another sequence each day."""
    chance = random.Random(f"amend {case} {daily.seed()}")
    if case == "backing":
        maker = recipes.Maker(context.directory)
        maker.create("base", SIZE)
        maker.io("base", "write -P 200 0 5M")
    pair = Pair(context, SIZE, FEATURES[case], "base" if case == "backing" else None)
    done = []
    disk_change(chance, pair, 0)
    for step in range(8):
        options = random_options(chance, case)
        done.append(options)
        what = f"INSTAR_TEST_SEED={daily.seed()}: {done}"
        before = state(context, "own")
        worked = pair.each("amend", "-o", options, own=context.qemu_img_beside)
        if not worked:
            # Of several options qemu-img may have changed some before it refuses one.
            if state(context, "own") != before and "size=" not in options:
                raise Failure(f"{what}: a refusal has changed the image")
            for name in ("own", "reference"):
                context.run([REFERENCE, "amend", "-o", "compat=1.1,refcount_bits=16,lazy_refcounts=off", name])
            if state(context, "own") != state(context, "reference"):
                context.run(["cp", "own", "reference"]).expect()
        elif state(context, "own")[0] > before[0]:
            take_longer(context, before[0], what)
        compare(pair, what)
        if step % 3 == 2:
            disk_change(chance, pair, step)


WRONG_CALLS = [
    [], ["IMAGE"], ["-o", "help"], ["-o", "compat=1.1"], ["-o", "compat=1.1", "IMAGE", "b"], ["-o", "compat=0.11", "IMAGE"], ["-o", "", "IMAGE"],
    ["-o", "compat", "IMAGE"], ["-f", "foo", "-o", "help"], ["-f", "raw", "-o", "help"],
    ["-f", "raw", "-o", "size=3M", "raw"], ["-o", "size=3M", "raw"], ["-o", "compat=1.1", "missing"], ["-f", "foo", "-o", "compat=1.1", "IMAGE"],
    ["-t", "foo", "-o", "compat=1.1", "IMAGE"], ["--bogus", "IMAGE"],
    *(["-o", option, "IMAGE"] for option in (
        "cluster_size=4k", "preallocation=metadata", "extended_l2=on", "compression_type=zstd", "encryption=on", "encrypt.format=luks", "bogus=1",
        "size=3", "size=-1", "size=x", "size", "lazy_refcounts=x", "refcount_bits=3", "refcount_bits=128", "refcount_bits=0", "data_file=x",
        "data_file_raw=on", "backing_file=x", "backing_fmt=raw", "backing_file=", "compat=0.10,lazy_refcounts=on", "compat=0.10,refcount_bits=8",
        "encrypt.state=active,encrypt.new-secret=x")),
    ["-o", "lazy_refcounts=on", "old"], ["-o", "refcount_bits=8", "old"], ["-o", "size=9M", "old_snapshot"], ["-o", "compat=0.10", "subclusters"],
    ["-o", "compat=0.10", "refcount8"], ["-o", "compat=0.10", "resized"], ["-o", "compat=0.10", "zstd"], ["-o", "refcount_bits=1", "resized"],
]


@test()
def refused(context):
    """In qemu-img's words, and without a change."""
    maker = recipes.Maker(context.directory)
    pair = Pair(context, 4 * MIB, [])
    for name, options in (("old", ["compat=0.10"]), ("old_snapshot", ["compat=0.10"]), ("subclusters", ["extended_l2=on"]),
                          ("refcount8", ["refcount_bits=8"]), ("resized", [])):
        maker.create(name, 4 * MIB, *options)
    maker.io("resized", "write 0 64k")
    for name in ("old_snapshot", "resized"):
        maker.run(REFERENCE, "snapshot", "-c", "s", name)
    maker.run(REFERENCE, "resize", "-q", "resized", "5M")
    maker.create("raw", MIB, format="raw")
    maker.io("raw", "write -P 1 0 1M", format="raw")
    maker.convert("raw", "zstd", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd")
    images = [name for name in ("own", "old", "old_snapshot", "subclusters", "refcount8", "resized", "raw", "zstd")]
    for words in WRONG_CALLS:
        before = [(context.directory / name).read_bytes() for name in images]
        if pair.same([context.qemu_img, "amend", *(("own" if word == "IMAGE" else word) for word in words)],
                     [REFERENCE, "amend", *(("reference" if word == "IMAGE" else word) for word in words)]):
            raise Failure(f"{words} has worked")
        # qemu-img has changed what lies before it: only ours is looked at, which it has not been given.
        if (context.directory / "own").read_bytes() != before[0]:
            raise Failure(f"{words}: a refusal has changed the image")


@test()
def bitmaps_go_or_stay(context):
    """Version 2 has none: nothing of them is left. All else leaves them as they are."""
    pair = Pair(context, 4 * MIB, [])
    for name in ("own", "reference"):
        pair.maker.run(REFERENCE, "bitmap", "--add", "-g", "512", name, "b")
    pair.io("write 1M 100k", "write -z 2M 1M")
    before = bitmaps_of(context.directory / "own")
    for options in ("refcount_bits=32", "lazy_refcounts=on,refcount_bits=16", "lazy_refcounts=off"):
        pair.each("amend", "-o", options, own=context.qemu_img)
        if bitmaps_of(context.directory / "own") != before:
            raise Failure(f"{options}: other bitmaps")
        compare(pair, options)
    pair.each("amend", "-o", "compat=0.10", own=context.qemu_img)
    compare(pair, "compat=0.10")


@test()
def data_files(context):
    maker = recipes.Maker(context.directory)
    for name in ("own", "reference"):
        maker.create(name, MIB, f"data_file={name}.data", "data_file_raw=on")
        maker.io(name, "write -P 1 0 64k")
        (context.directory / f"{name}.moved").write_bytes((context.directory / f"{name}.data").read_bytes())
    for options in ("data_file_raw=on", "data_file_raw=off", "data_file_raw=on", "compat=0.10", "refcount_bits=64", "data_file=NAME.moved"):
        own = context.run([context.qemu_img, "amend", "--data-file", "own.data", "-o", options.replace("NAME", "own"), "own"])
        theirs = context.run([REFERENCE, "amend", "-o", options.replace("NAME", "reference"), "reference"])
        if (own.status, own.stderr) != (theirs.status, theirs.stderr):
            raise Failure(own.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
    found = [json.dumps(state(context, name)).replace(name, "NAME") for name in ("own", "reference")]
    if found[0] != found[1]:
        raise Failure(f"info tells {found[0]}, of qemu-img's image {found[1]}")
    context.run([REFERENCE, "check", "own"]).expect()
    context.run([REFERENCE, "compare", "own", "reference"]).expect()


@test()
def progress(context):
    """From 0 to 100, unless it is to be quiet; and the list of options."""
    pair = Pair(context, MIB, [])
    for words in (["-p"], ["-p", "-q"], ["-q", "--force", "-t", "directsync"], ["-t", "writethrough"]):
        pair.each("amend", *words, "-o", "compat=1.1,lazy_refcounts=on", own=context.qemu_img)
    for format in ("qcow2", "luks"):
        own, theirs = (context.run([program, "amend", "-f", format, "-o", "help"]).expect().stdout for program in (context.qemu_img, REFERENCE))
        if own != theirs:
            raise Failure(f"{own} instead of {theirs}")


@test()
def as_vdsm_calls_it(context):
    """A volume is prepared for bitmaps."""
    pair = Pair(context, 4 * MIB, ["compat=0.10"])
    pair.io("write -P 3 0 1M")
    pair.each("snapshot", "-c", "s")
    pair.each("amend", "-o", "compat=1.1", own=context.qemu_img)
    compare(pair, "compat=1.1")
    context.run([context.qemu_img, "bitmap", "--add", "own", "b"]).expect()
