# SPDX-License-Identifier: Apache-2.0
"""Block devices as input and output: loop devices on files."""

import os
import pathlib

from lib import daily, images
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


@test(cases=["size", "shorter", "create", "convert"])
def raw_device_length(context, case):
    """A device keeps its length: what changes nothing is done, the rest is refused, in qemu-img's words."""
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * MIB)
    images.prepare(context.directory, 2 * MIB)
    with loop_device(disk) as device:
        arguments = {"size": ["resize", "-f", "raw", device, "1M"], "shorter": ["resize", "--shrink", "-f", "raw", device, "512k"],
                     "create": ["create", "-q", "-f", "raw", device, "2M"],
                     "convert": ["convert", "-n", "-f", "raw", "-O", "raw", "in", device]}[case]
        reference = context.run(["/usr/bin/qemu-img", *arguments])
        own = context.run([context.qemu_img, *arguments])
    if (own.status, own.stdout, own.stderr) != (reference.status, reference.stdout, reference.stderr):
        raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))
    if disk.read_bytes() != b"\xff" * MIB:
        raise Failure("the device was written to")


@test(cases=["", "metadata", "full"])
def image_grows_on_device(context, case):
    """Clusters come from what is free on the device, by the image's counts, also for a longer L1 table."""
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * (16 * MIB))
    mode = [f"--preallocation={case}"] if case else []
    with loop_device(disk) as device:
        context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", device, "1M"]).expect()
        context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", device]).expect()
        context.run([context.qemu_img, "resize", "-q", "-f", "qcow2", *mode, device, "5M" if case else "4G"]).expect()
        context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()
        context.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 1M", "-c", "read -P 0 1M 4M", device]).expect()
        context.run([context.qemu_img, "resize", "-q", "-f", "qcow2", "--shrink", device, "512k"]).expect()
        context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()


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


@test(cases=["off", "metadata", "metadata,compat=0.10", "metadata,extended_l2=on", "full"])
def nothing_old_shows(context, case):
    """What a device held before is nowhere on the disk of a new image, also where storage is given and nothing written."""
    source, disk = context.directory / "source", context.directory / "disk"
    source.write_bytes(b"\x09" * MIB + bytes(4 * MIB))
    disk.write_bytes(b"\x55" * (16 * MIB))
    with loop_device(disk) as device:
        context.run([context.qemu_img, "convert", "-f", "raw", "-O", "qcow2", "-o", f"preallocation={case}", source,
                     device]).expect()
        context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, device]).expect()


@test(cases=["convert", "dd", "convert-to-device"])
def file_of_the_device(context, case):
    """The file that a loop device shows is the device: it is not written while it is read."""
    disk = context.directory / "disk"
    disk.write_bytes(b"\x55" * MIB)
    with loop_device(disk) as device:
        words = {"convert": ["convert", "-f", "raw", "-O", "raw", device, disk],
                 "dd": ["dd", "-f", "raw", "-O", "raw", f"if={device}", f"of={disk}"],
                 "convert-to-device": ["convert", "-f", "raw", "-O", "raw", disk, device]}
        done = context.run([context.qemu_img, *words[case]]).expect(1)
    if not done.stderr.endswith("the output is the input\n"):
        raise Failure(done.describe("expected another error"))
    if disk.read_bytes() != b"\x55" * MIB:
        raise Failure("the file has changed")


@test(cases=["convert", "convert,4k", "commit", "commit,4k"])
def what_fits_is_written(context, case):
    """A device has little more room than the disk needs: what is reserved ahead ends with the device."""
    command, _, cluster = case.partition(",")
    source, disk = context.directory / "source", context.directory / "disk"
    source.write_bytes(b"\x09" * (4 * MIB))
    disk.write_bytes(bytes(6 * MIB))
    with loop_device(disk) as device:
        options = f"cluster_size={cluster or '64k'}"
        context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", options, device, "4M"]).expect()
        if command == "commit":
            context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", device, "-F", "qcow2",
                         "overlay"]).expect()
            context.run(["/usr/bin/qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", source, "overlay"]).expect()
            context.run([context.qemu_img, "commit", "-q", "-b", device, "overlay"]).expect()
        else:
            context.run([context.qemu_img, "convert", "-n", "-f", "raw", "-O", "qcow2", source, device]).expect()
        context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()
        context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, device]).expect()


