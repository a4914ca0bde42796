# SPDX-License-Identifier: Apache-2.0
"""VHD and VHDX: what the matrix of recipes does not have. Differencing disks, logs, foreign and damaged images."""

import hashlib
import random
import shutil
import uuid

from lib import daily, recipes, vhd_images
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
# Of those that are damaged.
FIELDS_PER_DAY = 3
BESIDE = "--backing=beside"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def converted(context, program, image, *options):
    """The disk's content, or None when there is none."""
    target = context.directory / "converted.raw"
    target.unlink(missing_ok=True)
    done = context.run([program, "convert", *options, "-O", "raw", image, target.name])
    if done.status != 0:
        if target.exists() and program != REFERENCE:
            raise Failure(done.describe("left an output"))
        return None
    return target.read_bytes()


def pattern(byte, length):
    return bytes([byte]) * length


def make(context, name, size, format, *commands, options=()):
    maker = recipes.Maker(context.directory)
    maker.create(name, size, *options, format=format)
    if commands:
        maker.io(name, *commands, format=format)
    return context.directory / name


def expect_disk(context, image, wanted, *options):
    found = converted(context, context.qemu_img, image, *options)
    if found != wanted:
        at = None if found is None else next((i for i in range(len(wanted)) if found[i:i + 1] != wanted[i:i + 1]), None)
        raise Failure(f"{image}: another content, from {at} on")


def expect_foreign_refused(context, child, parent, driver, *options):
    """Whatever another disk has where the parent was: data, nothing, or an end."""
    for length, *writes in ((8 * MIB, "write -P 3 0 5M"), (8 * MIB,), (MIB,)):
        make(context, parent, length, driver, *writes)
        if converted(context, context.qemu_img, child, *options, BESIDE) is not None:
            raise Failure(f"read with a parent that is not its own, of {length} bytes {writes}")


@test(cases=["locator", "name"], timeout=60)
def vhd_differencing(context, case):
    """A child shows its own sectors and the parent's; without the parent it is not read."""
    options = ("-f", "vpc")
    parent = make(context, "parent.vhd", 8 * MIB, "vpc", "write -P 1 0 5M")
    child = make(context, "child.vhd", 8 * MIB, "vpc", "write -P 2 2M 2M")
    parent_disk = converted(context, REFERENCE, "parent.vhd", *options)
    own = list(range(0, 7)) + [9] + list(range(1000, 4096))
    vhd_images.make_vhd_child(child, parent, "parent.vhd", {1: own}, locator=case == "locator")
    wanted = bytearray(parent_disk)
    for sector in own:
        start = 2 * MIB + 512 * sector
        wanted[start:start + 512] = pattern(2, 512)
    expect_disk(context, "child.vhd", bytes(wanted), *options, BESIDE)
    context.run([context.qemu_img, "check", *options, "child.vhd"]).expect()
    parent.rename(context.directory / "elsewhere.vhd")
    if converted(context, context.qemu_img, "child.vhd", *options, BESIDE) is not None:
        raise Failure("read without its parent")
    expect_foreign_refused(context, "child.vhd", "parent.vhd", "vpc", *options)


@test(timeout=60)
def vhdx_differencing(context):
    parent = make(context, "parent.vhdx", 8 * MIB, "vhdx", "write -P 1 0 6M", options=("block_size=1M",))
    child = make(context, "child.vhdx", 8 * MIB, "vhdx", "write -P 2 0 4M", options=("block_size=1M",))
    linkage = vhd_images.Vhdx(parent).linkage()
    parent_disk = converted(context, REFERENCE, "parent.vhdx")
    own = [0, 1, 5, 6, 7, 8, 9, 2047]
    vhd_images.make_vhdx_child(child, parent, linkage, ".\\parent.vhdx",
                               {1: (7, own), 2: (0, None), 3: (2, None), **{block: (0, None) for block in range(4, 8)}})
    wanted = bytearray(parent_disk)
    wanted[0:MIB] = pattern(2, MIB)
    for sector in own:
        wanted[MIB + 512 * sector:MIB + 512 * (sector + 1)] = pattern(2, 512)
    wanted[3 * MIB:4 * MIB] = bytes(MIB)
    wanted[7 * MIB:] = parent_disk[7 * MIB:]
    expect_disk(context, "child.vhdx", bytes(wanted), BESIDE)
    context.run([context.qemu_img, "check", "child.vhdx"]).expect()
    expect_foreign_refused(context, "child.vhdx", "parent.vhdx", "vhdx")


