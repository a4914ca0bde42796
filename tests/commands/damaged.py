# SPDX-License-Identifier: Apache-2.0
"""Damaged qcow2 images: the same verdict as qemu-img's, and never a crash, a hang, or a changed file.

Every field of the header, and entries of every table, get a handful of bad values; files are cut off in and at every
structure.
"""

import hashlib
import json
import shutil

from lib import recipes
from lib.python_tests import test
from lib.suite import KVM_MISSING, Failure

KIB, MIB = 1 << 10, 1 << 20

# The header's fields: name, offset, length (qcow2 specification, "Header").
HEADER = [
    ("magic", 0, 4), ("version", 4, 4), ("backing_file_offset", 8, 8), ("backing_file_size", 16, 4),
    ("cluster_bits", 20, 4), ("size", 24, 8), ("crypt_method", 32, 4), ("l1_size", 36, 4),
    ("l1_table_offset", 40, 8), ("refcount_table_offset", 48, 8), ("refcount_table_clusters", 56, 4),
    ("nb_snapshots", 60, 4), ("snapshots_offset", 64, 8), ("incompatible_features", 72, 8),
    ("compatible_features", 80, 8), ("autoclear_features", 88, 8), ("refcount_order", 96, 4),
    ("header_length", 100, 4), ("compression_type", 104, 1), ("padding", 105, 7),
    ("first_extension_type", 112, 4), ("first_extension_length", 116, 4),
]


def values(length, old):
    """Bad values for a field of `length` bytes that has the value `old`."""
    top = (1 << (8 * length)) - 1
    wanted = (0, top, top >> 1, old ^ 1, old ^ 512, old * 2)
    return sorted({value & top for value in wanted} - {old})


