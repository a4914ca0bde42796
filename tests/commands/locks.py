# SPDX-License-Identifier: Apache-2.0
"""Images that are in use: each command beside somebody who holds QEMU's locks, and qemu-img beside our jobs.

What is refused, and what `-U` allows, is what qemu-img refuses and allows.
"""

import fcntl
import struct
import subprocess
import time

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20

COMMANDS = {
    "info": ["info", "image"],
    "check": ["check", "image"],
    "map": ["map", "image"],
    "measure": ["measure", "-O", "raw", "image"],
    "snapshot": ["snapshot", "-l", "image"],
    "compare": ["compare", "image", "image"],
    "compare_other": ["compare", "other", "image"],
    "convert": ["convert", "-O", "raw", "image", "out"],
    "convert_over": ["convert", "-f", "raw", "-O", "raw", "plain", "image"],
    "convert_into": ["convert", "-n", "-f", "raw", "-O", "qcow2", "plain", "image"],
    "dd": ["dd", "if=image", "of=out"],
    "resize": ["resize", "image", "8M"],
    "bench": ["bench", "-c", "1", "image"],
    "bench_write": ["bench", "-w", "-c", "1", "image"],
    "create_over": ["create", "-f", "qcow2", "image", "1M"],
    "create_on": ["create", "-f", "qcow2", "-b", "image", "-F", "qcow2", "out"],
    "create_on_raw": ["create", "-f", "qcow2", "-b", "plain", "-F", "raw", "out"],
    "check_repair": ["check", "-r", "all", "image"],
    "snapshot_create": ["snapshot", "-c", "one", "image"],
    "amend": ["amend", "-o", "lazy_refcounts=on", "image"],
    "bitmap": ["bitmap", "--add", "image", "b"],
    "rebase": ["rebase", "-u", "-b", "plain", "-F", "raw", "image"],
    "rebase_onto": ["rebase", "-b", "image", "-F", "qcow2", "other"],
    "rebase_overlay": ["rebase", "-b", "", "overlay"],
    "commit": ["commit", "-b", "image", "overlay"],
    "convert_overlay": ["convert", "-O", "raw", "overlay", "out"],
    "convert_on": ["convert", "-f", "raw", "-O", "qcow2", "-B", "image", "-F", "qcow2", "plain", "out"],
    "convert_on_raw": ["convert", "-O", "qcow2", "-B", "plain", "-F", "raw", "other", "out"],
    "convert_overlay_on": ["convert", "-O", "qcow2", "-B", "image", "-F", "qcow2", "overlay", "out"],
    "map_overlay": ["map", "overlay"],
    "info_overlay": ["info", "--backing-chain", "overlay"],
}
WITHOUT_U = {"convert_over", "resize", "bench_write", "create_over", "create_on", "create_on_raw", "convert_into", "check_repair",
             "snapshot_create", "amend", "bitmap", "rebase", "rebase_onto", "rebase_overlay", "commit"}
HOLDERS = {"writer": [], "reader": ["-r"]}


def images_make(directory):
    maker = recipes.Maker(directory)
    for name in ("image", "other"):
        maker.create(name, "4M")
        maker.io(name, "write -P 1 0 1M")
    maker.create("overlay", "4M", backing="image")
    maker.io("overlay", "write -P 2 64k 64k")
    (directory / "plain").write_bytes(b"p" * MIB)


class Holder:
    """qemu-io, which has an image open."""

    def __init__(self, directory, name, options):
        format = "raw" if name == "plain" else "qcow2"
        self.process = subprocess.Popen(["qemu-io", *options, "-f", format, name], cwd=directory, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def __enter__(self):
        self.process.stdout.read(1)  # its prompt: the file is open

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()


def verdict(done):
    if done.status == 0:
        return "done"
    return "locked" if "lock" in done.stderr else "failed: " + done.stderr


@test(cases=daily.sample("beside_a_holder", [f"{holder},{command}" for holder in HOLDERS for command in COMMANDS], 12))
def beside_a_holder(context, case):
    holder, command = case.split(",")
    arguments = COMMANDS[command]
    name = "plain" if command.endswith("_on_raw") else "image"
    verdicts = {}
    for force in ([], ["-U"]) if command not in WITHOUT_U else ([],):
        for program, *own in ([REFERENCE], [context.qemu_img, "--backing=beside"]):
            recipes.make_once(images_make, context.directory)
            before = (context.directory / name).read_bytes()
            with Holder(context.directory, name, HOLDERS[holder]):
                done = context.run([program, arguments[0], *own, *force, *arguments[1:]])
                verdicts.setdefault(" ".join(force), []).append(verdict(done))
                if done.status != 0 and (context.directory / name).read_bytes() != before:
                    raise Failure(done.describe("it was changed"))
            (context.directory / "out").unlink(missing_ok=True)
    for force, (reference, own) in verdicts.items():
        if reference != own:
            raise Failure(f"{command} {force}: qemu-img: {reference}, ours: {own}")


# Beside a program that writes and lets others write, too (QEMU's byte 101 alone): only a format's own files are not for that.
BESIDE_WRITER = {
    "dd_raw": ["dd", "-f", "raw", "if=plain", "of=out"],
    "dd_probed": ["dd", "if=plain", "of=out"],
    "dd_onto_raw": ["dd", "-f", "raw", "if=small", "of=plain"],
    "dd_onto_qcow2": ["dd", "-f", "raw", "-O", "qcow2", "if=small", "of=plain"],
    "convert_raw": ["convert", "-f", "raw", "-O", "raw", "plain", "out"],
    "convert_raw_U": ["convert", "-U", "-f", "raw", "-O", "raw", "plain", "out"],
    "convert_onto_raw": ["convert", "-f", "raw", "-O", "raw", "small", "plain"],
    "convert_onto_qcow2": ["convert", "-f", "raw", "-O", "qcow2", "small", "plain"],
    "convert_into": ["convert", "-n", "-f", "raw", "-O", "raw", "small", "plain"],
    "compare": ["compare", "-f", "raw", "plain", "plain"],
    "rebase": ["rebase", "-f", "qcow2", "-b", "plain", "-F", "raw", "image"],
    "create_onto_raw": ["create", "-f", "raw", "plain", "1M"],
    "create_onto_qcow2": ["create", "-f", "qcow2", "plain", "1M"],
}


OFD_SETLK = 37


@test()
def data_file_beside_a_holder(context):
    """Nobody gives the data file another length while it is read; to describe the image it is not opened."""
    images_make(context.directory)
    recipes.Maker(context.directory).create("image", "4M", "data_file=data")
    for arguments in (["info", "image"], ["map", "image"], ["map", "-U", "image"]):
        verdicts = []
        for program in (REFERENCE, context.qemu_img):
            with open(context.directory / "data", "r+b") as holder:
                fcntl.fcntl(holder, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 103, 1, 0))
                verdicts.append(verdict(context.run([program, arguments[0], "--backing=beside", *arguments[1:]]
                                                    if program != REFERENCE else [program, *arguments])))
        if verdicts[0] != verdicts[1]:
            raise Failure(f"{arguments}: qemu-img: {verdicts[0]}, ours: {verdicts[1]}")


