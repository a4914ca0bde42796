# SPDX-License-Identifier: Apache-2.0
"""Downloads that broke off: what is missing is never taken for zeros, unless the user says so."""

from lib import daily, recipes
from lib.beside import REFERENCE, same
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


@test(cases=["monolithicFlat", "twoGbMaxExtentFlat"])
def flat_extents(context, subformat):
    """QEMU's check looks where the data of such a vmdk begins, ours also where it ends; what is missing is no zeros."""
    recipes.Maker(context.directory).run("/usr/bin/qemu-img", "create", "-q", "-f", "vmdk", "-o", f"subformat={subformat}", "disk.vmdk", 9 * MIB)
    part = context.directory / ("disk-flat.vmdk" if subformat == "monolithicFlat" else "disk-f001.vmdk")
    for length, status in ((9 * MIB - 511, 0), (9 * MIB - 512, 1), (MIB, 1), (0, 1)):
        with open(part, "r+b") as file:
            file.truncate(length)
        done = context.run([context.qemu_img, "check", "-f", "vmdk", "disk.vmdk"]).expect(status)
        if status == 1 and "ERROR: " not in done.stdout + done.stderr:
            raise Failure(done.describe("nothing is said of what is missing"))
    context.run([context.qemu_img, "convert", "-f", "vmdk", "-O", "raw", "disk.vmdk", "out"]).expect(1)


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


# How an image is made of a raw file, and which of its files is cut short.
KINDS = {
    "parallels": (["-O", "parallels"], "image"),
    "qcow": (["-O", "qcow"], "image"),
    "qcow2": (["-O", "qcow2"], "image"),
    "qcow2-compressed": (["-c", "-O", "qcow2"], "image"),
    "qcow-compressed": (["-c", "-O", "qcow"], "image"),
    "qcow2-encrypted": (["-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"], "image"),
    "vdi": (["-O", "vdi"], "image"),
    "vmdk": (["-O", "vmdk"], "image"),
    "vmdk-flat": (["-O", "vmdk", "-o", "subformat=monolithicFlat"], "image-flat.vmdk"),
    "vmdk-files": (["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"], "image-s001.vmdk"),
    "vmdk-stream": (["-O", "vmdk", "-o", "subformat=streamOptimized"], "image"),
}
SECRET = ("--object", "secret,id=s,data=neu")


@test(cases=daily.sample("cut_short kinds", list(KINDS), 4), timeout=60)
def kinds(context, case):
    """What only tells of an image tells the same as qemu-img. With --salvage, what is missing is zeros, and one line says so."""
    words, cut = KINDS[case]
    format = case.split("-", maxsplit=1)[0]
    name = "image.vmdk" if format == "vmdk" else "image"
    cut = name if cut == "image" else cut
    content = b"".join(b"%07d\n" % line for line in range(5 * MIB // 8))
    (context.directory / "source").write_bytes(content)
    key = ",encrypt.key-secret=s" if "encrypted" in case else ""
    image = ["--image-opts", f"driver={format},file.driver=file,file.filename={name}{key}"]
    if "encrypted" in case:  # qemu-img measures iterations by processor time; its clusters are before their tables
        context.run([context.qemu_img, "create", "-q", *SECRET, "-f", format, *words[2:], name, str(len(content))]).expect()
        context.run([REFERENCE, "convert", "-n", *SECRET, "--target-image-opts", "-f", "raw", "source", image[1]]).expect()
    else:
        program = context.qemu_img if case == "qcow-compressed" else REFERENCE  # which ends with 1
        context.run([program, "convert", "-f", "raw", *words, "source", name]).expect()
    # Within a cluster that is not encrypted, zeros would follow, and noise in one that is.
    file = context.directory / cut
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size // 2 // 65536 * 65536)
    for command in (["map"], ["map", "--output=json"], ["measure", "-O", "raw"], ["measure", "-O", "qcow2"]):
        same(context, *command, *SECRET, *image)
    done = context.run([context.qemu_img, "convert", *SECRET, *image, "-O", "raw", "out"]).expect(1)
    if len(done.stderr.splitlines()) != 1 or (context.directory / "out").exists():
        raise Failure(done.describe("no clear line, or an output"))
    salvaged = context.run([context.qemu_img, "convert", "--salvage", *SECRET, *image, "-O", "raw", "out"]).expect()
    out = (context.directory / "out").read_bytes()
    there = len(out.rstrip(b"\0"))
    if not 0 < there < len(content) or out[:there] != content[:there] or len(out) != len(content):
        raise Failure(salvaged.describe("another content"))
    missing = [line for line in salvaged.stderr.splitlines() if "reads as zeros" in line]
    if len(missing) != 1:
        raise Failure(salvaged.describe("not one line"))


@test(timeout=60)
def rebase_to_zeros(context):
    """What is missing behind an image is no zeros: rebase does not leave it to a backing file that has some."""
    context.run([REFERENCE, "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "base.vmdk", "1M"]).expect()
    (context.directory / "base-flat.vmdk").write_bytes(b"x" * (512 << 10))
    context.run([REFERENCE, "create", "-q", "-f", "raw", "zeros.raw", "1M"]).expect()
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base.vmdk", "-F", "vmdk", "image", "1M"]).expect()
    done = context.run([context.qemu_img, "rebase", "--backing=beside", "-b", "zeros.raw", "-F", "raw", "image"]).expect(1)
    if "base-flat.vmdk" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))
