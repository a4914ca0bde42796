# SPDX-License-Identifier: Apache-2.0
"""Images that we write: qemu-img finds no error, no leak and no difference, and reads the same facts from them."""

import json
import resource
import struct
import subprocess

from lib import daily, jobs, recipes
from lib.bitmaps import dirty_extents
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB = 1 << 10, 1 << 20

# What images are converted to: -o options of qcow2, then other options.
TARGETS = {
    "default": [],
    "cluster512": ["-o", "cluster_size=512"],
    "cluster4k": ["-o", "cluster_size=4k"],
    "cluster2M": ["-o", "cluster_size=2M"],
    "v2": ["-o", "compat=0.10"],
    "v2_cluster1k": ["-o", "compat=0.10,cluster_size=1k"],
    "refcount1": ["-o", "refcount_bits=1"],
    "refcount8_cluster512": ["-o", "refcount_bits=8", "-o", "cluster_size=512"],
    "refcount64": ["-o", "refcount_bits=64"],
    "lazy_refcounts": ["-o", "lazy_refcounts=on"],
    "subclusters": ["-o", "extended_l2=on"],
    "subclusters_cluster128k": ["-o", "extended_l2=on,cluster_size=128k"],
    "preallocation_metadata": ["-o", "preallocation=metadata"],
    "preallocation_falloc": ["-o", "preallocation=falloc"],
    "preallocation_full": ["-o", "preallocation=full,cluster_size=32k"],
    "sparse_64k": ["-S", "64k"],
    "sparse_0": ["-S", "0"],
    "zlib": ["-c"],
    "zlib_cluster512": ["-c", "-o", "cluster_size=512"],
    "zlib_cluster2M": ["-c", "-o", "cluster_size=2M"],
    "zlib_refcount1": ["-c", "-o", "refcount_bits=1"],
    "zlib_subclusters": ["-c", "-o", "extended_l2=on"],
    "zlib_v2": ["-c", "-o", "compat=0.10"],
    "zstd": ["-c", "-o", "compression_type=zstd"],
    "zstd_cluster4k": ["-c", "-o", "compression_type=zstd,cluster_size=4k"],
}


def random_make(maker):
    """Nothing in it compresses."""
    state = 12345
    words = []
    for _ in range(3 * MIB // 8):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        words.append(state.to_bytes(8, "big"))
    (maker.directory / "image").write_bytes(b"".join(words) + b"\x01" * 700)


def full_make(maker):
    (maker.directory / "image").write_bytes(b"".join(i.to_bytes(8, "little") * 64 for i in range(1, 6 * 2048)))


SOURCES = {
    "sparse": (recipes.raw_sparse(40 * MIB + 512, [(0, 4096), (5 * MIB + 300, 200 * KIB), (40 * MIB, 512)]), "raw"),
    "full": (full_make, "raw"),
    "random": (random_make, "raw"),
    "zero": (recipes.raw_sparse(9 * MIB, []), "raw"),
    "empty": (recipes.raw_sparse(0, []), "raw"),
    "odd": (recipes.raw_sparse(3 * MIB + 100, [(MIB - 1, 2 * MIB)]), "raw"),
    "chain": (recipes.chain(3, [6 * MIB, 4 * MIB, 5 * MIB + 512]), "qcow2"),
    "compressed": (recipes.compressed(["compression_type=zlib"], 64 * KIB), "qcow2"),
    "subclusters": (recipes.plain(["extended_l2=on"], size=4 * MIB), "qcow2"),
}


def image_check(context, name="out", format="qcow2"):
    context.run(["/usr/bin/qemu-img", "check", "-f", format, name]).expect()


def facts(context, name):
    """What info says that does not depend on where clusters are."""
    done = context.run(["/usr/bin/qemu-img", "info", "--output=json", name]).expect()
    found = json.loads(done.stdout)
    for key in ("actual-size", "filename"):
        found.pop(key)
    return found


def compare_facts(context, own, reference):
    if facts(context, own) != facts(context, reference):
        raise Failure(f"info of our image: {facts(context, own)}\nof qemu-img's: {facts(context, reference)}")


@test(cases=daily.sample("written converted", [f"{source},{target}" for source in SOURCES for target in TARGETS], 10), timeout=120)
def converted(context, case):
    source, target = case.split(",")
    make, format = SOURCES[source]
    make(recipes.Maker(context.directory))
    options = ["-f", format, "-O", "qcow2", *TARGETS[target]]
    context.run([context.qemu_img_beside, "convert", *options, "image", "out"]).expect()
    context.run(["/usr/bin/qemu-img", "convert", *options, "image", "reference"]).expect()
    image_check(context)
    context.run(["/usr/bin/qemu-img", "compare", "-f", format, "-F", "qcow2", "image", "out"]).expect()
    context.run([context.qemu_img_beside, "compare", "-f", format, "-F", "qcow2", "image", "out"]).expect()
    compare_facts(context, "out", "reference")


CREATIONS = {
    name: options for name, options in TARGETS.items() if not options or options[0] == "-o"
}


@test(cases=daily.sample("written created",
                         [f"{size},{name}" for size in (0, 512, 10 * MIB, 5 * MIB + 512) for name in CREATIONS], 12))
def created(context, case):
    size, name = case.split(",")
    context.run([context.qemu_img_beside, "create", "-q", "-f", "qcow2", *CREATIONS[name], "out", size]).expect()
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *CREATIONS[name], "reference", size]).expect()
    image_check(context)
    compare_facts(context, "out", "reference")
    if int(size) >= MIB:
        # qemu writes to it, and finds what it wrote.
        context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 100k 300k", "-c", "read -P 7 100k 300k",
                     "-c", "write -z 128k 64k", "out"]).expect()
        image_check(context)


