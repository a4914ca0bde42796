#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Existing qcow2 images that are written to, natively: afterwards qemu-img finds them sound, and with the content that
qemu-io's writes of the same make. And what a crash leaves behind at any moment: at worst clusters that nobody uses.

    qcow2_modify.py MODIFY_NATIVE IMAGE_NATIVE [NAME]

NAME: only cases in whose name it is found, a regular expression; a day's part of them, if there are more than PART_COUNT.
"""
import os
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
STOPPED = 9
LEAKS = 3
PART_COUNT = 5


def run(*arguments, **options):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, check=False, **options)


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
        for i in range(12 if self.filled else 0):
            offset = generator.randrange(self.size // 512 - 300) * 512
            length = generator.choice([512, 4096, 65536, 150000 // 512 * 512])
            qemu_io(image, f"write -P {i + 1} {offset} {length}")
        if self.compressed:
            for i in range(6):
                offset = generator.randrange(self.size // 65536) * 65536
                run("qemu-io", "-f", "qcow2", "-c", f"write -c -P {i + 100} {offset} 65536", image)
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


def check_bitmaps(image, before, folder):
    """Each bitmap is in use, or has a bit for all that differs from what was there before. Returns the flags."""
    found = bitmaps_of(image)
    if not all(is_used for is_used, _, _ in found):
        after = disk_of(image, folder)
        different = [at for at in range(0, len(before), 512) if before[at:at + 512] != after[at:at + 512]]
        for is_used, granularity, bits in found:
            missing = [at for at in different if not bits >> (at // granularity) & 1]
            if not is_used and missing:
                raise RuntimeError(f"no bit of {granularity} for changes at {missing[:5]}")
    return {is_used for is_used, _, _ in found}


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


def test_crash(modify, case, folder):
    """Stops before every write, up to a number of them."""
    image = case.make(folder)
    crashed = folder / "crashed.qcow2"
    steps = script(case.steps(12, "crash"))
    number = 0
    before = disk_of(image, folder) if case.bitmap else None
    flags = set()
    while True:
        number += 1 if number < 40 or case.bitmap else number // 6
        shutil.copy(image, crashed)
        result = run(modify, "qcow2", crashed, input=steps, env={**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)})
        check = run("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
        if check.returncode not in (0, LEAKS):
            raise RuntimeError(f"stopped before write {number}: {check.returncode} {check.stdout}{check.stderr}")
        if case.bitmap:
            flags |= check_bitmaps(crashed, before, folder)
        if result.returncode == 0:
            break
        if result.returncode != STOPPED:
            raise RuntimeError(f"{result.returncode} {result.stderr}")
    if case.bitmap and (flags != {False, True} or any(is_used for is_used, _, _ in bitmaps_of(crashed))):
        raise RuntimeError("the bitmaps are not in use meanwhile, or still so at the end")
    if number < 5 or check.returncode != 0:
        raise RuntimeError(f"only {number} writes, or leaks at the end: {check.stdout}")


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


def test_resize_crash(_, case, folder, image_native):
    if case.bitmap or (case.snapshot and case.options.get("compat") == "0.10"):
        return
    image = case.make(folder)
    crashed = folder / "crashed.qcow2"
    for length, arguments in [(case.size * 9, ["--preallocation", "metadata"]), (MIB, ["--shrink"])]:
        number = 0
        while True:
            number += 1 if number < 30 else number // 6
            shutil.copy(image, crashed)
            environment = {**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)}
            result = run(image_native, "resize", "--size", length, *arguments, crashed, env=environment)
            check = run("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
            if check.returncode not in (0, LEAKS):
                raise RuntimeError(f"{length}, write {number}: {check.returncode} {check.stdout}{check.stderr}")
            if result.returncode == 0:
                break
            if result.returncode != STOPPED:
                raise RuntimeError(f"{result.returncode} {result.stdout} {result.stderr}")


def show(image, folder, snapshots):
    """The disk's content, and that of its snapshots, by name."""
    shown = {None: disk_of(image, folder)}
    for name in snapshots:
        must("/usr/bin/qemu-img", "convert", "-l", name, "-f", "qcow2", "-O", "raw", image, folder / "disk.raw")
        shown[name] = (folder / "disk.raw").read_bytes()
    return shown


