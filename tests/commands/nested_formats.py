# SPDX-License-Identifier: Apache-2.0
"""A format over another format, as json: and --image-opts have it: what is read through both, beside qemu-img."""

import json
import random

from lib import daily, dmg_writer, recipes
from lib.beside import REFERENCE, digest, same
from lib.python_tests import test
from lib.suite import Failure

KIB = 1 << 10
SECRET = ("--object", "secret,id=s,data=neu")
SECRETS = {"key-secret", "encrypt.key-secret"}
LUKS = ("-o", "key-secret=s,iter-time=10")
QCOW2_LUKS = ("-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10")
# How an image is made of a raw file, and the members of its node besides "file".
KINDS = {
    "qcow2": (["-O", "qcow2"], {}),
    "qcow2-small": (["-O", "qcow2", "-o", "cluster_size=512"], {}),
    "qcow2-large": (["-O", "qcow2", "-o", "cluster_size=2M"], {}),
    "qcow2-compressed": (["-c", "-O", "qcow2", "-o", "cluster_size=4k"], {}),
    "qcow2-zstd": (["-c", "-O", "qcow2", "-o", "compression_type=zstd"], {}),
    "qcow2-encrypted": (["-O", "qcow2", *QCOW2_LUKS], {"encrypt.key-secret": "s"}),
    "vmdk": (["-O", "vmdk"], {}),
    "vmdk-stream": (["-O", "vmdk", "-o", "subformat=streamOptimized"], {}),
    "vmdk-flat": (["-O", "vmdk", "-o", "subformat=monolithicFlat"], {}),
    "vdi": (["-O", "vdi"], {}),
    "vdi-static": (["-O", "vdi", "-o", "static=on"], {}),
    "vpc": (["-O", "vpc", "-o", "force_size=on"], {}),
    "vpc-fixed": (["-O", "vpc", "-o", "subformat=fixed,force_size=on"], {}),
    "vhdx": (["-O", "vhdx", "-o", "block_size=1M"], {}),
    "qed": (["-O", "qed"], {}),
    "qcow": (["-O", "qcow"], {}),
    "parallels": (["-O", "parallels"], {}),
    "luks": (["-O", "luks", *LUKS], {"key-secret": "s"}),
}
# The head of a dynamic vpc, as that of a fixed one: such a file is taken for a dynamic one. A flat vmdk is several files.
CASES = [f"{top}-in-{below}" for top in KINDS for below in KINDS
         if (top, below) != ("vpc", "vpc-fixed") and top != "vmdk-flat"]
LENGTH = 1536 * KIB


def text_make(directory):
    """Text that can be compressed, zeros, and bytes that cannot; no whole number of clusters."""
    text = b"".join(b"%07d\n" % line for line in range(600 * KIB // 8))
    content = text + bytes(300 * KIB) + random.Random(14).randbytes(100 * KIB) + text[:70 * KIB]
    (directory / "text.raw").write_bytes(content.ljust(LENGTH - 33 * KIB, b"\0"))


def driver(kind):
    return kind.split("-")[0]


def image_make(context, source, kind, target):
    words, _ = KINDS[kind]
    # qemu-img measures passphrases' iterations by processor time, and fails where that is short.
    program = context.qemu_img if SECRETS & set(KINDS[kind][1]) else REFERENCE
    context.run([program, "convert", *SECRET, "-f", "raw", *words, source, target]).expect()


def node(kind, file):
    if isinstance(file, str):
        file = {"driver": "file", "filename": file}
    return {"driver": driver(kind), **KINDS[kind][1], "file": file}


def name_of(members):
    return "json:" + json.dumps(members)


def nest(context, kinds, source="text.raw"):
    """Images within each other, the first one outermost; each in a file of its own is removed. The node of the first."""
    names = [f"{index}-{kind}.{driver(kind)}" for index, kind in enumerate(kinds)]
    for name, kind in zip(names, kinds):
        image_make(context, source, kind, name)
        source = name
    nested = names[-1]
    for kind in reversed(kinds):
        nested = node(kind, nested)
    return nested


def look(context, name, expected, *options, checks_more=False):
    """All commands that read, beside qemu-img; the content is that of the file `expected`."""
    checks = [] if checks_more else [["check"], ["check", "--output=json"]]
    for words in (["info"], ["info", "--output=json"], *checks, ["measure", "-O", "qcow2"], ["map", "--output=json"], ["map"]):
        same(context, *words, *SECRET, *options, name, errors=words[0] != "map")
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "convert", *SECRET, *options, "-O", "raw", name, "out.raw"]).expect()
        if digest(context.directory / "out.raw") != digest(context.directory / expected):
            raise Failure(f"another content of {name} by {program}")
    context.run([context.qemu_img, "convert", *SECRET, *options, "-c", "-O", "qcow2", name, "out.qcow2"]).expect()
    context.run([REFERENCE, "compare", "-f", "qcow2", "-F", "raw", "out.qcow2", expected]).expect()
    if not options:
        same(context, "compare", *SECRET, "-F", "raw", name, expected)


