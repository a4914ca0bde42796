# SPDX-License-Identifier: Apache-2.0
"""Encrypted images: what qemu-img and cryptsetup have made is read alike, with the same words where it is not; secrets."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess

from lib import daily, oracle
from lib.encrypted import (CIPHERS, DISK_LEN, FORMS, HASHES, MIB, REFERENCE, SECRET, content_make, expect_plain, image_make, memory_of_core,
                           options_of)
from lib.python_tests import test
from lib.suite import Failure, Skip, session_processes


@test(cases=[*daily.sample("encryption ciphers", CIPHERS, 2), *daily.sample("encryption hashes", HASHES, 1)])
def ciphers(context, case):
    content_make(context)
    if case in HASHES:
        image_make(context, "luks", more=f",hash-alg={case}")
    else:
        image_make(context, "luks", case)
    expect_plain(context, "--image-opts", FORMS["luks"])


def both(context, *arguments):
    return [context.run([program, *arguments]) for program in (REFERENCE, context.qemu_img_beside)]


@test(cases=daily.sample("encryption commands", FORMS, 2))
def commands(context, case):
    """All that only reads, beside qemu-img."""
    content_make(context)
    image_make(context, case)
    form = ("--image-opts", FORMS[case])
    expect_plain(context, *form)
    same = [("map", "--output=json", *SECRET, *form), ("check", *SECRET, *form), ("measure", "-O", "qcow2", *SECRET, *form),
            ("compare", *SECRET, "--image-opts", FORMS[case], "driver=raw,file.filename=plain"), ("snapshot", "-l", *SECRET, *form)]
    for arguments in same:
        reference, own = both(context, *arguments)
        if (own.status, own.stdout) != (reference.status, reference.stdout):
            raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))
    # Parts that begin and end within a sector.
    for numbers in (("bs=7", "skip=100", "count=1001"), ("bs=4k", "skip=3")):
        context.run([context.qemu_img_beside, "dd", *SECRET, "--image-opts", "-O", "raw", f"if={FORMS[case]}", "of=part", *numbers]).expect()
        size, skip = int(numbers[0][3:].replace("4k", "4096")), int(numbers[1][5:])
        end = int(numbers[2][6:]) * size if len(numbers) > 2 else DISK_LEN  # counted from the start, as by qemu-img
        if (context.directory / "part").read_bytes()[:end - skip * size] != (context.directory / "plain").read_bytes()[skip * size:end]:
            raise Failure(f"dd {numbers}: another content")


@test()
def backing(context):
    """An overlay, encrypted or not, over an encrypted image, both named with their secrets."""
    content_make(context)
    image_make(context, "qcow2")
    (context.directory / "image").rename(context.directory / "base")
    oracle.run(REFERENCE, "create", "-q", "-u", "-f", "qcow2", "-b", "base", "-F", "qcow2", "overlay", DISK_LEN, cwd=context.directory)
    options = "driver=qcow2,file.filename=overlay,backing.driver=qcow2,backing.encrypt.key-secret=s,backing.file.filename=base"
    expect_plain(context, "--image-opts", options)


BASES = {"right": ("s", "geheim"), "wrong": ("s", "falsch"), "unknown": ("x", "geheim"), "none": (None, "geheim")}


@test()
def new_overlay(context):
    """create over an encrypted base, whose name says by which secret it is opened or not: nobody asks for it."""
    content_make(context)
    image_make(context, "luks")
    wrong = []
    for case, (key, passphrase) in BASES.items():
        name = {"driver": "luks", "file": {"driver": "file", "filename": str(context.directory / "image")}, **({"key-secret": key} if key else {})}
        arguments = ("create", "-f", "qcow2", "--object", f"secret,id=s,data={passphrase}", "-F", "luks", "-b", "json:" + json.dumps(name), "new")
        results = []
        for program in (REFERENCE, context.qemu_img_beside):
            (context.directory / "new").unlink(missing_ok=True)
            results.append(context.run([program, *arguments]))
        if (results[0].status, results[0].stdout, results[0].stderr) != (results[1].status, results[1].stdout, results[1].stderr):
            wrong.append(results[1].describe(f"{case}: another result") + "\n" + results[0].describe("than qemu-img:"))
    if wrong:
        raise Failure("\n".join(wrong))


def refusals():
    yield "no secret", (), FORMS["luks"]
    yield "no secret of a qcow2", (), "driver=qcow2,file.filename=qcow2"
    yield "unknown secret", (), "driver=qcow2,encrypt.key-secret=x,file.filename=qcow2"
    yield "no key", (), "driver=luks,file.filename=image"
    yield "wrong passphrase", ("secret,id=s,data=falsch",), FORMS["luks"]
    yield "other format", SECRET[1:], "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename=qcow2"
    yield "no encryption", SECRET[1:], "driver=qcow2,encrypt.format=luks,encrypt.key-secret=s,file.filename=clear"
    yield "option", SECRET[1:], "driver=qcow2,encrypt.bogus=s,encrypt.key-secret=s,file.filename=qcow2"
    yield "not text", ("secret,id=s,file=bytes",), FORMS["luks"]
    key = base64.b64encode(bytes(range(32))).decode()
    for name, text in (("twice", "secret,id=k,data=x"), ("no iv", "secret,id=a,keyid=k,data=abcd"), ("short iv", "secret,id=a,keyid=k,data=abcd,iv=abcd"),
                       ("length", f"secret,id=a,keyid=k,data=abcd,iv={'A' * 22}=="), ("padding", f"secret,id=a,keyid=k,format=base64,data={'AQEB' * 5}AQ==,iv={'A' * 22}=="),
                       ("no key", "secret,id=a,keyid=z,data=abcd"), ("itself", "secret,id=a,keyid=a,data=x,iv=x"), ("base64", "secret,id=a,format=base64,data=a*"),
                       ("no file", "secret,id=a,file=missing"), ("folder", "secret,id=a,file=."), ("both", "secret,id=a,file=x,data=y")):
        yield f"secret: {name}", (f"secret,id=k,format=base64,data={key}", text), "driver=raw,file.filename=plain"
    yield "secret: key", ("secret,id=k,data=short", "secret,id=a,keyid=k,data=abcd"), "driver=raw,file.filename=plain"


@test()
def refused(context):
    """With qemu-img's words."""
    content_make(context)
    (context.directory / "bytes").write_bytes(b"ab\xff")
    oracle.run(REFERENCE, "create", "-q", "-f", "qcow2", "clear", "1M", cwd=context.directory)
    image_make(context, "qcow2")
    (context.directory / "image").rename(context.directory / "qcow2")
    image_make(context, "luks")
    wrong = []
    for name, objects, options in daily.sample("encryption refused", refusals(), 8, context.share):
        arguments = ["convert", *(word for text in objects for word in ("--object", text)), "--image-opts", options, "-O", "raw", "out"]
        reference, own = both(context, *arguments)
        if (own.status, own.stderr) != (reference.status, reference.stderr) or own.status != 1:
            wrong.append(f"{name}: {own.describe('another result')}\n{reference.describe('than qemu-img:')}")
    if wrong:
        raise Failure("\n".join(wrong))


