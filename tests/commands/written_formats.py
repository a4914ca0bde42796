# SPDX-License-Identifier: Apache-2.0
"""Images of formats other than raw and qcow2 that we write: qemu-img's and ours of the same content are alike, up to the last byte
where nothing in them is random, and qemu-img and qemu-io find nothing wrong with them."""

import dataclasses
import json

from lib import daily, recipes, second_readers, vhd_images
from lib.loop_devices import loop_device
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20


@dataclasses.dataclass
class Written:
    options: tuple  # of -o; each is a case of its own
    refused: tuple = ()  # of -o
    unequal: tuple = ()  # ranges of the file that are random or the time; None: files are laid out in another way
    sizes: tuple = (0, 512, 5 * MIB + 512, 13 * MIB)
    too_large: tuple = ()
    unequal_info: tuple = ()


FORMATS = {
    "vdi": Written(("", "static=on", "preallocation=full"), ("static=foo", "block_size=1M", "preallocation=foo"), ((0, 512),), too_large=("600T",)),
    "vpc": Written(("", "subformat=fixed", "force_size=on", "subformat=fixed;force_size=on", "nocow=on"),
                   ("subformat=foo", "force_size=1", "size=3T", "size=2041G,force_size=on"), ((0, 512), (-512, None)),
                   (0, 512, 5 * MIB + 512, 13 * MIB, 1000), ("2041G", "3T")),
    # Headers, the log and the disk's identifier. An empty one has a table of 64 MiB: not here.
    "vhdx": Written(("", "block_size=1M", "block_state_zero=off;block_size=2M", "subformat=fixed",
                     "subformat=fixed;block_state_zero=off", "log_size=1500k;block_size=300M", "extent_size_hint=1M"),
                    ("subformat=foo", "block_size=3M", "log_size=5G", "log_size=0", "block_state_zero=1", "log_size=-1"), (),
                    (512, 5 * MIB + 512, 13 * MIB), ("65T",)),
    # Where L2 tables are depends on the order of what is written.
    "qed": Written(("", "cluster_size=4k;table_size=2", "cluster_size=1M", "table_size=16", "preallocation=falloc"),
                   ("cluster_size=3000", "cluster_size=128M", "table_size=3", "table_size=32", "cluster_size=64M", "encrypt.format=aes"),
                   None, too_large=("65T",)),
    "parallels": Written(("", "cluster_size=3000", "cluster_size=4M", "preallocation=falloc"), ("cluster_size=0", "cluster_size=1P", "cluster_size=x"),
                         too_large=("8000P",)),
    "qcow": Written(("", "preallocation=full;nocow=off"), ("cluster_size=4k", "preallocation=metadata")),
    "vmdk": Written(("", "zeroed_grain=on", "adapter_type=lsilogic", "compat6=on", "hwversion=9;toolsversion=11",
                     "subformat=streamOptimized", "subformat=streamOptimized;zeroed_grain=on", "subformat=monolithicFlat;nocow=on",
                     "subformat=twoGbMaxExtentSparse", "subformat=twoGbMaxExtentFlat;adapter_type=buslogic"),
                    ("adapter_type=foo", "subformat=foo", "compat6=on,hwversion=6", "zeroed_grain=x", "cluster_size=64k",
                     "preallocation=foo", "subformat=monolithicFlat,zeroed_grain=on"),
                    ((512, 21 * 512),), (512, 5 * MIB + 512, 40 << 30), unequal_info=("format-specific",)),
}


def of_pieces(size, pieces):
    return recipes.raw_sparse(size, pieces)


def odd(maker):
    """Units of zeros between others, and an end within a sector."""
    (maker.directory / "image").write_bytes(bytes(3 * MIB) + b"x" * 4096 + bytes(MIB) + b"y" * 5000 + bytes(2 * MIB) + b"z" * 100)


