# SPDX-License-Identifier: Apache-2.0
"""The repair of qcow2 images: what qemu-img repairs of one copy is repaired of another one, and told of alike."""

import json
import shutil

from lib import daily, recipes
from lib.python_tests import test
from lib.qcow2_damages import DAMAGED, damage
from lib.suite import Failure

MIB = 1 << 20
REFERENCE = "/usr/bin/qemu-img"
COUNTS = ("image-end-offset", "total-clusters", "allocated-clusters", "fragmented-clusters", "compressed-clusters",
          "leaks", "corruptions", "check-errors", "leaks-fixed", "corruptions-fixed")
DAMAGED_COUNT = 5
NOT_FOUND = ("qemu-img: ", "qcow2: Image is corrupt: ", "Some clusters may be leaked", "qcow2_free_clusters failed",
             "You can force-remove")
# Where qemu-img gives up, or makes things worse: docs/commands.md tells of it.
OTHERWISE = ("is outside image", "Marking image as corrupt", "rebuilt refcount structure is still broken",
             "too much extra metadata", "overhanging snapshots")


class Result:
    """What a repair said: the exit status, the numbers (None when it could not be done), and the lines of findings."""

    def __init__(self, status, counts, lines):
        self.status, self.counts, self.lines = status, counts, lines

    def __str__(self):
        return f"status {self.status}, {self.counts}, {len(self.lines)} lines: {self.lines[:12]}"


def repair_reference(context, mode, path):
    done = context.run([REFERENCE, "check", "-r", mode, "--output=json", "-f", "qcow2", path])
    found = json.loads(done.stdout) if done.stdout.strip() else None
    lines = [line for line in done.stderr.splitlines() if not line.startswith(NOT_FOUND)]
    return Result(done.status, found and {name: found.get(name, 0) for name in COUNTS}, lines)


def repair_own(context, mode, path, *options):
    native = context.build.directory / "tests" / "native" / "image_native"
    done = context.run([native, "check", "-f", "qcow2", "--repair", mode, *options, path])
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    lines = [message["text"] for message in messages if "finding" in message]
    if not messages or "complete" not in messages[-1]:
        raise Failure(done.describe("the repair came to no end"))
    if not messages[-1]["success"]:
        return Result(1, None, lines)
    found = [message for message in messages if "check" in message][-1]
    status = next((status for name, status in (("check-errors", 1), ("corruptions", 2), ("leaks", 3)) if found[name]), 0)
    return Result(status, {name: found.get(name, 0) for name in COUNTS}, lines)


def shown(context, path):
    """The disk's content, or None where it cannot be read."""
    raw = context.directory / "shown.raw"
    done = context.run([REFERENCE, "convert", "-f", "qcow2", "-O", "raw", path, raw])
    return raw.read_bytes() if done.status == 0 else None


def is_left(theirs, ours):
    """
    Errors that qemu-img repairs, and we do not: flags in what may be somebody's data, and entries of the snapshot table
    while anything else is wrong.
    """
    left = [line for line in ours.lines if line.startswith("ERROR OFLAG_COPIED")]
    left = any("Repairing" + line.removeprefix("ERROR") in theirs.lines for line in left)
    incomplete = any("snapshot table entry" in line for line in ours.lines)
    return ours.status == 2 and (left or incomplete)


def compare(context, data, mode, what, *options):
    own, reference = context.directory / "own", context.directory / "reference"
    for path in (own, reference):
        path.write_bytes(data)
    before = shown(context, own)
    theirs, ours = repair_reference(context, mode, reference), repair_own(context, mode, own, *options)
    is_known = theirs.status < 0 or any(text in line for line in theirs.lines for text in OTHERWISE)
    if before is not None and shown(context, own) != before and not is_known:
        raise Failure(f"{what}: the disk is not what it was")
    if is_known or is_left(theirs, ours):
        return
    if theirs.counts is None and any("all bitmaps are dropped" in line for line in ours.lines):
        return  # it does not open such an image
    # qemu-img writes the new counts over these blocks, we behind them.
    if theirs.counts and ours.counts and any("has reserved bits set" in line for line in theirs.lines):
        ours.counts["image-end-offset"] = theirs.counts["image-end-offset"]
    if options or "Rebuilding refcount structure" in theirs.lines:  # what is left is told before what has been replaced
        theirs.lines.sort()
        ours.lines.sort()
    if (theirs.status, theirs.counts, theirs.lines) != (ours.status, ours.counts, ours.lines):
        raise Failure(f"-r {mode}, {what}:\nqemu-img: {theirs}\nours:     {ours}")
    checks = [context.run([REFERENCE, "check", "-f", "qcow2", path]) for path in (own, reference)]
    if checks[0].status != checks[1].status:
        raise Failure(checks[0].describe(f"-r {mode}, {what}, afterwards:"))


