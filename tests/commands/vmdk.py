# SPDX-License-Identifier: Apache-2.0
"""VMDK: what the matrix of recipes does not have. Many files, hostile descriptors, names, locks."""

import hashlib
import json
import re
import shutil

from lib import daily, recipes, recipes_vmdk, vmdk_writer
from lib.beside import REFERENCE, digest, same
from lib.opened_files import CONNECTED, opened_files
from lib.python_tests import test
from lib.suite import Failure, Skip

MIB = 1 << 20
# As a client's image may have them. Nothing of this is a part of an image called disk.vmdk.
FOREIGN_NAMES = ["/etc/group", "../outside", "group", "disk-flat.vmdk/../../outside", "other-flat.vmdk", "disk.vmdk", "fifo",
                 "file:/etc/group", "disk-/../../outside.vmdk", "json:{}", "nbd://x/y", "./other-flat.vmdk", ".//disk-/../../outside.vmdk"]
COMMANDS = [["info"], ["map"], ["check"], ["measure", "-O", "raw"], ["convert", "-O", "raw"], ["info", "--backing-chain"]]


def write(context, name, content):
    (context.directory / name).write_bytes(content)


def words_of(command, image):
    return [*command, image, *(["out"] if command[0] == "convert" else [])]


@test(cases=["flat", "sparse"], timeout=120)
def foreign_files_stay_closed(context, case):
    """Extents that are not the image's are not opened, whatever the command."""
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    context.run(["mkfifo", "fifo"]).expect()
    (context.directory.parent / "outside").write_bytes(bytes(MIB))
    for name in ("group", "other-flat.vmdk"):
        write(context, name, bytes(MIB))
    names = list(enumerate(FOREIGN_NAMES))
    for number, name in names[:1] + daily.sample(f"foreign files {case}", names[1:], 4):
        line = f'RW 2 FLAT "{name}" 0' if case == "flat" else f'RW 2 SPARSE "{name}"'
        write(context, "disk.vmdk", vmdk_writer.descriptor("monolithicFlat" if case == "flat" else "twoGbMaxExtentSparse", [line]))
        command = COMMANDS[number % len(COMMANDS)]
        done, opened = opened_files(context, [context.qemu_img, *words_of(command, "disk.vmdk")])
        done.expect(1)
        if len(done.stderr.splitlines()) != 1 or not done.stderr.startswith("qemu-img: "):
            raise Failure(done.describe(f"{name}: expected one clear line"))
        base = name.rsplit("/", 1)[-1]
        opened = [path for path in opened if path == CONNECTED or (name != "disk.vmdk" and path.rsplit("/", 1)[-1] == base)]
        if opened or (context.directory / "out").exists():
            raise Failure(f"{name}: it was opened:\n" + "\n".join(opened))
    # What is allowed is seen to be opened, so that nothing else can be without being seen.
    write(context, "disk.vmdk", vmdk_writer.descriptor("monolithicFlat", ['RW 2 FLAT "group" 0']))
    done, opened = opened_files(context, [context.qemu_img, "convert", "--backing=beside", "-O", "raw", "disk.vmdk", "out"])
    done.expect()
    if str(context.directory / "group") not in opened:
        raise Failure("the extent that is allowed was not seen to be opened: " + " ".join(opened))


