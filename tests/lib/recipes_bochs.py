# SPDX-License-Identifier: Apache-2.0
"""bochs: nobody here writes growing redologs but this; what qemu-img reads of them is what counts."""

import random
import struct

from lib.recipes import MIB, Recipe

EXTENT_LEN, BITMAP_LEN = 64 << 10, 512


def redolog(version, size, extent_len=EXTENT_LEN, seed=1):
    def make(maker):
        noise = random.Random(seed)
        count = -(-size // extent_len)
        head = b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0") + b"Growing".ljust(16, b"\0")
        head += struct.pack("<IIIII", version << 16, 512, count, BITMAP_LEN, extent_len)
        head += struct.pack("<IQ", 0, size) if version == 2 else struct.pack("<Q", size)
        order = [i for i in range(count) if noise.random() < 0.6]
        noise.shuffle(order)
        catalog = [0xffffffff] * count
        body = b""
        for number, extent in enumerate(order):
            catalog[extent] = number
            bits = noise.choice([noise.randbytes(extent_len // 4096), b"\xff" * (extent_len // 4096), bytes(extent_len // 4096)])
            body += bits.ljust(BITMAP_LEN, b"\0") + noise.randbytes(extent_len)
        table = b"".join(struct.pack("<I", entry) for entry in catalog)
        (maker.directory / "image").write_bytes(head.ljust(512, b"\0") + table + body)
    return make


def recipes():
    makers = {"version2": redolog(2, 2 * MIB), "version1": redolog(1, MIB + 512), "one_extent": redolog(2, 512, 4096),
              "small_extents": redolog(2, 300 * 512, 4096, seed=5)}
    return [Recipe(f"bochs_{name}", make, format="bochs") for name, make in makers.items()]