def test_snapshot_crash(_, case, folder, image_native):
    """Stops before every write, up to a number of them: nothing has happened, or everything, and nothing is leaked."""
    # With one bit, no cluster can have the second reference that a snapshot is.
    has_room = case.options.get("refcount_bits") != 1
    if case.bitmap or not has_room or (case.snapshot and case.options.get("compat") == "0.10"):
        return
    image = case.make(folder)
    crashed, whole = folder / "crashed.qcow2", folder / "whole.qcow2"
    names = {"first"} if case.snapshot else set()
    for action, name in [("create", "second"), ("apply", "second"), ("delete", "second")]:
        qemu_io(image, f"write -P {len(action)} 64k 200k", "write -P 77 2M 64k")
        old = show(image, folder, names)
        shutil.copy(image, whole)
        must(image_native, "snapshot", "--action", action, "-l", name, whole)
        new_names = names | {name} if action == "create" else names - {name} if action == "delete" else names
        new = show(whole, folder, new_names)
        seen = set()
        number = 0
        while True:
            number += 1 if number < 16 else number // 4
            shutil.copy(image, crashed)
            environment = {**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)}
            result = run(image_native, "snapshot", "--action", action, "-l", name, crashed, env=environment)
            must("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
            listed = must("/usr/bin/qemu-img", "snapshot", "-l", crashed).stdout
            is_new = (name in listed) == (action == "create") if action != "apply" else disk_of(crashed, folder) != old[None]
            shown = show(crashed, folder, new_names if is_new else names)
            if shown != (new if is_new else old):
                raise RuntimeError(f"{action}, write {number}: the disk or a snapshot is neither old nor new")
            seen.add(is_new)
            if result.returncode == 0:
                break
            if result.returncode != STOPPED:
                raise RuntimeError(f"{result.returncode} {result.stdout} {result.stderr}")
        if seen != {False, True}:
            raise RuntimeError(f"{action}: seen {seen} by write {number}")
        shutil.copy(whole, image)
        names = new_names


def test_bitmap_crash(_, case, folder, image_native):
    """Stops before every write: the bitmaps are as before or as after, and at worst clusters are leaked."""
    if not case.bitmap:
        return
    image = case.make(folder)
    crashed, whole = folder / "crashed.qcow2", folder / "whole.qcow2"
    must("/usr/bin/qemu-img", "bitmap", "--disable", image, "b0")
    qemu_io(image, "write -P 98 64k 300k")
    before = disk_of(image, folder)
    for actions, name in [("add,merge=fine,disable", "new"), ("merge=fine", "b0"), ("enable", "new"), ("clear", "fine"), ("remove", "b0")]:
        shutil.copy(image, whole)
        must(image_native, "bitmap", "--action", actions, "-l", name, whole)
        must("/usr/bin/qemu-img", "check", "-f", "qcow2", whole)
        old, new = (must("/usr/bin/qemu-img", "info", path).stdout.split("Format specific")[1] for path in (image, whole))
        states = [(old, bitmaps_of(image)), (new, bitmaps_of(whole))]
        seen = set()
        number = 0
        while True:
            number += 1
            shutil.copy(image, crashed)
            environment = {**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)}
            result = run(image_native, "bitmap", "--action", actions, "-l", name, crashed, env=environment)
            check = run("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
            if check.returncode not in (0, LEAKS):
                raise RuntimeError(f"{actions}, write {number}: {check.returncode} {check.stdout}{check.stderr}")
            info = must("/usr/bin/qemu-img", "info", crashed).stdout.split("Format specific")[1]
            seen.add(states.index((info, bitmaps_of(crashed))))
            if result.returncode == 0:
                break
            if result.returncode != STOPPED:
                raise RuntimeError(f"{result.returncode} {result.stdout} {result.stderr}")
        if seen != {0, 1} or disk_of(crashed, folder) != before:
            raise RuntimeError(f"{actions}: seen {seen} by write {number}, or the disk is another one")
        shutil.copy(whole, image)


def damage_counts(image, generator, is_beyond_repair):
    """Wrong counts and flags, none of which changes what the disk shows. Beyond repair: with an entry of the table, too."""
    content = bytearray(image.read_bytes())

    def number(at, length=8):
        return int.from_bytes(content[at:at + length], "big")

    cluster, table, offset = 1 << number(20, 4), number(48), 0x00fffffffffffe00
    for entry in range(table, table + cluster * number(56, 4), 8):
        block = number(entry)
        for _ in range(20 if block else 0):
            at = block + generator.randrange(min(cluster, 64 if generator.random() < 0.5 else cluster))
            content[at] = generator.choice((content[at], content[at], content[at] ^ 1, content[at] + 1 & 0xff))
    for index in range(number(36, 4)):
        l2 = number(number(40) + index * 8) & offset
        for _ in range(4 if l2 else 0):
            at = l2 + generator.randrange(cluster // 16) * 16 # also where entries are extended
            if number(at) & offset and not number(at) >> 62 & 1:
                content[at] ^= 0x80
    if is_beyond_repair:
        content[table + 7] |= 1
    image.write_bytes(content)


def errors_of(image):
    """What a check finds that is worse than a leak, or than a flag whose absence costs a copy."""
    lines = run("/usr/bin/qemu-img", "check", "-f", "qcow2", image).stderr.splitlines()
    return {line for line in lines if line.startswith("ERROR") and "OFLAG_COPIED" not in line}


def repair_in_pieces(image, folder, image_native, names):
    """Stops before each write: it opens, shows the same, has no new errors, and another repair finishes the work."""
    crashed = folder / "crashed.qcow2"
    shown, errors = show(image, folder, names), errors_of(image)
    number = 0
    while True:
        number += 1 if number < 12 else number // 3
        shutil.copy(image, crashed)
        environment = {**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)}
        result = run(image_native, "check", "--repair", "all", crashed, env=environment)
        if show(crashed, folder, names) != shown:
            raise RuntimeError(f"write {number}: the disk or a snapshot is not what it was")
        if not errors_of(crashed) <= errors:
            raise RuntimeError(f"write {number}: {errors_of(crashed) - errors}")
        if result.returncode != STOPPED:
            break
        must(image_native, "check", "--repair", "all", crashed)
        must("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
    if result.returncode != 0 or number < 2:
        raise RuntimeError(f"{number} writes: {result.returncode} {result.stdout} {result.stderr}")
    must("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
    if show(crashed, folder, names) != shown:
        raise RuntimeError("the disk or a snapshot is not what it was")


def test_repair_crash(_, case, folder, image_native):
    image = case.make(folder)
    names = {"first"} if case.snapshot else set()
    whole = folder / "whole.qcow2"
    shutil.copy(image, whole)
    for is_beyond_repair in (False, True):
        shutil.copy(whole, image)
        damage_counts(image, random.Random(f"{case.name} {daily.seed()}"), is_beyond_repair)
        repair_in_pieces(image, folder, image_native, names)


def test_amend_crash(_, case, folder, image_native):
    """Stops before every write, up to a number of them: at worst leaks, and disk and snapshots as they were."""
    image = case.make(folder)
    crashed = folder / "crashed.qcow2"
    qemu_io(image, "write -z 1M 200k", "write -z -u 2M 300k", "write -P 66 3M 64k")
    names = {"first"} if case.snapshot else set()
    old = show(image, folder, names)
    is_old = case.options.get("compat") == "0.10"
    can_downgrade = "extended_l2" not in case.options
    steps = [["compat=1.1"]] if is_old else []
    steps += [["refcount_bits=32"], ["refcount_bits=16", "lazy_refcounts=on"]] + ([["compat=0.10"]] if can_downgrade else [])
    for options in steps:
        words = [word for option in options for word in ("-o", option)]
        number = 0
        while True:
            number += 1 if number < 16 else number // 4
            shutil.copy(image, crashed)
            environment = {**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)}
            result = run(image_native, "amend", *words, crashed, env=environment)
            check = run("/usr/bin/qemu-img", "check", "-f", "qcow2", crashed)
            if check.returncode not in (0, LEAKS):
                raise RuntimeError(f"{options}, write {number}: {check.returncode} {check.stdout}{check.stderr}")
            if show(crashed, folder, names) != old:
                raise RuntimeError(f"{options}, write {number}: the disk or a snapshot is another one")
            if result.returncode == 0:
                break
            if result.returncode != STOPPED:
                if "zstd" in result.stdout:
                    return
                raise RuntimeError(f"{options}: {result.returncode} {result.stdout} {result.stderr}")
        if check.returncode != 0:
            raise RuntimeError(f"{options}: leaks at the end: {check.stdout}")
        shutil.copy(crashed, image)


def main():
    modify, image_native = sys.argv[1:3]
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    failed = 0
    tests = {
        "random": test_random,
        "crash": test_crash,
        "resize": lambda m, c, f: test_resize(m, c, f, image_native),
        "resize-crash": lambda m, c, f: test_resize_crash(m, c, f, image_native),
        "snapshot-crash": lambda m, c, f: test_snapshot_crash(m, c, f, image_native),
        "repair-crash": lambda m, c, f: test_repair_crash(m, c, f, image_native),
    }
    tests["amend-crash"] = lambda m, c, f: test_amend_crash(m, c, f, image_native)
    tests["bitmap-crash"] = lambda m, c, f: test_bitmap_crash(m, c, f, image_native)
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