@test(timeout=240, weight=10)
def many_files(context):
    """2,048 files, which are as many as a disk of 4 TB has. Each has its number in it."""
    count, length = 2048, 4096
    lines = []
    for number in range(count):
        name = f"disk-f{number + 1:04}.vmdk"
        lines.append(f'RW {length // 512} FLAT "{name}" 0')
        write(context, name, number.to_bytes(4, "little") * (length // 4) if number % 3 else bytes(length))
    write(context, "disk.vmdk", vmdk_writer.descriptor("twoGbMaxExtentFlat", lines))
    wanted = b"".join(number.to_bytes(4, "little") * (length // 4) if number % 3 else bytes(length) for number in range(count))
    done = context.run([context.qemu_img, "info", "--output=json", "disk.vmdk"]).expect()
    info = json.loads(done.stdout)
    extents = info["format-specific"]["data"]["extents"]
    if info["virtual-size"] != count * length or [extent["filename"] for extent in extents] != [line.split('"')[1] for line in lines]:
        raise Failure(done.describe("not all files"))
    context.run([context.qemu_img, "convert", "-O", "raw", "disk.vmdk", "disk.raw"]).expect()
    if (context.directory / "disk.raw").read_bytes() != wanted:
        raise Failure("another content")
    write(context, "disk.vmdk", vmdk_writer.descriptor("twoGbMaxExtentFlat", lines + ['RW 8 FLAT "disk-f9999.vmdk" 0'] * 3))
    done = context.run([context.qemu_img, "info", "disk.vmdk"]).expect(1)
    if len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))


@test(cases=["short", "long"], timeout=60)
def descriptor_within_a_file(context, case):
    """A header without a disk of its own, and a descriptor behind it that leads to a part. `info` has room for parts where the
    file is no longer than descriptors are, or the user says what it is."""
    text = vmdk_writer.descriptor("monolithicFlat", ['RW 2048 FLAT "./disk-flat.vmdk" 0'])
    head = vmdk_writer.sparse_header(0, 128, 0, 128, descriptor_sectors=20)
    write(context, "disk.vmdk", (head + text).ljust(21 * 512 if case == "short" else 256 << 10, b"\0"))
    write(context, "disk-flat.vmdk", bytes(MIB))
    for words in (["info", "disk.vmdk"], ["info", "-f", "vmdk", "disk.vmdk"], ["map", "disk.vmdk"]):
        reference = context.run([REFERENCE, *words]).expect()
        own = context.run([context.qemu_img, *words])
        if case == "long" and words[1] == "disk.vmdk" and words[0] == "info":
            own.expect(1)
            if own.stderr.splitlines() != ["qemu-img: Could not open 'disk.vmdk': consists of several files: say its format by -f"]:
                raise Failure(own.describe("expected one clear line"))
        elif own.expect().stdout != reference.stdout:
            raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))


@test(timeout=60)
def found_by_its_content(context):
    """A descriptor with another name leads to its files where the user allows that; they are no parts of it by their names."""
    for suffix in ("", ".img"):
        write(context, "disk-flat.vmdk", b"x" * MIB)
        write(context, f"disk{suffix}", vmdk_writer.descriptor("monolithicFlat", ['RW 2048 FLAT "disk-flat.vmdk" 0']))
        for words in (["info"], ["map"], ["check"]):
            theirs, ours = (context.run([program, *words, f"disk{suffix}"]).expect() for program in (REFERENCE, context.qemu_img_beside))
            if theirs.stdout != ours.stdout:
                raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
        context.run([context.qemu_img_beside, "convert", "-O", "raw", f"disk{suffix}", "out"]).expect()
        if (context.directory / "out").read_bytes() != b"x" * MIB:
            raise Failure("another content")
        done = context.run([context.qemu_img, "info", f"disk{suffix}"]).expect(1)
        if "refused to open 'disk-flat.vmdk'" not in done.stderr or len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("no clear line"))


