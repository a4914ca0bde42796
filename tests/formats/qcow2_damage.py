#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged qcow2 images: what qemu-img refuses is refused natively, too, in its words; what it opens is opened.

    qcow2_damage.py IMAGE_NATIVE [--all]

Every header field and every field of extensions, of the LUKS header, of snapshots and bitmaps gets values that are
likely to be wrong; so do entries of L1 and L2 tables, which `map` looks at. Without --all, each field gets some of
them, other ones each day.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402
from lib.oracle import run  # noqa: E402

HEADER = {  # name: (offset, length)
    "version": (4, 4), "backing_file_offset": (8, 8), "backing_file_size": (16, 4), "cluster_bits": (20, 4),
    "size": (24, 8), "crypt_method": (32, 4), "l1_size": (36, 4), "l1_table_offset": (40, 8),
    "refcount_table_offset": (48, 8), "refcount_table_clusters": (56, 4), "nb_snapshots": (60, 4),
    "snapshots_offset": (64, 8), "incompatible_features": (72, 8), "compatible_features": (80, 8),
    "autoclear_features": (88, 8), "refcount_order": (96, 4), "header_length": (100, 4), "compression_type": (104, 1),
}
LUKS = {
    "magic": (0, 4), "luks_version": (6, 2), "cipher_name": (8, 4), "cipher_mode": (40, 4), "hash_spec": (72, 4),
    "payload_offset": (104, 4), "key_bytes": (108, 4), "iterations": (164, 4),
}
LUKS |= {f"slot{i}_{name}": (208 + 48 * i + offset, 4) for i in (0, 1, 7)
         for name, offset in (("active", 0), ("iterations", 4), ("key_offset", 40), ("stripes", 44))}
SNAPSHOT = {"l1_offset": (0, 8), "l1_size": (8, 4), "id_size": (12, 2), "name_size": (14, 2), "date": (16, 4),
            "nsec": (20, 4), "clock": (24, 8), "vm_state_size": (32, 4), "extra": (36, 4), "vm_state_large": (40, 8),
            "disk_size": (48, 8), "icount": (56, 8)}
BITMAP = {"table_offset": (0, 8), "table_size": (8, 4), "flags": (12, 4), "type": (16, 1), "granularity": (17, 1),
          "name_size": (18, 2), "extra": (20, 4)}
LUKS_TEXTS = [
    (8, b"foo\0"), (8, b"cast5\0"), (8, b"serpent\0"), (8, b"a" * 32), (40, b"a" * 32), (40, b"foo\0"),
    (40, b"foo-plain\0"), (40, b"xts-\0"), (40, b"cbc-essiv\0"), (40, b"cbc-essiv:foo\0"), (40, b"cbc-plain:\0"),
    (40, b"xts-plain64:sha256\0"), (40, b"ctr-foo\0"), (40, b"xts-essiv\0"),
    (40, b"xts-plain-plain64\0"), (72, b"a" * 32), (72, b"foo\0"), (72, b"md5\0"), (72, b"ripemd160\0"),
    (72, b"sha512\0"), (168, b"x" * 40),
]

ASCII = re.compile(r"[^\x20-\x7e]")
# What a day has: of a field's values, and of the damages that result.
VALUES_PER_FIELD = 2
PART = 0.7
# Refused by both, in other words: for a limit of ours, or where QEMU's numbers wrap around.
OWN_WORDS = ("the name of the data file has", "Could not refresh total", "Broken bitmap directory", "Keyslot",
             "the image is encrypted")


def values(length):
    """Values that are at the border of something."""
    bits = 8 * length
    near = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 21, 22, 23, 31, 32, 71, 72, 96, 103, 104, 105, 112, 128, 129, 511, 512,
            1023, 1024, 4000, 4096, 65535, 65536, 65537, 65536 + 512, 131072, 1 << 17, 1 << 22, (1 << 22) + 1, 1 << 24,
            1 << 29, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 47, 1 << 51, 1 << 55, 1 << 56, 1 << 60, 1 << 62,
            (1 << 63) - 65536, 1 << 63, (1 << 64) - 65536, (1 << 64) - 1}
    return sorted(value for value in near if value < 1 << bits)


