# SPDX-License-Identifier: Apache-2.0
"""vmdk images that we write, beyond what all written formats have in common (written_formats.py): descriptors, streams as VMware's
specification has them, children."""

import json
import os
import re
import struct
import zlib

from lib import daily, second_readers
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
SECTOR, GRAIN, TABLE_COUNT = 512, 65536, 512
MIB = 1 << 20
STREAM = "subformat=streamOptimized"
TABLE, DIRECTORY, FOOTER = 1, 2, 3


def descriptor(path):
    """Its text, without what is random and without the file's own name."""
    text = path.read_bytes()[SECTOR:21 * SECTOR].rstrip(b"\0").decode()
    return re.sub(r"(?m)^(CID)=[0-9a-f]{1,8}$", r"\1=", text).replace(path.name, "NAME")


def specific(context, name):
    done = context.run([REFERENCE, "info", "--output=json", "-f", "vmdk", name]).expect()
    found = json.loads(done.stdout)["format-specific"]["data"]
    found.pop("cid")
    for extent in found["extents"]:
        extent.pop("filename")
    return found


def equal(what, own, expected):
    if own != expected:
        raise Failure(f"{what}: {own}\nnot {expected}")


OPTIONS = ["", "adapter_type=legacyESX", "adapter_type=buslogic", "hwversion=foo", "compat6=on", "toolsversion=7", "zeroed_grain=on", STREAM,
           f"{STREAM},zeroed_grain=on", f"{STREAM},adapter_type=lsilogic,hwversion=13"]


@test(cases=daily.sample("vmdk descriptors", OPTIONS, 3))
def descriptors(context, case):
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        context.run([program, "create", "-f", "vmdk", *(["-o", case] if case else []), name, "130G"]).expect()
    equal("descriptor", descriptor(context.directory / "own"), descriptor(context.directory / "reference"))
    equal("info", specific(context, "own"), specific(context, "reference"))
    equal("vmdkinfo", *(second_readers.vmdk_info(context, name) for name in ("own", "reference")))


def mixed(length):
    """Text, noise that does not get shorter, zeros, a table without grains, and an end within a grain."""
    text = b"".join(b"line %d of a text\n" % i for i in range(60000))
    noise = os.urandom(3 * GRAIN)
    parts = text + bytes(5 * GRAIN) + noise + bytes(-len(text) % 4096) + bytes(33 * MIB) + text[:300000]
    return (parts + bytes(max(0, length - len(parts))))[:length]


SOURCES = {"mixed": lambda: mixed(36 * MIB + 5 * SECTOR), "end": lambda: mixed(36 * MIB)[:-77 * SECTOR] + b"e" * SECTOR,
           "zero": lambda: bytes(3 * MIB), "noise": lambda: os.urandom(GRAIN + SECTOR), "sector": lambda: b"x" * SECTOR}


def header_fields(sector):
    names = ("magic", "version", "flags", "capacity", "grain", "descriptor", "descriptor_len", "entries", "redundant", "directory",
             "overhead", "unclean", "line_ends", "compression")
    return dict(zip(names, struct.unpack_from("<4sIIQQQQIQQQB4sH", sector)))