@test(cases=["qcow2", "raw"])
def backed(context, case):
    """A new image on a backing file, whose size it has, and an image of differences made by convert -B."""
    maker = recipes.Maker(context.directory)
    if case == "raw":
        recipes.raw_sparse(3 * MIB, [(MIB, MIB)])(maker)
    else:
        recipes.plain([], size=3 * MIB)(maker)
    (context.directory / "image").rename(context.directory / "base")
    context.run([context.qemu_img_beside, "create", "-q", "-f", "qcow2", "-b", "base", "-F", case, "out"]).expect()
    image_check(context)
    context.run(["/usr/bin/qemu-img", "compare", "-f", case, "-F", "qcow2", "base", "out"]).expect()
    maker.io("out", "write -P 9 64k 192k", "write -z 1M 512k")
    context.run([context.qemu_img_beside, "convert", "-f", "qcow2", "-O", "qcow2", "-B", "base", "-F", case, "out",
                 "difference"]).expect()
    image_check(context, "difference")
    context.run(["/usr/bin/qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", "out", "difference"]).expect()
    done = context.run(["/usr/bin/qemu-img", "map", "--output=json", "difference"]).expect()
    depths = {extent["depth"] for extent in json.loads(done.stdout)}
    if 1 not in depths:
        raise Failure(done.describe("everything was copied; the backing file was to be left where it is"))


@test(cases=daily.sample("written compressed_sizes", ["zlib", "zstd"], 1))
def compressed_sizes(context, case):
    """What is compressed is at most 2 % larger than qemu-img's, also where a cluster more would be much."""
    content = b"".join(f"line {i * i} of what compresses a bit, {i * 2654435761 % 65521}\n".encode() for i in range(60000))
    for size in (0, 512, 10240, 65536, 100352, 299520, MIB, 3000320):
        (context.directory / "image").write_bytes(content[:size])
        options = ["-c", "-f", "raw", "-O", "qcow2", "-o", f"compression_type={case}", "image"]
        context.run([context.qemu_img_beside, "convert", *options, "out"]).expect()
        context.run(["/usr/bin/qemu-img", "convert", *options, "reference"]).expect()
        image_check(context)
        own, reference = ((context.directory / name).stat().st_size for name in ("out", "reference"))
        if own > 1.02 * reference:
            raise Failure(f"{size} bytes become {own}, with qemu-img {reference}")


INTO = {
    "default": ("", []),
    "cluster512": ("cluster_size=512", []),
    "cluster2M": ("cluster_size=2M", []),
    "v2": ("compat=0.10", []),
    "refcount1": ("refcount_bits=1", []),
    "refcount2": ("refcount_bits=2,cluster_size=4k", []),
    "zstd": ("compression_type=zstd,cluster_size=4k", []),
    "subclusters": ("extended_l2=on", []),
    "preallocated": ("preallocation=metadata", []),
    "data": ("", ["write -P 5 1M 1M", "write -z 2M 192k"]),
    "larger": ("", ["write -P 5 1M 4M"]),
    "snapshot": ("", ["write -P 5 1M 1M"]),
}