@test(cases=daily.sample("qcow2_repair damaged", DAMAGED, 5), timeout=240, weight=10, is_native=True)
def damaged(context, case):
    DAMAGED[case](recipes.Maker(context.directory))
    good = (context.directory / "image").read_bytes()
    dice = daily.dice(f"qcow2_repair damaged {case}")
    for _ in range(DAMAGED_COUNT):
        data, what = damage(dice, good)
        compare(context, data, dice.choice(("leaks", "all", "all")), what)


@test(cases=daily.sample("qcow2_repair windows", (4, 16, 64), 1), timeout=240, weight=5, is_native=True)
def windows(context, case):
    """With memory for counters of a part of the file only."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 8 * MIB, "cluster_size=512", f"refcount_bits={case}")
    maker.io("image", "write 0 5M", "write 6M 1M")
    maker.run(REFERENCE, "snapshot", "-c", "first", "image")
    maker.io("image", "write 1M 100k")
    good = (context.directory / "image").read_bytes()
    dice = daily.dice(f"qcow2_repair windows {case}")
    for is_beyond_repair in (False, True):
        data = bytearray(good)
        table = int.from_bytes(data[48:56], "big")
        blocks = [int.from_bytes(data[table + 8 * i:table + 8 * i + 8], "big") for i in range(20)]
        for _ in range(40):
            data[dice.choice([block for block in blocks if block]) + dice.randrange(512)] ^= 1
        if is_beyond_repair:
            data[blocks[0]:blocks[0] + 64] = bytes(64)
        memory = (6 << 20) + (70 + dice.choice((8, 12, 28))) * 1024
        compare(context, data, "all", f"memory {memory}", "--memory-left", memory)


def leaky(maker):
    """An image with leaks, and a count that is too low."""
    maker.create("image", MIB, "cluster_size=4k")
    maker.io("image", "write -P 7 0 100k")
    path = maker.directory / "image"
    data = bytearray(path.read_bytes())
    block = int.from_bytes(data[4096:4104], "big")
    last = len(data) // 4096
    data[block + 2 * 9:block + 2 * 9 + 2] = (3).to_bytes(2, "big")
    data += bytes(8192)
    for cluster in (last, last + 1):
        data[block + 2 * cluster:block + 2 * cluster + 2] = (1).to_bytes(2, "big")
    return path, data, block


@test(cases=("leaks", "all", "rebuild", "sound", "worse"), timeout=120)
def told(context, case):
    """The whole command: the texts and the exit status, and JSON."""
    path, data, block = leaky(recipes.Maker(context.directory))
    if case == "sound":
        data = bytearray(path.read_bytes())
    elif case == "rebuild":
        data[block + 2 * 8:block + 2 * 8 + 2] = bytes(2)
    elif case in ("all", "worse"):
        data[block + 2 * 8:block + 2 * 8 + 2] = (2).to_bytes(2, "big")
        data[block + 2 * 5:block + 2 * 5 + 2] = (9).to_bytes(2, "big")
    mode = "leaks" if case in ("leaks", "worse") else "all"
    for options in ([], ["-q"], ["--output=json"]):
        for name in ("own", "reference"):
            (context.directory / name).write_bytes(data)
        ours = context.run([context.qemu_img, "check", "-r", mode, *options, "own"])
        theirs = context.run([REFERENCE, "check", "-r", mode, *options, "reference"])
        output = theirs.stdout.replace("reference", "own")
        same = json.loads(ours.stdout) == json.loads(output) if "json" in str(options) else ours.stdout == output
        if not same or (ours.status, ours.stderr) != (theirs.status, theirs.stderr):
            raise Failure(ours.describe(f"{case} {options}") + "\n" + theirs.describe("qemu-img"))
        context.run([REFERENCE, "compare", "own", "reference"]).expect()


@test()
def refused(context):
    """What is not repaired is not changed."""
    path, data, _ = leaky(recipes.Maker(context.directory))
    path.write_bytes(data)
    for options in (["-r", "some"], ["-r", "all", "-U"]):
        ours = context.run([context.qemu_img, "check", *options, "image"])
        theirs = context.run([REFERENCE, "check", *options, "image"])
        if ours.status != theirs.status or path.read_bytes() != data:
            raise Failure(ours.describe(f"{options}") + "\n" + theirs.describe("qemu-img"))


@test(cases=("unknown_type", "longer_table"))
def broken_bitmaps(context, case):
    """A directory that cannot be read makes the image unrepairable for qemu-img: it is dropped."""
    maker = recipes.Maker(context.directory)
    maker.create("image", MIB)
    maker.io("image", "write -P 3 0 200k")
    maker.run(REFERENCE, "bitmap", "--add", "image", "b0")
    path = context.directory / "image"
    data = bytearray(path.read_bytes())
    extension = data.index(b"\x23\x85\x28\x75")
    directory = int.from_bytes(data[extension + 24:extension + 32], "big")
    if case == "unknown_type":
        data[directory + 16] = 99
    else:
        data[directory + 11] += 1
    path.write_bytes(data)
    shutil.copy(path, context.directory / "before")
    context.run([REFERENCE, "check", "-r", "all", "image"]).expect(status=1)
    context.run([context.qemu_img, "check", "-r", "leaks", "image"]).expect(status=1)
    if path.read_bytes() != data:
        raise Failure("a refusal has changed the image")
    done = context.run([context.qemu_img, "check", "-r", "all", "image"]).expect()
    if "all bitmaps are dropped" not in done.stderr:
        raise Failure(done.describe("not told"))
    for command in ("check", "info"):
        done = context.run([REFERENCE, command, "image"]).expect()
        if done.stderr or "bitmap" in done.stdout:
            raise Failure(done.describe("expected nothing of bitmaps"))
    maker.io("image", "read -P 3 0 200k")


@test(cases=("leaks", "all"))
def snapshots_stay(context, case):
    """Of an image that also has bitmaps, where qemu-img 7.2 makes all snapshots leaks."""
    maker = recipes.Maker(context.directory)
    maker.create("image", MIB)
    maker.io("image", "write -P 3 0 200k")
    maker.run(REFERENCE, "bitmap", "--add", "image", "b0")
    maker.run(REFERENCE, "snapshot", "-c", "one", "image")
    path = context.directory / "image"
    data = path.read_bytes() + bytes(65536)
    block = int.from_bytes(data[65536:65544], "big")
    last = (len(data) - 1) // 65536
    path.write_bytes(data[:block + 2 * last] + b"\0\1" + data[block + 2 * last + 2:])  # a leak
    done = context.run([context.qemu_img, "check", "-r", case, "image"]).expect()
    if "Repairing cluster" not in done.stderr or done.stderr.count("Repairing") != 1:
        raise Failure(done.describe("expected one leak"))
    context.run([REFERENCE, "check", "image"]).expect()
    if "one" not in context.run([REFERENCE, "snapshot", "-l", "image"]).expect().stdout:
        raise Failure("the snapshot is lost")
    context.run([REFERENCE, "convert", "-l", "one", "-O", "raw", "image", "one"]).expect()
    maker.io("one", "read -P 3 0 200k", format="raw")


CORRUPT = "Image is corrupt; cannot be opened read/write"
# All that opens an image to change it, and what follows its name.
CHANGES = {
    "resize": (["resize", "-f", "qcow2"], ["2M"]),
    "snapshot": (["snapshot", "-c", "one"], []),
    "apply": (["snapshot", "-a", "old"], []),
    "delete": (["snapshot", "-d", "old"], []),
    "bench": (["bench", "-f", "qcow2", "-w", "-c", "4", "-s", "4096"], []),
    "convert": (["convert", "-n", "-f", "raw", "-O", "qcow2", "raw"], []),
    "rebase": (["rebase", "-b", "raw", "-F", "raw"], []),
    "rebase_unsafe": (["rebase", "-u", "-b", "raw", "-F", "raw"], []),
    "commit": (["commit", "-d"], []),
    "amend": (["amend", "-o", "refcount_bits=32"], []),
    "bitmap": (["bitmap", "--add"], ["one"]),
    "check": (["check", "-f", "qcow2", "-r", "all"], []),
}


def cut_short_make(maker, name, mark):
    """What the image is, with counts that were not written, and a mark: 1 for dirty, 2 for corrupt."""
    data = bytearray((maker.directory / name).read_bytes())
    block = int.from_bytes(data[4096:4104], "big")
    data[block + 2 * 5:block + 2 * 12] = bytes(14)  # clusters that have been used since
    data[79] |= mark
    return data


def marked_both(context, case, mark):
    """A change of an image with this mark, and of its copy by qemu-img."""
    maker = recipes.Maker(context.directory)
    (context.directory / "raw").write_bytes(b"raw".ljust(MIB, b"\x2a"))
    (context.directory / "base").write_bytes(bytes(MIB))
    maker.create("image", MIB, "cluster_size=4k", "lazy_refcounts=on", backing="base", backing_format="raw")
    maker.io("image", "write -P 7 0 100k")
    maker.run(REFERENCE, "snapshot", "-c", "old", "image")
    data = cut_short_make(maker, "image", mark)
    words, last = CHANGES[case]
    for name in ("own", "reference"):
        (context.directory / name).write_bytes(data)
    allowed = [] if words[0] in ("snapshot", "check") else ["--backing-file", "base"]
    ours = context.run([context.qemu_img, words[0], *allowed, *words[1:], "own", *last])
    base = (context.directory / "base").read_bytes()
    (context.directory / "base").write_bytes(bytes(MIB))
    theirs = context.run([REFERENCE, *words, "reference", *last])
    if (ours.status, ours.stderr.replace("own", "reference")) != (theirs.status, theirs.stderr):
        raise Failure(ours.describe("another end") + "\n" + theirs.describe("qemu-img"))
    if (context.directory / "base").read_bytes() != base:
        raise Failure("the base is another one")
    return data, ours


@test(cases=CHANGES, timeout=120)
def dirty(context, case):
    """What is marked as dirty is repaired before it is changed, and the mark goes."""
    _, ours = marked_both(context, case, 1)
    if "Rebuilding" not in ours.stderr:
        raise Failure(ours.describe("expected a repair"))
    info = json.loads(context.run([REFERENCE, "info", "--output=json", "own"]).expect().stdout)
    if info["dirty-flag"]:
        raise Failure("the image is still marked as dirty")
    context.run([REFERENCE, "check", "own"]).expect()
    context.run([REFERENCE, "compare", "own", "reference"]).expect()


@test()
def dirty_encrypted(context):
    """Likewise, of which only data is encrypted."""
    secret = ["--object", "secret,id=key,data=letmein"]
    options = "lazy_refcounts=on,encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10"
    context.run([REFERENCE, "create", "-q", *secret, "-f", "qcow2", "-o", options, "own", 4 * MIB]).expect()
    image = "driver=qcow2,encrypt.key-secret=key,file.filename="
    context.run(["qemu-io", *secret, "--image-opts", f"{image}own", "-c", "write -P 6 1200k 200k", "-c", "flush", "-c", "abort"])
    shutil.copyfile(context.directory / "own", context.directory / "reference")
    ours, theirs = (context.run([program, "resize", *secret, "--image-opts", f"{image}{name}", "5M"]).expect()
                    for program, name in ((context.qemu_img, "own"), (REFERENCE, "reference")))
    if ours.stderr != theirs.stderr or "Rebuilding" not in ours.stderr:
        raise Failure(ours.describe("another end") + "\n" + theirs.describe("qemu-img"))
    context.run([REFERENCE, "check", *secret, "--image-opts", f"{image}own"]).expect()
    names = ["json:" + json.dumps({"driver": "qcow2", "encrypt.key-secret": "key", "file.filename": name}) for name in ("own", "reference")]
    context.run([REFERENCE, "compare", *secret, *names]).expect()


@test(cases=[case for case in CHANGES if case != "check"], timeout=120)
def corrupt(context, case):
    """What is marked as corrupt is not changed."""
    data, ours = marked_both(context, case, 2)
    if ours.status != 1 or CORRUPT not in ours.stderr or (context.directory / "own").read_bytes() != data:
        raise Failure(ours.describe("the image was changed"))


@test(cases=["dirty", "corrupt"], timeout=120)
def marked_base(context, case):
    """A dirty base is repaired before it is committed to, lest data go over its own, and a corrupt one is refused (qemu-img 7.2 writes to
    either as it is)."""
    maker = recipes.Maker(context.directory)
    maker.create("base", MIB, "cluster_size=4k", "lazy_refcounts=on")
    maker.io("base", "write -P 7 0 100k")
    maker.create("top", MIB, backing="base")
    maker.io("top", "write -P 8 64k 64k", "write -P 9 512k 64k")
    data = cut_short_make(maker, "base", 1 if case == "dirty" else 2)
    (context.directory / "base").write_bytes(data)
    context.run([REFERENCE, "convert", "-O", "raw", "top", "expected"]).expect()
    done = context.run([context.qemu_img, "commit", "-d", "-b", "base", "top"])
    if case == "corrupt":
        if done.status != 1 or CORRUPT not in done.stderr or (context.directory / "base").read_bytes() != data:
            raise Failure(done.describe("the base was changed"))
        return
    if "Rebuilding" not in done.expect().stderr:
        raise Failure(done.describe("expected a repair"))
    context.run([REFERENCE, "check", "base"]).expect()
    context.run([REFERENCE, "compare", "base", "expected"]).expect()


@test()
def by_options(context):
    """The image as --image-opts names it, and one that is marked as corrupt."""
    path, data, _ = leaky(recipes.Maker(context.directory))
    data[79] |= 2
    path.write_bytes(data)
    context.run([context.qemu_img, "check", "-r", "all", "--image-opts", "driver=qcow2,file.filename=image"]).expect()
    context.run([REFERENCE, "check", "image"]).expect()
    if path.read_bytes()[79] != 0:
        raise Failure("the image is still marked as corrupt")
