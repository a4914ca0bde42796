# SPDX-License-Identifier: Apache-2.0
"""rebase and commit: clusters that are compressed already are written as they are, where the target would have them so.

Beside qemu-img, which writes them plain: all disks are the same, and images are longer.
"""

import json
import os
import shutil
import subprocess
import time

from lib import daily, jobs
from lib.chains import KIB, REFERENCE, Chains
from lib.images import write_islands
from lib.python_tests import test
from lib.qcow2_streams import deflated, mixed_content, streams
from lib.suite import Failure

MIB = 1 << 20
LEN = 2 * MIB
KILLS = int(os.environ.get("INSTAR_TEST_KILLS", "4"))
OPTIONS = ["cluster_size=64k", "cluster_size=4k", "cluster_size=256k", "compat=0.10", "compression_type=zstd",
           "extended_l2=on,cluster_size=16k", "refcount_bits=64"]
BESIDE = ("--backing=beside",)


class Scene(Chains):
    """A chain base <- top, or base <- middle <- top, each of the same options."""

    def __init__(self, context, options=""):
        super().__init__(context)
        self.options_of_all = [options] if options else []

    def add_compressed(self, name, seed=1, backing=None, options=None):
        """A disk of text, zeros and noise; over a backing image without the zeros."""
        self.formats[name] = "qcow2"
        (self.context.directory / "content.raw").write_bytes(mixed_content(seed))
        words = [word for option in (self.options_of_all if options is None else options) for word in ("-o", option)]
        if backing is not None:
            words += ["-B", backing, "-F", "qcow2"]
        self.maker.convert("../content.raw", name, "-c", "-f", "raw", "-O", "qcow2", *words)

    def add_plain(self, name, *commands, backing=None, options=None, size=LEN, format="qcow2"):
        self.formats[name] = format
        options = options if options is not None else self.options_of_all if format == "qcow2" else []
        self.maker.create(name, size, *options, backing=backing, format=format)
        if commands:
            self.maker.io(name, *commands, format=format)

    def path(self, name, folder="own"):
        return self.context.directory / folder / name

    def commit(self, *words, base=("--backing-file", "base")):
        self.both("commit", "-q", *words, own=[*BESIDE, *base])

    def rebase(self, *words, own=()):
        self.both("rebase", *words, own=[*BESIDE, *own])

    def expect_kept(self, name, source, but=()):
        """Each stream that the source has had is one of the image's, but where something else was written."""
        old, new = (streams(path) for path in (source, self.path(name)))
        lost = [index for index, stream in old.items()
                if index not in but and (index not in new or not same_stream(stream, new[index]))]
        if lost or len(old) < 2 or any(index in new and same_stream(old[index], new[index]) for index in but):
            raise Failure(f"of {len(old)} streams {lost} are not in {name} as they were")

    def expect_shorter(self, name):
        lengths = [self.path(name, folder).stat().st_size for folder in ("own", "reference")]
        if lengths[0] >= lengths[1]:
            raise Failure(f"{name} has {lengths[0]} bytes, qemu-img's {lengths[1]}")

    def expect_plain(self, name):
        """Only what qemu-img's has compressed is compressed, and everything is as there but for its place in the file."""
        maps = [[{key: value for key, value in extent.items() if key != "offset"} for extent in json.loads(self.context.run(
            ["env", "-C", folder, REFERENCE, "map", "--output=json", name]).expect().stdout)] for folder in ("own", "reference")]
        compressed = [sum(extent["length"] for extent in found if extent.get("compressed")) for found in maps]
        if compressed[0] != compressed[1] or [streams(self.path(name, folder)).keys() for folder in ("own", "reference")].count(
                streams(self.path(name)).keys()) != 2:
            raise Failure(f"{name}: something is compressed that is not in qemu-img's")


def same_stream(one, other):
    """The one as qemu-img has made it; zstd has no end that could be found so simply."""
    try:
        return deflated(one) == deflated(other)
    except Exception:  # pylint: disable=broad-except
        return one[:64] == other[:64]


@test(cases=OPTIONS)
def commit(context, case):
    """Into what is empty, plain or compressed there, of which a snapshot has a part; the image stays, and is then emptied."""
    scene = Scene(context, case)
    scene.add_compressed("base", seed=3)
    scene.maker.run(REFERENCE, "snapshot", "-c", "one", "base")
    scene.maker.io("base", "write -P 5 300k 500k")
    scene.add_compressed("top", backing="base")
    scene.maker.io("top", "write -P 7 1k 2k")
    top = scene.folder.parent / "top.before"
    shutil.copyfile(scene.path("top"), top)
    scene.duplicate()
    for words in (["-d"], []):
        scene.commit(*words, "top")
        scene.compare(f"commit {words}")
        if not case.startswith("extended"):  # tables of another shape
            scene.expect_kept("base", top)
        scene.expect_shorter("base")