def walk_stream(data):
    """The disk, put together from markers alone, as one reads who reads once from front to back; tables are compared with it."""
    header = header_fields(data)
    expected = {"magic": b"KDMV", "version": 3, "grain": 128, "descriptor": 1, "descriptor_len": 20, "entries": TABLE_COUNT,
                "redundant": 0, "directory": (1 << 64) - 1, "overhead": 128, "unclean": 0, "line_ends": b"\n \r\n", "compression": 1}
    equal("header", {name: header[name] for name in expected}, expected)
    equal("flags", header["flags"], 0x30001)
    disk, grains, tables = {}, {}, {}
    at, last = header["overhead"], -1
    while True:
        value, size, kind = struct.unpack_from("<QII", data, at * SECTOR)
        if size > 0:
            if value % 128 or value <= last:
                raise Failure(f"a grain at sector {value} follows one at {last}")
            last = value
            reader = zlib.decompressobj()
            disk[value // 128] = reader.decompress(data[at * SECTOR + 12:at * SECTOR + 12 + size])
            if not reader.eof or len(disk[value // 128]) != GRAIN:
                raise Failure(f"the grain at sector {value} has no stream of a grain")
            grains[value // 128] = at
            end = at * SECTOR + 12 + size
            at = -(-end // SECTOR)
            equal("padding", data[end:at * SECTOR].strip(b"\0"), b"")
        elif kind == TABLE:
            entries = struct.unpack_from(f"<{TABLE_COUNT}I", data, (at + 1) * SECTOR)
            index = last // 128 // TABLE_COUNT
            equal("table", {index * TABLE_COUNT + i: entry for i, entry in enumerate(entries) if entry},
                  {grain: place for grain, place in grains.items() if grain // TABLE_COUNT == index})
            tables[index] = at + 1
            at += 1 + value
        elif kind == DIRECTORY:
            count = -(-header["capacity"] // (128 * TABLE_COUNT))
            entries = struct.unpack_from(f"<{count}I", data, (at + 1) * SECTOR)
            equal("directory", {i: entry for i, entry in enumerate(entries) if entry}, tables)
            directory = at + 1
            at += 1 + value
        else:
            equal("footer's marker", (value, kind), (1, FOOTER))
            footer = header_fields(data[(at + 1) * SECTOR:])
            equal("footer", footer, {**header, "directory": directory})
            equal("end of stream", data[(at + 2) * SECTOR:], bytes(SECTOR))
            return b"".join(disk.get(i, bytes(GRAIN)) for i in range(-(-header["capacity"] // 128)))[:header["capacity"] * SECTOR]


CASES = [f"{source},{way}" for source in SOURCES for way in ("", "sparse0", "level0", "qcow2")]


@test(cases=daily.sample("vmdk streams", CASES, 2), timeout=120)
def streams(context, case):
    source, way = case.split(",")
    content = SOURCES[source]()
    (context.directory / "image").write_bytes(content)
    arguments = {"sparse0": ["-S", "0"], "level0": ["-c", "--compression-level", "0"]}.get(way, [])
    source_format = "qcow2" if way == "qcow2" else "raw"
    if way == "qcow2":
        context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "image", "image2"]).expect()
    name = "image2" if way == "qcow2" else "image"
    context.run([REFERENCE, "convert", "-f", "raw", "-O", "vmdk", "-o", STREAM, "image", "reference"]).expect()
    context.run([context.build.instar, "convert", "-f", source_format, "-O", "vmdk", "-o", STREAM, *arguments, name, "own"]).expect()
    data = (context.directory / "own").read_bytes()
    if walk_stream(data) != content:
        raise Failure("the stream has another disk")
    for program in (REFERENCE, context.qemu_img_beside):
        context.run([program, "compare", "-f", "raw", "-F", "vmdk", "image", "own"]).expect()
        context.run([program, "check", "-f", "vmdk", "own"]).expect()
    equal("descriptor", descriptor(context.directory / "own"), descriptor(context.directory / "reference"))
    equal("info", specific(context, "own"), specific(context, "reference"))
    if not arguments and len(data) > 1.02 * (context.directory / "reference").stat().st_size + 4 * SECTOR + GRAIN:
        raise Failure(f"{len(data)} bytes")
    context.run(["/bin/sh", "-c", "mv own own.vmdk; 7zz e -so own.vmdk > other && cmp -n $(stat -c %s image) other image"]).expect()


@test()
def streams_are_alike(context):
    """However many processors compress."""
    (context.directory / "image").write_bytes(mixed(8 * MIB))
    found = []
    for count in ("1", "2", "5"):
        context.run([context.build.instar, "convert", "--vcpus", count, "-f", "raw", "-O", "vmdk", "-o", STREAM, "image", "own"]).expect()
        found.append((context.directory / "own").read_bytes()[21 * SECTOR:])
    if found[1] != found[0] or found[2] != found[0]:
        raise Failure("what is written depends on the number of processors")


@test(cases=["", "subformat=streamOptimized"])
def children(context, case):
    """create -b: qemu-img reads the parent through it, and finds the CID that it looks for."""
    context.run([REFERENCE, "create", "-f", "vmdk", "base.vmdk", "5M"]).expect()
    context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 5 1M 1M", "base.vmdk"]).expect()
    options = ["-o", case] if case else []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        context.run([program, "create", "-f", "vmdk", *options, "-b", "base.vmdk", "-F", "vmdk", name]).expect()
    equal("descriptor", descriptor(context.directory / "own"), descriptor(context.directory / "reference"))
    equal("info", specific(context, "own"), specific(context, "reference"))
    context.run([REFERENCE, "compare", "-f", "vmdk", "-F", "vmdk", "base.vmdk", "own"]).expect()
    for format in ("qcow2", "raw"):
        context.run([REFERENCE, "create", "-f", format, "other", "1M"]).expect()
        done = context.run([context.qemu_img_beside, "create", "-f", "vmdk", "-b", "other", "-F", format, "own2"]).expect(1)
        if "backing_file must be a vmdk image" not in done.stderr or (context.directory / "own2").exists():
            raise Failure(done.describe("another parent is taken"))


@test()
def split_children(context):
    """create -b without a size: that of the backing file says how many files there are."""
    context.run([REFERENCE, "create", "-q", "-f", "vmdk", "base.vmdk", "4100M"]).expect()
    context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 5 3G 1M", "base.vmdk"]).expect()
    seen = []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        directory = context.directory / name
        directory.mkdir()
        outcomes = []
        for base in ("../base.vmdk", "nothing.vmdk"):
            done = context.run([program, "create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "-b", base, "-F", "vmdk", "x.vmdk"],
                               cwd=directory)
            outcomes.append((done.status, done.stdout, done.stderr))
        seen.append((outcomes, sorted(path.name for path in directory.iterdir()),
                     re.sub(r"(?m)^CID=.*$", "", (directory / "x.vmdk").read_text()).rstrip("\0\n")))
    equal("outcome, files and descriptor", *seen)
    context.run([REFERENCE, "compare", "-f", "vmdk", "-F", "vmdk", "base.vmdk", "own/x.vmdk"]).expect()


@test(cases=daily.sample("vmdk converted children", ["", "zeroed_grain=on", STREAM, f"{STREAM},zeroed_grain=on"], 2))
def converted_children(context, case):
    """convert -B: what the source leaves to its backing file is left to the target's; zeros over something are seen."""
    context.run([REFERENCE, "create", "-f", "vmdk", "base.vmdk", "5M"]).expect()
    context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 5 1M 3M", "base.vmdk"]).expect()
    context.run([REFERENCE, "create", "-f", "qcow2", "-b", "base.vmdk", "-F", "vmdk", "top"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 6 1M 4k", "-c", "write -z 2M 512k", "-c", "write -P 9 4900k 220k", "top"]).expect()
    options = ["-o", case] if case else []
    for program, name in ((context.build.instar, "own"), (REFERENCE, "reference")):
        allowed = ["--backing=beside"] if name == "own" else []
        context.run([program, "convert", *allowed, "-f", "qcow2", "-O", "vmdk", *options, "-B", "base.vmdk", "-F", "vmdk", "top", name]).expect()
    equal("descriptor", descriptor(context.directory / "own"), descriptor(context.directory / "reference"))
    equal("info", specific(context, "own"), specific(context, "reference"))
    context.run([REFERENCE, "check", "-f", "vmdk", "own"]).expect()
    context.run([REFERENCE, "compare", "-f", "qcow2", "-F", "vmdk", "top", "own"]).expect()
    context.run([context.build.instar, "compare", "--backing=beside", "-f", "qcow2", "-F", "vmdk", "top", "own"]).expect()


@test(cases=daily.sample("vmdk flat", ["create", "convert", "sparse0"], 2))
def flat(context, case):
    """A descriptor and an extent, and the extent's name as qemu-img makes it."""
    (context.directory / "image").write_bytes(mixed(3 * MIB + 5 * SECTOR))
    directories = []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        directory = context.directory / name
        directory.mkdir()
        directories.append(directory)
        arguments = {"create": ["create", "-f", "vmdk"], "convert": ["convert", "-f", "raw", "-O", "vmdk"],
                     "sparse0": ["convert", "-S", "0", "-f", "raw", "-O", "vmdk"]}[case]
        operands = ["x.y.vmdk", "9M"] if case == "create" else ["../image", "x.y.vmdk"]
        context.run([program, *arguments, "-o", "subformat=monolithicFlat,adapter_type=lsilogic", *operands], cwd=directory).expect()
    own, reference = directories
    equal("files", sorted(path.name for path in own.iterdir()), sorted(path.name for path in reference.iterdir()))
    # Once it has been written to, qemu-img's has zeros behind it.
    equal("descriptor", *(re.sub(r"(?m)^CID=.*$", "", (directory / "x.y.vmdk").read_text()).rstrip("\0\n") for directory in directories))
    if (own / "x.y-flat.vmdk").read_bytes() != (reference / "x.y-flat.vmdk").read_bytes():
        raise Failure("the extents are different")
    equal("info", specific(context, "own/x.y.vmdk"), specific(context, "reference/x.y.vmdk"))
    for program in (REFERENCE, context.qemu_img_beside):
        context.run([program, "compare", "-f", "vmdk", "-F", "vmdk", "own/x.y.vmdk", "reference/x.y.vmdk"]).expect()
    context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 7 1M 1M", "-c", "read -P 7 1M 1M", "own/x.y.vmdk"]).expect()


GIB = 1 << 30


def split_source(path, length):
    """Something before, across and behind the borders of files, and a whole file of zeros."""
    with open(path, "wb") as file:
        file.truncate(length)
        for place in (0, 2 * GIB - 3 * GRAIN - 512, 2 * GIB - 512, 6 * GIB - 70000, length - 1024):
            if 0 <= place < length:
                file.seek(place)
                file.write(os.urandom(min(200 * 1024, length - place)))


SPLIT_KINDS = ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]
SPLIT = [f"{kind},{way}" for kind in SPLIT_KINDS for way in ("create", "convert", "pieces", "one")]
SPLIT += ["twoGbMaxExtentSparse,zeroed", "twoGbMaxExtentSparse,backed", "twoGbMaxExtentFlat,edge"]


def holes(path):
    """What a sparse file holds, without reading its holes."""
    found = {}
    with open(path, "rb") as file:
        length = file.seek(0, os.SEEK_END)
        at = 0
        while at < length:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            file.seek(start)
            for block in range(start, at, 4096):
                data = file.read(min(4096, at - block))
                if data.strip(b"\0"):
                    found[block] = data
    return length, found


@test(cases=daily.sample("vmdk split", SPLIT, 3), timeout=120)
def split(context, case):
    """A descriptor, and a file for every 2 GiB, as qemu-img makes them."""
    kind, way = case.split(",")
    options = f"subformat={kind}" + (",zeroed_grain=on" if way == "zeroed" else "")
    length = {"one": 9 * MIB, "edge": 2 * GIB}.get(way, 7 * GIB + 1024)
    split_source(context.directory / "image", length)
    sources, format = ["../image"], "raw"
    if way == "pieces":
        split_source(context.directory / "more", 300 * MIB)
        sources = ["../more", "../image", "../more"]
    if way == "backed":
        context.run([REFERENCE, "create", "-q", "-f", "vmdk", "base.vmdk", str(length)]).expect()
        context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 5 1M 3M", "-c", "write -P 6 4095M 2M", "base.vmdk"]).expect()
        context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base.vmdk", "-F", "vmdk", "top"]).expect()
        context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 2047M 2M", "-c", "write -z 4095M 128k", "top"]).expect()
        sources, format = ["../top"], "qcow2"
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        directory = context.directory / name
        directory.mkdir()
        if way == "create":
            arguments = ["create", "-f", "vmdk", "-o", options, "x.y.vmdk", str(length)]
        else:
            behind = ["-B", "../base.vmdk", "-F", "vmdk"] if way == "backed" else []
            behind += ["--backing=beside"] if behind and name == "own" else []
            arguments = ["convert", "-f", format, "-O", "vmdk", *behind, "-o", options, *sources, "x.y.vmdk"]
        context.run([program, *arguments], cwd=directory).expect()
    own, reference = context.directory / "own", context.directory / "reference"
    names = sorted(path.name for path in own.iterdir())
    equal("files", names, sorted(path.name for path in reference.iterdir()))
    equal("descriptor", *(re.sub(r"(?m)^CID=.*$", "", (directory / "x.y.vmdk").read_text()).rstrip("\0\n") for directory in (own, reference)))
    for name in names:
        if name != "x.y.vmdk" and way != "backed" and holes(own / name) != holes(reference / name):
            raise Failure(f"{name} is another one than qemu-img's")
    equal("info", specific(context, "own/x.y.vmdk"), specific(context, "reference/x.y.vmdk"))
    for program in (REFERENCE, context.qemu_img_beside):
        allowed = ["--backing-file", "base.vmdk"] if way == "backed" and program != REFERENCE else []
        context.run([program, "compare", *allowed, "-f", "vmdk", "-F", "vmdk", "own/x.y.vmdk", "reference/x.y.vmdk"]).expect()
    if way in ("convert", "backed"):
        context.run(["qemu-io", "-f", "vmdk", "-c", "write -P 7 2047M 2M", "-c", "read -P 7 2047M 2M", "own/x.y.vmdk"]).expect()


@test(cases=SPLIT_KINDS)
def split_refused(context, case):
    """One line, and nothing is made."""
    (context.directory / "image").write_bytes(b"x" * MIB)
    (context.directory / "damaged").write_bytes(b"QFI\xfb" + bytes(100))
    make = ["-o", f"subformat={case}"]
    for arguments, words in ((["create", "-f", "vmdk", *make, "own.vmdk", "5T"], "2048"),
                             (["convert", "-f", "qcow2", "-O", "vmdk", *make, "damaged", "own.vmdk"], "damaged"),
                             (["convert", "-f", "raw", "-O", "vmdk", *make, "image", 'own".vmdk'], "descriptor"),
                             (["convert", "-f", "raw", "-O", "vmdk", *make, "nothing", "own.vmdk"], "nothing")):
        done = context.run([context.build.instar, *arguments]).expect(1)
        left = [path.name for path in context.directory.iterdir() if path.name.startswith("own")]
        if words not in done.stderr or len(done.stderr.splitlines()) != 1 or left:
            raise Failure(done.describe(f"no refusal with {words}, or {left}"))


@test(cases=["monolithicFlat", "twoGbMaxExtentFlat"])
def flat_compressed(context, case):
    (context.directory / "image").write_bytes(b"x" * 65536)
    words = ["convert", "-c", "-f", "raw", "-O", "vmdk", "-o", f"subformat={case}", "image"]
    theirs = context.run([REFERENCE, *words, "theirs.vmdk"])
    ours = context.run([context.qemu_img, *words, "ours.vmdk"])
    equal("result", (ours.status, ours.stderr), (theirs.status, theirs.stderr))
    equal("files", list(context.directory.glob("ours*")), [])


@test(cases=["", STREAM, "subformat=monolithicFlat", "subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat"])
def empty(context, case):
    """An image of an empty disk can be made, as by qemu-img, but nobody opens it: what is converted to one is lost."""
    (context.directory / "image").write_bytes(b"")
    options = ["-o", case] if case else []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        context.run([program, "create", "-f", "vmdk", *options, name, "0"]).expect()
        equal("files", (context.directory / name).stat().st_size > 0, True)
        (context.directory / name).unlink()
    context.run([context.build.instar, "convert", "-f", "raw", "-O", "vmdk", *options, "image", "own"]).expect(1)
    if (context.directory / "own").exists():
        raise Failure("something is there")
