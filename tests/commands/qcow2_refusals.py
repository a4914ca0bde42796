# SPDX-License-Identifier: Apache-2.0
"""What is refused changes nothing in the image: not even a feature goes that nobody knows, and that goes with the next change."""

from lib import pairs, qcow2_image, recipes
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
REFUSED = {
    "bitmaps": [["bitmap", action, "image", "missing"] for action in ("--remove", "--clear", "--enable", "--disable")] + [
        ["bitmap", "--merge", "missing", "image", "bits"], ["bitmap", "--add", "image", "bits"],
        ["bitmap", "--add", "-g", "3", "image", "new"], ["bitmap", "--add", "-g", "4G", "image", "new"]],
    "snapshots": [["snapshot", "-a", "missing", "image"], ["snapshot", "-d", "missing", "image"]],
    "sizes": [["resize", "image", "100P"], ["resize", "image", "2M"], ["resize", "--preallocation=none", "image", "8M"],
              ["amend", "-o", "size=100P", "image"]],
    "options": [["amend", "-o", option, "image"] for option in (
        "compat=0.10,refcount_bits=8", "refcount_bits=3", "cluster_size=4k", "data_file=other", "data_file_raw=on")],
    "backing": [["commit", "image"], ["rebase", "-b", "missing", "image"], ["rebase", "-u", "-b", "n" * 1100, "image"]],
    "data": [["bench", "-q", "-w", "-o", "5M", "image"], ["convert", "-n", "-O", "qcow2", "longer", "image"]],
}


@test(cases=REFUSED)
def unchanged(context, case):
    maker = recipes.Maker(context.directory)
    maker.create("image", 4 * MIB)
    maker.create("longer", 5 * MIB, format="raw")
    if case == "bitmaps":
        maker.run(pairs.REFERENCE, "bitmap", "--add", "image", "bits")
    with open(context.directory / "image", "r+b") as file:  # autoclear features
        file.seek(94)
        file.write(b"\x40")
    before = (context.directory / "image").read_bytes()
    for words in REFUSED[case]:
        done = context.run([context.qemu_img, *words]).expect(1)
        if (context.directory / "image").read_bytes() != before:
            raise Failure(done.describe("the image is another one after"))


def patch(path, at, value):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(value)


def damage(path, case):
    """What makes a change fail, at its beginning or when it has taken clusters; all of it beside counts behind the file's end."""
    tables = qcow2_image.Tables(path)
    block = tables.number(tables.refcounts, 8)
    patch(path, block + 2 * 60, (1).to_bytes(2, "big"))
    if case == "table":  # the disk's L2 table lies nowhere
        patch(path, tables.l1, (tables.l2[0] + 512 | 1 << 63).to_bytes(8, "big"))
    elif case == "count":  # an entry leads to what is counted as free
        patch(path, block + 2 * 5, bytes(2))
    elif case == "header":  # snapshots lie in the header
        patch(path, 60, (1).to_bytes(4, "big") + bytes(8))
    else:  # the counts lie where a snapshot has its table
        patch(path, tables.number(tables.snapshots, 8), (block | 1 << 63).to_bytes(8, "big"))


DAMAGED = {
    "table": [["resize", "--preallocation=falloc", "image", "16M"], ["resize", "--preallocation=metadata", "image", "16M"],
              ["amend", "-o", "size=1M", "image"], ["resize", "--shrink", "image", "1M"]],
    "count": [["amend", "-o", "refcount_bits=32", "image"], ["amend", "-o", "compat=0.10", "image"], ["snapshot", "-c", "new", "image"]],
    "header": [["amend", "-o", "refcount_bits=32", "image"], ["snapshot", "-c", "new", "image"]],
    "counts": [["rebase", "-b", "", "image"], ["amend", "-o", "refcount_bits=32", "image"]],
}


@test(cases=DAMAGED)
def damaged_stays(context, case):
    """A change of a damaged image that fails leaves the file as it was, and as long."""
    maker = recipes.Maker(context.directory)
    maker.create("base", 4 * MIB)
    maker.io("base", "write -P 9 0 4M")
    maker.create("image", 4 * MIB, backing="base")
    maker.io("image", "write -P 7 64k 300k")
    maker.run(pairs.REFERENCE, "snapshot", "-c", "old", "image")
    maker.io("image", "write -P 8 64k 100k")
    image = context.directory / "image"
    damage(image, case)
    before = image.read_bytes()
    for words in DAMAGED[case]:
        done = context.run([context.qemu_img_beside, *words]).expect(1)
        if image.read_bytes() != before:
            raise Failure(done.describe(f"the image is another one after (it has {image.stat().st_size} bytes, {len(before)} before)"))
        if len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("more than a line"))
