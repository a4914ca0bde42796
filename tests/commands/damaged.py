# SPDX-License-Identifier: Apache-2.0
"""Damaged qcow2 images: the same verdict as qemu-img's, and never a crash, a hang, or a changed file.

Every field of the header, and entries of every table, get a handful of bad values; files are cut off in and at every
structure. A day's part of these.
"""

import hashlib
import json
import shutil

from lib import daily, recipes
from lib.python_tests import test
from lib.qcow2_image import BASES, HEADER, Tables, bad_values
from lib.suite import Failure

MIB = 1 << 20


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


# What qemu-img said about an image, by the image's digest: it says the same when the next engine's turn comes.
references = {}
COUNT_PER_TEST = 7
BASES_A_DAY = 3


class Verdicts:
    """What both programs say about a damaged image."""

    def __init__(self, context):
        self.context = context
        self.path = context.directory / "image"
        self.own = context.qemu_img_beside
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
        if arguments[0] == "check" and "Could not open backing file" in reference.stderr:
            return reference, own  # a check needs no backing file, and opens none
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
        if reference.status == 0 and Tables(self.path).is_cut_short():
            if own.status != 1 or "was cut short" not in own.stderr:
                raise Failure(own.describe(f"{what}: what is cut off is not told of"))
            own = self.context.run([self.own, options[0], "--salvage", *options[1:], "own.raw"])
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
    values = [(place, value) for place in places(tables) for value in bad_values(place[2], tables.number(*place[1:]))]
    for (name, offset, length), value in daily.sample(f"{places.__name__} {base}", values, COUNT_PER_TEST):
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


@test(cases=daily.sample("damaged headers", BASES, BASES_A_DAY), timeout=240, weight=20)
def headers(context, case):
    def fields(_tables):
        return HEADER[:13] if case == "version2" else HEADER

    damage(context, case, fields)


@test(cases=daily.sample("damaged tables", BASES, BASES_A_DAY), timeout=240, weight=20)
def tables(context, case):
    damage(context, case, Tables.entries)


@test(cases=daily.sample("damaged truncated", BASES, BASES_A_DAY), timeout=240, weight=10)
def truncated(context, case):
    image, tables = prepare(context, case)
    verdicts = Verdicts(context)
    failures = []
    for length in daily.sample(f"truncated {case}", tables.cuts(), COUNT_PER_TEST):
        shutil.copy(context.directory / "good", image)
        with open(image, "r+b") as file:
            file.truncate(length)
        try:
            verdicts.judge(f"cut at {length:#x}")
        except Failure as failure:
            failures.append(str(failure))
    if failures:
        raise Failure(f"{len(failures)} cut files are judged otherwise\n" + "\n".join(failures[:8]))
