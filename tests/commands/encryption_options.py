# SPDX-License-Identifier: Apache-2.0
"""Encrypted images with what else they may have: small clusters, preallocation, a data file, version 2; a header in a file of its own; key slots."""

import json
import os
import re
import struct
import time

from lib import daily, encrypted, oracle
from lib.encrypted import DISK_LEN, FORMS, MIB, REFERENCE, SECRET, memory_of_core
from lib.python_tests import test
from lib.suite import Failure, session_processes

QCOW2 = FORMS["qcow2"]
QUICK = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
WITH_DATA = ",data-file.driver=file,data-file.filename=data"
OPTIONS = ["cluster_size=512", "cluster_size=512,refcount_bits=64", "cluster_size=512,refcount_bits=1", "cluster_size=1k", "cluster_size=1k,compat=0.10", "cluster_size=2k",
           "cluster_size=4k", "cluster_size=2M", "extended_l2=on", "extended_l2=on,cluster_size=16k", "compat=0.10", "refcount_bits=64,cluster_size=4k",
           *(f"preallocation={mode}" for mode in ("metadata", "falloc", "full")), "preallocation=full,cluster_size=512", "preallocation=metadata,extended_l2=on",
           "data_file=data", "data_file=data,data_file_raw=on", "data_file=data,preallocation=falloc", "data_file=data,cluster_size=4k", "lazy_refcounts=on"]


def content(context, options):
    oracle.run(REFERENCE, "convert", *SECRET, "--image-opts", options, "-O", "raw", "reference", cwd=context.directory)
    return (context.directory / "reference").read_bytes()


def expect(context, options, disk, what):
    if content(context, options) != disk:
        raise Failure(f"{what}: qemu-img finds another content")
    if encrypted.own_content(context, "--image-opts", options) != disk:
        raise Failure(f"{what}: we find another content")


def check(context):
    done = context.run([REFERENCE, "check", *SECRET, "--image-opts", QCOW2])
    if done.status != 0:
        raise Failure(done.describe("qemu-img finds the image damaged"))


def form_of(options):
    return QCOW2 + (WITH_DATA if "data_file" in options else "")


@test(cases=daily.sample("encryption options written", OPTIONS, 1))
def written(context, case):
    """convert makes it; then it is written into, gets longer, and shorter."""
    encrypted.content_make(context)
    own, form = context.qemu_img_beside, form_of(case)
    context.run([own, "convert", "-f", "raw", "-O", "qcow2", *SECRET, "-o", f"{QUICK},{case}", "plain", "image"]).expect()
    disk = bytearray((context.directory / "plain").read_bytes())
    expect(context, form, bytes(disk), "convert")
    check(context)
    disk.reverse()
    (context.directory / "new").write_bytes(disk)
    context.run([own, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "new", form]).expect()
    context.run([own, "bench", "-w", "-c", "3", "-d", "1", "-s", "1536", "-S", "70144", "--pattern", "90", *SECRET, "--image-opts", form]).expect()
    for i in range(3):
        disk[70144 * i:70144 * i + 1536] = b"\x5a" * 1536
    expect(context, form, bytes(disk), "writes")
    context.run([own, "resize", *SECRET, "--image-opts", form, f"{5 * MIB}"]).expect()
    expect(context, form, bytes(disk).ljust(5 * MIB, b"\0"), "resize")
    context.run([own, "resize", "--shrink", *SECRET, "--image-opts", form, f"{MIB}"]).expect()
    expect(context, form, bytes(disk[:MIB]), "resize --shrink")
    check(context)


