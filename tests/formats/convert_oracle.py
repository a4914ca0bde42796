#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Images that convert writes: qemu-img finds nothing wrong with them, and the content that it finds is the source's.

    convert_oracle.py IMAGE_NATIVE [NAME]

Without NAME, a day's part of them. IMAGE_NATIVE is the program of tests/native, or image_machine with its environment. NAME: only cases whose name
contains it.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402

MIB = 1 << 20
PART = 0.1
# Not what comes first in PATH: that may be our own.
QEMU_IMG, QEMU_IO = "/usr/bin/qemu-img", "/usr/bin/qemu-io"


def run(*arguments, check=True):
    result = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, errors="replace")
    if check and result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stdout}{result.stderr}")
    return result


def raw_file(path, size, *stretches):
    """A sparse file; `stretches` are (offset, bytes)."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, data in stretches:
            file.seek(offset)
            file.write(data)
    return path


def qemu_create(path, size, *commands, backing=None, **options):
    arguments = ["-o", ",".join(f"{k}={v}" for k, v in options.items())] if options else []
    if backing:
        arguments += ["-b", backing, "-F", "qcow2" if str(backing).endswith(".qcow2") else "raw"]
    run(QEMU_IMG, "create", "-q", "-f", "qcow2", *arguments, path, size)
    for command in commands:
        run(QEMU_IO, "-f", "qcow2", "-c", command, path)
    return path


def mixed(name, size, steps):
    """Text, noise and zeros, in stretches of all lengths."""
    noise = random.Random(name)
    stretches = []
    offset = 0
    while offset < size:
        length = min(noise.choice(steps), size - offset)
        kind = noise.randrange(3)
        if kind == 0:
            stretches.append((offset, noise.randbytes(length)))
        elif kind == 1:
            stretches.append((offset, (b"line %d of a text\n" % offset * (length // 12 + 1))[:length]))
        offset += length
    return stretches


class Sources:
    def __init__(self, folder):
        noise = random.Random("sources")
        base = qemu_create(folder / "base.qcow2", 3 * MIB, "write -P 1 0 1M", "write -P 2 1540k 700k")
        self.base = base
        snapshot = qemu_create(folder / "snapshot.qcow2", 2 * MIB, "write -P 9 64k 300k")
        run(QEMU_IMG, "snapshot", "-c", "s", snapshot)
        run(QEMU_IO, "-f", "qcow2", "-c", "write -P 8 100k 700k", snapshot)
        self.all = {
            "empty": raw_file(folder / "empty.raw", 0),
            "zero": raw_file(folder / "zero.raw", 3 * MIB),
            "sparse": raw_file(folder / "sparse.raw", 9 * MIB + 512, (4096, b"a" * 4096), (7 * MIB - 512, b"b" * 70000)),
            "odd": raw_file(folder / "odd.raw", MIB + 777, *mixed("odd", MIB + 777, [512, 4096, 5000, 70000])),
            "noise": raw_file(folder / "noise.raw", 2 * MIB, (0, noise.randbytes(2 * MIB))),
            "mixed": raw_file(folder / "mixed.raw", 6 * MIB, *mixed("mixed", 6 * MIB, [4096, 8192, 100000, 300000])),
            "small": qemu_create(folder / "small.qcow2", 2 * MIB + 512, "write -P 3 5k 17k", "write -P 4 1M 300k",
                                 "write -z 20k 20k", cluster_size=512),
            "large": qemu_create(folder / "large.qcow2", 9 * MIB, "write -P 3 5k 17k", "write -P 4 4M 3000k",
                                 cluster_size=2 * MIB),
            "chain": qemu_create(folder / "chain.qcow2", 4 * MIB, "write -P 5 300k 20k", "write -z 600k 512k",
                                 "write -P 6 2000k 100k", "write -P 7 3500k 5k", backing=base, cluster_size=4096),
            "snapshot": snapshot,
        }


OPTIONS = [
    "cluster_size=512", "cluster_size=4k", "", "cluster_size=1M", "cluster_size=2M",
    "compat=0.10", "compat=0.10,cluster_size=2k", "lazy_refcounts=on",
    "refcount_bits=1", "refcount_bits=2,cluster_size=512", "refcount_bits=8", "refcount_bits=32", "refcount_bits=64",
    "preallocation=metadata", "preallocation=falloc", "preallocation=full,cluster_size=4k",
    "extended_l2=on", "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=2M",
    "compression_type=zstd",
]


def option_arguments(options):
    return [argument for option in options.split(",") if option for argument in ("-o", option)]


class Test:
    def __init__(self, program, folder, only):
        self.program, self.folder, self.only = program, folder, only
        self.count, self.failures = 0, []

    def wants(self, name):
        return self.only in name if self.only else daily.takes(name, PART)

    def convert(self, *arguments):
        target = self.folder / "target"
        target.unlink(missing_ok=True)
        target.touch()
        run(self.program, "convert", "--target", target, *arguments)
        return target

    def check(self, name, target, *expected, formats=("qcow2",)):
        """`target` has no errors and no leaks, and the content of `expected`, as qemu-img compares them."""
        self.count += 1
        if formats[0] == "qcow2":
            result = run(QEMU_IMG, "check", "-f", "qcow2", target, check=False)
            if result.returncode != 0:
                self.failures.append(f"{name}: {result.stdout}{result.stderr}")
        result = run(QEMU_IMG, "compare", "-f", formats[0], *expected, check=False)
        if result.returncode != 0:
            self.failures.append(f"{name}: {result.stdout}{result.stderr}")

    def same(self, name, source, target, target_format="qcow2"):
        source_format = "qcow2" if str(source).endswith(".qcow2") else "raw"
        self.check(name, target, "-F", source_format, target, source, formats=(target_format,))


def matrix(test, sources):
    for number, (name, source) in enumerate(sources.all.items()):
        for options in OPTIONS:
            case = f"plain/{name}/{options}"
            if test.wants(case):
                sparse = ("4096", "0", "65536", "512")[(number + len(options)) % 4]
                sync = ["--sync"] if number % 2 else []
                target = test.convert("-O", "qcow2", *sync, "--sparse", sparse, *option_arguments(options), source)
                test.same(case, source, target)
        for sparse in ("0", "4096", "1048576"):
            case = f"raw/{name}/{sparse}"
            if test.wants(case):
                test.same(case, source, test.convert("-O", "raw", "--sync", "--sparse", sparse, source), "raw")


def backed(test, sources):
    """Only what the source's own image has is written: the rest stays the backing file's."""
    for options in OPTIONS:
        for sparse in ("4096", "0"):
            case = f"backing/{options}/{sparse}"
            if not test.wants(case) or options.startswith("preallocation"):
                continue
            target = test.convert("-O", "qcow2", "--sparse", sparse, *option_arguments(options), "-b", sources.base,
                                  "-F", "qcow2", sources.all["chain"])
            test.same(case, sources.all["chain"], target)
    case = "backing/map"
    if test.wants(case):
        maps = []
        target = test.convert("-O", "qcow2", "-o", "cluster_size=4k", "-b", sources.base, "-F", "qcow2",
                              sources.all["chain"])
        for image in (target, sources.all["chain"]):
            extents = json.loads(run(QEMU_IMG, "map", "--output=json", "-f", "qcow2", image).stdout)
            maps.append([(e["start"], e["length"], e["depth"], e["zero"]) for e in extents if e["depth"] == 0])
        test.count += 1
        if maps[0] != maps[1]:
            test.failures.append(f"{case}: {maps[0]}, not {maps[1]}")
    case = "backing/flat"
    if test.wants(case):  # what the source has not is zeros, whatever the backing file has
        source = sources.all["sparse"]
        target = test.convert("-O", "qcow2", "-b", sources.base, "-F", "qcow2", source)
        test.same(case, source, target)


COMPRESSED = [
    ((), ""), ((), "cluster_size=512"), ((), "cluster_size=4k"), ((), "cluster_size=2M"), ((), "compat=0.10"),
    ((), "refcount_bits=1"), ((), "refcount_bits=2,cluster_size=512"), ((), "extended_l2=on"),
    ((), "compression_type=zstd"), ((), "compression_type=zstd,cluster_size=512"),
    ((), "compression_type=zstd,cluster_size=2M"), (("--level", "12"), "cluster_size=8k"), (("--level", "6"), ""),
    (("--large-window",), ""), (("--large-window", "--level", "12"), "cluster_size=1M"), (("--sparse", "0"), ""),
    (("--level", "22"), "compression_type=zstd"), (("--level", "1"), "compression_type=zstd"),
]


def compressed(test, sources):
    for name, source in sources.all.items():
        for arguments, options in COMPRESSED:
            case = f"compressed/{name}/{options}/{' '.join(arguments)}"
            is_slow = "12" in arguments or "22" in arguments
            if not test.wants(case) or (is_slow and name != "odd"):
                continue
            target = test.convert("-c", "-O", "qcow2", *arguments, *option_arguments(options), source)
            test.same(case, source, target)
            if name == "mixed" and "--sparse" not in arguments:
                theirs = test.folder / "theirs.qcow2"
                run(QEMU_IMG, "convert", "-c", "-O", "qcow2", *(("-o", options) if options else ()), source, theirs)
                if target.stat().st_size > theirs.stat().st_size * 1.02:
                    test.failures.append(f"{case}: {target.stat().st_size} bytes, not {theirs.stat().st_size}")
    case = "compressed/backing"
    if test.wants(case):
        target = test.convert("-c", "-O", "qcow2", "-b", sources.base, "-F", "qcow2", sources.all["chain"])
        test.same(case, sources.all["chain"], target)


def several(test, sources):
    names = ["odd", "small", "sparse", "empty", "large", "odd"]
    paths = [sources.all[name] for name in names]
    whole = test.folder / "whole.raw"
    for number, path in enumerate(paths):
        part = test.folder / "part.raw"
        run(QEMU_IMG, "convert", "-O", "raw", path, part)
        with open(whole, "ab" if number else "wb") as file:
            file.write(part.read_bytes())
    for options in ("", "cluster_size=512", "cluster_size=2M", "extended_l2=on"):
        for extra in ((), ("--sparse", "0")):
            case = f"several/{options}/{len(extra)}"
            if test.wants(case):
                target = test.convert("-O", "qcow2", *extra, *option_arguments(options), *paths)
                test.same(case, whole, target)
    case = "several/raw"
    if test.wants(case):
        test.same(case, whole, test.convert("-O", "raw", *paths), "raw")


def ranges(test, sources):
    """Parts of a disk, as dd reads them."""
    for name in ("mixed", "odd", "chain", "small"):
        source = sources.all[name]
        flat = test.folder / "flat.raw"
        run(QEMU_IMG, "convert", "-O", "raw", source, flat)
        content = flat.read_bytes()[:source.stat().st_size if name == "odd" else None]
        part = test.folder / "part.raw"
        for start, length in ((0, 1000), (512, 65536), (1, 100), (777, 300001), (512 * 77, 1 << 60), (len(content), 5)):
            expected = content[start:start + length]
            part.write_bytes(expected + bytes(-len(expected) % 512))
            for target_format in ("raw", "qcow2"):
                case = f"range/{name}/{start}/{length}/{target_format}"
                if test.wants(case):
                    target = test.convert("-O", target_format, "--start", start, "--length", length, source)
                    test.same(case, part, target, target_format)


def main():
    program = os.path.abspath(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        test = Test(program, folder, only)
        sources = Sources(folder)
        for part in (matrix, backed, compressed, several, ranges):
            part(test, sources)
    for failure in test.failures:
        print(failure.strip(), file=sys.stderr)
    print(f"{test.count} conversions, {len(test.failures)} failures")
    return 1 if test.failures or (test.count == 0 and daily.share() == 1) else 0


if __name__ == "__main__":
    sys.exit(main())
