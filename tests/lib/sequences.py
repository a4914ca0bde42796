# SPDX-License-Identifier: Apache-2.0
"""All that changes qcow2 images in place, a step at a time, on a chain of images of ours and on one of qemu-img's.

A step ends alike with both. Where qemu-img cannot do what ours does, or does something else that is known (docs/commands.md), it
is looked at whether ours is right, and from there on both have what ours has made.
"""

import json
import struct

from lib import qcow2_damages
from lib.bitmaps import bitmaps_of
from lib.chains import KIB, NAMES, REFERENCE
from lib.shown_disks import ShownDisks
from lib.suite import Failure

MIB = 1 << 20
# In the order in which one may be behind another. What is raw is behind others only after a rebase.
CHAIN = ("base", "side", "middle", "top")
NAMES_IN_IMAGES = ("one", "two", "1")
# What may be the first of a chain, and is committed to. More of qcow2, as only that is changed in other ways.
BASES = ["qcow2"] * 6 + ["raw", "raw", "qed", "vmdk", "vdi", "vpc", "vhdx", "parallels", "qcow"]
BASE_OPTIONS = {"vpc": ["force_size=on"], "vhdx": ["block_size=1M"]}
# Of some images qemu-img 7.2 comes to no end when the width of reference counts changes.
REFERENCE_CPU_S = 1
AMENDMENTS = {
    "compat": ["0.10", "1.1"], "lazy_refcounts": ["on", "off"], "size": ["2M", "5M", str(MIB + 512)],
    "refcount_bits": ["1", "2", "4", "8", "16", "16", "16", "32", "64"],
}
BITMAP_ACTIONS = ["--add", "--add", "--remove", "--clear", "--disable", "--enable", "--merge", "--merge"]
# What qemu-img cannot do, and ours does: a disk of version 2, or of formats that it does not resize, that gets longer for a commit;
# a commit to parallels; compressed clusters where there is data, or at the end of a disk of no whole clusters; going back to a
# snapshot when a cluster has as many references as can be counted, of which it adds one before it takes one away.
CANNOT = ("Operation not supported", "does not support resize", "does not support reopening files", "error while writing at byte",
          "error while reading at byte", "Failed to load snapshot: Invalid argument")


def chain_make(images, chance):
    """Images of random sorts, whose files are the same in both folders."""
    base = chance.choice(BASES)
    with_data_file = chance.choice(["base", "top"]) if chance.random() < 0.2 else None
    for name, format, backing in (
            ("base", base, None), ("side", "qcow2", chance.choice([None, "base"])),
            ("middle", "qcow2", chance.choice(["base", "base", "side"])), ("top", "qcow2", "middle"), ("raw", "raw", None)):
        options = BASE_OPTIONS.get(format, [])
        if name == with_data_file and format == "qcow2":
            options = [f"data_file={name}.data", *(["data_file_raw=on"] if backing is None and chance.random() < 0.5 else [])]
        images.add(name, format=format, backing=backing, writes=3, options=options, may_have_bitmap=False)
    images.duplicate()


def header_of(path):
    """Of a qcow2 image: whether it is dirty, whether it has a data file, the name of its backing file, and its disk's length."""
    with open(path, "rb") as file:
        head = file.read(64 * KIB)
    if head[:4] != b"QFI\xfb":
        return False, False, "", 0
    version, at, length, _, disk_len = struct.unpack_from(">IQIIQ", head, 4)
    features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
    return features & 1 != 0, features & 4 != 0, head[at:at + length].decode() if at else "", disk_len


