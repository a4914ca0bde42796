# SPDX-License-Identifier: Apache-2.0
"""Images that other programs made: what both programs say of them, and what their disks hold.

They are no part of the project. INSTAR_TEST_IMAGES names the folder that has them, with INDEX.tsv; otherwise it is
shared/images beside the project. Of them a part is looked at each day.
"""

import csv
import json
import os
import pathlib
import shutil

from lib import daily
from lib.images import sha256
from lib.python_tests import test
from lib.suite import Failure, Skip

FOLDER = pathlib.Path(os.environ.get("INSTAR_TEST_IMAGES") or pathlib.Path(__file__).resolve().parents[3] / "shared" / "images")
REFERENCE = "/usr/bin/qemu-img"
SAMPLE_COUNT = 10
DISK_LEN_MAX = 2 << 30  # of longer ones nothing is written
# ova is what other formats are found in; of encrypted disks only info tells anything; dmg is in the tests of that format.
LEFT_OUT = {"ova", "dmg"}
# What is chosen to be different (docs/commands.md): by image, the commands, and the outcome that ours has.
CHOSEN = {
    # Of this there is the beginning only, and no table.
    "parallels/libyal_libphdi/sparse_image_header.1": {"convert": 1},
    # Differencing disks are read with their parent, where it is there.
    "vhdx/log2timeline_dfvfs/fat-differential.vhdx": {"info": 0, "check": 0},
    "vpc/rubiojr_go-vhd/win8-child.vhd": {"info": 0, "map": 0, "measure": 0, "convert": 0, "compare": 0,
                                         "compare -s": 1},  # blocks that are data all over, and zeros that the copy leaves out
}


def rows():
    index = FOLDER / "INDEX.tsv"
    if not index.exists():
        return {}
    with open(index, encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["path"]: row for row in table if row["format"] not in LEFT_OUT and row["info_rc"]}


ROWS = rows()


class Pair:
    """Both programs on one image, in a folder with what lies beside it."""

    def __init__(self, context, row):
        self.context = context
        self.row = row
        self.chosen = CHOSEN.get(row["path"], {})
        source = FOLDER / row["path"]
        if sha256(source) != row["sha256"]:
            raise Skip(f"{source} is not what INDEX.tsv tells of")
        for path in source.parent.iterdir():
            if path.is_file():
                shutil.copyfile(path, context.directory / path.name)
        self.image = source.name
        self.own = context.qemu_img_beside

    def both(self, *arguments):
        """What they print; None when both fail, or when ours ends as it is chosen to."""
        own = self.context.run([self.own, *arguments])
        lines = own.stderr.splitlines()
        has_failed = own.status == 1 and not (arguments[0] == "compare" and own.stdout)  # or they differ
        if has_failed and not (len(lines) == 1 and lines[0].startswith("qemu-img: ")):
            raise Failure(own.describe("no clear line"))
        chosen = self.chosen.get(" ".join(arguments[:2]), self.chosen.get(arguments[0]))
        if chosen is not None:
            if own.status != chosen:
                raise Failure(own.describe(f"exit status {own.status}, not the chosen {chosen}"))
            return None
        reference = self.context.run([REFERENCE, *arguments])
        if own.status != reference.status:
            raise Failure(own.describe("ends otherwise") + "\n" + reference.describe("than qemu-img:"))
        return reference.stdout, own.stdout

    def same(self, *arguments):
        outputs = self.both(*arguments)
        if outputs is None:
            return
        is_json = "--output=json" in arguments and any(outputs)
        reference, own = (json.loads(output) if is_json else output for output in outputs)
        if own != reference:
            raise Failure(f"{' '.join(arguments)}: ours\n{outputs[1]}\nqemu-img's\n{outputs[0]}")


def converted(pair, *options):
    """The digest of what ours makes of it, or None when both refuse it."""
    context = pair.context
    (context.directory / "own.raw").unlink(missing_ok=True)
    reference = context.run([REFERENCE, "convert", *options, "-O", "raw", pair.image, "reference.raw"])
    wanted_status = pair.chosen.get("convert", reference.status)
    done = context.run([pair.own, "convert", *options, "-O", "raw", pair.image, "own.raw"])
    if done.status != wanted_status:
        raise Failure(done.describe(f"exit status {done.status}, not {wanted_status}") + "\n" + reference.describe("qemu-img:"))
    if done.status != 0:
        if (context.directory / "own.raw").exists():
            raise Failure(done.describe("a failed convert left a file"))
        return None
    found = sha256(context.directory / "own.raw")
    if "convert" not in pair.chosen and found != sha256(context.directory / "reference.raw"):
        raise Failure(done.describe("another content than qemu-img's"))
    return found


def content(pair):
    """As it is found, and as the format of the index, which not all are taken for: the digest of the index."""
    context, row = pair.context, pair.row
    info = context.run([REFERENCE, "info", "--output=json", pair.image])
    probed = json.loads(info.stdout)["format"] if info.status == 0 else row["format"]
    found = converted(pair)
    if found is not None:
        pair.same("compare", "-F", "raw", pair.image, "own.raw")
        pair.same("compare", "-s", "-F", "raw", pair.image, "own.raw")
    if probed != row["format"]:
        found = converted(pair, "-f", row["format"])
    if found is not None and row["content_sha256"] not in ("", found) and "convert" not in pair.chosen:
        raise Failure(f"the disk's sha256 is {found}, not {row['content_sha256']}")


@test(cases=daily.sample("real images", ROWS, SAMPLE_COUNT) or ["none"], timeout=60, weight=2)
def images(context, case):
    if not ROWS:
        raise Skip(f"{FOLDER} has no INDEX.tsv (INSTAR_TEST_IMAGES names another folder)")
    row = ROWS[case]
    pair = Pair(context, row)
    pair.same("info", pair.image)
    pair.same("info", "--output=json", pair.image)
    if row["format"] == "luks":
        return
    pair.same("map", pair.image)
    pair.same("map", "--output=json", pair.image)
    if row["check_rc"] != "63":
        pair.same("check", pair.image)
        pair.same("check", "--output=json", pair.image)
    pair.same("measure", "-O", "raw", pair.image)
    pair.same("measure", "-O", "qcow2", pair.image)
    if not row["virtual_size"] or int(row["virtual_size"]) <= DISK_LEN_MAX:
        content(pair)