# Of a LUKS header: where, what is put there, and a part of the line that says what is wrong.
DAMAGES = {"iterations": (208 + 4, b"\xff" * 4, "Keyslot 0 takes 4294967295 iterations"), "digest": (164, b"\xff" * 4, "takes 4294967295 iterations"),
           "stripes": (208 + 44, b"\xff" * 4, "stripes"), "key length": (108, b"\x00\x00\x00\x41", "overlapping"), "behind the end": (208 + 40, b"\x7f\xff\xff\x00", ""),
           "overlap": (208 + 48 + 40, b"\x00\x00\x00\x08", "overlapping"), "payload": (104, b"\xff" * 4, "")}


@test()
def hostile_headers(context):
    """One line, at once, and nothing is left of the output."""
    content_make(context)
    image_make(context, "luks")
    sound = (context.directory / "image").read_bytes()
    wrong = []
    slots = bytearray(sound[208:592])
    for i in range(8):  # each is within the bound of one
        slots[48 * i:48 * i + 8] = bytes.fromhex("00ac71f3 08000000")
    together = {"together": (208, bytes(slots), "iterations of sha256 together, more than 536870912")}
    for name, (place, damage, told) in {**DAMAGES, **together}.items():
        (context.directory / "image").write_bytes(sound[:place] + damage + sound[place + len(damage):])
        own = context.run([context.qemu_img_beside, "convert", *SECRET, "--image-opts", FORMS["luks"], "-O", "raw", "out"])
        if own.status != 1 or len(own.stderr.splitlines()) != 1 or told not in own.stderr or (context.directory / "out").exists():
            wrong.append(own.describe(f"{name}: not one line with {told!r}"))
    if wrong:
        raise Failure("\n".join(wrong))


