# SPDX-License-Identifier: Apache-2.0
"""Compressed clusters of qcow2 images: content for them, and as they are in the file."""

import functools
import zlib

from lib.suite import Failure

COMPRESSED = 1 << 62


@functools.cache
def mixed_content(seed=1):
    """2 MiB: text that gets shorter, a part of it twice, zeros, and bytes that do not get shorter."""
    text = "".join(f"line {seed * number} of a text, {number * number}\n" for number in range(40000)).encode()
    noise = bytes((number * number * 7919 >> 5) & 0xFF for number in range(100000))
    return (text[:900000] + bytes(200000) + text[:300000] + noise * 2).ljust(2 << 20, b"x")[:2 << 20]


def streams(path, l1_index=0):
    """The compressed clusters that an L2 table tells of: their number, and the bytes up to the end of their last sector."""
    data = path.read_bytes()

    def number(offset):
        return int.from_bytes(data[offset:offset + 8], "big")

    bits = int.from_bytes(data[20:24], "big")
    table = number(number(40) + 8 * l1_index) & 0x00FFFFFFFFFFFE00
    found = {}
    for index in range(1 << (bits - 3)):
        entry = number(table + 8 * index) if table else 0
        if entry & COMPRESSED:
            offset_bits = 62 - (bits - 8)
            offset = entry & ((1 << offset_bits) - 1)
            sectors = (entry & (COMPRESSED - 1)) >> offset_bits
            found[index] = data[offset:(offset // 512 + sectors + 1) * 512]
    return found


def deflated(bytes_with_rest):
    """Without what follows the stream."""
    expander = zlib.decompressobj(-15)
    expander.decompress(bytes_with_rest)
    if not expander.eof:
        raise Failure("a stream has no end")
    return bytes_with_rest[:len(bytes_with_rest) - len(expander.unused_data)]
