# SPDX-License-Identifier: Apache-2.0
"""A disk within another file: "offset" and "size" of QEMU's raw driver, of the image itself or below another format."""

import hashlib
import json

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB = 1 << 10
START = 64 * KIB  # of the qcow2 image in the file


def file_text(**options):
    options = {"driver": "raw", **options, "file": {"driver": "file", "filename": "whole.bin"}}
    return json.dumps(options)


# Names, and whether --image-opts goes with them.
SOUND = {
    "raw": f"json:{file_text(offset=START, size=4 * KIB)}",
    "raw-offset": f"json:{file_text(offset=3 * KIB)}",
    "raw-size": f"json:{file_text(size='2k')}",
    "raw-zero": f"json:{file_text(offset=0)}",
    "raw-to-end": f"json:{file_text(offset=START, size=1377280)}",
    "raw-in-raw": f'json:{{"driver":"raw","file":{file_text(offset=START, size=8 * KIB)}}}',
    "qcow2": f'json:{{"driver":"qcow2","file":{file_text(offset=START)}}}',
    "qcow2-probed": f'json:{{"file":{file_text(offset=START, size=1376256)}}}',
    "qcow2-text": 'json:{"driver":"qcow2","file.driver":"raw","file.offset":"64k","file.file.filename":"whole.bin"}',
    "options": "driver=raw,offset=512,size=1k,file.filename=whole.bin",
    "options-within": "driver=qcow2,file.driver=raw,file.offset=64k,file.file.driver=file,file.file.filename=whole.bin",
}
REFUSED = [
    f"json:{file_text(size=4000)}",
    f"json:{file_text(size=4096000000)}",
    f"json:{file_text(offset=4096000000)}",
    f"json:{file_text(offset=4096000000, size=512)}",
    f"json:{file_text(offset=START, size=1377792)}",
    f'json:{{"driver":"qcow2","file":{file_text(offset=4096000000)}}}',
    'json:{"driver":"qcow2","file":{"driver":"raw","offset":65536}}',
    'json:{"driver":"qcow2","offset":512,"file.filename":"disk.qcow2"}',
]


def make(context):
    recipes.make_once(files_make, context.directory)


def files_make(directory):
    maker = recipes.Maker(directory)
    maker.create("disk.qcow2", "2M")
    maker.io("disk.qcow2", "write -P 7 0 1M", "write -z 64k 64k")
    image = (directory / "disk.qcow2").read_bytes()
    whole = bytes(range(256)) * (START // 512) + bytes(START // 2) + image.ljust(1376256, b"\0") + b"\x55" * 1000
    (directory / "whole.bin").write_bytes(whole)


def options_of(name):
    return [] if name.startswith("json:") else ["--image-opts"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same(context, *words):
    theirs = context.run([REFERENCE, *words])
    ours = context.run([context.qemu_img, *words])
    if (ours.status, ours.stdout) != (theirs.status, theirs.stdout) or (theirs.status == 0 and ours.stderr):
        raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
    return theirs, ours


@test(cases=daily.sample("parts_of_files read", SOUND, 5))
def read(context, case):
    """All reading commands; content, and that nothing behind the part is read."""
    make(context)
    name = SOUND[case]
    options = options_of(name)
    for command in ("info", "map", "check"):
        same(context, command, *options, name)
        same(context, command, "--output=json", *options, name)
    same(context, "measure", "-O", "qcow2", *options, name)
    found = []
    for program, target in ((REFERENCE, "reference.raw"), (context.qemu_img, "own.raw")):
        context.run([program, "convert", *options, "-O", "raw", name, target]).expect()
        found.append(digest(context.directory / target))
    if found[0] != found[1]:
        raise Failure(f"convert: another content than qemu-img's of {name}")
    if not options:
        same(context, "compare", "-F", "raw", name, "reference.raw")
    context.run([context.qemu_img, "convert", *options, "-O", "qcow2", name, "own.qcow2"]).expect()
    context.run([REFERENCE, "compare", "-f", "qcow2", "-F", "raw", "own.qcow2", "reference.raw"]).expect()


@test()
def refused(context):
    """In qemu-img's words; and what is only read is not written to."""
    make(context)
    before = digest(context.directory / "whole.bin")
    for name in REFUSED:
        theirs, ours = same(context, "info", name)
        if theirs.status != 1 or ours.stderr != theirs.stderr:
            raise Failure(theirs.describe("qemu-img has another message") + "\n" + ours.describe("than ours"))
    done = context.run([context.qemu_img, "info", f"json:{file_text(offset=1001)}"]).expect(1)
    if "no multiple of 512" not in done.stderr:
        raise Failure(done.describe("no clear line"))
    for words in (["resize", SOUND["qcow2"], "4M"], ["bench", "-w", "-c", "1", SOUND["qcow2"]],
                  ["convert", "-n", "-O", "raw", "disk.qcow2", SOUND["raw"]], ["dd", "if=disk.qcow2", f"of={SOUND['raw']}"]):
        done = context.run([context.qemu_img, *words]).expect(1)
        if "part of a file" not in done.stderr or len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("no clear line"))
    if digest(context.directory / "whole.bin") != before:
        raise Failure("the file was changed")