@test(cases=daily.sample("written compressed_into", INTO, 4))
def compressed_into(context, case):
    """-n -c: into an image that has all sorts of clusters, and again, over compressed ones."""
    options, writes = INTO[case]
    maker = recipes.Maker(context.directory)
    size = 3 * MIB + 512
    recipes.source_make(maker, 64 * KIB, size)
    maker.create("out", 5 * MIB if case == "larger" else size, *options.split(",") if options else [])
    maker.io("out", *writes)
    if case == "snapshot":
        maker.run("/usr/bin/qemu-img", "snapshot", "-c", "before", "out")
    for _ in range(2):
        context.run([context.qemu_img_beside, "convert", "-n", "-c", "-f", "raw", "-O", "qcow2", "source", "out"]).expect()
        image_check(context)
        context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "qcow2", "source", "out"]).expect(
            1 if case == "larger" else 0)  # with data behind the source's end
    if case == "larger":
        context.run(["qemu-io", "-f", "qcow2", "-c", f"read -P 5 {size} {5 * MIB - size}", "out"]).expect()
        maker.run("/usr/bin/qemu-img", "resize", "-q", "--shrink", "out", size)
        context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "qcow2", "source", "out"]).expect()
    done = context.run(["/usr/bin/qemu-img", "check", "--output=json", "out"]).expect()
    if json.loads(done.stdout).get("compressed-clusters", 0) == 0:
        raise Failure(done.describe("nothing is compressed"))


DATA_FILES = {
    "plain": "data_file={}",
    "raw": "data_file={},data_file_raw=on",
    "subclusters": "data_file={},extended_l2=on",
    "cluster512_raw": "data_file={},data_file_raw=on,cluster_size=512",
    "falloc": "data_file={},preallocation=falloc",
    "full_raw": "data_file={},data_file_raw=on,preallocation=full",
}


@test(cases=daily.sample("written data_file",
                         [f"{source},{name}" for source in ("sparse", "odd", "chain", "compressed") for name in DATA_FILES], 5))
def data_file(context, case):
    """The data in another file, as qemu-img puts it there."""
    source, name = case.split(",")
    make, format = SOURCES[source]
    make(recipes.Maker(context.directory))
    maps = []
    for program, out in ((context.qemu_img_beside, "out"), ("/usr/bin/qemu-img", "reference")):
        context.run([program, "convert", "-f", format, "-O", "qcow2", "-o", DATA_FILES[name].format(out + ".data"),
                     "image", out]).expect()
        image_check(context, out)
        done = context.run(["/usr/bin/qemu-img", "map", "--output=json", out]).expect()
        maps.append([(extent["start"], extent["length"], extent["data"], extent["zero"]) for extent in json.loads(done.stdout)])
    for program in (context.qemu_img_beside, "/usr/bin/qemu-img"):
        context.run([program, "compare", "-f", format, "-F", "qcow2", "image", "out"]).expect()
    if "raw" in name:
        context.run(["/usr/bin/qemu-img", "compare", "-f", format, "-F", "raw", "image", "out.data"]).expect()
        # What qemu writes goes there, too.
        context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 77 64k 64k", "out"]).expect()
        context.run(["qemu-io", "-f", "raw", "-c", "read -P 77 64k 64k", "out.data"]).expect()
        if maps[0] != maps[1]:
            raise Failure(f"the map is {maps[0]}, qemu-img's {maps[1]}")
    lens = [(context.directory / path).stat().st_size for path in ("out.data", "reference.data")]
    if lens[0] % 512 != 0 or not lens[1] - 64 * KIB < lens[0] <= lens[1]:  # qemu-img may write whole clusters
        raise Failure(f"the data file has {lens[0]} bytes, qemu-img's {lens[1]}")


