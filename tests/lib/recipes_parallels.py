# SPDX-License-Identifier: Apache-2.0
"""parallels: both magics, lengths of clusters, the dirty flag, space behind the last cluster, the format extension."""

import hashlib
import struct

from lib.recipes import FILE_OPTIONS, KIB, MIB, Recipe, written

EXTENSION_MAGIC, BITMAP_MAGIC = 0xab234cef23dcea87, 0x20385fae252cb34a


def patched(offset, content):
    def make(maker):
        written("image", 4 * MIB, "parallels")(maker)
        with open(maker.directory / "image", "r+b") as file:
            file.seek(offset)
            file.write(content)
    return make


def old(maker):
    """The first magic, whose table counts sectors."""
    written("image", 4 * MIB, "parallels", "cluster_size=64k")(maker)
    content = bytearray((maker.directory / "image").read_bytes())
    content[0:16] = b"WithoutFreeSpace"
    sectors, count = struct.unpack_from("<II", content, 28)
    for i in range(count):
        entry, = struct.unpack_from("<I", content, 64 + 4 * i)
        struct.pack_into("<I", content, 64 + 4 * i, entry * sectors)
    (maker.directory / "image").write_bytes(content)


def extension(change=lambda features: features, magic=EXTENSION_MAGIC, checksum=None):
    """One dirty bitmap whose bits are all set."""
    def make(maker):
        written("image", 4 * MIB, "parallels", "cluster_size=64k")(maker)
        path = maker.directory / "image"
        content = bytearray(path.read_bytes())
        content += bytes(-len(content) % (64 * KIB))
        bitmap = struct.pack("<Q16sII", 4 * MIB // 512, bytes(range(16)), 128, 1) + struct.pack("<Q", 1)
        features = struct.pack("<QQII", BITMAP_MAGIC, 0, len(bitmap), 0) + bitmap + bytes(24)
        features = change(features.ljust(64 * KIB - 24, b"\0"))
        digest = checksum or hashlib.md5(features).digest()
        struct.pack_into("<Q", content, 56, len(content) // 512)
        path.write_bytes(content + struct.pack("<Q16s", magic, digest) + features)
    return make


def recipes():
    found = {f"cluster{size}": written("image", 24 * size, "parallels", f"cluster_size={size}", cluster=size)
             for size in (4 * KIB, 64 * KIB, MIB)}
    found |= {"dirty": patched(44, b"\x59\x6e\x6f\x74"), "old": old, "outside": patched(64, b"\xff\xff\x00\x00"),
              "twice": patched(64, b"\1\0\0\0\1\0\0\0"), "extension": extension(),
              "file_options": written("image", 4 * MIB, "parallels", *FILE_OPTIONS),
              "odd": written("image", MIB + 512, "parallels", "cluster_size=64k"),
              "leaked": lambda maker: (written("image", 4 * MIB, "parallels")(maker),
                                       maker.run("truncate", "-s", "+3333333", "image"))}
    return [Recipe(f"parallels_{name}", make, format="parallels", is_cut=name == "outside") for name, make in found.items()]
