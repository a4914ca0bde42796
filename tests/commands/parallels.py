# SPDX-License-Identifier: Apache-2.0
"""parallels: extensions under a right checksum whose features lie about their lengths."""

import struct

from lib import recipes, recipes_parallels
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
CLUSTER_LEN = 64 << 10
ROOM = CLUSTER_LEN - 24  # behind magic and checksum
BITMAP = recipes_parallels.BITMAP_MAGIC


def head(magic, length, flags=0):
    return struct.pack("<QQII", magic, flags, length, 0)


def bitmap(sectors=8192, granularity=128, entries=1, tail=8):
    return struct.pack("<Q16sII", sectors, bytes(16), granularity, entries) + bytes(tail)


def feature(**fields):
    data = bitmap(**fields)
    return head(BITMAP, len(data)) + data


# What the cluster has behind its checksum. The cursor of who reads it must not pass the cluster's end.
FEATURES = {
    "sound": feature(),
    "end": b"",
    "data past the cluster": head(BITMAP, ROOM - 23) + bitmap(),
    "data to the cluster's end": head(BITMAP, ROOM - 24) + bitmap(tail=ROOM - 24 - 32),
    "data of 4 GiB": head(BITMAP, 0xffffffff) + bitmap(),
    "rounded up past 4 GiB": head(BITMAP, 0xfffffff9) + bitmap(),
    "end with data past the cluster": head(0, ROOM - 16),
    "no room for another head": feature(tail=8) + head(BITMAP, ROOM - 64 - 24 - 16) + bitmap(tail=ROOM - 64 - 24 - 16 - 32),
    "no data": head(BITMAP, 0),
    "data shorter than a bitmap": head(BITMAP, 31) + bitmap(),
    "table past the feature": head(BITMAP, 39) + bitmap(),
    "table of 4 GiB entries": feature(entries=0xffffffff),
    "table of nothing": feature(entries=0),
    "granularity of nothing": feature(granularity=0),
    "granularity that is no power": feature(granularity=3),
    "granularity too large": feature(granularity=1 << 31),
    "another length of the disk": feature(sectors=8191),
    "a length that wraps": feature(sectors=(1 << 64) - 1),
    "unknown": head(0x1234, 8) + bytes(8),
    "unknown flags": head(BITMAP, 40, flags=1 << 63) + bitmap(),
}


@test(timeout=60)
def extensions(context):
    """qemu-img's verdict, and its words; what is read has its content."""
    for name, content in FEATURES.items():
        recipes_parallels.extension(lambda _, content=content: content.ljust(ROOM, b"\0"))(recipes.Maker(context.directory))
        theirs, ours = (context.run([program, "info", "-f", "parallels", "image"]) for program in (REFERENCE, context.qemu_img))
        status = theirs.status if theirs.status >= 0 else 1  # where qemu-img's own assertion fails
        if (ours.status, ours.stdout) != (status, theirs.stdout) or len(ours.stderr.splitlines()) != ours.status:
            raise Failure(f"{name}\n" + theirs.describe("qemu-img has another verdict") + "\n" + ours.describe("than ours"))
        own = context.run([context.qemu_img, "convert", "-f", "parallels", "-O", "raw", "image", "own.raw"]).expect(status)
        if status == 0:
            context.run([REFERENCE, "compare", "-f", "parallels", "-F", "raw", "image", "own.raw"]).expect()
            (context.directory / "own.raw").unlink()
        elif (context.directory / "own.raw").exists():
            raise Failure(own.describe(f"{name}: there is an output"))
        (context.directory / "image").unlink()


@test(cases=["sound", "damaged"])
def extension_dropped(context, case):
    """Dirty bitmaps do not fit a disk that changes: a warning in qemu-img's words, and the image has none any more."""
    maker = recipes.Maker(context.directory)
    recipes_parallels.extension(lambda _: FEATURES["sound"].ljust(ROOM, b"\0"), checksum=b"x" * 16 if case == "damaged" else None)(maker)
    path = context.directory / "image"
    source = bytes(range(256)) * (4 << 12)
    (context.directory / "source").write_bytes(source)
    for program, name in ((context.qemu_img, "image"), (REFERENCE, "copy")):
        if name == "copy":
            path.rename(context.directory / "changed")
            recipes_parallels.extension(lambda _: FEATURES["sound"].ljust(ROOM, b"\0"), checksum=b"x" * 16 if case == "damaged" else None)(maker)
        done = context.run([program, "convert", "-n", "-f", "raw", "-O", "parallels", "source", "image"]).expect()
        if "warning: Format Extension ignored in RW mode" not in done.stderr and "Format Extension ignored in RW mode" not in done.stderr:
            raise Failure(done.describe("no warning"))
    data = (context.directory / "changed").read_bytes()
    if data[56:64] != bytes(8):
        raise Failure("the header has an extension")
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "parallels", "source", "changed"]).expect()
    done = context.run([REFERENCE, "check", "-f", "parallels", "changed"])
    if done.status not in (0, 3):
        raise Failure(done.describe("not sound"))
