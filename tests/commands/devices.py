# SPDX-License-Identifier: Apache-2.0
"""Block devices as input and output: loop devices on files."""

import os

from lib import images
from lib.loop_devices import loop_device
from lib.python_tests import test
from lib.suite import Failure, Skip

MIB = 1 << 20
BACKENDS = ["regular", "direct", "mmap", "io-uring", "memory"]


@test(cases=BACKENDS)
def device_as_input(context, case):
    length = 3 * MIB + 512
    source = images.prepare(context.directory, length)
    with loop_device(source, "--read-only") as device:
        context.copy(device, "out", f"--backing={case}").expect()
    if (context.directory / "out").read_bytes() != source.read_bytes():
        raise Failure("the output is not the input")


@test(cases=BACKENDS)
def device_as_output(context, case):
    """The device is longer, and full of other data: all of the input must be written, nothing behind it."""
    length = 3 * MIB + 512
    source, disk = context.directory / "in", context.directory / "disk"
    images.write_islands(source, length, [(0, 100), (MIB, 4096), (3 * MIB, 512)])
    disk.write_bytes(b"\xff" * (4 * MIB))
    with loop_device(disk) as device:
        context.copy("in", device, f"--backing={case}").expect()
        # Through the device: its file is behind a cache.
        with open(device, "rb") as file:
            content = file.read()
    if content[:length] != source.read_bytes():
        raise Failure("the output is not the input")
    if content[length:] != b"\xff" * (4 * MIB - length):
        raise Failure("more than the input was written")


@test()
def device_too_short(context):
    images.prepare(context.directory, 2 * MIB)
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * MIB)
    with loop_device(disk) as device:
        context.copy("in", device).expect_error("the device has 1048576 bytes, the output needs 2097152")
    if disk.read_bytes() != b"\xff" * MIB:
        raise Failure("the device was written to")


@test(cases=["made", "set"])
def device_is_read_only(context, case):
    """An error before anything is read, whether the device was made so or became so."""
    images.prepare(context.directory, MIB)
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * MIB)
    with loop_device(disk, *(["--read-only"] if case == "made" else [])) as device:
        if case == "set":
            context.run(["blockdev", "--setro", device]).expect()
        context.copy("in", device).expect_error(f"{device}: cannot open for writing: the device is read-only")
    if disk.read_bytes() != b"\xff" * MIB:
        raise Failure("the device was written to")


@test()
def device_to_itself(context):
    disk = images.prepare(context.directory, MIB, "disk")
    with loop_device(disk) as device:
        context.copy(device, device).expect_error("the output is the input")
        os.symlink(device, context.directory / "link")
        context.copy(device, "link").expect_error("the output is the input")
    if disk.read_bytes() != images.data(MIB):
        raise Failure("the device was written to")


@test()
def device_in_use(context):
    """A device with a mounted file system is not overwritten."""
    images.prepare(context.directory, MIB)
    disk = context.directory / "disk"
    disk.touch()
    os.truncate(disk, 16 * MIB)
    context.run(["mkfs.ext4", "-q", "disk"]).expect()
    (context.directory / "mount").mkdir()
    with loop_device(disk) as device:
        # In a mount namespace of its own, so that nothing stays mounted.
        script = f'mount {device} mount && "$0" copy in {device}'
        completed = context.run(["unshare", "--mount", "sh", "-c", script, context.build.instar])
        if "mount:" in completed.stderr or "unshare:" in completed.stderr:
            raise Skip("mounting is not allowed")
        completed.expect_error("the device is in use")
