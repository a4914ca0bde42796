# SPDX-License-Identifier: Apache-2.0
"""Targets and sources that are known by a descriptor: pipes, and files behind /dev/stdout and the like."""

import hashlib
import os
import pathlib
import subprocess

from lib import images
from lib.python_tests import test
from lib.suite import Failure

KIB = 1 << 10
MIB = 1 << 20
DISK_LEN = 20 * MIB + 512
# More than a pipe holds; the second one ends long before the disk does.
ISLANDS = [(4096, 300 * KIB), (9 * MIB, 3 * MIB + 512)]


def disk_make(context, name="disk.raw", length=DISK_LEN, islands=ISLANDS):
    images.write_islands(context.directory / name, length, islands)
    return images.sha256(context.directory / name)


def qemu_img(context, *words):
    context.run(["/usr/bin/qemu-img", *words]).expect()


def piped(context, arguments, give=None, **options):
    """What a program's ends say when they are pipes; `give` is the path of what goes into its input."""
    process = context.start(arguments, stdin=subprocess.PIPE if give else subprocess.DEVNULL, **options)
    out, err = process.communicate(pathlib.Path(give).read_bytes() if give else None, timeout=context.left_s())
    return process.returncode, out, err.decode()


def expect_digest(what, out, wanted):
    if hashlib.sha256(out).hexdigest() != wanted:
        raise Failure(f"{what}: {len(out)} bytes, not those of the disk")


SOURCES = {
    "raw": ([], []),
    "qcow2": (["-O", "qcow2"], []),
    "compressed": (["-O", "qcow2", "-c"], []),
    "zeros-stored": (["-O", "qcow2"], ["-S", "0"]),
    "preallocated": (["-O", "qcow2"], ["-o", "preallocation=full", "-W", "-m", "16"]),
}


@test(cases=list(SOURCES))
def raw_to_a_pipe(context, case):
    """Front to back, zeros and the end included, whatever the source's order is."""
    made_by, options = SOURCES[case]
    wanted = disk_make(context)
    source = "disk.raw"
    if made_by:
        qemu_img(context, "convert", "-f", "raw", *made_by, "disk.raw", "disk.image")
        source = "disk.image"
    for target in ("/dev/stdout", "/proc/self/fd/1"):
        status, out, err = piped(context, [context.build.instar, "convert", "-O", "raw", *options, source, target])
        if status != 0:
            raise Failure(f"{target}: {err}")
        expect_digest(target, out, wanted)


@test()
def several_to_a_pipe(context):
    """One after the other; dd writes a part."""
    disk_make(context)
    disk_make(context, "second.raw", 5 * MIB, [(MIB, 70 * KIB)])
    whole = (context.directory / "disk.raw").read_bytes() + (context.directory / "second.raw").read_bytes()
    status, out, err = piped(context, [context.build.instar, "convert", "-f", "raw", "-O", "raw", "disk.raw",
                                       "second.raw", "/dev/stdout"])
    if status != 0 or out != whole:
        raise Failure(f"{len(out)} bytes, exit status {status}, {err}")
    status, out, err = piped(context, [context.build.instar, "dd", "-f", "raw", "-O", "raw", "bs=1M", "skip=8", "if=disk.raw", "of=/dev/stdout"])
    if status != 0 or out != whole[8 * MIB:DISK_LEN]:
        raise Failure(f"dd: {len(out)} bytes, exit status {status}, {err}")


@test()
def reader_that_goes_away(context):
    """An error, not a death."""
    disk_make(context)
    process = context.start([context.build.instar, "convert", "-f", "raw", "-O", "raw", "disk.raw", "/dev/stdout"])
    process.stdout.read(1000)
    process.stdout.close()
    err = process.stderr.read().decode()
    status = process.wait(context.left_s())
    if status != 1 or "/dev/stdout: cannot write at offset" not in err or "Broken pipe" not in err:
        raise Failure(f"exit status {status}, {err}")


