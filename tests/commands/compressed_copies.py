# SPDX-License-Identifier: Apache-2.0
"""convert -c: clusters that are compressed already are taken as they are, where the target would have them so."""

from lib.python_tests import test
from lib.qcow2_streams import deflated, mixed_content, streams
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
QEMU_IO = "/usr/bin/qemu-io"


def source_make(context, name, *options, seed=1):
    (context.directory / f"{name}.raw").write_bytes(mixed_content(seed))
    context.run([REFERENCE, "convert", "-c", "-f", "raw", "-O", "qcow2", *options, f"{name}.raw", name]).expect()


def converted(context, *arguments):
    context.run([context.qemu_img, "convert", "-c", "-O", "qcow2", *arguments, "out"]).expect()
    context.run([REFERENCE, "check", "-q", "out"]).expect()


def same_disk(context, expected, *options):
    context.run([REFERENCE, "compare", "-q", *options, expected, "out"]).expect()


def count_taken(context, source, first=0):
    """How many clusters of `out` have the source's stream; the others' are of another kind, or made anew."""
    old, new = streams(context.directory / source), streams(context.directory / "out")
    return sum(1 for index, stream in old.items()
               if first + index in new and deflated(new[first + index]) == deflated(stream)), len(old)


@test()
def streams_stay_as_they_are(context):
    source_make(context, "a")
    converted(context, "a")
    same_disk(context, "a")
    taken, there = count_taken(context, "a")
    if taken != there or there < 10:
        raise Failure(f"{taken} of {there} streams were taken as they are")
    for options in (("--recompress",), ("--compression-level", "9"), ("-o", "cluster_size=32k")):
        converted(context, *options, "a")
        same_disk(context, "a")
        taken, there = count_taken(context, "a") if "-o" not in options else (0, 1)
        if taken > there // 2:
            raise Failure(f"{options}: {taken} of {there} streams are as they were")


@test(cases=["cluster_size=4k", "cluster_size=1M", "compat=0.10", "compression_type=zstd", "extended_l2=on,cluster_size=16k"])
def kinds(context, case):
    source_make(context, "a", "-o", case)
    converted(context, "-o", case, "a")
    same_disk(context, "a")
    old, new = streams(context.directory / "a"), streams(context.directory / "out")
    if case.startswith("extended"):
        return  # tables of another shape
    same = sum(1 for index, stream in old.items() if index in new and new[index][:64] == stream[:64])
    if not old or same != len(old):
        raise Failure(f"{same} of {len(old)} streams begin as those of the source")
    lengths = [(context.directory / name).stat().st_size for name in ("out", "a")]
    if lengths[0] > lengths[1] + (1 << 16):
        raise Failure(f"{lengths[0]} bytes, of {lengths[1]}: what follows a stream in its sector was taken, too")


@test()
def several_sources(context):
    """One behind the other, a chain, an image that is there, and one whose bytes lie at other places."""
    source_make(context, "a")
    source_make(context, "b", seed=3)
    converted(context, "a", "b")
    (context.directory / "ab.raw").write_bytes((context.directory / "a.raw").read_bytes() + (context.directory / "b.raw").read_bytes())
    same_disk(context, "ab.raw")
    for source, first in (("a", 0), ("b", 32)):
        taken, there = count_taken(context, source, first)
        if taken != there:
            raise Failure(f"{source}, of two: {taken} of {there} streams were taken as they are")
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "a", "-F", "qcow2", "top"]).expect()
    context.run([QEMU_IO, "-c", "write -P 7 70k 100k", "top"]).expect()
    converted(context, "--backing=beside", "top")
    same_disk(context, "top")
    taken, there = count_taken(context, "a")
    if not there - 4 <= taken < there:
        raise Failure(f"a chain: {taken} of {there} streams were taken as they are")
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "out", "2M"]).expect()
    converted(context, "-n", "a")
    same_disk(context, "a")
    taken, there = count_taken(context, "a")
    if taken != there:
        raise Failure(f"into an image: {taken} of {there} streams were taken as they are")
    (context.directory / "c.raw").write_bytes(bytes(1536) + b"x" * 512)
    context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "c.raw", "c"]).expect()
    converted(context, "c", "a")
    (context.directory / "ca.raw").write_bytes((context.directory / "c.raw").read_bytes() + (context.directory / "a.raw").read_bytes())
    same_disk(context, "ca.raw")


@test()
def damage_is_seen(context):
    """Streams are expanded, whether or not they are made anew."""
    source_make(context, "a")
    path = context.directory / "a"
    good = path.read_bytes()
    for stream in list(streams(path).values())[2:5]:
        own = deflated(stream)
        at = good.index(own)
        path.write_bytes(good[:at + 8] + bytes(64) + good[at + 72:])
        done = context.run([context.qemu_img, "convert", "-c", "-O", "qcow2", "a", "bad"])
        reference = context.run([REFERENCE, "convert", "-O", "raw", "a", "reference"])
        if (done.status == 0) != (reference.status == 0) or (context.directory / "bad").exists() != (done.status == 0):
            raise Failure(done.describe(f"a damaged stream at {at}"))
