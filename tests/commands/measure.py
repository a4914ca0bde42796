# SPDX-License-Identifier: Apache-2.0
"""How long a new image would be: the same numbers, and the same refusals, as qemu-img's. Natively, but for one."""

import itertools
import json

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

SOURCES_COUNT = 16
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
SIZES = (0, 1, 511, 512, 65536, 65537, 100 * MIB, GIB + 512, 20 * TIB, 63 * TIB, 2000 * TIB, (1 << 62) - 512)
OPTIONS = (
    [], ["cluster_size=512"], ["cluster_size=2M"], ["cluster_size=0.5M"], ["cluster_size=4096"], ["cluster_size=0x1000"],
    ["extended_l2=on"], ["extended_l2=on", "cluster_size=16k"], ["refcount_bits=1"], ["refcount_bits=64"],
    ["refcount_bits=64", "cluster_size=512"], ["compat=0.10"], ["preallocation=metadata"], ["preallocation=falloc"],
    ["preallocation=full", "extended_l2=on"], ["backing_file=other"], ["lazy_refcounts=on"], ["data_file=other"],
    ["compression_type=zstd"], ["cluster_size=4k", "cluster_size=128k"], ["size=5G"], ["encryption=on"],
)
WRONG = (
    "cluster_size=1000", "cluster_size=256", "cluster_size=4M", "cluster_size=xyz", "cluster_size=-1", "cluster_size=",
    "cluster_size=64kk", "cluster_size=99999999999999999999", "refcount_bits=3", "refcount_bits=128",
    "refcount_bits=0", "refcount_bits=abc", "compat=2", "compat=v3", "compat=", "extended_l2=maybe",
    "preallocation=bogus", "lazy_refcounts=x", "xyz=1", "encrypt.format=luks", "encrypt.bogus=1", "nocow=zz", "size=x",
)
WRONG_TOGETHER = (
    ["refcount_bits=64", "compat=0.10"], ["extended_l2=on", "cluster_size=8k"], ["xyz=1", "cluster_size=1000"],
    ["cluster_size=1000", "refcount_bits=3"], ["refcount_bits=3", "preallocation=bogus"],
)


def measure_reference(context, *arguments):
    done = context.run(["/usr/bin/qemu-img", "measure", "--output=json", *arguments])
    if done.status != 0:
        return done.stderr.splitlines()[0].removeprefix("qemu-img: ")
    return json.loads(done.stdout)


def measure_own(context, *arguments):
    native = context.build.directory / "tests" / "native" / "image_native"
    done = context.run([native, "measure", *arguments])
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    if not messages or "complete" not in messages[-1]:
        raise Failure(done.describe("the measure came to no end"))
    if not messages[-1]["success"]:
        return messages[-1]["detail"]
    return {name: value for name, value in messages[0].items() if name != "measure"}


def compare(context, *arguments):
    reference, own = measure_reference(context, *arguments), measure_own(context, *arguments)
    if reference != own:
        raise Failure(f"measure {' '.join(map(str, arguments))}:\nqemu-img: {reference}\nours:     {own}")


def compare_refusal(context, *arguments):
    """QEMU distinguishes numbers that are too large; and a LUKS image without a key is refused for the key."""
    reference, own = measure_reference(context, *arguments), measure_own(context, *arguments)
    excused = "99999" in str(arguments)
    if not isinstance(reference, str) or not isinstance(own, str) or (reference != own and not excused):
        raise Failure(f"measure {' '.join(map(str, arguments))}:\nqemu-img: {reference}\nours:     {own}")


def words(options):
    return [word for option in options for word in ("-o", option)]


@test(timeout=120, weight=10, is_native=True)
def empty_disks(context):
    turn = itertools.cycle(SIZES)
    for options in daily.sample("measure empty_disks", OPTIONS, len(OPTIONS), context.share):
        for size in itertools.islice(turn, 5):  # not a divisor of their number
            compare(context, "-O", "qcow2", *words(options), "--size", size)
    for size in SIZES:
        compare(context, "-O", "qcow2", "--size", size)
        compare(context, "-O", "raw", "--size", size)
        compare(context, "-O", "raw", "-o", "preallocation=full", "--size", size)


@test()
def no_image_at_all(context):
    """In the machine, which has no device then."""
    for arguments in (["--size", "1T"], ["-o", "cluster_size=2M", "--size", "1G"], ["--output=json", "--size", "0"]):
        arguments = ["measure", "-O", "qcow2", *arguments]
        reference = context.run(["/usr/bin/qemu-img", *arguments]).expect(0)
        done = context.run([context.build.instar, *arguments]).expect(0)
        if done.stdout != reference.stdout:
            raise Failure(done.describe(f"qemu-img says:\n{reference.stdout}"))


@test(is_native=True)
def wrong_options(context):
    wrong = [[option] for option in WRONG] + list(WRONG_TOGETHER)
    for options in daily.sample("measure wrong_options", wrong, len(wrong), context.share):
        compare_refusal(context, "-O", "qcow2", *words(options), "--size", GIB)
    compare_refusal(context, "-O", "raw", "-o", "cluster_size=4k", "--size", GIB)
    compare_refusal(context, "-O", "nothing", "--size", GIB)


