# SPDX-License-Identifier: Apache-2.0
"""One image by several jobs: convert --shard into a raw file, or to parts that convert --join makes one image of."""

import json
import pathlib
import random
import subprocess

from lib import daily
from lib.loop_devices import loop_device
from lib.python_tests import test
from lib.qcow2_streams import deflated, streams
from lib.suite import Failure

MIB = 1 << 20
UNIT = 2 * MIB
REFERENCE = "/usr/bin/qemu-img"
OPTIONS = ["", "cluster_size=512", "cluster_size=4k,refcount_bits=1", "cluster_size=2M,lazy_refcounts=on",
           "compression_type=zstd", "extended_l2=on,cluster_size=16k"]


def source_make(context, length=9 * MIB + 1536, seed=1):
    """Text, noise and nothing, each across the borders of parts."""
    dice = random.Random(seed)
    text = "".join(f"line {number} of {seed}: {number * number}\n" for number in range(60000)).encode()
    content = bytearray(length)
    for start, data in ((300_000, text[:1_500_000]), (2 * UNIT - 70_000, dice.randbytes(700_000)), (7 * MIB, text[:500_000]),
                        (length - 100_000, text[:100_000])):
        content[start:start + len(data)] = data
    (context.directory / "source.raw").write_bytes(content)
    context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "source.raw", "source"]).expect()
    return bytes(content)


def convert(context, *arguments, **others):
    return context.run([context.qemu_img, "convert", *arguments], **others)


def parts_make(context, count, *options, name="part"):
    for number in range(1, count + 1):
        convert(context, "--shard", f"{number}/{count}", "-O", "qcow2", *options, "source", f"{name}.{number}").expect()
    return [f"{name}.{number}" for number in range(1, count + 1)]


def joined_check(context, *options):
    context.run([REFERENCE, "check", "-q", "joined"]).expect()
    context.run([REFERENCE, "compare", "-q", *options, "source.raw", "joined"]).expect()


