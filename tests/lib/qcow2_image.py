# SPDX-License-Identifier: Apache-2.0
"""qcow2 images to damage: where they have what, read as simply as can be, and what to put there."""

from lib import recipes

KIB, MIB = 1 << 10, 1 << 20

# The header's fields: name, offset, length (qcow2 specification, "Header").
HEADER = [
    ("magic", 0, 4), ("version", 4, 4), ("backing_file_offset", 8, 8), ("backing_file_size", 16, 4),
    ("cluster_bits", 20, 4), ("size", 24, 8), ("crypt_method", 32, 4), ("l1_size", 36, 4),
    ("l1_table_offset", 40, 8), ("refcount_table_offset", 48, 8), ("refcount_table_clusters", 56, 4),
    ("nb_snapshots", 60, 4), ("snapshots_offset", 64, 8), ("incompatible_features", 72, 8),
    ("compatible_features", 80, 8), ("autoclear_features", 88, 8), ("refcount_order", 96, 4),
    ("header_length", 100, 4), ("compression_type", 104, 1), ("padding", 105, 7),
    ("first_extension_type", 112, 4), ("first_extension_length", 116, 4),
]


def bad_values(length, old):
    """Bad values for a field of `length` bytes that has the value `old`."""
    top = (1 << (8 * length)) - 1
    wanted = (0, top, top >> 1, old ^ 1, old ^ 512, old * 2)
    return sorted({value & top for value in wanted} - {old})


class Tables:
    """Where an image of qemu-img's has its tables, read as simply as can be."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.cluster = 1 << self.number(20, 4)
        self.l1, self.l1_entries = self.number(40, 8), self.number(36, 4)
        self.refcounts = self.number(48, 8)
        self.snapshots = self.number(64, 8) if self.number(60, 4) else None
        self.l2 = [self.number(self.l1 + 8 * i, 8) & 0x00fffffffffffe00 for i in range(self.l1_entries)]
        self.l2 = [offset for offset in self.l2 if offset]

    def number(self, offset, length):
        """Behind the end of the file there are zeros."""
        return int.from_bytes(self.data[offset:offset + length].ljust(length, b"\0"), "big")

    def entries(self):
        """(name, offset, length) of entries worth damaging."""
        found = [("l1[0]", self.l1, 8), ("l1[last]", self.l1 + 8 * (self.l1_entries - 1), 8)]
        for table in self.l2[:2]:
            found += [(f"l2_{table:x}[{i}]", table + 8 * i, 8) for i in (0, 1, 2, 7, self.cluster // 8 - 1)]
        block = self.number(self.refcounts, 8)
        found += [("refcount_table[0]", self.refcounts, 8), ("refcount_table[1]", self.refcounts + 8, 8)]
        found += [(f"refcount[{i}]", block + 2 * i, 2) for i in (0, 1, 3, 5)]
        if self.snapshots is not None:
            found += [(f"snapshot+{i}", self.snapshots + i, n)
                      for i, n in ((0, 8), (8, 4), (12, 2), (14, 2), (32, 4), (36, 4), (40, 8), (48, 8))]
        return found

    def is_cut_short(self):
        """Whether a cluster of the active disk, or an L2 table of it, begins behind the end of the file."""
        extended = self.number(20, 4) and self.number(4, 4) >= 3 and self.number(72, 8) & 16
        entry_length = 16 if extended else 8
        per_table = self.cluster // entry_length
        clusters = -(-self.number(24, 8) // self.cluster)
        end = len(self.data)
        off_bits = 62 - (self.number(20, 4) - 8)
        if self.l1_entries and self.l1 >= end:
            return True
        for index in range(min(self.l1_entries, -(-clusters // per_table))):
            table = self.number(self.l1 + 8 * index, 8) & 0x00fffffffffffe00
            if table >= end:
                return True
            for i in range(min(per_table, clusters - index * per_table) if table else 0):
                entry = self.number(table + i * entry_length, 8)
                bitmap = self.number(table + i * entry_length + 8, 8) if extended else 0
                offset = entry & 0x00fffffffffffe00
                if entry >> 62 & 1:
                    offset = entry & (1 << off_bits) - 1
                elif bitmap & 0xffffffff == 0 if extended else entry & 1:
                    continue
                if offset >= end:
                    return True
        return False

    def cuts(self):
        """Lengths at which to cut the file off."""
        starts = [0, 4, 72, 104, self.l1, self.refcounts, self.number(self.refcounts, 8), *self.l2,
                  len(self.data) - self.cluster]
        if self.snapshots is not None:
            starts.append(self.snapshots)
        return sorted({start + more for start in starts for more in (0, 1, 8, 511)
                       if 0 <= start + more < len(self.data)})


def small(maker):
    maker.create("image", MIB, "cluster_size=512")
    maker.io("image", "write -P 1 0 8k", "write -P 2 100k 512", "write -z 200k 4k")


def usual(maker):
    maker.create("image", 4 * MIB)
    maker.io("image", "write -P 1 0 256k", "write -P 2 1M 64k", "write -z 2M 128k")


def subclusters(maker):
    maker.create("image", 4 * MIB, "extended_l2=on", "cluster_size=32k")
    maker.io("image", "write -P 1 0 256k", "write -P 2 1M 2k", "write -z 2M 6k")


def packed(maker):
    recipes.compressed(["compression_type=zlib"], 64 * KIB)(maker)


def packed_zstd(maker):
    recipes.compressed(["compression_type=zstd"], 64 * KIB)(maker)


def version2(maker):
    maker.create("image", 2 * MIB, "compat=0.10", "cluster_size=4k")
    maker.io("image", "write -P 1 0 64k")


BASES = {
    "small": small, "usual": usual, "subclusters": subclusters, "zlib": packed, "zstd": packed_zstd,
    "version2": version2, "snapshots": recipes.snapshots(), "bitmaps": recipes.bitmaps,
    "backing": recipes.chain(1, [4 * MIB]),
}
