# SPDX-License-Identifier: Apache-2.0
"""An image gets another backing file, and its disk stays what it is: beside qemu-img, on chains at random."""

import random
import struct

from lib import daily
from lib.bitmaps import bitmaps_of
from lib.chains import KIB, NAMES, REFERENCE, Chains
from lib.python_tests import test
from lib.suite import Failure

BESIDE = ("--backing=beside",)


@test(cases=daily.sample("rebase chains", range(24), 3), timeout=120, weight=3)
def chains(context, case):
    """An overlay moves to another image, within its chain or beside it, or becomes independent."""
    chance = random.Random(f"rebase {case} {daily.seed()}")
    images = Chains(context, chance)
    images.add("base", format=chance.choice(["qcow2", "raw", "vdi"]))
    images.add("middle", backing="base")
    images.add("other", backing=chance.choice([None, "base"]))
    images.add("top", backing=chance.choice(["middle", "middle", "base", None]))
    images.duplicate()
    before = images.content("own", "top")
    target = chance.choice(["base", "other", "middle", ""])
    arguments = ["rebase", "-b", target, *(["-F", images.formats[target]] if target else []), "top"]
    others = {name: (context.directory / "own" / name).read_bytes() for name in ("base", "middle", "other")}
    what = f"INSTAR_TEST_SEED={daily.seed()}: {arguments}"
    images.both(*arguments, own=BESIDE)
    images.compare(what, but=["top"])  # qemu-img 7.2 loses data where the backing files have different lengths
    if images.content("own", "top") != before:
        raise Failure(f"{what}: the disk is another one")
    if others != {name: (context.directory / "own" / name).read_bytes() for name in others}:
        raise Failure(f"{what}: another image was changed")


def simple(context, has_bitmap=False):
    images = Chains(context, random.Random(1))
    for name, backing in (("base", None), ("other", None), ("top", "base"), ("alone", None)):
        images.maker.create(name, 1 << 20, backing=backing)
        images.formats[name] = "qcow2"
    images.maker.io("base", "write -P 7 0 1M")
    images.maker.create("flat", 1 << 20, format="raw")
    if has_bitmap:
        images.maker.run(REFERENCE, "bitmap", "--add", "top", "b")
        images.maker.io("top", "write -P 3 64k 100k")
    images.duplicate()
    return images


@test(cases=["by name", "with data", "none"])
def bitmaps(context, case):
    """They are kept up to date where the disk's clusters are written, and are no longer in use when the job has ended."""
    images = simple(context, has_bitmap=True)
    words = {"by name": ["-u", "-b", "other", "-F", "qcow2"], "with data": ["-b", "other", "-F", "qcow2"], "none": ["-b", ""]}[case]
    images.both("rebase", *words, "top", own=BESIDE)
    images.compare(case)
    found = [bitmaps_of(context.directory / folder / "top") for folder in NAMES]
    if found[0] != found[1] or any(is_used for is_used, _, _ in found[0]):
        raise Failure(f"bitmaps are {found[0]}, of qemu-img's {found[1]}")


CALLS = [
    "top", "-u top", "-u -b nope -F qcow2 top", "-u -b base top", "-u -b base -F raww top", "-u -F raw top",
    "-b other -F qcow2 top", "-b missing -F qcow2 top", "-b other top", "-b top -F qcow2 top",
    "-t foo -b @ top", "-T foo -b @ top", "-b @ missing", "-u -b x -F raw -f raw flat", "-u -b x -f raw flat",
    "-u -b @ -f raw flat", "-u -U -b x -F raw top", "-b @ top x", "-b @", "-p -b other -F qcow2 top",
    "-p -u -b other -F qcow2 top", "-p -q -b @ top", "-b @ alone", "-b base -F qcow2 alone", "-t none -T none -b @ top",
    "-t writethrough -b ./other -F qcow2 top", "--image-opts -u -b other -F qcow2 driver=qcow2,file.filename=top",
    "--image-opts -b other -F qcow2 driver=qcow2,file.filename=top", "--object secret,id=a,data=b -b @ top",
    "-u -b json:{} -F qcow2 top", "-b json:{ -F qcow2 top", "-b json:[1] top", '-b json:{"driver":"qcow2"} -F qcow2 top',
    '-b json:{"driver":"nope","file":"x"} top', "-b foo:bar -F raw top", "-b json: -F raww top",
    "-b flat -F raw top", "-b flat -F qcow2 top", "-f qcow2 -b @ -F qcow2 top",
]


@test(cases=daily.sample("rebase calls", CALLS, 8))
def calls(context, case):
    """The same words, output and end."""
    images = simple(context)
    if images.both("rebase", *["" if word == "@" else word for word in case.split()], own=BESIDE):
        images.compare(case)


