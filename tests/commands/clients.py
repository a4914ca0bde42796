# SPDX-License-Identifier: Apache-2.0
"""What real programs pass to qemu-img, in their order of arguments and under their limits."""

import hashlib
import json
import re
import resource

from lib import daily, recipes
from lib.chains import Chains
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

# The clients that make images, as "new" of this format, or change one of those that changes() makes.
CHANGES = {
    "nova_create": "create -f qcow2 new 4M",
    "nova_overlay": "create -f qcow2 -o backing_file=base,backing_fmt=qcow2 new",
    "nova_overlay_longer": "create -f qcow2 -o backing_file=base,backing_fmt=qcow2,cluster_size=65536 new 4M",
    "nova_flatten": "rebase -b @ top",
    "nova_rebase": "rebase -b base -F qcow2 top",
    "nova_resize": "resize -f qcow2 alone 8M",
    "cinder_create": "create -f qcow2 -o preallocation=metadata new 4M",
    "cinder_rebase": "rebase -u -b other -F qcow2 top",
    "cinder_rebase_behind": "rebase -u -b other top -F qcow2",
    "cinder_commit": "commit -d top",
    "cinder_resize": "resize alone 8M",
    "libvirt_create": "create -f qcow2 -o compat=0.10 new 4M",
    "libvirt_lazy": "create -f qcow2 -o compat=1.1,lazy_refcounts new 4M",
    "libvirt_subclusters": "create -f qcow2 -o compat=1.1,cluster_size=131072,extended_l2=on new 4M",
    "libvirt_falloc": "create -f qcow2 -o preallocation=falloc,compat=0.10 new 4M",
    "libvirt_overlay": "create -f qcow2 -b base -o backing_fmt=qcow2,compat=0.10 new 4M",
    "libvirt_overlay_by_option": "create -f qcow2 -o backing_fmt=qcow2,backing_file=base new",
    "libvirt_resize": "resize flat 8M",
    "libvirt_shrink": "resize --shrink flat 512k",
    "libvirt_snapshot": "snapshot -c two alone",
    "libvirt_snapshot_apply": "snapshot -a one plain",
    "libvirt_snapshot_delete": "snapshot -d one alone",
    "ovirt_commit": "commit -d -p top",
    "ovirt_copy": "convert -p -t none -T none -W -n --target-is-zero --bitmaps -f qcow2 -O qcow2 alone target",
    "vdsm_bitmap_add": "bitmap --add --enable alone two",
    "vdsm_bitmap_remove": "bitmap --remove alone b",
    "vdsm_bitmap_merge": "bitmap --merge b -F qcow2 -b alone target c",
    "vdsm_amend": "amend -f qcow2 -o compat=1.1 old",
    "incus_rebase": "rebase -u -F qcow2 -b other top",
    "incus_commit": "commit -f qcow2 top",
    "cdi_resize": "resize -f raw flat 8M",
    "proxmox_copy": "convert -p -n -f qcow2 -O raw -l snapshot.name=one alone flat",
    "genimage_create": "create -f raw new 4M",
    "cloud_localds_overlay": "create -f qcow2 -F qcow2 -b base new",
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


@test(cases=daily.sample("clients' inspections", INSPECTIONS, 8))
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


@test(cases=daily.sample("clients' conversions", CONVERSIONS, 7))
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


def changed_make(directory):
    maker = recipes.Maker(directory)
    for name in ("base", "other"):
        maker.create(name, MIB)
        maker.io(name, "write -P 1 0 1M")
    for name, below in (("middle", "base"), ("top", "middle")):
        maker.create(name, 2 * MIB, backing=below)
        maker.io(name, "write -P 2 100k 300k", "write -P 3 1200k 100k")
    for name, options in (("alone", []), ("plain", []), ("target", []), ("old", ["compat=0.10"])):
        maker.create(name, 4 * MIB, *options)
    for name in ("alone", "plain"):
        maker.io(name, "write -P 4 0 1M")
        maker.run("/usr/bin/qemu-img", "snapshot", "-c", "one", name)
        maker.io(name, "write -P 5 512k 2M")
    maker.run("/usr/bin/qemu-img", "bitmap", "--add", "alone", "b")
    maker.create("flat", 4 * MIB, format="raw")


@test(cases=daily.sample("clients' changes", CHANGES, 7))
def changes(context, case):
    """What they make and change is what qemu-img makes of it, with the same words."""
    images = Chains(context)
    maker = images.maker
    recipes.make_once(changed_make, images.folder)
    if "merge" in case:
        maker.run("/usr/bin/qemu-img", "bitmap", "--add", "target", "c")
    (images.folder / "configuration").write_text("[backing]\nallow = beside\ncommit = yes\n")
    images.formats.update(dict.fromkeys(("base", "middle", "top", "alone", "plain", "target", "old"), "qcow2"), flat="raw")
    images.duplicate()
    arguments = ["" if word == "@" else word for word in CHANGES[case].split()]
    ours = images.run("own", arguments[0], "--config", "configuration", *arguments[1:])  # the last one is resize's length
    theirs = images.run("reference", *arguments).expect()
    shown = [done.stdout.split("\r")[-1] for done in (ours, theirs)]  # how often progress is shown is chance
    if (ours.status, ours.stderr, shown[0]) != (theirs.status, theirs.stderr, shown[1]):
        raise Failure(ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
    if "new" in arguments:
        images.formats["new"] = arguments[2]
    images.compare(CHANGES[case])


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
