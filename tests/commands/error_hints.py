# SPDX-License-Identifier: Apache-2.0
"""Errors of more than one line, which scripts look for: the same as qemu-img's."""

import fcntl
import os
import resource
import struct

from lib.python_tests import test
from lib.suite import Failure

F_OFD_SETLK = 37
# What a program that changes an image holds: reading and writing, and that nobody else writes or resizes.
HELD = (101, 103, 201, 203)

IN_USE = {
    "info": ["info", "used.qcow2"],
    "map": ["map", "used.qcow2"],
    "convert-from": ["convert", "-O", "raw", "used.qcow2", "out.raw"],
    "convert-to": ["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "used.qcow2"],
    "convert-into": ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "used.qcow2"],
    "compare": ["compare", "-f", "raw", "-F", "qcow2", "disk.raw", "used.qcow2"],
    "resize": ["resize", "used.qcow2", "2M"],
    "create": ["create", "-q", "-f", "qcow2", "used.qcow2", "1M"],
    "dd-from": ["dd", "if=used.qcow2", "of=out.raw"],
    "dd-to": ["dd", "if=disk.raw", "of=used.qcow2", "-f", "raw"],
    "snapshot": ["snapshot", "-l", "used.qcow2"],
}

SIZES = {
    "create": ["create", "-f", "qcow2", "x.qcow2", "12x"],
    "option": ["create", "-q", "-f", "qcow2", "-o", "cluster_size=1x", "x.qcow2", "1M"],
    "convert-option": ["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=x", "disk.raw", "x.qcow2"],
    "resize": ["resize", "-f", "raw", "disk.raw", "1x"],
    "measure": ["measure", "--size", "1x", "-O", "raw"],
    "sparse": ["convert", "-S", "1x", "-f", "raw", "disk.raw", "out.raw"],
    "json": ["info", "json:{'driver':'qcow2','file.filename':'used.qcow2','l2-cache-size':'1x'}"],
}


def expect_same(context, words):
    theirs = context.run(["/usr/bin/qemu-img", *words])
    ours = context.run([context.qemu_img, *words])
    if (ours.status, ours.stderr) != (theirs.status, theirs.stderr) or ours.status == 0:
        raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))


def images_make(context):
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "raw", "disk.raw", "1M"]).expect()
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "used.qcow2", "1M"]).expect()


@test(cases=list(IN_USE))
def image_in_use(context, case):
    images_make(context)
    descriptor = os.open(context.directory / "used.qcow2", os.O_RDWR)
    try:
        for off in HELD:
            fcntl.fcntl(descriptor, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, off, 1, 0))
        expect_same(context, IN_USE[case])
    finally:
        os.close(descriptor)


@test(cases=list(SIZES))
def size_that_is_none(context, case):
    images_make(context)
    expect_same(context, SIZES[case])


@test(needs_kvm=False)
def limit_on_open_files(context):
    """A job needs more files at once than some limits allow: it takes what it may have, or says what it lacks."""
    images_make(context)
    environment = dict(context.environment, INSTAR_SANDBOX="process")
    for limit, hard_limit in ((12, 12), (40, 40), (255, 255), (16, 4096), (256, 256)):
        def set_limit(limits=(limit, hard_limit)):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        is_enough = hard_limit >= 256
        done = context.run([context.build.instar, "convert", "-O", "raw", "used.qcow2", "out"], preexec_fn=set_limit,
                           env=environment).expect(0 if is_enough else 1)
        lines = [line for line in done.stderr.splitlines() if "ulimit -n" in line]
        if (context.directory / "out").exists() != is_enough or len(lines) != (0 if is_enough else 1):
            raise Failure(done.describe(f"limits {limit}, {hard_limit}: expected one line that names the limit, or none"))
        (context.directory / "out").unlink(missing_ok=True)


@test(needs_kvm=False)
def limit_on_file_sizes(context):
    """Guest memory that two processes share is a file to the kernel: where a limit forbids it, the line says which."""
    images_make(context)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    done = context.run([context.build.instar, "info", "used.qcow2"], preexec_fn=limit,
                       env=dict(context.environment, INSTAR_SANDBOX="process")).expect(1)
    if len(done.stderr.splitlines()) != 1 or "ulimit -f" not in done.stderr:
        raise Failure(done.describe("expected one line that names the limit"))
