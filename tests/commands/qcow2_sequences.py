# SPDX-License-Identifier: Apache-2.0
"""All that changes qcow2 images in place, in sequences at random, on chains of images: each step ends as with qemu-img, and
afterwards all disks, snapshots and what is told of the images agree.
"""

import random

from lib import daily
from lib.bitmaps import bitmaps_of
from lib.chains import KIB, REFERENCE, Chains
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
SEQUENCES = 300
STEPS = 6
NAMES = ("one", "two", "1")
# Not refcount_bits: of some images qemu-img 7.2 comes to no end then (amend.py has them).
AMENDMENTS = {"compat": ["0.10", "1.1"], "lazy_refcounts": ["on", "off"], "size": ["2M", "5M", str(MIB + 512)]}


class Sequence:
    """Images of ours and of qemu-img's, to which the same is done."""

    def __init__(self, context, chance):
        self.context, self.chance = context, chance
        self.images = Chains(context, chance)
        self.has_bitmaps = chance.random() < 0.5  # never with snapshots: of these qemu-img's repair loses all then
        self.images.add("base", format=chance.choice(["qcow2", "qcow2", "raw"]), writes=3)
        self.images.add("middle", backing="base", writes=3)
        self.images.add("top", backing="middle", writes=3)
        for name in ("base", "middle", "top") if not self.has_bitmaps else ():  # some have got one
            context.run(["env", "-C", "own", REFERENCE, "bitmap", "--remove", name, "b"])
        self.images.add("raw", format="raw", writes=3)
        self.images.duplicate()
        self.steps = []

    def both(self, *arguments, own=()):
        """Errors may say the same in other words."""
        self.steps.append(" ".join(arguments))
        ours = self.images.run("own", arguments[0], "--backing=beside", *own, *arguments[1:])
        theirs = self.images.run("reference", *arguments)
        if ours.status == 0 and ("Operation not supported" in theirs.stderr or (
                "-c" in arguments and "error while writing at byte" in theirs.stderr)):
            # A disk of version 2 that gets longer, where the backing file is longer: zeros of it are written by ours. And
            # compressed clusters where there is data, or at the end of a disk of no whole clusters.
            self.images.take_own()
        elif ours.status != theirs.status or (ours.stdout != theirs.stdout and arguments[0] != "bench"):  # which tells times
            raise Failure(f"{self.steps}: " + ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
        return ours.status == 0

    def write(self, name):
        chance = self.chance
        size = MIB // 2
        commands = [word for kind in chance.choices(["-P 7", "-P 9", "-z", "-z -u"], k=2) for word in (
            "-c", f"write {kind} {chance.randrange(0, size, 512)} {chance.choice([512, 5 * KIB, 70 * KIB])}")]
        self.steps.append(f"{name}: {commands[1::2]}")
        for folder in ("own", "reference"):
            self.context.run(["env", "-C", folder, "qemu-io", "-f", self.images.formats[name], *commands, name])

    def snapshot(self, name):
        if self.has_bitmaps:
            self.bitmap(name)
        else:
            self.both("snapshot", self.chance.choice(["-c", "-c", "-a", "-d"]), self.chance.choice(NAMES), name)

    def bitmap(self, name):
        action = self.chance.choice(["--add", "--add", "--remove", "--clear", "--disable", "--enable", "--merge", "--merge"])
        words = [action]
        if action == "--add" and self.chance.random() < 0.5:
            words += ["-g", str(512 << self.chance.randrange(9))]
        if action == "--merge":
            other = self.chance.choice(["", "base", "middle", "top"])
            words = ["--merge", self.chance.choice(NAMES)]
            words += ["-b", other, "-F", self.images.formats[other]] if other not in ("", name) else []
        if self.has_bitmaps:
            self.both("bitmap", *words, name, self.chance.choice(NAMES))

    def resize(self, name):
        size = self.chance.randrange(MIB // 512, 6 * MIB // 512) * 512
        self.both("resize", "-q", "--shrink", name, str(size))

    def amend(self, name):
        options = self.chance.sample(sorted(AMENDMENTS), self.chance.choice([1, 1, 2]))
        words = ",".join(f"{option}={self.chance.choice(AMENDMENTS[option])}" for option in options)
        if not self.both("amend", "-o", words, name):
            self.images.take_own()  # of several options qemu-img may have changed some before it refuses one

    def rebase(self, name):
        target = self.chance.choice([other for other in ("base", "middle", "top", "") if other != name])
        if target in ("middle", "top") and name != "top":
            return  # no circles
        words = ["-b", target, *(["-F", self.images.formats[target]] if target else [])]
        is_unsafe = self.chance.random() < 0.25
        before = None if is_unsafe else [self.images.content(folder, name) for folder in ("own", "reference")]
        self.both("rebase", *(["-u"] if is_unsafe else []), *words, name)
        if not is_unsafe:
            after = [self.images.content(folder, name) for folder in ("own", "reference")]
            if after[0] != before[0]:
                raise Failure(f"{self.steps}: the disk of {name} is another one")
            if after[1] != before[1]:  # qemu-img 7.2 loses data where the backing files have different lengths
                self.images.take_own()

    def commit(self, name):
        base = self.chance.choice(["base", "middle"])
        words = ["-b", base] if self.chance.random() < 0.5 else ["-d"] if self.chance.random() < 0.5 else []
        own = [] if "-b" in words else ["--backing-file", "middle", "--backing-file", "base"]
        self.both("commit", *words, name, own=own)

    def convert(self, name):
        """The disk becomes what another one is, or nothing happens where that one is longer."""
        source = self.chance.choice(["base", "raw"])
        words = self.chance.choice([[], ["-c"]])
        if source != name:
            self.both("convert", "-n", *words, "-f", self.images.formats[source], "-O", "qcow2", source, name)

    def bench(self, name):
        size = self.chance.choice([512, 4096, 65536])
        words = ["-s", size, "-S", self.chance.choice([0, 3 * size]), "-o", self.chance.randrange(0, MIB // 4, 512)]
        self.both("bench", "-q", "-w", "-f", "qcow2", "-c", "4", "-d", "2", *(str(word) for word in words),
                  f"--pattern={self.chance.randrange(256)}", name)

    def check(self, name):
        self.both("check", "-q", "-r", self.chance.choice(["leaks", "all"]), name)

    def compare_bits(self):
        """What bitmaps tell, beyond info."""
        for name in self.images.differing():
            if self.has_bitmaps and self.images.formats[name] == "qcow2":
                found = [[bits for is_used, *bits in bitmaps_of(self.context.directory / folder / name) if not is_used]
                         for folder in ("own", "reference")]
                if found[0] != found[1]:
                    raise Failure(f"{self.steps}: bitmaps of {name} have other bits")

    def step(self):
        kind = self.chance.choice([self.write, self.snapshot, self.bitmap, self.resize, self.amend, self.rebase, self.commit,
                                   self.check, self.convert, self.bench])
        names = [name for name in ("base", "middle", "top", "top") if self.images.formats[name] == "qcow2"]
        kind(self.chance.choice(names))


@test(cases=daily.sample("qcow2_sequences", range(SEQUENCES), 1), timeout=240, weight=4)
def sequences(context, case):
    sequence = Sequence(context, random.Random(f"sequences {case} {daily.seed()}"))
    for _ in range(STEPS):
        sequence.step()
    sequence.images.compare(f"INSTAR_TEST_SEED={daily.seed()}: {sequence.steps}")
    sequence.compare_bits()