@test(cases=["falloc", "full", "metadata"])
def preallocation_that_does_not_fit(context, case):
    """A disk that cannot become so long on its device is refused before anything changes; one that can becomes it."""
    disk = context.directory / "disk"
    disk.write_bytes(bytes(12 * MIB))
    with loop_device(disk) as device:
        context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", device, "1M"]).expect()
        resize = [context.qemu_img, "resize", "-q", f"--preallocation={case}", "-f", "qcow2", device]
        done = context.run([*resize, "64M"]).expect(1)
        if "the image does not fit: it needs more than 12582912 bytes" not in done.stderr:
            raise Failure(done.describe("expected another error"))
        context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()
        context.run([*resize, "11M"]).expect()
        context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()


@test()
def preallocation_that_becomes_what_fits(context):
    """Counters take room as well: a disk with room for its own clusters alone is refused before anything changes."""
    disk = context.directory / "disk"
    disk.write_bytes(bytes(4 * MIB))
    fitted = []
    with loop_device(disk) as device:
        for length in ("4000k", "4048k"):
            context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512,refcount_bits=64", device,
                         "64k"]).expect()
            before = pathlib.Path(device).read_bytes()
            done = context.run([context.qemu_img, "resize", "-q", "--preallocation=metadata", "-f", "qcow2", device, length])
            fitted.append(done.status == 0)
            if done.status != 0 and ("the image does not fit" not in done.stderr or pathlib.Path(device).read_bytes() != before):
                raise Failure(done.describe("expected that it does not fit, and a device that is as before"))
            context.run(["/usr/bin/qemu-img", "check", "-q", "-f", "qcow2", device]).expect()
    if fitted != [True, False]:
        raise Failure(f"what has fitted: {fitted}")


PREALLOCATED = [f"{name},{mode}" for name in ("vdi", "vpc", "vhdx", "qed", "parallels", "qcow", "vmdk")
                for mode in ("metadata", "falloc", "full")]


@test()
def preallocation_of_devices(context):
    """Of formats that leave it to the file: a device has none, in qemu-img's words, also when it is too short."""
    disk = context.directory / "disk"
    disk.write_bytes(b"\xff" * MIB)
    with loop_device(disk) as device:
        for case in daily.sample("preallocation of devices", PREALLOCATED, 6):
            name, mode = case.split(",")
            words = ["create", "-q", "-f", name, "-o", f"preallocation={mode}", device, "32M"]
            reference = context.run(["/usr/bin/qemu-img", *words])
            own = context.run([context.qemu_img, *words])
            if (own.status, own.stderr) != (reference.status, reference.stderr):
                raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))


@test()
def check_of_a_longer_device(context):
    """The footer of a VHD is where its image ends; where it is not, it is repaired."""
    disk, source = context.directory / "disk", context.directory / "source"
    disk.write_bytes(b"\xff" * (9 * MIB))
    source.write_bytes(b"\x09" * MIB + bytes(4 * MIB))
    with loop_device(disk) as device:
        context.run([context.qemu_img, "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", source, device]).expect()
        done = context.run([context.qemu_img, "check", "-f", "vpc", device]).expect()
        end_off = int(done.stdout.rsplit("Image end offset: ", 1)[1])
        context.run([context.qemu_img, "check", "-r", "all", "-f", "vpc", device]).expect()
        with open(device, "r+b") as file:
            file.seek(end_off - 512)
            if file.read(8) != b"conectix":
                raise Failure(done.describe("the image does not end there"))
            file.seek(end_off - 512)
            file.write(bytes(512))
        done = context.run([context.qemu_img, "check", "-f", "vpc", device]).expect(2)
        if "ERROR: the file does not end with the footer that it begins with" not in (done.stdout + done.stderr).splitlines():
            raise Failure(done.describe("another finding"))
        context.run([context.qemu_img, "check", "-r", "all", "-f", "vpc", device]).expect()
        context.run([context.qemu_img, "check", "-f", "vpc", device]).expect()
        context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "vpc", source, device]).expect()
