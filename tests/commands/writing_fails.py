# SPDX-License-Identifier: Apache-2.0
"""Disks that are full, limits on the size of files, and disks that fail, while images are written: one line that names
the file and the reason, exit status 1, no new file, and an image that is changed in place is sound.
"""

import dataclasses
import json
import resource
import shutil
import subprocess

from lib import daily, images, jobs
from lib.python_tests import test
from lib.suite import Failure, Skip

KIB, MIB = 1 << 10, 1 << 20
REFERENCE = "/usr/bin/qemu-img"
LEN = 12 * MIB
ROOM = 4 * MIB  # of a disk that gets full, and what files are limited to
NO_SPACE, TOO_LARGE, FAILED = "No space left on device", "File too large", "Input/output error"


@dataclasses.dataclass
class Kind:
    arguments: list
    in_place: bool = False
    place: str = "disk/out"  # which file errors name
    has_data_file: bool = False  # of an image that is there


FROM_RAW = ["convert", "-f", "raw", "-O"]
KINDS = {
    "raw_to_raw": Kind([*FROM_RAW, "raw", "source.raw", "disk/out"]),
    "raw_to_qcow2": Kind([*FROM_RAW, "qcow2", "source.raw", "disk/out"]),
    "qcow2_to_raw": Kind(["convert", "-f", "qcow2", "-O", "raw", "source.qcow2", "disk/out"]),
    "compressed": Kind([*FROM_RAW, "qcow2", "-c", "-o", "cluster_size=4k", "source.raw", "disk/out"]),
    "preallocated": Kind([*FROM_RAW, "qcow2", "-o", "preallocation=falloc", "source.raw", "disk/out"]),
    "data_file": Kind([*FROM_RAW, "qcow2", "-o", "data_file=disk/data", "source.raw", "disk/out"], place="disk/data"),
    "create_full": Kind(["create", "-q", "-f", "qcow2", "-o", "preallocation=full", "disk/out", "32M"]),
    "create_metadata": Kind(["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=512", "disk/out",
                             "160M"]),
    "create_raw": Kind(["create", "-q", "-f", "raw", "-o", "preallocation=full", "disk/out", "32M"]),
    "dd": Kind(["dd", "-f", "raw", "-O", "qcow2", "bs=1M", "if=source.raw", "of=disk/out"]),
    "into_qcow2": Kind(["convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "disk/out"], in_place=True),
    "compressed_into_qcow2": Kind(["convert", "-n", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "disk/out"],
                                  in_place=True),
    "into_data_file": Kind(["convert", "-n", "--data-file", "disk/data", "-f", "raw", "-O", "qcow2", "source.raw", "disk/out"],
                           in_place=True, place="disk/data", has_data_file=True),
    "grow": Kind(["resize", "-f", "qcow2", "--preallocation=full", "disk/out", "160M"], in_place=True),
    "vdi": Kind([*FROM_RAW, "vdi", "source.raw", "disk/out"]),
    "vpc": Kind([*FROM_RAW, "vpc", "source.raw", "disk/out"]),
    "fixed_vpc": Kind([*FROM_RAW, "vpc", "-o", "subformat=fixed", "source.raw", "disk/out"]),
    "vhdx": Kind([*FROM_RAW, "vhdx", "source.raw", "disk/out"]),
    "qed": Kind([*FROM_RAW, "qed", "source.raw", "disk/out"]),
    "parallels": Kind([*FROM_RAW, "parallels", "source.raw", "disk/out"]),
    "qcow": Kind([*FROM_RAW, "qcow", "source.raw", "disk/out"]),
    "vmdk": Kind([*FROM_RAW, "vmdk", "source.raw", "disk/out"]),
    "stream": Kind([*FROM_RAW, "vmdk", "-o", "subformat=streamOptimized", "--compression-level", "0", "-c", "source.raw", "disk/out"]),
    "flat": Kind([*FROM_RAW, "vmdk", "-o", "subformat=monolithicFlat", "source.raw", "disk/out"]),
    "split": Kind([*FROM_RAW, "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "source.raw", "disk/out"]),
    "split_flat": Kind([*FROM_RAW, "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "source.raw", "disk/out"]),
    "static_vdi": Kind([*FROM_RAW, "vdi", "-o", "static=on", "source.raw", "disk/out"]),
    "fixed_vhdx": Kind([*FROM_RAW, "vhdx", "-o", "subformat=fixed", "source.raw", "disk/out"]),
    "bench": Kind(["bench", "-q", "-w", "-f", "qcow2", "-c", "160", "-s", "64k", "disk/out"], in_place=True),
}


def reference(context, *arguments):
    return context.run([REFERENCE, *arguments])


def sources_make(context, kind):
    (context.directory / "disk").mkdir(exist_ok=True)
    images.write_islands(context.directory / "source.raw", LEN, [(0, LEN)])
    reference(context, "convert", "-f", "raw", "-O", "qcow2", "source.raw", "source.qcow2").expect()
    # Nearly empty: what is written to it needs room.
    reference(context, "create", "-q", "-f", "qcow2", "old", LEN).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 3 100k 64k", "old"]).expect()
    if kind.has_data_file:
        reference(context, "create", "-q", "-f", "qcow2", "-o", "data_file=data", "old", LEN).expect()
        (context.directory / "data").write_bytes(b"")


def expect_line(done, place, reason):
    lines = done.stderr.splitlines()
    if done.status != 1 or len(lines) != 1 or not lines[0].startswith("qemu-img: "):
        raise Failure(done.describe("expected one line of error and exit status 1"))
    if place not in lines[0] or reason not in lines[0]:
        raise Failure(done.describe(f"expected {place} and {reason}"))


def expect_sound(context, kind, path):
    """After a failure: nothing new, or the old image, with leaks at worst and its data."""
    if not kind.in_place:
        left = [*path.parent.glob("out*"), *path.parent.glob("data")]
        if left:
            raise Failure(f"a part of the output was left: {left}")
        return
    done = reference(context, "check", "-f", "qcow2", path)
    if done.status not in (0, 3):
        raise Failure(done.describe("the image is damaged"))
    if kind.arguments[0] == "resize":
        context.run(["qemu-io", "-f", "qcow2", "-c", "read -P 3 100k 64k", "-c", "read -P 0 1M 1M", path]).expect()


# What gives back all that it has taken when there is no more room; more in changes_without_room.py.
GIVEN_BACK = ("into_qcow2", "compressed_into_qcow2", "grow", "bench")


def expect_given_back(context, path):
    """No leaks, and a file that ends where the image does."""
    done = reference(context, "check", "--output=json", "-f", "qcow2", path).expect()
    end = json.loads(done.stdout)["image-end-offset"]
    if path.stat().st_size > max(end, (context.directory / "old").stat().st_size):
        raise Failure(done.describe(f"the file has {path.stat().st_size} bytes, the image ends at {end}"))


def target_prepare(context, kind, directory):
    if kind.in_place:
        shutil.copyfile(context.directory / "old", directory / "out")
    if kind.has_data_file:
        shutil.copyfile(context.directory / "data", directory / "data")


NOT_MOUNTED = 77
# In a mount namespace of its own, with which the file system goes.
INSIDE = """
{mount} || exit 77
test {in_place} = 0 || cp old disk/out
test {has_data_file} = 0 || cp data disk/
"$@"
status=$?
mkdir after && cp disk/* after/ 2>/dev/null
ls -A disk >names
exit $status
"""


# A loop device stays read-only for whoever has it next.
MOUNT_EXT4 = """mkfs.ext4 -q -m 0 image && device=$(losetup --find --show image) && blockdev --setrw $device &&
    mount -w $device disk; status=$?; losetup --detach $device; test $status = 0"""


def mount_command(context, system):
    if system == "tmpfs":
        return f"mount -t tmpfs -o size={ROOM} tmpfs disk"
    with open(context.directory / "image", "wb") as file:
        file.truncate(ROOM + MIB)
    return MOUNT_EXT4


@test(cases=daily.sample("writing_fails full_disk", [f"{system},{name}" for system in ("tmpfs", "ext4") for name in KINDS], 7))
def full_disk(context, case):
    system, name = case.split(",")
    kind = KINDS[name]
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    sources_make(context, kind)
    script = INSIDE.format(mount=mount_command(context, system), in_place=int(kind.in_place),
                           has_data_file=int(kind.has_data_file))
    # What comes before that is in write_limits.py.
    command, *rest = kind.arguments
    done = context.run(["unshare", "--mount", "sh", "-uc", script, "sh", context.qemu_img, command, "--min-free=0", *rest])
    if done.status == NOT_MOUNTED:
        raise Skip(f"{system} cannot be mounted: {done.stderr.strip()}")
    expect_line(done, kind.place, NO_SPACE)
    expected = ({"out"} if kind.in_place else set()) | ({"data"} if kind.has_data_file else set())
    names = set((context.directory / "names").read_text().split()) - {"lost+found"}
    if names != expected:
        raise Failure(done.describe(f"afterwards there is {names}"))
    expect_sound(context, kind, context.directory / "after" / "out")
    if name in GIVEN_BACK:
        expect_given_back(context, context.directory / "after" / "out")
    if name == "grow" and (context.directory / "after" / "out").read_bytes() != (context.directory / "old").read_bytes():
        raise Failure(done.describe("what there was no room for has changed the image"))


@test(cases=daily.sample("writing_fails size_limit", KINDS, 7))
def size_limit(context, case):
    """Not the signal that the kernel sends, too."""
    kind = KINDS[case]
    sources_make(context, kind)
    target_prepare(context, kind, context.directory / "disk")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    if context.build.sandbox == "process":
        done = context.run([context.qemu_img, *kind.arguments], env=jobs.small_files(context, ROOM))
    else:
        done = context.run([context.qemu_img, *kind.arguments], preexec_fn=limit)
    expect_line(done, kind.place, TOO_LARGE)
    expect_sound(context, kind, context.directory / "disk" / "out")


def fail(context, kind, call, number):
    """Runs the job with a disk that fails; whether it did."""
    target_prepare(context, kind, context.directory / "disk")
    done = context.run([context.qemu_img, *kind.arguments], env=jobs.failing_disk(context, call, number))
    out = context.directory / "disk" / "out"
    if done.status == 0:
        for name in (*out.parent.glob("out*"), *out.parent.glob("data")):
            name.unlink()
        return False
    place = "source." if call == "preadv" and not kind.in_place else ""
    expect_line(done, place if call == "preadv" else "disk/", FAILED)
    expect_sound(context, kind, out)
    return True


# create_metadata takes seconds, and makes no other calls than create_full.
CALLS = ("preadv", "pwritev", "fallocate", "ftruncate", "fdatasync")


@test(cases=daily.sample("writing_fails failing_disk",
                         [f"{name},{call}" for name in KINDS if name != "create_metadata" for call in CALLS], 12))
def failing_disk(context, case):
    name, call = case.split(",")
    kind = KINDS[name]
    sources_make(context, kind)
    for number in (1, 2, 5, 20):
        if not fail(context, kind, call, number):
            # As many calls as this are not made.
            break
    if number == 1 and call == "pwritev" and name != "create_raw":
        raise Failure("nothing was written by this call")


@test(cases=["raw", "qcow2"])
def salvage(context, case):
    """A disk that cannot be read from some place on: zeros, a warning, and success."""
    sources_make(context, KINDS["raw_to_raw"])
    environment = dict(context.environment, INSTAR_TEST_FAIL="preadv:5",
                       LD_PRELOAD=str(context.build.directory / "tests" / "lib" / "libfail_calls.so"))
    words = ["convert", "--salvage", "-f", "raw", "-O", case, "source.raw", "disk/out"]
    done = context.run([context.qemu_img, *words, "--max-lines", "7"], env=environment).expect()
    lines = done.stderr.splitlines()
    if len(lines) != 8 or lines[7] != "qemu-img: warning: more warnings are left out (--max-lines)":
        raise Failure(done.describe("expected seven warnings, and a line about the rest"))
    done = context.run([context.qemu_img, *words, "--max-lines", "0"], env=environment).expect()
    if not all(line.startswith("qemu-img: warning: error while reading offset ") for line in done.stderr.splitlines()):
        raise Failure(done.describe("expected warnings"))
    reference(context, "convert", "-f", case, "-O", "raw", "disk/out", "result").expect()
    source = (context.directory / "source.raw").read_bytes()
    result = (context.directory / "result").read_bytes()
    lost = 0
    for off in range(0, LEN, 512):
        is_kept = source[off:off + 512] == result[off:off + 512]
        if not is_kept and any(result[off:off + 512]):
            raise Failure(f"what is at offset {off} was never in the source")
        lost += not is_kept
    if lost == 0 or lost == LEN // 512 or not done.stderr:
        raise Failure(done.describe(f"{lost} sectors are lost"))


@test()
def raw_keeps_its_length(context):
    """Storage for a longer raw disk that is not there: the file is as long as before, as with qemu-img."""
    (context.directory / "disk").mkdir()
    script = """mount -t tmpfs -o size=10M tmpfs disk || exit 77
    truncate -s 1M disk/raw; "$0" resize -q -f raw --preallocation=full disk/raw 60M; echo "$?"; stat -c %s disk/raw"""
    done = context.run(["unshare", "-m", "sh", "-c", script, context.qemu_img])
    if done.status == NOT_MOUNTED:
        raise Skip("nothing can be mounted here")
    if done.stdout.split() != ["1", str(1 << 20)] or NO_SPACE not in done.stderr:
        raise Failure(done.describe("expected an error, and the old length"))
