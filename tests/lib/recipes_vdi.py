# SPDX-License-Identifier: Apache-2.0
"""vdi: both types, sizes that are not whole blocks, discarded blocks."""

from lib.recipes import FILE_OPTIONS, GIB, KIB, MIB, Recipe, written


def discarded(maker):
    """Entries of the block map that say so, as VirtualBox leaves them behind."""
    written("image", 6 * MIB, "vdi", cluster=MIB)(maker)
    with open(maker.directory / "image", "r+b") as file:
        file.seek(512 + 4)
        file.write(b"\xfe\xff\xff\xff")


def recipes():
    makers = {"dynamic": written("image", 6 * MIB, "vdi", cluster=MIB),
              "static": written("image", 6 * MIB, "vdi", "static=on", cluster=MIB),
              "odd": written("image", 3 * MIB + 5 * 512, "vdi", cluster=64 * KIB),
              "file_options": written("image", 3 * MIB, "vdi", *FILE_OPTIONS, cluster=MIB),
              "small": written("image", 512, "vdi"),
              "long": written("image", 3 * GIB, "vdi", cluster=MIB),
              "empty": lambda maker: maker.create("image", 0, format="vdi"), "discarded": discarded}
    return [Recipe(f"vdi_{name}", make, format="vdi") for name, make in makers.items()]