@test(cases=["plain", "raw"])
def data_file_created(context, case):
    context.run([context.qemu_img_beside, "create", "-q", "-f", "qcow2", "-o", DATA_FILES[case].format("data"), "out",
                 5 * MIB + 512]).expect()
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", DATA_FILES[case].format("data2"), "reference",
                 5 * MIB + 512]).expect()
    image_check(context)
    if (context.directory / "data").read_bytes() != bytes(5 * MIB + 512):
        raise Failure("the data file is not empty space of the disk's length")
    facts_of = [facts(context, name) for name in ("out", "reference")]
    for found in facts_of:
        found["format-specific"]["data"].pop("data-file")
    if facts_of[0] != facts_of[1]:
        raise Failure(f"info of our image: {facts_of[0]}\nof qemu-img's: {facts_of[1]}")
    # The file that was there stays when the job fails.
    (context.directory / "data").write_bytes(b"old")
    done = context.run([context.qemu_img_beside, "create", "-f", "qcow2", "-o", "data_file=data,compat=0.10", "out2", "1M"]).expect(1)
    if (context.directory / "data").read_bytes() != b"old" or (context.directory / "out2").exists():
        raise Failure(done.describe("something has changed"))
    (context.directory / "link").hardlink_to(context.directory / "data")
    done = context.run([context.qemu_img_beside, "create", "-q", "-f", "qcow2", "-o", "data_file=data", "link", "1M"]).expect(1)
    if "the data file is the image" not in done.stderr or (context.directory / "data").read_bytes() != b"old":
        raise Failure(done.describe("expected a refusal"))


def bitmaps_make(context, size):
    recipes.make_once(lambda directory: bitmaps_image_make(recipes.Maker(directory), size), context.directory, f"written bitmaps {size}")
    return recipes.Maker(context.directory)


def bitmaps_image_make(maker, size):
    maker.create("image", size)
    bitmap = ["/usr/bin/qemu-img", "bitmap", "--add"]
    maker.run(*bitmap, "image", "b0")
    maker.run(*bitmap, "-g", "512", "image", "fine")
    maker.io("image", "write -P 9 1M 1M", f"write -P 8 {size - 1000} 1000")
    maker.run(*bitmap, "-g", "128k", "--disable", "image", "b one")
    maker.run("/usr/bin/qemu-img", "bitmap", "--disable", "image", "fine")
    maker.io("image", "write -P 7 3M 64k")


BITMAP_TARGETS = {name: TARGETS[name] for name in
                  ("default", "cluster512", "cluster4k", "cluster2M", "refcount1", "zlib", "subclusters",
                   "preallocation_metadata")}


@test(cases=daily.sample("written bitmaps", BITMAP_TARGETS, 3))
def bitmaps(context, case):
    bitmaps_make(context, 8 * MIB + 512)
    options = ["--bitmaps", "-f", "qcow2", "-O", "qcow2", *BITMAP_TARGETS[case], "image"]
    context.run([context.qemu_img_beside, "convert", *options, "out"]).expect()
    context.run(["/usr/bin/qemu-img", "convert", *options, "reference"]).expect()
    image_check(context)
    context.run([context.qemu_img_beside, "check", "-f", "qcow2", "out"]).expect()
    compare_facts(context, "out", "reference")
    for name in ("b0", "fine", "b one"):
        found = [dirty_extents(context, image, name) for image in ("image", "out")]
        if found[0] != found[1]:
            raise Failure(f"{name}: {found[1]}, of the source {found[0]}")
    # QEMU goes on with them.
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 5M 64k", "out"]).expect()
    image_check(context)
    if (5 * MIB, 64 * KIB) not in dirty_extents(context, "out", "b0"):
        raise Failure("the bitmap does not follow changes")


@test()
def broken_bitmaps(context):
    bitmaps_make(context, 8 * MIB)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", "image"], cwd=context.directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    convert = ["convert", "--bitmaps", "-f", "qcow2", "-O", "qcow2"]
    for options in ([], ["--skip-broken-bitmaps"], ["-o", "compat=0.10", "--skip-broken-bitmaps"]):
        own = context.run([context.qemu_img_beside, *convert, *options, "image", "out"])
        reference = context.run(["/usr/bin/qemu-img", *convert, *options, "image", "reference"])
        # Warnings come in another order.
        if own.status != reference.status or sorted(own.stderr.splitlines()) != sorted(reference.stderr.splitlines()):
            raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))
        if own.status == 0:
            image_check(context)
            compare_facts(context, "out", "reference")
        (context.directory / "out").unlink(missing_ok=True)


