#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""qcow2 images of many shapes, made by qemu-img and qemu-io: info, map and content, read natively, equal qemu-img's.

    qcow2_oracle.py IMAGE_NATIVE [NAME]

IMAGE_NATIVE is the program of tests/native. NAME: only images whose name contains it; without it, a day's part of them.
"""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402
from lib.oracle import run  # noqa: E402

MIB = 1 << 20
PART = 0.2


def qemu_io(image, *commands, options=()):
    arguments = [*options]
    for command in commands:
        arguments += ["-c", command]
    # Not everything works everywhere (compressed writes over a cluster in use); whatever does makes the image.
    run("qemu-io", "-f", "qcow2", *arguments, image, check=False)


def create(image, size, **options):
    backing = options.pop("backing", None)
    arguments = ["-o", ",".join(f"{k}={v}" for k, v in options.items())] if options else []
    if backing:
        arguments += ["-b", backing, "-F", "qcow2" if str(backing).endswith(".qcow2") else "raw"]
    run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *arguments, image, size)


class Pattern:
    """Writes of all kinds, at random places: always the same ones for a name."""

    def __init__(self, name, cluster, size, compressed=True, zeros=True, sub=0):
        self.random = random.Random(name)
        self.cluster, self.size = cluster, size
        self.compressed, self.zeros, self.sub = compressed, zeros, sub

    def extent(self, unit):
        count = self.size // unit
        first = self.random.randrange(count)
        length = min(self.random.choice([1, 1, 2, 3, 9]), count - first)
        return first * unit, length * unit

    def commands(self, count):
        kinds = ["write"] * 4 + ["discard"]
        kinds += ["write -c"] * 2 * self.compressed + ["zero", "zero -u"] * self.zeros
        for _ in range(count):
            kind = self.random.choice(kinds)
            if kind == "write -c":
                offset, length = self.extent(self.cluster)
                yield f"write -c -P {self.random.randrange(1, 255)} {offset} {min(length, 2 * MIB)}"
            elif kind == "write":
                offset, length = self.extent(self.sub or self.random.choice([512, self.cluster]))
                yield f"write -P {self.random.randrange(1, 255)} {offset} {length}"
            elif kind == "discard":
                offset, length = self.extent(self.cluster)
                yield f"discard {offset} {length}"
            else:
                offset, length = self.extent(self.sub or self.cluster)
                yield f"write -z{' -u' if kind == 'zero -u' else ''} {offset} {length}"


def images(folder, wants):
    """Makes each image that is wanted by its name: (name, path, snapshots)."""
    for cluster in [512 << i for i in range(13)]:
        for compat in ("0.10", "1.1"):
            name = f"cluster-{cluster}-{compat}"
            if not wants(name):
                continue
            path = folder / f"{name}.qcow2"
            size = 64 * cluster + 512 * 7
            create(path, size, cluster_size=cluster, compat=compat)
            qemu_io(path, *Pattern(name, cluster, size, zeros=compat != "0.10").commands(24))
            yield name, path, []
    for bits in (1, 2, 4, 8, 16, 32, 64):
        name = f"refcount-{bits}"
        if not wants(name):
            continue
        path = folder / f"{name}.qcow2"
        create(path, 4 * MIB, cluster_size=4096, refcount_bits=bits)
        qemu_io(path, *Pattern(name, 4096, 4 * MIB).commands(60))
        yield name, path, []
    for cluster in (16384, 65536, 2 * MIB):
        for kind in ("zlib", "zstd"):
            name = f"extended-{cluster}-{kind}"
            if not wants(name):
                continue
            path = folder / f"{name}.qcow2"
            size = 24 * cluster + 512
            create(path, size, cluster_size=cluster, extended_l2="on", compression_type=kind)
            qemu_io(path, *Pattern(name, cluster, size, sub=cluster // 32).commands(60))
            yield name, path, []
    for kind in ("zlib", "zstd"):
        for cluster in (512, 4096, 65536, 2 * MIB):
            name = f"compressed-{kind}-{cluster}"
            if not wants(name):
                continue
            path = folder / f"{name}.qcow2"
            raw = folder / "content.raw"
            noise = random.Random(name)
            with open(raw, "wb") as file:
                for i in range(24):
                    file.write(noise.choice([noise.randbytes(cluster), bytes(cluster), b"text %d " % i * cluster])[:cluster])
                file.write(b"tail" * 100)
            run("/usr/bin/qemu-img", "convert", "-q", "-c", "-O", "qcow2", "-o",
                f"cluster_size={cluster},compression_type={kind}", raw, path)
            yield name, path, []
    base = folder / "base.qcow2"
    create(base, 3 * MIB, cluster_size=4096)
    qemu_io(base, *Pattern("base", 4096, 3 * MIB).commands(60))
    middle = folder / "middle.qcow2"
    create(middle, 5 * MIB, backing=base, cluster_size=65536)
    qemu_io(middle, *Pattern("middle", 65536, 5 * MIB).commands(12))
    top = folder / "top.qcow2"
    create(top, 4 * MIB, backing=middle, cluster_size=32768, extended_l2="on")
    qemu_io(top, *Pattern("top", 32768, 4 * MIB, sub=1024).commands(24))
    yield "backing", top, []
    raw_base = folder / "base.raw"
    raw_base.write_bytes(random.Random(5).randbytes(300000))
    on_raw = folder / "on_raw.qcow2"
    create(on_raw, 1 * MIB, backing=raw_base)
    qemu_io(on_raw, "write -P 7 65536 1000", "write -z 131072 65536")
    yield "backing-raw", on_raw, []
    for raw in ("on", "off"):
        path = folder / f"data_file_{raw}.qcow2"
        create(path, 4 * MIB, data_file=folder / f"data_{raw}.raw", data_file_raw=raw)
        qemu_io(path, *Pattern(raw, 65536, 4 * MIB, compressed=False).commands(30))
        yield f"data-file-{raw}", path, []
    path = folder / "snapshots.qcow2"
    create(path, 4 * MIB, cluster_size=4096)
    for name in ("first", "2", "with space"):
        qemu_io(path, *Pattern(name, 4096, 4 * MIB).commands(20))
        run("/usr/bin/qemu-img", "snapshot", "-c", name, path)
    qemu_io(path, *Pattern("active", 4096, 4 * MIB).commands(20))
    run("/usr/bin/qemu-img", "resize", "-q", path, 6 * MIB)
    yield "snapshots", path, ["first", "1", "2", "3", "with space"]
    for kind in ("off", "metadata", "falloc", "full"):
        path = folder / f"preallocation_{kind}.qcow2"
        create(path, 8 * MIB, preallocation=kind)
        qemu_io(path, "write -P 5 1M 100k", "write -z 3M 64k")
        yield f"preallocation-{kind}", path, []
    # More L1 entries than a view of the cache has, and a table behind the first block of one.
    path = folder / "long_l1.qcow2"
    create(path, 1 << 30, cluster_size=512)
    qemu_io(path, "write -P 1 0 512", "write -P 2 600M 2k", "write -P 3 1048575k 1k")
    yield "long-l1", path, []
    for cipher, mode in (("aes-256", "xts"), ("twofish-128", "cbc")):
        path = folder / f"luks_{cipher}.qcow2"
        run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,"
            f"encrypt.cipher-alg={cipher},encrypt.cipher-mode={mode}"
            + (",encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256" if mode == "cbc" else ""), path, "1M")
        yield f"described-luks-{cipher}", path, []
    path = folder / "bitmaps.qcow2"
    create(path, MIB)
    for options in ([], ["--disable"], ["-g", "512"]):
        run("/usr/bin/qemu-img", "bitmap", "--add", *options, path, f"bitmap {options}")
    qemu_io(path, "write -P 1 0 64k")
    yield "bitmaps", path, []
    path = folder / "empty.qcow2"
    create(path, 0)
    yield "empty", path, []
    path = folder / "dirty.qcow2"
    create(path, MIB, lazy_refcounts="on")
    qemu_io(path, "write -P 5 0 100k")
    with open(path, "r+b") as file:
        file.seek(79)
        file.write(b"\x03")  # dirty and corrupt
    yield "dirty-and-corrupt", path, []


def native_lines(program, *arguments):
    result = run(program, *arguments, check=False)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: {lines[-1] if lines else result.stderr}")
    return lines


def native_map(program, path):
    """In the shape of qemu-img's."""
    extents = []
    for line in native_lines(program, "map", path):
        if "map" in line:
            extents.append({key: line[key] for key in ("start", "length", "depth", "present", "zero", "data", "offset")
                            if key in line})
    return extents