def full(maker):
    (maker.directory / "image").write_bytes(b"".join(i.to_bytes(8, "little") * 64 for i in range(1, 9 * 2048)))


SOURCES = {
    "sparse": of_pieces(12 * MIB + 512, [(0, 4096), (5 * MIB + 300, 200 * KIB), (12 * MIB, 512)]),
    "scattered": of_pieces(24 * MIB, [(i * 7 * MIB // 2, MIB) for i in range(6)]),
    "zero": of_pieces(9 * MIB, []),
    "empty": of_pieces(0, []),
    "full": full,
    "odd": odd,
}
WAYS = {"": [], "sparse0": ["-S", "0"], "sparse64k": ["-S", "64k"], "qcow2": ["-f", "qcow2"]}
CASES = [f"{name},{options or 'default'},{source},{way}" for name, format in FORMATS.items()
         for options in format.options for source in SOURCES for way in WAYS
         if (name, source) != ("vmdk", "empty")]  # qemu-img makes it and then cannot open it


def info(context, name, format):
    done = context.run([REFERENCE, "info", "--output=json", "-f", format, name]).expect()
    found = json.loads(done.stdout)
    for key in ("actual-size", "filename", *FORMATS[format].unequal_info):
        found.pop(key, None)
    return found


def unequal_places(format, options):
    if format == "vmdk" and "subformat" in options:  # other streams, or a descriptor with other names
        return None
    if format != "vhdx":
        return FORMATS[format].unequal
    if "subformat=fixed" in options:  # ours have whole blocks, and all of them in the table
        return None
    log_len = 2 if "log_size=1500k" in options else 1
    return ((0, (1 + log_len) * MIB), ((2 + log_len) * MIB + 64 * KIB, (2 + log_len) * MIB + 64 * KIB + 512))


def same_bytes(context, format, options):
    unequal = unequal_places(format, options)
    if unequal is None:
        return
    own, reference = (bytearray((context.directory / name).read_bytes()) for name in ("own", "reference"))
    if len(own) != len(reference):
        raise Failure(f"{len(own)} bytes, not {len(reference)}")
    for start, end in unequal:
        end = len(own) if end is None else end
        start = start if start >= 0 else start + len(own)
        own[start:end] = reference[start:end] = bytes(end - start)
    if own != reference:
        sectors = [at for at in range(0, len(own), 512) if own[at:at + 512] != reference[at:at + 512]]
        raise Failure(f"{len(sectors)} other sectors than qemu-img's, the first one at {sectors[0]:#x}")


def compare_images(context, format, options=""):
    if info(context, "own", format) != info(context, "reference", format):
        raise Failure(f"info of our image: {info(context, 'own', format)}\nof qemu-img's: {info(context, 'reference', format)}")
    checks = [context.run([REFERENCE, "check", "-f", format, name]) for name in ("own", "reference")]
    if checks[0].status not in (0, 63, checks[1].status):  # 63: the format has no check; of its own, QEMU tells of some leaks
        raise Failure(checks[0].describe("finds something"))
    same_bytes(context, format, options)


def same_words(context, *arguments):
    """Both programs say the same, and end alike; 0 when both succeed."""
    seen = []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        done = context.run([program, *(name if argument is None else argument for argument in arguments)])
        seen.append((done.status, done.stdout.replace(name, "NAME"), done.stderr.replace(name, "NAME")))
    if seen[0] != seen[1]:
        raise Failure(f"{arguments}: {seen[0]}\nnot {seen[1]}")
    return seen[0][0]


def by_7zip(context, format, name):
    """None: it opens neither our image nor qemu-img's, as of vhdx disks that end within a KiB."""
    try:
        return second_readers.extract(context, format, name)
    except Failure:
        try:
            second_readers.extract(context, format, "reference")
        except Failure:
            return None
        raise


def read_by_others(context, format, options, name):
    """The disk is the same to whoever reads it."""
    maker = recipes.Maker(context.directory)
    readers = []
    if format in second_readers.LIBRARIES:
        readers.append(lambda: second_readers.read_disk(context, format, [name]))
    if format in second_readers.SUFFIXES and (format, "subformat=fixed" in options) != ("vhdx", True):
        readers.append(lambda: by_7zip(context, format, name))
    maker.convert(name, "disk", "-f", format, "-O", "raw")
    for reader in readers:
        found = reader()
        if found is not None:
            sectors_alike("another reader", found, (context.directory / "disk").read_bytes())


def write_to(context, format):
    """qemu-io goes on where we have ended."""
    maker = recipes.Maker(context.directory)
    before = context.run([REFERENCE, "check", "-f", format, "own"])  # QEMU tells of a leak also where its own image has the same
    maker.io("own", "write -P 7 2900k 300k", "read -P 7 2900k 300k", "write -P 8 0 512", format=format)
    after = context.run([REFERENCE, "check", "-f", format, "own"])
    if after.status not in (0, 63, before.status):
        raise Failure(after.describe("finds something after a write"))
    data = bytearray((context.directory / "disk").read_bytes()) if (context.directory / "disk").exists() else None
    maker.convert("own", "written", "-f", format, "-O", "raw")
    if data is not None:
        data[2900 * KIB:3200 * KIB] = b"\7" * (300 * KIB)
        data[:512] = b"\x08" * 512
        sectors_alike("after a write", (context.directory / "written").read_bytes(), bytes(data))


def is_left_out(options, is_empty):
    """Of a fixed VHD of no bytes, QEMU makes a file that it cannot open; `convert` of ours makes none. An empty VHDX takes long."""
    return is_empty and (options.startswith("vhdx") or "vpc" in options and "subformat=fixed" in options)


CASES = [case for case in CASES if not is_left_out(case, ",empty," in case)]


@test(cases=daily.sample("written formats converted", CASES, len(FORMATS)), timeout=120)
def converted(context, case):
    format, options, source, way = case.split(",")
    SOURCES[source](recipes.Maker(context.directory))
    source_format = "raw"
    if way == "qcow2":
        context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "image", "other"]).expect()
        (context.directory / "other").rename(context.directory / "image")
        source_format = "qcow2"
    arguments = ["-f", source_format, *(WAYS[way] if way != "qcow2" else [])]
    if options != "default":
        arguments += ["-o", options.replace(";", ",")]
    if same_words(context, "convert", *arguments, "-O", format, "image", None) != 0:
        return
    compare_images(context, format, options)
    for program in (REFERENCE, context.qemu_img_beside):
        context.run([program, "compare", "-f", source_format, "-F", format, "image", "own"]).expect()
    if source != "empty" and "300M" not in options:
        read_by_others(context, format, options, "own")
        if "streamOptimized" not in options:
            write_to(context, format)


CREATIONS = [f"{name},{options or 'default'},{size}" for name, format in FORMATS.items()
             for options in format.options for size in format.sizes if (name, size) != ("vhdx", 0)]


@test(cases=daily.sample("written formats created", CREATIONS, len(FORMATS)))
def created(context, case):
    format, options, size = case.split(",")
    arguments = [] if options == "default" else ["-o", options.replace(";", ",")]
    if same_words(context, "create", "-f", format, *arguments, None, size) != 0:
        return
    if (format, size) == ("vpc", "0") and "subformat=fixed" in options:
        return same_bytes(context, format, options)
    compare_images(context, format, options)
    if int(size) >= MIB and "streamOptimized" not in options:
        context.run(["qemu-io", "-f", format, "-c", "write -P 7 100k 300k", "-c", "read -P 7 100k 300k", "-c", "read -P 0 0 100k",
                     "own"]).expect()
        context.run([REFERENCE, "compare", "-f", format, "-F", format, "own", "own"]).expect()


@test(cases=list(FORMATS))
def refused(context, case):
    """In qemu-img's words."""
    SOURCES["odd"](recipes.Maker(context.directory))
    for option in daily.sample(f"refused {case}", FORMATS[case].refused, 3):
        same_words(context, "create", "-f", case, "-o", option, None, *([] if "size" in option.split("=") else ["1M"]))
    for size in FORMATS[case].too_large:
        same_words(context, "create", "-f", case, None, size)
    if case != "qcow":
        same_words(context, "convert", "-f", "raw", "-O", case, "-c", "-o", "preallocation=off", "image", None)
    same_words(context, "measure", "-O", case, "--size", "1M")


# Switches as they were given, and a backing file's format without a backing file, which most formats take.
TOLD = ["vdi -o static=yes", "vdi -o nostatic", "vpc -o force_size=y", "vmdk -o compat6=n", "vmdk -o zeroed_grain=true", "qcow -o encryption=off",
        "vmdk -o subformat=monolithicFlat,toolsversion=5,hwversion=7", "qcow2 -o lazy_refcounts=yes", "qcow2 -F raw", "qcow2 -o backing_fmt=raw",
        "qcow -F qcow", "vmdk -F vmdk", "vmdk -o backing_fmt=raw", "qed -F raw", "qed -o backing_fmt=foo", "vpc -F vpc", "vhdx -F vhdx", "vdi -F vdi"]


@test(cases=daily.sample("written formats told", TOLD, 4))
def told(context, case):
    """What is printed, and whether that can be made."""
    SOURCES["odd"](recipes.Maker(context.directory))
    format, *words = case.split()
    same_words(context, "create", "-f", format, *words, None, "1M")
    same_words(context, "convert", "-f", "raw", "-O", format, *words, "image", None)


@test(cases=list(FORMATS))
def parts(context, case):
    """dd of a part, and the options' list."""
    SOURCES["full"](recipes.Maker(context.directory))
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        context.run([program, "dd", "-f", "raw", "-O", case, "if=image", f"of={name}", "bs=64k", "skip=3", "count=40"]).expect()
    compare_images(context, case)
    context.run([REFERENCE, "compare", "-f", case, "-F", case, "own", "reference"]).expect()


def disk(context, name, format):
    context.run([context.qemu_img_beside, "convert", "--backing=beside", "-f", format, "-O", "raw", name, "disk"]).expect()
    return (context.directory / "disk").read_bytes()


@test(cases=["vpc", "vhdx"])
def children(context, case):
    """Differencing disks, which QEMU does not make: they read as their parent, and with no other one."""
    maker = recipes.Maker(context.directory)
    for name in ("parent", "other"):
        maker.create(name, 9 * MIB, format=case)
        maker.io(name, "write -P 5 1M 3M", format=case)
    create = [context.qemu_img_beside, "create", "-q", "-f", case, "-F", case]
    context.run([*create, "-b", "parent", "child"]).expect()
    context.run([context.qemu_img_beside, "check", "-f", case, "child"]).expect()
    if disk(context, "child", case) != disk(context, "parent", case):
        raise Failure("the child is not its parent's disk")
    found = json.loads(context.run([context.qemu_img_beside, "info", "--output=json", "-f", case, "child"]).expect().stdout)
    if (found["backing-filename"], found["backing-filename-format"]) != ("parent", case):
        raise Failure(f"info: {found}")
    context.run([*create, "-b", "child", "grandchild"]).expect()
    if disk(context, "grandchild", case) != disk(context, "parent", case):
        raise Failure("the grandchild is another disk")
    (context.directory / "other").rename(context.directory / "parent")
    if context.run([context.qemu_img_beside, "convert", "--backing=beside", "-f", case, "-O", "raw", "child", "disk"]).status != 1:
        raise Failure("read with a parent that is not its own")
    for options, words in ((["-b", "parent", "-u", "new", "1M"], "has to be there"), (["-b", "parent", "new", "2M"], "as long as its parent")):
        done = context.run([*create, *options])
        if done.status != 1 or words not in done.stderr or (context.directory / "new").exists():
            raise Failure(done.describe(f"not refused: {words}"))


def sectors_alike(what, own, wanted):
    if own != wanted:
        places = [at for at in range(0, max(len(own), len(wanted)), 512) if own[at:at + 512] != wanted[at:at + 512]]
        raise Failure(f"{what}: {len(own)} bytes for {len(wanted)}, and {len(places)} other sectors, the first one at {places[0]:#x}")


def child_alike(context, format, names, wanted):
    sectors_alike(names[0], disk(context, names[0], format), wanted)
    sectors_alike(f"{names[0]}, by 7zip", second_readers.extract(context, format, names[0]), wanted)
    if format == "vhdx":  # of a VHD, libvhdi takes 8 sectors for the child's where one is
        sectors_alike(f"{names[0]}, by libvhdi", second_readers.read_disk(context, format, names), wanted)


CHILDREN = [f"{format},{options},{way}" for format, options in (("vpc", ""), ("vhdx", ""), ("vhdx", "block_size=1M"), ("vhdx", "block_size=32M"))
            for way in ("", "sparse0", "whole")]


@test(cases=daily.sample("converted children", CHILDREN, 1), timeout=60)
def children_converted(context, case):
    """convert -B: a child has the sectors that the source has, and no others; zeros over something are zeros."""
    format, options, way = case.split(",")
    maker = recipes.Maker(context.directory)
    maker.create("base", 9 * MIB, format=format)
    maker.io("base", "write -P 5 1M 6M", "write -P 6 8M 300k", format=format)
    maker.create("top", None, "cluster_size=512", backing="base", backing_format=format)
    maker.io("top", "write -P 7 2000k 100k", "write -z 3M 2M", "write -z 5500k 3k", "write -P 9 8704k 512", "write -P 8 0 1536",
             "write -P 8 6M 1M", "write -P 4 7680000 5120")
    maker.convert("top", "whole", "-O", "raw")
    wanted = (context.directory / "whole").read_bytes()
    source = ["-f", "raw", "whole"] if way == "whole" else ["-f", "qcow2", "top"]
    arguments = [*(["-S", "0"] if way == "sparse0" else []), *(["-o", options] if options else []), *source]
    make = [context.qemu_img_beside, "convert", "-O", format, "-B", "base", "-F", format]
    context.run([*make, *arguments, "child"]).expect()
    for name in ("base", "child"):
        context.run([context.qemu_img_beside, "check", "-f", format, name]).expect()
    child_alike(context, format, ["child", "base"], wanted)
    if format == "vhdx":  # of which QEMU's map tells nothing
        own_len = vhd_images.Vhdx(context.directory / "child").own_length(len(wanted))
    else:
        found = json.loads(context.run([context.qemu_img_beside, "map", "--output=json", "-f", format, "child"]).expect().stdout)
        own_len = sum(extent["length"] for extent in found if extent["depth"] == 0)
    own = {"whole": len(wanted)}.get(way, (100 + 2048 + 3 + 1024 + 5) * KIB + 512 + 1536)
    if own_len != own:
        raise Failure(f"{own_len} bytes are the child's own, and not {own}")
    # A child of that, of what the first one has as well.
    maker.io("top", "write -P 3 4M 1M")
    maker.convert("top", "whole", "-O", "raw")
    context.run([context.qemu_img_beside, "convert", "-O", format, "-B", "child", "-F", format, "-f", "qcow2", "top", "grandchild"]).expect()
    child_alike(context, format, ["grandchild", "child", "base"], (context.directory / "whole").read_bytes())


@test(cases=daily.sample("long children", ["vpc", "vhdx"], 1))
def long_children(context, case):
    """Sectors at both sides of what one bitmap of a VHDX has, and none in between."""
    maker = recipes.Maker(context.directory)
    maker.create("base", 13 << 30, format=case)
    maker.io("base", "write -P 5 100M 1M", "write -P 6 4095M 2M", "write -P 7 12G 1M", format=case)
    maker.create("top", None, backing="base", backing_format=case)
    maker.io("top", "write -P 1 100M 64k", "write -P 2 4194240k 128k", "write -z 12G 64k", "write -P 3 13000M 64k")
    context.run([context.qemu_img_beside, "convert", "-O", case, "-B", "base", "-F", case, "-f", "qcow2", "top", "child"]).expect()
    context.run([context.qemu_img_beside, "check", "-f", case, "child"]).expect()
    context.run([context.qemu_img_beside, "compare", "-f", "qcow2", "-F", case, "top", "child"]).expect()
    ranges = [(100 * MIB - 512, 65 * KIB), (4094 * MIB, 4 * MIB), (6 << 30, 512), (12 << 30, MIB), (13000 * MIB, 128 * KIB)]
    wanted = (bytes(512) + b"\1" * 64 * KIB + b"\5" * 512 + bytes(MIB) + b"\6" * (MIB - 64 * KIB) + b"\2" * 128 * KIB +
              b"\6" * (MIB - 64 * KIB) + bytes(MIB) + bytes(512) + bytes(64 * KIB) + b"\7" * (MIB - 64 * KIB) + b"\3" * 64 * KIB + bytes(64 * KIB))
    sectors_alike("by libvhdi", second_readers.read_disk(context, case, ["child", "base"], ranges), wanted)


@test()
def children_refused(context):
    maker = recipes.Maker(context.directory)
    for name, size, format in (("vpc", MIB, "vpc"), ("vhdx", MIB, "vhdx"), ("longer", 9 * MIB, "qcow2"), ("raw", MIB, "raw")):
        maker.create(name, size, format=format)
    make = [context.qemu_img_beside, "convert", "-O"]
    for words, reason in ((["vpc", "-B", "vpc", "-F", "vpc", "longer"], "as long as its parent"),
                          (["vhdx", "-B", "raw", "-F", "raw", "raw"], "has to be a vhdx image"),
                          (["vpc", "-B", "vhdx", "-F", "vhdx", "vhdx"], "has to be a vpc image"),
                          (["vhdx", "-B", "vhdx", "-F", "vhdx", "-o", "subformat=fixed", "vhdx"], "subformat=fixed"),
                          (["vpc", "-c", "-B", "vpc", "-F", "vpc", "vpc"], "Compression not supported"),
                          (["vpc", "-B", "nothing", "-F", "vpc", "vpc"], "No such file"),
                          (["vdi", "-B", "vpc", "-F", "vpc", "vpc"], "Backing file not supported")):
        done = context.run([*make, *words, "new"])
        if done.status != 1 or reason not in done.stderr or len(done.stderr.splitlines()) != 1 or (context.directory / "new").exists():
            raise Failure(done.describe(f"not refused: {reason}"))


@test(cases=["qed", "qcow"])
def backed(context, case):
    """What the source leaves to its backing file, the new image leaves to its own."""
    maker = recipes.Maker(context.directory)
    maker.create("base", 9 * MIB)
    maker.io("base", "write -P 5 1M 3M", "write -P 6 8M 300k")
    maker.create("top", 9 * MIB, backing="base")
    maker.io("top", "write -P 7 2000k 100k", "write -z 3M 128k", "write -P 9 8704k 500")
    for option in ("", "cluster_size=4k") if case == "qed" else ("",):
        arguments = ["-O", case, "-B", "base", "-F", "qcow2", *(["-o", option] if option else []), "top"]
        if same_words(context, "convert", *arguments, None) != 0:
            raise Failure("not converted")
        compare_images(context, case)
        context.run([REFERENCE, "compare", "-f", "qcow2", "-F", case, "top", "own"]).expect()
        maps = [json.loads(context.run([REFERENCE, "map", "--output=json", "-f", case, name]).expect().stdout)
                for name in ("own", "reference")]
        if [[(extent["start"], extent["length"], extent["depth"]) for extent in found if not extent["zero"]] for found in maps][0] == []:
            raise Failure("nothing is stored")
    if same_words(context, "create", "-f", case, "-b", "base", "-F", "qcow2", None) != 0:
        raise Failure("not created")
    compare_images(context, case)


@test()
def qcow_compressed(context):
    """As long as QEMU's, which ends with 1 all the same: it flushes what this format cannot."""
    maker = recipes.Maker(context.directory)
    text = b"".join(b"%d bottles of beer on the wall\n" % (i * i % 9973) for i in range(60000))
    (context.directory / "image").write_bytes(bytes(MIB) + text + daily.dice("qcow compressed").randbytes(100000) + b"end")
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        done = context.run([program, "convert", "-f", "raw", "-O", "qcow", "-c", "image", name])
        if name == "own":
            done.expect()
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow", "image", "own"]).expect()
    context.run([context.qemu_img_beside, "compare", "-f", "raw", "-F", "qcow", "image", "own"]).expect()
    lengths = [(context.directory / name).stat().st_size for name in ("own", "reference")]
    if lengths[0] > 1.02 * lengths[1]:
        raise Failure(f"{lengths[0]} bytes, QEMU's {lengths[1]}")
    maker.io("own", "write -P 3 1M 8k", "read -P 3 1M 8k", format="qcow")


@test(cases=daily.sample("written formats on devices", [f"{name},{options}" for name, format in FORMATS.items() for options in format.options
                                                         if "fixed" not in options and (name, "subformat" in options) != ("vmdk", True)
                                                         and "=full" not in options and "=falloc" not in options], 3))
def on_device(context, case):
    """Nothing of what the device held shows on the disk."""
    format, options = case.split(",")
    SOURCES["odd"](recipes.Maker(context.directory))
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * (60 * MIB))
    with disk.open("r+b") as file:
        file.truncate(400 * MIB)  # a block may have 256 MiB
    arguments = ["-o", options.replace(";", ",")] if options else []
    with loop_device(disk) as device:
        context.run([context.qemu_img, "convert", "-f", "raw", "-O", format, *arguments, "image", device]).expect()
        context.run([REFERENCE, "convert", "-f", format, "-O", "raw", device, "content"]).expect()
    image, content = ((context.directory / name).read_bytes() for name in ("image", "content"))
    if content.rstrip(b"\0") != image.rstrip(b"\0"):
        raise Failure("another content")


