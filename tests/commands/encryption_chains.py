# SPDX-License-Identifier: Apache-2.0
"""Encrypted images with others behind them: commit, rebase, convert -n and bench -w, each image with its own secret, beside qemu-img."""

import shutil

from lib import daily, encrypted, oracle
from lib.encrypted import DISK_LEN, MIB, REFERENCE
from lib.python_tests import test
from lib.suite import Failure

SECRETS = (*encrypted.SECRET, "--object", "secret,id=t,data=anders")
QUICK = "encrypt.format=luks,encrypt.iter-time=10,encrypt.key-secret="
LONG_LEN = DISK_LEN + MIB + 512
# How the base is named as a node, without its file.
BASES = {"luks": "driver=luks,key-secret=s", "qcow2": "driver=qcow2,encrypt.key-secret=s", "aes": "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s",
         "qcow": "driver=qcow,encrypt.key-secret=s", "raw": "driver=raw"}
OVERLAYS = {"clear": "driver=qcow2", "encrypted": "driver=qcow2,encrypt.key-secret=t"}


def node(form, name, prefix=""):
    """The words of --image-opts for an image of this form."""
    return ",".join(f"{prefix}{option}" for option in [*form.split(","), f"file.filename={name}"])


def chain(base, overlay, base_name="base", overlay_name="overlay"):
    return node(OVERLAYS[overlay], overlay_name) + "," + node(BASES[base], base_name, "backing.")


def bases_make(context, base):
    """"base" with the content of "plain"."""
    encrypted.content_make(context)
    if base == "raw":
        shutil.copy(context.directory / "plain", context.directory / "base")
        return
    encrypted.image_make(context, base)
    (context.directory / "image").rename(context.directory / "base")


def overlay_make(context, base, overlay, length=DISK_LEN, name="overlay"):
    """An overlay with parts of clusters, whole ones and zeros, by qemu-io; returns what the disk has."""
    key = f",{QUICK}t" if overlay == "encrypted" else ""
    driver = BASES[base].split(",")[0].split("=")[1]
    context.run([context.qemu_img_beside, "create", "-q", "-u", "-f", "qcow2", *SECRETS, "-o", f"cluster_size=16k{key}", "-b", "base", "-F", driver, name, f"{length}"]).expect()
    disk = bytearray((context.directory / "plain").read_bytes().ljust(length, b"\0"))
    commands = []
    for i, (start, size) in enumerate(((0, 512), (70144, 1536), (200 << 10, 90 << 10), (1 << 20, 16 << 10), (length - 1024, 1024))):
        commands += ["-c", f"write -P {i + 1} {start} {size}"]
        disk[start:start + size] = bytes([i + 1]) * size
    commands += ["-c", f"write -z {500 << 10} {40 << 10}"]
    disk[500 << 10:540 << 10] = bytes(40 << 10)
    oracle.run("qemu-io", *SECRETS, "--image-opts", chain(base, overlay, overlay_name=name), *commands, cwd=context.directory)
    return bytes(disk)


def content(context, options, program=REFERENCE):
    oracle.run(program, "convert", *SECRETS, "--image-opts", options, "-O", "raw", "content", cwd=context.directory)
    return (context.directory / "content").read_bytes()


def expect(context, options, disk, what):
    if content(context, options) != disk:
        raise Failure(f"{what}: qemu-img finds another content")
    context.run([context.qemu_img_beside, "convert", *SECRETS, "--image-opts", options, "-O", "raw", "content"]).expect()
    if (context.directory / "content").read_bytes() != disk:
        raise Failure(f"{what}: we find another content")


def stored(context, options):
    """Whether the first image of the chain has anything itself."""
    told = oracle.run(REFERENCE, "map", *SECRETS, "--image-opts", options, "--output=json", cwd=context.directory).stdout
    return '"depth": 0, "present": true' in told


PAIRS = [f"{base} {overlay}" for base in BASES for overlay in OVERLAYS if (base, overlay) != ("raw", "clear")]


@test(cases=daily.sample("encryption committed", PAIRS, 1))
def committed(context, case):
    base, overlay = case.split()
    bases_make(context, base)
    disk = overlay_make(context, base, overlay)
    done = context.run([context.qemu_img_beside, "commit", *SECRETS, "--image-opts", chain(base, overlay)]).expect()
    if done.stdout != "Image committed.\n":
        raise Failure(done.describe("other words than qemu-img's"))
    expect(context, node(BASES[base], "base"), disk, "the base")
    expect(context, chain(base, overlay), disk, "the overlay")
    if stored(context, chain(base, overlay)):
        raise Failure("the overlay was not emptied")


@test(cases=daily.sample("encryption committed longer", ["luks", "qcow2", "aes"], 1))
def committed_longer(context, case):
    """The base gets as long as the overlay; what nobody has written there is zeros. With -b the overlay stays."""
    bases_make(context, case)
    disk = overlay_make(context, case, "encrypted", LONG_LEN)
    context.run([context.qemu_img_beside, "commit", "-q", "-b", "base", *SECRETS, "--image-opts", chain(case, "encrypted")]).expect()
    expect(context, node(BASES[case], "base"), disk, "the base")
    if not stored(context, chain(case, "encrypted")):
        raise Failure("the overlay was emptied")


