# SPDX-License-Identifier: Apache-2.0
"""Conversions to qcow2 by the command, as clients ask for them: what QEMU says of the result."""

import json
import os

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20
# What depends on how a program allocates, and on the clock.
UNEQUAL = ("actual-size", "filename")

CASES = """
-O qcow2 image new|-f qcow2 -O qcow2 image new|-O qcow2 overlay new|-f raw -O qcow2 raw new|image -O qcow2 new
-O qcow2 -o compat=0.10 image new|-O qcow2 -o cluster_size=4k -o lazy_refcounts overlay new|-O qcow2 -o refcount_bits=1 raw new
-O qcow2 -o compat=1.1,extended_l2=on,cluster_size=128k image new|-O qcow2 -o preallocation=metadata image new
-O qcow2 -B image -F qcow2 overlay new|-O qcow2 -o backing_file=image,backing_fmt=qcow2 overlay new
-O qcow2 -S 0 image new|-O qcow2 -t none -W -m 4 image new|-O qcow2 -l one image new|-O qcow2 -f raw raw raw new
-O qcow2 -o size=1,nocow=on image new|-O qcow2 file:image file:new|-q -O qcow2 -r 1G image new
""".replace("\n", "|").split("|")[1:-1]


def files_make(directory):
    maker = recipes.Maker(directory)
    maker.create("image", 3 * MIB)
    maker.io("image", "write -P 1 0 100k")
    maker.run(REFERENCE, "snapshot", "-c", "one", "image")
    maker.io("image", "write -P 2 1M 900k")
    maker.create("overlay", None, backing="image")
    maker.io("overlay", "write -P 3 1100k 100k", "write -z 1400k 64k")
    (directory / "raw").write_bytes(b"x" * 70000 + bytes(100000) + b"y" * 1000)


def images_make(context):
    recipes.make_once(files_make, context.directory)


@test(cases=daily.sample("convert_qcow2 results", CASES, 10))
def results(context, case):
    images_make(context)
    seen = []
    for program in (REFERENCE, context.qemu_img_beside):
        done = context.run([program, "convert", *case.split()]).expect()
        if done.stdout or done.stderr:
            raise Failure(done.describe("said something"))
        context.run([REFERENCE, "check", "-f", "qcow2", "new"]).expect()
        info = json.loads(context.run([REFERENCE, "info", "-f", "qcow2", "--output=json", "new"]).expect().stdout)
        context.run([REFERENCE, "convert", "-f", "qcow2", "-O", "raw", "new", "content"]).expect()
        seen.append(({key: value for key, value in info.items() if key not in UNEQUAL},
                     (context.directory / "content").read_bytes()))
        (context.directory / "new").unlink()
    if seen[0][1] != seen[1][1]:
        raise Failure(f"convert {case}: another content than qemu-img's")
    if seen[0][0] != seen[1][0]:
        raise Failure(f"convert {case}: info is\n{seen[1][0]}\nof qemu-img's\n{seen[0][0]}")


@test(cases=["itself", "hard", "soft", "option", "file:", "json:"])
def own_backing_file(context, case):
    """A new image does not take the place of its own backing file, by whatever name."""
    base, source = context.directory / "base", context.directory / "source"
    base.write_bytes(b"\x55" * 65536)
    source.write_bytes(b"\x55" * 65536)
    os.link(base, context.directory / "hard")
    os.symlink("base", context.directory / "soft")
    target = {"itself": "base", "soft": "soft"}.get(case, "hard")
    name = {"file:": "file:base", "json:": 'json:{"driver": "raw", "file": {"driver": "file", "filename": "base"}}'}
    words = ["-B", name.get(case, "base"), "-F", "raw"]
    if case == "option":
        words = ["-o", "backing_file=base,backing_fmt=raw"]
    done = context.run([context.qemu_img, "convert", "-O", "qcow2", *words, "source", target]).expect(1)
    if not done.stderr.endswith(f"{target}: error while converting qcow2: the output is the input\n"):
        raise Failure(done.describe("expected another error"))
    if base.read_bytes() != source.read_bytes():
        raise Failure("the backing file has changed")
    context.run([context.qemu_img, "convert", "-O", "qcow2", *words, "source", "new"]).expect()


@test(cases=["json:{", "foo:bar", "none", 'json:{"driver":"qcow2","file":{"driver":"file","filename":"none"}}'])
def no_such_backing_file(context, case):
    """Told as qemu-img tells it, before there is an image that names it."""
    images_make(context)
    words = ["convert", "-O", "qcow2", "-B", case, "-F", "qcow2", "image", "new"]
    reference = context.run([REFERENCE, *words]).expect(1)
    (context.directory / "new").unlink()  # qemu-img has made it before it looked
    done = context.run([context.qemu_img_beside, *words])
    if (done.status, done.stdout, done.stderr) != (1, reference.stdout, reference.stderr) or (context.directory / "new").exists():
        raise Failure(done.describe("another end") + "\n" + reference.describe("than qemu-img:"))
