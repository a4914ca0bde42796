#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Existing images of formats with a table of blocks (guest/image/block_modify.h) that are written to, natively: qemu-img shows
what was written and finds them sound, and wherever the job is cut off by a crash, also with writes that were never
flushed left out, the image opens and each sector is as before or as one of the writes has it.

    blocks_modify.py MODIFY_NATIVE IMAGE_NATIVE [NAME]

NAME: only cases in whose name it is found, a regular expression; without one, another one each day.
"""
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import crashes, daily  # noqa: E402
from qcow2_modify import LEAKS, MIB, must, run, script  # noqa: E402

REFERENCE = "/usr/bin/qemu-img"
STATE_COUNT = 16 if os.environ.get("INSTAR_TEST_ALL") else 2
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

    def steps(self, dice, count):
        for _ in range(count):
            unit = dice.choice([512, 4096, 65536])
            first = dice.randrange(self.size // unit)
            length = min(dice.choice([1, 1, 2, 5, 20, 64]), self.size // unit - first) * unit
            yield ("z", first * unit, length, 0) if dice.random() < 0.3 else ("w", first * unit, min(length, 4 * MIB), dice.randrange(1, 255))
            if dice.random() < 0.1:
                yield ("f",)


CASES = [
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
    found = run(REFERENCE, "check", "-f", case.format, image)
    # A count that was to become true with the entries that come next: QEMU writes it first, too.
    is_count = may_leak and "1 errors" in found.stdout and "allocated blocks mismatch" in found.stdout + found.stderr
    if found.returncode not in (0, 63) + ((LEAKS,) if may_leak else ()) and not is_count:
        raise RuntimeError(f"qemu-img check: {found.returncode} {found.stdout}{found.stderr}")
    if not may_leak:
        must(native, "check", image)


def test_random(case, modify, native, folder):
    dice = daily.dice(f"blocks_modify {case.name}")
    case.make(folder, dice)
    image, record = folder / "image", folder / "record"
    for _ in range(2 if os.environ.get("INSTAR_TEST_ALL") else 1):
        old = case.shown(image)
        contents = {"image": image.read_bytes()} | ({str(folder / "base"): (folder / "base").read_bytes()} if case.backing else {})
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
            (crashed / "image").write_bytes(state["image"])
            try:
                verify(case, native, modify, crashed / "image", old, allowed)
            except RuntimeError as error:
                raise RuntimeError(f"{what}: {error}") from error


def replayed(case, image):
    """The image as QEMU can read it, which opens no vhdx whose log needs a replay."""
    if case.format != "vhdx":
        return image
    seen = image.parent / "replayed"
    seen.write_bytes(image.read_bytes())
    must(REFERENCE, "check", "-r", "all", "-f", "vhdx", seen)
    return seen


def test_resize(case, native, folder):
    """The disk is as long as before or as afterwards, and what is new reads as zeros."""
    if not case.grows:
        return
    dice = daily.dice(f"blocks_modify resize {case.name}")
    case.make(folder, dice)
    image, record, crashed = folder / "image", folder / "record", folder / "crashed"
    crashed.mkdir()
    contents = {"image": image.read_bytes()} | ({str(folder / "base"): (folder / "base").read_bytes()} if case.backing else {})
    old = case.shown(image)
    length = dice.choice([case.size + UNIT, case.size + 20 * MIB, case.size + 100 * MIB])
    must(native, "resize", "--size", length, "image", cwd=folder, env={**os.environ, "NATIVE_RECORD": str(record)})
    expect_sound(case, native, image, may_leak=False)
    for what, state in [*crashes.states(record, contents, dice, STATE_COUNT), ("the end", {"image": image.read_bytes()})]:
        (crashed / "image").write_bytes(state["image"])
        new = case.shown(replayed(case, crashed / "image"))
        if len(new) not in (len(old), length) or new[:len(old)] != old or new.count(0, len(old)) != len(new) - len(old):
            raise RuntimeError(f"{what}: the disk is another one")
    if len(new) != length:
        raise RuntimeError("the disk is not longer")


def damages(case, image, dice):
    """Words of a table that become others, as (offset, value), so that blocks are nowhere, or two at one place; None: none is repaired."""
    content = image.read_bytes()

    def word(offset):
        return int.from_bytes(content[offset:offset + 4], "little")

    tables = {"vdi": lambda: [(word(0x154), word(0x180))], "parallels": lambda: [(64, word(32))],
              "vmdk": lambda: [(word(word(field) * 512 + 4 * index) * 512, 512) for field in (56, 48)
                               for index in range(-(-case.size // (32 * MIB)))]}
    if case.format not in tables:
        return None
    found = []
    for table, count in tables[case.format]():
        used = [at for at in range(table, table + 4 * count, 4) if word(at) not in (0, 1, 0xffffffff, 0xfffffffe)]
        for at in dice.sample(used, min(len(used), 3)):
            found.append((at, dice.choice([0x7f000000, word(dice.choice(used)) if case.format != "parallels" else 0x7f000000])))
    return found


def test_repair(case, native, folder):
    """Wherever check -r all is cut off, the next one ends with what the first would have ended with, and takes nothing more away."""
    dice = daily.dice(f"blocks_modify repair {case.name}")
    case.make(folder, dice)
    image, record, crashed = folder / "image", folder / "record", folder / "crashed"
    found = damages(case, image, dice)
    if not found:
        return
    crashed.mkdir()
    with open(image, "r+b") as file:
        for offset, value in found:
            file.seek(offset)
            file.write(value.to_bytes(4, "little"))
    contents = {"image": image.read_bytes()} | ({str(folder / "base"): (folder / "base").read_bytes()} if case.backing else {})
    must(native, "check", "--repair", "all", "image", cwd=folder, env={**os.environ, "NATIVE_RECORD": str(record)})
    expect_sound(case, native, image, may_leak=False)
    expected = case.shown(image)
    for what, state in crashes.states(record, contents, dice, STATE_COUNT):
        (crashed / "image").write_bytes(state["image"])
        must(native, "check", "--repair", "all", crashed / "image")
        expect_sound(case, native, crashed / "image", may_leak=False)
        if case.shown(crashed / "image") != expected:
            raise RuntimeError(f"{what}: a second repair makes another disk")


def try_shown(case, image):
    """The disk; None: qemu-img cannot read it."""
    found = run(REFERENCE, "convert", "-f", case.format, "-O", "raw", image, image.parent / "shown")
    return (image.parent / "shown").read_bytes() if found.returncode == 0 else None


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
        before = try_shown(case, image)
        offset = dice.randrange(case.size // 4096 - 1) * 4096
        done = run(modify, case.format, image, input=f"w {offset} 4096 99\n")
        what = f"byte {at:#x} is {content[at]:#x}, not {sound[at]:#x}; write at {offset:#x}: {done.returncode} {done.stderr}"
        if done.returncode not in (0, 1):
            raise RuntimeError(what)
        if image.read_bytes() == content or before is None:
            continue
        after = try_shown(case, image)
        wanted = before[:offset] + bytes([99]) * 4096 + before[offset + 4096:]
        if after != (wanted if done.returncode == 0 else before):
            raise RuntimeError(f"{what}: the disk is another one")


def verify(case, native, modify, image, old, allowed):
    seen = replayed(case, image)
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


def main():
    modify, native = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    wanted = [case for case in CASES if re.search(chosen, case.name)]
    failed = 0
    for case in wanted if chosen else daily.sample("blocks_modify", wanted, CASE_COUNT):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="instar-blocks-") as folder:
            try:
                (pathlib.Path(folder) / "damage").mkdir()
                (pathlib.Path(folder) / "resize").mkdir()
                (pathlib.Path(folder) / "repair").mkdir()
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
