# SPDX-License-Identifier: Apache-2.0
"""Parts of images, beside qemu-img's dd."""

import random

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20

# "raw" has 10000 bytes, "image" and "overlay" are of 3 MiB.
CASES = """
if=raw of=new|bs=4k count=2 if=raw of=new|bs=4k count=2 skip=1 if=raw of=new|bs=1000 count=3 skip=2 -f raw if=raw of=new
bs=1000 count=30 skip=2 if=raw of=new|bs=1000 skip=10 if=raw of=new|bs=512 skip=3 if=raw of=new|count=0 if=raw of=new
if=image of=new|-O raw bs=1M count=2 if=image of=new|-O raw bs=64k skip=17 if=image of=new|-f qcow2 -O raw bs=1M skip=1 if=overlay of=new
-O qcow2 bs=1M count=2 if=image of=new|-O qcow2 if=overlay of=new|-O qcow2 bs=1000 count=3 if=raw of=new
-O qcow2 bs=1M count=3 skip=1 if=overlay of=new|-U if=image of=new|--image-opts if=driver=raw,file.filename=raw of=new
if=raw if=image of=new|bs=1 bs=2 if=raw of=new|bs=100k skip=3 count=9 if=overlay of=new|bs=1G if=image of=new
""".replace("\n", "|").split("|")[1:-1]


def files_make(directory):
    maker = recipes.Maker(directory)
    (directory / "raw").write_bytes(random.Random(1).randbytes(10000))
    maker.create("image", 3 * MIB)
    maker.io("image", "write -P 1 100k 1M", "write -P 2 2M 512")
    maker.create("overlay", None, backing="image")
    maker.io("overlay", "write -P 3 1M 100k", "write -z 200k 64k")


def images_make(context):
    recipes.make_once(files_make, context.directory)


@test(cases=daily.sample("dd parts", CASES, 12))
def parts(context, case):
    images_make(context)
    image_format = "qcow2" if "-O qcow2" in case else "raw"
    contents = []
    for program in (REFERENCE, context.qemu_img_beside):
        done = context.run([program, "dd", *case.split()]).expect()
        if done.stdout or done.stderr:
            raise Failure(done.describe("said something"))
        new = context.directory / "new"
        if image_format == "qcow2":
            context.run([REFERENCE, "check", "-f", "qcow2", new]).expect()
            context.run([REFERENCE, "convert", "-f", "qcow2", "-O", "raw", new, "content"]).expect()
            new.unlink()
            new = context.directory / "content"
        contents.append(new.read_bytes())
        new.unlink()
    if contents[0] != contents[1]:
        raise Failure(f"dd {case}: {len(contents[1])} bytes, not as qemu-img's {len(contents[0])}")


@test(cases=["bs=1M skip=4 if=image of=new", "bs=1000 skip=100 if=raw of=new", "bs=8k skip=7 count=2 if=image of=new"])
def behind_the_end(context, case):
    images_make(context)
    for program in (REFERENCE, context.qemu_img_beside):
        done = context.run([program, "dd", *case.split()]).expect()
        if "cannot skip to specified offset" not in done.stderr or (context.directory / "new").stat().st_size != 0:
            raise Failure(done.describe("expected an empty file, and a line that says so"))
        (context.directory / "new").unlink()
