# SPDX-License-Identifier: Apache-2.0
"""Writes dmg images (UDIF) with chunks of every type, as hdiutil lays them out."""

import base64
import bz2
import lzma
import random
import struct
import zlib

from lib import lzfse_writer

SECTOR = 512
ZERO, RAW, IGNORE, COMMENT, END = 0, 1, 2, 0x7ffffffe, 0xffffffff
ADC, ZLIB, BZIP2, LZFSE, LZMA = range(0x80000004, 0x80000009)


def xz(data):
    """As hdiutil makes them: a dictionary of 8 MiB, no check."""
    return lzma.compress(data, check=lzma.CHECK_NONE, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])


def xz_number(number):
    """As .xz files have numbers: 7 bits a byte."""
    return (bytes([number & 127 | 128]) + xz_number(number >> 7)) if number > 127 else bytes([number])


def xz_checked(head):
    """To a multiple of 4 bytes, and its checksum."""
    head += bytes(-len(head) % 4)
    return head + struct.pack("<I", zlib.crc32(head))


def xz_filter(options):
    """How a block's head names a filter."""
    if options["id"] == lzma.FILTER_LZMA2:
        bits = options["dict_size"].bit_length() - 1
        return xz_number(options["id"]) + bytes([1, 2 * (bits - 12)])
    properties = bytes([options["dist"] - 1]) if options["id"] == lzma.FILTER_DELTA else b""
    return xz_number(options["id"]) + bytes([len(properties)]) + properties