@test(cases=range(2), timeout=240, weight=20, is_native=True)
def sources(context, case):
    turn = itertools.cycle((["cluster_size=4k"], ["extended_l2=on"], ["cluster_size=2M"], ["compat=0.10"]))
    for recipe in daily.sample("measure sources", recipes.recipes(), SOURCES_COUNT, context.share)[case::2]:
        if recipe.is_encrypted:
            continue
        directory = context.directory / recipe.name
        directory.mkdir()
        recipe.make(recipes.Maker(directory))
        if recipe.name.startswith("data_file"):
            (directory / "image.data").rename(context.directory / "image.data")
            (directory / "image.data").symlink_to("../image.data")
        source = ("-f", recipe.format, directory / "image")
        compare(context, "-O", "raw", *source)
        for options in ([], next(turn)):
            compare(context, "-O", "qcow2", *words(options), *source)
        for snapshot in recipe.snapshots:
            compare(context, "-O", "qcow2", "-l", snapshot, *source)


@test(is_native=True)
def bitmaps(context):
    maker = recipes.Maker(context.directory)
    maker.create("image", 100 * MIB, "cluster_size=4k")
    for name, granularity in (("a", 512), ("b" * 100, 65536), ("c" * 1000, 2 << 20)):
        maker.run("/usr/bin/qemu-img", "bitmap", "--add", "-g", granularity, "image", name)
    for options in ([], ["cluster_size=512"], ["cluster_size=2M"], ["compat=0.10"]):
        compare(context, "-O", "qcow2", *words(options), "-f", "qcow2", "image")


@test(is_native=True)
def inconsistent_bitmaps(context):
    """Those that are in use count as well, as in qemu-img."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 100 * MIB)
    for name in ("a", "b"):
        maker.run("/usr/bin/qemu-img", "bitmap", "--add", "image", name)
    content = bytearray((context.directory / "image").read_bytes())
    extension = content.index(b"\x23\x85\x28\x75")
    directory = int.from_bytes(content[extension + 24:extension + 32], "big")
    content[directory + 15] |= 1
    (context.directory / "image").write_bytes(content)
    compare(context, "-O", "qcow2", "-f", "qcow2", "image")


WRITTEN = ["", "cluster_size=512", "cluster_size=4k", "cluster_size=2M", "compat=0.10", "refcount_bits=1,cluster_size=4k",
           "refcount_bits=64", "extended_l2=on", "preallocation=falloc"]


def length_check(context, case, image_format, *options):
    """What convert writes is as long as measure says, and no longer than what qemu-img writes."""
    creation = ["-o", case] if case else []
    arguments = ["-f", image_format, "-O", "qcow2", *creation]
    measured = json.loads(context.run([context.qemu_img_beside, "measure", "--output=json", *arguments, "image"]).expect().stdout)
    context.run([context.qemu_img_beside, "convert", *options, *arguments, "image", "out"]).expect()
    context.run(["/usr/bin/qemu-img", "convert", *options, *arguments, "image", "reference"]).expect()
    own, reference = ((context.directory / name).stat().st_size for name in ("out", "reference"))
    which = "fully-allocated" if "-S" in options else "required"
    limit = measured[which] + (measured.get("bitmaps", 0) if "--bitmaps" in options else 0)
    if own > limit or own >= reference + 512:  # qemu-img counts bytes
        raise Failure(f"{own} bytes are written; {which}, measure says, are {limit}, and qemu-img writes {reference}")
    return own, limit


@test(cases=daily.sample("measure as_written", [f"{source},{options}" for source in ("sparse", "full", "odd") for options in WRITTEN], 9))
def as_written(context, case):
    source, _, options = case.partition(",")
    writes = {"sparse": [(0, 4096), (5 << 20, 200 << 10), (40 << 20, 512)], "full": [(0, 6000128)],
              "odd": [(1 << 20, 300000)]}[source]
    recipes.raw_sparse({"sparse": (40 << 20) + 512, "full": 6000128, "odd": 3000000}[source], writes)(
        recipes.Maker(context.directory))
    length_check(context, options, "raw")
    # With everything stored, there is nothing that measure does not know.
    own, limit = length_check(context, options, "raw", "-S", "0")
    cluster_len = {"512": 512, "4k": 4096, "2M": 2 << 20}.get(options.rpartition("=")[2], 65536)
    if own <= limit - cluster_len:
        raise Failure(f"{own} bytes are written, measure says {limit}")


@test(cases=["", "cluster_size=4k"])
def bitmaps_as_written(context, case):
    recipes.bitmaps(recipes.Maker(context.directory))
    length_check(context, case, "qcow2", "--bitmaps")


@test()
def raw_as_written(context):
    recipes.plain([], size=(3 << 20) + 512)(recipes.Maker(context.directory))
    measured = json.loads(context.run([context.qemu_img_beside, "measure", "--output=json", "-O", "raw", "image"]).expect().stdout)
    context.run([context.qemu_img_beside, "convert", "-O", "raw", "image", "out"]).expect()
    if (context.directory / "out").stat().st_size != measured["required"]:
        raise Failure(f"measure says {measured}")
