# SPDX-License-Identifier: Apache-2.0
"""Small images of long disks: a million stretches of the disk are led to the same tables, and these to the same clusters.
No honest writer makes such; readers that look at each stretch, or print a line for each, do not come to an end.

Each maker takes the length of the disk and `pattern`, the number of a table for each stretch, repeated over the disk
(None: no table). Table 0 says of all clusters that they are data cluster 0; of table n, every other entry says cluster
n % 2, and the rest nothing.
"""

import struct
import subprocess

from lib import vhd_images

CONTENT = (b"\x11", b"\x22")
ALLOCATED = 1 << 63  # a sound image of qcow2 says COPIED of a cluster that is used once, which these are not


def entries(table, count, clusters):
    pattern = [clusters[0]] if table == 0 else [clusters[table % 2]] + [0] * table
    return (pattern * (count // len(pattern) + 1))[:count]


def stretches(pattern, count):
    return (list(pattern) * (count // len(pattern) + 1))[:count]


def table_count_of(l1):
    return max((table for table in l1 if table is not None), default=-1) + 1


class Content:
    """What tables say: `clusters` are contents, and each of `tables` has, for its first entries, the number of one,
    ZERO, or None. What is behind these entries is None."""

    ZERO = "zero"

    def __init__(self, clusters, tables):
        self.clusters, self.tables = clusters, tables

    def words(self, table, count, places, zero=0):
        words = [0 if entry is None else zero if entry == self.ZERO else places[entry] for entry in self.tables[table]]
        return (words + [0] * count)[:count]


class Usual:
    """Without a Content: as the head of this file says, by entries()."""

    clusters = CONTENT

    @staticmethod
    def words(table, count, places, zero=0):
        return entries(table, count, places)


def qcow2(path, length, pattern=(0,), bits=16, content=Usual, backing=None, snapshot=None):
    """`backing`: name and format; `snapshot`: the pattern of one, which has the name "snapshot"."""
    cluster = 1 << bits
    per_table = cluster // 8
    l1_count = -(-length // (cluster * per_table))
    l1 = stretches(pattern, l1_count)
    older = stretches(snapshot, l1_count) if snapshot else []
    table_count = table_count_of(l1 + older)
    clusters = [(3 + i) * cluster for i in range(len(content.clusters))]
    tables_off = (3 + len(clusters)) * cluster
    l1_off = tables_off + table_count * cluster
    older_off = l1_off + -(-l1_count * 8 // cluster) * cluster
    snapshots_off = older_off + -(-len(older) * 8 // cluster) * cluster if older else 0
    used = min(max(l1_off + l1_count * 8, snapshots_off) // cluster + 1, cluster // 2)  # that a block has: who reads needs none
    name, extension = b"", b""
    if backing:
        name, kind = backing[0].encode(), backing[1].encode()
        extension = struct.pack(">II", 0xE2792ACA, len(kind)) + kind + bytes(-len(kind) % 8)
    extension += bytes(8)
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 104 + len(extension) if backing else 0, len(name), bits, length, 0,
                         l1_count, l1_off, cluster, 1, 1 if older else 0, snapshots_off, 0, 0, 0, 4, 104)
    with open(path, "wb") as file:
        file.write(header + extension + name)
        file.seek(cluster)
        file.write(struct.pack(">Q", 2 * cluster))
        file.seek(2 * cluster)
        file.write(struct.pack(">H", 1) * used)
        for place, data in zip(clusters, content.clusters):
            file.seek(place)
            file.write(data * (cluster // len(data)))
        for table in range(table_count):
            file.seek(tables_off + table * cluster)
            file.write(struct.pack(f">{per_table}Q", *content.words(table, per_table, clusters, 1)))
        for off, tables in ((l1_off, l1), (older_off, older)):
            file.seek(off)
            file.write(struct.pack(f">{len(tables)}Q", *(0 if table is None else tables_off + table * cluster for table in tables)))
        if older:
            file.seek(snapshots_off)
            file.write(struct.pack(">QIHHIIQII", older_off, l1_count, 1, 8, 0, 0, 0, 0, 16) + struct.pack(">QQ", 0, length) +
                       b"1snapshot")
            file.truncate(-(-file.tell() // cluster) * cluster)


def qed(path, length, pattern=(0,), bits=16, table_clusters=4, content=Usual, backing=None):
    cluster = 1 << bits
    per_table = cluster * table_clusters // 8
    l1_count = -(-length // (cluster * per_table))
    if l1_count > per_table:
        raise ValueError("the disk is too long")
    l1 = stretches(pattern, l1_count)
    table_count = table_count_of(l1)
    l1_off = cluster
    clusters = [l1_off + cluster * (table_clusters + i) for i in range(len(content.clusters))]
    tables_off = l1_off + cluster * (table_clusters + len(clusters))
    name = backing[0].encode() if backing else b""
    features = 1 | (4 if backing[1] == "raw" else 0) if backing else 0
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIIIQQQQQII", b"QED\0", cluster, table_clusters, 1, features, 0, 0, l1_off, length, 64,
                               len(name)) + name)
        file.seek(l1_off)
        file.write(struct.pack(f"<{l1_count}Q", *(0 if table is None else tables_off + table * cluster * table_clusters
                                                   for table in l1)))
        for place, data in zip(clusters, content.clusters):
            file.seek(place)
            file.write(data * (cluster // len(data)))
        for table in range(table_count):
            file.seek(tables_off + table * cluster * table_clusters)
            file.write(struct.pack(f"<{per_table}Q", *content.words(table, per_table, clusters, 1)))
        file.truncate(max(tables_off + table_count * cluster * table_clusters, file.tell()))


def qcow(path, length, pattern=(0,), bits=16, content=Usual):
    """QEMU's older format: an L2 table fills a cluster, as QEMU makes them."""
    cluster = 1 << bits
    per_table = cluster // 8
    l1_count = -(-length // (cluster * per_table))
    l1 = stretches(pattern, l1_count)
    clusters = [(1 + i) * cluster for i in range(len(content.clusters))]
    tables_off = (1 + len(clusters)) * cluster
    table_count = table_count_of(l1)
    l1_off = tables_off + table_count * cluster
    with open(path, "wb") as file:
        file.write(struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, 0, 0, 0, length, bits, bits - 3, 0, 0, l1_off))
        for place, data in zip(clusters, content.clusters):
            file.seek(place)
            file.write(data * (cluster // len(data)))
        for table in range(table_count):
            file.seek(tables_off + table * cluster)
            file.write(struct.pack(f">{per_table}Q", *content.words(table, per_table, clusters)))
        file.seek(l1_off)
        file.write(struct.pack(f">{l1_count}Q", *(0 if table is None else tables_off + table * cluster for table in l1)))


def vmdk(path, length, pattern=(0,), grain_sectors=128, content=Usual):
    """One sparse extent of VMware's old kind (COWD), with tables of 4096 grains."""
    per_table, sector = 4096, 512
    count = -(-length // (per_table * grain_sectors * sector))
    directory = stretches(pattern, count)
    table_count = table_count_of(directory)
    first_table = 4 + -(-count * 4 // sector)
    first_grain = first_table + table_count * per_table * 4 // sector
    clusters = [first_grain + i * grain_sectors for i in range(len(content.clusters))]
    with open(path, "wb") as file:
        file.write(struct.pack("<4s10I", b"COWD", 1, 3, length // sector, grain_sectors, 4, count,
                               first_grain + len(clusters) * grain_sectors, 0, 0, 0))
        file.seek(sector)
        file.write(b"# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n")  # where QEMU wants it
        file.seek(4 * sector)
        file.write(struct.pack(f"<{count}I", *(0 if table is None else first_table + table * per_table * 4 // sector
                                               for table in directory)))
        for table in range(table_count):
            file.seek((first_table + table * per_table * 4 // sector) * sector)
            file.write(struct.pack(f"<{per_table}I", *content.words(table, per_table, clusters)))
        for place, data in zip(clusters, content.clusters):
            file.seek(place * sector)
            file.write(data * (grain_sectors * sector // len(data)))


def vhdx(path, length, pattern=(0,)):
    """A block of 1 MiB for each stretch: table n is block n % 2."""
    subprocess.run(["/usr/bin/qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=1M", path, str(length)], check=True)
    image = vhd_images.Vhdx(path)
    start = len(image.data)
    blocks = -(-length // vhd_images.MIB)
    chunk = (1 << 23) * 512 // vhd_images.MIB
    for block, table in enumerate(stretches(pattern, blocks)):
        if table is not None:
            image.put(image.bat + 8 * (block + block // chunk), start + table % 2 * vhd_images.MIB | 6, 8)
    for content in CONTENT:
        image.data += content * vhd_images.MIB
    image.save()


def vdi(path, length):
    """Every block of 1 MiB of the disk is the only one of the file, whose map takes no storage."""
    subprocess.run(["/usr/bin/qemu-img", "create", "-q", "-f", "vdi", path, "1M"], check=True)
    with open(path, "r+b") as file:
        head = file.read(512)
        map_off, _ = struct.unpack_from("<II", head, 0x154)
        block_count = -(-length // vhd_images.MIB)
        data_off = -(-(map_off + 4 * block_count) // 512) * 512
        file.seek(0x158)
        file.write(struct.pack("<I", data_off))
        file.seek(0x170)
        file.write(struct.pack("<Q", length))
        file.seek(0x180)
        file.write(struct.pack("<II", block_count, 1))  # the latter: blocks that have a place
        file.truncate(map_off)
        file.seek(data_off)
        file.write(CONTENT[0] * vhd_images.MIB)


def parallels(path, length):
    """Every cluster of 1 MiB of the disk is the only one of the file."""
    subprocess.run(["/usr/bin/qemu-img", "create", "-q", "-f", "parallels", path, str(length)], check=True)
    with open(path, "r+b") as file:
        head = file.read(64)
        tracks, count = struct.unpack_from("<II", head, 28)
        start = -(-(64 + 4 * count) // (tracks * 512)) * tracks
        is_extended = head.startswith(b"WithouFreSpacExt")
        file.seek(64)
        file.write(struct.pack("<I", start // tracks if is_extended else start) * count)
        file.seek(48)
        file.write(struct.pack("<I", start))
        file.seek(start * 512)
        file.write(CONTENT[0] * (tracks * 512))


MAKERS = {"qcow2": qcow2, "qcow": qcow, "qed": qed, "vmdk": vmdk, "vhdx": vhdx}
# Of these formats a table has a line for each block, and who looks at each is at work for long.
BLOCK_MAKERS = {"vdi": vdi, "parallels": parallels}
