# SPDX-License-Identifier: Apache-2.0
"""New images: what create prints, what info says of them, and what it refuses, beside qemu-img."""

import json

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20
# What depends on how a program allocates, and on the clock.
UNEQUAL = ("actual-size", "filename")

OPTIONS = """
compat=0.10|compat=v2|compat=1.1,lazy_refcounts|compat=v3|cluster_size=512|cluster_size=4k|cluster_size=2M
cluster_size=0x10000|cluster_size=4k,cluster_size=128k|refcount_bits=1|refcount_bits=8|refcount_bits=64
refcount_bits=64,cluster_size=512|extended_l2=on|extended_l2=on,cluster_size=16k|compression_type=zstd
lazy_refcounts=on,extended_l2=off|preallocation=off|preallocation=metadata|preallocation=falloc|preallocation=full
preallocation=metadata,cluster_size=4k,refcount_bits=1|preallocation=metadata,extended_l2=on,cluster_size=128k
preallocation=metadata,compat=0.10|nocow=on|nocow=on,extent_size_hint=1M
""".replace("\n", "|").split("|")[1:-1]
SIZES = "0 1 512 513 1M 1.5M 100000001 2G 0x10000 5T".split()

# What succeeds alike, with the same standard output; there is an image "base" of 3 MiB and a raw file "raw" of 1000
# bytes.
SAME = """
new 10000|-f raw new 1M|-f qcow2 -o cluster_size=1000,cluster_size=1M new 1M|-f raw -o preallocation=falloc new 1M|-f raw -o preallocation=full new 1M
-f raw -o preallocation=off,nocow=on,extent_size_hint=1M new 1M|-f raw -o size=3k new|-f file new 1M
-q -f qcow2 new 1M|-f qcow2 new -o size=3M|-f qcow2 -o size=1k,size=2k new|new -f qcow2 1M
-f qcow2 -b base -F qcow2 new|-f qcow2 -F qcow2 -b base new 20M|-f qcow2 -b base -F raw new
-f qcow2 -o backing_file=base,backing_fmt=qcow2 new|-f qcow2 -o backing_fmt=qcow2,backing_file=base new 9M
-f qcow2 -b base -o backing_fmt=qcow2,compat=0.10 new 5M|-f qcow2 -o backing_fmt=raw -F qcow2 -b base new
-f qcow2 -o backing_file=other -b base -F qcow2 new|-f qcow2 -b raw -F raw new|-f qcow2 -u -b none -F qcow2 new 1M
-f qcow2 -b ../base -F qcow2 sub/new|-f qcow2 -b file:base -F qcow2 new|-f qcow2 -o extended_l2=on -b base -F qcow2 new
-f qcow2 -o cluster_size=512 -b base -F qcow2 new|-f qcow2 --object secret,id=x,data=y new 1M|-f qcow2 file:new 1M
-f qcow2 -o preallocation=metadata,extended_l2=on -b base -F qcow2 new|-f qcow2 -u -b base -F qcow2 new 1M
""".replace("\n", "|").split("|")[1:-1]

# What fails alike, with the same first line of error.
REFUSED = """
-f qcow2|-f qcow2 new|new|new 1M 2M|new 1 2 3|-f foo new 1M|-f qcow2 -o size=1M new 1M|-f qcow2 new 9E|-f qcow2 --bla new 1M
-f qcow2 -b base new|-f qcow2 -b raw new|-f qcow2 -b none -F qcow2 new|-f qcow2 -b none new 1M|-f qcow2 -u -b none new 1M
-f qcow2 -u -b none -F qcow2 new|-f qcow2 -b none -F qcow2 sub/new|-f qcow2 -F qcow2 new 1M|-f raw -b base -F qcow2 new 1M
-f raw -F qcow2 new 1M|-f raw -o backing_file=base new 1M|-f raw -o cluster_size=4k new 1M|-f qcow2 -b base -F qcow2 base
-f qcow2 -o cluster_size=1000 new 1M|-f qcow2 -o cluster_size=4M new 1M|-f qcow2 -o foo=bar new 1M|-f qcow2 -o nocow new 1M
-f qcow2 -o compat=1.2 new 1M|-f qcow2 -o lazy_refcounts=maybe new 1M|-f qcow2 -o refcount_bits=x new 1M
-f qcow2 -o refcount_bits=3 new 1M|-f qcow2 -o preallocation=foo new 1M|-f qcow2 none/new 1M|-f raw none/new 1M
-f qcow2 -o compat=0.10,lazy_refcounts new 1M|-f qcow2 -o compat=0.10,refcount_bits=1 new 1M
-f qcow2 -o compat=0.10,extended_l2=on new 1M|-f qcow2 -o compat=0.10,compression_type=zstd new 1M
-f qcow2 -o extended_l2=on,cluster_size=4k new 1M|-f qcow2 -o compression_type=foo new 1M|-f qcow2 -o , new 1M
-f qcow2 -o preallocation=metadata -b base -F qcow2 new|-f qcow2 -o data_file_raw=on new 1M|-f qcow2 -o cluster_size=512 new 5P
-f raw -o extent_size_hint=6G new 1M|-f qcow2 -o extent_size_hint=4G none/new 1M|-f qcow2 -o backing_fmt=raw new 1M
-q -f qcow2 none/new 1M|-f qcow2 sub 1M|-f qcow2 -o data_file=none/data new 1M|-f raw -F raw none/new 1M
-f qcow2 -b base -F qcow2 sub|-q -f qcow2 -b base -F qcow2 sub|-f vmdk none/ 1M|-f qcow2 none// 1M|-f raw base/ 1M|-f qcow2 sub/ 1M
-f qcow2 none/none/ 1M|-f qcow2 -b ../base -F qcow2 none/|-f qcow2 -b json:{ -F qcow2 new 1M|-f qcow2 -b foo:bar -F raw new
-f qcow2 -b json:[1] new 1M|-f qcow2 -o backing_file=json: new
""".replace("\n", "|").split("|")[1:-1]


