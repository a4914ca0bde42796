# SPDX-License-Identifier: Apache-2.0
"""What qemu-img cannot make of VHD and VHDX: differencing disks, logs that need replay, fields with any value and sums that fit.

The structures are those of Microsoft's specifications; nothing here is shared with the programs that are tested.
"""

import struct
import uuid

MIB = 1 << 20
SECTOR = 4096
HEADERS = (64 << 10, 128 << 10)
REGION_TABLES = (192 << 10, 256 << 10)
BAT_ID = uuid.UUID("2DC27766-F623-4200-9D64-115E9BFD4A08").bytes_le
METADATA_ID = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
LOCATOR_ITEM = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le
LOCATOR_TYPE = uuid.UUID("B04AEFB7-D19E-4A81-B789-25B8E9445913").bytes_le
LOGICAL_SECTOR_ITEM = uuid.UUID("8141BF1D-A96F-4709-BA47-F233A8FAAB5F").bytes_le
PARAMETERS_ITEM = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def with_sum(data):
    """A VHDX structure with its checksum in bytes 4 to 7."""
    return data[:4] + struct.pack("<I", crc32c(data[:4] + bytes(4) + data[8:])) + data[8:]


class Vhdx:
    def __init__(self, path):
        self.path = path
        self.data = bytearray(path.read_bytes())
        self.log, self.log_length = self.number(HEADERS[0] + 72, 8), self.number(HEADERS[0] + 68, 4)
        self.regions = {}
        for index in range(self.number(REGION_TABLES[0] + 8, 4)):
            entry = REGION_TABLES[0] + 16 + 32 * index
            self.regions[bytes(self.data[entry:entry + 16])] = self.number(entry + 16, 8)
        self.bat, self.metadata = self.regions[BAT_ID], self.regions[METADATA_ID]
        self.items = {}
        for index in range(self.number(self.metadata + 10, 2)):
            entry = self.metadata + 32 + 32 * index
            self.items[bytes(self.data[entry:entry + 16])] = self.metadata + self.number(entry + 16, 4)
        self.block = self.number(self.items[PARAMETERS_ITEM], 4)

    def number(self, offset, length):
        return int.from_bytes(self.data[offset:offset + length], "little")

    def put(self, offset, value, length):
        self.data[offset:offset + length] = (value & ((1 << (8 * length)) - 1)).to_bytes(length, "little")

    def fit_sums(self):
        for start, length in [(header, SECTOR) for header in HEADERS] + [(table, 64 << 10) for table in REGION_TABLES]:
            self.data[start:start + length] = with_sum(bytes(self.data[start:start + length]))

    def save(self, path=None):
        (path or self.path).write_bytes(self.data)

    def linkage(self):
        """What a child knows this image by: the identifier of its data, of the header that counts."""
        header = max(HEADERS, key=lambda start: self.number(start + 8, 8))
        return "{" + str(uuid.UUID(bytes_le=bytes(self.data[header + 32:header + 48]))) + "}"

    def own_length(self, disk_length):
        """Bytes of the disk that are not left to a parent; one chunk only."""
        found = 0
        bits = self.number(self.bat + 8 * ((4 << 30) // self.block), 8) & ~(MIB - 1)
        for start in range(0, disk_length, self.block):
            length = min(self.block, disk_length - start)
            state = self.number(self.bat + 8 * (start // self.block), 8) & 7
            if state == 7:
                first = bits + start // 4096
                found += 512 * sum(bin(byte).count("1") for byte in self.data[first:first + length // 4096])
            elif state in (2, 6):
                found += length
        return found

    def set_log(self, identifier, entries):
        """`entries`: (place in the log, bytes). The log is a ring."""
        for header in HEADERS:
            self.data[header + 48:header + 64] = identifier
        self.fit_sums()
        for place, entry in entries:
            for index in range(0, len(entry), SECTOR):
                start = self.log + (place + index) % self.log_length
                self.data[start:start + SECTOR] = entry[index:index + SECTOR]


def log_entry(identifier, sequence, tail, changes, length, count=None, longer=0):
    """`changes`: (offset, 4096 bytes) or (offset, number of zeros). `length` is the file's, which gets longer by `longer`."""
    descriptors, sectors = b"", b""
    for offset, change in changes:
        if isinstance(change, int):
            descriptors += b"zero" + bytes(4) + struct.pack("<QQQ", change, offset, sequence)
        else:
            descriptors += b"desc" + change[-4:] + change[:8] + struct.pack("<QQ", offset, sequence)
            sectors += (b"data" + struct.pack("<I", sequence >> 32) + change[8:-4] +
                        struct.pack("<I", sequence & 0xffffffff))
    head_length = -(-(64 + len(descriptors)) // SECTOR) * SECTOR
    head = b"loge" + bytes(4) + struct.pack("<IIQII", head_length + len(sectors), tail, sequence,
                                           len(changes) if count is None else count, 0)
    head += identifier + struct.pack("<QQ", length, length + longer)
    return with_sum((head + descriptors).ljust(head_length, b"\0") + sectors)


def make_vhdx_child(path, parent, linkage, name, states):
    """Makes an image a differencing disk. `states`: block -> (state, bits of its sectors, or None)."""
    child = Vhdx(path)
    child.data[child.items[PARAMETERS_ITEM] + 4] |= 2
    texts = [("parent_linkage", linkage), ("relative_path", name)]
    pairs, strings = b"", b""
    start = 20 + 12 * len(texts)
    for text in texts:
        key, value = (part.encode("utf-16-le") for part in text)
        pairs += struct.pack("<IIHH", start + len(strings), start + len(strings) + len(key), len(key), len(value))
        strings += key + value
    locator = LOCATOR_TYPE + struct.pack("<HH", 0, len(texts)) + pairs + strings
    place = 128 << 10  # within the metadata region, behind what qemu-img puts there
    child.data[child.metadata + place:child.metadata + place + len(locator)] = locator
    count = child.number(child.metadata + 10, 2)
    entry = child.metadata + 32 + 32 * count
    child.data[entry:entry + 32] = LOCATOR_ITEM + struct.pack("<IIII", place, len(locator), 4, 0)
    child.put(child.metadata + 10, count + 1, 2)
    ratio = (1 << 23) * 512 // child.block
    bitmap = len(child.data)
    child.data += bytes(MIB)
    child.put(child.bat + 8 * ratio, bitmap | 6, 8)
    for block, (state, sectors) in states.items():
        entry = child.number(child.bat + 8 * block, 8)
        child.put(child.bat + 8 * block, entry & ~7 | state, 8)
        for sector in sectors or ():
            index = block * (child.block // 512) + sector
            child.data[bitmap + index // 8] |= 1 << index % 8
    child.save()
    return child


def vhd_sum(data, place):
    return struct.pack(">I", ~(sum(data) - sum(data[place:place + 4])) & 0xffffffff)


def make_vhd_child(path, parent, name, bitmaps, locator=True):
    """Makes a dynamic VHD a differencing one. `bitmaps`: block -> the sectors that are its own."""
    data = bytearray(path.read_bytes())
    header = int.from_bytes(data[16:24], "big")
    table = int.from_bytes(data[header + 16:header + 24], "big")
    for start in (0, len(data) - 512):
        data[start + 60:start + 64] = struct.pack(">I", 4)
        data[start + 64:start + 68] = vhd_sum(data[start:start + 512], 64)
    data[header + 40:header + 56] = parent.read_bytes()[-512:][68:84]
    text = name.encode("utf-16-be")
    data[header + 64:header + 64 + len(text)] = text
    if locator:
        footer = data[-512:]
        place, text = len(data) - 512, (".\\" + name).encode("utf-16-le")
        data[-512:] = text.ljust(512, b"\0") + footer
        data[header + 576:header + 600] = b"W2ru" + struct.pack(">IIIQ", 512, len(text), 0, place)
    data[header + 36:header + 40] = vhd_sum(data[header:header + 1024], 36)
    for block, sectors in bitmaps.items():
        start = 512 * int.from_bytes(data[table + 4 * block:table + 4 * block + 4], "big")
        data[start:start + 512] = bytes(512)
        for sector in sectors:
            data[start + sector // 8] |= 0x80 >> sector % 8
    path.write_bytes(data)