HEAD = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{}\"\n"
FLAT = HEAD.format("monolithicFlat")
PART = 'RW 8 FLAT "disk-flat.vmdk" 0\n'
DESCRIPTORS = {
    "plain": FLAT + PART,
    "no_end_of_line": FLAT + PART[:-1],
    "no_extents": FLAT,
    "no_type": FLAT.replace("createType", "createTyp") + PART,
    "unknown_type": HEAD.format("fullDevice") + PART,
    "long_type": HEAD.format("x" * 3000) + PART,
    "type_without_end": FLAT.replace('"\n', "") + PART,
    "no_name": FLAT + "RW 8 FLAT\n",
    "name_without_end": FLAT + 'RW 8 FLAT "disk-flat.vmdk\n',
    "empty_name": FLAT + 'RW 8 FLAT "" 0\n',
    "long_name": FLAT + f'RW 8 FLAT "{"d" * 600}" 0\n',
    "no_offset": FLAT + 'RW 8 FLAT "disk-flat.vmdk"\n',
    "negative_offset": FLAT + 'RW 8 FLAT "disk-flat.vmdk" -1\n',
    "offset_too_large": FLAT + 'RW 8 FLAT "disk-flat.vmdk" 9223372036854775807\n',
    "negative_length": FLAT + 'RW -8 FLAT "disk-flat.vmdk" 0\n',
    "length_of_nothing": FLAT + 'RW 0 FLAT "disk-flat.vmdk" 0\n',
    "length_too_large": FLAT + 'RW 18014398509481984 FLAT "disk-flat.vmdk" 0\n',
    "length_beyond_numbers": FLAT + 'RW 99999999999999999999999 FLAT "disk-flat.vmdk" 0\n',
    "lengths_that_wrap": FLAT + 'RW 18014398509481983 FLAT "disk-flat.vmdk" 0\n' * 3,
    "unknown_access": FLAT + 'XX 8 FLAT "disk-flat.vmdk" 0\n' + PART,
    "unknown_extent": FLAT + 'RW 8 VMFSRDM "disk-flat.vmdk" 0\n',
    "sparse_that_is_flat": FLAT + 'RW 8 SPARSE "disk-flat.vmdk"\n',
    "se_sparse_that_is_flat": HEAD.format("seSparse") + 'RW 8 SESPARSE "disk-flat.vmdk"\n',
    "itself": HEAD.format("twoGbMaxExtentSparse") + 'RW 8 SPARSE "disk.vmdk"\n',
    "control_characters": FLAT + "RW 8 FLAT \"disk-\x1b[31m.vmdk\" 0\n",
    "bytes_of_zero": FLAT + "\0" + PART,
    "no_cid": FLAT.replace("CID=1\n", "") + PART,
    "cid_too_large": FLAT.replace("CID=1\n", "CID=fffffffffffffffff\n") + PART,
    "parent": FLAT.replace("ffffffff", "12345678") + PART,
    "parent_without_end": FLAT.replace("ffffffff", "12345678") + 'parentFileNameHint="x\n' + PART,
    "long_parent": FLAT.replace("ffffffff", "12345678") + f'parentFileNameHint="{"x" * 3000}"\n' + PART,
    "long": FLAT + "#" * 70000 + "\n" + PART,
}


# Of a place that no file has, qemu-img reads zeros.
REFUSED_BY_OURS = {"offset_too_large"}


@test(timeout=120, weight=6)
def descriptors(context):
    """What is read has qemu-img's content; all else is refused in one line."""
    failures = []
    write(context, "disk-flat.vmdk", bytes(range(256)) * 16)
    for name, text in DESCRIPTORS.items():
        write(context, "disk.vmdk", text.encode())
        (context.directory / "own.raw").unlink(missing_ok=True)
        info = context.run([context.qemu_img, "info", "-f", "vmdk", "disk.vmdk"])
        own = context.run([context.qemu_img, "convert", "-f", "vmdk", "-O", "raw", "disk.vmdk", "own.raw"])
        theirs = context.run([REFERENCE, "convert", "-f", "vmdk", "-O", "raw", "disk.vmdk", "reference.raw"])
        for done in (info, own):
            if done.status not in (0, 1) or (done.status == 1 and len(done.stderr.splitlines()) != 1) or "\x1b" in done.stderr:
                failures.append(done.describe(f"{name}: no clear line"))
        if own.status == 0 and theirs.status != 0:
            failures.append(own.describe(name) + "\n" + theirs.describe("qemu-img refuses it"))
        elif own.status == 0:
            digests = [hashlib.sha256((context.directory / file).read_bytes()).digest() for file in ("own.raw", "reference.raw")]
            if digests[0] != digests[1]:
                failures.append(f"{name}: another content than qemu-img's")
        elif theirs.status == 0 and name not in REFUSED_BY_OURS:
            failures.append(own.describe(f"{name}: qemu-img reads it"))
    for count in (1023, 1024):  # our limit, of all names; qemu-img takes 4095
        hint = f'parentFileNameHint="{"x" * count}"\n'
        write(context, "disk.vmdk", (FLAT.replace("ffffffff", "12345678") + hint + PART).encode())
        context.run([REFERENCE, "info", "disk.vmdk"]).expect()
        info = context.run([context.qemu_img, "info", "disk.vmdk"])
        told = "parentFileNameHint has 1024 bytes, more than 1023" in info.stderr
        if (info.status, told) != ((0, False) if count == 1023 else (1, True)):
            failures.append(info.describe(f"a parent's name of {count} bytes"))
    # qemu-img leaves such a line out, and with it a part of the disk.
    write(context, "disk.vmdk", (FLAT + "RW 8 ZERO\n" + PART).encode())
    context.run([context.qemu_img, "convert", "-O", "raw", "disk.vmdk", "own.raw"]).expect()
    if (context.directory / "own.raw").read_bytes() != bytes(4096) + bytes(range(256)) * 16:
        failures.append("an extent of zeros: another content")
    # Neither does it read what is read-only; what may not be read at all is zeros.
    write(context, "disk.vmdk", (FLAT + PART.replace("RW", "RDONLY") + "NOACCESS 8 ZERO\n" + PART.replace("RW", "NOACCESS") + PART).encode())
    context.run([context.qemu_img, "convert", "-O", "raw", "disk.vmdk", "own.raw"]).expect()
    if (context.directory / "own.raw").read_bytes() != bytes(range(256)) * 16 + bytes(8192) + bytes(range(256)) * 16:
        failures.append("extents that are read-only, or may not be read: another content")
    if failures:
        raise Failure("\n".join(failures))


