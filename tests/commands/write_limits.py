# SPDX-License-Identifier: Apache-2.0
"""What a job may store: one limit for all of its outputs, and a file system that it does not fill."""

import subprocess

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
