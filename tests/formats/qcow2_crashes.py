#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever is done to qcow2 images, natively, and wherever it is cut off by a crash, also with writes that were never flushed
left out: each image is sound but for clusters that nobody uses, and disks and snapshots are as before or as after.

    qcow2_crashes.py MODIFY_NATIVE IMAGE_NATIVE [NAME]

NAME: only cases in whose name it is found, a regular expression. Of each operation one case is taken each day, and without
a NAME some of the operations.
"""
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import crashes, daily  # noqa: E402
from lib.bitmaps import bitmaps_of  # noqa: E402
from qcow2_modify import CASES, LEAKS, MIB, must, qemu_io, run, script  # noqa: E402

REFERENCE = "/usr/bin/qemu-img"
STATE_COUNT = 60 if os.environ.get("INSTAR_TEST_ALL") else 4  # of each job
OPERATION_COUNT = 4  # each day
UNIT = 512


def shown(path, snapshot=None):
    """The disk of the image, or of a snapshot, with what is behind it."""
    raw = path.parent.parent / "shown.raw"
    must(REFERENCE, "convert", *(["-l", snapshot] if snapshot else []), "-O", "raw", path, raw)
    return raw.read_bytes()


def all_shown(path, snapshots):
    return {name: shown(path, name) for name in (None, *snapshots)}


def expect_sound(path, worst=LEAKS):
    found = run(REFERENCE, "check", "-f", "qcow2", path)
    if found.returncode not in (0, worst):
        raise RuntimeError(f"{path.name}: {found.returncode} {found.stdout}{found.stderr}")


def errors_of(path):
    """What a check finds that is worse than a leak, or than a flag whose absence costs a copy."""
    lines = run(REFERENCE, "check", "-f", "qcow2", path).stderr.splitlines()
    return {line for line in lines if line.startswith("ERROR") and "OFLAG_COPIED" not in line}


def is_between(content, old, new):
    """Each unit as before or as after; a disk that is longer than before goes on with zeros."""
    if len(content) not in (len(old), len(new)):
        return False
    old, new = old.ljust(len(content), b"\0"), new.ljust(len(content), b"\0")
    return all(content[at:at + UNIT] in (old[at:at + UNIT], new[at:at + UNIT]) for at in range(0, len(content), UNIT))


class Scene:
    """A folder with images, in which jobs are done, and what would be left of it by a crash."""

    def __init__(self, case, folder, modify, image_native):
        self.case, self.modify, self.native = case, modify, image_native
        self.whole, self.crashed = folder / "whole", folder / "crashed"
        self.before = folder / "before"
        self.before.mkdir()
        self.image = "image"
        made = case.make(folder)
        shutil.move(made, self.before / "image")
        self.snapshots = ["first"] if case.snapshot else []
        self.dice = daily.dice(f"crashes {case.name}")

    def crash(self, command, verify, steps=None, job_count=1, is_last=True):
        """
        Does the job, and calls verify(folder) for some states that a crash may leave, and for what it leaves in the end; of
        an operation with job_count jobs, some of these are looked at each day. Not the last job: what it has made is what
        the next one begins with.
        """
        shutil.rmtree(self.whole, ignore_errors=True)
        shutil.copytree(self.before, self.whole)
        record = self.whole.parent / "record"
        done = run(*command, cwd=self.whole, input=steps, env={**os.environ, "NATIVE_RECORD": str(record)})
        if done.returncode != 0:
            raise RuntimeError(f"{command[1:]}: {done.returncode} {done.stdout}{done.stderr}")
        words = [str(word).replace(str(self.whole.parent), "") for word in command[1:]]  # that are the same in each run
        is_taken = job_count == 1 or daily.takes(f"crashes {self.case.name} {words}", 1 / job_count)
        contents = {path.name: path.read_bytes() for path in self.before.iterdir()}
        for what, state in crashes.states(record, contents, self.dice, STATE_COUNT) if is_taken else ():
            shutil.rmtree(self.crashed, ignore_errors=True)
            self.crashed.mkdir()
            for name, content in state.items():
                (self.crashed / name).write_bytes(content)
            try:
                verify(self.crashed)
            except RuntimeError as error:
                raise RuntimeError(f"{command[1:]}, {what}: {error}") from error
        verify(self.whole)
        if not is_last:
            shutil.rmtree(self.before)
            shutil.copytree(self.whole, self.before)

    def once(self, *command):
        """The folder as the job leaves it, looked at beforehand."""
        shutil.rmtree(self.whole, ignore_errors=True)
        shutil.copytree(self.before, self.whole)
        must(*command, cwd=self.whole)
        return self.whole / self.image


def expect_written(scene, command, writes, **options):
    """Of every unit that is written to, what was there, or what one of the writes has written."""
    old = shown(scene.before / "image")
    snapshots = all_shown(scene.before / "image", scene.snapshots)
    allowed = {}
    for step in writes:
        for at in range(step[1], step[1] + step[2], UNIT) if step[0] != "f" else ():
            allowed.setdefault(at, {old[at:at + UNIT]}).add(bytes([step[3]]) * UNIT)

    def verify(folder):
        expect_sound(folder / "image")
        new = shown(folder / "image")
        for at in range(0, len(old), UNIT):
            if new[at:at + UNIT] != old[at:at + UNIT] and new[at:at + UNIT] not in allowed.get(at, ()):
                raise RuntimeError(f"offset {at:#x} has what was never written there")
        if any(shown(folder / "image", name) != snapshots[name] for name in scene.snapshots):
            raise RuntimeError("a snapshot is another one")
        for is_used, granularity, bits in bitmaps_of(folder / "image") if scene.case.bitmap else ():
            missing = [at for at in range(0, len(old), UNIT)
                       if not is_used and old[at:at + UNIT] != new[at:at + UNIT] and not bits >> (at // granularity) & 1]
            if missing:
                raise RuntimeError(f"no bit of {granularity} for changes at {missing[:5]}")

    scene.crash(command, verify, **options)
    expect_sound(scene.whole / "image", worst=0)
    if scene.case.bitmap and any(is_used for is_used, _, _ in bitmaps_of(scene.whole / "image")):
        raise RuntimeError("bitmaps are in use at the end")


def test_write(scene):
    steps = scene.case.steps(12, "crash")
    expect_written(scene, [scene.modify, "qcow2", "image"], steps, steps=script(steps))


def test_bench(scene):
    """One after the other, and several at once with flushes between them."""
    for number, (depth, flush) in enumerate(((1, 0), (8, 10))):
        start, length, step, count = (scene.dice.randrange(MIB // UNIT) * UNIT, scene.dice.choice((UNIT, 4096, 70 * 1024)),
                                      scene.dice.randrange(1, 200) * UNIT, 30)
        if depth > 1:
            step = max(step, length)  # whoever has writes under way that overlap may get either
        count = min(count, (scene.case.size - start - length) // step)
        steps = [("w", start + index * step, length, number + 5) for index in range(count)]
        words = ["--start", start, "--size", length, "--step", step, "--count", count, "--depth", depth, "--flush", flush]
        expect_written(scene, [scene.native, "bench", "--write", *words, "--pattern", number + 5, "image"], steps, job_count=2)


def test_resize(scene):
    if scene.case.snapshot and (scene.case.options.get("compat") == "0.10" or scene.case.bitmap):
        return
    size = scene.case.size
    for length, arguments in [(size * 2, ["--preallocation", "metadata"]), (size * 2 + MIB, ["--preallocation", "falloc"]),
                              (size * 2 + 3 * MIB, []), (MIB + UNIT, ["--shrink"])]:
        image = scene.before / "image"
        old, old_bitmaps = shown(image), bitmaps_of(image)

        def verify(folder):
            expect_sound(folder / "image")
            new = shown(folder / "image")
            kept = min(len(old), length)
            if len(new) not in (len(old), length) or new[:kept] != old[:kept] or (length > kept and any(new[kept:])):
                raise RuntimeError("the disk is another one")
            for (_, granularity, old_bits), (is_used, _, bits) in zip(old_bitmaps, bitmaps_of(folder / "image")):
                if not is_used and bits != old_bits & (1 << -(-len(new) // granularity)) - 1:
                    raise RuntimeError("a bitmap is another one")

        scene.crash([scene.native, "resize", "--size", length, *arguments, "image"], verify, job_count=4, is_last=False)
        expect_sound(scene.whole / "image", worst=0)
        if any(is_used for is_used, _, _ in bitmaps_of(scene.whole / "image")):
            raise RuntimeError("a bitmap is in use at the end")


def test_snapshot(scene):
    """Nothing has happened, or everything, and nothing is leaked."""
    # With one bit, no cluster can have the second reference that a snapshot is.
    if scene.case.bitmap or scene.case.options.get("refcount_bits") == 1 or (
            scene.case.snapshot and scene.case.options.get("compat") == "0.10"):
        return
    for action, name in [("create", "second"), ("apply", "second"), ("delete", "second")]:
        qemu_io(scene.before / "image", f"write -P {len(action)} 64k 200k", "write -P 77 2M 64k")
        command = [scene.native, "snapshot", "--action", action, "-l", name, "image"]
        names = {*scene.snapshots, name} if action != "create" else set(scene.snapshots)
        old = all_shown(scene.before / "image", names)
        new_names = names | {name} if action == "create" else names - {name} if action == "delete" else names
        new = all_shown(scene.once(*command), new_names)

        def verify(folder):
            expect_sound(folder / "image", worst=0)
            listed = must(REFERENCE, "snapshot", "-l", folder / "image").stdout
            if all_shown(folder / "image", new_names if (name in listed) == (action != "delete") else names) not in (old, new):
                raise RuntimeError("the disk or a snapshot is neither old nor new")

        scene.crash(command, verify, job_count=3, is_last=False)


def test_bitmap(scene):
    """The bitmaps are as before or as after, and the disk is what it was."""
    if not scene.case.bitmap:
        return
    image = scene.before / "image"
    must(REFERENCE, "bitmap", "--disable", image, "b0")
    qemu_io(image, "write -P 98 64k 300k")
    disk = shown(image)

    def state(path):
        return must(REFERENCE, "info", path).stdout.split("Format specific")[1], bitmaps_of(path)

    must(REFERENCE, "create", "-q", "-f", "qcow2", scene.before / "other", scene.case.size)
    must(REFERENCE, "bitmap", "--add", "-g", "4k", scene.before / "other", "theirs")
    qemu_io(scene.before / "other", "write -P 3 300k 1M")
    for actions, name, *source in [("add,merge=fine,disable", "new"), ("merge=fine", "b0"), ("merge=theirs", "fine", "other"),
                                   ("enable", "new"), ("disable", "fine"), ("clear", "fine"), ("remove", "b0")]:
        command = [scene.native, "bitmap", "--action", actions, "-l", name, "image", *source]
        states = [state(image), state(scene.once(*command))]

        def verify(folder):
            expect_sound(folder / "image")
            if state(folder / "image") not in states or shown(folder / "image") != disk:
                raise RuntimeError("the bitmaps are neither old nor new, or the disk is another one")

        scene.crash(command, verify, job_count=7, is_last=False)
        expect_sound(scene.whole / "image", worst=0)


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
            at = l2 + generator.randrange(cluster // 16) * 16  # also where entries are extended
            if number(at) & offset and not number(at) >> 62 & 1:
                content[at] ^= 0x80
    if is_beyond_repair:
        content[table + 7] |= 1
    image.write_bytes(content)


def refused_as_by_qemu_img(scene):
    """Leaks alone are not repaired where the refcounts have to be made anew, by nobody: whether this is such an image."""
    theirs = scene.before / "theirs"
    shutil.copy(scene.before / "image", theirs)
    is_refused = "need to rebuild" in run(REFERENCE, "check", "-f", "qcow2", "-r", "leaks", theirs).stderr
    theirs.unlink()
    if is_refused:
        own = scene.before / "own"
        shutil.copy(scene.before / "image", own)
        done = run(scene.native, "check", "--repair", "leaks", own)
        if done.returncode == 0 or "need to rebuild" not in done.stdout or own.read_bytes() != (scene.before / "image").read_bytes():
            raise RuntimeError(f"it repairs leaks of an image whose refcounts have to be made anew: {done.stdout}")
        own.unlink()
    return is_refused


def test_repair(scene):
    """It opens, shows the same, has no new errors, and another repair finishes the work."""
    image = scene.before / "image"
    sound = image.read_bytes()
    for kind, is_beyond_repair in (("all", False), ("all", True), ("leaks", False)):
        image.write_bytes(sound)
        damage_counts(image, scene.dice, is_beyond_repair)
        if kind == "leaks" and refused_as_by_qemu_img(scene):
            continue
        disk, errors = all_shown(image, scene.snapshots), errors_of(image)

        def verify(folder):
            if all_shown(folder / "image", scene.snapshots) != disk:
                raise RuntimeError("the disk or a snapshot is not what it was")
            if not errors_of(folder / "image") <= errors:
                raise RuntimeError(f"{errors_of(folder / 'image') - errors}")
            if kind == "leaks":
                must(scene.native, "check", "--repair", "leaks", folder / "image")
                if "leaked clusters" in run(REFERENCE, "check", "-f", "qcow2", folder / "image").stdout:
                    raise RuntimeError("another repair has left leaks")
                return
            must(scene.native, "check", "--repair", "all", folder / "image")
            expect_sound(folder / "image", worst=0)
            if all_shown(folder / "image", scene.snapshots) != disk:
                raise RuntimeError("the disk or a snapshot is not what it was, after another repair")

        scene.crash([scene.native, "check", "--repair", kind, "image"], verify, job_count=3)


def test_drop(scene):
    """A directory of bitmaps that nobody can read, without which the rest is what it was."""
    image = scene.before / "image"
    disk = all_shown(image, scene.snapshots)
    content = bytearray(image.read_bytes())
    directory = int.from_bytes(content[content.index(b"\x23\x85\x28\x75") + 24:][:8], "big")
    content[directory + 12:directory + 16] = b"\xff" * 4  # flags that are not known
    image.write_bytes(content)
    if run(REFERENCE, "info", image).returncode == 0:
        raise RuntimeError("qemu-img opens the image")

    def verify(folder):
        must(scene.native, "check", "--repair", "all", folder / "image")
        expect_sound(folder / "image", worst=0)
        if all_shown(folder / "image", scene.snapshots) != disk or "bitmaps" in must(REFERENCE, "info", folder / "image").stdout:
            raise RuntimeError("the disk or a snapshot is not what it was, or there are bitmaps")

    scene.crash([scene.native, "check", "--repair", "all", "image"], verify)


def test_amend(scene):
    image = scene.before / "image"
    qemu_io(image, "write -z 1M 200k", "write -z -u 2M 300k", "write -P 66 3M 64k")
    disk = all_shown(image, scene.snapshots)
    steps = [["compat=1.1"]] if scene.case.options.get("compat") == "0.10" else []
    steps += [["refcount_bits=32"], ["refcount_bits=16", "lazy_refcounts=on"]]
    steps += [[f"size={scene.case.size + MIB}"]] if not scene.case.bitmap else []
    steps += [["compat=0.10"]] if not (scene.snapshots or {"extended_l2", "compression_type"} & set(scene.case.options)) else []

    def verify(folder):
        expect_sound(folder / "image")
        found = all_shown(folder / "image", scene.snapshots)
        for name, content in disk.items():  # a longer disk, also that of snapshots, goes on with zeros
            if found[name][:len(content)] != content or any(found[name][len(content):]):
                raise RuntimeError("the disk or a snapshot is another one")

    for options in steps:
        words = [word for option in options for word in ("-o", option)]
        scene.crash([scene.native, "amend", *words, "image"], verify, job_count=len(steps), is_last=False)
        expect_sound(scene.whole / "image", worst=0)


def test_amend_data_file(scene):
    """The image leads to its data under the old name or the new one."""
    folder, image = scene.before, scene.before / "image"
    image.unlink()
    data, moved = folder.parent / "data", folder.parent / "moved"  # beside the folders that are copied
    options = {**scene.case.options, "data_file": data, "data_file_raw": "on"}
    must(REFERENCE, "create", "-q", "-f", "qcow2", "-o", ",".join(f"{key}={value}" for key, value in options.items()), image,
         scene.case.size)
    qemu_io(image, "write -P 5 100k 300k", "write -P 6 2M 64k")
    shutil.copy(data, moved)
    disk = shown(image)

    def verify(folder):
        expect_sound(folder / "image", worst=0)
        if shown(folder / "image") != disk:
            raise RuntimeError("the disk is another one")

    for words in (["data_file_raw=off"], [f"data_file={moved}"], [f"data_file={data}", "lazy_refcounts=on"]):
        scene.crash([scene.native, "amend", *(word for each in words for word in ("-o", each)), "image"], verify, job_count=3,
                    is_last=False)


def test_convert(scene):
    """Compressed clusters, or plain ones and zeros, into an image that has data: each unit is old or new."""
    old = shown(scene.before / "image")
    source = scene.dice.randbytes(len(old) // 4 // UNIT * UNIT) + bytes(len(old) // 4 // UNIT * UNIT)
    source += b"text " * (-(-(len(old) - len(source)) // 5))
    source = source[:len(old)]
    (scene.before / "source").write_bytes(source)
    must(REFERENCE, "convert", "-f", "raw", "-O", "qcow2", scene.before / "source", scene.before / "source.qcow2")
    has_bitmaps = scene.case.options.get("compat") != "0.10"
    if has_bitmaps:
        must(REFERENCE, "bitmap", "--add", "-g", "512", scene.before / "source.qcow2", "theirs")
        qemu_io(scene.before / "source.qcow2", f"write -P {source[UNIT]} {UNIT} {UNIT}")
        source = shown(scene.before / "source.qcow2")
    ways = (["-c", "-f", "raw", "source"], ["-f", "raw", "source"], ["--bitmaps", "-f", "qcow2", "source.qcow2"])
    for words in ways[:2 + has_bitmaps]:
        expected = (scene.before / "source").read_bytes() if words[-1] == "source" else source

        def verify(folder):
            expect_sound(folder / "image")
            if not is_between(shown(folder / "image"), old, expected):
                raise RuntimeError("the disk is neither old nor new")

        scene.crash([scene.native, "convert", "--target-exists", "-O", "qcow2", "--target", "image", *words], verify, job_count=3)
        expect_sound(scene.whole / "image", worst=0)
        if shown(scene.whole / "image") != expected:
            raise RuntimeError("the disk is not the source's")
        if words[0] == "--bitmaps" and bitmaps_of(scene.whole / "image")[-1] != (False, UNIT, 2):
            raise RuntimeError("the bitmap is not the source's")


def compressed_add(scene, name, first):
    """Every fourth cluster, as far as there is nothing yet: qemu-io writes none over another one."""
    cluster = {"2M": 2 * MIB}.get(scene.case.options.get("cluster_size"), int(scene.case.options.get("cluster_size", 65536)))
    places = range(first * cluster, scene.case.size - cluster + 1, 4 * cluster)
    for at in places[:12] if "data_file" not in scene.case.options else ():
        run("qemu-io", "-f", "qcow2", "-c", f"write -c -P {at // cluster % 90 + 110} {at} {cluster}", scene.before / name)


def chain_make(scene):
    """The case's image is base; top is on it, and other beside them."""
    folder, case = scene.before, scene.case
    (folder / "image").rename(folder / "base")
    values = {key: value for key, value in case.options.items() if key != "preallocation" or "extended_l2" in case.options}
    options = ["-o", ",".join(f"{key}={value}" for key, value in values.items())] if values else []
    must(REFERENCE, "create", "-q", "-f", "qcow2", *options, "-b", "base", "-F", "qcow2", "top", case.size + MIB, cwd=folder)
    compressed_add(scene, "base", 0)
    compressed_add(scene, "top", 1)
    if case.bitmap:
        must(REFERENCE, "bitmap", "--add", folder / "top", "b0")
    qemu_io(folder / "top", "write -P 201 1M 300k", f"write -P 202 {case.size} 100k", "write -z 64k 128k", "write -P 203 2M 512")
    must(REFERENCE, "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", folder / "other", case.size)
    qemu_io(folder / "other", "write -P 204 512k 1M", "write -P 205 3M 100k")