@test(cases=daily.sample("nested formats", CASES, 4), timeout=180)
def pairs(context, case):
    """Each format within each: some payload lies below as it is, some is compressed or encrypted there."""
    recipes.make_once(text_make, context.directory)
    kinds = case.split("-in-")
    look(context, name_of(nest(context, kinds)), "text.raw", checks_more=driver(kinds[0]) == "vpc")


# Outermost first: what is encrypted or compressed twice, plain data through all of them, as many as there may be.
DEEP = {
    "encrypted-twice": ["luks", "luks"],
    "compressed-twice": ["qcow2-compressed", "vmdk-stream"],
    "encrypted-compressed": ["luks", "qcow2-compressed", "vmdk"],
    "compressed-encrypted": ["qcow2-zstd", "luks", "vdi"],
    "plain": ["vpc", "qed", "vhdx"],
    "small": ["luks", "qcow2-small", "qcow2-small"],
    "large": ["qcow2-large"] * 5,
    "five": ["qcow2", "vmdk", "luks", "parallels", "qcow2-compressed"],
}


@test(cases=daily.sample("nested formats, deep", list(DEEP), 1), timeout=180)
def deep(context, case):
    recipes.make_once(text_make, context.directory)
    name = name_of(nest(context, DEEP[case]))
    look(context, name, "text.raw", checks_more=driver(DEEP[case][0]) == "vpc")
    same(context, "compare", *SECRET, name, name)


@test(timeout=120)
def long_units(context):
    """Chunks of a dmg that are compressed again below: read front to back, and in between."""
    writer, image = dmg_writer.disk([dmg_writer.ZLIB], [700 * KIB] * 2)
    (context.directory / "image.dmg").write_bytes(image)
    context.run([REFERENCE, "convert", "-f", "dmg", "-O", "raw", "image.dmg", "disk.raw"])
    image_make(context, "image.dmg", "qcow2-compressed", "below")
    name = name_of({"driver": "dmg", "file": node("qcow2-compressed", "below")})
    for words in (["convert", "-O", "raw", name, "own.raw"], ["compare", "-F", "raw", name, "disk.raw"],
                  ["bench", "-c", "40", "-s", "9k", "-S", "70k", name]):
        context.run([context.qemu_img, *words]).expect()
    if digest(context.directory / "own.raw") != digest(context.directory / "disk.raw"):
        raise Failure("another content")