@test()
def secrets(context):
    """Every form of a secret: text, base64, a file, a pipe, JSON, encrypted by another secret."""
    content_make(context)
    image_make(context, "luks")
    key, iv = bytes(range(32)), bytes(range(16))
    encrypted = subprocess.run(["openssl", "enc", "-aes-256-cbc", "-K", key.hex(), "-iv", iv.hex()], input=b"geheim", capture_output=True, check=True).stdout
    coded = {name: base64.b64encode(value).decode() for name, value in (("key", key), ("iv", iv), ("text", encrypted), ("plain", b"geheim"))}
    (context.directory / "passphrase").write_bytes(b"geheim")
    (context.directory / "encrypted").write_bytes(encrypted)
    forms = {"base64": [f"secret,id=s,format=base64,data={coded['plain']}"], "file": ["secret,id=s,file=passphrase"],
             "json": ['{"qom-type":"secret","id":"s","data":"geheim"}'],
             "encrypted": [f"secret,id=k,format=base64,data={coded['key']}", f"secret,id=s,keyid=k,format=base64,iv={coded['iv']},data={coded['text']}"],
             "encrypted file": [f"secret,id=k,format=base64,data={coded['key']}", f"secret,id=s,keyid=k,iv={coded['iv']},file=encrypted"]}
    plain = (context.directory / "plain").read_bytes()
    for name, objects in daily.sample("encryption secrets", forms.items(), 3, context.share):
        words = [word for text in objects for word in ("--object", text)]
        context.run([context.qemu_img_beside, "convert", *words, "--image-opts", FORMS["luks"], "-O", "raw", "own"]).expect()
        if (context.directory / "own").read_bytes() != plain:
            raise Failure(f"{name}: another content")


