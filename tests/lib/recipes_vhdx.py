# SPDX-License-Identifier: Apache-2.0
"""VHDX images by qemu-img and qemu-io."""

from lib.recipes import FILE_OPTIONS, MIB, Recipe


def written(size, *options, commands=()):
    def make(maker):
        maker.create("image", size, *options, format="vhdx")
        if commands:
            maker.io("image", *commands, format="vhdx")
    return make


def recipes():
    some = ("write -P 0x11 0 64k", "write -P 0x22 3M 1M", "write -P 0x33 7340544 1k", "write -P 0 9M 64k",
            "write -P 0x44 16773120 8k")
    found = [
        Recipe("vhdx_empty", written(10 * MIB), format="vhdx"),
        Recipe("vhdx_dynamic", written(40 * MIB, commands=some), format="vhdx"),
        Recipe("vhdx_fixed", written(24 * MIB, "subformat=fixed", commands=some), format="vhdx"),
        Recipe("vhdx_zero_blocks_off", written(24 * MIB, "block_state_zero=off", commands=some), format="vhdx"),
        Recipe("vhdx_file_options", written(16 * MIB, *FILE_OPTIONS, commands=some[:2]), format="vhdx"),
        Recipe("vhdx_log_size", written(24 * MIB, "log_size=8M", commands=some), format="vhdx"),
        Recipe("vhdx_odd_size", written(24 * MIB + 512 * 3, commands=some), format="vhdx"),
        Recipe("vhdx_beyond_a_chunk", written(9 << 30, "block_size=1M",
                                              commands=("write -P 0x51 0 1M", "write -P 0x52 4095M 3M",
                                                        "write -P 0x53 8191M 2M")), format="vhdx"),
        Recipe("vhdx_large", written(60 << 40, commands=("write -P 0x54 0 64k", "write -P 0x55 59T 64k")), format="vhdx"),
    ]
    for mib in (1, 2, 8, 32, 256):
        found.append(Recipe(f"vhdx_block_{mib}m", written(40 * MIB, f"block_size={mib}M", commands=some), format="vhdx"))
    return found
