# SPDX-License-Identifier: Apache-2.0
"""cloop: blocks of several lengths, as create_compressed_fs makes them."""

import random
import struct
import zlib

from lib.recipes import KIB, MIB, Recipe

HEAD = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"


def blocks(block_len, count, level=9):
    def make(maker):
        noise = random.Random(block_len)
        streams = [zlib.compress(noise.choice([bytes(block_len), noise.randbytes(block_len), b"abc%d " % i * block_len])[:block_len],
                                 level) for i in range(count)]
        offset = 136 + 8 * (count + 1)
        table = b""
        for stream in streams:
            table += struct.pack(">Q", offset)
            offset += len(stream)
        table += struct.pack(">Q", offset)
        content = HEAD.ljust(128, b"\0") + struct.pack(">II", block_len, count) + table + b"".join(streams)
        (maker.directory / "image").write_bytes(content)
    return make


def recipes():
    makers = {"block512": blocks(512, 3000), "block64k": blocks(64 * KIB, 30, 1), "block1536": blocks(1536, 700),
              "block300k": blocks(300 * KIB, 11), "block2m": blocks(2 * MIB, 3), "stored": blocks(4096, 100, 0),
              "empty": blocks(4096, 0), "block2m512": blocks(2 * MIB + 512, 5), "block9m": blocks(9 * MIB, 3, 1)}
    return [Recipe(f"cloop_{name}", make, format="cloop") for name, make in makers.items()]
