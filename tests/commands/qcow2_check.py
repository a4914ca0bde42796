# SPDX-License-Identifier: Apache-2.0
"""The check of qcow2 images, natively: the same numbers and the same lines as qemu-img's, on sound and damaged images."""

import collections
import json
import math

from lib import daily, recipes
from lib.python_tests import test
from lib.qcow2_damages import COPIED, DAMAGED, Image, damage
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
COUNTS = ("image-end-offset", "total-clusters", "allocated-clusters", "fragmented-clusters", "compressed-clusters",
          "leaks", "corruptions", "check-errors")
SOUND_COUNT, DAMAGED_COUNT, WINDOWS_COUNT = 20, 10, 2
# What qemu-img says besides what it finds.
NOT_FOUND = ("qemu-img: ", "qcow2: Image is corrupt: ", "Some clusters may be leaked")


class Check:
    """What a check said: the exit status, the numbers (None when it could not be done), and the lines of findings."""

    def __init__(self, status, counts, lines):
        self.status, self.counts, self.lines = status, counts, lines

    def __str__(self):
        return f"status {self.status}, {self.counts}, {len(self.lines)} lines: {self.lines[:5]}"


def check_reference(context, path):
    done = context.run(["/usr/bin/qemu-img", "check", "--output=json", "-f", "qcow2", path])
    found = json.loads(done.stdout) if done.stdout.strip() else None
    lines = [line for line in done.stderr.splitlines() if not line.startswith(NOT_FOUND)]
    return Check(done.status, found and {name: found.get(name, 0) for name in COUNTS}, lines)


def check_own(context, path, *options):
    native = context.build.directory / "tests" / "native" / "image_native"
    done = context.run([native, "check", "-f", "qcow2", *options, path])
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    lines = [message["text"] for message in messages if "finding" in message]
    found = next((message for message in messages if "check" in message), None)
    if not messages or "complete" not in messages[-1]:
        raise Failure(done.describe("the check came to no end"))
    if not messages[-1]["success"]:
        return Check(1, None, lines)
    status = next((status for name, status in (("check-errors", 1), ("corruptions", 2), ("leaks", 3)) if found[name]), 0)
    return Check(status, {name: found.get(name, 0) for name in COUNTS}, lines)


def compare(context, path, what, *options, ordered=True):
    reference, own = check_reference(context, path), check_own(context, path, *options)
    same = reference.status == own.status and reference.counts == own.counts
    if same and reference.status != 1:
        same = (reference.lines == own.lines if ordered else
                collections.Counter(reference.lines) == collections.Counter(own.lines))
    if not same:
        raise Failure(f"{what}:\nqemu-img: {reference}\nours:     {own}")
    return own


@test(cases=range(2), timeout=240, weight=20, is_native=True)
def sound(context, case):
    checked = [recipe for recipe in recipes.recipes()
               if "raw" not in recipe.name or recipe.name.startswith(("chain", "data_file"))]
    for recipe in daily.sample("qcow2_check sound", checked, SOUND_COUNT, context.share)[case::2]:
        directory = context.directory / recipe.name
        directory.mkdir()
        recipe.make(recipes.Maker(directory))
        if recipe.name.startswith("data_file"):
            (directory / "image.data").rename(context.directory / "image.data")
            (directory / "image.data").symlink_to("../image.data")
        compare(context, directory / "image", recipe.name)


@test(cases=daily.sample("qcow2_check damaged", DAMAGED, 6), timeout=240, weight=20, is_native=True)
def damaged(context, case):
    DAMAGED[case](recipes.Maker(context.directory))
    path = context.directory / "image"
    good = path.read_bytes()
    dice = daily.dice(f"qcow2_check damaged {case}")
    statuses = collections.Counter()
    # As many as are wanted, and some in which something is corrupt, if it takes a few more.
    while statuses.total() < DAMAGED_COUNT * context.share or (statuses[2] < 2 and statuses.total() < 60):
        data, what = damage(dice, good)
        path.write_bytes(data)
        statuses[compare(context, path, what).status] += 1
    if statuses[2] < 2:
        raise Failure(f"too little was damaged: {statuses}")


@test(cases=daily.sample("qcow2_check windows", (4, 8, 16, 32, 64), 3), timeout=240, weight=20, is_native=True)
def windows(context, case):
    """With memory for counters of a part of the file only, which become wider where clusters are referenced often."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 8 * MIB, "cluster_size=512", f"refcount_bits={case}")
    maker.io("image", "write 0 5M", "write 6M 1M")
    maker.run("/usr/bin/qemu-img", "snapshot", "-c", "first", "image")
    maker.io("image", "write 1M 100k")
    path = context.directory / "image"
    good = path.read_bytes()
    dice = daily.dice(f"qcow2_check windows {case}")
    for _ in range(math.ceil(WINDOWS_COUNT * context.share)):
        image = Image(good)
        tables = list(image.l2_tables())
        block = image.number(image.number(48) + 8 * dice.randrange(8)) or image.cluster
        for count in (dice.choice((1, 254, 255, 256, 700)), dice.choice((20, 256, 3000))):
            target = dice.choice((block, dice.randrange(len(good) // image.cluster) * image.cluster))
            for _ in range(count):
                image.put(dice.choice(tables) + 8 * dice.randrange(64), target | COPIED)
        for _ in range(dice.choice((0, 300))):
            image.put(image.number(40) + 8 * dice.randrange(image.number(36, 4)), tables[0] | COPIED)
        for _ in range(dice.choice((0, 3))):
            image.put(image.number(48) + 8 * dice.randrange(60), block)
        path.write_bytes(image.data)
        # The rest is a buffer of 4 MiB and what opening takes.
        memory = (4 << 20) + 4096 + dice.choice((8, 12, 28)) * KIB
        compare(context, path, f"memory {memory}", "--memory-left", memory, ordered=False)
