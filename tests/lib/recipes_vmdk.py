# SPDX-License-Identifier: Apache-2.0
"""VMDK images: all that qemu-img makes, and what lib/vmdk_writer.py does."""

from lib import vmdk_writer
from lib.recipes import FILE_OPTIONS, GIB, KIB, MIB, Recipe, mixed, source_make

SUBFORMATS = ["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "streamOptimized"]
# Not 0: of what it makes then, qemu-img reads none, and ends by an assertion over a part of it (vmdk_written.py has those of ours).
SIZES = [512, 64 * KIB, 3 * MIB + 512, 40 * MIB]
NAME = "image.vmdk"


def created(size, *options, io=True):
    def make(maker):
        maker.create(NAME, size, *options, format="vmdk")
        if io and size >= MIB:
            maker.io(NAME, *mixed(64 * KIB, size), format="vmdk")
    return make


def converted(subformat, size):
    """Whole grains, as one writes to a stream."""
    def make(maker):
        source_make(maker, 64 * KIB, size)
        maker.convert("source", NAME, "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}")
    return make


def chain(depth, sizes, *options):
    def make(maker):
        below = None
        for level in range(depth, -1, -1):
            name = NAME if level == 0 else f"base{level}.vmdk"
            size = sizes[level % len(sizes)]
            maker.create(name, size, *options, format="vmdk", backing=below, backing_format="vmdk")
            maker.io(name, f"write -P {level + 1} {level * 192 * KIB} 128k", f"write -P 0x77 {size - 512} 512", format="vmdk")
            below = name
    return make


def below_qcow2(maker):
    created(3 * MIB)(maker)
    maker.create("image", 4 * MIB, backing=NAME, backing_format="vmdk")
    maker.io("image", "write -P 9 1M 64k")


def written(files):
    def make(maker):
        for name, content in files.items():
            (maker.directory / name).write_bytes(content)
    return make


def of_extents(create_type, extents, files, **more):
    return written({NAME: vmdk_writer.descriptor(create_type, extents, **more), **files})


def bytes_of(count, seed):
    return bytes((i * i * (2 * seed + 1) >> 7) & 255 for i in range(count))


def foreign():
    """What qemu-img reads and does not make."""
    grain = {number: bytes_of(64 * KIB, number) for number in (0, 1, 5, 40, 511, 512, 700)}
    small = {number: bytes_of(4 * KIB, number) for number in (0, 1, 2, 9, 4095, 4096, 5000)}
    cowd = vmdk_writer.cowd(6000 * 8, 8, small)
    yield "vmfssparse", of_extents("vmfsSparse", ['RW 48000 VMFSSPARSE "image-delta.vmdk"'], {"image-delta.vmdk": cowd})
    yield "cowd_one_sector_grains", of_extents("vmfsSparse", ['RW 9000 SPARSE "image-s001.vmdk"'],
                                               {"image-s001.vmdk": vmdk_writer.cowd(9000, 1, {7: b"x" * 512, 4097: b"y" * 512})})
    yield "vmfs", of_extents("vmfs", ['RW 2048 VMFS "image-flat.vmdk"'], {"image-flat.vmdk": bytes_of(MIB, 3)})
    yield "flat_offsets", of_extents("twoGbMaxExtentFlat", ['RW 1024 FLAT "image-f001.vmdk" 1024', 'RW 8 FLAT "image-f001.vmdk" 0',
                                                            'RW 1000 FLAT "image-f002.vmdk" 24'],
                                     {"image-f001.vmdk": bytes_of(MIB, 4), "image-f002.vmdk": bytes_of(MIB, 5)})
    yield "mixed_extents", of_extents("twoGbMaxExtentSparse", ['RW 8 FLAT "image-f001.vmdk" 0', 'RW 48000 SPARSE "image-s002.vmdk"',
                                                               'RW 24 FLAT "image-f001.vmdk" 8'],
                                      {"image-f001.vmdk": bytes_of(MIB, 6), "image-s002.vmdk": cowd})
    yield "crlf", of_extents("monolithicFlat", ['RW 2048 FLAT "image-flat.vmdk" 0'], {"image-flat.vmdk": bytes_of(MIB, 7)}, end="\r\n")
    yield "sesparse", of_extents("seSparse", ['RW 65536 SESPARSE "image-sesparse.vmdk"'], {
        "image-sesparse.vmdk": vmdk_writer.sesparse(65536, small, {3: vmdk_writer.ZERO, 4: vmdk_writer.UNMAPPED, 6000: 2})})
    yield "sesparse_many", of_extents("seSparse", ['RW 65536 SESPARSE "image-sesparse.vmdk"'], {
        "image-sesparse.vmdk": vmdk_writer.sesparse(65536, {n: bytes([n & 255]) * 4096 for n in range(0, 8192, 7) if n % 97})})
    for version in (1, 2, 3):
        yield f"stream_v{version}", written({NAME: vmdk_writer.stream(128 * 800 - 3, 128, grain, version=version)})
    yield "stream_header", written({NAME: vmdk_writer.stream(128 * 800, 128, grain, footer=False)})
    yield "stream_no_markers", written({NAME: vmdk_writer.stream(128 * 800, 128, {0: bytes(65536), 3: b"q" * 65536}, markers=False)})
    yield "stream_stored", written({NAME: vmdk_writer.stream(128 * 800, 128, grain, level=0)})
    yield "stream_small_grains", written({NAME: vmdk_writer.stream(8 * 6000, 8, small, table_count=128)})
    yield "stream_large_grains", written({NAME: vmdk_writer.stream(4096 * 3 + 100, 4096, {0: b"a" * 2 * MIB, 3: b"b" * 2 * MIB})})
    yield "stream_odd_grains", written({NAME: vmdk_writer.stream(24 * 400, 24, {n: bytes_of(12 * KIB, n) for n in range(0, 400, 3)})})
    yield "stream_extents", of_extents("twoGbMaxExtentSparse", STREAM_LINES, stream_extents(False))


# Two extents of compressed grains of two lengths. Of one with a footer, qemu-img looks for it in the descriptor's file.
STREAM_LINES = ['RW 4800 SPARSE "image-s001.vmdk"', 'RW 12388 SPARSE "image-s002.vmdk"']


def stream_extents(footer):
    small = {n: bytes_of(12 * KIB, n) for n in range(0, 200, 7)}
    large = {1: bytes_of(2 * MIB, 1), 3: b"b" * 2 * MIB}
    return {"image-s001.vmdk": vmdk_writer.stream(24 * 200, 24, small, footer=footer),
            "image-s002.vmdk": vmdk_writer.stream(4096 * 3 + 100, 4096, large, footer=footer)}


def recipes():
    found = []

    def add(name, make, image=NAME, **more):
        found.append(Recipe(f"vmdk_{name}", make, format="vmdk", image=image, **more))

    for subformat in SUBFORMATS:
        for size in SIZES:
            io = subformat != "streamOptimized"
            add(f"{subformat}_{size}", created(size, f"subformat={subformat}", io=io))
        add(f"{subformat}_converted", converted(subformat, 5 * MIB))
    add("two_files", created(2 * GIB + 5 * MIB, "subformat=twoGbMaxExtentSparse"))
    add("two_flat_files", created(2 * GIB + 5 * MIB, "subformat=twoGbMaxExtentFlat"))
    add("large", created(1 << 40, io=False))
    for adapter in ("ide", "lsilogic", "buslogic", "legacyESX"):
        add(f"adapter_{adapter}", created(3 * MIB, f"adapter_type={adapter}"))
    add("file_options", created(3 * MIB, *FILE_OPTIONS))
    add("compat6", created(3 * MIB, "compat6=on"))
    add("hwversion", created(3 * MIB, "hwversion=13", "toolsversion=1"))
    for subformat in ("monolithicSparse", "twoGbMaxExtentSparse"):
        add(f"zeroed_grain_{subformat}", created(5 * MIB, "zeroed_grain=on", f"subformat={subformat}"))
        for depth in (1, 3):
            add(f"chain{depth}_{subformat}", chain(depth, [4 * MIB], f"subformat={subformat}"), chain=True)
    add("chain_growing", chain(2, [6 * MIB, 4 * MIB, 5 * MIB + 512]), chain=True)
    add("chain_shrinking", chain(2, [3 * MIB, 4 * MIB + 512, 5 * MIB]), chain=True)
    add("chain_zeroed_grain", chain(2, [4 * MIB], "zeroed_grain=on"), chain=True)
    add("below_qcow2", below_qcow2, image="image", chain=True)
    for name, make in foreign():
        add(name, make)
    return found