def qemu_map(path):
    return [extent for extent in json.loads(run("/usr/bin/qemu-img", "map", "--output=json", path).stdout)]


def native_info(program, path):
    """The tree that the details are, members in their order."""
    root = {}
    stack = [root]
    for line in native_lines(program, "info", path):
        if "detail" not in line:
            continue
        kind, key = line["kind"], line["key"]
        if kind == "end":
            stack.pop()
            continue
        value = {"object": {}, "list": []}.get(kind, line.get("value"))
        value = bool(value) if kind == "bool" else value
        if isinstance(stack[-1], list):
            stack[-1].append(value)
        else:
            stack[-1][key] = value
        if kind in ("object", "list"):
            stack.append(value)
    return root


def check_info(program, path):
    """Values and order: the order is that of what qemu-img prints for people."""
    ours = native_info(program, path)
    theirs = json.loads(run("/usr/bin/qemu-img", "info", "--output=json", path).stdout)
    for key in ("format-specific", "snapshots"):
        if json.dumps(ours.get(key)) != json.dumps(theirs.get(key)):
            raise RuntimeError(f"info differs: {ours.get(key)} {theirs.get(key)}")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def content(command, target):
    if target.exists():
        target.unlink()
    command(target)
    return digest(target)


def check_content(program, path, snapshot):
    """Both raw files have the same bytes."""
    folder = path.parent
    ours, theirs = folder / "ours.raw", folder / "theirs.raw"
    choice = ["-l", snapshot] if snapshot else []

    def convert(target):
        target.touch()
        native_lines(program, "convert", *choice, "--target", target, path)

    def qemu_convert(target):
        run("/usr/bin/qemu-img", "convert", *choice, "-O", "raw", path, target)

    return content(convert, ours) == content(qemu_convert, theirs)


def main():
    program, wanted = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    failures = count = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        def wants(name):
            return wanted in name if wanted else daily.takes(name, PART)

        for name, path, snapshots in images(pathlib.Path(folder), wants):
            if not wants(name):
                continue
            count += 1
            try:
                check_info(program, path)
                if name.startswith("described"):
                    continue
                ours, theirs = native_map(program, path), qemu_map(path)
                if ours != theirs:
                    different = next((pair for pair in zip(ours, theirs) if pair[0] != pair[1]), (ours[-1:], theirs[-1:]))
                    raise RuntimeError(f"map differs: {different}")
                for snapshot in [None, *snapshots]:
                    if not check_content(program, path, snapshot):
                        raise RuntimeError(f"content differs, snapshot {snapshot}")
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failures += 1
    print(f"{count} images, {failures} failures")
    return 1 if failures or (count == 0 and daily.share() == 1) else 0


if __name__ == "__main__":
    sys.exit(main())