class Tables:
    """Where an image of qemu-img's has its tables, read as simply as can be."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.cluster = 1 << self.number(20, 4)
        self.l1, self.l1_entries = self.number(40, 8), self.number(36, 4)
        self.refcounts = self.number(48, 8)
        self.snapshots = self.number(64, 8) if self.number(60, 4) else None
        self.l2 = [self.number(self.l1 + 8 * i, 8) & 0x00fffffffffffe00 for i in range(self.l1_entries)]
        self.l2 = [offset for offset in self.l2 if offset]

    def number(self, offset, length):
        return int.from_bytes(self.data[offset:offset + length], "big")

    def entries(self):
        """(name, offset, length) of entries worth damaging."""
        found = [("l1[0]", self.l1, 8), ("l1[last]", self.l1 + 8 * (self.l1_entries - 1), 8)]
        for table in self.l2[:2]:
            found += [(f"l2_{table:x}[{i}]", table + 8 * i, 8) for i in (0, 1, 2, 7, self.cluster // 8 - 1)]
        block = self.number(self.refcounts, 8)
        found += [("refcount_table[0]", self.refcounts, 8), ("refcount_table[1]", self.refcounts + 8, 8)]
        found += [(f"refcount[{i}]", block + 2 * i, 2) for i in (0, 1, 3, 5)]
        if self.snapshots is not None:
            found += [(f"snapshot+{i}", self.snapshots + i, n)
                      for i, n in ((0, 8), (8, 4), (12, 2), (14, 2), (32, 4), (36, 4), (40, 8), (48, 8))]
        return found

    def cuts(self):
        """Lengths at which to cut the file off."""
        starts = [0, 4, 72, 104, self.l1, self.refcounts, self.number(self.refcounts, 8), *self.l2,
                  len(self.data) - self.cluster]
        if self.snapshots is not None:
            starts.append(self.snapshots)
        return sorted({start + more for start in starts for more in (0, 1, 8, 511)
                       if 0 <= start + more < len(self.data)})


def small(maker):
    maker.create("image", MIB, "cluster_size=512")
    maker.io("image", "write -P 1 0 8k", "write -P 2 100k 512", "write -z 200k 4k")


def usual(maker):
    maker.create("image", 4 * MIB)
    maker.io("image", "write -P 1 0 256k", "write -P 2 1M 64k", "write -z 2M 128k")


def subclusters(maker):
    maker.create("image", 4 * MIB, "extended_l2=on", "cluster_size=32k")
    maker.io("image", "write -P 1 0 256k", "write -P 2 1M 2k", "write -z 2M 6k")


def packed(maker):
    recipes.compressed(["compression_type=zlib"], 64 * KIB)(maker)


def packed_zstd(maker):
    recipes.compressed(["compression_type=zstd"], 64 * KIB)(maker)


def version2(maker):
    maker.create("image", 2 * MIB, "compat=0.10", "cluster_size=4k")
    maker.io("image", "write -P 1 0 64k")


BASES = {
    "small": small, "usual": usual, "subclusters": subclusters, "zlib": packed, "zstd": packed_zstd,
    "version2": version2, "snapshots": recipes.snapshots(), "bitmaps": recipes.bitmaps,
    "backing": recipes.chain(1, [4 * MIB]),
}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


# What qemu-img said about an image, by the image's digest: it says the same when the next engine's turn comes.
references = {}


def chosen(context, damages):
    """All, by KVM. A process runs the same guest program: some of them are enough, where both take their turn."""
    is_second = context.build.sandbox == "process" and KVM_MISSING is None
    return damages[::4] if is_second else damages


class Verdicts:
    """What both programs say about a damaged image."""

    def __init__(self, context):
        self.context = context
        self.path = context.directory / "image"
        self.own = context.qemu_img
        self.digest = None  # of the image that is being judged

    def reference(self, *arguments):
        """qemu-img's result, and the digest of what it wrote."""
        key = (self.digest, arguments)
        if key not in references:
            done = self.context.run(["/usr/bin/qemu-img", *arguments])
            references[key] = done, digest(self.context.directory / "reference.raw")
        return references[key]

    def both(self, what, *arguments):
        reference, _ = self.reference(*arguments)
        own = self.context.run([self.own, *arguments])
        if own.status != reference.status:
            raise Failure(own.describe(f"{what}: exit status {own.status}; qemu-img has {reference.status}") + "\n" +
                          reference.describe("qemu-img:"))
        lines = own.stderr.splitlines()
        if own.status == 1 and arguments[0] != "check" and not (lines and lines[-1].startswith("qemu-img: ")):
            raise Failure(own.describe(f"{what}: no clear line"))
        return reference, own

    def judge(self, what):
        self.digest = digest(self.path)
        reference, own = self.both(what, "info", "--output=json", "-f", "qcow2", "image")
        if own.status == 0 and json.loads(own.stdout) != json.loads(reference.stdout):
            raise Failure(own.describe(f"{what}: another value") + "\n" + reference.describe("than qemu-img:"))
        self.both(what, "check", "-f", "qcow2", "image")
        if self.is_short():
            self.both(what, "map", "--output=json", "-f", "qcow2", "image")
            self.content(what)
        if digest(self.path) != self.digest:
            raise Failure(f"{what}: the image was changed")

    def is_short(self):
        """Not one of those whose damaged size makes them endless."""
        done, _ = self.reference("info", "--output=json", "-f", "qcow2", "image")
        return done.status != 0 or json.loads(done.stdout)["virtual-size"] < 64 * MIB

    def content(self, what):
        for name in ("reference.raw", "own.raw"):
            (self.context.directory / name).unlink(missing_ok=True)
        options = ("convert", "-f", "qcow2", "-O", "raw", "image")
        reference, content = self.reference(*options, "reference.raw")
        own = self.context.run([self.own, *options, "own.raw"])
        if (own.status == 0) != (reference.status == 0):
            raise Failure(own.describe(f"{what}: convert ends otherwise") + "\n" + reference.describe("than qemu-img:"))
        if own.status != 0 and digest(self.context.directory / "own.raw") is not None:
            raise Failure(own.describe(f"{what}: a failed convert left a file"))
        if own.status == 0 and digest(self.context.directory / "own.raw") != content:
            raise Failure(f"{what}: the content differs from qemu-img's")


def prepare(context, base):
    BASES[base](recipes.Maker(context.directory))
    image = context.directory / "image"
    shutil.copy(image, context.directory / "good")
    return image, Tables(image)


def damage(context, base, places):
    image, tables = prepare(context, base)
    verdicts = Verdicts(context)
    failures = []
    for name, offset, length in chosen(context, places(tables)):
        for value in values(length, tables.number(offset, length)):
            shutil.copy(context.directory / "good", image)
            with open(image, "r+b") as file:
                file.seek(offset)
                file.write(value.to_bytes(length, "big"))
            try:
                verdicts.judge(f"{name} = {value:#x}")
            except Failure as failure:
                failures.append(str(failure))
    if failures:
        raise Failure(f"{len(failures)} damages are judged otherwise\n" + "\n".join(failures[:8]))


@test(cases=BASES, timeout=240, weight=20)
def headers(context, case):
    damage(context, case, lambda tables: HEADER[:13] if case == "version2" else HEADER)


@test(cases=BASES, timeout=240, weight=20)
def tables(context, case):
    damage(context, case, Tables.entries)


@test(cases=BASES, timeout=240, weight=10)
def truncated(context, case):
    image, tables = prepare(context, case)
    verdicts = Verdicts(context)
    failures = []
    for length in chosen(context, tables.cuts()):
        shutil.copy(context.directory / "good", image)
        with open(image, "r+b") as file:
            file.truncate(length)
        try:
            verdicts.judge(f"cut at {length:#x}")
        except Failure as failure:
            failures.append(str(failure))
    if failures:
        raise Failure(f"{len(failures)} cut files are judged otherwise\n" + "\n".join(failures[:8]))
