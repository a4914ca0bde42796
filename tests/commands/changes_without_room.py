# SPDX-License-Identifier: Apache-2.0
"""qcow2 images that are changed on a full file system, again and again: one line tells of it, and then the image has no leak,
ends where it did (with its last cluster), has no L2 table without entries, and has its disk, snapshots and bitmaps.
"""

import dataclasses
import json
import shutil
import struct
import subprocess

from lib import daily, recipes
from lib.bitmaps import bitmaps_of
from lib.python_tests import test
from lib.qcow2_streams import mixed_content
from lib.suite import Failure, Skip

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
LEN, CLUSTER_LEN = 12 * MIB, 4 * KIB
NO_SPACE = "No space left on device"
NOT_MOUNTED = 77


@dataclasses.dataclass
class Change:
    arguments: list
    has_snapshots: bool = False
    has_bitmaps: bool = True
    writes_data: bool = False  # what is in the file already may stay, with the L2 tables that lead there
    is_zeroed: bool = False  # the disk has many clusters of zeros
    takes_room: bool = True  # more than the image has itself
    changes_disk: bool = False  # and a part of what it was to become, of which bitmaps know
    keeps_streams: bool = False  # the source is compressed


CHANGES = {
    "bitmap_add": Change(["bitmap", "--add", "disk/out", "new"]),
    "bitmap_remove": Change(["bitmap", "--remove", "disk/out", "two"]),
    "bitmap_clear": Change(["bitmap", "--clear", "disk/out", "one"]),
    "bitmap_merge": Change(["bitmap", "--merge", "two", "disk/out", "one"]),
    "bitmap_of_another": Change(["bitmap", "--merge", "their", "-b", "source", "-F", "qcow2", "disk/out", "one"]),
    "resize": Change(["resize", "-q", "disk/out", "1T"]),
    "resize_metadata": Change(["resize", "-q", "--preallocation=metadata", "disk/out", "8G"]),
    "resize_full": Change(["resize", "-q", "--preallocation=full", "disk/out", "40M"]),
    "shrink": Change(["resize", "-q", "--shrink", "disk/out", "5M"], has_snapshots=True, takes_room=False),
    "shrink_within_a_table": Change(["resize", "-q", "--shrink", "disk/out", "6160k"], has_snapshots=True, takes_room=False),
    "amend_size": Change(["amend", "-o", "size=1T", "disk/out"]),
    "amend_width": Change(["amend", "-o", "refcount_bits=64", "disk/out"], has_snapshots=True),
    "amend_version": Change(["amend", "-o", "compat=0.10", "disk/out"], has_snapshots=True, has_bitmaps=False, writes_data=True,
                            is_zeroed=True, takes_room=False),  # clusters of zeros are holes of the file
    "snapshot_create": Change(["snapshot", "-c", "new", "disk/out"], has_snapshots=True),
    "snapshot_apply": Change(["snapshot", "-a", "first", "disk/out"], has_snapshots=True, has_bitmaps=False),
    "snapshot_delete": Change(["snapshot", "-d", "first", "disk/out"], has_snapshots=True),
    "rebase": Change(["rebase", "-b", "../source", "-F", "qcow2", "disk/out"], writes_data=True),
    "flatten": Change(["rebase", "-b", "", "disk/out"], has_snapshots=True, writes_data=True),
    "commit": Change(["commit", "-q", "-b", "disk/out", "top"], writes_data=True, changes_disk=True),
    "commit_kept": Change(["commit", "-q", "-b", "disk/out", "top"], writes_data=True, changes_disk=True, keeps_streams=True),
    "convert": Change(["convert", "-n", "-O", "qcow2", "source", "disk/out"], writes_data=True, changes_disk=True),
    "compressed": Change(["convert", "-n", "-c", "-O", "qcow2", "source", "disk/out"], writes_data=True, changes_disk=True),
    "bitmaps": Change(["convert", "-n", "--bitmaps", "-O", "qcow2", "source", "disk/out"], writes_data=True, changes_disk=True),
    "bench": Change(["bench", "-q", "-w", "-c", "160", "-s", "64k", "disk/out"], writes_data=True, changes_disk=True),
}
ROOMS = [0, 8 * KIB, 28 * KIB, 200 * KIB]  # that are left


