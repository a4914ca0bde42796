# SPDX-License-Identifier: Apache-2.0
"""Snapshots are created, applied and deleted: beside qemu-img, in sequences, and never by half."""

import json
import random
import re

from lib import daily, pairs, recipes
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = pairs.REFERENCE
FEATURES = {
    "usual": [], "cluster512": ["cluster_size=512"], "cluster2M": ["cluster_size=2M"],
    "subclusters": ["extended_l2=on", "cluster_size=32k"], "refcount2": ["refcount_bits=2"],
    "refcount64": ["refcount_bits=64", "cluster_size=4k"], "backing": ["cluster_size=4k"], "old": ["compat=0.10"],
    "metadata": ["preallocation=metadata", "cluster_size=16k"],
}
SIZE = 6 * MIB + 512


class Pair(pairs.Pair):
    def __init__(self, context, features, backing=None):
        super().__init__(context, SIZE, features, backing)

    def snapshots(self, name):
        done = self.context.run([REFERENCE, "info", "--output=json", name]).expect()
        found = json.loads(done.stdout)
        for snapshot in found.get("snapshots", []):
            snapshot.pop("date-sec")
            snapshot.pop("date-nsec")
        return found["virtual-size"], found.get("snapshots", []), found["format-specific"]["data"].get("bitmaps")

    def compare(self, what):
        """Nothing is leaked by ours, and the disk and all snapshots have the same content."""
        self.context.run([REFERENCE, "check", "-f", "qcow2", "own"]).expect()
        found = [self.snapshots(name) for name in ("own", "reference")]
        if found[0] != found[1]:
            raise Failure(f"{what}: info tells {found[0]}, of qemu-img's image {found[1]}")
        self.context.run([REFERENCE, "compare", "own", "reference"]).expect()
        for snapshot in found[0][1]:
            for name in ("own", "reference"):
                self.context.run([REFERENCE, "convert", "-O", "raw", "-l", f"snapshot.id={snapshot['id']}", name,
                                  name + ".raw"]).expect()
            self.context.run([REFERENCE, "compare", "-f", "raw", "-F", "raw", "own.raw", "reference.raw"]).expect()


