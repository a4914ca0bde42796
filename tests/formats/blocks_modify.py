#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Existing images of formats with a table of blocks (guest/image/write/block_modify.h) that are written to, natively: qemu-img shows
what was written and finds them sound, and wherever the job is cut off by a crash, also with writes that were never
flushed left out, the image opens and each sector is as before or as one of the writes has it.

    blocks_modify.py MODIFY_NATIVE IMAGE_NATIVE [NAME]

NAME: only cases in whose name it is found, a regular expression; without one, another one each day.
"""
import os
import pathlib
import re
import shutil
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import crashes, daily, vhd_images  # noqa: E402
from qcow2_modify import LEAKS, MIB, must, run, script  # noqa: E402

REFERENCE = "/usr/bin/qemu-img"
STATE_COUNT = 60 if os.environ.get("INSTAR_TEST_ALL") else 2
DAMAGE_COUNT = 100 if os.environ.get("INSTAR_TEST_ALL") else 5  # of each case
CASE_COUNT = 1  # each day
UNIT = 512


class Case:
    def __init__(self, name, format, size=5 * MIB, backing=False, **options):
        self.name, self.format, self.size, self.backing, self.options = name, format, size, backing, options
        self.grows = format in ("qed", "vpc", "vhdx", "vmdk") and options.get("subformat") != "fixed"

    def make(self, folder, dice):
        image = folder / "image"
        words = ["-o", ",".join(f"{key}={value}" for key, value in self.options.items())] if self.options else []
        if self.backing:
            (folder / "base").write_bytes(dice.randbytes(self.size // 2) + b"\x5a" * (self.size // 4))
            words += ["-b", folder / "base", "-F", "raw"]
        must(REFERENCE, "create", "-q", "-f", self.format, *words, image, self.size)
        self.io(image, *(f"write -P {i + 1} {dice.randrange(self.size // UNIT - 300) * UNIT} {dice.choice([UNIT, 4096, 150 * UNIT])}"
                         for i in range(8)))

    def io(self, image, *commands):
        must("qemu-io", "-f", self.format, *(word for command in commands for word in ("-c", command)), image)

    def shown(self, image):
        must(REFERENCE, "convert", "-f", self.format, "-O", "raw", image, image.parent / "shown")
        return (image.parent / "shown").read_bytes()

    def try_shown(self, image):
        """None: qemu-img cannot read it."""
        try:
            return self.shown(image)
        except RuntimeError:
            return None

    def contents(self, folder):
        """Of all files that a job may look at, by the names that it has for them."""
        found = {path.name: path.read_bytes() for path in folder.glob("image*")}
        return found | ({str(folder / "base"): (folder / "base").read_bytes()} if self.backing else {})

    def put(self, folder, contents):
        """As contents has it, but for what is not changed."""
        for name, content in contents.items():
            if "/" not in name:
                (folder / name).write_bytes(content)

    def replayed(self, image):
        """The image as QEMU can read it, which opens no vhdx whose log needs a replay."""
        if self.format != "vhdx":
            return image
        seen = image.parent / "replayed"
        seen.write_bytes(image.read_bytes())
        must(REFERENCE, "check", "-r", "all", "-f", "vhdx", seen)
        return seen

    def errors(self, image, may_leak):
        """By qemu-img where it can tell: what a check finds, or nothing."""
        found = run(REFERENCE, "check", "-f", self.format, image)
        # A count that was to become true with the entries that come next: QEMU writes it first, too.
        is_count = may_leak and "1 errors" in found.stdout and "allocated blocks mismatch" in found.stdout + found.stderr
        is_sound = found.returncode in (0, 63) + ((LEAKS,) if may_leak else ()) or is_count
        return "" if is_sound else f"qemu-img check: {found.returncode} {found.stdout}{found.stderr}"

    def steps(self, dice, count):
        for _ in range(count):
            unit = dice.choice([512, 4096, 65536])
            first = dice.randrange(self.size // unit)
            length = min(dice.choice([1, 1, 2, 5, 20, 64]), self.size // unit - first) * unit
            yield ("z", first * unit, length, 0) if dice.random() < 0.3 else ("w", first * unit, min(length, 4 * MIB), dice.randrange(1, 255))
            if dice.random() < 0.1:
                yield ("f",)


class Child(Case):
    """A differencing disk, which QEMU does not read, and which has some sectors of some blocks. `native` reads it."""

    native = None

    def __init__(self, name, format, **options):
        super().__init__(name, format, size=9 * MIB, **options)
        self.grows = False

    def make(self, folder, dice):
        words = ["-o", ",".join(f"{key}={value}" for key, value in self.options.items())]
        for name in "base", "image":
            must(REFERENCE, "create", "-q", "-f", self.format, *words, folder / name, self.size)
            self.io(folder / name, *(f"write -P {dice.randrange(1, 255)} {block * MIB} {MIB - 512 * dice.randrange(9)}" for block in (0, 1, 3, 5, 8)))
        blocks = {block: sorted(dice.sample(range(2048), 300)) for block in range(2)}
        if self.format == "vpc":
            vhd_images.make_vhd_child(folder / "image", folder / "base", "base", blocks)
        else:
            linkage = vhd_images.Vhdx(folder / "base").linkage()
            states = {block: (7, sectors) for block, sectors in blocks.items()}
            vhd_images.make_vhdx_child(folder / "image", folder / "base", linkage, ".\\base",
                                       {**states, **{block: (0, None) for block in (2, 4, 6, 7)}})
        for name in "crashed", "damage":
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(folder / "base", folder / name / "base")

    def shown(self, image):
        (image.parent / "shown").write_bytes(b"")
        must(Child.native, "convert", "-O", "raw", "--target", "shown", "-f", self.format, image.name, cwd=image.parent)
        return (image.parent / "shown").read_bytes()

    def contents(self, folder):
        return {name: (folder / name).read_bytes() for name in ("image", "base")}

    def replayed(self, image):
        seen = image.parent / "replayed"
        seen.write_bytes(image.read_bytes())
        must(Child.native, "check", "--repair", "all", seen)
        return seen

    def errors(self, image, may_leak):
        return ""


class Parts(Case):
    """A vmdk of two files and a descriptor."""

    def make(self, folder, dice):
        first = self.size // 2 // 65536 * 65536
        for name, length in ("image", first), ("second", self.size - first):
            must(REFERENCE, "create", "-q", "-f", "vmdk", "-o", f"subformat={self.options['subformat']}", folder / name, length)
        mark = "f001" if "Flat" in self.options["subformat"] else "s001"
        (folder / "second").unlink()
        os.rename(folder / f"second-{mark}", folder / f"image-{mark}2")
        text = (folder / "image").read_text()
        line = next(line for line in text.splitlines() if line.startswith("RW "))
        other = line.replace(f"-{mark}", f"-{mark}2").replace(f"RW {first // UNIT} ", f"RW {(self.size - first) // UNIT} ")
        (folder / "image").write_text(text.replace(line, f"{line}\n{other}"))
        self.io(folder / "image", *(f"write -P {i + 1} {dice.randrange(self.size // UNIT - 300) * UNIT} {dice.choice([UNIT, 4096, 150 * UNIT])}"
                                    for i in range(8)))


CASES = [
    Child("vhd-child", "vpc", force_size="on"),
    Child("vhdx-child", "vhdx", block_size="1M"),
    Parts("vmdk-parts", "vmdk", subformat="twoGbMaxExtentSparse"),
    Parts("vmdk-flat-parts", "vmdk", subformat="twoGbMaxExtentFlat"),
    Case("vdi", "vdi"),
    Case("vdi-static", "vdi", static="on"),
    Case("vhd", "vpc", force_size="on"),
    Case("vhd-fixed", "vpc", subformat="fixed", force_size="on"),
    Case("qed", "qed"),
    Case("qed-backing", "qed", backing=True),
    Case("qed-small", "qed", cluster_size=4096, table_size=2, size=12 * MIB + 512 * 7),
    Case("parallels", "parallels"),
    Case("parallels-small", "parallels", cluster_size=65536),
    Case("vmdk", "vmdk"),
    Case("vmdk-zeroed", "vmdk", zeroed_grain="on"),
    Case("qcow", "qcow"),
    Case("qcow-backing", "qcow", backing=True, size=4 * MIB),
    Case("vhdx", "vhdx"),
    Case("vhdx-small", "vhdx", block_size="1M", block_state_zero="off", size=9 * MIB),
    Case("vhdx-fixed", "vhdx", subformat="fixed"),
]


def expect_sound(case, native, image, may_leak):
    """By qemu-img where it can tell, and by us."""
    if errors := case.errors(image, may_leak):
        raise RuntimeError(errors)
    if not may_leak:
        must(native, "check", image)


def test_random(case, modify, native, folder):
    dice = daily.dice(f"blocks_modify {case.name}")
    case.make(folder, dice)
    image, record = folder / "image", folder / "record"
    for _ in range(2 if os.environ.get("INSTAR_TEST_ALL") else 1):
        old = case.shown(image)
        contents = case.contents(folder)
        steps = list(case.steps(dice, 20))
        must(modify, case.format, "image", cwd=folder, input=script(steps), env={**os.environ, "NATIVE_RECORD": str(record)})
        expect_sound(case, native, image, may_leak=False)
        # Not what qemu-io makes of the same steps: in a qed image it shows the backing file around what it writes into zeros.
        expected = bytearray(old)
        for step in steps:
            if step[0] != "f":
                expected[step[1]:step[1] + step[2]] = bytes([step[3]]) * step[2]
        if case.shown(image) != expected:
            raise RuntimeError("the disk is not what was written")
        allowed = {}
        for step in steps:
            for at in range(step[1], step[1] + step[2], UNIT) if step[0] != "f" else ():
                allowed.setdefault(at, {old[at:at + UNIT]}).add(bytes([step[3]]) * UNIT)
        crashed = folder / "crashed"
        crashed.mkdir(exist_ok=True)
        for what, state in crashes.states(record, contents, dice, STATE_COUNT):
            case.put(crashed, state)
            try:
                verify(case, native, modify, crashed / "image", old, allowed)
            except RuntimeError as error:
                raise RuntimeError(f"{what}: {error}") from error


def test_resize(case, native, folder):
    """The disk is as long as before or as afterwards, and what is new reads as zeros."""
    if not case.grows:
        return
    dice = daily.dice(f"blocks_modify resize {case.name}")
    case.make(folder, dice)
    image, record, crashed = folder / "image", folder / "record", folder / "crashed"
    crashed.mkdir()
    contents = case.contents(folder)
    old = case.shown(image)
    length = dice.choice([case.size + UNIT, case.size + 20 * MIB, case.size + 100 * MIB])
    must(native, "resize", "--size", length, "image", cwd=folder, env={**os.environ, "NATIVE_RECORD": str(record)})
    expect_sound(case, native, image, may_leak=False)
    for what, state in [*crashes.states(record, contents, dice, STATE_COUNT), ("the end", case.contents(folder))]:
        case.put(crashed, state)
        new = case.shown(case.replayed(crashed / "image"))
        if len(new) not in (len(old), length) or new[:len(old)] != old or new.count(0, len(old)) != len(new) - len(old):
            raise RuntimeError(f"{what}: the disk is another one")
    if len(new) != length:
        raise RuntimeError("the disk is not longer")


def damages(case, image, dice):
    """Words of a table that become others, as (offset, value), so that blocks are nowhere, or two at one place; None: none is repaired."""
    content = image.read_bytes()
    order = "big" if case.format == "vpc" else "little"

    def word(offset):
        return int.from_bytes(content[offset:offset + 4], order)

    tables = {"vpc": lambda: [(1536, -(-case.size // (2 * MIB)))], "vdi": lambda: [(word(0x154), word(0x180))], "parallels": lambda: [(64, word(32))],
              "qed": lambda: [(word(word(40)), 65536)],
              "vmdk": lambda: [(word(word(field) * 512 + 4 * index) * 512, 512) for field in (56, 48)
                               for index in range(-(-case.size // (32 * MIB)))]}
    if case.format not in tables or case.options.get("subformat") or case.options.get("table_size") or isinstance(case, Child):
        return None
    found = []
    for table, count in tables[case.format]():
        used = [at for at in range(table, table + 4 * count, 4) if word(at) not in (0, 1, 0xffffffff, 0xfffffffe)]
        for at in dice.sample(used, min(len(used), 3)):
            value = dice.choice([0x7f000000, word(dice.choice(used)) if case.format not in ("parallels", "qed") else 0x7f000000])
            found.append((at, value.to_bytes(4, order)))
    return found


def log_of(image):
    """The same for a log that has to be replayed: the start of the block allocation table, and something of a block."""
    vhdx = vhd_images.Vhdx(image)
    table, other = bytes(vhdx.data[vhdx.bat:vhdx.bat + 4096]), bytes(range(256)) * 16
    block = next(entry & ~(MIB - 1) for entry in struct.unpack("<512Q", table) if entry & 7 == 6)
    vhdx.data[vhdx.bat:vhdx.bat + 4096] = bytes(4096)
    identifier = bytes(range(16))
    changes = [[(vhdx.bat, table), (block + 8192, other)], [(vhdx.bat, table), (block + 16384, 12288), (block, other)]]
    vhdx.set_log(identifier, [(0, vhd_images.log_entry(identifier, 5, 0, changes[0], len(vhdx.data))),
                              (65536, vhd_images.log_entry(identifier, 105, 65536, changes[1], len(vhdx.data)))])
    vhdx.save()
    return [(0, b"vhdx")]  # as it is


def test_repair(case, native, folder):
    """Wherever check -r all is cut off (of a qed, leaks stay), the next one ends with what the first would have ended with, and takes nothing more away."""
    dice = daily.dice(f"blocks_modify repair {case.name}")
    case.make(folder, dice)
    image, record, crashed = folder / "image", folder / "record", folder / "crashed"
    found = log_of(image) if case.format == "vhdx" and not isinstance(case, Child) else damages(case, image, dice)
    if not found:
        return
    crashed.mkdir()
    with open(image, "r+b") as file:
        for offset, value in found:
            file.seek(offset)
            file.write(value)
    contents = case.contents(folder)
    must(native, "check", "--repair", "all", "image", cwd=folder, env={**os.environ, "NATIVE_RECORD": str(record)})
    expect_sound(case, native, image, may_leak=case.format == "qed")
    expected = case.shown(image)
    for what, state in crashes.states(record, contents, dice, STATE_COUNT):
        (crashed / "image").write_bytes(state["image"])
        must(native, "check", "--repair", "all", crashed / "image")
        expect_sound(case, native, crashed / "image", may_leak=case.format == "qed")
        if case.shown(crashed / "image") != expected:
            raise RuntimeError(f"{what}: a second repair makes another disk")


def test_damage(case, modify, native, folder):
    """An image whose metadata is damaged anywhere is refused, and stays as it is; or the disk is what it was, but for the write."""
    dice = daily.dice(f"blocks_modify damage {case.name}")
    case.make(folder, dice)
    image = folder / "image"
    sound = image.read_bytes()
    places = [at for at, byte in enumerate(sound[:5 * MIB]) if byte and (at < 4096 or sound[at - 64:at + 64].count(byte) < 64)]
    places = places or [at for at in range(len(sound) - 512, len(sound)) if sound[at]]  # a fixed disk: the footer is all
    for _ in range(DAMAGE_COUNT):
        content = bytearray(sound)
        at = dice.choice(places)
        content[at] = dice.choice([content[at] ^ 1 << dice.randrange(8), 0, 255, dice.randrange(256), content[dice.choice(places)]])
        image.write_bytes(content)
        before = case.try_shown(image)
        offset = dice.randrange(case.size // 4096 - 1) * 4096
        done = run(modify, case.format, image, input=f"w {offset} 4096 99\n")
        what = f"byte {at:#x} is {content[at]:#x}, not {sound[at]:#x}; write at {offset:#x}: {done.returncode} {done.stderr}"
        if done.returncode not in (0, 1):
            raise RuntimeError(what)
        if image.read_bytes() == content or before is None:
            continue
        after = case.try_shown(image)
        wanted = before[:offset] + bytes([99]) * 4096 + before[offset + 4096:]
        if after != (wanted if done.returncode == 0 else before):
            raise RuntimeError(f"{what}: the disk is another one")


def verify(case, native, modify, image, old, allowed):
    seen = case.replayed(image)
    expect_sound(case, native, seen, may_leak=True)
    new = case.shown(seen)
    for at in range(0, len(old), UNIT):
        if new[at:at + UNIT] != old[at:at + UNIT] and new[at:at + UNIT] not in allowed.get(at, ()):
            raise RuntimeError(f"offset {at:#x} has what was never written there")
    # It can be changed again, and is sound then.
    must(modify, case.format, image, input=f"w {MIB} 4096 99\n")
    expect_sound(case, native, image, may_leak=case.format != "vpc")
    if case.shown(image) != new[:MIB] + bytes([99]) * 4096 + new[MIB + 4096:]:
        raise RuntimeError("a write after the crash has made another disk")


def test_chain(case, native, folder):
    """Wherever rebase or commit is cut off, the disk is the same; the base of a commit is old or new."""
    if case.name not in ("qed", "qcow", "vmdk"):
        return
    dice = daily.dice(f"blocks_modify chain {case.name}")
    names, crashed = ["base", "top", "other"], folder / "crashed"
    crashed.mkdir()
    for name in names:
        behind = ["-b", "base", "-F", case.format] if name == "top" else []
        must(REFERENCE, "create", "-q", "-f", case.format, *behind, name, case.size, cwd=folder)
        case.io(folder / name, *(f"write -P {len(name) * 9 + i} {dice.randrange(case.size // UNIT - 300) * UNIT} {150 * UNIT}" for i in range(4)))
    disk, base = case.shown(folder / "top"), case.shown(folder / "base")
    before = {name: (folder / name).read_bytes() for name in names}
    for command in (["rebase", "-b", "other", "-F", case.format, "-f", case.format, "top", "-f", case.format, "other"], ["commit", "top", "base"]):
        case.put(folder, before)
        must(native, *command, cwd=folder, env={**os.environ, "NATIVE_RECORD": str(folder / "record")})
        states = crashes.states(folder / "record", before, dice, STATE_COUNT)
        for what, state in [*states, ("the end", {name: (folder / name).read_bytes() for name in names})]:
            case.put(crashed, {**before, **state})
            expect_sound(case, native, crashed / "top", may_leak=True)
            expect_sound(case, native, crashed / "base", may_leak=True)
            new = case.shown(crashed / "base")
            if case.shown(crashed / "top") != disk:
                raise RuntimeError(f"{command[0]}, {what}: the disk is another one")
            if any(new[at:at + UNIT] not in (base[at:at + UNIT], disk[at:at + UNIT]) for at in range(0, len(new), UNIT)):
                raise RuntimeError(f"{command[0]}, {what}: the base is neither old nor new")


def main():
    modify, native = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    Child.native = native
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    wanted = [case for case in CASES if re.search(chosen, case.name)]
    failed = 0
    for case in wanted if chosen else daily.sample("blocks_modify", wanted, CASE_COUNT):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="instar-blocks-") as folder:
            try:
                (pathlib.Path(folder) / "damage").mkdir()
                (pathlib.Path(folder) / "resize").mkdir()
                (pathlib.Path(folder) / "repair").mkdir()
                (pathlib.Path(folder) / "chain").mkdir()
                test_chain(case, native, pathlib.Path(folder) / "chain")
                test_repair(case, native, pathlib.Path(folder) / "repair")
                test_resize(case, native, pathlib.Path(folder) / "resize")
                test_damage(case, modify, native, pathlib.Path(folder) / "damage")
                test_random(case, modify, native, pathlib.Path(folder))
                print(f"ok {case.name}", flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"not ok INSTAR_TEST_SEED={daily.seed()} {case.name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
