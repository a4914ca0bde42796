# SPDX-License-Identifier: Apache-2.0
"""A disk of qcow2 version 2 gets longer over an image that is longer and has one behind it, which qemu-img cannot do."""

from lib import pairs, recipes
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20


@test(cases=("off", "metadata", "falloc", "full"))
def version_2(context, case):
    maker = recipes.Maker(context.directory)
    maker.create("base", 4 * MIB)
    maker.io("base", "write -P 5 0 4M")
    maker.create("middle", 3 * MIB, backing="base")
    maker.create("top", 2 * MIB, "compat=0.10", backing="middle")
    context.run([context.qemu_img, "resize", "-q", "--backing=beside", f"--preallocation={case}", "top", "+398k"]).expect()
    context.run([pairs.REFERENCE, "check", "-q", "top"]).expect()
    context.run([pairs.REFERENCE, "convert", "-O", "raw", "top", "shown"]).expect()
    shown = (context.directory / "shown").read_bytes()
    if shown != b"\5" * (2 * MIB) + bytes(398 * KIB):
        raise Failure("the disk is not what it was, and zeros behind it")