@test()
def nowhere(context):
    """The passphrase stands in no argument that others see while the job runs, and in nothing that is printed."""
    content_make(context)
    image_make(context, "luks")
    os.mkfifo(context.directory / "pipe")
    process = subprocess.Popen([context.qemu_img_beside, "convert", *SECRET, "--image-opts", FORMS["luks"], "-O", "raw", "pipe"],
                               cwd=context.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=context.build.environment())
    with open(context.directory / "pipe", "rb") as pipe:
        pipe.read(4096)  # it is at work
        told = b"".join((path / name).read_bytes() for path in [pathlib.Path(f"/proc/{process.pid}")] for name in ("cmdline", "environ"))
        rest = pipe.read()
    printed, _ = process.communicate()
    if process.returncode != 0 or not rest:
        raise Failure(f"exit status {process.returncode}: {printed.decode(errors='replace')}")
    if b"geheim" in told or b"geheim" in printed:
        raise Failure("the passphrase can be seen")
    # While the first one waits for its file, the second one is not to be seen, nor in a core file.
    os.mkfifo(context.directory / "late")
    process = context.start([context.qemu_img_beside, "convert", "--object", "secret,id=b,file=late", *SECRET, "--image-opts", FORMS["luks"], "-O", "raw", "out"])
    with open(context.directory / "late", "wb") as late:  # it waits for bytes
        told = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        found = [(is_in_core, name) for is_in_core, name, data in memory_of_core(process.pid) if b"geheim" in data]
        late.write(b"x")
    context.finish(process).expect()
    if b"geheim" in told or not found or any(is_in_core for is_in_core, _ in found):
        raise Failure(f"the passphrase can be seen: {told} {found}")
    for text in ('{"qom-type":"secret","id":"s","data":"geheim\\q"}', '{"qom-type":"secret","id":"s","data":"geheim', "secret,id=s,data=teil,geheim",
                 "secret,id=s,data=teil,geheim=x"):
        completed = context.run([context.qemu_img_beside, "info", "--object", text, "image"]).expect(1)
        if "geheim" in completed.stdout + completed.stderr:
            raise Failure(completed.describe("the passphrase is printed"))


@test()
def core_files(context):
    """While a job is at work: what a core file of the parent would have is without the passphrase, and the other processes make none."""
    content_make(context)
    image_make(context, "luks")
    (context.directory / "passphrase").write_bytes(b"geheim")
    os.mkfifo(context.directory / "pipe")
    for secret in ("secret,id=s,data=geheim", "secret,id=s,file=passphrase", '{"qom-type":"secret","id":"s","data":"geheim"}'):
        process = subprocess.Popen([context.qemu_img_beside, "convert", "--object", secret, "--image-opts", FORMS["luks"], "-O", "raw", "pipe"], start_new_session=True,
                                   cwd=context.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=context.build.environment())
        with open(context.directory / "pipe", "rb") as pipe:
            pipe.read(4096)  # it is at work
            found = [(is_in_core, name) for is_in_core, name, data in memory_of_core(process.pid) if b"geheim" in data]
            others = [pid for pid in session_processes(process.pid) if pid != process.pid]
            limits = [pathlib.Path(f"/proc/{pid}/limits").read_text() for pid in others]
            pipe.read()
        printed, _ = process.communicate()
        if process.returncode != 0 or not others:
            raise Failure(f"exit status {process.returncode}, {len(others)} other processes: {printed.decode(errors='replace')}")
        if not found:
            raise Failure(f"{secret}: the passphrase is not found even where it must be")
        if any(is_in_core for is_in_core, _ in found):
            raise Failure(f"{secret}: the passphrase would be in a core file of the parent: {found}")
        if not all(re.search(r"^Max core file size +0 ", text, re.M) for text in limits):
            raise Failure("one of the other processes may make a core file")


def reference_content(context, options):
    oracle.run(REFERENCE, "convert", *SECRET, "--image-opts", options, "-O", "raw", "reference", cwd=context.directory)
    return (context.directory / "reference").read_bytes()


def own_make(context, command, form, case, *arguments):
    prefix = "encrypt." if form == "qcow2" else ""
    options = options_of(case, prefix) + (",encrypt.format=luks" if prefix else "")
    words = ["-f", form] if command == "create" else ["-O", form]
    context.run([context.qemu_img_beside, command, *words, *SECRET, "-o", options, *arguments]).expect()


WRITTEN = [(form, case) for form in ("luks", "qcow2") for case in [*CIPHERS, "aes-192/cbc-plain64", "twofish-192/ctr-plain64"]]


