# SPDX-License-Identifier: Apache-2.0
"""Images that are changed where they are: resize and bench, beside qemu-img."""

import json
import os
import re
import shutil
import subprocess

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20

RESIZES = """
image 10M|image +10M|--shrink image 1M|--shrink image -1M|image 3M|-q image 5M|image 100G|--shrink image 512
--preallocation=metadata image 6M|--preallocation=full image +1M|--preallocation=falloc -f qcow2 image 9M
-f raw raw 10M|-f raw raw +512|-f raw --shrink raw 1M|-f raw --preallocation=full raw 6M|overlay 8M|--shrink overlay 1M
--image-opts driver=qcow2,file.filename=image 6M|old 20M|small 40M|--shrink small 1M|image 0x500000
raw 5M|raw 1M|-q raw +1M|--image-opts file.filename=raw 4M
image 1M|image -1M|image -10M|image 0|--shrink image -10M|--preallocation=foo image 5M|-f qcow2 raw 5M|image foo
--preallocation=full --shrink image 1M|-f raw raw 1M
""".replace("\n", "|").split("|")[1:-1]

BENCHES = """
-c 100 image|-c 100 -f raw raw|-c 10 -s 64k -o 1M image|-c 5 -S 1M image|-d 1 -c 3 overlay
-w -c 10 -d 4 -s 64k -o 1M image|-w -c 10 -d 4 -s 64k -o 1M --flush-interval=4 --pattern=65 image|-w -c 20 -f raw raw
-w -c 8 --pattern=7 -s 100k overlay|-w -c 8 --pattern=7 -S 128k small|-o 100M -c 1 image|-t none -c 5 image|-n -t none -q -c 1 image
-w -c 3 raw|-c 0 image|-w -c 0 image|-n -c 1 image|-i native -c 1 -f raw raw|-i native -t none -c 1 image|-c 3 -s 4M -d 2 image
""".replace("\n", "|").split("|")[1:-1]


def images_make(directory):
    maker = recipes.Maker(directory)
    maker.create("image", 3 * MIB)
    maker.io("image", "write -P 3 0 3M")
    maker.create("overlay", None, backing="image")
    maker.io("overlay", "write -P 4 1M 100k")
    maker.create("old", 3 * MIB, "compat=0.10")
    maker.create("small", 3 * MIB, "cluster_size=512")
    maker.io("small", "write -P 5 64k 1M")
    maker.io("old", "write -P 6 0 64k")
    with open(directory / "raw", "wb") as file:
        file.truncate(3 * MIB)


def state(context, directory):
    """What can be seen of all images that are not as they were made: sizes and contents."""
    made = recipes.made[f"{__name__}.images_make"]
    changed = {name for name in made if (directory / name).read_bytes() != made[name]}
    if "image" in changed:
        changed.add("overlay")
    seen = {}
    for name in sorted(changed):
        image_format = "raw" if name == "raw" else "qcow2"
        path = directory / name
        info = json.loads(context.run([REFERENCE, "info", "--output=json", "-f", image_format, path]).expect().stdout)
        if image_format == "qcow2":
            context.run([REFERENCE, "check", "-f", "qcow2", path]).expect()
        contents = "too long to read"
        if info["virtual-size"] < 200 * MIB:
            done = subprocess.run(f"{REFERENCE} convert -f {image_format} -O raw '{path}' out.raw && sha256sum < out.raw",
                                  shell=True, cwd=directory, stdout=subprocess.PIPE, check=True)
            contents = done.stdout
        seen[name] = (info["virtual-size"], contents)
    return seen


def both(context, command, case):
    """The results of both programs, on images of their own, which must be alike afterwards."""
    results = []
    states = []
    for name, program in (("reference", REFERENCE), ("own", context.qemu_img_beside)):
        directory = context.directory / name
        directory.mkdir()
        recipes.make_once(images_make, directory)
        done = context.run(["env", "-C", directory, program, command, *case.split()])
        results.append(done)
        states.append(state(context, directory))
        shutil.rmtree(directory)
    reference, own = results
    if own.status != reference.status:
        raise Failure(own.describe("another status") + "\n" + reference.describe("than qemu-img:"))
    if states[0] != states[1]:
        raise Failure(own.describe(f"images are\n{states[1]}\ninstead of\n{states[0]}"))
    return reference, own


@test(cases=daily.sample("resizes", RESIZES, 12))
def resizes(context, case):
    reference, own = both(context, "resize", case)
    if own.stdout != reference.stdout or own.stderr != reference.stderr:
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))


