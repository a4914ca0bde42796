# SPDX-License-Identifier: Apache-2.0
"""Images of qcow2 to be damaged at random, where a check looks."""

from lib import recipes

MIB = 1 << 20
OFFSET = 0x00fffffffffffe00
COPIED, COMPRESSED, ZERO = 1 << 63, 1 << 62, 1


class Image:
    """The bytes of an image, and where its tables are."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.cluster = 1 << self.number(20, 4)

    def number(self, offset, length=8):
        return int.from_bytes(self.data[offset:offset + length], "big")

    def put(self, offset, value, length=8):
        self.data[offset:offset + length] = value.to_bytes(length, "big")

    def l1_tables(self):
        """(offset, entries) of the active one and of those of snapshots."""
        yield self.number(40), self.number(36, 4)
        offset = self.number(64)
        for _ in range(self.number(60, 4)):
            offset = (offset + 7) // 8 * 8
            yield self.number(offset), self.number(offset + 8, 4)
            offset += 40 + self.number(offset + 36, 4) + self.number(offset + 12, 2) + self.number(offset + 14, 2)

    def l2_tables(self):
        for offset, count in self.l1_tables():
            tables = (self.number(offset + 8 * i) & OFFSET for i in range(count))
            yield from (table for table in tables if 0 < table <= len(self.data) - self.cluster)

    def places(self):
        """(offset, length) of what to damage."""
        found = [(offset + 8 * i, 8) for offset, count in self.l1_tables() for i in range(min(count, 64))]
        found += [(table + 8 * i, 8) for table in self.l2_tables() for i in range(min(self.cluster // 8, 200))]
        table = self.number(48)
        found += [(table + 8 * i, 8) for i in range(4)] * 4
        found += [(self.number(table) + i, 1) for i in range(min(self.cluster, 300))]
        if self.number(60, 4):
            found += [(self.number(64) + i, length) for i, length in ((0, 8), (8, 4), (12, 2), (36, 4))] * 4
        return found

    def bad_value(self, dice, offset, length):
        old, top = self.number(offset, length), (1 << (8 * length)) - 1
        if length < 8:
            return dice.choice((0, 1, top, old ^ 1, (old + 1) & top, dice.getrandbits(8 * length)))
        place = dice.randrange(len(self.data) // self.cluster + 3) * self.cluster
        return dice.choice((
            0, dice.getrandbits(64), old ^ 1 << dice.randrange(64), old ^ COPIED, old | COMPRESSED, old | ZERO,
            old & ~OFFSET | place, place | COPIED, place | COMPRESSED | dice.randrange(256) << 54,
            (old + self.cluster) & top, old & ~OFFSET | dice.getrandbits(56) & OFFSET,
            len(self.data) - 512 * dice.randrange(4)))


def small_clusters(bits):
    def make(maker):
        maker.create("image", MIB, "cluster_size=1k", f"refcount_bits={bits}")
        writes = ["write 0 64k", "write 200k 30k", "write -z 300k 10k", "write -c 400k 1k"]
        maker.io("image", *writes)
        if bits > 1:
            maker.run("/usr/bin/qemu-img", "snapshot", "-c", "first", "image")
            maker.io("image", writes[0])
            maker.run("/usr/bin/qemu-img", "snapshot", "-c", "second", "image")
            maker.io("image", writes[1])
    return make


def subclusters(maker):
    maker.create("image", 4 * MIB, "extended_l2=on", "cluster_size=16k")
    maker.io("image", "write 0 256k", "write 1M 2k", "write -z 2M 6k", "write -c 3M 16k")
    maker.run("/usr/bin/qemu-img", "snapshot", "-c", "first", "image")
    maker.io("image", "write 32k 64k")


def data_file(maker):
    maker.create("image", 4 * MIB, "cluster_size=4k", "data_file=image.data")
    maker.io("image", "write 0 256k", "write 1M 2k", "write -z 2M 64k")


DAMAGED = {f"refcount{bits}": small_clusters(bits) for bits in (1, 2, 4, 8, 16, 32, 64)} | {
    "subclusters": subclusters, "data_file": data_file, "bitmaps": recipes.bitmaps,
    "version2": recipes.snapshots(["compat=0.10"]),
}


def damage(dice, good):
    """The image with one to four wrong values, and what they are; sometimes cut short."""
    image = Image(good)
    places = image.places()
    changes = []
    for _ in range(dice.choice((1, 1, 2, 4))):
        offset, length = dice.choice(places)
        value = image.bad_value(dice, offset, length)
        image.put(offset, value, length)
        changes.append(f"{offset:#x} = {value:#x}")
    cut = dice.randrange(len(good)) if dice.randrange(12) == 0 else len(good)
    return image.data[:cut], f"{', '.join(changes)}, cut at {cut:#x}"
