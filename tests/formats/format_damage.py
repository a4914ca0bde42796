#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged images of the simple formats: every field of the header with odd values, tables, and truncations.

    format_damage.py IMAGE_NATIVE [NAME]

Whatever both read has the same content, and what qemu-img refuses is refused. What ours refuses, in one line, is damage
that qemu-img does not see. A part of the cases, by the day (lib/daily.py); all that NAME occurs in, when it is given.
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import (daily, dmg_writer, recipes, recipes_bochs, recipes_cloop, recipes_dmg, recipes_parallels,  # noqa: E402
                 recipes_qcow, recipes_vmdk, vmdk_writer)

MIB = 1 << 20


def dmg_fields(content):
    """Of the trailer, the resource fork, its first table, and that one's first chunks behind a comment."""
    trailer = len(content) - 512
    fork = int.from_bytes(content[trailer + 0x28:trailer + 0x30], "big")
    table = content.index(b"mish")
    return ([(trailer + offset, length) for offset, length in
             [(0, 4), (0x18, 8), (0x28, 8), (0x30, 8), (0x38, 4), (0x3c, 4), (0xd8, 8), (0xe0, 8), (0x1ec, 8)]] +
            [(fork, 4), (fork + 8, 4), (table - 4, 4)] +
            [(table + offset, length) for offset, length in [(0, 4), (8, 8), (16, 8), (24, 8), (0xc8, 4)]] +
            [(table + 204 + 40 * entry + offset, length) for entry in (1, 2, 3)
             for offset, length in [(0, 4), (8, 8), (16, 8), (24, 8), (32, 8)]])


def vmdk(make):
    """Recipes of VMDKs give them their suffix."""
    def make_image(maker):
        make(maker)
        (maker.directory / recipes_vmdk.NAME).rename(maker.directory / "image")
    return make_image


def bytes_of(content):
    return vmdk(recipes_vmdk.written({recipes_vmdk.NAME: content}))


GRAINS = {0: b"a" * 4096, 1: b"b" * 4096, 9: bytes(range(256)) * 16, 600: b"c" * 4096}
STREAM = vmdk_writer.stream(8 * 1024, 8, GRAINS)
STREAM_END = len(STREAM) - 1024  # of its footer
COWD = vmdk_writer.cowd(8 * 1024, 8, GRAINS)
# An extent that only a descriptor leads to.
SESPARSE_NAME, SESPARSE_LEN = "damaged-sesparse.vmdk", 8 * 1024
SESPARSE = vmdk_writer.sesparse(SESPARSE_LEN, GRAINS, {3: vmdk_writer.ZERO, 4: vmdk_writer.UNMAPPED})
DESCRIPTORS = {"vmdk sesparse": (SESPARSE_NAME, vmdk_writer.descriptor("seSparse", [f'RW {SESPARSE_LEN} SESPARSE "{SESPARSE_NAME}"']))}
SPARSE_HEADER = [(0, 4), (4, 4), (8, 4), (12, 8), (20, 8), (28, 8), (36, 8), (44, 4), (48, 8), (56, 8), (64, 8), (72, 1), (73, 4), (77, 2)]
# Markers: the grains' (sector and length of the data, which the file, the grain and a buffer bound), and those before
# tables, directory and footer.
GRAIN_PLACES = [128 * 512, 129 * 512]
MARKERS = [(place + at, length) for place in GRAIN_PLACES for at, length in ((0, 8), (8, 4))] + [
    (STREAM_END - 512 + at, length) for at, length in ((0, 8), (8, 4), (12, 4))]

# Per name, which begins with the format: how its image is made, byte order, (offset, length) of fields, and how many of the
# first table's bytes count.
FORMATS = {
    "vdi": (recipes.written("image", 6 * MIB, "vdi", cluster=MIB), "little",
            [(64, 4), (68, 4), (76, 4), (340, 4), (344, 4), (360, 4), (368, 8), (376, 4), (384, 4), (388, 4), (424, 4), (440, 4),
             (512, 4), (516, 4), (520, 4)]),
    "qed": (recipes.written("image", 2 * MIB, "qed"), "little",
            [(0, 4), (4, 4), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8), (56, 4), (60, 4), (65536, 8),
             (327680, 8), (327688, 8), (327704, 8)]),
    "qcow": (recipes_qcow.compressed, "big",
             [(4, 4), (8, 8), (16, 4), (24, 8), (32, 1), (33, 1), (36, 4), (40, 8), (48, 8), (4096, 8), (4104, 8), (4112, 8)]),
    "parallels": (recipes_parallels.extension(), "little",
                  [(0, 4), (16, 4), (28, 4), (32, 4), (36, 8), (44, 4), (48, 4), (56, 8), (64, 4), (68, 4), (72, 4)]),
    "bochs": (recipes_bochs.redolog(2, MIB), "little",
              [(0, 4), (32, 4), (48, 4), (64, 4), (68, 4), (72, 4), (76, 4), (80, 4), (88, 8), (512, 4), (516, 4)]),
    "cloop": (recipes_cloop.blocks(4096, 100), "big",
              [(128, 4), (132, 4), (136, 8), (144, 8), (152, 8), (160, 8)]),
    "dmg": (recipes_dmg.image([dmg_writer.ZLIB, dmg_writer.RAW], [65536, 4096, 65536, 512], fork=True), "big", dmg_fields),
    "vmdk sparse": (vmdk(recipes_vmdk.created(3 * MIB)), "little",
                    SPARSE_HEADER + [(26 * 512, 4), (26 * 512 + 4, 4), (27 * 512, 4), (27 * 512 + 4, 4), (51 * 512, 4)]),
    "vmdk stream": (bytes_of(STREAM), "little", SPARSE_HEADER + MARKERS + [(STREAM_END + at, length) for at, length in SPARSE_HEADER]),
    "vmdk cowd": (bytes_of(COWD), "little",
                  [(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 4), (28, 4), (2048, 4), (2560, 4), (2564, 4)]),
    # Both headers, the first of the directory's entries, and four of its table's: grains, one of zeros, one that was discarded.
    "vmdk sesparse": (bytes_of(SESPARSE), "little",
                      [(8 * number, 8) for number in range(26)] + [(512 + 8 * number, 8) for number in range(4)] +
                      [(8 * 512, 8), (8 * 512 + 8, 8)] + [(9 * 512 + 8 * number, 8) for number in (0, 1, 3, 4)]),
}
CASES_PER_DAY = 20