class Check:
    def __init__(self, program, folder, takes_all):
        self.program, self.folder, self.takes_all = program, folder, takes_all
        self.count = self.failures = 0

    def ours(self, command, path):
        result = run(self.program, command, path, check=False)
        if result.returncode not in (0, 1) or not result.stdout:
            return f"died: {result.returncode} {result.stderr[:300]}"
        last = json.loads(result.stdout.splitlines()[-1])
        return None if result.returncode == 0 else last["detail"]

    def theirs(self, command, path):
        result = run("/usr/bin/qemu-img", command, "--output=json", path, check=False)
        if result.returncode == 0:
            return None
        if result.returncode < 0:
            return "died"
        lines = [line for line in result.stderr.splitlines() if "warning" not in line and not line.startswith("Some cl")]
        corrupt = "qcow2: Image is corrupt: "
        for line in lines:
            if line.startswith(corrupt):
                return line[len(corrupt):].partition("; further")[0]
        return lines[0].partition(f"Could not open '{path}': ")[2].strip() if lines else "?"

    def image(self, name, content, command="info"):
        if not self.takes_all and not daily.takes(f"{name} {command}", PART):
            return
        path = self.folder / "damaged.qcow2"
        path.write_bytes(content)
        os.truncate(path, max(len(content), 1 << 20))
        self.count += 1
        ours, theirs = self.ours(command, path), self.theirs(command, path)
        # Bytes that are no text differ in how they are shown.
        ours, theirs = ours and ASCII.sub("", ours), theirs and ASCII.sub("", theirs)
        if theirs == "died" and not (ours or "").startswith("died"):
            return
        if ours != theirs and not self.is_known(ours, theirs):
            print(f"{name} {command}: ours: {ours}\n    qemu-img: {theirs}", file=sys.stderr)
            self.failures += 1

    @staticmethod
    def is_known(ours, theirs):
        """Differences that are meant to be."""
        if ours is not None and ours.startswith("the name of the data file has"):
            return True
        if theirs is not None and theirs.startswith("Cluster size must be between"):
            return True  # version 1 is another format
        return ours is not None and theirs is not None and ours.startswith(OWN_WORDS)

    def fields(self, name, content, base, table, command="info"):
        for field, (offset, length) in table.items():
            chosen = values(length)
            if not self.takes_all:
                chosen = daily.sample(name + field, chosen, VALUES_PER_FIELD)
            for value in chosen:
                damaged = bytearray(content)
                damaged[base + offset:base + offset + length] = value.to_bytes(length, "big")
                self.image(f"{name} {field}={value:#x}", damaged, command)


def number(content, offset, length):
    return int.from_bytes(content[offset:offset + length], "big")


def extensions(content):
    """Type and offset of each."""
    offset = number(content, 100, 4)
    while number(content, offset, 4) != 0:
        yield number(content, offset, 4), offset
        offset += 8 + (number(content, offset + 4, 4) + 7) // 8 * 8
    yield 0, offset


def make(path, *options):
    run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *options, path, "2M")


