# SPDX-License-Identifier: Apache-2.0
"""dmg: what the matrix of recipes does not have. Chunks that Debian's qemu-img does not read, odd trailers, damage."""

import functools
import hashlib
import json
import lzma
import shutil
import struct

from lib import daily, dmg_writer, lzfse_writer, real_images
from lib.dmg_writer import ADC, BZIP2, IGNORE, LZFSE, LZMA, RAW, ZERO, ZLIB, content
from lib.python_tests import test
from lib.suite import Failure, Skip

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
SHORT = [512, 1024, 64 * KIB, 300 * 512, 400 * KIB]


def converted(context, image="image", *options):
    """The disk's content, or None when there is none; then there is one clear line."""
    target = context.directory / "own.raw"
    target.unlink(missing_ok=True)
    done = context.run([context.qemu_img_beside, "convert", "-f", "dmg", "-O", "raw", *options, image, target.name])
    if done.status == 0:
        return target.read_bytes()
    lines = done.stderr.splitlines()
    if done.status != 1 or target.exists() or len(lines) != 1 or not lines[0].startswith("qemu-img: "):
        raise Failure(done.describe("expected one line, exit status 1 and no output"))
    return None


def expect_disk(context, disk, what=""):
    found = converted(context)
    if found != bytes(disk):
        at = None if found is None else next((i for i, pair in enumerate(zip(found, disk)) if pair[0] != pair[1]), len(found))
        raise Failure(f"{what}: another content, from {at} on")


def expect_refused(context, words, *arguments):
    done = context.run([context.qemu_img_beside, *arguments])
    if done.status != 1 or words not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe(f"expected one line with: {words}"))


def encoder(type):
    """One that takes no time for what is long."""
    if type == LZFSE:
        return functools.partial(lzfse_writer.lzfse, kinds="2" + "-" * 20 + "n" + "-" * 20)
    if type == ADC:
        return lambda data: lzfse_writer.adc(data[:90 * KIB]) + lzfse_writer.adc(data[90 * KIB:], plain=True)
    return dmg_writer.ENCODERS[type]


TYPES = {"adc": ADC, "bzip2": BZIP2, "lzfse": LZFSE, "lzma": LZMA}


@test(cases=daily.sample("dmg codecs", TYPES, 2), timeout=60)
def codecs(context, case):
    """Short chunks and long ones, with others between; what is told of the image is what qemu-img tells."""
    writer = dmg_writer.Writer()
    for i, length in enumerate(SHORT):
        data = content(length, i)
        writer.add(TYPES[case], data, stream=encoder(TYPES[case])(data) if i == 4 else None)
        writer.add(*((RAW, content(512)) if i % 2 else (ZERO,)), **({} if i % 2 else {"sectors": 9}))
    for length in (3 * MIB + 512, 2 * MIB + 512):
        data = (content(200 * KIB, length) * 16)[:length]
        writer.add(TYPES[case], data, stream=encoder(TYPES[case])(data))
        writer.add(IGNORE, sectors=1)
    (context.directory / "image").write_bytes(writer.finish())
    expect_disk(context, writer.disk)
    (context.directory / "disk").write_bytes(writer.disk)
    context.run([context.qemu_img_beside, "compare", "-f", "dmg", "-F", "raw", "image", "disk"]).expect()
    context.run([context.qemu_img_beside, "bench", "-f", "dmg", "-c", "25", "-s", "200000", "image"]).expect()
    for arguments in (("info", "--output=json"), ("map", "--output=json"), ("check",)):
        reference, own = (context.run([program, arguments[0], "-f", "dmg", *arguments[1:], "image"])
                          for program in (REFERENCE, context.qemu_img_beside))
        if (own.status, own.stdout) != (reference.status, reference.stdout):
            raise Failure(own.describe("another answer") + "\n" + reference.describe("than qemu-img:"))


@test(cases=["1", "2", "n", "-", "1-2n"], timeout=60)
def lzfse_kinds(context, case):
    """Streams of one kind of block."""
    writer = dmg_writer.Writer()
    for i, length in enumerate([512, 5 * KIB, 100 * KIB, 150 * KIB]):
        data = content(length, 20 + i)
        writer.add(LZFSE, data, stream=lzfse_writer.lzfse(data, case))
    (context.directory / "image").write_bytes(writer.finish())
    expect_disk(context, writer.disk)