def images_make(context, change):
    """`old`, on `base`; `top` on it, and `source` beside."""
    maker = recipes.Maker(context.directory)
    maker.create("base", LEN)
    maker.io("base", "write -P 1 0 4M")
    maker.create("old", LEN, "cluster_size=4k", backing=str(context.directory / "base"))
    maker.io("old", "write -P 2 100k 300k", "write -z 1M 200k", "write -P 3 6M 64k")
    if change.is_zeroed:
        maker.io("old", "write -z 2M 3M")
    if change.has_snapshots:
        maker.run(REFERENCE, "snapshot", "-c", "first", "old")
        maker.io("old", "write -P 4 64k 100k", "write -P 5 8M 64k")
        maker.run(REFERENCE, "snapshot", "-c", "second", "old")
    for bitmap, options in (("one", []), ("two", ["-g", "512"])) if change.has_bitmaps else ():
        maker.run(REFERENCE, "bitmap", "--add", *options, "old", bitmap)
        maker.io("old", "write -P 6 100k 64k")
    if not change.has_snapshots:  # without clusters that are free
        (context.directory / "old").rename(context.directory / "loose")
        words = ["-O", "qcow2", "-o", "cluster_size=4k", "-B", context.directory / "base", "-F", "qcow2"]
        context.run([context.qemu_img, "convert", "--backing-file", "base", *words, *(["--bitmaps"] if change.has_bitmaps else []),
                     "loose", "old"]).expect()
    maker.create("source", LEN)
    maker.run(REFERENCE, "bitmap", "--add", "source", "their")
    maker.io("source", "write -P 7 32k 7M")
    (context.directory / "disk").mkdir()
    shutil.copyfile(context.directory / "old", context.directory / "disk" / "out")
    if change.keeps_streams:
        (context.directory / "content").write_bytes(mixed_content().ljust(LEN, b"x"))
        maker.convert("content", "top", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "-B", "disk/out", "-F", "qcow2")
    elif change.arguments[0] == "commit":
        maker.create("top", LEN, backing="disk/out")
        maker.io("top", "write -P 8 16k 6M")


def shown(context, path, *options):
    context.run([REFERENCE, "convert", "-f", "qcow2", *options, "-O", "raw", path, "shown"]).expect()
    return (context.directory / "shown").read_bytes()


def state(context, path, change):
    """Of an image: what it says, its disk, its snapshots, its bitmaps' bits."""
    told = json.loads(context.run([REFERENCE, "info", "-U", "--output=json", path]).expect().stdout)
    told = {key: told.get(key) for key in ("virtual-size", "format-specific", "backing-filename")}
    snapshots = {name: shown(context, path, "-l", name) for name in ("first", "second")} if change.has_snapshots else {}
    return told, snapshots, shown(context, path), bitmaps_of(context.directory / path)


def empty_tables(path):
    """Where the active L1 table leads to an L2 table of zeros, indexes in it."""
    content = path.read_bytes()
    l1_count, l1_off = struct.unpack_from(">IQ", content, 36)
    offs = [entry & ~(1 << 63) for entry in struct.unpack_from(f">{l1_count}Q", content, l1_off)]
    return {index for index, off in enumerate(offs) if off and not any(content[off:off + CLUSTER_LEN])}


