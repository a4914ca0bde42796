# SPDX-License-Identifier: Apache-2.0
"""What is refused changes nothing in the image: not even a feature goes that nobody knows, and that goes with the next change."""

from lib import pairs, recipes
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