@test(timeout=120)
def behind(context):
    """Backing files of an image within another one, and of the one that it is within; named by the user or by the image."""
    recipes.make_once(text_make, context.directory)
    maker = recipes.Maker(context.directory)
    maker.run(REFERENCE, "create", "-q", "-f", "qcow2", "-b", "text.raw", "-F", "raw", "child.qcow2")
    maker.run("/usr/bin/qemu-io", "-c", "write -P 9 100k 64k", "child.qcow2")
    image_make(context, "child.qcow2", "vmdk", "child.vmdk")
    child = node("vmdk", "child.vmdk")
    maker.run(REFERENCE, "create", "-q", "-f", "qcow2", "bare.qcow2", str((context.directory / "text.raw").stat().st_size))
    maker.run("/usr/bin/qemu-io", "-c", "write -P 9 100k 64k", "bare.qcow2")
    image_make(context, "bare.qcow2", "vmdk", "bare.vmdk")
    bare = node("vmdk", "bare.vmdk")  # QEMU has images behind it without a file name only where the image names none
    plain = {"driver": "raw", "file": {"driver": "file", "filename": "text.raw"}}
    # The one below is a child, too: its content is another qcow2 image.
    image_make(context, "text.raw", "qcow2", "inner.qcow2")
    image_make(context, "inner.qcow2", "vdi", "base.vdi")
    size = (context.directory / "inner.qcow2").stat().st_size
    maker.run(REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base.vdi", "-F", "vdi", "over.qcow2", str(size))
    (context.directory / "other.vdi").write_bytes((context.directory / "base.vdi").read_bytes())  # QEMU tells of another one
    named = {"driver": "qcow2", "file.filename": "over.qcow2", "backing": node("vdi", "other.vdi")}
    for members in ({"driver": "qcow2", "file": child, "backing": plain}, {"driver": "qcow2", "file": child, "backing": None},
                    {"driver": "qcow2", "file": named},
                    {"driver": "qcow2", "file": bare, "backing": {"driver": "qcow2", "file": node("vdi", "base.vdi")}},
                    {"driver": "qcow2", "file": bare, "backing": {"driver": "qcow2", "file": named}}):
        name = name_of(members)
        for words in (["info"], ["map", "--output=json"], ["check"]):
            same(context, *words, name)
        theirs, ours = (context.run([program, "info", "--backing-chain", name]) for program in (REFERENCE, context.qemu_img_beside))
        if (ours.status, ours.stdout) != (theirs.status, theirs.stdout):
            raise Failure(theirs.describe("qemu-img") + "\n" + ours.describe("ours"))
        for program, target in ((REFERENCE, "reference.raw"), (context.qemu_img, "own.raw")):
            context.run([program, "convert", "-O", "raw", name, target]).expect()
        if digest(context.directory / "reference.raw") != digest(context.directory / "own.raw"):
            raise Failure(f"another content of {name}")
    # What the images say by themselves is for the rules.
    for name in (name_of({"driver": "qcow2", "file": child}),
                 name_of({"driver": "qcow2", "file": {"driver": "qcow2", "file.filename": "over.qcow2"}})):
        done = context.run([context.qemu_img, "convert", "-O", "raw", name, "none.raw"]).expect(1)
        if "images lead nowhere" not in done.stderr or len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("no clear line"))
        context.run([context.qemu_img_beside, "convert", "-O", "raw", name, "own.raw"]).expect()
        context.run([REFERENCE, "compare", "-F", "raw", name, "own.raw"]).expect()


@test(timeout=120)
def names(context):
    """Parts between the images and over them, formats that nobody says, options with dots."""
    recipes.make_once(text_make, context.directory)
    image_make(context, "text.raw", "qcow2", "inner.qcow2")
    inner = (context.directory / "inner.qcow2").read_bytes()
    (context.directory / "whole.raw").write_bytes(b"\x55" * 2048 + inner + b"\x55" * 4096)
    image_make(context, "inner.qcow2", "vdi", "outer.vdi")
    image_make(context, "whole.raw", "vdi", "whole.vdi")
    part = {"driver": "raw", "offset": 2048, "size": len(inner), "file": node("vdi", "whole.vdi")}
    for members in ({"driver": "qcow2", "file": part}, {"file": node("vdi", "outer.vdi")}, {"file": node("vdi", "whole.vdi")},
                    {"driver": "raw", "file": {"driver": "qcow2", "file": node("vdi", "outer.vdi")}},
                    {"driver": "raw", "offset": 66048, "size": 700 * KIB, "file": {"driver": "qcow2", "file": part}},
                    {"driver": "qcow2", "file": {"driver": "raw", "file": part}},
                    {"driver": "vdi", "file": {"driver": "file", "filename": "whole.vdi", "backing": None}, "backing": None}):
        name = name_of(members)
        for words in (["info"], ["info", "--output=json"], ["map", "--output=json"], ["map"], ["check"],
                      ["measure", "-O", "qcow2"]):
            same(context, *words, name)
        for program, target in ((REFERENCE, "reference.raw"), (context.qemu_img, "own.raw")):
            context.run([program, "convert", "-O", "raw", name, target]).expect()
        if digest(context.directory / "reference.raw") != digest(context.directory / "own.raw"):
            raise Failure(f"another content of {name}")
    look(context, "driver=qcow2,file.driver=vdi,file.file.driver=file,file.file.filename=outer.vdi", "text.raw", "--image-opts")


