# SPDX-License-Identifier: Apache-2.0
"""Images that exist and have their data in another file: what is written to them goes there, as with qemu-img."""

import json
import shutil
import subprocess

from lib import images, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB, MIB = 1 << 10, 1 << 20
LEN = 3000 * KIB

OPTIONS = {
    "plain": "data_file_raw=off",
    "raw": "data_file_raw=on",
    "subclusters": "data_file_raw=off,extended_l2=on",
    "subclusters_raw": "data_file_raw=on,extended_l2=on",
    "cluster512": "data_file_raw=off,cluster_size=512",
    "cluster2m_raw": "data_file_raw=on,cluster_size=2M",
}

# What is done, one after the other.
STEPS = [
    "resize image 5003k",
    "bench -q -w -c 30 -s 12k -S 92k --pattern=9 -o 4096 image",
    "resize --preallocation=falloc image 7M",
    "resize --shrink image 2500k",
    "convert -n -f raw -O qcow2 source.raw image",
    "resize image 2501k",
    "resize --preallocation=metadata image 3M",
]


def image_make(directory, options):
    maker = recipes.Maker(directory)
    maker.create("image", LEN, f"data_file=data,{options}")
    maker.io("image", "write -P 1 0 100k", "write -P 2 2900k 100k", "write -z 50k 10k")
    images.write_islands(directory / "source.raw", 2400 * KIB, [(MIB, 300 * KIB), (2300 * KIB + 512, 77 * KIB)])


def content(directory):
    """What the disk has, by qemu-img, which also finds no fault with the image."""
    for arguments in (["check", "-f", "qcow2", "image"], ["convert", "-f", "qcow2", "-O", "raw", "image", "seen"]):
        done = subprocess.run([REFERENCE, *arguments], cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        if done.returncode != 0:
            raise Failure(f"qemu-img {arguments[0]}: {done.stdout.decode()}")
    return (directory / "seen").read_bytes()


@test(cases=list(OPTIONS))
def changed(context, case):
    """Length and content of disk and data file after each step, the same as qemu-img's."""
    directories = []
    for name in ("reference", "own"):
        directory = context.directory / name
        directory.mkdir()
        image_make(directory, OPTIONS[case])
        directories.append(directory)
    for step in STEPS:
        outputs = []
        for directory, program in zip(directories, (REFERENCE, context.qemu_img)):
            done = context.run(["env", "-C", directory, program, *step.split()]).expect()
            said = "" if "bench" in step else done.stdout
            outputs.append((said, done.stderr, content(directory)))
        if outputs[0] != outputs[1]:
            raise Failure(f"{step}: another output or content than with qemu-img: {outputs[0][:2]}, {outputs[1][:2]}")
        data = (directories[1] / "data").read_bytes()
        if "resize" in step and len(data) != len(outputs[1][2]):  # qemu-img's may end with a cluster
            raise Failure(f"{step}: the data file has {len(data)} bytes, the disk {len(outputs[1][2])}")
        if "raw" in case and data.ljust(len(outputs[1][2]), b"\0") != outputs[1][2]:
            raise Failure(f"{step}: the data file is not what the disk is")


@test()
def behind_the_disk(context):
    """What the data file has behind the disk's end does not become the disk's."""
    image_make(context.directory, OPTIONS["raw"])
    with open(context.directory / "data", "ab") as data:
        data.write(b"x" * MIB)
    context.run([context.qemu_img, "resize", "-q", "image", str(LEN + 100 * KIB)]).expect()
    if content(context.directory)[LEN:] != bytes(100 * KIB):
        raise Failure("the disk's new part is not zeros")


def expect_refusal(context, arguments, reason):
    done = context.run(arguments).expect(1)
    if reason not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe(f"expected one line with: {reason}"))


@test()
def refused(context):
    """Nothing is written: not to what the policy does not allow, nor to what somebody uses, nor compressed."""
    directory = context.directory
    image_make(directory, OPTIONS["plain"])
    resize = [context.qemu_img, "resize", "image", "4M"]
    convert = [context.qemu_img, "convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "image"]
    shutil.copyfile(directory / "image", directory / "copy")
    with subprocess.Popen(["qemu-io", "-f", "qcow2", "copy"], cwd=directory, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as user:
        user.stdout.read(1)  # its prompt: the file is open
        expect_refusal(context, resize, "lock")
        user.stdin.close()
        user.stdout.read()
    before = [(directory / name).read_bytes() for name in ("image", "data")]
    expect_refusal(context, [*convert, "-c"], "external data file")
    expect_refusal(context, [context.build.directory / "instar", "resize", "--no-backing", "image", "4M"], "--no-backing")
    (directory / "data").rename(directory / "data2")
    (directory / "data").symlink_to("source.raw")
    expect_refusal(context, convert, "a file that is read")
    (directory / "data").unlink()
    expect_refusal(context, resize, "No such file")
    (directory / "elsewhere").mkdir()
    shutil.move(directory / "data2", directory / "elsewhere" / "data")
    (directory / "data").symlink_to(directory / "elsewhere" / "data")
    expect_refusal(context, resize, "link")
    for name, old in zip(("image", "elsewhere/data"), before):
        if (directory / name).read_bytes() != old:
            raise Failure(f"{name} has changed")


@test(cases=["64k", "2M"])
def preallocated(context, case):
    """With large clusters a part of a table covers more than 4 GiB."""
    maps = []
    for name, program in (("reference", REFERENCE), ("own", context.qemu_img)):
        context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-o", f"cluster_size={case}", name, "4M"]).expect()
        context.run([program, "resize", "-q", "--preallocation=falloc", name, "7M"]).expect()
        context.run([REFERENCE, "check", "-q", name]).expect()
        done = context.run([REFERENCE, "map", "--output=json", name]).expect()
        maps.append([(extent["start"], extent["length"], extent["present"]) for extent in json.loads(done.stdout)])
    if maps[0] != maps[1]:
        raise Failure(f"the map is {maps[1]}, qemu-img's {maps[0]}")