def test_rebase(scene):
    """Safe, without a backing file, and by name only."""
    chain_make(scene)
    old = shown(scene.before / "top")
    other = ["-b", "other", "-F", "qcow2", "top"]
    for words in ([*other, "-f", "qcow2", "other"], ["-b", "", "top"], ["--unsafe", *other]):
        command = [scene.native, "rebase", *words]
        disks = [old]
        if "--unsafe" in words:
            scene.once(*command)
            disks.append(shown(scene.whole / "top"))

        def verify(folder):
            expect_sound(folder / "top")
            if shown(folder / "top") not in disks:
                raise RuntimeError("the disk is another one")

        scene.crash(command, verify, job_count=3)
        expect_sound(scene.whole / "top", worst=0)


def test_commit(scene):
    """To what is right behind it, which empties the image or not, and to what is further down."""
    chain_make(scene)
    must(REFERENCE, "create", "-q", "-f", "qcow2", "-b", "top", "-F", "qcow2", "highest", scene.case.size + MIB, cwd=scene.before)
    qemu_io(scene.before / "highest", "write -P 206 700k 500k", "write -z 3M 200k")
    for name, words in (("top", []), ("top", ["--drop"]), ("highest", ["--drop"])):
        disk, base = shown(scene.before / name), shown(scene.before / "base")

        def verify(folder):
            for changed in (name, "base"):
                expect_sound(folder / changed)
            if shown(folder / name) != disk:
                raise RuntimeError("the disk is another one")
            if not is_between(shown(folder / "base"), base, disk):
                raise RuntimeError("the base is neither old nor new")

        scene.crash([scene.native, "commit", *words, name, "base"], verify, job_count=3)
        for changed in (name, "base"):
            expect_sound(scene.whole / changed, worst=0)
        if shown(scene.whole / "base") != disk:
            raise RuntimeError("the base is not what the image was")


