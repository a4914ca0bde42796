# SPDX-License-Identifier: Apache-2.0
"""Chains of images at random, twice: what one program does to the files in own/, another one does to those in reference/."""

import json
import shutil

from lib import recipes
from lib.bitmaps import bitmaps_of
from lib.shown_disks import ShownDisks
from lib.suite import Failure

KIB = 1 << 10
REFERENCE = "/usr/bin/qemu-img"
NAMES = ("own", "reference")


class Chains:
    """Files by name, in context.directory/own, and the same in reference."""

    def __init__(self, context, chance=None):
        self.context = context
        self.chance = chance
        self.formats = {}
        self.clusters = {}  # of qcow2 images that `add` has made
        self.folder = context.directory / "own"
        self.folder.mkdir()
        self.maker = recipes.Maker(self.folder)

    def options(self, has_backing=False):
        """Of a new qcow2 image."""
        chance = self.chance
        cluster = chance.choice([512, 4 * KIB, 16 * KIB, 64 * KIB, 2048 * KIB, *recipes.CLUSTER_SIZES])
        options = [f"cluster_size={cluster}"]
        if cluster >= 16 * KIB and chance.random() < 0.4:
            options.append("extended_l2=on")
        elif chance.random() < 0.25:
            return [*options, "compat=0.10"]
        if chance.random() < 0.5:
            options.append(f"refcount_bits={chance.choice(recipes.REFCOUNT_BITS)}")
        if chance.random() < 0.2:
            options.append("lazy_refcounts=on")
        if chance.random() < 0.3:
            options.append("compression_type=zstd")
        if chance.random() < 0.1 and not has_backing:
            options.append("preallocation=metadata")
        return options

    def add(self, name, backing=None, format="qcow2", size=None, writes=4, options=(), may_have_bitmap=True):
        """An image of a random length and content, with these options and random ones."""
        chance = self.chance
        size = size or chance.randrange(1, 8) * 512 * KIB + chance.choice([0, 512, 4096])
        self.formats[name] = format
        fixed = list(options)
        options = [*(self.options(backing is not None) if format == "qcow2" else []), *fixed]
        if any("data_file" in option for option in fixed):
            options = [option for option in options if option != "compat=0.10"]
        self.maker.create(name, size, *options, format=format, backing=backing,
                          backing_format=self.formats.get(backing, ""))
        commands = []
        if format == "qcow2":
            self.clusters[name] = cluster = int(options[0].split("=")[1])
            if "compat=0.10" not in options and not any("preallocation" in option or "data_file" in option for option in options) and (
                    chance.random() < 0.3):
                commands += [f"write -c -P 9 {at} {cluster}" for at in range(0, size - cluster + 1, cluster)][:5]
        for _ in range(writes):
            at = chance.randrange(0, size, 512)
            length = min(size - at, chance.choice([512, 4 * KIB, 64 * KIB, 300 * KIB, 1024 * KIB]))
            kind = chance.choice(["-P 1", "-P 2", "-P 3", "-P 0", "-z"])
            commands.append(f"write {kind} {at} {length}")
        if may_have_bitmap and format == "qcow2" and "compat=0.10" not in options and chance.random() < 0.3:
            self.maker.run(REFERENCE, "bitmap", "--add", name, "b")
        self.maker.io(name, *commands, format=format)
        return name

    def duplicate(self):
        """After all images have been made."""
        shutil.copytree(self.folder, self.context.directory / "reference")

    def take_own(self):
        """What ours has made is in both folders, where the two may differ."""
        shutil.rmtree(self.context.directory / "reference")
        self.duplicate()

    def run(self, name, *arguments):
        program = self.context.qemu_img if name == "own" else REFERENCE
        return self.context.run(["env", "-C", name, program, *arguments])

    def both(self, *arguments, own=(), messages=True):
        """By both programs; only ours gets `own`. Output, messages and status are the same. True when it has worked."""
        ours = self.run("own", arguments[0], *own, *arguments[1:])
        theirs = self.run("reference", *arguments)
        if (ours.status, ours.stdout) != (theirs.status, theirs.stdout) or (messages and ours.stderr != theirs.stderr):
            raise Failure(ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
        return theirs.status == 0

    def content(self, folder, name, *options):
        """The disk, or with -l a snapshot of it, as qemu-img reads it; None when that is not to be had."""
        if self.context.run(["env", "-C", folder, REFERENCE, "convert", "-f", self.formats[name], "-O", "raw", *options, name,
                             "content"]).status != 0:
            return None
        return (self.context.directory / folder / "content").read_bytes()

    def contents(self, folder):
        return {name: self.content(folder, name) for name in self.formats}

    def differing(self):
        """Those that are other files in the two folders, or may have such a one behind them."""
        ours, theirs = ({path.name: path.read_bytes() for path in (self.context.directory / folder).iterdir() if path.is_file()}
                        for folder in NAMES)
        found = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
        for _ in self.formats:  # as long as a chain may be
            found |= {name for name in ours if any(other.encode() in ours[name][:64 * KIB] for other in found)}
        return [name for name in self.formats if name in found]

    def told(self, shown, name):
        """What is the same in both folders: what info tells of the image, its disk, and the disks of snapshots."""
        info, disk = shown.disk(name, self.formats[name])
        if info is None:
            return None, None, None
        # Of vmdk, a content ID is chance.
        facts = [info.get(key) for key in ("virtual-size", "backing-filename", "backing-filename-format")]
        facts += [info.get("format-specific") if self.formats[name] != "vmdk" else None]
        facts += [(snapshot["id"], snapshot["name"]) for snapshot in info.get("snapshots", [])]
        return facts, disk, shown.snapshots(name) if self.formats[name] == "qcow2" else []

    def compare(self, what, but=()):
        """Of both folders: content of every image but some, and of its snapshots, what info tells of it, and a check of ours.
        Images that are the same files, as are those behind them, have the same."""
        differing = self.differing()
        if not differing:
            return
        with ShownDisks(self.context, "own") as ours, ShownDisks(self.context, "reference") as theirs:
            for name in differing:
                own, reference = (self.told(shown, name) for shown in (ours, theirs))
                if own[0] != reference[0]:
                    raise Failure(f"{what}: info of {name} tells {str(own[0])[:2000]}, of qemu-img's {str(reference[0])[:2000]}")
                if own[1] != reference[1] and name not in but:
                    raise Failure(f"{what}: the content of {name} is another one{first_difference(own[1], reference[1])}")
                if own[2] != reference[2]:
                    raise Failure(f"{what}: a snapshot of {name} has another content")
        checked = [name for name in differing if self.formats[name] == "qcow2" and not self.is_dirty(name)]
        for name in checked:
            self.check(what, name, is_ours_asked=name == checked[0])

    def is_dirty(self, name):
        with open(self.context.directory / "own" / name, "rb") as file:
            head = file.read(80)
        return head[7] >= 3 and head[79] & 1 != 0

    def check(self, what, name, is_ours_asked):
        """By qemu-img there is nothing wrong with ours, and ours finds what qemu-img does."""
        alone = {"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": name}}
        theirs = self.context.run(["env", "-C", "own", REFERENCE, "check", "--output=json", f"json:{json.dumps(alone)}"])
        if theirs.status != 0:
            raise Failure(theirs.describe(f"{what}: there are faults in {name}"))
        if not is_ours_asked:
            return
        ours = self.run("own", "check", "--output=json", "-f", "qcow2", name)
        found = [{key: value for key, value in json.loads(done.stdout).items() if key != "filename"} for done in (ours, theirs)]
        if ours.status != 0 or found[0] != found[1]:
            raise Failure(f"{what}: a check of {name} finds {found[0]}, qemu-img {found[1]}")

    def compare_bits(self, what):
        """What bitmaps tell, beyond info."""
        for name in self.differing():
            if self.formats[name] == "qcow2":
                found = [[bits for is_used, *bits in bitmaps_of(self.context.directory / folder / name) if not is_used]
                         for folder in NAMES]
                if found[0] != found[1]:
                    raise Failure(f"{what}: bitmaps of {name} have other bits")


def first_difference(own, reference):
    if own is None or reference is None or len(own) != len(reference):
        return ""
    at = next(index for index in range(len(own)) if own[index] != reference[index])
    return f", first at {at:#x}: {own[at]:#x}, of qemu-img's {reference[at]:#x}"