@test()
def beside_a_writer_that_shares(context):
    for name in daily.sample("locks beside_a_writer_that_shares", BESIDE_WRITER, 5):
        arguments, verdicts = BESIDE_WRITER[name], []
        for program in (REFERENCE, context.qemu_img):
            recipes.make_once(images_make, context.directory)
            (context.directory / "small").write_bytes(b"s" * 65536)
            with open(context.directory / "plain", "r+b") as holder:
                fcntl.fcntl(holder, OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 101, 1, 0))
                done = context.run([program, *arguments])
            verdicts.append(verdict(done))
            (context.directory / "out").unlink(missing_ok=True)
        if verdicts[0] != verdicts[1]:
            raise Failure(f"{name}: qemu-img: {verdicts[0]}, ours: {verdicts[1]}")


def is_locked(path):
    """Whether somebody wants that nobody else writes to it (byte 201)."""
    inode = path.stat().st_ino
    with open("/proc/locks", encoding="ascii") as locks:
        return any(f":{inode} 201 201" in " ".join(line.split()) for line in locks)


@test()
def beside_our_change(context):
    """Nobody else may write from before the job writes anything: another one of ours is refused, and both would take the same place."""
    secrets = ("--object", "secret,id=s,data=geheim", "--object", "secret,id=n,data=neu")
    image = context.directory / "image"
    context.run([context.qemu_img, "create", "-q", "-f", "luks", *secrets, "-o", "key-secret=s,iter-time=1", "image", "64k"]).expect()
    before = image.read_bytes()
    amend = [context.qemu_img, "amend", *secrets, "--image-opts", "-o", "state=active,new-secret=n,iter-time=2000", "driver=luks,key-secret=s,file.filename=image"]
    process = context.start(amend)
    while not is_locked(image):
        if process.poll() is not None or context.left_s() < 1:
            raise Failure("the job took no lock")
    if image.read_bytes() != before:
        raise Failure("the job wrote before it took its locks")
    found = verdict(context.run(amend))
    if found != "locked" or image.read_bytes() != before:
        raise Failure(f"beside it: {found}")
    context.finish(process)
    context.run([REFERENCE, "map", "--output=json", *secrets, "--image-opts", "driver=luks,key-secret=n,file.filename=image"]).expect()


@test()
def beside_our_commit(context):
    """Two overlays of one base are not committed at a time, whatever format the base has: nobody has said it."""
    base = context.directory / "base"
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "base", "1M"]).expect()
    for name, byte in (("one", 1), ("two", 2)):
        context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", name]).expect()
        context.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {byte} 0 1M", name]).expect()
    process = context.start([context.qemu_img, "commit", "-q", "-r", "512k", "-b", "base", "one"])
    while not is_locked(base):
        if process.poll() is not None or context.left_s() < 1:
            raise Failure("the job took no lock on the base")
    found = verdict(context.run([context.qemu_img, "commit", "-q", "-b", "base", "two"]))
    if found != "locked":
        raise Failure(f"beside it: {found}")
    context.finish(process).expect()
    context.run(["qemu-io", "-r", "-f", "qcow2", "-c", "read -P 1 0 1M", "base"]).expect()


@test(cases=["reads", "changes"])
def beside_our_job(context, case):
    """A job that takes its time, and what qemu-img may do meanwhile."""
    images_make(context.directory)
    if case == "reads":
        job = ["convert", "-r", "1k", "-f", "qcow2", "-O", "raw", "image", "out"]
        expected = {"info": "done", "check": "done", "resize": "locked", "bench_write": "locked", "convert_over": "locked"}
    else:
        job = ["convert", "-r", "1k", "-n", "-f", "raw", "-O", "qcow2", "plain", "image"]
        expected = {"info": "locked", "check": "locked", "map": "locked", "resize": "locked", "bench_write": "locked"}
    process = context.start([context.qemu_img, *job])
    while not is_locked(context.directory / "image"):
        if process.poll() is not None or context.left_s() < 1:
            raise Failure("the job took no lock")
        time.sleep(0.01)
    found = {name: verdict(context.run([REFERENCE, *COMMANDS[name]])) for name in expected}
    process.terminate()
    context.finish(process)
    if found != expected:
        raise Failure(f"found {found}, expected {expected}")
