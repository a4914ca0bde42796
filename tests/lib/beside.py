# SPDX-License-Identifier: Apache-2.0
"""The same by our program and by qemu-img."""

import hashlib

from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"


def same(context, *words, errors=True):
    theirs = context.run([REFERENCE, *words])
    ours = context.run([context.qemu_img, *words])
    if (ours.status, ours.stdout) != (theirs.status, theirs.stdout) or (errors and ours.stderr != theirs.stderr):
        raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
    return theirs


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