def values(old, length):
    top = 1 << (8 * length)
    found = {0, 1, 2, top - 1, top - 2, top >> 1, (top >> 1) - 1, old + 1, old - 1, old * 2, old // 2, old ^ 512, old + 512,
             1 << 9, 1 << 16, 1 << 20, 1 << 26, 1 << 31, 1 << 62}
    return sorted(value for value in found if 0 <= value < top and value != old)


def damages(name, content):
    _, order, fields = FORMATS[name]
    fields = fields(content) if callable(fields) else fields
    for offset, length in fields:
        old = int.from_bytes(content[offset:offset + length], order)
        for value in values(old, length):
            yield (f"{name} field {offset} = {value:#x}", content[:offset] + value.to_bytes(length, order) + content[offset + length:])
    for cut in {1, 60, 64, 300, 511, 512, 513, 600, 4096, 65536, len(content) // 2, len(content) - 512, len(content) - 1}:
        yield f"{name} cut at {cut}", content[:cut]


def run(*arguments):
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, errors="replace", check=False,
                          timeout=60)


def content_id(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return path.stat().st_size, digest.hexdigest()


def problem(native, name, image, folder, sound):
    """None, or what is wrong. `sound` is the image without its damage."""
    name = name.split()[0]
    reference_out, own_out = folder / "reference", folder / "own"
    for path in (reference_out, own_out):
        path.unlink(missing_ok=True)
    own_info = run(native, "info", "-f", name, image)
    if own_info.returncode not in (0, 1):
        return f"info: exit status {own_info.returncode}: {own_info.stderr}"
    reference = run("/usr/bin/qemu-img", "info", "--output=json", "-f", name, image)
    source = image
    if "Could not read l1 backup table" in reference.stderr:
        source = sound  # of a vmdk, whose redundant directory is where no file reaches: the other one is used, and is as it was
        reference = run("/usr/bin/qemu-img", "info", "--output=json", "-f", name, source)
    if reference.returncode != 0:
        return "info succeeds, unlike qemu-img's: " + reference.stderr if own_info.returncode == 0 else None
    if own_info.returncode != 0:
        return None
    size = int(reference.stdout.split('"virtual-size": ')[1].split(",")[0])
    if name == "dmg" and size == 0:
        return None  # its trailer says so, and is not believed
    if f'"virtual-size": {size},' not in own_info.stdout:
        return f"info: another length than {size}: {own_info.stdout}"
    own_check = run(native, "check", "-f", name, image)
    if own_check.returncode not in (0, 1):
        return f"check: exit status {own_check.returncode}: {own_check.stderr}"
    if size > 64 * MIB:
        return None
    own_out.touch()
    own = run(native, "convert", "-f", name, "-O", "raw", "--target", own_out, image)
    if own.returncode not in (0, 1):
        return f"convert: exit status {own.returncode}: {own.stderr}"
    reference = run("/usr/bin/qemu-img", "convert", "-f", name, "-O", "raw", source, reference_out)
    if own.returncode != 0:
        return None
    if reference.returncode != 0:
        return "convert succeeds, unlike qemu-img's: " + reference.stderr
    is_mended = "redundant" in own.stdout + own.stderr  # VMDK's second directory, and a warning; qemu-img has one only
    return None if is_mended or content_id(own_out) == content_id(reference_out) else "another content"


def main():
    native = pathlib.Path(sys.argv[1]).resolve()
    pattern = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"seed {daily.seed()}")
    failures = []
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = pathlib.Path(name_of_folder)
        cases = []
        for name, (make, *_) in FORMATS.items():
            directory = folder / name.replace(" ", "-")
            directory.mkdir()
            make(recipes.Maker(directory))
            cases += [(name, *damage) for damage in damages(name, (directory / "image").read_bytes()) if pattern in damage[0]]
        if not pattern:
            cases = daily.sample("format damage", cases, CASES_PER_DAY)
        image = folder / "damaged"
        for name, what, content in cases:
            part, descriptor = DESCRIPTORS.get(name, (image.name, None))
            if descriptor is not None:
                image.write_bytes(descriptor)
            (folder / part).write_bytes(content)
            wrong = problem(native, name, image, folder, folder / name.replace(" ", "-") / "image")
            if wrong:
                failures.append(what)
                print(f"not ok {what}: {wrong}")
        print(f"{len(cases) - len(failures)} of {len(cases)} cases are as expected")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