def random_step(chance, pair, names, may_resize):
    kind = chance.choice(["write", "write", "compress", "zero", "create", "create", "apply", "delete", "resize"])
    at, length = chance.randrange(0, 4 * MIB, 512), chance.choice([512, 4 * KIB, 100 * KIB, MIB])
    if kind == "write":
        pair.io(f"write -P {chance.randrange(1, 255)} {at} {length}")
    elif kind == "zero":
        pair.io(f"write -z {at} {length}")
    elif kind == "compress":
        pair.compress(chance.randrange(1, 255), at // (2 * MIB) * 2 * MIB)
    elif kind == "resize" and may_resize:
        pair.each("resize", "-q", "--shrink", "-f", "qcow2", str(chance.randrange(5 * MIB, 80 * MIB, 512)))
    elif kind in ("create", "apply", "delete"):
        name = chance.choice(names)
        pair.each("snapshot", f"-{kind[0]}", name, own=pair.context.qemu_img)
    return kind


@test(cases=daily.sample("snapshot sequences", FEATURES, 2), timeout=180, weight=4)
def sequences(context, case):
    """Steps at random, another sequence each day."""
    chance = random.Random(f"snapshots {case} {daily.seed()}")
    if case == "backing":
        maker = recipes.Maker(context.directory)
        maker.create("base", 5 * MIB)
        maker.io("base", "write -P 200 0 5M")
    pair = Pair(context, FEATURES[case], "base" if case == "backing" else None)
    names = ["a", "b", "c d", "1", "3"]
    steps = []
    for _ in range(14):
        steps.append(random_step(chance, pair, names, may_resize=case not in ("old", "backing")))
        if steps[-1] in ("create", "apply", "delete"):
            pair.compare(f"INSTAR_TEST_SEED={daily.seed()}: {steps}")


@test()
def refused(context):
    """What cannot be done, in qemu-img's words, and without a change."""
    pair = Pair(context, [])
    pair.io("write -P 1 0 1M")
    own = context.qemu_img
    pair.each("snapshot", "-c", "one", own=own)
    with open(context.directory / "own", "r+b") as file:  # a feature that nobody knows, and that goes with the next change
        file.seek(95)
        file.write(b"\x40")
    before = (context.directory / "own").read_bytes()
    for words in (["-d", "missing"], ["-a", "missing"], ["-d", "1"]):
        if pair.each("snapshot", *words, own=own):
            raise Failure(f"{words} has worked")
    if (context.directory / "own").read_bytes() != before:
        raise Failure("a refusal has changed the image")
    for name in ("own", "reference"):
        pair.maker.run(REFERENCE, "bitmap", "--add", name, "b")
    pair.each("snapshot", "-a", "one", own=own)
    pair.each("snapshot", "-c", "two", own=own)
    pair.each("snapshot", "-d", "one", own=own)
    pair.compare("with a bitmap")


@test()
def counts_at_their_end(context):
    """With one bit for it, no cluster can have two references; a file that ends within a cluster does so afterwards, too."""
    pair = Pair(context, ["refcount_bits=1"])
    pair.each("snapshot", "-c", "empty", own=context.qemu_img)
    pair.io("write -P 1 0 64k")
    pair.compress(2, 0)
    before = (context.directory / "own").read_bytes()
    if len(before) % (64 * KIB) == 0:
        raise Failure("the file ends with a cluster")
    if pair.each("snapshot", "-c", "full", own=context.qemu_img) or (context.directory / "own").read_bytes() != before:
        raise Failure("a snapshot that cannot be made has changed the image")
    pair.compare("one bit")


@test()
def data_files(context):
    for name in ("own", "reference"):
        recipes.Maker(context.directory).create(name, MIB, f"data_file={name}.data")
    for words in (["-c", "x"], ["-a", "x"], ["-d", "x"]):
        done = context.run([context.qemu_img, "snapshot", *words, "--data-file", "own.data", "own"])
        theirs = context.run([REFERENCE, "snapshot", *words, "reference"])
        if (done.status, done.stderr) != (theirs.status, theirs.stderr):
            raise Failure(done.describe("another end") + "\n" + theirs.describe("than qemu-img:"))


@test()
def times(context):
    """A snapshot has the time at which it was made, and a name up to a length."""
    pair = Pair(context, [])
    pair.each("snapshot", "-c", "n" * 300, own=context.qemu_img)
    pair.each("snapshot", "-c", "", own=context.qemu_img)
    lines = [re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d", context.run([REFERENCE, "snapshot", "-l", name]).expect().stdout)
             for name in ("own", "reference")]
    if len(lines[0]) != 2 or lines[0][0][:13] != lines[1][0][:13]:
        raise Failure(f"made at {lines[0]}, by qemu-img at {lines[1]}")
    pair.compare("names")


# What is written, and where data was before, both in subclusters of the one cluster.
SHARED_WRITES = {
    "within": ((2, 1), [(0, 4), (10, 2)]), "before": ((0, 1), [(8, 4)]), "behind": ((30, 2), [(8, 4)]),
    "whole": ((0, 32), [(3, 1)]), "odd": ((5, 0.5), [(5, 1), (20, 1)]), "zeros": ((16, 1), [(4, 1)]),
}


@test(cases=SHARED_WRITES)
def subclusters_that_a_snapshot_shares(context, case):
    """A cluster that moves takes no subclusters of the backing file's with it beyond those that lie between its own."""
    (at, count), before = SHARED_WRITES[case]
    unit = 2 * KIB
    maker = recipes.Maker(context.directory)
    maker.create("base", MIB)
    maker.io("base", f"write -P 9 0 {MIB}")
    pair = pairs.Pair(context, MIB, ["extended_l2=on", "cluster_size=64k"], "base")
    for first, length in before:
        pair.io(f"write -P 7 {first * unit} {length * unit}")
    if case == "zeros":
        pair.io(f"write -z {12 * unit} {2 * unit}")
    pair.each("snapshot", "-c", "one", own=context.qemu_img_beside)
    write = ["bench", "-w", "-q", "-f", "qcow2", "-c", "1", "--pattern=5", "-o", int(at * unit), "-s", int(count * unit)]
    context.run([context.qemu_img_beside, *write, "own"]).expect()
    context.run([REFERENCE, *write, "reference"]).expect()
    found = [context.run([REFERENCE, "map", "--output=json", name]).expect().stdout for name in ("own", "reference")]
    if [(part["depth"], part["start"], part["length"], part["zero"]) for part in json.loads(found[0])] != [
            (part["depth"], part["start"], part["length"], part["zero"]) for part in json.loads(found[1])]:
        raise Failure(f"map of ours: {found[0]}, of qemu-img's: {found[1]}")
    context.run([REFERENCE, "compare", "own", "reference"]).expect()
    context.run([REFERENCE, "check", "own"]).expect()


@test()
def counts_of_zero(context):
    """A cluster that has data, and a reference count of 0, is not taken for new tables: nothing is changed."""
    run = context.run
    run([REFERENCE, "create", "-q", "-f", "qcow2", "image", "4M"]).expect()
    run(["/usr/bin/qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", "image"]).expect()
    run([REFERENCE, "snapshot", "-c", "one", "image"]).expect()
    run(["/usr/bin/qemu-io", "-f", "qcow2", "-c", "write -P 2 0 1M", "image"]).expect()
    place = json.loads(run([REFERENCE, "map", "--output=json", "image"]).expect().stdout)[0]["offset"]
    image = context.directory / "image"
    damaged = bytearray(image.read_bytes())
    table = int.from_bytes(damaged[48:56], "big")
    block = int.from_bytes(damaged[table:table + 8], "big")
    damaged[block + place // 65536 * 2:block + place // 65536 * 2 + 2] = bytes(2)
    image.write_bytes(damaged)
    for words in (["-c", "two"], ["-a", "one"], ["-d", "one"]):
        done = run([context.qemu_img, "snapshot", *words, "image"]).expect(1)
        if "the image is damaged (" not in done.stderr or image.read_bytes() != damaged:
            raise Failure(f"snapshot {words[0]} has changed the image")
    run([context.qemu_img, "check", "-q", "-r", "all", "image"]).expect()
    run([context.qemu_img, "snapshot", "-d", "one", "image"]).expect()
    run([REFERENCE, "check", "-q", "image"]).expect()
