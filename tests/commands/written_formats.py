# SPDX-License-Identifier: Apache-2.0
"""Images of formats other than raw and qcow2 that we write: qemu-img's and ours of the same content are alike, up to the last byte
where nothing in them is random, and qemu-img and qemu-io find nothing wrong with them."""

import dataclasses
import json

from lib import daily, recipes
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
    "vdi": Written(("", "static=on"), ("static=foo", "block_size=1M", "preallocation=foo"), ((0, 512),), too_large=("600T",)),
    "vpc": Written(("", "subformat=fixed", "force_size=on", "subformat=fixed;force_size=on"),
                   ("subformat=foo", "force_size=1", "size=3T", "size=2041G,force_size=on"), ((0, 512), (-512, None)),
                   (0, 512, 5 * MIB + 512, 13 * MIB, 1000), ("2041G", "3T")),
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
         for options in format.options for source in SOURCES for way in WAYS]


def info(context, name, format):
    done = context.run([REFERENCE, "info", "--output=json", "-f", format, name]).expect()
    found = json.loads(done.stdout)
    for key in ("actual-size", "filename", *FORMATS[format].unequal_info):
        found.pop(key, None)
    return found


def same_bytes(context, format):
    unequal = FORMATS[format].unequal
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


def compare_images(context, format):
    if info(context, "own", format) != info(context, "reference", format):
        raise Failure(f"info of our image: {info(context, 'own', format)}\nof qemu-img's: {info(context, 'reference', format)}")
    done = context.run([REFERENCE, "check", "-f", format, "own"])
    if done.status not in (0, 63):  # 63: the format has no check
        raise Failure(done.describe("finds something"))
    same_bytes(context, format)


def same_words(context, *arguments):
    """Both programs say the same, and end alike; 0 when both succeed."""
    seen = []
    for program, name in ((context.qemu_img_beside, "own"), (REFERENCE, "reference")):
        done = context.run([program, *(name if argument is None else argument for argument in arguments)])
        seen.append((done.status, done.stdout.replace(name, "NAME"), done.stderr.replace(name, "NAME")))
    if seen[0] != seen[1]:
        raise Failure(f"{arguments}: {seen[0]}\nnot {seen[1]}")
    return seen[0][0]


def is_unreadable(options, is_empty):
    """Of a fixed VHD of no bytes, QEMU makes a file that it cannot open; we make none."""
    return is_empty and "subformat=fixed" in options and "block_" not in options


CASES = [case for case in CASES if not is_unreadable(case, ",empty," in case)]


@test(cases=daily.sample("written formats converted", CASES, 5 * len(FORMATS)), timeout=120)
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
    compare_images(context, format)
    for program in (REFERENCE, context.qemu_img_beside):
        context.run([program, "compare", "-f", source_format, "-F", format, "image", "own"]).expect()


CREATIONS = [f"{name},{options or 'default'},{size}" for name, format in FORMATS.items()
             for options in format.options for size in format.sizes if not is_unreadable(options, size == 0 and name == "vpc")]


@test(cases=daily.sample("written formats created", CREATIONS, 3 * len(FORMATS)))
def created(context, case):
    format, options, size = case.split(",")
    arguments = [] if options == "default" else ["-o", options.replace(";", ",")]
    if same_words(context, "create", "-f", format, *arguments, None, size) != 0:
        return
    compare_images(context, format)
    if int(size) >= MIB:
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
    same_words(context, "convert", "-f", "raw", "-O", case, "-c", "-o", "preallocation=off", "image", None)
    same_words(context, "measure", "-O", case, "--size", "1M")


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


@test(cases=["vpc"])
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
    if same_words(context, "convert", "-O", case, "-B", "parent", "-F", case, "parent", None) != 1:
        raise Failure("a child with content was made")
