# SPDX-License-Identifier: Apache-2.0
"""Downloads that broke off: what is missing is never taken for zeros, unless the user says so."""

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
FORMATS = ["parallels", "qcow", "qcow2", "qed", "vdi", "vhdx", "vmdk", "vpc"]


@test(cases=daily.sample("cut_short blocks", FORMATS, 4), timeout=60)
def blocks(context, case):
    """The last blocks lie behind the end of the file. Those before are as they were."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 12 * MIB, format=case)
    maker.io("image", *[f"write -P {number + 1} {number}M 1M" for number in range(12)], format=case)
    image = context.directory / "image"
    with open(image, "r+b") as file:
        file.truncate(image.stat().st_size - 5 * MIB)
    done = context.run([context.qemu_img, "convert", "-f", case, "-O", "raw", "image", "out"]).expect(1)
    if len(done.stderr.splitlines()) != 1 or (context.directory / "out").exists():
        raise Failure(done.describe("no clear line, or an output"))
    salvaged = context.run([context.qemu_img, "convert", "--salvage", "-f", case, "-O", "raw", "image", "out"]).expect()
    if "warning" not in salvaged.stderr and case != "vhdx":  # whose last block has begun within the file
        raise Failure(salvaged.describe("no warning"))
    content = (context.directory / "out").read_bytes()
    for number in range(12):
        part = content[number * MIB:(number + 1) * MIB]
        if part[0] not in (0, number + 1) or (number < 5 and part != bytes([number + 1]) * MIB):
            raise Failure(salvaged.describe(f"MiB {number} is something else"))


@test(cases=["vdi", "qcow", "parallels"], timeout=60)
def tables(context, case):
    """Only the header is there: what the table would tell is not zeros."""
    recipes.Maker(context.directory).create("image", 1 << 34, format=case)
    image = context.directory / "image"
    with open(image, "r+b") as file:
        file.truncate({"vdi": 512, "qcow": 48, "parallels": 64}[case])
    done = context.run([context.qemu_img, "convert", "-f", case, "-O", "raw", "image", "out"]).expect(1)
    if "behind the end of the file" not in done.stderr or (context.directory / "out").exists():
        raise Failure(done.describe("no clear line, or an output"))