ID, STALE_ID = uuid.UUID(int=7).bytes_le, uuid.UUID(int=8).bytes_le


def logs(image):
    """Name -> (place, entry) of logs. The file has lost what they say, or never had it."""
    length, block = len(image.data), image.number(image.bat, 8) & ~(MIB - 1)
    table = bytes(image.data[image.bat:image.bat + 4096])
    other = bytes(range(256)) * 16
    last = image.log_length - 8192

    def entry(sequence, tail, *changes, identifier=ID, **options):
        return vhd_images.log_entry(identifier, sequence, tail, changes, length, **options)

    restore = (image.bat, table)
    behind = bytearray(table)  # the second block, where the file ends
    # qemu-img 7.2 makes the file longer only when that is no multiple of 1 MiB: 4096 bytes more than the block has.
    behind[8:16] = (length | 6).to_bytes(8, "little")
    broken = bytearray(entry(6, 0, (block, other)))
    broken[-100] ^= 1
    return {
        "one_entry": [(0, entry(5, 0, restore))],
        "payload": [(0, entry(5, 0, restore, (block + 8192, other), (block + 16384, 12288)))],
        "later_wins": [(0, entry(5, 0, restore, (block, other))), (12288, entry(6, 0, (block, 8192))),
                       (16384, entry(7, 0, (block + 4096, other)))],
        "around_the_end": [(last, entry(9, last, restore)), (0, entry(10, last, (block + 4096, other)))],
        "other_identifier": [(0, entry(5, 0, restore)), (8192, entry(6, 0, (block, other), identifier=STALE_ID))],
        "last_is_torn": [(0, entry(5, 0, restore)), (8192, bytes(broken))],
        "two_sequences": [(0, entry(5, 0, restore)), (65536, entry(105, 65536, restore, (block, other)))],
        "many_zeros": [(0, entry(5, 0, restore, *[(block + 8192 * i, 4096) for i in range(100)]))],
        "longer_file": [(0, entry(5, 0, (image.bat, bytes(behind)), (length + 8192, other), longer=image.block + 4096))],
        "empty": [(0, entry(5, 0))],
        "old_tail": [(0, entry(5, 0, (image.bat, bytes(4096)))), (8192, entry(6, 8192, restore))],
    }


LOGS = ["one_entry", "payload", "later_wins", "around_the_end", "other_identifier", "last_is_torn", "two_sequences",
        "many_zeros", "empty", "old_tail", "longer_file"]


@test(cases=daily.sample("vhd vhdx_log", LOGS, 3), timeout=60)
def vhdx_log(context, case):
    """A log is replayed in memory, with qemu-img's result; the file stays as it is."""
    path = make(context, "image.vhdx", 16 * MIB, "vhdx", "write -P 1 0 3M", "write -P 2 9M 1M")
    disk = converted(context, REFERENCE, "image.vhdx")
    image = vhd_images.Vhdx(path)
    entries = logs(image)[case]
    image.data[image.bat:image.bat + 4096] = bytes(4096)
    image.set_log(ID, entries)
    image.save()
    before = digest(path)
    shutil.copy(path, context.directory / "replayed.vhdx")
    context.run([REFERENCE, "check", "-r", "all", "replayed.vhdx"])
    wanted = converted(context, REFERENCE, "replayed.vhdx")
    if wanted is None:
        raise Failure("qemu-img does not read what it has replayed")
    if case == "around_the_end":  # qemu-img 7.2 loses the entries before the end of the ring
        wanted = disk[:4096] + bytes(range(256)) * 16 + disk[8192:]
    expect_disk(context, "image.vhdx", wanted)
    info = context.run([context.qemu_img, "info", "image.vhdx"]).expect()
    if "log replayed in memory: true" not in info.stdout:
        raise Failure(info.describe("does not tell of the log"))
    if digest(path) != before:
        raise Failure("the file has changed")
    context.run([context.qemu_img, "check", "-r", "all", "image.vhdx"]).expect()
    if converted(context, REFERENCE, "image.vhdx") != wanted:  # which refuses what needs a replay
        raise Failure("the log is replayed otherwise into the file")