def of_shard(length, number, count):
    """As the manual has it: units of 2 MiB, the first parts have one more where they do not divide."""
    each, more = divmod(-(-length // UNIT), count)
    first = (number - 1) * each + min(number - 1, more)
    return min(first * UNIT, length), min((first + each + (number <= more)) * UNIT, length)


@test()
def raw_parts(context):
    """Each writes its own part of a file that is there, in any order, at the same time, and as often as it likes."""
    content = source_make(context)
    path, count, rest = context.directory / "out", 3, b"\xee" * 300_000
    path.write_bytes(b"\xee" * len(content) + rest)
    expected = bytearray(path.read_bytes())
    for number in (2, 2):
        convert(context, "--shard", f"{number}/{count}", "source", "out").expect()
        start, end = of_shard(len(content), number, count)
        expected[start:end] = content[start:end]
        if path.read_bytes() != expected:
            raise Failure(f"part {number} has written something else than its own")
    command = [context.qemu_img, "convert", "-O", "raw"]
    running = [subprocess.Popen([*command, "--shard", f"{number}/{count}", "source", "out"], cwd=context.directory,
                                env=context.build.environment()) for number in (1, 2, 3)]
    if any([process.wait(60) for process in running]):
        raise Failure("parts at the same time are refused")
    if path.read_bytes() != content + rest:
        raise Failure("the parts together are not the image")
    convert(context, "--shard", "9/9", "source", "out").expect()  # of five units
    done = convert(context, "--shard", "1/2", "source", "missing")
    if done.status != 1 or (context.directory / "missing").exists():
        raise Failure(done.describe("a part of a file that is not there"))
    context.run(["truncate", "-s", "9M", "short"]).expect()
    done = convert(context, "--shard", "1/2", "source", "short").expect(1)
    if "smaller than input" not in done.stderr or any((context.directory / "short").read_bytes()):
        raise Failure(done.describe("a part of a file that is too short"))


@test()
def parts_of_a_device(context):
    """A block device takes a part at a time, and keeps the others."""
    content = source_make(context)
    backing = context.directory / "device"
    backing.write_bytes(b"\xee" * (10 * MIB))
    with loop_device(backing) as device:
        for number in (2, 1, 3):
            convert(context, "--shard", f"{number}/3", "source", device).expect()
        context.run(["blockdev", "--flushbufs", device]).expect()
        found = backing.read_bytes()
    if found[:len(content)] != content or found[len(content):] != b"\xee" * (10 * MIB - len(content)):
        raise Failure("the parts together are not the image, with what was behind it")


@test()
def parts_from_devices(context):
    """Parts of one device are joined; those of two that are equally long are not, nor when another file is behind it."""
    for name, byte in (("one", b"1"), ("two", b"2")):
        (context.directory / name).write_bytes(byte * 6 * MIB)

    def part_make(number, device):
        convert(context, "--shard", f"{number}/2", "-f", "raw", "-O", "qcow2", device, f"part.{number}").expect()

    def join_fails():
        done = convert(context, "--join", "part.1", "part.2", "joined").expect(1)
        if "another source" not in done.stderr or (context.directory / "joined").exists():
            raise Failure(done.describe("expected a line about another source"))

    with loop_device(context.directory / "one") as first:
        with loop_device(context.directory / "two") as second:
            part_make(1, first)
            part_make(2, second)
            join_fails()
        part_make(2, first)
        convert(context, "--join", "part.1", "part.2", "joined").expect()
        context.run([REFERENCE, "compare", "-q", "-f", "raw", "-F", "qcow2", "one", "joined"]).expect()
        (context.directory / "joined").unlink()
    with loop_device(context.directory / "two") as device:
        if pathlib.Path("/sys/block", pathlib.Path(device).name, "diskseq").exists():
            part_make(2, device)
            join_fails()


@test()
def killed_and_again(context):
    """What a killed part has left is overwritten, and nothing of it is in a qcow2 image."""
    content = source_make(context)
    (context.directory / "out").write_bytes(b"\xee" * len(content))
    for target in (["-O", "raw", "out"], ["-O", "qcow2", "-c", "part.1"]):
        process = subprocess.Popen([context.qemu_img, "convert", "--shard", "1/2", "-r", "500k", "source", *target],
                                   cwd=context.directory, env=context.build.environment())
        try:
            process.wait(0.3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if (context.directory / "part.1").exists():
        raise Failure("half a part has a name")
    for number in (1, 2):
        convert(context, "--shard", f"{number}/2", "source", "out").expect()
    if (context.directory / "out").read_bytes() != content:
        raise Failure("the parts together are not the image")


@test(cases=daily.sample("shards/joined", ["plain", "-c", "-S 0"], 1))
def joined(context, case):
    """Parts in any order become an image that QEMU finds sound; it opens none of the parts."""
    source_make(context)
    for options in daily.sample(f"shards {case}", OPTIONS, 1):
        count = random.Random(daily.seed()).choice((1, 3, 4, 7))
        flags = [] if case == "plain" else case.split()
        parts = parts_make(context, count, *flags, *(["-o", options] if options else []))
        for program in (REFERENCE, context.qemu_img):
            done = context.run([program, "info", parts[0]]).expect(1)
            if "part of an image, for instar convert --join" not in done.stderr:
                raise Failure(done.describe("it is not told that this is a part of an image"))
        order = daily.dice("order of parts").sample(parts, count)
        convert(context, "--join", *order, "joined").expect()
        joined_check(context)
        found = context.run([REFERENCE, "info", "--output=json", "joined"]).expect().stdout
        for word in options.split(",") if options else ():
            key, value = word.split("=")
            shown = {"4k": "4096", "2M": "2097152", "16k": "16384", "on": "true", "zstd": '"zstd"'}.get(value, value)
            if f'"{key.replace("_", "-")}": {shown}' not in found:
                raise Failure(f"{word} is lost: {found}")
        if case == "-S 0":
            first = context.run([REFERENCE, "map", "--output=json", "joined"]).expect().stdout
            if '"data": false' in first and "extended" not in options:
                raise Failure(f"not everything is stored: {first}")


@test()
def streams_stay_as_they_are(context):
    """What the parts have compressed is in the joined image, byte for byte, and what they have not is not."""
    source_make(context)
    parts = parts_make(context, 3, "-c")
    convert(context, "--join", *parts, "joined").expect()
    joined_check(context)
    found = streams(context.directory / "joined")
    expected = {index: stream for part in parts for index, stream in streams(context.directory / part).items()}
    last = max(expected)  # the disk ends within it
    if set(found) != set(expected) or len(found) < 20:
        raise Failure(f"compressed clusters: {sorted(found)}, of {sorted(expected)}")
    for index, stream in expected.items():
        if index != last and deflated(found[index]) != deflated(stream):
            raise Failure(f"the stream of cluster {index} is another one")
    whole = context.run([context.qemu_img, "convert", "-c", "-O", "qcow2", "source", "whole"]).expect()
    if (context.directory / "joined").stat().st_size > (context.directory / "whole").stat().st_size + 4 * 65536:
        raise Failure(whole.describe("the joined image is longer than one that was made at once"))


def table_of(data):
    """Bits of clusters, where the first L2 table of an image is, and of which cluster its first entry is."""
    bits, entries, l1 = (int.from_bytes(data[start:end], "big") for start, end in ((20, 24), (36, 40), (40, 48)))
    for index in range(entries):
        table = int.from_bytes(data[l1 + 8 * index:l1 + 8 * index + 8], "big") & 0x00FFFFFFFFFFFE00
        if table:
            return bits, table, index << (bits - 3)
    raise Failure("the image has nothing")


@test(cases=daily.sample("shards/strange parts", OPTIONS[:5], 1))
def strange_parts(context, case):
    """Compressed clusters in another order than ours, and several that are one: each stays what it is."""
    content = source_make(context)
    parts = parts_make(context, 2, "-c", *(["-o", case] if case else []))
    path = context.directory / parts[0]
    data = bytearray(path.read_bytes())
    bits, table, first = table_of(data)
    cluster = 1 << bits
    count = min(6 * MIB - first * cluster, cluster * cluster // 8) // cluster  # of part 1, and of its first table
    old = [data[table + 8 * index:table + 8 * index + 8] for index in range(count)]
    compressed = [index for index, entry in enumerate(old) if entry[0] & 0x40]
    dice = daily.dice("strange parts")
    source = {index: dice.choice(compressed) for index in compressed}
    expected = bytearray(content)
    for index, other in source.items():
        data[table + 8 * index:table + 8 * index + 8] = old[other]
        place, origin = ((first + number) * cluster for number in (index, other))
        expected[place:place + cluster] = content[origin:origin + cluster]
    path.write_bytes(data)
    convert(context, "--join", *parts, "joined").expect()
    (context.directory / "source.raw").write_bytes(expected)
    joined_check(context)


@test()
def damaged_streams(context):
    """Nobody expands them when parts are joined: who reads the image is told."""
    source_make(context)
    parts = parts_make(context, 2, "-c")
    path = context.directory / parts[0]
    data = bytearray(path.read_bytes())
    bits, table, _ = table_of(data)
    index = min(streams(path))
    entry = table + 8 * index
    offset = int.from_bytes(data[entry:entry + 8], "big") & ((1 << 62 - (bits - 8)) - 1)
    data[offset:offset + 64] = b"\xff" * 64
    path.write_bytes(data)
    convert(context, "--join", *parts, "joined").expect()
    context.run([REFERENCE, "check", "-q", "joined"]).expect()
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "convert", "-O", "raw", "joined", "out"]).expect(1)
    data[entry + 2:entry + 6] = b"\x00\x7f\xff\xff"  # far behind the end of the file
    path.write_bytes(data)
    done = convert(context, "--join", *parts, "beyond").expect(1)
    if "behind the end of the file" not in done.stderr or len(done.stderr.splitlines()) != 1 or (context.directory / "beyond").exists():
        raise Failure(done.describe("expected a line about the end of the file"))


@test(cases=[34] if daily.takes("shards/many parts", 0.2) else [])
def many_parts(context, count):
    """More than a job has inputs otherwise, in any order: those behind the first 32 share a thread."""
    source_make(context, 90 * MIB)
    parts = parts_make(context, count, "-c")
    daily.dice("many parts").shuffle(parts)
    convert(context, "--join", *parts, "joined").expect()
    joined_check(context)
    done = convert(context, *parts, "-O", "raw", "x").expect(1)
    if "more than 32 images" not in done.stderr:
        raise Failure(done.describe("expected a line about the number of images"))


@test()
def what_is_not_joined(context):
    """One line that says why, and no output."""
    length = len(source_make(context))
    context.run(["truncate", "-s", str(length), "source"]).expect()  # so its disk has that length in either format
    first, second, third = parts_make(context, 3, "-c")
    others = {"of-four": ["2/4", "-c", "source"], "plain": ["2/3", "source"], "small": ["2/3", "-c", "-o", "cluster_size=32k", "source"],
              "dense": ["2/3", "-c", "-S", "0", "source"], "other-source": ["2/3", "-c", "source.raw"], "other-format": ["2/3", "-c", "-f", "raw", "source"],
              "salvaged": ["2/3", "-c", "--salvage", "source"]}
    (context.directory / "cut").write_bytes((context.directory / second).read_bytes()[:-70_000])
    data = (context.directory / second).read_bytes()
    at = data.index(b"INSH")
    for name, offset, value in (("zero", 8, 0), ("flags", 20, 1 << 31), ("length", 4, 8)):
        damaged = bytearray(data)
        damaged[at + offset:at + offset + 4] = value.to_bytes(4, "big")
        (context.directory / name).write_bytes(damaged)
    damaged = bytearray(data)
    damaged[at:at + 4] = b"XXXX"
    (context.directory / "unsaid").write_bytes(damaged)
    cases = [([first, third], "part 2 of 3 is missing"), ([first, second, third, second], "as is another one"),
             ([first, "of-four", third], "one of 4 parts"), ([first, "plain", third], "another -c"),
             ([first, "dense", third], "another -S"), ([first, "small", third], "cluster_size=32768"),
             ([first, "other-source", third], "another source"), ([first, "other-format", third], "another source"),
             ([first, "salvaged", third], "another source"), ([first, "source", third], "no part of an image"),
             ([first, "source.raw", third], "no part of an image"), ([first, "cut", third], ""),
             ([first, "zero", third], "there is no part 0 of 3"), ([first, "flags", third], "flags 0x80000000"),
             ([first, "length", third], "has 8 bytes"), ([first, "unsaid", third], "does not say which part")]
    for parts, text in daily.sample("shards/not joined", cases, 4):
        if parts[1] in others:
            convert(context, "-O", "qcow2", "--shard", *others[parts[1]], parts[1]).expect()
        done = convert(context, "--join", *parts, "joined").expect(1)
        if text not in done.stderr or len(done.stderr.splitlines()) != 1 or (context.directory / "joined").exists():
            raise Failure(done.describe(f"{parts}: expected one line with {text!r}"))


@test()
def other_refusals(context):
    source_make(context)
    shard = ["--shard", "1/2"]
    cases = [([*shard, "-O", "vmdk", "source", "x"], "parts of images of format 'vmdk'"),
             ([*shard, "-O", "qcow2", "-o", "compat=0.10", "source", "x"], "version 2"),
             ([*shard, "-O", "qcow2", "-o", "preallocation=full", "source", "x"], "preallocation"),
             ([*shard, "-O", "qcow2", "-B", "source", "-F", "qcow2", "source", "x"], "with -B"),
             ([*shard, "-O", "qcow2", "-n", "source", "x"], "not with -n"),
             ([*shard, "source", "source", "x"], "concatenated"), ([*shard, "--join", "source", "x"], "exclusive"),
             (["--shard", "3/2", "source", "x"], "I is from 1 to N"), (["--shard", "x", "source", "x"], "I/N"),
             (["--shard", "1/129", "-O", "qcow2", "source", "x"], "at most 128"),
             (["--join", "-O", "raw", "source", "x"], "makes a qcow2 image"), (["--join", "-c", "source", "x"], "like its parts")]
    for arguments, text in daily.sample("shards/other refusals", cases, 3):
        done = convert(context, *arguments).expect(1)
        if text not in done.stderr or len(done.stderr.splitlines()) != 1 or (context.directory / "x").exists():
            raise Failure(done.describe(f"expected one line with {text!r}"))


@test()
def jobs_of_a_batch(context):
    """Parts of one file are all done once, and a batch that goes on does none of them again."""
    content = source_make(context)
    (context.directory / "out").write_bytes(b"\xee" * len(content))
    (context.directory / "jobs").write_text("".join(
        json.dumps({"id": str(number), "command": ["convert", "--shard", f"{number}/3"], "inputs": ["source"], "output": "out"}) + "\n"
        for number in (1, 2, 3)))
    command = [context.build.instar, "batch", "-j", "2", "--resume", "jobs"]
    context.run(command).expect()
    if (context.directory / "out").read_bytes() != content:
        raise Failure("the parts together are not the image")
    done = context.run(command).expect()
    if "3 were done before" not in done.stdout:
        raise Failure(done.describe("parts are done again"))