@test()
def not_committed(context):
    """Without a key, or with a wrong one, nothing changes; qemu-img's words."""
    bases_make(context, "luks")
    overlay_make(context, "luks", "encrypted")
    before = [(context.directory / name).read_bytes() for name in ("base", "overlay")]
    right = chain("luks", "encrypted")
    for options in (right.replace("backing.key-secret=s", "backing.key-secret=t"), right.replace("backing.key-secret=s,", ""),
                    right.replace("backing.key-secret=s", "backing.key-secret=x"), right.replace("encrypt.key-secret=t", "encrypt.key-secret=s")):
        theirs, own = (context.run([program, "commit", *SECRETS, "--image-opts", options]) for program in (REFERENCE, context.qemu_img_beside))
        if (own.status, own.stderr) != (theirs.status, theirs.stderr) or own.status != 1:
            raise Failure(own.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
    if before != [(context.directory / name).read_bytes() for name in ("base", "overlay")]:
        raise Failure("what is refused has changed an image")


@test(cases=daily.sample("encryption rebased", PAIRS, 1))
def rebased(context, case):
    """To another encrypted image, and to none; the disk stays."""
    base, overlay = case.split()
    bases_make(context, base)
    disk = overlay_make(context, base, overlay)
    own = context.qemu_img_beside
    other = bytearray((context.directory / "plain").read_bytes())
    other[300 << 10:301 << 10] = b"\x77" * 1024  # what the new one does not have alike
    (context.directory / "other").write_bytes(other)
    context.run([own, "convert", "-f", "raw", "-O", "luks", *SECRETS, "-o", "key-secret=t,iter-time=10", "other", "new"]).expect()
    name = 'json:{"driver":"luks","key-secret":"t","file":{"driver":"file","filename":"new"}}'
    arguments = ["rebase", *SECRETS, "--image-opts", "-b", name, "-F", "luks", chain(base, overlay)]
    shutil.copy(context.directory / "overlay", context.directory / "reference")
    theirs = context.run([REFERENCE, *(word.replace("file.filename=overlay", "file.filename=reference") for word in arguments)])
    mine = context.run([own, *arguments])
    if (mine.status, mine.stderr) != (theirs.status, theirs.stderr):
        raise Failure(mine.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
    after = node(OVERLAYS[overlay], "overlay") + ",backing.driver=luks,backing.key-secret=t,backing.file.filename=new"
    expect(context, after if mine.status == 0 else chain(base, overlay), disk, "with a new base")
    options = after if mine.status == 0 else chain(base, overlay)
    context.run([own, "rebase", *SECRETS, "--image-opts", "-b", "", options]).expect()
    expect(context, node(OVERLAYS[overlay], "overlay"), disk, "without a base")
    context.run([REFERENCE, "check", *SECRETS, "--image-opts", node(OVERLAYS[overlay], "overlay")]).expect()


@test(cases=daily.sample("encryption into overlays", PAIRS, 1))
def into_overlays(context, case):
    """bench -w and resize of an overlay: what is around a part of a cluster comes from the encrypted base. convert -n, snapshot and check, too."""
    base, overlay = case.split()
    bases_make(context, base)
    disk = bytearray(overlay_make(context, base, overlay))
    own, options = context.qemu_img_beside, chain(base, overlay)
    context.run([own, "bench", "-w", "-c", "4", "-d", "1", "-s", "1536", "-S", "150016", "-o", "600064", "--pattern", "90", *SECRETS, "--image-opts", options]).expect()
    for i in range(4):
        at = 600064 + 150016 * i
        disk[at:at + 1536] = b"\x5a" * 1536
    expect(context, options, bytes(disk), "bench -w")
    context.run([own, "snapshot", "-c", "one", *SECRETS, "--image-opts", options]).expect()
    context.run([own, "resize", *SECRETS, "--image-opts", options, f"{LONG_LEN}"]).expect()
    disk = disk.ljust(LONG_LEN, b"\0")
    expect(context, options, bytes(disk), "resize")
    new = bytes(reversed(disk))[:2 * MIB + 512]
    (context.directory / "new").write_bytes(new)
    context.run([own, "convert", "-n", "-f", "raw", *SECRETS, "--target-image-opts", "new", options]).expect()
    disk[:len(new)] = new
    expect(context, options, bytes(disk), "convert -n")
    for program in (own, REFERENCE):
        context.run([program, "check", *SECRETS, "--image-opts", options]).expect()
    listed = [context.run([program, "snapshot", "-l", *SECRETS, "--image-opts", options]).expect().stdout for program in (own, REFERENCE)]
    if listed[0] != listed[1]:
        raise Failure(f"{listed[0]} instead of {listed[1]}")