@test(cases=OPTIONS)
def rebase(context, case):
    """To another image, which has a part of the same, and to none."""
    scene = Scene(context, case)
    scene.add_compressed("base")
    scene.add_plain("top", "write -P 7 70k 2k", backing="base")
    base = streams(scene.path("base"))
    scene.add_plain("other", "write -P 0x78 0 2M")
    shutil.copyfile(scene.path("top"), scene.path("alone"))
    scene.formats["alone"] = "qcow2"
    scene.duplicate()
    scene.rebase("-b", "other", "-F", "qcow2", "top")
    scene.rebase("-b", "", "alone")
    scene.compare("rebase")
    cluster = int(case.partition("cluster_size=")[2].rstrip("k") or 64) * KIB
    for name in ("top", "alone") if not case.startswith("extended") else ():
        own = {70 * KIB // cluster}
        same = {index for index in base if mixed_content()[index * cluster:(index + 1) * cluster].strip(b"x") == b""}
        scene.expect_kept(name, scene.path("base"), but=own | (same if name == "top" else set()))
    for name in ("top", "alone"):
        scene.expect_shorter(name)


@test()
def chain(context):
    """Into the last of a chain: a cluster that one of them has compressed, and of which another one has a part, is plain."""
    scene = Scene(context)
    scene.add_plain("base", "write -P 1 0 300k")
    scene.add_compressed("middle", backing="base")
    scene.add_plain("top", "write -P 7 70k 2k", backing="middle", size=LEN + 5 * KIB)
    scene.duplicate()
    scene.commit("-b", "base", "top", base=())
    scene.compare("commit -b")
    scene.expect_kept("base", scene.path("middle"), but={1})
    scene.expect_shorter("base")


@test()
def odd_ends(context):
    """What the new backing file has begins and ends within clusters; and so does the disk."""
    scene = Scene(context)
    scene.add_compressed("base")
    scene.maker.run(REFERENCE, "resize", "-q", "--shrink", "base", LEN - 5 * KIB)
    scene.add_plain("top", "write -P 7 70k 2k", backing="base", size=LEN - 5 * KIB)
    scene.formats["other"] = "raw"
    write_islands(scene.path("other"), LEN - 5 * KIB, [(at, 12 * KIB) for at in range(20 * KIB, LEN - 64 * KIB, 52 * KIB)])
    content = mixed_content()
    with open(scene.path("other"), "r+b") as file:  # half of a cluster is the same in both, in some the first one
        for at in (3 * 64 * KIB, 5 * 64 * KIB + 32 * KIB):
            file.seek(at)
            file.write(content[at:at + 32 * KIB])
    scene.duplicate()
    before = scene.content("own", "top")
    scene.rebase("-b", "other", "-F", "raw", "top")
    scene.compare("rebase")
    if scene.content("own", "top") != before:
        raise Failure("the disk is another one")
    kept = streams(scene.path("top"))
    old = streams(scene.path("base"))
    if len(kept) < len(old) - 3 or any(not same_stream(stream, old[index]) for index, stream in kept.items()):
        raise Failure(f"{len(kept)} of {len(old)} streams are in the image")
    scene.rebase("-b", "", "top")
    scene.compare("rebase to nothing")


SECRET = ["--object", "secret,id=s,data=abc"]


@test(cases=["cluster_size=32k", "compression_type=zstd", "raw", "data_file=data", "refcount_bits=8"])
def other_targets(context, case):
    """Where the target would have them otherwise, or cannot have any, they are written plain."""
    scene = Scene(context)
    format, options = ("raw", []) if case == "raw" else ("qcow2", [case])
    scene.add_plain("base", format=format, options=options)
    scene.add_compressed("top")
    scene.maker.run(REFERENCE, "rebase", "-u", "-b", "base", "-F", format, "top")
    words = ["--base-data-file", "data"] if case.startswith("data_file") else []
    scene.run("own", "commit", "-q", "-d", *BESIDE, "--backing-file", "base", *words, "top").expect()
    if scene.content("own", "base") != mixed_content() or (format == "qcow2" and streams(scene.path("base"))):
        raise Failure("the base has another disk, or compressed clusters")


@test()
def encrypted(context):
    """An encrypted image has no compressed clusters."""
    scene = Scene(context)
    scene.maker.run(REFERENCE, "create", "-q", "-f", "qcow2", *SECRET, "-o", "encrypt.format=aes,encrypt.key-secret=s", "base", LEN)
    scene.add_compressed("top")
    scene.maker.run(REFERENCE, "rebase", "-u", "-b", "base", "-F", "qcow2", "top")
    node = "driver=qcow2,file.filename=top,backing.driver=qcow2,backing.file.filename=base,backing.encrypt.key-secret=s"
    scene.run("own", "commit", "-q", "-d", *SECRET, "--image-opts", node).expect()
    disk = "driver=qcow2,file.filename=own/base,encrypt.key-secret=s"
    context.run([REFERENCE, "convert", *SECRET, "--image-opts", disk, "-O", "raw", "found"]).expect()
    if (context.directory / "found").read_bytes() != mixed_content() or streams(scene.path("base")):
        raise Failure("the base has another disk, or compressed clusters")


@test(cases=["commit", "rebase"])
def recompress(context, case):
    """As before, and as qemu-img has it: all that is written is plain."""
    scene = Scene(context)
    if case == "commit":
        scene.add_plain("base")
        scene.add_compressed("top", backing="base")
        scene.duplicate()
        scene.commit("top", base=("--backing-file", "base", "--recompress"))
        changed = "base"
    else:
        scene.add_compressed("base")
        scene.add_plain("top", backing="base")
        scene.duplicate()
        scene.rebase("-b", "", "top", own=["--recompress"])
        changed = "top"
    scene.compare(case)
    scene.expect_plain(changed)


@test(cases=["commit", "rebase"])
def damage_is_seen(context, case):
    """Streams are expanded before they are written; what had been there stays."""
    scene = Scene(context)
    if case == "commit":
        scene.add_plain("base", "write -P 1 0 1M")
        scene.add_compressed("top", backing="base")
        damaged, words = "top", ["commit", "-q", "--backing-file", "base", "top"]
    else:
        scene.add_compressed("base")
        scene.add_plain("top", "write -P 7 70k 2k", backing="base")
        damaged, words = "base", ["rebase", "-b", "", "top"]
    path = scene.path(damaged)
    content = path.read_bytes()
    stream = deflated(list(streams(path).values())[4])
    at = content.index(stream)
    path.write_bytes(content[:at + 8] + bytes(64) + content[at + 72:])
    before = path.read_bytes()
    done = scene.run("own", words[0], *BESIDE, *words[1:])
    if done.status != 1 or len(done.stderr.splitlines()) != 1 or path.read_bytes() != before:
        raise Failure(done.describe("expected one line, and an image that stays"))
    for name in ("base", "top"):
        context.run(["env", "-C", "own", REFERENCE, "check", "-q", name]).expect()
    if f"'{damaged}'" not in done.stderr and f"{damaged}:" not in done.stderr:
        raise Failure(done.describe("expected the name of the image"))


KILLED = ["commit", "rebase"]


@test(cases=KILLED if "INSTAR_TEST_KILLS" in os.environ else daily.sample("compressed_kept killed", KILLED, 1), timeout=120 + KILLS)
def killed(context, case):
    """At any moment: the disk of the image is what it was, each sector of the base old or new, and the job can be done again."""
    scene = Scene(context)
    scene.add_compressed("base", seed=3)
    scene.maker.run(REFERENCE, "snapshot", "-c", "one", "base")
    scene.add_compressed("top", backing="base")
    scene.maker.io("top", "discard 1M 512k", "write -P 7 1M 100k")
    base, top = scene.content("own", "base"), scene.content("own", "top")
    words = {"commit": ["commit", "-q", "--backing-file", "base"], "rebase": ["rebase", "-b", ""]}[case]
    command = ["env", "-C", "own", context.qemu_img, *words, *BESIDE, "top"]
    scene.duplicate()
    begin = time.monotonic()
    context.run(command).expect()
    duration = time.monotonic() - begin
    for number in range(KILLS):
        for name in ("base", "top"):
            shutil.copyfile(scene.path(name, "reference"), scene.path(name))
        is_finished = jobs.kill_at_random(context.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), duration, number)
        for name in ("base", "top"):
            found = context.run(["env", "-C", "own", REFERENCE, "check", name])
            if found.status not in ((0,) if is_finished else (0, 3)):
                raise Failure(found.describe(f"{name} is not sound"))
        if scene.content("own", "top") != top or scene.content("own", "base", "-l", "one") != mixed_content(3):
            raise Failure("the disk, or a snapshot, is another one")
        seen = scene.content("own", "base")
        if any(seen[at:at + 512] not in (base[at:at + 512], top[at:at + 512]) for at in range(0, len(base), 512)):
            raise Failure("the base is neither old nor new")
        context.run(command).expect()
        if scene.content("own", "top") != top or (case == "commit" and scene.content("own", "base") != top):
            raise Failure("the job that was done again has made another disk")
