# SPDX-License-Identifier: Apache-2.0
"""What real programs pass to qemu-img, in their order of arguments and under their limits."""

import hashlib
import json
import re
import resource

from lib import recipes
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
# nova's limits for `qemu-img info`.
ADDRESS_SPACE_LEN = 1 << 30
PROCESSOR_S = 30

# The clients that only look: arguments, P an image, A its absolute path, L a LUKS image, R a raw one.
INSPECTIONS = {
    "nova": "info P --force-share --output=json",
    "nova_format": "info P --force-share --output=json -f qcow2",
    "cinder": "info -f qcow2 --output=json P",
    "cinder_force_share": "info --output=json --force-share P",
    "cinder_raw": "info -f raw --output=json --force-share P",
    "cinder_luks": "info -f luks --output=json P",
    "glance": "info -f qcow2 --output=json P",
    "glance_file": "info --output=json file:A",
    "ironic": "info P --output=json",
    "ovirt": "info --backing-chain -U --output=json P",
    "cinder_raw_of_luks": "info --output=json --force-share L",
    "cinder_luks_of_luks": "info -f luks --output=json --force-share L",
    "cinder_raw_of_raw": "info --output=json --force-share R",
    "cinder_luks_of_raw": "info -f luks --output=json --force-share R",
    "nova_raw": "info R --force-share --output=json -f raw",
    "cinder_key": "map --object secret,id=sec1,data=x --image-opts encrypt.format=luks,encrypt.key-secret=sec1,file.filename=L",
    "ovirt_check": "check --output=json -f qcow2 P",
    "autopkgtest": "info --output=json P",
}

# The clients that read an image to a raw file T.
CONVERSIONS = {
    "nova": "convert -t none -O raw -f qcow2 P T",
    "cinder": "convert -O raw -f qcow2 P T",
    "cinder_cache": "convert -O raw -t none -f qcow2 P T",
    "glance": "convert -f qcow2 -O raw P T",
    "glance_file": "convert -f qcow2 -O raw file:A T",
    "ironic": "convert -O raw -t directsync -S 0 -W P T",
    "ironic_plain": "convert -O raw P T",
    "libvirt": "convert -f qcow2 -O raw P T",
    "ovirt": "convert -p -t none -T none -W -O raw P T",
    "kiwi": "convert -f qcow2 P -O raw T",
    "kiwi_raw": "convert -f raw R -O raw T",
    "genimage": "convert -O raw P T",
    "genimage_raw": "convert -f raw -O raw R T",
}


def limits_set():
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_LEN, ADDRESS_SPACE_LEN))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))


def arguments_make(context, text, target=None):
    image = context.directory / "image"
    text = text.replace("=L", "=luks/image")
    return [{"P": "image", "T": target, "L": "luks/image", "R": "plain"}.get(word, word.replace("file:A", f"file:{image}")) for word in text.split()]


def both(context, text, **options):
    """qemu-img's result and ours."""
    own = context.qemu_img_beside
    return (context.run(["/usr/bin/qemu-img", *arguments_make(context, text, "reference.raw")], **options),
            context.run([own, *arguments_make(context, text, "own.raw")], **options))


def image_make(context):
    recipes.chain(2, [8 * MIB, 6 * MIB])(recipes.Maker(context.directory))
    (context.directory / "plain").write_bytes((bytes(MIB) + b"\x5a" * MIB) * 4)


@test(cases=INSPECTIONS)
def inspections(context, case):
    image_make(context)
    if "L" in INSPECTIONS[case]:
        (context.directory / "luks").mkdir()
        recipes.luks("luks", "", recipes.Maker(context.directory / "luks"))
    reference, own = both(context, INSPECTIONS[case], preexec_fn=limits_set)
    if own.status != reference.status:
        raise Failure(own.describe(f"exit status {own.status}, not {reference.status}"))
    if reference.stdout and json.loads(own.stdout) != json.loads(reference.stdout):
        raise Failure(own.describe("another value") + "\n" + reference.describe("than qemu-img:"))


@test(cases=CONVERSIONS)
def conversions(context, case):
    image_make(context)
    reference, own = both(context, CONVERSIONS[case])
    reference.expect()
    own.expect()
    digests = [hashlib.sha256((context.directory / name).read_bytes()).hexdigest()
               for name in ("reference.raw", "own.raw")]
    if digests[0] != digests[1]:
        raise Failure("the content differs from qemu-img's")
    stored = [(context.directory / name).stat().st_blocks * 512 for name in ("reference.raw", "own.raw")]
    if "-S 0" in CONVERSIONS[case] and stored[1] < 8 * MIB:
        raise Failure(f"-S 0 allocates everything: {stored[1]} bytes, qemu-img {stored[0]}")
    if "-p" in CONVERSIONS[case].split() and not re.search(r"^(    \(\d+\.\d\d/100%\)\r)+\n?$", own.stdout):
        raise Failure(own.describe("no progress as qemu-img's"))


@test()
def leaks(context):
    """oVirt knows by the exit status that there is nothing worse."""
    recipes.leaked(recipes.Maker(context.directory))
    reference, own = both(context, "check --output=json -f qcow2 P")
    if (own.status, json.loads(own.stdout)) != (3, json.loads(reference.stdout)):
        raise Failure(own.describe("another result") + "\n" + reference.describe("than qemu-img:"))


@test()
def in_place(context):
    """oVirt's convert onto a volume that it made before."""
    image_make(context)
    with open(context.directory / "own.raw", "wb") as file:
        file.truncate(8 * MIB)
    identity = (context.directory / "own.raw").stat().st_ino
    own = context.qemu_img_beside
    context.run([own, *"convert -p -t none -T none -W -n --target-is-zero -O raw image own.raw".split()]).expect()
    context.run(["/usr/bin/qemu-img", "compare", "-F", "raw", "image", "own.raw"]).expect()
    if (context.directory / "own.raw").stat().st_ino != identity:
        raise Failure("with -n it is another file")


@test()
def version(context):
    """cinder reads the version."""
    done = context.run([context.qemu_img_beside, "--version"]).expect()
    if not re.match(r"qemu-img version \d+\.\d+", done.stdout):
        raise Failure(done.describe("no version that clients can read"))