@test(cases=["convert,vmdk,subformat=streamOptimized", "convert,vpc,subformat=fixed", "create,vmdk,subformat=streamOptimized",
             "create,vpc,subformat=fixed"])
def device_without_end(context, case):
    """What is looked for at the end of a file does not go to a device that is longer: nobody would find it."""
    command, format, options = case.split(",")
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * (14 * MIB))
    (context.directory / "image").write_bytes(b"x" * (6 * MIB))
    with loop_device(disk) as device:
        words = ["-f", "raw", "-O", format, "-o", options, "image", device] if command == "convert" else \
            ["-f", format, "-o", options, device, "6M"]
        done = context.run([context.qemu_img, command, *words]).expect(1)
    if "is found by its end" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected one line that says why"))
    if disk.read_bytes() != b"\xff" * (14 * MIB):
        raise Failure("the device was written to")


@test()
def device_with_end(context):
    """A device that ends with the image is as good as a file."""
    image, disk = context.directory / "image", context.directory / "disk"
    image.write_bytes(b"x" * (6 * MIB))
    disk.write_bytes(b"\xff" * (6 * MIB + 512))
    with loop_device(disk) as device:
        context.run([context.qemu_img, "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", "image",
                     device]).expect()
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "vpc", "image", device]).expect()
