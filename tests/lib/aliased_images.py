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


def qcow2(path, length, pattern=(0,), bits=16):
    cluster = 1 << bits
    per_table = cluster // 8
    l1_count = -(-length // (cluster * per_table))
    l1 = stretches(pattern, l1_count)
    table_count = max(table for table in l1 if table is not None) + 1
    clusters, tables_off = [3 * cluster, 4 * cluster], 5 * cluster
    l1_off = tables_off + table_count * cluster
    used = l1_off // cluster + -(-l1_count * 8 // cluster)
    if used > cluster // 2:
        used = cluster // 2  # what a refcount block has: nobody who reads needs it
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, bits, length, 0, l1_count, l1_off, cluster, 1, 0, 0,
                         0, 0, 0, 4, 104)
    with open(path, "wb") as file:
        file.write(header)
        file.seek(cluster)
        file.write(struct.pack(">Q", 2 * cluster))
        file.seek(2 * cluster)
        file.write(struct.pack(">H", 1) * used)
        for place, content in zip(clusters, CONTENT):
            file.seek(place)
            file.write(content * cluster)
        for table in range(table_count):
            file.seek(tables_off + table * cluster)
            file.write(struct.pack(f">{per_table}Q", *entries(table, per_table, clusters)))
        file.seek(l1_off)
        file.write(struct.pack(f">{l1_count}Q", *(0 if table is None else tables_off + table * cluster for table in l1)))


def qed(path, length, pattern=(0,), bits=16, table_clusters=4):
    cluster = 1 << bits
    per_table = cluster * table_clusters // 8
    l1_count = -(-length // (cluster * per_table))
    if l1_count > per_table:
        raise ValueError("the disk is too long")
    l1 = stretches(pattern, l1_count)
    table_count = max(table for table in l1 if table is not None) + 1
    l1_off = cluster
    clusters = [l1_off + cluster * table_clusters, l1_off + cluster * (table_clusters + 1)]
    tables_off = clusters[1] + cluster
    with open(path, "wb") as file:
        file.write(struct.pack("<4sIIIQQQQQ", b"QED\0", cluster, table_clusters, 1, 0, 0, 0, l1_off, length))
        file.seek(l1_off)
        file.write(struct.pack(f"<{l1_count}Q", *(0 if table is None else tables_off + table * cluster * table_clusters
                                                   for table in l1)))
        for place, content in zip(clusters, CONTENT):
            file.seek(place)
            file.write(content * cluster)
        for table in range(table_count):
            file.seek(tables_off + table * cluster * table_clusters)
            file.write(struct.pack(f"<{per_table}Q", *entries(table, per_table, clusters)))


def vmdk(path, length, pattern=(0,), grain_sectors=128):
    """One sparse extent of VMware's old kind (COWD), with tables of 4096 grains."""
    per_table, sector = 4096, 512
    count = -(-length // (per_table * grain_sectors * sector))
    directory = stretches(pattern, count)
    table_count = max(table for table in directory if table is not None) + 1
    first_table = 4 + -(-count * 4 // sector)
    first_grain = first_table + table_count * per_table * 4 // sector
    clusters = [first_grain, first_grain + grain_sectors]
    with open(path, "wb") as file:
        file.write(struct.pack("<4s10I", b"COWD", 1, 3, length // sector, grain_sectors, 4, count,
                               first_grain + 2 * grain_sectors, 0, 0, 0))
        file.seek(4 * sector)
        file.write(struct.pack(f"<{count}I", *(0 if table is None else first_table + table * per_table * 4 // sector
                                               for table in directory)))
        for table in range(table_count):
            file.seek((first_table + table * per_table * 4 // sector) * sector)
            file.write(struct.pack(f"<{per_table}I", *entries(table, per_table, clusters)))
        for place, content in zip(clusters, CONTENT):
            file.seek(place * sector)
            file.write(content * (grain_sectors * sector))


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


MAKERS = {"qcow2": qcow2, "qed": qed, "vmdk": vmdk, "vhdx": vhdx}