@test(cases=daily.sample("benches", BENCHES, 7))
def benches(context, case):
    reference, own = both(context, "bench", case)
    texts = [re.sub(r"in \d+\.\d\d\d seconds", "in N seconds", done.stdout) for done in (reference, own)]
    if texts[0] != texts[1] or own.stderr != reference.stderr:
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))


@test()
def bench_order(context):
    """What order lines have in one stream, which is no terminal."""
    images_make(context.directory)
    streams = [context.run([program, "bench", "-c", "2", "-o", "100M", "raw"], stderr=subprocess.STDOUT).expect(1).stdout
               for program in (REFERENCE, context.qemu_img_beside)]
    if streams[0] != streams[1]:
        raise Failure(f"{streams[1]}\ninstead of\n{streams[0]}")


@test()
def free_space_first(context):
    """Tables use what is free within the image before its file grows; what a shrunken one does not need is given back."""
    maker = recipes.Maker(context.directory)
    maker.create("image", 4 * MIB, "cluster_size=4k")
    maker.io("image", "write -P 1 0 4M", "discard 512k 3M")
    used = (context.directory / "image").stat().st_size
    context.run([context.qemu_img, "resize", "-q", "image", "64G"]).expect()
    context.run([REFERENCE, "check", "-q", "image"]).expect()
    if (context.directory / "image").stat().st_size > used:
        raise Failure("the file has grown, although there is room in it")
    context.run([context.qemu_img, "resize", "-q", "--preallocation=full", "image", "+1M"]).expect()
    context.run([REFERENCE, "check", "-q", "image"]).expect()
    if (context.directory / "image").stat().st_size > used + MIB + 65536:
        raise Failure("the file has grown by more than what it was to get, and tables")
    ends = []
    for program in (context.qemu_img, REFERENCE):
        maker.create("image", 4 * MIB, "cluster_size=512")
        maker.io("image", "write -P 2 0 1M", "write -P 3 1M 2M")
        context.run([program, "resize", "-q", "--shrink", "image", "1M"]).expect()
        context.run([REFERENCE, "check", "-q", "image"]).expect()
        done = context.run([REFERENCE, "check", "--output=json", "image"])
        ends.append(json.loads(done.stdout)["image-end-offset"])
    if ends[0] > ends[1]:
        raise Failure(f"the image ends at {ends[0]}; qemu-img's ends at {ends[1]}")


@test()
def image_in_use(context):
    """QEMU holds it: nothing is changed."""
    images_make(context.directory)
    with subprocess.Popen(["qemu-io", "image"], cwd=context.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        user.stdout.read(1)  # its prompt: the image is open
        for arguments in (["resize", "image", "5M"], ["bench", "-w", "-c", "1", "image"]):
            done = context.run([context.qemu_img_beside, *arguments]).expect(1)
            if "lock" not in done.stderr:
                raise Failure(done.describe("expected that the image is in use"))
        user.stdin.close()
        user.stdout.read()


@test()
def last_cluster_is_cut(context):
    """The file ends within its last cluster, as QEMU leaves it: what is written behind that end stays."""
    image, content = context.directory / "cut.qcow2", context.directory / "content.raw"
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", image, "64k"])
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 64k", image])
    os.truncate(image, image.stat().st_size - 20480)
    content.write_bytes(bytes(range(256)) * 256)
    done = context.run([context.qemu_img, "convert", "-n", "-f", "raw", "-O", "qcow2", content, image])
    compared = context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", content, image])
    if done.status != 0 or compared.status != 0:
        raise Failure(done.describe("the image has another content") + "\n" + compared.describe("says:"))


@test()
def sizes_with_blanks(context):
    """As strtoull takes them: resize, to the same length as qemu-img or with the same words."""
    for size in (" 4M", "\t4M", "+ 1M", "- 1M", " +1M", "++1M", "+-1M", "+", " ", "4M ", " 0x400000"):
        ended = []
        for program in (context.qemu_img, REFERENCE):
            with open(context.directory / "raw", "wb") as file:
                file.truncate(3 * MIB)
            done = context.run([program, "resize", "-f", "raw", "--shrink", "raw", size])
            ended.append((done.status, done.stdout, done.stderr, (context.directory / "raw").stat().st_size))
        if ended[0] != ended[1]:
            raise Failure(f"{size!r}: {ended[0]}, qemu-img {ended[1]}")
