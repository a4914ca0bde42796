# SPDX-License-Identifier: Apache-2.0
"""
What -c writes, for a reader that inflates with a window of 4 KiB and gets and gives a little at a time: Python's zlib.
"""

import gzip
import pathlib
import random
import struct
import zlib

from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
CLUSTER_LEN = 65536
COMPRESSED = 1 << 62


def source_write(path):
    """Text, a program, its compressed form, zeros, random bytes, and clusters that have something of all."""
    text = b"".join(sorted(name.read_bytes() for name in pathlib.Path("/usr/include").glob("*.h")))[:2 << 20]
    program = pathlib.Path("/usr/bin/qemu-img").read_bytes()[:2 << 20]
    noise = random.Random(5).randbytes(3 * CLUSTER_LEN)
    parts = [text, program, gzip.compress(program)[:300000], bytes(4 * CLUSTER_LEN), noise]
    mixed = b"".join(part[i * 9000:i * 9000 + 3000] for i in range(60) for part in parts)
    # Lines that come again after 5 to 30 KiB: a larger window finds them.
    lines = [text[i * 64:i * 64 + 64] for i in range(400)]
    far = b"".join(random.Random(6).choices(lines, k=6000))
    path.write_bytes(b"".join(part + bytes(-len(part) % 4096) for part in [*parts, mixed, far]) + b"the end")


def compressed_clusters(image):
    """Offsets on the disk, and the sectors with their streams; qcow2's specification, "Cluster mapping"."""
    data = image.read_bytes()
    (l1_count,), (l1_off,) = struct.unpack_from(">I", data, 36), struct.unpack_from(">Q", data, 40)
    offset_bits = 62 - (16 - 8)
    for i, entry in enumerate(struct.unpack_from(f">{l1_count}Q", data, l1_off)):
        l2_off = entry & 0x00FFFFFFFFFFFE00
        for j, entry in enumerate(struct.unpack_from(">8192Q", data, l2_off) if l2_off else ()):
            if entry & COMPRESSED:
                off = entry & ((1 << offset_bits) - 1)
                sectors = (entry >> offset_bits & 0xFF) + 1
                yield (i * 8192 + j) * CLUSTER_LEN, data[off:off // 512 * 512 + sectors * 512]


def inflate_in_steps(stream):
    reader = zlib.decompressobj(-12)
    content = b""
    for i in range(0, len(stream), 512):
        content += reader.decompress(stream[i:i + 512], 1024)
        while reader.unconsumed_tail and not reader.eof:
            content += reader.decompress(reader.unconsumed_tail, 1024)
        if reader.eof:
            break
    while not reader.eof:
        part = reader.decompress(b"", 1024)
        if not part:
            raise zlib.error("the stream does not end")
        content += part
    return content


def wrong_clusters(image, disk):
    """How many there are, and how many of them the reader gets wrong."""
    count = wrong = 0
    for off, stream in compressed_clusters(image):
        count += 1
        try:
            wrong += inflate_in_steps(stream) != disk[off:off + CLUSTER_LEN].ljust(CLUSTER_LEN, b"\0")
        except zlib.error:
            wrong += 1
    return count, wrong


@test(cases=["", "--compression-level 1", "--compression-level 9", "--compression-level 12 -m 1 --vcpus 1", "-n"])
def small_window(context, case):
    source, image = context.directory / "source", context.directory / "image"
    source_write(source)
    if case == "-n":
        context.run([REFERENCE, "create", "-q", "-f", "qcow2", image, str(-(-source.stat().st_size // 512) * 512)])
    context.run([context.qemu_img, "convert", "-c", "-f", "raw", "-O", "qcow2", *case.split(), source, image]).expect()
    count, wrong = wrong_clusters(image, source.read_bytes())
    if count < 60 or wrong:
        raise Failure(f"{wrong} of {count} clusters cannot be read with a window of 4 KiB")
    context.run([REFERENCE, "check", "-f", "qcow2", image]).expect()
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", source, image]).expect()


@test()
def large_window(context):
    """Which is asked for: the reader above tells the difference."""
    source, image = context.directory / "source", context.directory / "image"
    source_write(source)
    context.run([context.qemu_img, "convert", "-c", "--deflate-window=32k", "-f", "raw", "-O", "qcow2", source,
                 image]).expect()
    count, wrong = wrong_clusters(image, source.read_bytes())
    if count < 60 or not wrong:
        raise Failure(f"{wrong} of {count} clusters need more than 4 KiB, expected some")
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", source, image]).expect()


@test()
def the_same_for_any_number_of_vcpus(context):
    source = context.directory / "source"
    source_write(source)
    images = []
    for count in ("1", "2", "5"):
        image = context.directory / f"image{count}"
        context.run([context.qemu_img, "convert", "-c", "--vcpus", count, "-f", "raw", "-O", "qcow2", source,
                     image]).expect()
        images.append(image.read_bytes())
    if len(set(images)) != 1:
        raise Failure("the images differ")


@test()
def length(context):
    """Close to qemu-img's: 2 % more at most."""
    source = context.directory / "source"
    source_write(source)
    lengths = []
    for program in (REFERENCE, context.qemu_img):
        image = context.directory / "image"
        context.run([program, "convert", "-c", "-f", "raw", "-O", "qcow2", source, image]).expect()
        lengths.append(sum(len(stream) for _, stream in compressed_clusters(image)))
        image.unlink()
    if lengths[1] > lengths[0] * 1.02:
        raise Failure(f"{lengths[1]} bytes of streams, qemu-img's have {lengths[0]}")
