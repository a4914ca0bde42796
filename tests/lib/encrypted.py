# SPDX-License-Identifier: Apache-2.0
"""Encrypted images of qemu-img's for tests, and what we read of them."""

import random
import re

from lib import oracle, recipes
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20
SECRET = ("--object", "secret,id=s,data=geheim")
DISK_LEN = 3 * MIB + 512 * 5
# QEMU's makes no image with keys of 24 bytes: an assertion of its own fails.
CIPHERS = [f"{cipher}{mode}-{iv}" for cipher in ("aes-128", "aes-256", "serpent-128", "serpent-256", "twofish-128", "twofish-256")
           for mode, iv in (("/xts", "plain64"), ("/cbc", "plain64"), ("/cbc", "plain"), ("/ctr", "plain64"), ("/ecb", "plain64"))]
CIPHERS += ["aes-192/xts-plain64", "serpent-192/xts-plain", "twofish-192/xts-plain64", "cast5-128/cbc-plain64", "cast5-128/ctr-plain",
            "aes-256/cbc-essiv", "serpent-256/cbc-essiv", "twofish-256/xts-essiv"]
HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160")
# A name of the image in the words of --image-opts, and its driver.
FORMS = {"luks": "driver=luks,key-secret=s,file.filename=image", "qcow2": "driver=qcow2,encrypt.key-secret=s,file.filename=image",
         "aes": "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename=image",
         "qcow": "driver=qcow,encrypt.key-secret=s,file.filename=image"}


def content_make(context):
    dice = random.Random(17)
    data = b"".join(dice.randbytes(64 << 10) if dice.random() < 0.6 else bytes(64 << 10) for _ in range(DISK_LEN // (64 << 10) + 1))
    (context.directory / "plain").write_bytes(data[:DISK_LEN])


def options_of(case, prefix=""):
    cipher, rest = case.split("/")
    mode, iv = rest.split("-")
    options = {"cipher-alg": cipher, "cipher-mode": mode, "ivgen-alg": iv, "iter-time": "10", "key-secret": "s"}
    if iv == "essiv":
        options["ivgen-hash-alg"] = "sha256"
    return ",".join(f"{prefix}{key}={value}" for key, value in options.items())


def image_make(context, form, case="aes-256/xts-plain64", more=""):
    """An image of this form with the content of "plain". For a new key, qemu-img measures for seconds how fast it is."""
    recipes.make_once(lambda directory: image_write(directory, form, case, more), context.directory, f"encrypted {form} {case} {more}")


def image_write(directory, form, case, more):
    if form in ("luks", "qcow2"):
        prefix = "encrypt." if form == "qcow2" else ""
        options = options_of(case, prefix) + more + (",encrypt.format=luks" if prefix else "")
        oracle.run(REFERENCE, "convert", "-f", "raw", "-O", form, *SECRET, "-o", options, "plain", "image", cwd=directory)
        return
    # What is encrypted the old way is not made any more, but written: an empty image that says so.
    image_format = "qcow" if form == "qcow" else "qcow2"
    oracle.run(REFERENCE, "create", "-q", "-f", image_format, "image", DISK_LEN, cwd=directory)
    with open(directory / "image", "r+b") as file:
        file.seek(36 if form == "qcow" else 32)
        file.write(b"\0\0\0\1")
    oracle.run(REFERENCE, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", FORMS[form], cwd=directory)


def own_content(context, *arguments):
    context.run([context.qemu_img_beside, "convert", *SECRET, *arguments, "-O", "raw", "own"]).expect()
    return (context.directory / "own").read_bytes()


def expect_plain(context, *arguments):
    if own_content(context, *arguments) != (context.directory / "plain").read_bytes():
        raise Failure(f"another content: {arguments}")


def memory_of_core(pid):
    """What a process has: whether a core file of it would have that, too, the mapping's name, its bytes."""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in smaps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \S+ *(.*)", line)
            if found:
                start, end, name = int(found[1], 16), int(found[2], 16), found[4]
            elif line.startswith("VmFlags:") and "rd" in line.split() and not name.startswith("[v"):
                memory.seek(start)
                yield "dd" not in line.split(), name, memory.read(end - start)