@test(timeout=300, weight=2)
def vhdx_log_lies(context):
    """Counts, lengths and places that cannot be: refused, or no entry of the log, as in qemu-img."""
    path = make(context, "image.vhdx", 16 * MIB, "vhdx", "write -P 1 0 3M")
    image = vhd_images.Vhdx(path)
    entry = vhd_images.log_entry(ID, 5, 0, [(image.bat, bytes(4096)), (4 * MIB, 8192)], len(image.data))
    # Of the head: length, tail, number, count, file lengths; of descriptors: signature, length, place, number.
    fields = [(8, 4), (12, 4), (16, 8), (24, 4), (48, 8), (64, 4), (80, 8), (88, 8), (96, 4), (104, 8), (112, 8),
              (120, 8), (4096, 4), (4100, 4), (8188, 4)]
    for offset, length in daily.sample("vhdx log lies", fields, FIELDS_PER_DAY):
        for value in (0, 4096, (1 << 32) - 1, (1 << 63) - 4096):
            damaged = bytearray(entry)
            damaged[offset:offset + length] = (value & ((1 << 8 * length) - 1)).to_bytes(length, "little")
            image.set_log(ID, [(0, vhd_images.with_sum(bytes(damaged)))])
            image.save()
            before = digest(path)
            found = converted(context, context.qemu_img, "image.vhdx")
            if found is not None:
                shutil.copy(path, context.directory / "replayed.vhdx")
                context.run([REFERENCE, "check", "-r", "all", "replayed.vhdx"])
                if found != converted(context, REFERENCE, "replayed.vhdx"):
                    raise Failure(f"field {offset}, value {value}: another content than qemu-img's")
            if digest(path) != before:
                raise Failure(f"field {offset}, value {value}: the file has changed")


def damage(context, case, path, put, fields, options=()):
    """Puts values into fields. Whoever reads what qemu-img reads has the same content; what qemu-img refuses is refused."""
    stricter = []
    for field in daily.sample(f"vhd damage {case}", fields, FIELDS_PER_DAY):
        for value in (0, 1, (1 << 64) - 1, 1 << 31, 0x10001, random.Random(repr((case, field))).getrandbits(64)):
            put(field, value)
            before = digest(path)
            own = converted(context, context.qemu_img, path.name, *options)
            reference = converted(context, REFERENCE, path.name, *options)
            if own is None and reference is not None:
                stricter.append((field, value))
            elif own != reference:
                raise Failure(f"field {field}, value {value:#x}: read, and not as qemu-img does")
            if digest(path) != before:
                raise Failure(f"field {field}, value {value:#x}: the file has changed")
    return stricter


@test(timeout=300, weight=2)
def vhd_fields(context):
    """Every field of footer, header and table; ours is stricter in nothing."""
    path = make(context, "image.vhd", 6 * MIB, "vpc", "write -P 1 1M 3M")
    good = path.read_bytes()
    fields = [(0, start, length) for start, length in
              ((0, 8), (8, 4), (12, 4), (16, 8), (24, 4), (28, 4), (40, 8), (48, 8), (56, 2), (58, 1), (59, 1))]
    fields += [(512, start, length) for start, length in ((0, 8), (8, 8), (16, 8), (24, 4), (28, 4), (32, 4), (36, 4))]
    fields += [(1536, 4 * block, 4) for block in range(4)]

    def put(field, value):
        data = bytearray(good)
        start, offset, length = field
        data[start + offset:start + offset + length] = (value & ((1 << 8 * length) - 1)).to_bytes(length, "big")
        data[64:68] = vhd_images.vhd_sum(data[:512], 64)
        path.write_bytes(data)

    # A disk of up to 2040 GiB is no content to compare; sizes are compared by info.
    sizes = {(0, 48, 8), (0, 56, 2), (0, 58, 1), (0, 59, 1), (0, 28, 4)}
    stricter = damage(context, "vpc", path, put, [field for field in fields if field not in sizes], ("-f", "vpc"))
    if stricter:
        raise Failure(f"refused, unlike by qemu-img: {stricter}")
    for field in sizes:
        for value in (0, 1, 255, 65535, 1 << 40, (1 << 64) - 1):
            put(field, value)
            both = [context.run([program, "info", "-f", "vpc", "--output=json", path.name])
                    for program in (REFERENCE, context.qemu_img)]
            if both[0].status != both[1].status or both[0].stdout != both[1].stdout:
                raise Failure(f"field {field}, value {value:#x}:\n" + both[1].describe("another answer") + "\n" +
                              both[0].describe("than qemu-img:"))