def expect_bits(old, new, disk, new_disk):
    """No bit is lost, and there is one for what has changed."""
    for (_, granularity, old_bits), (is_used, _, bits) in zip(old, new):
        changed = {at // granularity for at in range(0, len(disk), 512) if disk[at:at + 512] != new_disk[at:at + 512]}
        if is_used or old_bits & ~bits or any(not bits >> bit & 1 for bit in changed):
            raise Failure("a bitmap is in use, or lacks bits")


SCRIPT = """mount -t tmpfs -o size=4M tmpfs disk || exit 77
cp --sparse=never old disk/out; head -c {room} /dev/zero >disk/room; cat /dev/zero >disk/full 2>/dev/null; rm disk/room
"$@" && mkdir after && cp --sparse=always disk/out after && exit 0
"$@" 2>/dev/null; "$@" 2>/dev/null; mkdir after; cp disk/out after; exit 1"""


@test(cases=daily.sample("changes_without_room", [f"{name},{room}" for name in CHANGES for room in ROOMS], 6))
def changes(context, case):
    name, room = case.split(",")
    change = CHANGES[name]
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    images_make(context, change)
    command, *rest = change.arguments
    done = context.run(["unshare", "--mount", "sh", "-uc", SCRIPT.format(room=room), "sh", context.qemu_img, command,
                        "--backing-file", "base", *rest])
    if done.status == NOT_MOUNTED:
        raise Skip("a tmpfs cannot be mounted")
    if done.status == 0 and (room != "0" or not change.takes_room):  # there was room enough
        context.run([REFERENCE, "check", "-q", "after/out"]).expect()
        if name.startswith("amend") and state(context, "old", change)[1:3] != state(context, "after/out", change)[1:3]:
            raise Failure(done.describe("the disk or a snapshot is another one"))
        return
    if done.status != 1 or NO_SPACE not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe(f"expected one line of error with {NO_SPACE}"))
    old, new = context.directory / "old", context.directory / "after" / "out"
    checked = json.loads(context.run([REFERENCE, "check", "--output=json", new]).expect().stdout)
    old_end = -(-old.stat().st_size // CLUSTER_LEN) * CLUSTER_LEN
    if new.stat().st_size > max(old_end, checked["image-end-offset"] if change.writes_data else 0):
        raise Failure(done.describe(f"the file has {new.stat().st_size} bytes, and had {old.stat().st_size}"))
    if tables := empty_tables(new) - empty_tables(old):
        raise Failure(done.describe(f"entries {sorted(tables)[:10]} of the L1 table lead to tables of zeros"))
    told, snapshots, disk, bitmaps = state(context, "old", change)
    new_told, new_snapshots, new_disk, new_bitmaps = state(context, "after/out", change)
    if (new_told, new_snapshots) != (told, snapshots):
        raise Failure(done.describe(f"afterwards there is {new_told}, not {told}, or another snapshot"))
    if (disk != new_disk and not change.changes_disk) or (bitmaps != new_bitmaps and not change.writes_data):
        raise Failure(done.describe("the disk or a bitmap is another one"))
    expect_bits(bitmaps, new_bitmaps, disk, new_disk)


@test()
def emptied(context):
    """An overlay that commit empties takes no room, although a snapshot has its tables, too."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    maker = recipes.Maker(context.directory)
    maker.create("base", LEN)
    maker.create("old", LEN, "cluster_size=4k", backing=str(context.directory / "base"))
    maker.io("old", *(f"write -P 2 {at}k 64k" for at in range(0, LEN // KIB, 512)))
    maker.run(REFERENCE, "snapshot", "-c", "first", "old")
    seen = shown(context, "old")
    (context.directory / "disk").mkdir()
    script = SCRIPT.replace('"$@" && exit 0', '"$@" && mkdir after && cp disk/out after && exit 0')
    done = context.run(["unshare", "--mount", "sh", "-uc", script.format(room=0), "sh", context.qemu_img, "commit", "-q",
                        "--backing-file", "base", "disk/out"])
    if done.status == NOT_MOUNTED:
        raise Skip("a tmpfs cannot be mounted")
    done.expect()
    context.run([REFERENCE, "check", "after/out"]).expect()
    if shown(context, "after/out") != seen or shown(context, "after/out", "-l", "first") != seen:
        raise Failure("the disk or its snapshot is another one")
    mapped = json.loads(context.run([REFERENCE, "map", "--output=json", "after/out"]).expect().stdout)
    if any(part["depth"] == 0 for part in mapped):
        raise Failure("the overlay has something of the disk")