@test(cases=daily.sample("dmg second reader", ["adc", "bzip2", "lzma", "zlib", "lzfse_2", "lzfse_n", "lzfse_-"], 3), timeout=60)
def second_reader(context, case):
    """What 7-Zip makes of an image of one table, without a word of ours. Of LZFSE, streams of one block of the later kinds."""
    if shutil.which("7zz") is None:
        raise Skip("7zz is not installed")
    writer = dmg_writer.Writer()
    type, _, kind = case.partition("_")
    for i, length in enumerate([512, 5 * KIB, 29 * KIB] if kind else [512, 70 * KIB, 256 * KIB]):
        data = content(length, 30 + i)
        writer.add({**TYPES, "zlib": ZLIB}[type], data, stream=lzfse_writer.lzfse(data, kind) if kind else None)
    (context.directory / "image.dmg").write_bytes(writer.finish())
    context.run(["7zz", "e", "-tdmg", "-y", "-oout", "image.dmg"])  # complains of the master checksum, which we do not write
    made = [path.read_bytes() for path in sorted((context.directory / "out").iterdir())]
    if made != [converted(context, "image.dmg")]:
        raise Failure("7-Zip reads another content")


def chunk(context, type, data, stream, spare=0):
    """An image of one chunk between others."""
    writer = dmg_writer.Writer()
    writer.add(RAW, content(4096, 77))
    writer.add(type, data, stream=stream, spare=spare)
    writer.add(RAW, content(4096, 78))
    (context.directory / "image").write_bytes(writer.finish())


