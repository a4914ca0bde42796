# SPDX-License-Identifier: Apache-2.0
"""convert -n into a target that has other data, and another backing file, than the source: it shows the source's disk."""

import contextlib
import pathlib

from lib import daily, recipes
from lib.loop_devices import loop_device
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20
SIZE = 3 * MIB + 512

# How the target is made, and the format it has.
TARGETS = {
    "plain": ("qcow2", []),
    "backed": ("qcow2", []),
    "backed_longer": ("qcow2", []),
    "backed_shorter_base": ("qcow2", []),
    "backed_v2": ("qcow2", ["compat=0.10"]),
    "backed_subclusters": ("qcow2", ["extended_l2=on"]),
    "backed_small": ("qcow2", ["cluster_size=512"]),
    "backed_snapshot": ("qcow2", []),
    "backed_device": ("qcow2", []),
    "raw": ("raw", []),
    "raw_longer": ("raw", []),
    "raw_device": ("raw", []),
}

OPTIONS = {
    "none": "", "compressed": "-c", "stored": "-S 0", "sparse": "-S 64k", "unordered": "-W -m 4", "direct": "-t none",
    "snapshot": "-l before", "two": "", "salvage": "--salvage",
}


def filled(path, byte, length):
    path.write_bytes(bytes([byte]) * length)


def source_make(maker):
    recipes.make_once(source_files_make, maker.directory)


def source_files_make(directory):
    """A top layer with data, zeros and holes over a base of A; a snapshot that differs from what is there now."""
    maker = recipes.Maker(directory)
    filled(maker.directory / "a.raw", 0x41, SIZE)
    maker.create("source", SIZE, backing="a.raw", backing_format="raw")
    maker.io("source", "write -P 1 1M 64k", f"write -P 2 {SIZE - 512} 512")
    maker.run(REFERENCE, "snapshot", "-c", "before", "source")
    maker.io("source", "write -P 3 128k 100k", "write -z 512k 128k", "write -P 4 2052k 4k")


def target_make(maker, case, path, size):
    """Data of its own, and where there is one, a base of B."""
    format, options = TARGETS[case]
    if case.endswith("_longer"):
        size += MIB
    if format == "raw":
        filled(maker.directory / "content", 0x52, size)
        with open(maker.directory / "content", "rb") as content, open(path, "r+b" if path.is_block_device() else "wb") as file:
            file.write(content.read())
        return
    base_size = MIB if case == "backed_shorter_base" else size
    filled(maker.directory / "b.raw", 0x42, base_size)
    maker.create(path, size, *options, **({"backing": maker.directory / "b.raw", "backing_format": "raw"} if case != "plain" else {}))
    maker.io(path, "write -P 5 64k 128k", "write -z 448k 128k", "write -P 6 3M 512")
    if case == "backed_snapshot":
        maker.run(REFERENCE, "snapshot", "-c", "own", path)
        maker.io(path, "write -P 7 1M 1M")


def flat(context, format, *words):
    """The disk's content, by qemu-img."""
    context.run([REFERENCE, "convert", "-f", format, "-O", "raw", *words, "flat"]).expect()
    return (context.directory / "flat").read_bytes()


@contextlib.contextmanager
def place(context, case):
    """Where the target is: a file, or a device of 6 MiB."""
    if not case.endswith("_device"):
        yield context.directory / "target"
        return
    with open(context.directory / "disk", "wb") as file:
        file.truncate(8 * MIB)
    with loop_device(context.directory / "disk") as device:
        yield pathlib.Path(device)


ALL = [f"{target},{options}" for target in TARGETS for options in OPTIONS
       if (TARGETS[target][0], options) != ("raw", "compressed")]


@test(cases=daily.sample("into_existing", ALL, 12))
def shows_source(context, case):
    target, name = case.split(",")
    format = TARGETS[target][0]
    maker = recipes.Maker(context.directory)
    source_make(maker)
    sources = ["source"]
    if name == "two":
        filled(context.directory / "c.raw", 0, MIB)
        maker.create("second", MIB, backing="c.raw", backing_format="raw")
        maker.io("second", "write -P 8 0 64k")
        sources.append("second")
    options = OPTIONS[name].split()
    expected = b"".join(flat(context, "qcow2", *(options if name == "snapshot" else []), each) for each in sources)
    with place(context, target) as path:
        target_make(maker, target, path, len(expected))
        before = flat(context, format, path)
        context.run([context.qemu_img, "convert", "--backing=beside", "--backing-dir", context.directory, "-n", *options, "-f", "qcow2", "-O",
                     format, *sources, path]).expect()
        after = flat(context, format, path)
        if format == "qcow2":
            context.run([REFERENCE, "check", "-q", "-f", "qcow2", path]).expect()
    if target == "backed_snapshot" and flat(context, format, "-l", "own", path)[64 * KIB:192 * KIB] != b"\5" * (128 * KIB):
        raise Failure("the target's snapshot has changed")
    expected += before[len(expected):len(after)]
    if after != expected:
        at = next(i for i in range(len(expected)) if after[i:i + 1] != expected[i:i + 1])
        raise Failure(f"byte {at} of the target's disk is {after[at]:#x}, not the source's {expected[at]:#x} "
                      f"(INSTAR_TEST_SEED={daily.seed()})")


@test(cases=["plain", "backed", "raw"])
def target_is_zero(context, case):
    """What the user says that reads as zeros need not be written; everything else is the source's."""
    maker = recipes.Maker(context.directory)
    source_make(maker)
    format = "raw" if case == "raw" else "qcow2"
    if case == "raw":
        filled(context.directory / "target", 0, SIZE)
    else:
        filled(context.directory / "zero.raw", 0, SIZE)
        maker.create("target", SIZE, **({"backing": "zero.raw", "backing_format": "raw"} if case == "backed" else {}))
    context.run([context.qemu_img, "convert", "--backing=beside", "-n", "--target-is-zero", "-f", "qcow2", "-O", format, "source",
                 "target"]).expect()
    context.run([REFERENCE, "compare", "-f", "qcow2", "-F", format, "source", "target"]).expect()


@test(cases=["backed", "plain", "raw"])
def left_to_backing(context, case):
    """-n -B: only what the source's top layer has is written, as by qemu-img."""
    maker = recipes.Maker(context.directory)
    source_make(maker)
    format = TARGETS[case][0]
    contents = []
    for program, options in ((REFERENCE, []), (context.qemu_img, ["--backing=beside"])):
        target_make(maker, case, context.directory / "target", SIZE)
        context.run([program, "convert", *options, "-n", "-B", "b.raw", "-F", "raw", "-f", "qcow2", "-O", format,
                     "source", "target"]).expect()
        contents.append(flat(context, format, "target"))
    if contents[0] != contents[1]:
        raise Failure("the target is not as qemu-img leaves it")


@test(cases=["cluster_size=64k", "extended_l2=on"])
def zeros_stay(context, case):
    """Data that became zeros in an image without a backing file is zeros also over one that it gets later."""
    maker = recipes.Maker(context.directory)
    filled(context.directory / "base", 9, MIB)
    maker.create("source", MIB, format="raw")
    for name, program in (("own", context.qemu_img), ("reference", REFERENCE)):
        maker.create(name, MIB, case)
        maker.io(name, "write -P 7 256k 256k", "write -P 7 700k 10k")
        context.run([program, "convert", "-n", "-f", "raw", "-O", "qcow2", "source", name]).expect()
        context.run([program, "rebase", "-u", "-b", "base", "-F", "raw", name]).expect()
        context.run([REFERENCE, "check", name]).expect()
    context.run([REFERENCE, "compare", "own", "reference"]).expect()
