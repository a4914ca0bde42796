# SPDX-License-Identifier: Apache-2.0
"""qcow, version 1: plain, compressed, with a backing file."""

from lib.recipes import FILE_OPTIONS, KIB, MIB, Recipe, source_make, written


def compressed(maker):
    source_make(maker, 64 * KIB, 2 * MIB)
    try:
        maker.convert("source", "image", "-f", "raw", "-O", "qcow", "-c")
    except ValueError:
        pass  # qemu-img 7.2 ends with 1 and says nothing, although the image is complete
    maker.run("/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "qcow", "source", "image")


def small(maker):
    """Both sorts of clusters, few of them."""
    maker.create("image", 64 * KIB, format="qcow")
    maker.io("image", "write -c -P 1 0 4k", "write -P 2 8k 512", "write -c -P 3 16k 4k", format="qcow")


def backed(maker):
    maker.create("base", 3 * MIB + 512, format="vdi")
    maker.io("base", "write -P 7 0 1M", "write -P 8 2M 512k", format="vdi")
    maker.create("image", 4 * MIB, format="qcow", backing="base", backing_format="vdi")
    maker.io("image", "write -P 9 64k 100k", format="qcow")


def encrypted(maker):
    maker.run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow", "--object", "secret,id=s,data=geheim", "-o",
              "encrypt.format=aes,encrypt.key-secret=s", "image", "1M")


def recipes():
    return [Recipe("qcow_plain", written("image", 3 * MIB, "qcow", cluster=4 * KIB), format="qcow"),
            Recipe("qcow_file_options", written("image", 2 * MIB, "qcow", *FILE_OPTIONS, cluster=4 * KIB), format="qcow"),
            Recipe("qcow_odd", written("image", MIB + 1536, "qcow", cluster=4 * KIB), format="qcow"),
            Recipe("qcow_compressed", compressed, format="qcow"),
            Recipe("qcow_backed", backed, format="qcow", chain=True),
            Recipe("qcow_encrypted", encrypted, format="qcow", is_encrypted=True)]