@test(timeout=120)
def refused(context):
    """In qemu-img's words where it has some; what is within another image is only read, and nothing is written."""
    recipes.make_once(text_make, context.directory)
    image_make(context, "text.raw", "qcow2", "inner.qcow2")
    image_make(context, "inner.qcow2", "vdi", "outer.vdi")
    below = node("vdi", "outer.vdi")
    for members in ({"driver": "vmdk", "file": below}, {"driver": "nothing", "file": below}, {"driver": "luks", "file": below},
                    {"driver": "qcow2", "x": 1, "file": below}, {"driver": "qcow2", "file": {**below, "y": 1}},
                    {"driver": "qcow2", "file": {"driver": "qcow2", "file.filename": "outer.vdi"}},
                    {"driver": "qcow2", "file": {**below, "backing": below}},
                    {"driver": "vdi", "file": {"driver": "file", "filename": "outer.vdi"}, "backing": "x"},
                    {"driver": "qcow2", "file": node("vdi", "nothing.vdi")}):
        if same(context, "map", name_of(members)).status != 1:
            raise Failure(f"qemu-img takes {members}")
    before = digest(context.directory / "outer.vdi")
    name = name_of({"driver": "qcow2", "file": below})
    deep = node("qcow2", "outer.vdi")
    for _ in range(8):
        deep = node("qcow2", deep)
    for words in (["resize", name, "4M"], ["bench", "-w", "-c", "1", name], ["convert", "-n", "-O", "qcow2", "text.raw", name],
                  ["snapshot", "-c", "x", name], ["bitmap", "--add", name, "b"], ["check", "-r", "all", name],
                  ["amend", "-f", "qcow2", "-o", "compat=0.10", name], ["commit", name], ["rebase", "-u", "-b", "", name],
                  ["info", name_of(deep)]):
        done = context.run([context.qemu_img, *words]).expect(1)
        if "not supported" not in done.stderr and "nodes over each other" not in done.stderr or len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("no clear line"))
    if digest(context.directory / "outer.vdi") != before:
        raise Failure("something was written")
    # Parts of a vmdk within another image are for the rules, whatever the file outside is called.
    image_make(context, "text.raw", "vmdk-flat", "disk.vmdk")
    text = (context.directory / "disk.vmdk").read_bytes()
    (context.directory / "text").write_bytes(text.ljust(1024, b"\0"))
    image_make(context, "text", "qcow2", "disk.vmdk")
    done = context.run([context.qemu_img, "map", name_of(node("vmdk", node("qcow2", "disk.vmdk")))]).expect(1)
    if "refused to open 'disk-flat.vmdk'" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))


@test(timeout=120)
def damaged(context):
    """What is missing or damaged below is told with the file's name, and is never zeros."""
    recipes.make_once(text_make, context.directory)
    for kinds in (["qcow2", "qcow2-compressed"], ["luks", "vdi"], ["qcow2-compressed", "vmdk"]):
        name = name_of(nest(context, kinds))
        path = context.directory / f"1-{kinds[1]}.{driver(kinds[1])}"
        whole = path.read_bytes()
        for damaged in (whole[:len(whole) // 3], whole[:len(whole) // 2] + bytes(4096) + whole[len(whole) // 2 + 4096:]):
            path.write_bytes(damaged)
            done = context.run([context.qemu_img, "convert", *SECRET, "-O", "raw", name, "own.raw"])
            cut = len(damaged) < len(whole)
            if cut and (done.status != 1 or str(path.name) not in done.stderr or (context.directory / "own.raw").exists()):
                raise Failure(done.describe(f"{kinds}: cut short"))
            if done.status not in (0, 1) or len(done.stderr.splitlines()) != done.status:
                raise Failure(done.describe(f"{kinds}: no clear line"))
            (context.directory / "own.raw").unlink(missing_ok=True)