TESTS = {"write": test_write, "bench": test_bench, "resize": test_resize, "snapshot": test_snapshot, "bitmap": test_bitmap,
         "repair": test_repair, "drop": test_drop, "amend": test_amend, "amend_data_file": test_amend_data_file,
         "convert": test_convert, "rebase": test_rebase, "commit": test_commit}


def cases_of(name):
    """Those that the operation has something to do in."""
    if name in ("bitmap", "drop"):
        return [case for case in CASES if case.bitmap]
    if name == "amend_data_file":
        return [case for case in CASES if case.filled and case.options.get("compat") != "0.10" and not (
            case.compressed or case.snapshot or case.backing or case.bitmap or "compression_type" in case.options)]
    if name == "convert":
        return [case for case in CASES if case.options.get("cluster_size") != "2M"]
    return [case for case in CASES if name not in ("rebase", "commit") or case.size <= 8 * MIB]


def main():
    modify, image_native = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    failed = 0
    operations = TESTS if chosen else daily.sample("crashes", TESTS, OPERATION_COUNT)
    for name, test in ((name, TESTS[name]) for name in operations):
        wanted = [case for case in cases_of(name) if re.search(chosen, f"{case.name} {name}")]
        for case in daily.sample(f"crashes {name}", wanted, 1) if wanted else ():
            with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="instar-crashes-") as folder:
                try:
                    test(Scene(case, pathlib.Path(folder), modify, image_native))
                    print(f"ok {case.name} {name}", flush=True)
                except RuntimeError as error:
                    failed += 1
                    print(f"not ok INSTAR_TEST_SEED={daily.seed()} {case.name} {name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