class Sequence:
    """A chain, what may be done to it, and what has been done."""

    def __init__(self, context, images, chance):
        self.context, self.images, self.chance = context, images, chance
        # Of images with both qemu-img's repair loses all snapshots, so most chains have one of them.
        self.has_bitmaps, self.has_snapshots = chance.choice([(True, False), (False, True), (False, True), (True, False), (True, True)])
        self.steps = []

    def fail(self, what):
        raise Failure(f"{self.steps}: {what}")

    def earlier(self, name):
        """Those that may be behind the image."""
        return list(CHAIN[:CHAIN.index(name)])

    def disks(self, name, folders=NAMES):
        """What QEMU shows of the image in both folders, or in one."""
        found = []
        for folder in folders:
            with ShownDisks(self.context, folder) as shown:
                found.append(shown.disk(name, self.images.formats[name])[1])
        return found

    def disk(self, folder, name):
        return self.disks(name, [folder])[0]

    def settle(self, name, expected, what):
        """Our disk begins with what is expected; None: it cannot be read. From here on both folders have ours."""
        own = self.disk("own", name)
        if (own is None) != (expected is None) or (own is not None and own[:len(expected)] != expected):
            self.fail(f"{name}: {what}")
        self.images.take_own()

    def data_file(self, name, option="--data-file"):
        return [option, f"{name}.data"] if header_of(self.context.directory / "own" / name)[1] else []

    def both(self, *arguments, name, last=(), own=()):
        """What is done to an image. Both end alike, but for what qemu-img cannot do: then ours has worked, or refuses to begin where
        qemu-img comes to no end, and False is returned."""
        images = self.images
        own = [*own, *(self.data_file(name) if arguments[0] not in ("check", "snapshot") else [])]
        arguments = [*arguments, name, *last]
        self.steps.append(" ".join(arguments))
        ours = images.run("own", arguments[0], "--backing=beside", *own, *arguments[1:])
        limit = ["prlimit", f"--cpu={REFERENCE_CPU_S}"] if arguments[0] == "amend" else []
        theirs = self.context.run(["env", "-C", "reference", *limit, REFERENCE, *arguments])
        self.has_worked = ours.status == 0
        if theirs.status < 0 and (ours.status == 0 or "Cannot downgrade" in ours.stderr):
            return False
        if ours.status == 0 and theirs.status != 0 and any(text in theirs.stderr for text in CANNOT):
            return False
        if ours.status != theirs.status or (ours.stdout != theirs.stdout and arguments[0] != "bench"):  # which tells times
            self.fail(ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
        return True

    def io(self, name, commands):
        """By QEMU, to both. What it refuses, as it lies beyond the end of the disk, it refuses of both. What it has written of each."""
        self.steps.append(f"{name}: {commands}")
        words = [word for command in commands for word in ("-c", command)]
        done = [self.context.run(["env", "-C", folder, "/usr/bin/qemu-io", "-f", self.images.formats[name], *words, name]).stdout
                for folder in NAMES]
        return [[line for line in text.splitlines() if " at offset " in line] for text in done]

    def write(self, name):
        chance = self.chance
        commands = []
        for kind in chance.choices(["write -P 7", "write -P 9", "write -z", "write -z -u", "discard", "-c"], k=3):
            at, length = chance.randrange(0, chance.choice([MIB // 2, 3 * MIB]), 512), chance.choice([512, 5 * KIB, 70 * KIB, 600 * KIB])
            if kind == "-c":  # one at a time: of several at once chance decides which are done when one fails
                cluster = self.images.clusters[name]
                commands += [f"write -c -P 8 {at // cluster * cluster + index * cluster} {cluster}" for index in range(4)]
            else:
                commands.append(f"{kind} {at} {length}")
        written = self.io(name, commands)
        if written[0] != written[1]:
            self.settle_compressed(name, commands)

    def settle_compressed(self, name, commands):
        """Over a cluster that has storage qemu-io writes no compressed one. A rebase of qemu-img's may have stored zeros there, where ours has
        a cluster of zeros: but for what was refused of one, the disks agree."""
        found = [bytearray(disk or b"") for disk in self.disks(name)]
        for words in (command.split() for command in commands if "-c" in command):
            at, length = int(words[-2]), int(words[-1])
            for disk in found:
                disk[at:at + length] = bytes(len(disk[at:at + length]))
        if found[0] != found[1]:
            self.fail(f"the disk of {name} is another one")
        self.images.take_own()

    def snapshot(self, name):
        action, snapshot = self.chance.choice(["-c", "-c", "-a", "-a", "-d"]), self.chance.choice(NAMES_IN_IMAGES)
        if not self.both("snapshot", action, snapshot, name=name):
            self.context.run(["env", "-C", "own", REFERENCE, "convert", "-l", snapshot, "-O", "raw", name, "../shown"]).expect()
            self.settle(name, (self.context.directory / "shown").read_bytes(), "it does not show the snapshot")

    def bitmap(self, name):
        chance = self.chance
        actions = chance.choices(BITMAP_ACTIONS, k=chance.choice([1, 1, 1, 2, 3]))
        words = [word for action in actions for word in (
            [action, chance.choice(NAMES_IN_IMAGES)] if action == "--merge" else [action])]
        if "--add" in actions and chance.random() < 0.5:
            words += ["-g", str(512 << chance.randrange(9))]
        other = chance.choice(["", "", "base", "side", "middle", "top"])
        if "--merge" in actions and other not in ("", name):
            words += ["-b", other, "-F", self.images.formats[other]]
        self.both("bitmap", *words, name=name, last=[chance.choice(NAMES_IN_IMAGES)])

    def resize(self, name):
        chance = self.chance
        size = chance.choice([str(chance.randrange(MIB // 512, 6 * MIB // 512) * 512), f"+{chance.randrange(1, 2000) * 512}",
                              f"-{chance.randrange(1, 2000) * 512}"])
        words = ["--shrink"] if chance.random() < 0.8 else []
        preallocation = chance.choice(["", "", "", "metadata", "falloc", "full"])
        if preallocation:
            words.append(f"--preallocation={preallocation}")
        before, reference = self.disks(name)
        if before != reference:
            self.fail(f"the disk of {name} is another one before the last step")
        is_alike = self.both("resize", "-q", *words, "--", name=name, last=[size])
        if self.settle_length(name, before):
            return
        if not is_alike or preallocation:  # of a cluster in which the disk has ended qemu-img allocates all subclusters
            self.images.take_own()

    def settle_length(self, name, before):
        """Of a disk that has got another length qemu-img may show what the file had: whether it does. Ours goes on with zeros."""
        found = self.disks(name)
        if found[0] == found[1] or before is None:
            return False
        self.settle(name, before[:len(found[0])] + bytes(max(0, len(found[0]) - len(before))), "a longer disk has more than zeros")
        return True

    def amend(self, name):
        options = self.chance.sample(sorted(AMENDMENTS), self.chance.choice([1, 1, 2]))
        words = ",".join(f"{option}={self.chance.choice(AMENDMENTS[option])}" for option in options)
        before = self.disk("own", name) if "size" in options else None
        is_alike = self.both("amend", "-o", words, name=name)
        if "size" in options and is_alike and self.has_worked:
            self.settle_length(name, before)
        elif not is_alike or not self.has_worked:  # of several options qemu-img may have changed some before it refuses one
            expected = self.disk("reference", name)
            self.settle(name, expected and expected[:0 if "size" in options else None], "an option has changed the disk")

    def rebase(self, name):
        chance = self.chance
        target = chance.choice([*self.earlier(name), "raw", ""])
        words = ["-b", target, *(["-F", self.images.formats[target]] if target else [])]
        if chance.random() < 0.25:
            self.both("rebase", "-u", *words, name=name)
            return
        before = self.disk("own", name)
        self.both("rebase", *words, name=name)
        after = self.disks(name)
        if after[0] != before:
            self.fail(f"the disk of {name} is another one")
        if after[1] != before:  # qemu-img 7.2 loses data where the backing files have different lengths
            self.images.take_own()
        elif self.has_bitmaps and before is not None:
            self.settle_bits(name, before)

    def commit(self, name):
        chance = self.chance
        below = self.earlier(name)
        words = ["-b", chance.choice(below)] if chance.random() < 0.5 and below else ["-d"] if chance.random() < 0.5 else []
        own = [] if "-b" in words else [word for other in [*below, "raw"] for word in ("--backing-file", other)]
        target = words[1] if "-b" in words else header_of(self.context.directory / "own" / name)[2]
        if target in self.images.formats:
            own += self.data_file(target, "--base-data-file")
        before = self.disk("own", target) if self.has_bitmaps and self.images.formats.get(target) == "qcow2" else None
        if not self.both("commit", *words, name=name, own=own):
            self.settle(name, self.disk("reference", name), "a commit has changed the disk")
            return
        if before is not None:
            self.settle_bits(target, before)
        # It writes 64 KiB at least: what is written to the base's own backing file from here on would show in other places.
        self.images.compare(str(self.steps))
        self.images.take_own()

    def settle_bits(self, name, before):
        """Where a commit or a rebase of qemu-img's has set other bits than ours, as it commits 64 KiB at least, rebases sectors, and ours
        writes whole clusters: ours are those of what has changed, in the clusters in which qemu-img's has some."""
        found = [bitmaps_of(self.context.directory / folder / name) for folder in NAMES]
        if found[0] == found[1]:
            return
        after = self.disk("own", name)
        before = before.ljust(len(after), b"\0")
        cluster = self.images.clusters[name]
        for (own_used, granularity, own), (used, _, reference), is_tracking in zip(*found, self.tracking(name)):
            changed = sum(1 << at // granularity for at in range(0, len(after), granularity)
                          if after[at:at + granularity] != before[at:at + granularity]) if is_tracking else 0
            if own_used != used or own & ~widened(reference, cluster // granularity) or changed & ~own:
                self.fail(f"bits of a bitmap of {name}")
        self.images.take_own()

    def tracking(self, name):
        """Of each of our image's bitmaps, whether bits are set when the disk is written to."""
        done = self.context.run([REFERENCE, "info", "--output=json", "-f", "qcow2", f"own/{name}"]).expect()
        listed = json.loads(done.stdout)["format-specific"]["data"].get("bitmaps", [])
        return ["auto" in bitmap["flags"] and "in-use" not in bitmap["flags"] for bitmap in listed]

    def convert(self, name):
        """The disk becomes what another one is, or nothing happens where that one is longer."""
        source = self.chance.choice([*self.earlier(name), "raw"])
        words = self.chance.choice([[], ["-c"]])
        before = self.disk("own", name)
        if not self.both("convert", "-n", *words, "-f", self.images.formats[source], "-O", "qcow2", source, name=name):
            self.settle(name, self.disk("reference", source), "a disk that was converted is another one")
        elif not self.has_worked:  # qemu-img may have written zeros before it refuses to compress
            self.settle(name, before, "a disk that was not converted is another one")

    def bench(self, name):
        chance = self.chance
        size, offset = chance.choice([512, 4096, 65536]), chance.randrange(0, MIB // 4, 512)
        step = chance.choice([0, 3 * size])
        if offset + 3 * (step or size) + size > header_of(self.context.directory / "own" / name)[3]:
            return  # the first request that does not fit ends qemu-img, which loses those before it then
        words = ["-s", size, "-S", step, "-o", offset, *chance.choice([[], [], ["--flush-interval=2"]])]
        self.both("bench", "-q", "-w", "-f", "qcow2", "-c", "4", "-d", "2", *(str(word) for word in words),
                  f"--pattern={chance.randrange(256)}", name=name)

    def check(self, name):
        words = ["check", "-q", "-r", self.chance.choice(["leaks", "all"])]
        if self.has_bitmaps and self.has_snapshots:
            self.steps.append(" ".join([*words, name]))
            self.images.run("own", *words, name).expect()
        else:
            self.both(*words, name=name)

    def abort(self, name):
        """What is written to by a program that is killed: with lazy reference counts it is dirty, and bitmaps are in use.

        What is dirty is repaired by qemu-img when it changes it, by ours when the user says so."""
        if self.has_bitmaps and self.has_snapshots:
            return
        self.steps.append(f"{name}: killed")
        for folder in NAMES:
            self.context.run(["env", "-C", folder, "/usr/bin/qemu-io", "-f", "qcow2", "-c", "write -P 6 300k 200k", "-c", "flush",
                              "-c", "abort", name])
        if any(header_of(self.context.directory / folder / name)[0] for folder in NAMES):
            self.both("check", "-q", "-r", "all", name=name)

    def damage(self, name):
        """A reference count that is wrong, of a random one of the clusters, and the repair."""
        if self.has_bitmaps and self.has_snapshots:
            return
        place, is_less = self.chance.random(), self.chance.random() < 0.5
        for folder in NAMES:
            refcount_damage(self.context.directory / folder / name, place, is_less)
        self.steps.append(f"{name}: a count is wrong, at {place} {'less' if is_less else 'more'}")
        self.both("check", "-q", "-r", "all", name=name)

    def step(self):
        kinds = [self.write, self.write, self.resize, self.amend, self.rebase, self.rebase, self.commit, self.check, self.convert, self.bench,
                 self.abort, self.damage]
        kinds += [self.snapshot] * 5 if self.has_snapshots else []
        kinds += [self.bitmap] * 4 if self.has_bitmaps else []
        names = [name for name in (*CHAIN, "top", "middle") if self.images.formats[name] == "qcow2"]
        self.chance.choice(kinds)(self.chance.choice(names))


def widened(bits, count):
    """All of each group of `count` bits in which there is one."""
    if count <= 1:
        return bits
    group = (1 << count) - 1
    return sum(group << at for at in range(0, bits.bit_length(), count) if bits >> at & group)


def refcount_damage(path, place, is_less):
    """Of the clusters that the first refcount block counts, the one at `place`, from 0 to 1, gets another count."""
    image = qcow2_damages.Image(path.read_bytes())
    version = image.number(4, 4)
    bits = 1 << image.number(96, 4) if version >= 3 else 16
    block = image.number(image.number(48))
    index = int(place * min(len(image.data) // image.cluster, image.cluster * 8 // bits))
    if bits < 8:
        at, shift = block + index * bits // 8, index * bits % 8
    else:
        at, shift = block + index * bits // 8 + bits // 8 - 1, 0
    mask = (1 << min(bits, 8)) - 1
    count = image.data[at] >> shift & mask
    count = max(count - 1, 0) if is_less else min(count + 1, mask)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(struct.pack("B", image.data[at] & ~(mask << shift) | count << shift))