@test()
def file_behind_standard_output(context):
    """It is written where it is: other names of it, and whoever has it open, see the disk, and its old content is gone."""
    wanted = disk_make(context)
    target = context.directory / "out.raw"
    target.write_bytes(b"old" * 20 * MIB)
    os.link(target, context.directory / "other-name.raw")
    with open(target, "r+b") as out:
        context.run([context.build.instar, "convert", "-f", "raw", "-O", "raw", "disk.raw", "/dev/stdout"],
                    stdout=out).expect()
    for name in ("out.raw", "other-name.raw"):
        if images.sha256(context.directory / name) != wanted:
            raise Failure(f"{name}: not the disk")


@test(cases=["new", "in-place"])
def file_without_a_name(context, case):
    wanted = disk_make(context)
    options = ["-n"] if case == "in-place" else []
    descriptor = os.open(context.directory, os.O_TMPFILE | os.O_RDWR)
    try:
        os.ftruncate(descriptor, DISK_LEN if options else 0)
        context.run([context.build.instar, "convert", *options, "-f", "raw", "-O", "raw", "disk.raw",
                     f"/dev/fd/{descriptor}"], pass_fds=[descriptor]).expect()
        with open(f"/proc/self/fd/{descriptor}", "rb") as out:
            expect_digest(case, out.read(), wanted)
    finally:
        os.close(descriptor)


@test(cases=["pipe", "file"])
def progress_beside_the_data(context, case):
    """Where standard output is the target, progress goes to standard error; qemu-img writes it into the file."""
    wanted = disk_make(context)
    command = [context.build.instar, "convert", "-p", "-f", "raw", "-O", "raw", "disk.raw", "/dev/stdout"]
    if case == "pipe":
        status, out, err = piped(context, command)
    else:
        with open(context.directory / "out.raw", "wb") as file:
            done = context.run(command, stdout=file)
        status, out, err = done.status, (context.directory / "out.raw").read_bytes(), done.stderr
    if status != 0 or "(100.00/100%)" not in err:
        raise Failure(f"exit status {status}: {err}")
    expect_digest(case, out, wanted)


@test()
def qcow2_behind_standard_output(context):
    wanted = disk_make(context)
    with open(context.directory / "out.qcow2", "wb") as out:
        context.run([context.build.instar, "convert", "-f", "raw", "-O", "qcow2", "disk.raw", "/dev/stdout"],
                    stdout=out).expect()
    qemu_img(context, "check", "out.qcow2")
    qemu_img(context, "convert", "-O", "raw", "out.qcow2", "out.raw")
    if images.sha256(context.directory / "out.raw") != wanted:
        raise Failure("not the disk")


@test(cases=["raw", "qcow2"])
def source_from_a_pipe(context, case):
    """Its length is not known before its end; zeros in it take no storage in between."""
    disk_make(context)
    source = context.directory / "disk.raw"
    if case == "qcow2":
        source = context.directory / "disk.qcow2"
        qemu_img(context, "convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2")
    status, _, err = piped(context, [context.build.instar, "convert", "-f", case, "-O", "qcow2", "/dev/stdin", "out.qcow2"],
                           give=source)
    if status != 0:
        raise Failure(err)
    qemu_img(context, "compare", "-f", "raw", "-F", "qcow2", "disk.raw", "out.qcow2")


@test()
def from_pipe_to_pipe(context):
    wanted = disk_make(context)
    status, out, err = piped(context, [context.build.instar, "convert", "-f", "raw", "-O", "raw", "/dev/stdin", "/dev/stdout"],
                             give=context.directory / "disk.raw")
    if status != 0:
        raise Failure(err)
    expect_digest("pipe", out, wanted)


@test()
def empty_pipe(context):
    status, _, err = piped(context, [context.build.instar, "convert", "-f", "raw", "-O", "raw", "/dev/stdin", "out.raw"],
                           give="/dev/null")
    if status != 0 or (context.directory / "out.raw").stat().st_size != 0:
        raise Failure(err)


@test()
def nowhere_to_keep_what_comes(context):
    disk_make(context)
    status, _, err = piped(context, [context.build.instar, "convert", "-f", "raw", "-O", "raw", "/dev/stdin", "out.raw"],
                           give=context.directory / "disk.raw",
                           env=dict(context.environment, TMPDIR=str(context.directory / "missing")))
    if status != 1 or "for what comes from the pipe: No such file or directory" not in err:
        raise Failure(err)
    if (context.directory / "out.raw").exists():
        raise Failure("there is an output")
