# SPDX-License-Identifier: Apache-2.0
"""VMDK images that qemu-img cannot make: a small writer, by the specification ("Virtual Disk Format 5.0"), and for seSparse by
what is known of it. Content is a dictionary of grains: number to bytes, or to None for a grain of zeros."""

import struct
import zlib

SECTOR = 512
ALLOCATED, ZERO, UNMAPPED = 0x3, 0x2, 0x1


def descriptor(create_type, extents, cid="11223344", parent="ffffffff", hint=None, end="\n"):
    lines = ["# Disk DescriptorFile", "version=1", f"CID={cid}", f"parentCID={parent}", f'createType="{create_type}"']
    lines += [f'parentFileNameHint="{hint}"'] if hint else []
    lines += ["# Extent description", *extents, "", "# The Disk Data Base", "#DDB", 'ddb.adapterType = "lsilogic"', ""]
    return end.join(lines).encode()


def pad(data, length=SECTOR):
    return data + bytes(-len(data) % length)


def cowd(capacity, grain_sectors, grains):
    """A COWD extent: header, grain directory, grain tables of 4096 entries, grains."""
    count = -(-capacity // (4096 * grain_sectors))
    tables = sorted({number // 4096 for number in grains})
    first_table = 4 + -(-count * 4 // SECTOR)
    data_sector = first_table + 32 * len(tables)
    directory, entries, data = [0] * count, {}, bytearray()
    for index, table in enumerate(tables):
        directory[table] = first_table + 32 * index
        entries[table] = [0] * 4096
    for number in sorted(grains):
        entries[number // 4096][number % 4096] = data_sector + len(data) // SECTOR
        data += pad(grains[number], grain_sectors * SECTOR)
    body = pad(struct.pack(f"<{count}I", *directory))
    body += b"".join(struct.pack("<4096I", *entries[table]) for table in tables)
    size = data_sector + len(data) // SECTOR
    head = struct.pack("<4s10I", b"COWD", 1, 3, capacity, grain_sectors, 4, count, size, 0, 0, 0)
    return pad(head, 4 * SECTOR) + body + data


def sesparse(capacity, grains, tags=None):
    """A seSparse extent of grains of 4 KiB. `tags`: numbers of grains that are ZERO or UNMAPPED."""
    tags = tags or {}
    numbers = sorted(set(grains) | set(tags))
    tables = sorted({number // 4096 for number in numbers})
    directory_sectors = max(1, -(-(-(-capacity // (4096 * 8))) // 64))
    directory_sector, tables_sector = 8, 8 + directory_sectors
    grains_sector = tables_sector + 64 * len(tables)
    directory = [0] * (64 * directory_sectors)
    entries, data = {}, bytearray()
    for index, table in enumerate(tables):
        directory[table] = 0x1000000000000000 | index
        entries[table] = [0] * 4096
    for number in numbers:
        if number in tags:
            entries[number // 4096][number % 4096] = tags[number] << 60
            continue
        index = len(data) // 4096
        entries[number // 4096][number % 4096] = ALLOCATED << 60 | (index & 0xfff) << 48 | index >> 12
        data += pad(grains[number], 4096)
    fields = [0xcafebabe, 0x200000001, capacity, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 1, 3, 1, directory_sector, directory_sectors,
              tables_sector, 64 * len(tables), 0, 0, 0, 0, grains_sector, len(data) // SECTOR]
    head = pad(struct.pack("<26Q", *fields)) + pad(struct.pack("<4Q", 0xcafecafe, 0, 0, 0))
    return (pad(head, directory_sector * SECTOR) + struct.pack(f"<{len(directory)}Q", *directory) +
            b"".join(struct.pack("<4096Q", *entries[table]) for table in tables) + data)


def sparse_header(capacity, grain_sectors, directory, overhead, *, version=1, flags=3, redundant=0, compression=0, table_count=512,
                  descriptor_sectors=20):
    return pad(struct.pack("<4sIIQQQQIQQQB4sH", b"KDMV", version, flags, capacity, grain_sectors, 1, descriptor_sectors, table_count,
                           redundant, directory, overhead, 0, b"\n \r\n", compression))


def marker(value, size, kind):
    return pad(struct.pack("<QII", value, size, kind))


def stream(capacity, grain_sectors, grains, *, version=3, footer=True, markers=True, table_count=512, text=None, level=6):
    """A stream-optimized extent: grains, each behind its marker, then tables and directory, and a footer that says where."""
    text = text or descriptor("streamOptimized", [f'RW {capacity} SPARSE "image.vmdk"'])
    flags = 0x30001 if markers else 0x10001
    out = bytearray(bytes(SECTOR) + pad(text, 20 * SECTOR))
    out += bytes(-len(out) % (128 * SECTOR))
    count = -(-capacity // (table_count * grain_sectors))
    entries = {}
    for number in sorted(grains):
        entries[number] = len(out) // SECTOR
        left = capacity - number * grain_sectors
        data = zlib.compress(grains[number].ljust(grain_sectors * SECTOR, b"\0")[:left * SECTOR], level)
        out += pad((struct.pack("<QI", number * grain_sectors, len(data)) if markers else b"") + data)
    directory = []
    for table in range(count):
        numbers = range(table * table_count, (table + 1) * table_count)
        if not any(number in entries for number in numbers):
            directory.append(0)
            continue
        out += marker(-(-table_count * 4 // SECTOR), 0, 1)
        directory.append(len(out) // SECTOR)
        out += pad(struct.pack(f"<{table_count}I", *(entries.get(number, 0) for number in numbers)))
    out += marker(-(-count * 4 // SECTOR), 0, 2)
    directory_sector = len(out) // SECTOR
    out += pad(struct.pack(f"<{count}I", *directory))
    head = sparse_header(capacity, grain_sectors, directory_sector, 128, version=version, flags=flags, compression=1,
                         table_count=table_count)
    if footer:
        out += marker(1, 0, 3) + head + bytes(SECTOR)
        head = sparse_header(capacity, grain_sectors, (1 << 64) - 1, 128, version=version, flags=flags, compression=1,
                             table_count=table_count)
    out[:SECTOR] = head
    return bytes(out)
