# SPDX-License-Identifier: Apache-2.0
"""Images that exist and have their data in another file: what is written to them goes there, as with qemu-img, where
the user names that file; and nowhere else."""

import json
import shutil
import subprocess

from lib import daily, images, recipes
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


@test(cases=daily.sample("data_files changed", OPTIONS, 2))
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
        for directory, program, options in zip(directories, (REFERENCE, context.qemu_img), ([], ["--data-file", "data"])):
            command, *arguments = step.split()
            done = context.run(["env", "-C", directory, program, command, *options, *arguments]).expect()
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
    context.run([context.qemu_img, "resize", "-q", "--data-file=data", "image", str(LEN + 100 * KIB)]).expect()
    if content(context.directory)[LEN:] != bytes(100 * KIB):
        raise Failure("the disk's new part is not zeros")


def reasons(done):
    """What is told, but for the hint that follows an image in use."""
    return [line for line in done.stderr.splitlines() if not line.startswith("Is another process using the image")]


def expect_refusal(context, arguments, reason):
    done = context.run(arguments).expect(1)
    if reason not in done.stderr or len(reasons(done)) != 1:
        raise Failure(done.describe(f"expected one line with: {reason}"))
    return done


def contents(directory, names):
    return {name: (directory / name).read_bytes() for name in names}