def xz_blocks(blocks):
    """A stream without checksums of content: of each block, data and filters; dictionaries are powers of two."""
    stream = b"\xfd7zXZ\0" + b"\0\0" + struct.pack("<I", zlib.crc32(b"\0\0"))
    index = b"\0" + xz_number(len(blocks))
    for data, filters in blocks:
        names = b"".join(xz_filter(options) for options in filters)
        room = -(len(names) + 2) % 4
        head = xz_checked(bytes([(len(names) + 2 + room) // 4, len(filters) - 1]) + names)
        made = lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)
        index += xz_number(len(head) + len(made)) + xz_number(len(data))
        stream += head + made + bytes(-len(made) % 4)
    index = xz_checked(index)
    foot = struct.pack("<I", len(index) // 4 - 1) + b"\0\0"
    return stream + index + struct.pack("<I", zlib.crc32(foot)) + foot + b"YZ"


ENCODERS = {RAW: bytes, ADC: lzfse_writer.adc, ZLIB: zlib.compress, BZIP2: bz2.compress, LZFSE: lzfse_writer.lzfse, LZMA: xz}


def entry(type, sector, count, offset=0, length=0):
    return struct.pack(">IIQQQQ", type, 0, sector, count, offset, length)


def table(first, entries, count, data_offset=0):
    """A "mish" block."""
    head = struct.pack(">4sIQQQII", b"mish", 1, first, count, data_offset, 2056, 0) + bytes(24)
    head += struct.pack(">II", 2, 32) + bytes(128) + struct.pack(">I", len(entries))
    return head + b"".join(entries)


def plist(tables):
    def data(content):
        text = base64.b64encode(content).decode()
        lines = [text[i:i + 52] for i in range(0, len(text), 52)]
        return "\t\t\t\t<data>\n" + "".join(f"\t\t\t\t{line}\n" for line in lines) + "\t\t\t\t</data>\n"
    items = "".join(f"\t\t\t<dict>\n\t\t\t\t<key>Attributes</key>\n\t\t\t\t<string>0x0050</string>\n\t\t\t\t<key>Data</key>\n"
                    f"{data(content)}\t\t\t\t<key>ID</key>\n\t\t\t\t<string>{i - 1}</string>\n\t\t\t</dict>\n"
                    for i, content in enumerate(tables))
    other = data(bytes(1032)).replace("\t\t\t\t", "\t\t\t")
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0">\n<dict>\n\t<key>resource-fork</key>\n\t<dict>\n'
            f"\t\t<key>blkx</key>\n\t\t<array>\n{items}\t\t</array>\n\t\t<key>plst</key>\n\t\t<array><dict>\n{other}"
            "\t\t</dict></array>\n\t</dict>\n</dict>\n</plist>\n").encode()


def resource_fork(tables):
    """Data and a map that nobody reads."""
    data = b"".join(struct.pack(">I", len(content)) + content for content in tables)
    return struct.pack(">IIII", 256, 256 + len(data), len(data), 64) + bytes(240) + data + bytes(64)


def trailer(data_length, xml=(0, 0), resources=(0, 0), sectors=0, segments=(1, 1), data_offset=0):
    head = struct.pack(">4sIIIQQQQQII", b"koly", 4, 512, 1, 0, data_offset, data_length, *resources, *segments)
    head += bytes(16) + struct.pack(">II", 2, 32) + bytes(128) + struct.pack(">QQ", *xml)
    return (head.ljust(0x160, b"\0") + struct.pack(">II", 2, 32) + bytes(128) + struct.pack(">IQ", 1, sectors)).ljust(512, b"\0")


class Writer:
    """Chunks are added in the order of the disk; `partition` begins a table."""

    def __init__(self, prefix=b""):
        self.data = bytearray(prefix)
        self.start = len(prefix)
        self.tables = []
        self.sector = 0
        self.disk = bytearray()

    def partition(self):
        self.tables.append((self.sector, []))

    def add(self, type, content=None, sectors=None, stream=None, spare=0):
        """A chunk with this content, or of so many sectors. `stream` in place of what the encoder makes."""
        if not self.tables:
            self.partition()
        count = len(content) // SECTOR if content is not None else sectors
        first, entries = self.tables[-1]
        if stream is None:
            stream = ENCODERS[type](content) if type in ENCODERS else b""
        entries.append((type, self.sector - first, count, len(self.data) - self.start, len(stream) + spare))
        self.data += stream + bytes(spare)
        self.disk += content if content is not None else bytes(count * SECTOR)
        self.sector += count

    def finish(self, fork=False, sectors=None, tail=b"", segments=(1, 1), data_offset=None):
        tables = []
        for first, entries in self.tables:
            count = sum(item[2] for item in entries)
            lines = [entry(COMMENT, 0, 0)] + [entry(*item) for item in entries] + [entry(END, count, 0, len(self.data))]
            tables.append(table(first, lines, count))
        sectors = self.sector if sectors is None else sectors
        place = len(self.data)
        info = resource_fork(tables) if fork else plist(tables)
        where = {"resources": (place, len(info))} if fork else {"xml": (place, len(info))}
        return bytes(self.data) + info + trailer(place, sectors=sectors, segments=segments,
                                                 data_offset=self.start if data_offset is None else data_offset, **where) + tail


def content(length, seed=1):
    """Some that compresses, some that does not."""
    noise = random.Random(seed)
    words = [noise.randbytes(noise.randrange(3, 30)) for _ in range(60)]
    made = bytearray()
    while len(made) < length:
        choice = noise.randrange(10)
        if choice == 0:
            made += noise.randbytes(noise.randrange(600))
        elif choice == 1:
            made += bytes([noise.randrange(256)]) * noise.randrange(3000)
        else:
            made += b"".join(noise.choice(words) for _ in range(20))
    return bytes(made[:length])


def disk(types, lengths, zeros=True, seed=1, **options):
    """An image with chunks of these types in turn, and zeros between."""
    writer = Writer()
    for i, length in enumerate(lengths):
        if i % 3 == 0:
            writer.partition()
        writer.add(types[i % len(types)], content(length, seed + i))
        if zeros:
            writer.add((ZERO, IGNORE)[i % 2], sectors=7 + 100 * i)
    return writer, writer.finish(**options)