def named_bitmaps_make(maker, name, *bitmaps):
    for bitmap in bitmaps:
        maker.run("/usr/bin/qemu-img", "bitmap", "--add", name, bitmap)


@test(cases=daily.sample("written bitmaps_added", ["64k", "512", "2M", "backing", "data_file", "compressed"], 2))
def bitmaps_added(context, case):
    """To an image that has some of its own, or none."""
    maker = bitmaps_make(context, 8 * MIB)
    features = {"backing": "cluster_size=512", "data_file": "data_file_raw=on,data_file={}-data", "compressed": "cluster_size=4k"}
    if case == "backing":
        maker.create("base", 8 * MIB)
    for count in (0, 3):
        for program, out in (("/usr/bin/qemu-img", "reference"), (context.qemu_img_beside, "out")):
            maker.create(out, 8 * MIB, features.get(case, f"cluster_size={case}").format(out),
                         backing="base" if case == "backing" else None)
            named_bitmaps_make(maker, out, *("x", "y" * 1000, "z z")[:count])
            options = ["-c"] if case == "compressed" else []
            if case == "data_file" and out == "out":
                options = ["--data-file", "out-data"]
            context.run([program, "convert", "-n", *options, "--bitmaps", "-f", "qcow2", "-O", "qcow2", "image",
                         out]).expect()
        image_check(context)
        context.run([context.qemu_img_beside, "check", "-f", "qcow2", "out"]).expect()
        found = [facts(context, name)["format-specific"]["data"]["bitmaps"] for name in ("reference", "out")]
        if found[0] != found[1]:
            raise Failure(f"bitmaps are {found[1]}, with qemu-img {found[0]}")
        context.run(["/usr/bin/qemu-img", "compare", "image", "out"]).expect()
        for name in ("b0", "fine", "b one"):
            found = [dirty_extents(context, image, name) for image in ("image", "out")]
            if found[0] != found[1]:
                raise Failure(f"{name}: {found[1]}, of the source {found[0]}")
        for name in ("x", "z z")[:count]:
            found = [dirty_extents(context, image, name) for image in ("reference", "out")]
            if found[0] != found[1]:
                raise Failure(f"{name}: {found[1]}, with qemu-img {found[0]}")


@test(cases=daily.sample("written bitmaps_resized", ["512", "64k"], 1))
def bitmaps_resized(context, case):
    """They keep their bits up to the disk's end, as with qemu-img."""
    maker = recipes.Maker(context.directory)
    for name in ("out", "reference"):
        maker.create(name, 20 * MIB, f"cluster_size={case}")
        for options in (["-g", 512], [], ["--disable", "-g", 2 * MIB]):
            maker.run("/usr/bin/qemu-img", "bitmap", "--add", *options, name, f"b{len(options)}")
        maker.io(name, "write 500k 100k", "write 19M 1M")
    for size in ("200M", "19900k", "550k", "3M"):
        for program, name in ((context.qemu_img_beside, "out"), ("/usr/bin/qemu-img", "reference")):
            shrink = [] if size in ("200M", "3M") else ["--shrink"]
            context.run([program, "resize", "-q", *shrink, name, size]).expect()
        image_check(context)
        for bitmap in ("b0", "b2", "b3"):
            found = [dirty_extents(context, name, bitmap) for name in ("out", "reference")]
            if found[0] != found[1]:
                raise Failure(f"{bitmap} at {size}: {found[0]}, with qemu-img {found[1]}")
        compare_facts(context, "out", "reference")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", "out"], cwd=context.directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    done = context.run([context.qemu_img_beside, "resize", "out", "5M"]).expect(1)
    if "is inconsistent and cannot be used" not in done.stderr:
        raise Failure(done.describe("expected a refusal"))


@test()
def bitmaps_not_added(context):
    """In qemu-img's words, and unlike there before anything is changed."""
    maker = bitmaps_make(context, 8 * MIB)
    maker.create("same", 8 * MIB)
    named_bitmaps_make(maker, "same", "fine", "b0")
    maker.create("longer", 9 * MIB)
    maker.create("old", 8 * MIB, "compat=0.10")
    for name in ("same", "longer", "old"):
        own, reference = (context.run([program, "convert", "-n", "--bitmaps", "-O", "qcow2", "image", name])
                          for program in (context.qemu_img_beside, "/usr/bin/qemu-img"))
        if own.status != 1 or own.stderr != reference.stderr:
            raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))
    maker.create("same2", 8 * MIB)
    named_bitmaps_make(maker, "same2", "fine")
    before = (context.directory / "same2").read_bytes()
    context.run([context.qemu_img_beside, "convert", "-n", "--bitmaps", "-O", "qcow2", "image", "same2"]).expect(1)
    if (context.directory / "same2").read_bytes() != before:
        raise Failure("the image has changed")