@test()
def itself(context):
    """As in qemu-img, -u may make an image that nobody can open."""
    images = simple(context)
    images.both("rebase", "-u", "-b", "top", "-F", "qcow2", "top")
    done = images.run("own", "rebase", "-b", "", *BESIDE, "top").expect(1)
    if len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected one line"))
    images.both("rebase", "-u", "-b", "base", "-F", "qcow2", "top")
    images.compare("a name that leads to itself")


@test()
def clients(context):
    """As nova and cinder call it."""
    images = simple(context)
    for arguments in (["-b", "other", "-F", "qcow2", "top"], ["-u", "-b", "base", "-F", "qcow2", "top"],
                      ["-u", "-b", "other", "top", "-F", "qcow2"], ["-b", "", "top"]):
        images.both("rebase", *arguments, own=BESIDE)
        images.compare(arguments)


@test()
def policy(context):
    """The old backing file is the image's word, the new one the user's; with -u neither is looked at."""
    images = simple(context)
    before = (context.directory / "own" / "top").read_bytes()
    done = images.run("own", "rebase", "-b", "other", "-F", "qcow2", "top").expect(1)
    if len(done.stderr.splitlines()) != 1 or "--backing" not in done.stderr:
        raise Failure(done.describe("expected one line that names an option"))
    if (context.directory / "own" / "top").read_bytes() != before:
        raise Failure("a refusal has changed the image")
    images.run("own", "rebase", "-b", "other", "-F", "qcow2", "--backing-file", "base", "top").expect()
    images.run("own", "rebase", "-u", "-b", "base", "-F", "qcow2", "top").expect()
    images.run("own", "rebase", "-b", "base", "-F", "qcow2", "top").expect()  # the user's word, for both
    images.run("own", "rebase", "-u", "-b", "/nowhere", "-F", "raw", "top").expect()


def extension(kind, data):
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def unknown_add(path, unknown):
    """An extension that nobody knows, before the others; what follows it, the name included, moves."""
    data = bytearray(path.read_bytes())
    start = struct.unpack_from(">I", data, 100)[0]
    name_off, name_len = struct.unpack_from(">QI", data, 8)
    moved = unknown + bytes(data[start:name_off + name_len])
    data[start:start + len(moved)] = moved
    struct.pack_into(">Q", data, 8, name_off + len(unknown))
    path.write_bytes(data)


@test(cases=["usual", "tiny", "old", "long"])
def header(context, case):
    """Of the header only the name and the format change; what is not known in it stays."""
    images = Chains(context)
    options = {"usual": [], "tiny": ["cluster_size=512"], "old": ["compat=0.10"], "long": ["cluster_size=4k"]}[case]
    images.maker.create("image", 1 << 20, *options)
    images.maker.io("image", "write -P 5 64k 64k")
    images.formats["image"] = "qcow2"
    path = images.folder / "image"
    unknown = extension(0x12345678, b"something else")
    if case == "usual":
        images.maker.run(REFERENCE, "rebase", "-u", "-b", "a", "-F", "raw", "image")
        unknown_add(path, unknown)
    images.duplicate()
    names = {"long": "n" * 1023, "tiny": "x" * 20}
    for name in (names.get(case, "b" * 200), "short", ""):
        images.both("rebase", "-u", "-b", name, "-F", "qcow2", "image")
        images.compare(f"{case} {name}")
        if case == "usual" and unknown not in path.read_bytes()[:64 * KIB]:
            raise Failure("an extension is lost")
    for name in ("n" * 1024, "n" * 1023) if case in ("usual", "tiny") else ():
        images.both("rebase", "-u", "-b", name, "-F", "qcow2", "image", messages=False)


@test(cases=daily.sample("rebase shapes", ["lengths", "zeros", "compressed"], 1))
def shapes(context, case):
    """Old and new images of other lengths than the disk; zeros that hide what the new one has."""
    images = Chains(context, random.Random(case))
    images.maker.create("old", "2M")
    images.maker.create("new", "5M", "cluster_size=4k")
    images.maker.io("old", "write -P 1 0 1M", "write -z 1M 512k")
    images.maker.io("new", "write -P 2 0 4M", "write -c -P 3 4M 64k" if case == "compressed" else "write -P 4 4M 1M")
    options = [] if case != "lengths" else ["compat=0.10"]
    images.maker.create("top", "4M", *options, backing=None if case == "zeros" else "old")
    images.formats.update({"old": "qcow2", "new": "qcow2", "top": "qcow2"})
    images.duplicate()
    before = images.content("own", "top")
    for name in ("new", "old", ""):
        images.both("rebase", "-b", name, "-F", "qcow2", "top", own=BESIDE)
        images.compare(f"{case} {name}", but=["top"])
        if images.content("own", "top") != before:
            raise Failure(f"{case} {name}: the disk is another one")
