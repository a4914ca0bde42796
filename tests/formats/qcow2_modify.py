#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Existing qcow2 images that are written to, natively: afterwards qemu-img finds them sound, and with the content that
qemu-io's writes of the same make. What a crash leaves behind is qcow2_crashes.py's.

    qcow2_modify.py MODIFY_NATIVE IMAGE_NATIVE [NAME]

NAME: only cases in whose name it is found, a regular expression; a day's part of them, if there are more than PART_COUNT.
"""
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402
from lib.bitmaps import bitmaps_of  # noqa: E402

MIB = 1 << 20
LEAKS = 3
PART_COUNT = 5


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, errors="replace", check=False, **options)


def must(*arguments, **options):
    result = run(*arguments, **options)
    if result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.returncode} {result.stdout}{result.stderr}")
    return result


def qemu_io(image, *commands):
    arguments = []
    for command in commands:
        arguments += ["-c", command]
    must("qemu-io", "-f", "qcow2", *arguments, image)


class Case:
    def __init__(self, name, size=8 * MIB, backing=False, snapshot=False, compressed=False, bitmap=False, filled=True,
                 **options):
        self.name, self.size, self.options = name, size, options
        self.backing, self.snapshot, self.compressed = backing, snapshot, compressed
        self.bitmap, self.filled = bitmap, filled

    def make(self, folder):
        generator = random.Random(self.name)
        image = folder / f"{self.name}.qcow2"
        arguments = ["-o", ",".join(f"{k}={v}" for k, v in self.options.items())] if self.options else []
        if self.backing:
            base = folder / "base.raw"
            base.write_bytes(generator.randbytes(self.size // 2) + b"\x5a" * (self.size // 4))
            arguments += ["-b", base, "-F", "raw"]
        must("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *arguments, image, self.size)
        commands = []
        for i in range(12 if self.filled else 0):
            offset = generator.randrange(self.size // 512 - 300) * 512
            length = generator.choice([512, 4096, 65536, 150000 // 512 * 512])
            commands += ["-c", f"write -P {i + 1} {offset} {length}"]
        for i in range(6 if self.compressed else 0):  # fails where there is data
            offset = generator.randrange(self.size // 65536) * 65536
            commands += ["-c", f"write -c -P {i + 100} {offset} 65536"]
        run("qemu-io", "-f", "qcow2", *commands, image)
        if self.snapshot:
            must("/usr/bin/qemu-img", "snapshot", "-c", "first", image)
            qemu_io(image, "write -P 99 100k 300k")
        if self.bitmap:
            must("/usr/bin/qemu-img", "bitmap", "--add", image, "b0")
            must("/usr/bin/qemu-img", "bitmap", "--add", "-g", "512", image, "fine")
        return image

    def steps(self, count, seed):
        generator = random.Random(f"{self.name} {seed}")
        steps = []
        for _ in range(count):
            unit = generator.choice([512, 4096, 65536])
            first = generator.randrange(self.size // unit)
            length = min(generator.choice([1, 1, 2, 5, 20, 64]), self.size // unit - first)
            if generator.random() < 0.3:
                steps.append(("z", first * unit, length * unit, 0))
            else:
                steps.append(("w", first * unit, min(length * unit, 4 * MIB), generator.randrange(1, 255)))
            if generator.random() < 0.03:
                steps.append(("f",))
        return steps


CASES = [
    Case("plain"),
    Case("empty", filled=False),
    Case("v2", compat="0.10"),
    Case("v2-backing", compat="0.10", backing=True),
    Case("small-clusters", cluster_size=512, size=4 * MIB),
    Case("small-refcounts", cluster_size=512, refcount_bits=1, size=4 * MIB),
    Case("wide-refcounts", cluster_size=512, refcount_bits=64, size=20 * MIB, filled=False),
    Case("large-clusters", cluster_size="2M", size=32 * MIB),
    Case("backing", backing=True),
    Case("snapshot", snapshot=True),
    Case("snapshot-backing-4k", snapshot=True, backing=True, cluster_size=4096),
    Case("compressed", compressed=True),
    Case("compressed-snapshot", compressed=True, snapshot=True),
    Case("compressed-zstd", compressed=True, compression_type="zstd"),
    Case("extended", extended_l2="on", cluster_size=65536),
    Case("extended-backing", extended_l2="on", cluster_size=65536, backing=True),
    Case("extended-snapshot-compressed", extended_l2="on", backing=True, snapshot=True, compressed=True),
    Case("preallocated", preallocation="metadata"),
    Case("preallocated-extended", preallocation="metadata", extended_l2="on"),
    Case("bitmap", bitmap=True),
    Case("bitmap-512", bitmap=True, cluster_size=512, size=4 * MIB),
    Case("bitmap-compressed", bitmap=True, compressed=True, snapshot=True),
    Case("odd-size", size=5 * MIB + 512 * 77),
]


def disk_of(image, folder):
    must("/usr/bin/qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, folder / "disk.raw")
    return (folder / "disk.raw").read_bytes()


def script(steps):
    return "".join(" ".join(str(word) for word in step) + "\n" for step in steps)


def model(image, steps):
    commands = []
    for step in steps:
        if step[0] == "w":
            commands.append(f"write -P {step[3]} {step[1]} {step[2]}")
        elif step[0] == "z":
            commands.append(f"write -z {step[1]} {step[2]}")
    for first in range(0, len(commands), 40):
        qemu_io(image, *commands[first:first + 40])


def check_equal(image, expected):
    must("/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", image)
    must("/usr/bin/qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", image, expected)


def test_random(modify, case, folder):
    image = case.make(folder)
    expected = folder / "expected.qcow2"
    shutil.copy(image, expected)
    before = None
    if case.snapshot:
        before = must("/usr/bin/qemu-img", "convert", "-l", "first", "-f", "qcow2", "-O", "raw", image, folder / "before.raw")
    for seed in range(3):
        steps = case.steps(40, seed)
        must(modify, "qcow2", image, input=script(steps))
        model(expected, steps)
        check_equal(image, expected)
        if case.bitmap and bitmaps_of(image) != bitmaps_of(expected):
            raise RuntimeError("the bitmaps are not those that QEMU makes")
    if before is not None:
        must("/usr/bin/qemu-img", "convert", "-l", "first", "-f", "qcow2", "-O", "raw", image, folder / "after.raw")
        must("cmp", folder / "before.raw", folder / "after.raw")


def grow_and_shrink(image_native, case, folder):
    """qemu-img does the same to another one."""
    image = case.make(folder)
    expected = folder / "expected.qcow2"
    shutil.copy(image, expected)
    lengths = [case.size + MIB, case.size * 5, case.size * 5, 3 * MIB + 512, 64 * MIB, 512]
    modes = ["", "metadata", "", "", "falloc", ""]
    for length, mode in zip(lengths, modes):
        arguments = ["--preallocation", mode] if mode else []
        ours = run(image_native, "resize", "--shrink", "--size", length, *arguments, image)
        if mode:
            arguments = [f"--preallocation={mode}"]
        theirs = run("/usr/bin/qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", *arguments, expected, length)
        if ours.returncode != theirs.returncode:
            raise RuntimeError(f"{length} {mode}: {ours.stdout} {theirs.stderr}")
        if theirs.returncode != 0 and theirs.stderr.split("qemu-img: ")[1].split("\n")[0] not in ours.stdout:
            raise RuntimeError(f"{length} {mode}: {ours.stdout} {theirs.stderr}")
        check_equal(image, expected)


def test_resize(_, case, folder, image_native):
    if not case.bitmap:
        grow_and_shrink(image_native, case, folder)


def main():
    modify, image_native = sys.argv[1:3]
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    failed = 0
    tests = {"random": test_random, "resize": lambda m, c, f: test_resize(m, c, f, image_native)}
    wanted = [(case, name) for case in CASES for name in tests if re.search(chosen, f"{case.name} {name}")]
    for case, name in daily.sample(chosen, wanted, PART_COUNT):
        title, test = f"{case.name} {name}", tests[name]
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="instar-modify-") as folder:
            try:
                test(modify, case, pathlib.Path(folder))
                print(f"ok {title}", flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"not ok {title}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
