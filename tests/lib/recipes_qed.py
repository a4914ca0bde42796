# SPDX-License-Identifier: Apache-2.0
"""qed: lengths of clusters and tables, backing files, zero clusters, images that need a check."""

from lib.recipes import FILE_OPTIONS, KIB, MIB, Recipe, written


def backed(backing_format, size=4 * MIB):
    def make(maker):
        maker.create("base", 3 * MIB, format=backing_format)
        maker.io("base", "write -P 7 0 1M", "write -P 8 2M 512k", format=backing_format)
        maker.create("image", size, format="qed", backing="base", backing_format=backing_format)
        maker.io("image", "write -P 9 64k 100k", "write -z 2M 128k", format="qed")
    return make


def needs_check(maker):
    """As an interrupted writer leaves it."""
    written("image", 4 * MIB, "qed")(maker)
    with open(maker.directory / "image", "r+b") as file:
        file.seek(16)
        file.write(b"\x02")


def leaked(maker):
    """The L2 table forgets a cluster, and has another one twice."""
    maker.create("image", 4 * MIB, "cluster_size=4096", format="qed")
    maker.io("image", "write -P 1 0 64k", format="qed")
    with open(maker.directory / "image", "r+b") as file:
        file.seek(40)
        file.seek(int.from_bytes(file.read(8), "little"))
        table = int.from_bytes(file.read(8), "little")
        file.seek(table)
        first = file.read(8)
        file.seek(table + 16)
        file.write(first + bytes(8))


def recipes():
    found = {f"cluster{cluster}_table{table}": written("image", 24 * cluster, "qed", f"cluster_size={cluster}",
                                                       f"table_size={table}", cluster=cluster)
             for cluster, table in ((4 * KIB, 2), (4 * KIB, 16), (64 * KIB, 4), (MIB, 2))}
    found |= {"file_options": written("image", 2 * MIB, "qed", *FILE_OPTIONS), "odd": written("image", MIB + 512, "qed"), "needs_check": needs_check, "leaked": leaked,
              "long": lambda maker: (maker.create("image", "100G", format="qed"),
                                     maker.io("image", "write -P 3 99G 64k", format="qed"))}
    chains = {"on_raw": backed("raw"), "on_qcow2": backed("qcow2"), "on_vdi": backed("vdi", 5 * MIB),
              "on_qcow": backed("qcow")}
    return ([Recipe(f"qed_{name}", make, format="qed") for name, make in found.items()] +
            [Recipe(f"qed_{name}", make, format="qed", chain=True) for name, make in chains.items()])
