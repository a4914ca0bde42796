# SPDX-License-Identifier: Apache-2.0
"""Chains of images at random, twice: what one program does to the files in own/, another one does to those in reference/."""

import json
import shutil

from lib import recipes
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
        self.folder = context.directory / "own"
        self.folder.mkdir()
        self.maker = recipes.Maker(self.folder)

    def options(self):
        """Of a new qcow2 image."""
        chance = self.chance
        cluster = chance.choice([512, 4 * KIB, 16 * KIB, 64 * KIB, 2048 * KIB])
        options = [f"cluster_size={cluster}"]
        if cluster >= 16 * KIB and chance.random() < 0.4:
            options.append("extended_l2=on")
        elif chance.random() < 0.25:
            options.append("compat=0.10")
        if "compat=0.10" not in options and chance.random() < 0.4:
            options.append(f"refcount_bits={chance.choice([1, 2, 4, 8, 32, 64])}")
        return options

    def add(self, name, backing=None, format="qcow2", size=None, writes=4):
        """An image of a random length and content."""
        chance = self.chance
        size = size or chance.randrange(1, 8) * 512 * KIB + chance.choice([0, 512, 4096])
        self.formats[name] = format
        options = self.options() if format == "qcow2" else []
        self.maker.create(name, size, *options, format=format, backing=backing,
                          backing_format=self.formats.get(backing, ""))
        commands = []
        if format == "qcow2" and "compat=0.10" not in options and chance.random() < 0.3:
            cluster = int(options[0].split("=")[1])
            commands += [f"write -c -P 9 {at} {cluster}" for at in range(0, size - cluster + 1, cluster)][:5]
        for _ in range(writes):
            at = chance.randrange(0, size, 512)
            length = min(size - at, chance.choice([512, 4 * KIB, 64 * KIB, 300 * KIB, 1024 * KIB]))
            kind = chance.choice(["-P 1", "-P 2", "-P 3", "-P 0", "-z"])
            commands.append(f"write {kind} {at} {length}")
        if format == "qcow2" and "compat=0.10" not in options and chance.random() < 0.3:
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

    def compare(self, what, but=()):
        """Of both folders: content of every image but some, and of its snapshots, what info tells of it, and a check of ours.
        Images that are the same files, as are those behind them, have the same."""
        for name in self.differing():
            found = [self.content(folder, name) for folder in NAMES]
            if found[0] != found[1] and name not in but:
                raise Failure(f"{what}: the content of {name} is another one")
            told = []
            for folder in NAMES:
                info = json.loads(self.context.run([REFERENCE, "info", "--output=json", "-f", self.formats[name],
                                                    f"{folder}/{name}"]).expect().stdout)
                told.append([info.get(key) for key in ("virtual-size", "backing-filename", "backing-filename-format",
                                                       "format-specific")])
                told[-1] += [(snapshot["id"], snapshot["name"], self.content(folder, name, "-l", "snapshot.id=" + snapshot["id"]))
                             for snapshot in info.get("snapshots", [])]
            if told[0] != told[1]:
                shown = [str(part)[:2000] for part in told]
                raise Failure(f"{what}: info of {name} tells {shown[0]}, of qemu-img's {shown[1]}; or snapshots differ")
            if self.formats[name] == "qcow2":
                alone = {"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": name}}
                self.context.run(["env", "-C", "own", REFERENCE, "check", f"json:{json.dumps(alone)}"]).expect()
