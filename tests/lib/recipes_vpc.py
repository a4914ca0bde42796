# SPDX-License-Identifier: Apache-2.0
"""VHD images by qemu-img and qemu-io."""

import dataclasses

from lib.recipes import FILE_OPTIONS, KIB, MIB, Recipe

OPTIONS = ("-f", "vpc")


def written(size, *options, commands=()):
    def make(maker):
        maker.create("image", size, *options, format="vpc")
        if commands:
            maker.io("image", *commands, format="vpc")
    return make


def foreign(size, creator, geometry=None):
    """A dynamic disk whose footers say that another program made it, perhaps of another geometry."""
    def make(maker):
        maker.create("image", size, format="vpc")
        maker.io("image", "write -P 0x31 1M 3M", format="vpc")
        path = maker.directory / "image"
        data = bytearray(path.read_bytes())
        for start in (0, len(data) - 512):
            footer = data[start:start + 512]
            footer[28:32] = creator
            if geometry is not None:
                footer[56:58] = geometry[0].to_bytes(2, "big")
                footer[58:60] = bytes(geometry[1:])
            footer[64:68] = bytes(4)
            footer[64:68] = (~sum(footer) & 0xffffffff).to_bytes(4, "big")
            data[start:start + 512] = footer
        path.write_bytes(data)
    return make


def recipes():
    some = ("write -P 0x11 0 64k", "write -P 0x22 3M 1M", "write -P 0x33 7340544 1k", "write -P 0 9M 64k")
    across = ("write -P 0x44 2093056 8k", "write -P 0x55 6M 4M")
    found = [
        Recipe("vpc_empty", written(10 * MIB), format="vpc"),
        Recipe("vpc_dynamic", written(16 * MIB, commands=some), format="vpc"),
        Recipe("vpc_blocks_in_disorder", written(24 * MIB, commands=across + ("write -P 0x66 0 1k",)), format="vpc"),
        Recipe("vpc_fixed", written(16 * MIB, "subformat=fixed", commands=some), format="vpc", options=OPTIONS),
        Recipe("vpc_fixed_empty", written(3 * MIB, "subformat=fixed"), format="vpc", options=OPTIONS),
        Recipe("vpc_file_options", written(16 * MIB, *FILE_OPTIONS, commands=some[:2]), format="vpc"),
        Recipe("vpc_force_size", written(16 * MIB + 4096, "force_size", commands=some), format="vpc"),
        Recipe("vpc_fixed_force_size", written(5 * MIB + 512, "subformat=fixed,force_size", commands=some[:2]),
               format="vpc", options=OPTIONS),
        Recipe("vpc_small", written(512 * KIB, commands=("write -P 0x77 100k 100k",)), format="vpc"),
        Recipe("vpc_large", written(600 << 30, commands=("write -P 0x77 0 1k", "write -P 0x78 500G 1k")), format="vpc"),
    ]
    for name, creator in (("win", b"win "), ("virtual_pc", b"vpc "), ("tap", b"tap\0"), ("citrix", b"CTXS"),
                          ("disk2vhd", b"d2v "), ("other", b"abcd")):
        found.append(Recipe(f"vpc_by_{name}", foreign(20 * MIB, creator), format="vpc"))
    found.append(Recipe("vpc_geometry_smaller", foreign(20 * MIB, b"vpc ", (100, 4, 17)), format="vpc"))
    found.append(Recipe("vpc_geometry_largest", foreign(20 * MIB, b"vpc ", (65535, 16, 255)), format="vpc"))
    return [dataclasses.replace(recipe, is_checked=False) for recipe in found]