@test(timeout=60)
def vhd_types(context):
    """Of a dynamic disk that calls itself something else: a fixed one is no disk that both read alike."""
    path = make(context, "image.vhd", 6 * MIB, "vpc", "write -P 1 1M 3M")
    data = bytearray(path.read_bytes())
    for type in (0, 1, 2, 5, 6, 7, 1 << 31):
        for start in (0, len(data) - 512):
            data[start + 60:start + 64] = type.to_bytes(4, "big")
            data[start + 64:start + 68] = vhd_images.vhd_sum(data[start:start + 512], 64)
        path.write_bytes(data)
        own = converted(context, context.qemu_img, path.name, "-f", "vpc")
        if own != (None if type == 2 else converted(context, REFERENCE, path.name, "-f", "vpc")):
            raise Failure(f"type {type}: another content, or a refusal")
    data[60:64] = (2).to_bytes(4, "big")
    data[64:68] = vhd_images.vhd_sum(data[:512], 64)
    path.write_bytes(data)
    done = context.run([context.qemu_img, "info", path.name]).expect(1)
    if "says that the disk is fixed" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))


@test(timeout=300, weight=2)
def vhdx_fields(context):
    """Every field of headers, region table, metadata and table."""
    path = make(context, "image.vhdx", 6 * MIB, "vhdx", "write -P 1 1M 3M", options=("block_size=1M",))
    image = vhd_images.Vhdx(path)
    good = bytes(image.data)
    fields = [(start, length) for start, length in ((0, 8),)]
    fields += [(header + start, length) for header in vhd_images.HEADERS
               for start, length in ((0, 4), (8, 8), (64, 2), (66, 2), (68, 4), (72, 8))]
    fields += [(vhd_images.REGION_TABLES[0] + start, length) for start, length in
               ((0, 4), (8, 4), (16, 8), (32, 8), (40, 4), (44, 4), (64, 8), (72, 4))]
    fields += [(image.metadata + start, length) for start, length in ((0, 8), (10, 2))]
    fields += [(image.metadata + 32 + 32 * index + start, length) for index in range(5)
               for start, length in ((0, 8), (16, 4), (20, 4))
               if (index, start) != (3, 16)]  # of the logical sectors' size: 4096 bytes are read, unlike by qemu-img
    fields += [(image.items[vhd_images.PARAMETERS_ITEM] + start, 4) for start in (0, 4)]
    fields += [(image.bat + 8 * block, 8) for block in range(6)]

    def put(field, value):
        image.data[:] = good
        start, length = field
        image.put(start, value, length)
        if start < MIB:
            image.fit_sums()
        image.save()

    damage(context, "vhdx", path, put, fields)


@test(cases=["vpc", "vhdx"], timeout=120)
def cut_short(context, case):
    """A file that ends early is refused, as by qemu-img; of a VHDX also one whose last block is cut, which qemu-img reads as zeros."""
    path = make(context, "image", 12 * MIB, case, "write -P 1 0 9M")
    good = path.read_bytes()
    lengths = sorted({0, 1, 511, 512, 1023, 1024, 2000, 70000, 200000, 262144, MIB, 2 * MIB, 3 * MIB + 5, len(good) // 2,
                      len(good) - MIB, len(good) - 513, len(good) - 512})
    for length in daily.sample(f"vhd cut_short {case}", lengths, 8):
        path.write_bytes(good[:length])
        own = converted(context, context.qemu_img, "image", "-f", case)
        reference = converted(context, REFERENCE, "image", "-f", case)
        if own is not None and own != reference:
            raise Failure(f"{length} bytes of {len(good)}: read, and not as qemu-img does")
        is_last_cut = case == "vhdx" and length > len(good) // 2
        if own is None and reference is not None and not is_last_cut:
            raise Failure(f"{length} bytes of {len(good)}: refused, unlike by qemu-img")
