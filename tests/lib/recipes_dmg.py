# SPDX-License-Identifier: Apache-2.0
"""dmg: what qemu-img reads of it. Chunks of the other types are in commands/dmg.py."""

import zlib

from lib import dmg_writer
from lib.dmg_writer import IGNORE, RAW, ZLIB
from lib.recipes import KIB, MIB, Recipe


def image(types, lengths, **options):
    def make(maker):
        (maker.directory / "image").write_bytes(dmg_writer.disk(types, lengths, **options)[1])
    return make


def all_types(**options):
    """Also what Debian's qemu-img does not read: seeds for fuzzing."""
    return image([dmg_writer.ADC, RAW, ZLIB, dmg_writer.BZIP2, dmg_writer.LZFSE, dmg_writer.LZMA], [1024, 4096, 2048, 1536, 6144, 512],
                 **options)


def special(maker):
    """Data that do not begin at the file's start, chunks with more length than they need, empty ones."""
    writer = dmg_writer.Writer(bytes(1000))
    writer.add(RAW, dmg_writer.content(64 * KIB), spare=777)
    writer.add(ZLIB, dmg_writer.content(100 * KIB), spare=3000)
    writer.add(ZLIB, dmg_writer.content(512), stream=zlib.compress(dmg_writer.content(512), 0))
    writer.add(IGNORE, sectors=9)
    (maker.directory / "image").write_bytes(writer.finish(tail=bytes(300)))


def cut(maker):
    """The disk ends within a chunk."""
    writer, _ = dmg_writer.disk([ZLIB], [256 * KIB] * 3)
    (maker.directory / "image").write_bytes(writer.finish(sectors=700))


def recipes():
    usual = [256 * KIB] * 3 + [300 * 512]
    makers = {"zlib": image([ZLIB], usual), "mixed": image([ZLIB, RAW, ZLIB], [512, 1024, 8192] * 9),
              "fork": image([ZLIB, RAW], usual, fork=True), "long": image([ZLIB], [3 * MIB + 512, 64 * KIB, 5 * MIB]),
              "special": special, "cut": cut}
    return [Recipe(f"dmg_{name}", make, format="dmg", options=("-f", "dmg"), is_checked=True) for name, make in makers.items()]