@test()
def bitmaps_not_there(context):
    """Sources of which none can have bitmaps, and targets: qemu-img's words, the source's before the target's; nothing is made."""
    maker = recipes.Maker(context.directory)
    formats = ["raw", "qcow", "qed", "vdi", "vhdx", "vmdk", "vpc", "parallels", "qcow2"]
    sources = daily.sample("written bitmaps_not_there", formats, 2)
    for name in sources:
        maker.create(name, MIB, format=name)
    maker.create("plain", MIB, format="raw")
    for name in ("old", "older"):
        maker.create(name, MIB, "compat=0.10")
    maker.create("inconsistent", MIB)
    named_bitmaps_make(maker, "inconsistent", "b")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 64k", "-c", "abort", "inconsistent"], cwd=context.directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    for source in [*sources, "old", "inconsistent"]:
        for target in (["-O", "qcow2", source, "out"], ["-f", "raw", "-O", "qcow2", source, "out"], ["-O", "raw", source, "out"],
                       ["-O", "qcow2", "-o", "compat=0.10", source, "out"], ["-n", "-O", "qcow2", source, "older"],
                       ["-n", "-O", "raw", source, "plain"], ["-c", "-O", "raw", source, "out"]):
            done = []
            for program in (context.qemu_img_beside, "/usr/bin/qemu-img"):
                done.append(context.run([program, "convert", "--bitmaps", *target]))
                if program == context.qemu_img_beside and done[0].status != 0 and (context.directory / "out").exists():
                    raise Failure(done[0].describe("something was made"))
                (context.directory / "out").unlink(missing_ok=True)
            if (done[0].status, done[0].stderr) != (done[1].status, done[1].stderr):
                raise Failure(done[0].describe("another output") + "\n" + done[1].describe("than qemu-img:"))


def directory_of(names, table_off):
    """Entries of a directory of bitmaps that all have the same table."""
    entries = b""
    for name in names:
        entry = struct.pack(">QIIBBHI", table_off, 1, 2, 1, 16, len(name), 0) + name
        entries += entry.ljust((len(entry) + 7) & ~7, b"\0")
    return entries


