# SPDX-License-Identifier: Apache-2.0
"""What a job may store: one limit for all of its outputs, and a file system that it does not fill."""

import shutil
import subprocess

from lib import daily
from lib.python_tests import test
from lib.suite import Failure, Skip

MIB = 1 << 20
QEMU_IMG = "/usr/bin/qemu-img"  # not ours, which is in PATH
FREE_MESSAGE = "would be free on the output's file system (--min-free)"


def data_make(path, length):
    """Bytes that are no zeros and cannot be left out."""
    with open(path, "wb") as file:
        for i in range(length // MIB):
            file.write(bytes([1 + i % 255]) * MIB)


@test()
def one_limit_for_all_outputs(context):
    """Neither the image nor its data file passes the limit alone."""
    data_make(context.directory / "in", 2 * MIB)
    command = [context.build.instar, "convert", "-f", "raw", "-O", "qcow2", "-o", "data_file=out.data"]
    done = context.run([*command, f"--max-output={2 * MIB + 4096}", "in", "out"])
    done.expect_error(f"the job exceeded its limit of {2 * MIB + 4096} bytes of output")
    if (context.directory / "out").exists() or (context.directory / "out.data").exists():
        raise Failure(done.describe("there is an output"))
    context.run([*command, "--max-output=4M", "in", "out"]).expect()


@test(cases=["default", "option", "configuration", "none", "copy", "mmap"])
def free_space_is_kept(context, case):
    """On a file system of its own of 64 MiB, an output of 62."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    length = 62 if case in ("default", "none", "copy", "mmap") else 32
    data_make(context.directory / "in", length * MIB)
    (context.directory / "disk").mkdir()
    (context.directory / "instar.conf").write_text("[limits]\nmin-free = 40M\n")
    options = {"option": ["--min-free", "40M"], "configuration": ["--config", "instar.conf"],
               "none": ["--min-free=0"], "mmap": ["--backing=mmap"]}.get(case, [])
    command = ["copy", *options, "in", "disk/out"] if case in ("copy", "mmap") else \
        ["convert", *options, "-f", "raw", "-O", "qcow2", "in", "disk/out"]
    script = 'mount -t tmpfs -o size=64m tmpfs disk || exit 77; "$@"; status=$?; ls -A disk; exit $status'
    done = context.run(["unshare", "--mount", "sh", "-c", script, "sh", context.build.instar, *command])
    if done.status == 77:
        raise Skip("a tmpfs cannot be mounted")
    if case == "none":
        done.expect()
        return
    kept = 64 * MIB // 20 if length == 62 else 40 * MIB
    done.expect_error(f"No space left on device: less than {kept} bytes {FREE_MESSAGE}")
    if done.stdout.strip():
        raise Failure(done.describe("something is left"))


@test()
def pipes_fill_nothing(context):
    """What comes from a pipe is stored, too, where all of a system's programs have their temporary files."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    data_make(context.directory / "in", 48 * MIB)
    (context.directory / "disk").mkdir()
    script = ('mount -t tmpfs -o size=32m tmpfs disk || exit 77; '
              'cat in | TMPDIR=$PWD/disk "$@"; status=$?; ls -A disk; exit $status')
    for options, message in (([], f"less than {32 * MIB // 20} bytes would be free there (--min-free)"),
                             (["--min-free=0"], "in " + str(context.directory / "disk") + ": No space left on device")):
        done = context.run(["unshare", "--mount", "sh", "-c", script, "sh", context.build.instar, "convert", *options,
                            "-f", "raw", "-O", "raw", "/dev/stdin", "out"])
        if done.status == 77:
            raise Skip("a tmpfs cannot be mounted")
        if done.status != 1 or message not in done.stderr or "No space left on device" not in done.stderr or \
                (not options) != ("--min-free" in done.stderr) or done.stdout.strip():
            raise Failure(done.describe("expected a line that names the limit"))
        if (context.directory / "out").exists():
            raise Failure("there is an output")


@test()
def shared_tables_are_bounded(context):
    """A small image whose tables share their clusters is as long as they say: that counts."""
    image = context.directory / "image"
    context.run([QEMU_IMG, "create", "-q", "-f", "qcow2", "-o", "cluster_size=65536", image, "64G"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", image]).expect()
    data = bytearray(image.read_bytes())
    l1_off = int.from_bytes(data[40:48], "big")
    l2_off = int.from_bytes(data[l1_off:l1_off + 8], "big") & 0x00fffffffffffe00
    data[l2_off:l2_off + 65536] = data[l2_off:l2_off + 8] * 8192
    data[l1_off:l1_off + 8 * 128] = data[l1_off:l1_off + 8] * 128
    image.write_bytes(data)
    done = context.run([context.build.instar, "convert", "--max-output=20M", "-O", "raw", image, "out"])
    done.expect_error(f"the job exceeded its limit of {20 * MIB} bytes of output")


# On a disk of 24 MiB, of which 16 stay free: what each job is about to write is more than 8, and none of it is there.
DISK_LEN, KEPT_LEN = 24 * MIB, 16 * MIB
FROM_RAW = ["convert", "-f", "raw", "-O"]
GROWING = {
    "new_raw": ("", [*FROM_RAW, "raw", "in", "disk/out"]),
    "new_qcow2": ("", [*FROM_RAW, "qcow2", "in", "disk/out"]),
    "new_metadata": ("", ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=512", "disk/out", "160M"]),
    "new_full": ("", ["create", "-q", "-f", "qcow2", "-o", "preallocation=full", "disk/out", "32M"]),
    "data_file": ("", [*FROM_RAW, "qcow2", "-o", "data_file=disk/data", "in", "disk/out"]),
    "into_raw": ("truncate -s 32M disk/out", [*FROM_RAW, "raw", "-n", "in", "disk/out"]),
    "into_qcow2": ("empty disk/out", [*FROM_RAW, "qcow2", "-n", "in", "disk/out"]),
    "dd": ("empty disk/out", ["dd", "-f", "raw", "-O", "qcow2", "bs=1M", "if=in", "of=disk/out"]),
    "rebase": ("empty base; empty disk/out -b $PWD/in -F raw",
               ["rebase", "--backing-file", "in", "-f", "qcow2", "-b", "../base", "-F", "qcow2", "disk/out"]),
    "commit": ("empty disk/out; empty top -b disk/out -F qcow2; qemu-io -f qcow2 -c 'write 0 20M' top >written",
               ["commit", "-q", "-f", "qcow2", "-b", "disk/out", "top"]),
    "resize": ("empty disk/out", ["resize", "-q", "-f", "qcow2", "--preallocation=full", "disk/out", "64M"]),
    "resize_raw": ("truncate -s 1M disk/out", ["resize", "-q", "-f", "raw", "--preallocation=falloc", "disk/out", "33M"]),
    "bench": ("empty disk/out", ["bench", "-q", "-w", "-f", "qcow2", "-c", "512", "-s", "64k", "disk/out"]),
    # Half a kilobyte takes a block.
    "scattered": ("truncate -s 512M disk/out",
                  ["bench", "-q", "-w", "-f", "raw", "-c", "4096", "-S", "128k", "-s", "512", "disk/out"]),
    "many_at_once": ("", ["bench", "-q", "-w", "-d", "64", "-f", "raw", "-c", "64", "-s", "512k", "disk/out"]),
}
# What fills no disk: it is there already.
STAYING = {
    "written": ("head -c 20M /dev/zero >disk/out", [*FROM_RAW, "raw", "-n", "in", "disk/out"]),
    "preallocated": ("fallocate -l 20M disk/out", [*FROM_RAW, "raw", "-n", "in", "disk/out"]),
    # A memory file system does not tell what of it was reserved.
    "qcow2": (f"{QEMU_IMG} create -q -f qcow2 -o preallocation=falloc disk/out 20M",
              [*FROM_RAW, "qcow2", "-n", "in", "disk/out"]),
    "bench": ("fallocate -l 20M disk/out", ["bench", "-q", "-w", "-f", "raw", "-c", "320", "-s", "64k", "disk/out"]),
    "holes": ("truncate -s 20M disk/out; truncate -s 0 in; truncate -s 20M in", [*FROM_RAW, "raw", "-n", "in", "disk/out"]),
}
IN_NAMESPACE = """
empty() { where=$1; shift; %s create -q -f qcow2 "$@" "$where" 32M; }
%s || exit 77
%s
stat -f -c %%a:%%S disk >lowest
while :; do stat -f -c %%a:%%S disk; sleep 0.02; done >>lowest &
"$@"
status=$?
sync -f disk; stat -f -c %%a:%%S disk >>lowest
kill $!
test ! -e disk/out || cp --sparse=always disk/out after
exit $status
"""
MOUNTS = {
    "tmpfs": f"mount -t tmpfs -o size={DISK_LEN} tmpfs disk",
    # A loop device stays read-only for whoever has it next. What is left free is as much as on the other one.
    "ext4": """truncate -s 64M image && mkfs.ext4 -q -m 0 -b 4096 -O ^has_journal image && device=$(losetup --find --show image) &&
        blockdev --setrw $device && mount -w $device disk; status=$?; losetup --detach $device; test $status = 0 &&
        fallocate -l $(($(stat -f -c '%a * %S' disk) - """ + str(DISK_LEN) + """)) disk/else""",
}


def run_on_small_disk(context, system, prepare, arguments, options):
    """The job's end, and the least that was free before, during and after it, and how much was before."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        raise Skip("mounting is not allowed")
    data_make(context.directory / "in", 20 * MIB)
    (context.directory / "disk").mkdir()
    script = IN_NAMESPACE % (QEMU_IMG, MOUNTS[system], prepare)
    command, *rest = arguments
    done = context.run(["unshare", "--mount", "sh", "-c", script, "sh", context.qemu_img, command, *options, *rest])
    if done.status == 77:
        raise Skip(f"{system} cannot be mounted")
    looks = (context.directory / "lowest").read_text().split()
    free = [int(blocks) * int(length) for blocks, length in (look.split(":") for look in looks)]
    return done, min(free), free[0]


@test(cases=daily.sample("write_limits growing", [f"{system},{name}" for system in MOUNTS for name in GROWING], 6))
def no_disk_is_filled(context, case):
    """Whatever a job writes, to a new file or to one that is there: storage counts."""
    system, name = case.split(",")
    prepare, arguments = GROWING[name]
    if name == "many_at_once":
        prepare = "truncate -s 32M disk/out"
    done, lowest, _ = run_on_small_disk(context, system, prepare, arguments, [f"--min-free={KEPT_LEN}"])
    message = f"No space left on device: less than {KEPT_LEN} bytes {FREE_MESSAGE}"
    if done.status != 1 or len(done.stderr.splitlines()) != 1 or message not in done.stderr or "disk/" not in done.stderr:
        raise Failure(done.describe("expected a line that names the limit and the file"))
    if lowest < KEPT_LEN:
        raise Failure(done.describe(f"only {lowest} bytes were free"))
    after = context.directory / "after"
    if after.exists() == (prepare == ""):
        raise Failure("a new output is there, or an old one is not")
    if after.exists() and "raw" not in arguments:
        checked = context.run([QEMU_IMG, "check", "-f", "qcow2", after])
        if checked.status not in (0, 3):
            raise Failure(checked.describe("the image is damaged"))


@test(cases=daily.sample("write_limits staying", [f"{system},{name}" for system in MOUNTS for name in STAYING
                                                     if (system, name) != ("tmpfs", "qcow2")], 3))
def storage_that_is_there_does_not_count(context, case):
    """A disk on which less is free than shall be; what is overwritten, or was reserved, takes nothing."""
    system, name = case.split(",")
    prepare, arguments = STAYING[name]
    done, lowest, before = run_on_small_disk(context, system, prepare, arguments, [f"--min-free={KEPT_LEN}"])
    done.expect()
    if lowest < before - 256 * 1024:
        raise Failure(f"the disk was filled: {before} bytes were free, then {lowest}")


# On a disk that is nearly full, what makes room, and what would fill it.
MAKING_ROOM = {
    "snapshot": (["snapshot", "-d", "one", "disk/out"], True),
    "bitmap_remove": (["bitmap", "--remove", "disk/out", "one"], True),
    "bitmap_clear": (["bitmap", "--clear", "disk/out", "one"], True),
    "repair": (["check", "-q", "-r", "leaks", "disk/out"], True),
    "given": (["snapshot", "--min-free=1M", "-d", "one", "disk/out"], False),
    "filled": (["convert", "-n", "-f", "raw", "-O", "qcow2", "in", "disk/out"], False),
    "created": (["create", "-q", "-f", "qcow2", "disk/new", "32M"], False),
}


@test(cases=daily.sample("write_limits room", list(MAKING_ROOM), 3))
def room_can_be_made(context, case):
    """By default, only what creates or fills an image leaves a part of the disk free."""
    arguments, is_allowed = MAKING_ROOM[case]
    prepare = (f"empty disk/out; qemu-io -f qcow2 -c 'write 0 1M' disk/out >written; {QEMU_IMG} snapshot -c one disk/out;"
               f"qemu-io -f qcow2 -c 'write 0 512k' disk/out >written; {QEMU_IMG} bitmap --add disk/out one;"
               "fallocate -l $(($(stat -f -c '%a * %S' disk) - 700 * 1024)) disk/other")
    done, _, _ = run_on_small_disk(context, "tmpfs", prepare, arguments, [])
    if is_allowed:
        done.expect()
        context.run([QEMU_IMG, "check", "-q", "-f", "qcow2", "after"]).expect()
    elif done.status != 1 or FREE_MESSAGE not in done.stderr:
        raise Failure(done.describe("expected a line that names the limit"))


@test()
def what_counts_late_counts(context):
    """btrfs takes what was written a moment ago for free."""
    if shutil.which("mkfs.btrfs") is None:
        raise Skip("no mkfs.btrfs")
    mount = "truncate -s 128M image && mkfs.btrfs -q -M image >made 2>&1 && mount -o loop image disk"
    MOUNTS["btrfs"] = mount
    done, lowest, before = run_on_small_disk(context, "btrfs", "head -c 16M /dev/zero >disk/old; sync -f disk",
                                             [*FROM_RAW, "raw", "in", "disk/out"], [f"--min-free={88 * MIB}"])
    if before < 92 * MIB:
        raise Skip(f"only {before} bytes are free")
    if done.status != 1 or FREE_MESSAGE not in done.stderr:
        raise Failure(done.describe(f"expected a line that names the limit; {before} bytes were free, then {lowest}"))