@test()
def refused(context):
    """Nothing is written: to no file that the user does not name, nor to what somebody uses, nor compressed."""
    directory = context.directory
    image_make(directory, OPTIONS["plain"])
    resize = [context.qemu_img_beside, "resize", "image", "4M"]
    own = [context.qemu_img_beside, "resize", "--data-file", "data", "image", "4M"]
    convert = [context.qemu_img_beside, "convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "image"]
    shutil.copyfile(directory / "image", directory / "copy")
    shutil.copyfile(directory / "data", directory / "other")
    with subprocess.Popen(["qemu-io", "-f", "qcow2", "copy"], cwd=directory, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as user:
        user.stdout.read(1)  # its prompt: the file is open
        expect_refusal(context, own, "lock")
        user.stdin.close()
        user.stdout.read()
    names = ("image", "data", "other", "source.raw")
    before = contents(directory, names)
    expect_refusal(context, [*convert[:-2], "-c", "--data-file=data", *convert[-2:]], "external data file")
    for command in (resize, convert, [context.qemu_img_beside, "bench", "-w", "-c", "1", "image"],
                    [context.qemu_img, "resize", "--backing-file=data", "image", "4M"],
                    [context.qemu_img, "resize", "--backing-dir=.", "image", "4M"]):
        expect_refusal(context, command, "--data-file FILE")
    # No other option would help.
    for words in (["resize", "image", "4M"], ["resize", "--no-backing", "image", "4M"], ["bench", "-w", "-c", "1", "image"],
                  ["convert", "-n", "-f", "raw", "-O", "qcow2", "source.raw", "image"]):
        done = expect_refusal(context, [context.qemu_img, *words], "'data': what is written is named by the user: allow it with "
                              "--data-file FILE")
        if "beside" in done.stderr or "image" not in done.stderr:
            raise Failure(done.describe("expected the image, and no other option"))
    context.run(["mkfifo", "fifo"]).expect()
    expect_refusal(context, [context.qemu_img, "convert", "--data-file=fifo", "-O", "raw", "image", "out"],
                   "fifo: cannot use as a data file: it is not a regular file")
    expect_refusal(context, [*resize[:2], "--data-file=other", *resize[2:]], "it is not the file that --data-file names")
    expect_refusal(context, [*resize[:2], "--data-file=missing", *resize[2:]], "No such file")
    expect_refusal(context, [*resize[:2], "--data-file=image", *resize[2:]], "image")
    expect_refusal(context, [*convert[:2], "--data-file=source.raw", *convert[2:]], "source.raw")
    (directory / "data").rename(directory / "data2")
    (directory / "data").symlink_to("source.raw")
    expect_refusal(context, [*resize[:2], "--data-file=data2", *resize[2:]], "it is not the file")
    (directory / "data").unlink()
    expect_refusal(context, own, "No such file")
    (directory / "data2").rename(directory / "data")
    if contents(directory, names) != before:
        raise Failure("a file has changed")


@test(cases=["option", "json", "image_opts", "link"])
def named(context, case):
    """All ways to name it. What leads to it is that very file, by whatever way."""
    directory = context.directory
    image_make(directory, OPTIONS["plain"])
    arguments = {
        "option": ["--data-file", "./data", "image"],
        "json": ['json:{"driver": "qcow2", "file": {"filename": "image"}, "data-file": {"driver": "file", "filename": "data"}}'],
        "image_opts": ["--image-opts", "driver=qcow2,file.filename=image,data-file.filename=data"],
        "link": [f"--data-file={directory}/elsewhere/data", "image"],
    }[case]
    if case == "link":
        (directory / "elsewhere").mkdir()
        shutil.move(directory / "data", directory / "elsewhere" / "data")
        (directory / "data").symlink_to(directory / "elsewhere" / "data")
    seen = content(directory)
    context.run([context.qemu_img, "resize", "-q", *arguments, "4M"]).expect()
    context.run([context.qemu_img, "bench", "-w", "-q", "-c", "4", "-o", "3M", "--pattern=7", *arguments]).expect()
    after = content(directory)
    if after[:LEN] != seen or after[3 * MIB:3 * MIB + 16 * KIB] != b"\x07" * 16 * KIB:
        raise Failure("not what was written")
    target = arguments if case != "image_opts" else ["--target-image-opts", *arguments[1:]]
    format = ["-O", "qcow2"] if case != "image_opts" else []
    context.run([context.qemu_img, "convert", "-n", "-f", "raw", *format, *target[:-1], "source.raw", target[-1]]).expect()
    context.run([context.qemu_img, "convert", "-O", "raw", *(arguments if case == "option" else ["--data-file=data", "image"]),
                 "out"]).expect()
    source = (directory / "source.raw").read_bytes()
    if content(directory)[:len(source)] != source or (directory / "out").read_bytes()[:len(source)] != source:
        raise Failure("not what was converted")


@test()
def read_by_name_only(context):
    """A data file is read as a backing file is: where the user says so."""
    image_make(context.directory, OPTIONS["plain"])
    for command in (["convert", "-O", "raw", "image", "out"], ["map", "image"]):
        expect_refusal(context, [context.qemu_img, *command], "with --data-file")
        for options in (["--data-file=data"], ["--backing=beside"], ["--backing-file=data"], ["--backing-dir=."]):
            context.run([context.qemu_img, command[0], *options, *command[1:]]).expect()
    (context.directory / "data").unlink()
    for command in (["info", "image"], ["check", "image"], ["snapshot", "-l", "image"]):
        context.run([context.qemu_img, *command]).expect()
    expect_refusal(context, [context.qemu_img, "convert", "-n", "--data-file=image", "-O", "raw", "image", "image"],
                   "a raw image has no data file")


# What somebody's home directory has, and nobody wants to be written by an image.
VICTIM = b"alias ls=ls\n" * 100000


@test(cases=["resize", "bench", "convert"])
def image_that_names_bashrc(context, case):
    """Nobody's data file by their own choice: it stays as it is, whatever policy reads are allowed by."""
    directory = context.directory
    victim = directory / ".bashrc"
    maker = recipes.Maker(directory)
    maker.create("image", MIB, "data_file=.bashrc,data_file_raw=on")
    (directory / "payload.raw").write_bytes(b"evil\n" * (MIB // 5))
    command = {"resize": ["resize", "image", "2M"], "bench": ["bench", "-w", "-c", "1", "image"],
               "convert": ["convert", "-n", "-f", "raw", "-O", "qcow2", "payload.raw", "image"]}[case]
    for options in ([], ["--backing=beside"], ["--backing-dir=."], ["--backing-dir=/"], ["--backing-file=.bashrc"],
                    ["--data-file=payload.raw"], ["--data-file=image"]):
        victim.write_bytes(VICTIM)
        done = context.run([context.qemu_img, command[0], *options, *command[1:]]).expect(1)
        if len(reasons(done)) != 1:
            raise Failure(done.describe("expected one line"))
        if victim.read_bytes() != VICTIM:
            raise Failure(done.describe("the victim has changed"))


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
