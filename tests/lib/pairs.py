# SPDX-License-Identifier: Apache-2.0
"""Two images to which the same is done, by our program and by qemu-img: they end alike."""

import json
import re

from lib import recipes
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
# A number that QEMU counts up for each image that it opens.
NODE = re.compile(r" (?:in '#block\d+'|to #block\d+)")


def told(done):
    return NODE.sub("", done.stderr).replace("reference", "own")


class Pair:
    """An image of ours, and one of qemu-img's, to which the same is done."""

    def __init__(self, context, size, features, backing=None):
        self.context = context
        self.maker = recipes.Maker(context.directory)
        for name in ("own", "reference"):
            self.maker.create(name, size, *features, backing=backing)
        found = self.context.run([REFERENCE, "info", "--output=json", "own"]).expect()
        self.cluster_len = json.loads(found.stdout)["cluster-size"]

    def io(self, *commands):
        for name in ("own", "reference"):
            self.maker.io(name, *commands)

    def compress(self, pattern, at):
        """
        Where there is data already, QEMU does not do it, of neither image. Cluster by cluster: of a longer request it does
        several at a time, and which ones are done before one fails is chance.
        """
        commands = [word for index in range(min(8, 2 * MIB // self.cluster_len))
                    for word in ("-c", f"write -c -P {pattern} {at + index * self.cluster_len} {self.cluster_len}")]
        for name in ("own", "reference"):
            self.context.run(["qemu-io", "-f", "qcow2", *commands, name])

    def each(self, *arguments, own=None):
        """The same by both programs; True when it has worked."""
        return self.same([own or REFERENCE, *arguments, "own"], [REFERENCE, *arguments, "reference"])

    def same(self, own, reference):
        """Both end alike, and say the same; True when they have worked."""
        ours, theirs = self.context.run(own), self.context.run(reference)
        if (ours.status, told(ours), ours.stdout) != (theirs.status, told(theirs), theirs.stdout):
            raise Failure(ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
        return ours.status == 0