def files_make(directory):
    recipes.Maker(directory).create("base", 3 * MIB)
    (directory / "raw").write_bytes(bytes(1000))


def images_make(context):
    recipes.make_once(files_make, context.directory)
    (context.directory / "sub").mkdir()


def create_both(context, arguments):
    """Results of both programs, and what info says of what they made."""
    results = []
    for program in (REFERENCE, context.qemu_img_beside):
        done = context.run([program, "create", *arguments])
        made = [path for path in (context.directory / "new", context.directory / "sub" / "new") if path.exists()]
        info = {}
        if made:
            image_format = ["-f", "qcow2"] if "qcow2" in arguments else ["-f", "raw"]
            info = json.loads(context.run([REFERENCE, "info", "--output=json", *image_format, made[0]]).expect().stdout)
            info["length of a raw file"] = made[0].stat().st_size if image_format[1] == "raw" else 0
            if image_format[1] == "qcow2" and "none" not in arguments:
                context.run([REFERENCE, "check", "-f", "qcow2", made[0]]).expect()
            made[0].unlink()
        for key in UNEQUAL:
            info.pop(key, None)
        results.append((done, info))
    return results


def compare(context, arguments):
    (reference, reference_info), (own, own_info) = create_both(context, arguments)
    if reference.status != 0 or own.status != 0 or own.stderr:
        raise Failure(own.describe("failed") + "\n" + reference.describe("qemu-img:"))
    if own.stdout != reference.stdout:
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))
    if own_info != reference_info or not own_info:
        raise Failure(f"create {' '.join(arguments)}: info is\n{own_info}\nof qemu-img's\n{reference_info}")


@test(cases=daily.sample("create options", OPTIONS, 12), weight=2)
def options(context, case):
    images_make(context)
    for size in ("3M", "100000001"):
        compare(context, ["-f", "qcow2", "-o", case, "new", size])


@test()
def sizes(context):
    for size in SIZES:
        compare(context, ["-f", "qcow2", "new", size])
        compare(context, ["-f", "raw", "new", size])


@test(cases=daily.sample("create same", SAME, 16))
def same(context, case):
    images_make(context)
    compare(context, case.split())


@test(cases=REFUSED)
def refused(context, case):
    images_make(context)
    (reference, reference_info), (own, own_info) = create_both(context, case.split())
    if reference.status != 1 or own.status != 1 or own_info:
        raise Failure(own.describe("expected a refusal") + "\n" + reference.describe("qemu-img:"))
    if own.stderr.splitlines()[0] != reference.stderr.splitlines()[0]:
        raise Failure(own.describe("another message") + "\n" + reference.describe("than qemu-img:"))
    if own.stdout != reference.stdout:
        raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))


@test()
def old_file_is_kept_on_failure(context):
    """qemu-img truncates what is there first."""
    target = context.directory / "new"
    target.write_bytes(b"old" * 1000)
    context.run([context.qemu_img_beside, "create", "-f", "qcow2", "-o", "cluster_size=1000", "new", "1M"]).expect(1)
    if target.read_bytes() != b"old" * 1000:
        raise Failure("the old file has changed")
    context.run([context.qemu_img_beside, "create", "-f", "qcow2", "new", "1M"]).expect()
    context.run([REFERENCE, "check", "-f", "qcow2", "new"]).expect()
    if [path.name for path in context.directory.iterdir()] != ["new"]:
        raise Failure("something was left behind")


@test()
def content_of_new_images(context):
    """Zeros, or the backing file's; and QEMU writes to them."""
    maker = recipes.Maker(context.directory)
    maker.create("base", MIB)
    maker.io("base", "write -P 7 64k 64k")
    for number, choices in enumerate(([], ["-o", "cluster_size=4k,extended_l2=off,refcount_bits=1"], ["-o", "compat=0.10"])):
        for arguments in (["1M"], ["-b", "base", "-F", "qcow2"]):
            name = f"new{number}{len(arguments)}"
            context.run([context.qemu_img_beside, "create", "-f", "qcow2", name, *choices, *arguments]).expect()
            pattern = 7 if "-b" in arguments else 0
            maker.io(name, f"read -P {pattern} 64k 64k", "read -P 0 128k 128k", "write -P 9 100k 300k", "read -P 9 100k 300k",
                     "read -P 0 400k 600k")
            context.run([REFERENCE, "check", name]).expect()


@test(cases=["raw", "qcow2", "file", "vdi", "vmdk", "vpc", "vhdx", "qed", "parallels", "qcow", "luks"])
def options_are_listed(context, case):
    """In qemu-img's words."""
    for name in ([], ["new"]):
        lists = []
        for program in (REFERENCE, context.qemu_img_beside):
            done = context.run([program, "create", "-f", case, "-o", "help", *name]).expect()
            lists.append(done.stdout)
        if lists[0] != lists[1]:
            raise Failure(f"{lists[1]} instead of {lists[0]}")