def many_bitmaps_make(path, count, name_len):
    """An image of 1 MiB, cluster by cluster: header, refcount table and blocks, L1 table, bitmaps. Each bitmap has a
    table of its own, none of which has data."""
    cluster = 4096
    names = [(b"bitmap-%05d-" % number).ljust(name_len, b"n") for number in range(count)]
    directory_clusters = -(-len(directory_of(names, 0)) // cluster)
    used = 0
    for _ in range(8):  # until as many blocks as it takes count themselves
        blocks = -(-used // (cluster // 2))
        first = 2 + blocks + 1
        used = first + directory_clusters + count
    entries = b""
    for number, name in enumerate(names):
        entries += directory_of([name], (first + directory_clusters + number) * cluster)
    extension = struct.pack(">IIIIQQQ", 0x23852875, 24, count, 0, len(entries), first * cluster, 0)
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 12, MIB, 0, 1, (2 + blocks) * cluster, cluster, 1, 0,
                         0, 0, 0, 1, 4, 104)
    with open(path, "wb") as file:
        file.write(header + extension)
        file.seek(cluster)
        file.write(b"".join(struct.pack(">Q", (2 + number) * cluster) for number in range(blocks)))
        file.seek(2 * cluster)
        file.write(b"\0\1" * used)
        file.seek(first * cluster)
        file.write(entries)
        file.truncate(used * cluster)


def own_bitmaps(context, program, name):
    done = context.run([program, "info", "--output=json", "-f", "qcow2", name]).expect()
    return json.loads(done.stdout)["format-specific"]["data"]["bitmaps"]


@test(cases=daily.sample("written many_bitmaps", ["200,1000", "2000,100"], 1))
def many_bitmaps(context, case):
    """Directories of 200 and 250 KB: read, measured, checked, and written, to new images and to others."""
    count, name_len = (int(word) for word in case.split(","))
    many_bitmaps_make(context.directory / "image", count, name_len)
    for arguments in (["check", "-f", "qcow2"], ["info", "-f", "qcow2"], ["measure", "-f", "qcow2", "-O", "qcow2"]):
        own, reference = (context.run([program, *arguments, "image"]).expect().stdout
                          for program in (context.qemu_img_beside, "/usr/bin/qemu-img"))
        if own != reference:
            raise Failure(f"{arguments[0]} has another output than with qemu-img")
    convert = [context.qemu_img_beside, "convert", "--bitmaps", "-f", "qcow2", "-O", "qcow2"]
    context.run([*convert, "image", "out"]).expect()
    context.run([*convert, "-o", "cluster_size=512,refcount_bits=64", "image", "small"]).expect()
    maker = recipes.Maker(context.directory)
    maker.create("there", MIB, "cluster_size=512")
    named_bitmaps_make(maker, "there", "there")
    context.run([*convert, "-n", "image", "there"]).expect()
    expected = facts(context, "image")["format-specific"]["data"]["bitmaps"]
    if len(expected) != count:
        raise Failure(f"info lists {len(expected)} bitmaps")
    for name, skipped in (("out", 0), ("small", 0), ("there", 1)):
        context.run(["/usr/bin/qemu-img", "check", "-f", "qcow2", name]).expect()
        if facts(context, name)["format-specific"]["data"]["bitmaps"][skipped:] != expected:
            raise Failure(f"{name} has other bitmaps")


@test()
def too_many_bitmaps(context):
    many_bitmaps_make(context.directory / "full", 65535, 14)
    maker = recipes.Maker(context.directory)
    maker.create("one", MIB)
    named_bitmaps_make(maker, "one", "one more")
    done = context.run([context.qemu_img_beside, "convert", "-n", "--bitmaps", "-O", "qcow2", "one", "full"]).expect(1)
    if "Maximum number of persistent bitmaps is already reached" not in done.stderr:
        raise Failure(done.describe("expected that there are too many"))


@test(cases=["-O raw", "-O qcow2 image", "-f raw -O qcow2", "-O vmdk"])
def bitmaps_refused(context, case):
    bitmaps_make(context, 8 * MIB)
    own, reference = (context.run([program, "convert", "--bitmaps", *case.split(), "image", name])
                      for program, name in ((context.qemu_img_beside, "out"), ("/usr/bin/qemu-img", "reference")))
    if own.status != 1 or reference.status != 1 or (case != "-O vmdk" and own.stderr != reference.stderr):
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))


@test()
def several_inputs(context):
    recipes.raw_sparse(MIB + 512, [(0, MIB)])(recipes.Maker(context.directory))
    for program, name in ((context.qemu_img_beside, "out"), ("/usr/bin/qemu-img", "reference")):
        context.run([program, "convert", "-f", "raw", "-O", "qcow2", "image", "image", name]).expect()
    image_check(context)
    context.run(["/usr/bin/qemu-img", "compare", "out", "reference"]).expect()


@test(cases=["create", "convert"])
def full_disk(context, case):
    """A file size limit stands in for a full disk: one clear line, and nothing under the final name."""
    recipes.raw_sparse(8 * MIB, [(0, 8 * MIB)])(recipes.Maker(context.directory))
    (context.directory / "out").write_bytes(b"what was there before")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (128 * KIB, 128 * KIB))
    arguments = (["create", "-q", "-f", "qcow2", "out", "1G"] if case == "create" else
                 ["convert", "-f", "raw", "-O", "qcow2", "image", "out"])
    if context.build.sandbox == "process":
        done = context.run([context.qemu_img_beside, *arguments], env=jobs.small_files(context, 128 * KIB)).expect(1)
    else:
        done = context.run([context.qemu_img_beside, *arguments], preexec_fn=limit).expect(1)
    if len(done.stderr.splitlines()) != 1 or not done.stderr.startswith("qemu-img: out: ") or "large" not in done.stderr:
        raise Failure(done.describe("expected one clear line"))
    if (context.directory / "out").read_bytes() != b"what was there before":
        raise Failure("the file that was there has changed")