@test()
def footers_of_extents(context):
    """Each extent of a stream has its own: the disk is that of the same streams without."""
    for footer, target, program in ((False, "reference.raw", REFERENCE), (True, "own.raw", context.qemu_img)):
        for name, content in recipes_vmdk.stream_extents(footer).items():
            write(context, name, content)
        write(context, "image.vmdk", vmdk_writer.descriptor("twoGbMaxExtentSparse", recipes_vmdk.STREAM_LINES))
        context.run([program, "convert", "-O", "raw", "image.vmdk", target]).expect()
    if digest(context.directory / "own.raw") != digest(context.directory / "reference.raw"):
        raise Failure("another content")


@test()
def offset_behind_end(context):
    """An extent that begins where its file has ended: it is told of as by qemu-img, and read by nobody."""
    write(context, "disk-flat.vmdk", b"x" * 5000)
    write(context, "disk.vmdk", (FLAT + 'RW 8 FLAT "disk-flat.vmdk" 0\nRW 2048 FLAT "disk-flat.vmdk" 4096\n').encode())
    for words in (["map"], ["map", "--output=json"], ["measure", "-O", "qcow2"]):
        same(context, *words, "disk.vmdk")
    done = context.run([context.qemu_img, "convert", "-O", "raw", "disk.vmdk", "out"]).expect(1)
    if "begins at 2097152, behind the end of the file" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))


def locks_of(context, program, words):
    """Which bytes of which file are locked, and never unlocked, as names and numbers."""
    context.run(["strace", "-f", "-y", "-o", "trace", "-e", "trace=fcntl", program, *words]).expect()
    text = (context.directory / "trace").read_text(errors="replace")
    return {(name.rsplit("/", 1)[-1], int(start)) for name, start in
            re.findall(r"fcntl\(\d+<([^>]+)>, F_OFD_SETLK, \{l_type=F_RDLCK, [^}]*l_start=(\d+), l_len=1\}", text)}


@test(cases=["monolithicFlat", "twoGbMaxExtentSparse"])
def locks(context, case):
    """On every file of the image what qemu-img takes; a source of a conversion may not change in length either."""
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    recipes_vmdk.created(MIB, f"subformat={case}")(recipes.Maker(context.directory))
    for words in (["info"], ["check"], ["map"], ["convert", "-O", "raw"]):
        words = words_of(words, recipes_vmdk.NAME)
        theirs, ours = ({lock for lock in locks_of(context, program, words) if lock[0] != "out"}
                        for program in (REFERENCE, context.qemu_img))
        extra = {start for _, start in ours - theirs}
        if theirs - ours or not extra <= ({203} if words[0] == "convert" else set()):
            raise Failure(f"{words[0]}: qemu-img takes {sorted(theirs)}, ours {sorted(ours)}")
        (context.directory / "out").unlink(missing_ok=True)