@test(cases=[f"{form} {case}" for form, case in daily.sample("encryption written", WRITTEN, 3)])
def written(context, case):
    """What we encrypt, qemu-img reads; where it would abort, as keys of 24 bytes are its undoing, we do."""
    form, cipher = case.split(" ")
    content_make(context)
    own_make(context, "convert", form, cipher, "-f", "raw", "plain", "image")
    plain = (context.directory / "plain").read_bytes()
    is_read = "192" not in cipher or "/xts" in cipher
    if is_read and reference_content(context, FORMS[form]) != plain:
        raise Failure("qemu-img finds another content")
    expect_plain(context, "--image-opts", FORMS[form])
    if form == "qcow2":
        context.run([REFERENCE if is_read else context.qemu_img, "check", *SECRET, "--image-opts", FORMS[form]]).expect()
        if is_read:  # longer, it has zeros behind what was its end: within the last cluster, too
            oracle.run(REFERENCE, "resize", "-q", *SECRET, "--image-opts", FORMS[form], "+1M", cwd=context.directory)
            if reference_content(context, FORMS[form]) != plain + bytes(MIB):
                raise Failure("what is new does not read as zeros")
    if b"geheim" in (context.directory / "image").read_bytes():
        raise Failure("the passphrase is in the image")


@test(cases=["luks", "qcow2"])
def created(context, case):
    """A new image: what info says of it is what it says of qemu-img's; qemu-img writes to it."""
    content_make(context)
    own_make(context, "create", case, "aes-256/xts-plain64", "image", f"{DISK_LEN}")
    oracle.run(REFERENCE, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", FORMS[case], cwd=context.directory)
    expect_plain(context, "--image-opts", FORMS[case])
    if case == "luks":  # whose header is all the metadata
        results = []
        for program in (REFERENCE, context.qemu_img_beside):
            context.run([program, "create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10,preallocation=metadata", "image", f"{DISK_LEN}"]).expect()
            results.append(((context.directory / "image").stat().st_size, (context.directory / "image").stat().st_blocks * 512 > DISK_LEN))
        if results[0] != results[1]:
            raise Failure(f"preallocation=metadata: {results[1]}, qemu-img {results[0]}")
    else:
        reference, own = both(context, "convert", "-c", "-f", "raw", "-O", "qcow2", *SECRET, "-o", "encryption=on", "plain", "packed")
        if (own.status, own.stderr) != (reference.status, reference.stderr):
            raise Failure(own.describe(f"not {reference.stderr}"))
        reference, own = both(context, "convert", "-c", "-f", "raw", "-O", "qcow2", *SECRET, "-o", "encrypt.format=luks,encrypt.key-secret=s", "plain", "packed")
        if (own.status, own.stderr) != (reference.status, reference.stderr):
            raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))