@test(cases=daily.sample("encryption options of qemu", OPTIONS, 1))
def of_qemu_img(context, case):
    """What qemu-img makes with these options is read and written, or both refuse it."""
    encrypted.content_make(context)
    form = form_of(case)
    arguments = ["create", "-q", "-f", "qcow2", *SECRET, "-o", f"{QUICK},{case}", "image", f"{DISK_LEN}"]
    theirs = oracle.run(REFERENCE, *arguments, check=False, cwd=context.directory)
    if theirs.returncode != 0:
        own = context.run([context.qemu_img_beside, *arguments])
        if (own.status, own.stderr) != (theirs.returncode, theirs.stderr):
            raise Failure(own.describe(f"not {theirs.stderr}"))
        return
    oracle.run(REFERENCE, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", form, cwd=context.directory)
    encrypted.expect_plain(context, "--image-opts", form)
    new = bytes(reversed((context.directory / "plain").read_bytes()))
    (context.directory / "new").write_bytes(new)
    context.run([context.qemu_img_beside, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "new", form]).expect()
    expect(context, form, new, "convert -n")
    check(context)


@test(cases=daily.sample("encryption preallocated resize", ["metadata", "falloc", "full"], 1))
def preallocated_resize(context, case):
    """What was there stays; what is new has storage. What that reads as is nothing that qemu-img cares for, either."""
    encrypted.content_make(context)
    context.run([context.qemu_img_beside, "convert", "-f", "raw", "-O", "qcow2", *SECRET, "-o", QUICK, "plain", "image"]).expect()
    context.run([context.qemu_img_beside, "resize", f"--preallocation={case}", *SECRET, "--image-opts", QCOW2, f"{5 * MIB}"]).expect()
    plain = (context.directory / "plain").read_bytes()
    disk = content(context, QCOW2)
    if disk[:len(plain)] != plain or len(disk) != 5 * MIB:
        raise Failure("another content")
    if encrypted.own_content(context, "--image-opts", QCOW2) != disk:
        raise Failure("we find another content than qemu-img")
    check(context)


@test(cases=daily.sample("encryption downgraded", ["qcow2", "aes"], 1))
def downgraded(context, case):
    """Version 2 has no clusters that a flag makes zeros: they are stored, encrypted (by qemu-img in clear, so that they read as noise)."""
    encrypted.content_make(context)
    encrypted.image_make(context, case)
    form = FORMS[case]
    oracle.run("qemu-io", *SECRET, "--image-opts", form, "-c", "write -z 0 128k", "-c", "write -z 1M 65536", cwd=context.directory)
    oracle.run(REFERENCE, "snapshot", "-c", "one", *SECRET, "--image-opts", form, cwd=context.directory)
    oracle.run("qemu-io", *SECRET, "--image-opts", form, "-c", "write -P 7 65536 512", "-c", "write -z 2M 256k", cwd=context.directory)
    disk = content(context, form)
    context.run([context.qemu_img_beside, "amend", *SECRET, "--image-opts", "-o", "compat=0.10", form]).expect()
    expect(context, form, disk, "version 2")
    context.run([REFERENCE, "snapshot", "-a", "one", *SECRET, "--image-opts", form]).expect()
    before = bytearray((context.directory / "plain").read_bytes())
    for start, size in ((0, 128 << 10), (1 << 20, 65536)):
        before[start:start + size] = bytes(size)
    expect(context, form, bytes(before), "its snapshot")
    context.run([REFERENCE, "check", *SECRET, "--image-opts", form]).expect()


@test()
def old_qcow(context):
    """Version 1 of the format: parts of clusters, over what is there and where nothing is, zeros, a compressed cluster."""
    encrypted.content_make(context)
    encrypted.image_make(context, "qcow")
    own, form = context.qemu_img_beside, FORMS["qcow"]
    disk = bytearray((context.directory / "plain").read_bytes())
    expect(context, form, bytes(disk), "as it was made")
    context.run([own, "bench", "-w", "-c", "9", "-d", "1", "-s", "1536", "-S", "270848", "--pattern", "90", *SECRET, "--image-opts", form]).expect()
    for i in range(9):
        disk[270848 * i:270848 * i + 1536] = b"\x5a" * 1536
    expect(context, form, bytes(disk), "bench -w")
    disk.reverse()
    (context.directory / "new").write_bytes(disk)
    context.run([own, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "new", form]).expect()
    expect(context, form, bytes(disk), "convert -n")


QCOW_WORDS = ["encryption=on", "encryption=on,encrypt.key-secret=s", "encryption=yes,encrypt.key-secret=s", "encryption=off,encrypt.key-secret=s", "encryption=no",
              "encrypt.format=aes", "encrypt.format=aes,encrypt.key-secret=s", "encrypt.format=qcow,encrypt.key-secret=s", "encrypt.format=luks,encrypt.key-secret=s",
              "encrypt.format=AES,encrypt.key-secret=s", "encrypt.key-secret=s", "encrypt.format=aes,encrypt.key-secret=t", "encrypt.format=",
              "encryption=on,encrypt.format=aes,encrypt.key-secret=s", "encryption=off,encrypt.format=aes,encrypt.key-secret=s", "encryption=x"]


@test(cases=daily.sample("encryption words of qcow", QCOW_WORDS, 3))
def qcow_words(context, case):
    """An empty image, or a refusal, as of qemu-img; and with -c."""
    (context.directory / "plain").write_bytes(b"x" * 8192)
    for command in (["create", "-f", "qcow", "-o", case, "image", "1M"], ["convert", "-f", "raw", "-O", "qcow", "-o", case, "plain", "image"],
                    ["convert", "-c", "-f", "raw", "-O", "qcow", "-o", case, "plain", "image"]):
        seen = []
        for program in (REFERENCE, context.qemu_img_beside):
            (context.directory / "image").unlink(missing_ok=True)
            done = context.run([program, command[0], *SECRET, *command[1:]])
            seen.append((done.status, done.stdout, done.stderr, (context.directory / "image").read_bytes() if done.status == 0 else b""))
        if seen[0] != seen[1]:
            raise Failure(f"{command}: {seen[1][:3]}\nnot {seen[0][:3]}, or other bytes")


@test(cases=daily.sample("encryption made of qcow", ["plain", "odd", "holes", "stored", "backed", "converted"], 2))
def qcow_made(context, case):
    """Up to the last byte what qemu-img makes, also behind the end of the disk in its cluster, and written to afterwards."""
    encrypted.content_make(context)
    plain = bytearray((context.directory / "plain").read_bytes())
    plain = {"odd": plain[:-300], "holes": plain[:MIB] + bytes(9 * MIB) + plain[MIB:]}.get(case, plain)
    (context.directory / "plain").write_bytes(plain)
    options = "encrypt.format=aes,encrypt.key-secret=s"
    source = ["-f", "raw", "plain"]
    if case in ("backed", "converted"):
        oracle.run(REFERENCE, "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "plain", "source", cwd=context.directory)
        source = ["-f", "qcow2", "source"]
    if case == "backed":
        (context.directory / "base").write_bytes(b"b" * (4 * MIB))
        options += ",backing_file=base,backing_fmt=raw"
    words = [*(["-S", "0"] if case == "stored" else []), "-O", "qcow", *SECRET, "-o", options, *source]
    context.run([context.qemu_img_beside, "convert", *words, "image"]).expect()
    oracle.run(REFERENCE, "convert", *words, "theirs", cwd=context.directory)
    if (context.directory / "image").read_bytes() != (context.directory / "theirs").read_bytes():
        raise Failure("other bytes than qemu-img's")
    form = FORMS["qcow"]
    disk = bytes(plain).ljust(-(-len(plain) // 512) * 512, b"\0")
    if content(context, form) != disk:
        raise Failure("qemu-img finds another content")
    oracle.run("qemu-io", *SECRET, "--image-opts", form, "-c", "write -P 7 700k 9k", cwd=context.directory)
    disk = disk[:700 << 10] + b"\7" * (9 << 10) + disk[709 << 10:]
    if content(context, form) != disk or (case != "backed" and encrypted.own_content(context, "--image-opts", form) != disk):
        raise Failure("another content after a write")


@test()
def detached_header(context):
    """Made, written to by the image that names it, and amended; cryptsetup takes it, and qemu-img where header and data are one file."""
    encrypted.content_make(context)
    own, plain = context.qemu_img_beside, (context.directory / "plain").read_bytes()
    context.run([own, "create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10,detached-header=on", "header"]).expect()
    with open(context.directory / "image", "wb") as file:
        file.truncate(DISK_LEN)
    form = FORMS["luks"] + ",header.driver=file,header.filename=header"
    context.run([own, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", form]).expect()
    encrypted.expect_plain(context, "--image-opts", form)
    header = bytearray((context.directory / "header").read_bytes())
    data = (context.directory / "image").read_bytes()
    if len(data) != DISK_LEN or struct.unpack_from(">I", header, 104)[0] != 0:
        raise Failure("the data has another length, or a place in the header's file")
    new = ("--object", "secret,id=n,data=neu")
    before = bytes(data)
    context.run([own, "amend", *SECRET, *new, "--image-opts", "-o", "state=active,new-secret=n,iter-time=10", form]).expect()
    if (context.directory / "image").read_bytes() != before:
        raise Failure("amend has changed the data")
    for name, passphrase in (("first", b"geheim"), ("second", b"neu")):
        (context.directory / name).write_bytes(passphrase)
        context.run(["cryptsetup", "--disable-locks", "luksOpen", "--test-passphrase", "--key-file", name, "--header", "header", "image"]).expect()
    context.run([own, "resize", *SECRET, "--image-opts", form, f"{4 * MIB}"]).expect()
    if (context.directory / "image").stat().st_size != 4 * MIB:
        raise Failure("resize: the data has another length than the disk")
    header = bytearray((context.directory / "header").read_bytes())
    struct.pack_into(">I", header, 104, len(header) // 512)
    (context.directory / "image").write_bytes(bytes(header) + before)
    for secret in ("geheim", "neu"):
        oracle.run(REFERENCE, "convert", "--object", f"secret,id=s,data={secret}", "--image-opts", FORMS["luks"], "-O", "raw", "out", cwd=context.directory)
        if (context.directory / "out").read_bytes() != plain:
            raise Failure("qemu-img finds another content")
    for told, words in (("size parameter", ("create", "-f", "luks", *SECRET, "-o", "key-secret=s,detached-header=off", "other")),
                        ("detached-header", ("convert", "-f", "raw", "-O", "luks", *SECRET, "-o", "key-secret=s,detached-header=on", "plain", "other"))):
        completed = context.run([own, *words]).expect(1)
        if told not in completed.stderr or (context.directory / "other").exists():
            raise Failure(completed.describe(f"not one line with {told!r}"))


BEHIND = "driver=qcow2,file.filename=overlay,backing.driver="
# Of a target of convert -n that has further files: the passphrase, the name.
TARGETS = {"no passphrase": (None, FORMS["luks"]), "another passphrase": ("falsch", FORMS["luks"]),
           "header, no passphrase": (None, "driver=luks,key-secret=s,file.filename=data,header.driver=file,header.filename=header"),
           "header, another passphrase": ("falsch", "driver=luks,key-secret=s,file.filename=data,header.driver=file,header.filename=header"),
           "no header": ("geheim", "driver=luks,key-secret=s,file.filename=data,header.driver=file,header.filename=missing"),
           "header, no data": ("geheim", "driver=luks,key-secret=s,file.filename=missing,header.driver=file,header.filename=header"),
           "backing, no passphrase": (None, BEHIND + "luks,backing.key-secret=s,backing.file.filename=image"),
           "backing, another passphrase": ("falsch", BEHIND + "luks,backing.key-secret=s,backing.file.filename=image"),
           "no backing": (None, BEHIND + "qcow2,backing.file.filename=missing"), "backing is itself": (None, BEHIND + "qcow2,backing.file.filename=overlay"),
           "backing, no image": (None, "driver=qcow2,file.filename=missing,backing.driver=qcow2,backing.file.filename=base")}


@test()
def target_refused(context):
    """One line, qemu-img's where it has such images; with memory that is given back overwritten, so that nothing is told from it."""
    for arguments in (("-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "image", "64k"), ("-f", "qcow2", "base", "64k"), ("-f", "qcow2", "-b", "base", "-F", "qcow2", "overlay")):
        oracle.run(REFERENCE, "create", "-q", *arguments, cwd=context.directory)
    for name, size in (("header", 2 * MIB), ("data", 65536), ("plain", 65536)):
        (context.directory / name).write_bytes((context.directory / "image").read_bytes()[:size].ljust(size, b"\0") if name == "header" else bytes(size))
    before = {path.name: path.read_bytes() for path in context.directory.iterdir()}
    wrong = []
    for name, (passphrase, target) in TARGETS.items():
        objects = ("--object", f"secret,id=s,data={passphrase}") if passphrase else ()
        arguments = ["convert", "-n", "-f", "raw", *objects, "--target-image-opts", "plain", target]
        own = context.run([context.qemu_img_beside, *arguments], env=dict(context.environment, MALLOC_PERTURB_="90"))
        reference = context.run([REFERENCE, *arguments])
        is_alike = "header" in name or "itself" in name or own.stderr == reference.stderr  # it has no headers, and finds a lock
        if (own.status, reference.status, len(own.stderr.splitlines())) != (1, 1, 1) or not own.stderr.startswith(f"qemu-img: Could not open '{target}'") or not is_alike:
            wrong.append(own.describe(f"{name}: not {reference.stderr}"))
    if wrong:
        raise Failure("\n".join(wrong))
    if {path.name: path.read_bytes() for path in context.directory.iterdir()} != before:
        raise Failure("a file has changed")


KEYS = {"ours": "von uns", "qemu": "von qemu", "cryptsetup": "von cryptsetup"}


def opens(context, passphrase):
    """Which of the three programs open the volume by it."""
    (context.directory / "key").write_text(passphrase)
    secret = ("--object", f"secret,id=s,data={passphrase}")
    programs = {"ours": [context.qemu_img_beside, "map", "--output=json", *secret, "--image-opts", FORMS["luks"]],
                "qemu": [REFERENCE, "map", "--output=json", *secret, "--image-opts", FORMS["luks"]],
                "cryptsetup": ["cryptsetup", "--disable-locks", "luksOpen", "--test-passphrase", "--key-file", "key", "image"]}
    return {name for name, arguments in programs.items() if context.run(arguments).status == 0}


def slots_expect(context, expected, what):
    for passphrase in ("geheim", *KEYS.values()):
        found = opens(context, passphrase)
        if found != (set(KEYS) if passphrase in expected else set()):
            raise Failure(f"{what}: {passphrase!r} opens it for {found or 'none'} of the programs")


def amend(context, program, *options):
    (context.directory / "first").write_text("geheim")
    objects = [word for name, text in KEYS.items() for word in ("--object", f"secret,id={name},data={text}")]
    oracle.run(program, "amend", *SECRET, *objects, "--image-opts", "-o", ",".join(options), FORMS["luks"], cwd=context.directory)


@test()
def key_slots(context):
    """Passphrases that one program adds open the volume for the others, and those that one takes away do not."""
    tool = ["cryptsetup", "-q", "--disable-locks", "--key-file", "first"]
    context.run([context.qemu_img_beside, "create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "image", "64k"]).expect()
    programs = {"ours": context.qemu_img_beside, "qemu": REFERENCE}
    for name, program in programs.items():
        amend(context, program, "state=active", f"new-secret={name}", "iter-time=10")
    (context.directory / "key").write_text(KEYS["cryptsetup"])
    context.run([*tool, "--pbkdf-force-iterations", "1000", "luksAddKey", "image", "key"]).expect()
    slots_expect(context, {"geheim", *KEYS.values()}, "all are there")
    # Each program takes away what another one has added.
    amend(context, programs["ours"], "state=inactive", "old-secret=cryptsetup")
    slots_expect(context, {"geheim", KEYS["ours"], KEYS["qemu"]}, "ours has taken one")
    amend(context, programs["qemu"], "state=inactive", "old-secret=ours")
    slots_expect(context, {"geheim", KEYS["qemu"]}, "qemu-img has taken one")
    (context.directory / "key").write_text(KEYS["qemu"])
    context.run(["cryptsetup", "-q", "--disable-locks", "luksRemoveKey", "image", "key"]).expect()
    slots_expect(context, {"geheim"}, "cryptsetup has taken one")


# With --force, the only slot is overwritten or erased; without, not: beside qemu-img, and in which order both look.
FORCED = [("state=inactive,keyslot=0",), ("state=inactive,old-secret=s",), ("state=inactive,old-secret=s,keyslot=0",), ("state=active,new-secret=n,keyslot=0,iter-time=10",),
          ("state=active,new-secret=x,keyslot=0",), ("state=inactive,old-secret=x,keyslot=8",), ("state=inactive,old-secret=s,keyslot=8",),
          ("state=inactive,keyslot=3",), ("state=inactive,old-secret=n",), ("state=active,new-secret=n,keyslot=8",)]


@test(cases=[f"{form} {options}" for form, options in daily.sample("encryption forced", [(form, options) for form in ("luks", "qcow2") for (options,) in FORCED], 1)])
def forced(context, case):
    form, options = case.split(" ")
    prefix = "encrypt." if form == "qcow2" else ""
    words = ",".join(prefix + option for option in options.split(","))
    make = ["create", "-q", "-f", form, *SECRET, "-o", f"{QUICK}" if prefix else "key-secret=s,iter-time=10", "image", "64k"]
    for force in ((), ("--force",)):
        results = []
        for program in (REFERENCE, context.qemu_img_beside):
            context.run([context.qemu_img_beside, *make]).expect()
            done = context.run([program, "amend", *force, *SECRET, "--object", "secret,id=n,data=neu", "--image-opts", "-o", words, FORMS[form]])
            opened = [context.run([REFERENCE, "map", "--output=json", "--object", f"secret,id=s,data={text}", "--image-opts", FORMS[form]]).status for text in ("geheim", "neu")]
            results.append((done.status, done.stderr, opened))
        if results[0] != results[1]:
            raise Failure(f"{force} {options}: {results[1]}, qemu-img {results[0]}")


@test(cases=daily.sample("encryption memory", ["commit", "amend", "rebase"], 1))
def memory(context, case):
    """While a job has two secrets: neither would be in a core file of the parent, nor stand in /proc."""
    encrypted.content_make(context)
    secrets = ("--object", "secret,id=s,data=geheim", "--object", "secret,id=n,data=heimlich")
    own = context.qemu_img_beside
    if case in ("commit", "rebase"):
        iter_time = 10 if case == "commit" else 1000  # so long it takes to open it once more
        context.run([own, "convert", "-f", "raw", "-O", "luks", *SECRET, "-o", f"key-secret=s,iter-time={iter_time}", "plain", "base"]).expect()
        context.run([own, "create", "-q", "-u", "-f", "qcow2", *secrets, "-o", QUICK.replace("=s", "=n"), "-b", "base", "-F", "luks", "image", f"{DISK_LEN}"]).expect()
        chain = "driver=qcow2,encrypt.key-secret=n,file.filename=image,backing.driver=luks,backing.key-secret=s,backing.file.filename=base"
        context.run([own, "bench", "-w", "-c", "20", "-s", "65536", *secrets, "--image-opts", chain]).expect()
        arguments = ["commit", "-r", "256k", *secrets, "--image-opts", chain]
        if case == "rebase":
            arguments = ["rebase", *secrets, "--image-opts", "-b", "", chain]
    else:
        context.run([own, "create", "-q", "-f", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "image", "64k"]).expect()
        arguments = ["amend", *secrets, "--image-opts", "-o", "state=active,new-secret=n,iter-time=1000", FORMS["luks"]]
    process = context.start([own, *arguments])
    while context.left_s() > 1 and process.poll() is None and len(session_processes(process.pid)) < 2:
        time.sleep(0.01)
    time.sleep(0.1)
    told = b"".join(open(f"/proc/{process.pid}/{name}", "rb").read() for name in ("cmdline", "environ"))
    found = [(is_in_core, name) for is_in_core, name, data in memory_of_core(process.pid) for text in (b"geheim", b"heimlich") if text in data]
    others = [pid for pid in session_processes(process.pid) if pid != process.pid]
    limits = [open(f"/proc/{pid}/limits", encoding="ascii").read() for pid in others]
    os.kill(process.pid, 2)
    done = context.finish(process)
    if not others or not found:
        raise Failure(f"the job was over, or the passphrases are not even where they must be: {done.stderr}")
    if b"geheim" in told or b"heimlich" in told or any(is_in_core for is_in_core, _ in found):
        raise Failure(f"a passphrase can be seen: {found}")
    if not all(re.search(r"^Max core file size +0 ", text, re.M) for text in limits):
        raise Failure("one of the other processes may make a core file")


@test(cases=["commit", "create", "convert"])
def first_jobs(context, case):
    """While another process of the command looks at images before the job, no secret is among anybody's arguments."""
    encrypted.content_make(context)
    own = context.qemu_img_beside
    context.run([own, "convert", "-f", "raw", "-O", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "plain", "base"]).expect()
    context.run([own, "create", "-q", "-u", "-f", "qcow2", *SECRET, "-o", QUICK, "-b", "base", "-F", "luks", "image", f"{DISK_LEN}"]).expect()
    words = {"commit": ["commit", "--backing=beside", "--backing-file", "base", "--image-opts", QCOW2],
             "create": ["create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "-b", "image", "-F", "qcow2", "out.vmdk"],
             "convert": ["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "--image-opts", FORMS["luks"].replace("=image", "=base"), "out.vmdk"]}[case]
    os.mkfifo(context.directory / "late")
    process = context.start([own, words[0], "--object", "secret,id=b,file=late", *SECRET, *words[1:]])
    with open(context.directory / "late", "wb") as late:  # the first of its processes waits for bytes
        told = [(pid, open(f"/proc/{pid}/cmdline", "rb").read()) for pid in session_processes(process.pid)]
        late.write(b"x")
    process.kill()
    context.finish(process)
    if not told or any(b"geheim" in text for _, text in told):
        raise Failure(f"the passphrase can be seen: {told}")


@test(cases=["convert", "create", "commit"])
def once(context, case):
    """A pipe has a passphrase once, also for commands that look at images before their job."""
    encrypted.content_make(context)
    own = context.qemu_img_beside
    context.run([own, "convert", "-f", "raw", "-O", "luks", *SECRET, "-o", "key-secret=s,iter-time=10", "plain", "base"]).expect()
    os.mkfifo(context.directory / "pipe")
    subformat = ("-O" if case == "convert" else "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    words = {"convert": ["convert", *subformat, "--image-opts", FORMS["luks"].replace("=image", "=base"), "out.vmdk"],
             "create": ["create", "-q", *subformat, "-b", "behind.vmdk", "-F", "vmdk", "out.vmdk"],
             "commit": ["commit", "-q", "--backing=beside", "--backing-file", "base", "--image-opts",
                        "driver=qcow2,file.filename=overlay,backing.driver=luks,backing.key-secret=s,backing.file.filename=base"]}[case]
    if case == "create":
        context.run([own, "create", "-q", "-f", "vmdk", "behind.vmdk", "1M"]).expect()
    if case == "commit":
        context.run([own, "create", "-q", "-u", "-f", "qcow2", "-b", "base", "-F", "luks", "overlay", f"{DISK_LEN}"]).expect()
    process = context.start([own, words[0], "--object", "secret,id=s,file=pipe", *words[1:]])
    with open(context.directory / "pipe", "wb") as pipe:
        pipe.write(b"geheim")
    done = context.finish(process)
    if done.status != 0:
        raise Failure(f"{done.status}: {done.stderr}")
    if case == "convert":
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "vmdk", "plain", "out.vmdk"]).expect()


@test()
def batch(context):
    """A passphrase in a manifest is in no result, report or message, and in no core file; among the options of each job it is refused."""
    encrypted.content_make(context)
    own = context.build.instar
    make = ["convert", "-O", "luks", "-o", "key-secret=s,iter-time=10", "--object"]
    object_of = "secret,id=s,data={}"
    lines = [{"id": "a", "command": [*make, object_of.format("geheim")], "inputs": ["plain"], "output": "one"},
             {"id": "b", "command": [*make, object_of.format("geheim,x")], "inputs": ["plain"], "output": "two"},
             {"id": "c", "command": [*make[:-1], "--object=" + object_of.format("geheim")], "inputs": ["plain"], "output": "three"}]
    fingerprints = []
    for passphrase in ("geheim", "geraten"):
        text = "".join(json.dumps(line) + "\n" for line in lines) + '{"id": "d", "command": ["info", "--object", "secret,id=s,data=geheim]}\n'
        (context.directory / "jobs").write_text(text.replace("geheim", passphrase))
        done = context.run([own, "batch", "jobs"])
        reports = [context.run([own, "batch", f"--report={form}", "jobs"]).stdout for form in ("text", "json", "svg")]
        results = (context.directory / "jobs.results").read_text()
        if any(passphrase in told for told in (done.stdout, done.stderr, results, *reports)):
            raise Failure(f"the passphrase is told: {done.stderr} {results}")
        found = [json.loads(line) for line in results.splitlines()]
        if sorted(line["outcome"] for line in found) != ["done", "done", "failed", "invalid"]:
            raise Failure(f"{results}")
        fingerprints.append(sorted((line["id"] or "", line.get("job") or "") for line in found))
        os.unlink(context.directory / "jobs.results")
        for name in ("one", "three"):
            os.unlink(context.directory / name)
    if fingerprints[0] != fingerprints[1]:
        raise Failure("results tell whether a passphrase was guessed")
    for words in (["--object", object_of.format("geheim")], ["--object=" + object_of.format("geheim")], ["--obj", '{"qom-type": "secret", "id": "s", "d\\u0061ta": "geheim"}']):
        for more in ([], ["--submit=slurm", "--shards", "2", "--dry-run"]):
            done = context.run([own, "batch", *more, "jobs", "--", *words])
            if done.status != 1 or "geheim" in done.stdout + done.stderr or "file=" not in done.stderr or done.stderr.count("\n") != 1:
                raise Failure(f"{words}: {done.status} {done.stdout} {done.stderr}")
    os.mkfifo(context.directory / "pipe")
    lines[0]["command"] += ["--object", "secret,id=late,file=pipe"]
    (context.directory / "jobs").write_text(json.dumps(lines[0]) + "\n")
    process = context.start([own, "batch", "-q", "jobs"])
    with open(context.directory / "pipe", "wb"):  # its job waits
        filters = [open(f"/proc/{pid}/coredump_filter", encoding="ascii").read().strip("0\n") for pid in session_processes(process.pid)]
    if context.finish(process).status != 0 or not filters or any(filters):
        raise Failure(f"a core file would have it: {filters}")