def check_headers(check, folder):
    path = folder / "plain.qcow2"
    make(path)
    plain = path.read_bytes()
    check.fields("header", plain, 0, HEADER)
    for order in range(len(plain) // 4096):
        check.image(f"truncated to {order * 4096}", plain[:order * 4096])
    make(path, "-o", "compat=0.10")
    check.fields("header v2", path.read_bytes(), 0, {k: v for k, v in HEADER.items() if v[0] < 72})
    make(path, "-o", "extended_l2=on")
    check.fields("header extended", path.read_bytes(), 0, {"cluster_bits": (20, 4), "size": (24, 8)})
    for names in (["x"], ["a", "b"], ["n" * 46], [""], []):
        table = b"".join(struct.pack(">BB46s", 0, 5 + i, name.encode()) for i, name in enumerate(names))
        content = bytearray(plain)
        content[72:80] = (0x860).to_bytes(8, "big")
        content[112:120 + len(table)] = struct.pack(">II", 0x6803F857, len(table)) + table
        check.image(f"features {names}", content)


def check_extensions(check, folder):
    path = folder / "extensions.qcow2"
    make(path, "-o", f"data_file={folder / 'data.raw'}")
    content = path.read_bytes()
    for _, offset in extensions(content):
        check.fields(f"extension at {offset}", content, offset, {"type": (0, 4), "length": (4, 4)})
        for extension in (0xE2792ACA, 0x23852875, 0x0537BE77, 0x44415441):
            damaged = bytearray(content)
            damaged[offset:offset + 4] = extension.to_bytes(4, "big")
            if extension != 0x44415441:
                check.image(f"extension {extension:#x} at {offset}", damaged)
    make(path)
    run("/usr/bin/qemu-img", "bitmap", "--add", path, "one")
    run("/usr/bin/qemu-img", "bitmap", "--add", "-g", "512", path, "second one")
    content = path.read_bytes()
    offset = dict(extensions(content))[0x23852875] + 8
    check.fields("bitmaps", content, offset, {"count": (0, 4), "reserved": (4, 4), "len": (8, 8), "off": (16, 8)})
    directory = number(content, offset + 16, 8)
    check.fields("bitmap", content, directory, BITMAP)
    check.fields("second bitmap", content, directory + 32, BITMAP)
    table = number(content, directory, 8)
    check.fields("bitmap table", content, table, {"entry": (0, 8)})


def check_luks(check, folder):
    path = folder / "luks.qcow2"
    run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", path, "2M")
    content = path.read_bytes()
    offset = dict(extensions(content))[0x0537BE77] + 8
    check.fields("crypto header", content, offset, {"offset": (0, 8), "length": (8, 8)})
    luks = number(content, offset, 8)
    check.fields("luks", content, luks, LUKS)
    for position, text in LUKS_TEXTS:
        damaged = bytearray(content)
        damaged[luks + position:luks + position + len(text)] = text
        check.image(f"luks {text}", damaged)


def check_snapshots(check, folder):
    path = folder / "snapshots.qcow2"
    make(path, "-o", "cluster_size=4096")
    run("/usr/bin/qemu-img", "snapshot", "-c", "one", path)
    run("/usr/bin/qemu-img", "snapshot", "-c", "two", path)
    content = path.read_bytes()
    check.fields("snapshot", content, number(content, 64, 8), SNAPSHOT)
    check.fields("snapshot count", content, 0, {"nb_snapshots": (60, 4)})


def check_tables(check, folder):
    for name, options in {"v2": "compat=0.10", "v3": "compat=1.1", "extended": "extended_l2=on",
                          "data": f"data_file={folder / 'd2.raw'}"}.items():
        path = folder / "tables.qcow2"
        make(path, "-o", options)
        run("qemu-io", "-f", "qcow2", "-c", "write 0 200k", path)
        content = path.read_bytes()
        l1 = number(content, 40, 8)
        l2 = number(content, l1, 8) & 0x00FFFFFFFFFFFE00
        entries = {"first": (0, 8), "second": (8, 8), "fourth": (24, 8)}
        check.fields(f"{name} l1", content, l1, {"entry": (0, 8)}, "map")
        check.fields(f"{name} l2", content, l2, entries, "map")
        copied = {k: (offset, 1) for k, (offset, _) in entries.items()}
        check.fields(f"{name} l2 flags", content, l2, copied, "map")


def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = pathlib.Path(name)
        check = Check(sys.argv[1], folder, "--all" in sys.argv)
        for part in (check_headers, check_extensions, check_luks, check_snapshots, check_tables):
            part(check, folder)
    print(f"{check.count} damaged images, {check.failures} failures")
    return 1 if check.failures or check.count < 60 * daily.share() * PART else 0


if __name__ == "__main__":
    sys.exit(main())