@test()
def into_existing(context):
    """convert -n into a luks image of qemu-img's, resize beside it, measure."""
    content_make(context)
    oracle.run(REFERENCE, "create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "image", DISK_LEN, cwd=context.directory)
    own = context.qemu_img_beside
    context.run([own, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", FORMS["luks"]]).expect()
    if reference_content(context, FORMS["luks"]) != (context.directory / "plain").read_bytes():
        raise Failure("qemu-img finds another content")
    for size, more in ((5 * MIB, ()), (MIB, ("--shrink",))):
        context.run([own, "resize", *more, *SECRET, "--image-opts", FORMS["luks"], f"{size}"]).expect()
        if len(reference_content(context, FORMS["luks"])) != size:
            raise Failure(f"the disk has not {size} bytes")
    if (context.directory / "reference").read_bytes() != (context.directory / "plain").read_bytes()[:MIB]:
        raise Failure("what is left of the disk is another content")
    for arguments in (("-O", "luks", "-o", "key-secret=s,iter-time=10,cipher-alg=aes-128", "--size", "1000000"),
                      ("-O", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "--size", "1G"),
                      ("-O", "qcow2", "-o", "encrypt.format=luks", "--size", "1G")):
        reference = oracle.run(REFERENCE, "measure", *SECRET, *arguments, check=False)
        mine = context.run([own, "measure", *SECRET, *arguments])
        if (mine.status, mine.stdout, mine.stderr) != (reference.returncode, reference.stdout, reference.stderr):
            raise Failure(mine.describe(f"not {reference.stdout}{reference.stderr}"))


@test(cases=["qcow2", "aes"])
def changed(context, case):
    """What is written into a qcow2 image of qemu-img's: parts of clusters, over what is there, commit, resize."""
    content_make(context)
    image_make(context, case)
    own, form = context.qemu_img_beside, FORMS[case]
    plain = bytearray((context.directory / "plain").read_bytes())
    (context.directory / "new").write_bytes(bytes(reversed(plain)))
    context.run([own, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "new", form]).expect()
    if reference_content(context, form) != bytes(reversed(plain)):
        raise Failure("another content after convert -n")
    context.run([own, "bench", "-w", "-c", "5", "-d", "1", "-s", "1536", "-S", "70144", "--pattern", "90", *SECRET, "--image-opts", form]).expect()
    plain.reverse()
    for i in range(5):
        plain[i * 70144:i * 70144 + 1536] = b"\x5a" * 1536
    if reference_content(context, form) != bytes(plain):
        raise Failure("another content after writes of parts of clusters")
    context.run([own, "snapshot", "-c", "one", *SECRET, "--image-opts", form]).expect()
    context.run([own, "bench", "-w", "-c", "1", "-d", "1", "-s", "512", "-o", "65536", "--pattern", "17", *SECRET, "--image-opts", form]).expect()
    plain[65536:65536 + 512] = b"\x11" * 512  # of a cluster that the snapshot has, too
    context.run([own, "resize", *SECRET, "--image-opts", form, f"{5 * MIB}"]).expect()
    if reference_content(context, form) != bytes(plain).ljust(5 * MIB, b"\0"):
        raise Failure("another content after a snapshot and resize")
    context.run([REFERENCE, "check", *SECRET, "--image-opts", form]).expect()


CREATIONS = [("luks", ""), ("luks", "key-secret=x"), ("luks", "key-secret=s,cipher-alg=foo"), ("luks", "key-secret=s,cipher-mode=foo"),
             ("luks", "key-secret=s,ivgen-alg=foo"), ("luks", "key-secret=s,hash-alg=foo"), ("luks", "key-secret=s,iter-time=x"), ("luks", "key-secret=s,bogus=1"),
             ("luks", "key-secret=s,ivgen-alg=essiv,ivgen-hash-alg=sha1,iter-time=10"), ("luks", "key-secret=s,cipher-alg=cast5-128,iter-time=10"),
             ("qcow2", "encrypt.format=luks"), ("qcow2", "encrypt.key-secret=s"), ("qcow2", "encrypt.format=foo,encrypt.key-secret=s"),
             ("qcow2", "encrypt.format=luks,encrypt.key-secret=x"), ("qcow2", "encrypt.bogus=1"),
             ("luks", "key-secret=s,preallocation=foo")]


@test()
def not_created(context):
    """With qemu-img's words, and no file is left."""
    wrong = []
    for form, options in daily.sample("encryption not_created", CREATIONS, 6, context.share):
        words = ["-q", "-f", form, *SECRET, *(("-o", options) if options else ()), "image", "1M"]
        reference = oracle.run(REFERENCE, "create", *words, check=False, cwd=context.directory)
        (context.directory / "image").unlink(missing_ok=True)
        own = context.run([context.qemu_img_beside, "create", *words])
        if (own.status, own.stderr) != (reference.returncode, reference.stderr) or (context.directory / "image").exists():
            wrong.append(own.describe(f"{options}: not {reference.stderr}"))
    if wrong:
        raise Failure("\n".join(wrong))


AMENDMENTS = ["state=active", "state=active,new-secret=x", "state=active,new-secret=n,old-secret=s", "state=active,new-secret=n,keyslot=9",
              "state=active,new-secret=n,keyslot=0", "state=inactive", "state=inactive,new-secret=n", "state=inactive,iter-time=3", "state=inactive,keyslot=5",
              "state=inactive,old-secret=n", "state=inactive,keyslot=0", "state=inactive,old-secret=s", "state=foo", "new-secret=n", "state=inactive,keyslot=8",
              "state=inactive,old-secret=s,keyslot=3", "state=inactive,old-secret=x,keyslot=8"]


def with_prefix(form, options):
    return ",".join(("encrypt." if form == "qcow2" else "") + option for option in options.split(","))


@test(cases=["luks", "qcow2"])
def amended(context, case):
    """Passphrases are added and taken away; qemu-img opens what is left, and refuses what it refuses, with its words."""
    content_make(context)
    image_make(context, case)
    own, form, new = context.qemu_img_beside, FORMS[case], ("--object", "secret,id=n,data=neu")
    wrong = []
    for options in daily.sample(f"encryption amended {case}", AMENDMENTS, 4, context.share):
        arguments = ["amend", *SECRET, *new, "--image-opts", form, "-o", with_prefix(case, options)]
        results = []
        for program in (REFERENCE, own):
            results.append(context.run([program, *arguments]))
        if (results[1].status, results[1].stderr) != (results[0].status, results[0].stderr):
            wrong.append(results[1].describe(f"{options}: not {results[0].stderr}"))
    if wrong:
        raise Failure("\n".join(wrong))
    plain = (context.directory / "plain").read_bytes()
    with_new = ["--object", "secret,id=s,data=neu", "--image-opts", form, "-O", "raw"]
    context.run([own, "amend", *SECRET, *new, "--image-opts", form, "-o", with_prefix(case, "state=active,new-secret=n,iter-time=10,keyslot=3")]).expect()
    for program in (REFERENCE, own):
        context.run([program, "convert", *with_new, "new"]).expect()
        if (context.directory / "new").read_bytes() != plain or reference_content(context, form) != plain:
            raise Failure("another content")
    context.run([own, "amend", *SECRET, "--object", "secret,id=n,data=neu", "--image-opts", form, "-o", with_prefix(case, "state=inactive,old-secret=n")]).expect()
    done = context.run([REFERENCE, "convert", *with_new, "new"])
    if done.status == 0 or "Invalid password" not in done.stderr or reference_content(context, form) != plain:
        raise Failure(done.describe("the old passphrase still opens it, or the other one no more"))


@test()
def cryptsetup(context):
    """Volumes of its: two passphrases, another hash; and it opens what is ours."""
    (context.directory / "first").write_bytes(b"geheim")
    (context.directory / "second").write_bytes(b"neu")
    tool = ["cryptsetup", "-q", "--disable-locks", "--pbkdf-force-iterations", "1000", "--key-file", "first"]  # nothing is measured
    for cipher, bits, digest in daily.sample("encryption cryptsetup", (("aes-xts-plain64", 512, "sha256"), ("aes-cbc-essiv:sha256", 256, "sha1"),
                                                                       ("aes-cbc-plain", 128, "sha512"), ("aes-xts-plain64", 256, "ripemd160")), 1):
        with open(context.directory / "image", "wb") as file:
            file.truncate(3 * MIB)
        context.run([*tool, "luksFormat", "--type", "luks1", "-c", cipher, "-s", f"{bits}", "-h", digest, "image"]).expect()
        context.run([*tool, "luksAddKey", "image", "second"]).expect()
        content = reference_content(context, FORMS["luks"])
        for passphrase in ("geheim", "neu"):
            context.run([context.qemu_img_beside, "convert", "--object", f"secret,id=s,data={passphrase}", "--image-opts", FORMS["luks"], "-O", "raw", "own"]).expect()
            if (context.directory / "own").read_bytes() != content:
                raise Failure(f"{cipher}, {passphrase}: another content than qemu-img's")
    own_make(context, "create", "luks", "aes-256/xts-plain64", "image", "1M")
    context.run([context.qemu_img_beside, "amend", *SECRET, "--object", "secret,id=n,data=neu", "--image-opts", FORMS["luks"],
                 "-o", "state=active,new-secret=n,iter-time=10"]).expect()
    for key in ("first", "second"):
        context.run(["cryptsetup", "--disable-locks", "luksOpen", "--test-passphrase", "--key-file", key, "image"]).expect()


@test()
def named(context):
    """info of an image whose name has its key's: qemu-img shows a name with it. And what --object says of itself."""
    content_make(context)
    for form in daily.sample("encryption named", FORMS, 2):
        (context.directory / "image").unlink(missing_ok=True)
        image_make(context, form)
        results = [context.run([program, "info", "--image-opts", FORMS[form]]) for program in (REFERENCE, context.qemu_img_beside)]
        lines = [result.stdout.splitlines()[:3] for result in results]
        if lines[0] != lines[1] or [result.status for result in results] != [0, 0]:
            raise Failure(results[1].describe(f"not {lines[0]}"))
    for text in ("secret,help", "secret,id=x,?", "{'qom-type':'secret','id':'s','data':'geheim'}", "{'qom-type':'secret','id':'s','data':1}"):
        reference, own = both(context, "info", "--object", text, "plain")
        if (own.status, own.stdout.splitlines()[:2], own.stderr) != (reference.status, reference.stdout.splitlines()[:2], reference.stderr):
            raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))
    completed = context.run([context.qemu_img_beside, "info", "--object", "help"]).expect(0)
    if completed.stdout != "List of user creatable objects:\n  secret\n":
        raise Failure(completed.describe("not what there is"))
    for text in ("{'qom-type':'secret','id':'s','data':'geheim", "{'qom-type':'secret','id':'s','data':geheim}", "{'qom-type':'secret','id':'s','data':'geheim\\q'}"):
        completed = context.run([context.qemu_img_beside, "info", "--object", text, "plain"]).expect(1)
        if "geheim" in completed.stdout + completed.stderr or "JSON parse error" not in completed.stderr:
            raise Failure(completed.describe("the passphrase is printed"))


# Of those that nbdkit's filter reads: LUKS1 with AES.
READ_BY_NBDKIT = ["cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256", "cipher-alg=aes-128,cipher-mode=xts,ivgen-alg=plain,hash-alg=sha1",
                  "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=sha512", "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=plain,hash-alg=sha256"]


@test(cases=daily.sample("encryption nbdkit", READ_BY_NBDKIT, 1))
def nbdkit(context, case):
    """Its luks filter, which is no code of QEMU's, reads what we write, by each of two passphrases."""
    if shutil.which("nbdkit") is None or subprocess.run(["nbdkit", "--filter=luks", "null", "--help"], capture_output=True, check=False).returncode != 0:
        raise Skip("nbdkit, or its luks filter, is not installed")
    content_make(context)
    own = context.qemu_img_beside
    context.run([own, "convert", "-f", "raw", "-O", "luks", *SECRET, "-o", f"key-secret=s,iter-time=10,{case}", "plain", "image"]).expect()
    context.run([own, "amend", *SECRET, "--object", "secret,id=n,data=neu", "--image-opts", "-o", "state=active,new-secret=n,iter-time=10", FORMS["luks"]]).expect()
    for passphrase in ("geheim", "neu"):
        serve = ["nbdkit", "-U", "-", "--filter=luks", "file", "image", f"passphrase={passphrase}", "--run", f'{REFERENCE} convert -f raw -O raw "$uri" read']
        context.run(serve).expect()
        if (context.directory / "read").read_bytes()[:DISK_LEN] != (context.directory / "plain").read_bytes():
            raise Failure("nbdkit reads another content")