@test(cases=daily.sample("dmg streams", [*TYPES, "zlib"], 2), timeout=120)
def damaged_streams(context, case):
    """Streams that end early, make more or less than they should, or have changed: refused, or the same content. Nothing
    that was in memory before gets out.
    """
    type = {**TYPES, "zlib": ZLIB}[case]
    data = content(24 * KIB, 3)
    stream = dmg_writer.ENCODERS[type](data)
    for cut in (0, 2, 12, 33, len(stream) // 2, len(stream) - 5, len(stream) - 1):
        chunk(context, type, data, stream[:cut])
        found = converted(context)
        if found is not None and found[4096:-4096] != data:
            raise Failure(f"cut at {cut} of {len(stream)}: another content")
        if found is not None and cut < len(stream) - 20:
            raise Failure(f"cut at {cut} of {len(stream)}: read all the same")
    for length in (23 * KIB, 25 * KIB, 3 * MIB):
        chunk(context, type, bytes(length), stream)
        if converted(context) is not None:
            raise Failure(f"a stream of {len(data)} bytes is read as one of {length}")
    has_checksum = type in (ZLIB, BZIP2)
    for at in range(0, len(stream), len(stream) // 7):
        changed = bytearray(stream)
        changed[at] ^= 0x55
        chunk(context, type, data, bytes(changed))
        found = converted(context)
        if has_checksum and found is not None and found[4096:-4096] != data:
            raise Failure(f"changed at {at}: another content")


@test()
def lzfse_plain_heads(context):
    """Each 16 bits of a head of the kind "bvx1" in turn: refused, or the same content."""
    data = content(3 * KIB, 5)
    stream = lzfse_writer.lzfse(data, "1")
    writer = dmg_writer.Writer()
    heads = [(at, value) for at in (4, 8, 10, 12, 14, 16, 20, 22, 24, 28, 30, 32, 38, 40, 44, 46, 48, 50, 90, 130, 258, 768)
             for value in (0xffff, 0x8000)]
    for at, value in heads:
        changed = bytearray(stream)
        struct.pack_into("<H", changed, at, value)
        writer.add(LZFSE, data, stream=bytes(changed))
    (context.directory / "image").write_bytes(writer.finish())
    context.run([context.qemu_img_beside, "convert", "--salvage", "-f", "dmg", "-O", "raw", "image", "own.raw"]).expect()
    found = (context.directory / "own.raw").read_bytes()
    if len(found) != len(heads) * len(data):
        raise Failure("another length")
    for i, (at, value) in enumerate(heads):
        part = found[i * len(data):(i + 1) * len(data)]
        # Nothing has a checksum: behind the lengths, what can be states and frequencies makes other bytes.
        if any(part) and part != data and at < 28:
            raise Failure(f"{value:#x} at {at} of the head: another content")


def lzma_filters(context, filters, unit=64, count=200):
    """A chunk of `count` blocks, of which each one has the next of these filters."""
    data = content(unit * count, 6)
    blocks = [(data[i * unit:(i + 1) * unit], filters[i % len(filters)]) for i in range(count)]
    chunk(context, LZMA, data, dmg_writer.xz_blocks(blocks))
    return data


LZMA2 = {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20}


@test()
def lzma_blocks(context):
    """Streams of many blocks are read; memory does not grow with them, with the dictionaries that they ask for, nor with
    filters that change all the time: that is refused in a clear line, if it takes too much.
    """
    for filters in ([[LZMA2]], [[{**LZMA2, "preset": 0, "dict_size": 4096 << i}] for i in range(8)]):
        data = lzma_filters(context, filters, count=1000)
        found = converted(context)
        if found is None or found[4096:-4096] != data:
            raise Failure("a stream of 1,000 blocks is not read")
    chains = [[LZMA2], [{"id": lzma.FILTER_DELTA, "dist": 3}, LZMA2], [{"id": lzma.FILTER_X86}, LZMA2],
              [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_ARM}, {"id": lzma.FILTER_DELTA, "dist": 256}, LZMA2]]
    for chain in chains:
        data = lzma_filters(context, [chain], count=8)
        found = converted(context)
        if found is None or found[4096:-4096] != data:
            raise Failure(f"filters are not read: {chain}")
    data = lzma_filters(context, chains, count=4000)
    found = converted(context)
    if found is not None and found[4096:-4096] != data:
        raise Failure("many filters: another content")
    if found is None:
        expect_refused(context, "filters take more memory", "convert", "-f", "dmg", "-O", "raw", "image", "refused.raw")


@test()
def lzma_long_dictionary(context):
    """In a long unit, a dictionary that is too much is refused by its size."""
    data = bytes(9 * MIB)
    chunk(context, LZMA, data, dmg_writer.xz_blocks([(data, [{**LZMA2, "preset": 0, "dict_size": 64 << 20}])]))
    expect_refused(context, "dictionary of 67108864 bytes is not supported", "convert", "-f", "dmg", "-O", "raw", "image", "own.raw")


@test(timeout=60)
def long_unit_damage(context):
    """A unit of 3 MiB whose stream ends early or goes wrong late, with what is known to be zeros of it."""
    data = content(3 * MIB, 8)
    stream = dmg_writer.ENCODERS[ZLIB](data)
    wrong = bytearray(stream)
    wrong[-1] ^= 1
    for what, damaged in (("cut", stream[:-2000]), ("checksum", bytes(wrong)), ("cut checksum", stream[:-2])):
        chunk(context, ZLIB, data, damaged)
        if converted(context) is not None:
            raise Failure(f"{what}: read all the same")
        done = context.run([context.qemu_img_beside, "convert", "--salvage", "-f", "dmg", "-O", "raw", "image", "salvaged"]).expect()
        salvaged = (context.directory / "salvaged").read_bytes()
        if salvaged[:4096] != content(4096, 77) or salvaged[-4096:] != content(4096, 78):
            raise Failure(done.describe(f"{what}: what is not damaged is lost"))
        for off in range(0, len(data), 512):
            part = salvaged[4096 + off:4096 + off + 512]
            if part != data[off:off + 512] and any(part):
                raise Failure(f"{what}: at {off} is what never was there")


@test()
def odd_trailers(context):
    writer, image = dmg_writer.disk([ZLIB, RAW], SHORT[:4])
    path = context.directory / "image"
    path.write_bytes(writer.finish(segments=(2, 3)))
    expect_refused(context, "segment 2 of 3", "info", "-f", "dmg", "image")
    path.write_bytes(writer.finish(sectors=0))  # qemu-img: an empty disk, and status 0
    expect_disk(context, writer.disk, "a trailer that says 0 sectors")
    path.write_bytes(writer.finish(sectors=writer.sector + 100))
    if converted(context) is not None:
        raise Failure("sectors that no chunk has are read")
    path.write_bytes(image + bytes(-len(image) % 512))  # as a file of whole sectors has it
    expect_disk(context, writer.disk, "bytes behind the trailer")
    path.write_bytes(image[:-512] + bytes(600))
    expect_refused(context, "Could not locate UDIF trailer in dmg file", "info", "-f", "dmg", "image")
    path.write_bytes(image[-512:-1])
    expect_refused(context, "", "info", "-f", "dmg", "image")
    (context.directory / "found.dmg").write_bytes(image)
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "found.dmg", "-F", "dmg", "overlay"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", "overlay"]).expect()
    context.run([context.qemu_img_beside, "convert", "-f", "qcow2", "-O", "raw", "overlay", "own"]).expect()
    wanted = bytearray(writer.disk)
    wanted[64 * KIB:128 * KIB] = bytes([7]) * (64 * KIB)
    if (context.directory / "own").read_bytes() != wanted:
        raise Failure("another content behind an overlay")


@test()
def found_by_name(context):
    """As in QEMU: by how a path ends, which is more than that end, and not by what a node says."""
    _, image = dmg_writer.disk([RAW], [65536])
    for name in ("found.dmg", ".dmg", ".DMG", "dmg"):
        (context.directory / name).write_bytes(image)
    node = '{"driver":"file","filename":"found.dmg"}'
    paths = ["found.dmg", "./found.dmg", "file:found.dmg", ".dmg", "./.dmg", context.directory / ".dmg", "file:.dmg", ".DMG", "dmg"]
    nodes = [f'json:{{"file":{node}}}', 'json:{"file.filename":".dmg"}', f'json:{{"driver":"raw","size":512,"file":{{"file":{node}}}}}']
    seen = set()
    for words in [[name] for name in paths + nodes] + [["--image-opts", "file.filename=found.dmg"]]:
        theirs, ours = (context.run([program, "info", "--output=json", *words]) for program in (REFERENCE, context.qemu_img_beside))
        if theirs.status != ours.status or theirs.status == 0 and json.loads(theirs.stdout) != json.loads(ours.stdout):
            raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
        seen |= {json.loads(ours.stdout)["format"]} if ours.status == 0 else set()
    if seen != {"dmg", "raw"}:
        raise Failure(f"the formats that were found are {seen}")


@test()
def odd_tables(context):
    """Tables that make no sense."""
    path = context.directory / "image"
    data = content(8 * KIB)
    stream = dmg_writer.ENCODERS[ZLIB](data)

    def write(entries, sectors=16, prefix=stream):
        info = dmg_writer.plist([dmg_writer.table(0, entries, sectors)])
        path.write_bytes(prefix + info + dmg_writer.trailer(len(prefix), xml=(len(prefix), len(info)), sectors=sectors))

    entry = dmg_writer.entry
    write([entry(ZLIB, 0, 16, 0, len(stream))])
    expect_disk(context, data)
    for what, entries in {
        "no chunks": [],
        "more sectors than the stream has": [entry(ZLIB, 0, 17, 0, len(stream))],
        "fewer": [entry(ZLIB, 0, 15, 0, len(stream)), entry(ZERO, 15, 1)],
        "sectors in fewer bytes": [entry(RAW, 0, 16, 0, 4096)],
        "behind the file": [entry(ZLIB, 0, 16, 1 << 40, len(stream))],
        "over each other": [entry(ZLIB, 0, 16, 0, len(stream)), entry(ZERO, 8, 8)],
        "out of order": [entry(ZERO, 8, 8), entry(ZERO, 0, 8)],
        "a hole": [entry(ZERO, 0, 8), entry(ZERO, 9, 7)],
        "an unknown type": [entry(0x80000009, 0, 16, 0, len(stream))],
        "too many sectors": [entry(ZLIB, 0, 131073, 0, len(stream))],
        "too long": [entry(ZLIB, 0, 16, 0, (64 << 20) + 1)],
        "a sum that wraps": [entry(ZLIB, (1 << 64) - 8, 16, 0, len(stream))],
        "an offset that wraps": [entry(ZLIB, 0, 16, (1 << 64) - 1, len(stream))],
        "zeros without an end": [entry(ZERO, 0, (1 << 64) - 1)],
    }.items():
        write(entries)
        if converted(context) is not None:
            raise Failure(f"{what}: read all the same")
    write([entry(ZLIB, 0, 0), entry(ZLIB, 0, 16, 0, len(stream)), entry(RAW, 16, 0)])
    expect_disk(context, data, "chunks of no sectors")
    for text, is_read in ((b"<data>" + b"A" * 70000, False), (b"<data></data>" * 3000, True), (b"\0", True)):
        write([entry(ZLIB, 0, 16, 0, len(stream))], prefix=stream)
        image = path.read_bytes()[:-512]
        info = image[len(stream):]
        path.write_bytes(stream + info + text + dmg_writer.trailer(len(stream), xml=(len(stream), len(info + text)), sectors=16))
        if (converted(context) is not None) != is_read:
            raise Failure(f"{text[:20]} behind a table: {'not ' if is_read else ''}read")


@test()
def many_chunks(context):
    """A table of 100,000 chunks; the limit is 320,000."""
    entries = [dmg_writer.entry(ZERO, i, 1) for i in range(100000)]
    info = dmg_writer.plist([dmg_writer.table(0, entries, 100000)])
    (context.directory / "image").write_bytes(info + dmg_writer.trailer(0, xml=(0, len(info)), sectors=100000))
    context.run([context.qemu_img_beside, "info", "-f", "dmg", "image"]).expect()
    expect_disk(context, bytes(100000 * 512))
    tables = [dmg_writer.table(0, entries, 100000)] * 4
    fork = b"".join(struct.pack(">I", len(item)) + item for item in tables)
    info = struct.pack(">IIII", 256, 0, len(fork), 0) + bytes(240) + fork
    (context.directory / "image").write_bytes(info + dmg_writer.trailer(0, resources=(0, len(info)), sectors=100000))
    expect_refused(context, "more than 320000 chunks", "info", "-f", "dmg", "image")


EMPTY = hashlib.sha256().hexdigest()
# Images of the collection that hold the same disk in another encoding.
SIBLINGS = {"compression-lzfse.dmg": "compression-raw.dmg", "compression-bz2.dmg": "compression-raw.dmg"}


def is_sound(image):
    """Not one that another project keeps as damaged, nor encrypted."""
    return image.suffix == ".dmg" and image.read_bytes()[-512:-508] == b"koly"


@test(timeout=300)
def by_other_programs(context):
    """Content as qemu-img reads it, or 7-Zip, or that of a sibling."""
    images = real_images.of_format("dmg")
    if not images:
        raise Skip("there are no images by other programs (INSTAR_TEST_IMAGES)")
    for path in daily.sample("dmg by other programs", images, 6):
        digest = images[path]
        name = path.rsplit("/", 1)[1]
        if name in SIBLINGS:
            digest = images[path.replace(name, SIBLINGS[name])]
        image = real_images.FOLDER / path
        found = converted(context, image)
        if digest == EMPTY and found:
            continue  # a trailer that says 0 sectors
        if digest and (found is None or hashlib.sha256(found).hexdigest() != digest):
            raise Failure(f"{path}: another content than qemu-img's")
        if digest or not is_sound(image) or shutil.which("7zz") is None:
            continue
        out = context.directory / "out"
        context.run(["7zz", "e", "-tdmg", "-y", f"-o{out}", image])
        parts = sorted(out.iterdir(), key=lambda part: int(part.name.split(".")[0]))
        made = hashlib.sha256()
        for part in parts:
            made.update(part.read_bytes())
        if found is None or made.digest() != hashlib.sha256(found).digest():
            raise Failure(f"{path}: another content than 7-Zip's")
        shutil.rmtree(out)
