# SPDX-License-Identifier: Apache-2.0
"""Files that begin like an image, or nearly so: found to be one as by qemu-img, never taken for raw."""

import json

from lib import daily
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
CLOOP = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"


def bochs(version):
    return b"Bochs Virtual HD Image".ljust(32, b"\0") + b"Redolog".ljust(16, b"\0") + b"Growing".ljust(16, b"\0") + version


# What a file begins with, and its name where that counts. Some are images, some only look like one.
HEADS = {
    "luks1": b"LUKS\xba\xbe\0\1", "luks2": b"LUKS\xba\xbe\0\2", "luks_cut": b"LUKS\xba\xbe",
    "qcow1": b"QFI\xfb\0\0\0\1", "qcow0": b"QFI\xfb\0\0\0\0", "qed": b"QED\0", "qed_text": b"QED ",
    "vpc": b"conectix", "vhdx": b"vhdxfile", "vdi": bytes(64) + b"\x7f\x10\xda\xbe", "vdi_shifted": bytes(65) + b"\x7f\x10\xda\xbe",
    "cowd": b"COWD", "kdmv": b"KDMV", "kdm": b"KDM",
    "parallels": b"WithoutFreeSpace\2\0\0\0", "parallels_ext": b"WithouFreSpacExt\2\0\0\0",
    "parallels_version": b"WithoutFreeSpace\3\0\0\0",
    "cloop": CLOOP, "cloop_other": CLOOP.replace(b"iso9660", b"ext2"),
    "bochs1": bochs(b"\0\0\1\0"), "bochs2": bochs(b"\0\0\2\0"), "bochs3": bochs(b"\0\0\3\0"),
    "bochs_longer": bochs(b"\0\0\2\0").replace(b"Image\0", b"Images"),
    "any.dmg": b"x", ".y.dmg": b"x", "any.DMG": b"x", "dmg": b"x", "any.dmg.raw": b"x", "name.with.dmg": b"KDMV",
    "vmdk_text": b"# Disk DescriptorFile\nversion=1\n", "vmdk_blank": b"#x\n \n   \r\nversion=3\r\n",
    "vmdk_empty_line": b"#x\n\nversion=1\n", "vmdk_version": b"version=2\n", "vmdk_version_4": b"version=4\n",
    "vmdk_version_12": b"version=12\n", "vmdk_blanks": b" version=1\n", "vmdk_cut": b"#x\nversion=1",
    "vmdk_crlf": b"#x\r\nversion=1\r\n", "vmdk_comments": b"#" * 600, "vmdk_comment_lines": b"#\n" * 256,
    "vmdk_blank_line_first": b"  \nversion=1\n", "vmdk_blanks_only": b" " * 600, "vmdk_blanks_cr": b" \r\r\nversion=1\n",
}


def is_raw(done):
    return done.status == 0 and json.loads(done.stdout)["format"] == "raw"


@test()
def recognised(context):
    """Whatever qemu-img finds to be of another format is not raw."""
    files = [(name, head, length) for name, head in HEADS.items() for length in (len(head), 512, 5000)]
    for name, head, length in daily.sample("recognised", files, 20):
        (context.directory / name).write_bytes(head[:length] + bytes(max(length - len(head), 0)))
        for image in (name, f"file:{name}"):
            reference, own = (context.run([program, "info", "--output=json", image]) for program in (REFERENCE, context.qemu_img_beside))
            if is_raw(own) != is_raw(reference) or (is_raw(own) and json.loads(own.stdout) != json.loads(reference.stdout)):
                raise Failure(own.describe(f"{length} bytes") + "\n" + reference.describe("qemu-img:"))
