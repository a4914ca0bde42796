# SPDX-License-Identifier: Apache-2.0
"""Disk images to compare qemu-img and ours on: a recipe has a name and makes `image` in an empty directory.

Everything is made by qemu-img and qemu-io, so that the images owe nothing to our own code. Here are qcow2, luks and raw;
any other format has a module of its own, recipes_FORMAT.py, whose recipes() are found by its name.
"""

import dataclasses
import functools
import importlib
import pathlib
import subprocess
from typing import Callable

from lib import images

CLUSTER_SIZES = [512 << bits for bits in range(13)]
REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64]
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Maker:
    """Runs qemu-img and qemu-io in the directory of an image."""

    def __init__(self, directory):
        self.directory = directory

    def run(self, *arguments):
        done = subprocess.run([str(argument) for argument in arguments], cwd=self.directory, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise ValueError(f"cannot make the image: {' '.join(map(str, arguments))}: {done.stdout.decode(errors='replace')}")

    def create(self, name, size, *options, format="qcow2", backing=None, backing_format="qcow2"):
        arguments = ["/usr/bin/qemu-img", "create", "-q", "-f", format]
        for option in options:
            arguments += ["-o", option]
        if backing is not None:
            arguments += ["-b", backing, "-F", backing_format]
        self.run(*arguments, name, *([] if size is None else [size]))

    def io(self, name, *commands, format="qcow2"):
        arguments = ["qemu-io", "-f", format]
        for command in commands:
            arguments += ["-c", command]
        self.run(*arguments, name)

    def convert(self, source, target, *options):
        self.run("/usr/bin/qemu-img", "convert", *options, source, target)


# What functions have made, by their names: content of files.
made = {}


def make_once(make, directory, name=None):
    """The new files that make(directory) puts there, for who needs them again and again: it runs once, later they are copies."""
    name = name or f"{make.__module__}.{make.__qualname__}"
    if name not in made:
        before = set(directory.iterdir())
        make(directory)
        made[name] = {path.name: path.read_bytes() for path in set(directory.iterdir()) - before}
        if not made[name]:
            raise ValueError(f"{name} has made nothing that was not there")
        return
    for file_name, content in made[name].items():
        images.write_sparse(directory / file_name, content)


@dataclasses.dataclass
class Recipe:
    name: str
    make: Callable  # takes a Maker
    format: str = "qcow2"  # of the image
    image: str = "image"  # its file
    options: tuple = ()  # of every command, such as -f raw
    snapshots: tuple = ()  # to convert, too
    chain: bool = False
    is_encrypted: bool = False
    is_checked: bool = True  # qemu-img has a check of the format
    is_cut: bool = False  # data lies behind the end of the file: ours does not read zeros there


# Of the file around any image that qemu-img makes.
FILE_OPTIONS = ("preallocation=full", "nocow=on", "extent_size_hint=64k")


def mixed(cluster, size):
    """Writes of every sort: whole and partial clusters, neighbours, zeros, discarded ones, the last bytes."""
    step = max(cluster, 4 * KIB)
    last = size - 512
    commands = [
        f"write -P 0x11 0 {step}",
        f"write -P 0x22 {3 * step} {2 * step}",
        f"write -P 0x33 {7 * step + 512} 1024",
        f"write -P 0x00 {9 * step} {step}",
        f"write -z {11 * step} {2 * step}",
        f"write -P 0x44 {14 * step} {3 * step}",
        f"write -z -u {15 * step} {step}",
        f"discard {3 * step} {step}",
    ]
    return [command for command in commands if (int(command.split()[-2]) + int(command.split()[-1])) <= size] + [
        f"write -P 0x55 {last} 512"]


def plain(options, size=None, cluster=64 * KIB):
    length = size if size is not None else 24 * max(cluster, 4 * KIB)

    def make(maker):
        maker.create("image", length, *options)
        maker.io("image", *mixed(cluster, length))
    return make


def source_make(maker, cluster, size):
    """A raw file with what compresses, what does not, and zeros."""
    maker.run("/usr/bin/qemu-img", "create", "-q", "-f", "raw", "source", size)
    maker.io("source", *mixed(cluster, size), format="raw")
    with open(maker.directory / "source", "r+b") as file:
        file.seek(20 * max(cluster, 4 * KIB))
        file.write(bytes((i * i * 2654435761 >> 13) & 255 for i in range(2 * max(cluster, 4 * KIB))))
        file.truncate(size)


def compressed(options, cluster):
    def make(maker):
        source_make(maker, cluster, 24 * max(cluster, 4 * KIB))
        words = [word for option in options for word in ("-o", option)]
        maker.convert("source", "image", "-f", "raw", "-O", "qcow2", "-c", *words)
        maker.io("image", f"write -P 0x66 {2 * max(cluster, 4 * KIB)} 512")
    return make


def chain(depth, sizes, options=(), backing_format="qcow2", write_everywhere=False):
    """`depth` images behind the first one; each writes somewhere else."""
    def make(maker):
        below = None
        for level in range(depth, -1, -1):
            name = "image" if level == 0 else f"base{level}"
            size = sizes[level % len(sizes)]
            if below is None and backing_format == "raw":
                maker.run("/usr/bin/qemu-img", "create", "-q", "-f", "raw", name, size)
                maker.io(name, f"write -P {level + 1} 0 {min(size, MIB)}", format="raw")
            else:
                maker.create(name, size, *options, backing=below,
                             backing_format=backing_format if level + 1 == depth else "qcow2")
                first = (level * 3 * 64 * KIB) % max(size // 2, 1) // 512 * 512
                maker.io(name, f"write -P {level + 1} {first} {min(128 * KIB, size - first) // 512 * 512}",
                         *([f"write -z {min(first + 512 * KIB, size - 64 * KIB)} 64k"] if size > MIB else []))
            below = name
    return make


def snapshots(options=(), grow=False):
    def make(maker):
        maker.create("image", 4 * MIB, *options)
        maker.io("image", "write -P 1 0 1M")
        maker.run("/usr/bin/qemu-img", "snapshot", "-c", "first", "image")
        maker.io("image", "write -P 2 512k 1M", "discard 0 128k")
        if grow:
            maker.run("/usr/bin/qemu-img", "resize", "-q", "image", "6M")
        maker.run("/usr/bin/qemu-img", "snapshot", "-c", "second one", "image")
        maker.io("image", "write -P 3 2M 64k", "write -z 3M 64k")
    return make


def bitmaps(maker):
    maker.create("image", 8 * MIB)
    maker.run("/usr/bin/qemu-img", "bitmap", "--add", "image", "b0")
    maker.run("/usr/bin/qemu-img", "bitmap", "--add", "-g", "128k", "--disable", "image", "b one")
    maker.io("image", "write -P 9 1M 1M")


def data_file(raw):
    def make(maker):
        maker.create("image", 4 * MIB, "data_file=image.data", f"data_file_raw={'on' if raw else 'off'}")
        maker.io("image", *mixed(64 * KIB, 4 * MIB))
    return make


def dirty(maker):
    """What an interrupted writer leaves behind with lazy refcounts."""
    maker.create("image", 4 * MIB, "lazy_refcounts=on")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", "-c", "abort", "image"], cwd=maker.directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def leaked(maker):
    """Clusters that nobody refers to: the L1 table forgets one L2 table."""
    maker.create("image", 64 * MIB, "cluster_size=4k")
    maker.io("image", "write -P 1 0 1M", "write -P 1 4M 1M")
    with open(maker.directory / "image", "r+b") as file:
        file.seek(40)
        l1_off = int.from_bytes(file.read(8), "big")
        file.seek(l1_off)
        file.write(bytes(8))


def raw_sparse(size, writes):
    def make(maker):
        with open(maker.directory / "image", "wb") as file:
            file.truncate(size)
            for offset, length in writes:
                file.seek(offset)
                file.write(b"\xa5" * length)
    return make


def luks(image_format, prefix, maker):
    for attempt in range(10):  # qemu-img measures its own speed, and gives up on a busy machine
        try:
            return maker.run("/usr/bin/qemu-img", "create", "-q", "-f", image_format, "--object", "secret,id=s,data=geheim",
                             "-o", prefix + "key-secret=s," + prefix + "iter-time=10", "image", "1M")
        except ValueError:
            if attempt == 9:
                raise


def written(name, size, format, *options, cluster=64 * KIB, backing=None):
    """An image of a format that qemu-img writes, with all that `mixed` has."""
    def make(maker):
        maker.create(name, size, *options, format=format, backing=backing)
        maker.io(name, *mixed(cluster, size), format=format)
    return make


def other_formats():
    """Those that have recipes of their own."""
    return sorted(path.stem.removeprefix("recipes_") for path in pathlib.Path(__file__).parent.glob("recipes_*.py"))


def recipes_of(format):
    found = importlib.import_module(f"lib.recipes_{format}").recipes()
    wrong = [recipe.name for recipe in found if recipe.format != format or not recipe.name.startswith(format)]
    if wrong:
        raise ValueError(f"recipes of another format than {format}, or with another name: {wrong}")
    return found


def all_recipes():
    """Of every format."""
    return recipes() + [recipe for format in other_formats() for recipe in recipes_of(format)]


def recipes():
    """Of qcow2, luks and raw."""
    found = []

    def add(name, make, **more):
        found.append(Recipe(name, make, **more))

    for cluster in CLUSTER_SIZES:
        for bits in REFCOUNT_BITS:
            add(f"cluster{cluster}_refcount{bits}",
                plain([f"cluster_size={cluster}", f"refcount_bits={bits}"], cluster=cluster))
        add(f"v2_cluster{cluster}", plain(["compat=0.10", f"cluster_size={cluster}"], cluster=cluster))
        for kind in ("zlib", "zstd"):
            add(f"{kind}_cluster{cluster}",
                compressed([f"cluster_size={cluster}", f"compression_type={kind}"], cluster))
        if cluster >= 16 * KIB:
            add(f"subclusters_cluster{cluster}",
                plain(["extended_l2=on", f"cluster_size={cluster}"], cluster=cluster // 16))
            add(f"subclusters_zlib_cluster{cluster}",
                compressed(["extended_l2=on", f"cluster_size={cluster}"], cluster))
    for size in (0, 512, 1024, 65536, 65536 + 512, MIB + 512, 3 * GIB, 1 << 40):
        add(f"size{size}", plain([], size=size) if size >= 16 * KIB else lambda maker, size=size:
            maker.create("image", size))
    for kind in ("metadata", "falloc", "full"):
        add(f"preallocation_{kind}", plain([f"preallocation={kind}"], size=8 * MIB))
        add(f"preallocation_{kind}_untouched", lambda maker, kind=kind:
            maker.create("image", 8 * MIB, f"preallocation={kind}"))
    for depth in (1, 2, 3, 5, 12):
        add(f"chain{depth}", chain(depth, [4 * MIB]), chain=True)
        add(f"chain{depth}_growing", chain(depth, [6 * MIB, 4 * MIB, 5 * MIB + 512]), chain=True)
        add(f"chain{depth}_shrinking", chain(depth, [3 * MIB, 4 * MIB + 512]), chain=True)
        add(f"chain{depth}_raw", chain(depth, [4 * MIB, 3 * MIB], backing_format="raw"), chain=True)
        add(f"chain{depth}_subclusters", chain(depth, [4 * MIB], ["extended_l2=on", "cluster_size=128k"]), chain=True)
        add(f"chain{depth}_small_clusters", chain(depth, [2 * MIB], ["cluster_size=512"]), chain=True)
    for options in ((), ("compat=0.10",), ("extended_l2=on",), ("cluster_size=4k",)):
        name = "_".join(options).replace("=", "_").replace(".", "") or "default"
        add(f"snapshots_{name}", snapshots(options), snapshots=("first", "second one", "2"))
    add("snapshots_growing", snapshots(grow=True), snapshots=("first", "second one"))
    add("bitmaps", bitmaps)
    add("data_file", data_file(False))
    add("data_file_raw", data_file(True))
    add("dirty", dirty)
    add("leaked", leaked)
    add("lazy_refcounts", plain(["lazy_refcounts=on"], size=4 * MIB))
    add("luks", functools.partial(luks, "luks", ""), is_encrypted=True, format="luks")
    add("luks_in_qcow2", functools.partial(luks, "qcow2", "encrypt.format=luks,encrypt."), is_encrypted=True)
    for size in (0, 1, 511, 512, 1000, 65537, 3 * MIB + 100):
        add(f"raw{size}", raw_sparse(size, [(size // 2, min(size // 4, 70000))] if size else []),
            options=("-f", "raw"), format="raw")
    add("raw_sparse", raw_sparse(5 * GIB, [(0, 4096), (GIB, MIB), (5 * GIB - 1, 1)]), options=("-f", "raw"), format="raw")
    add("raw_probed", raw_sparse(2 * MIB, [(65536, 65536)]), format="raw")
    return found
