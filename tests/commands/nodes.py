# SPDX-License-Identifier: Apache-2.0
"""Images that json: and --image-opts consist of: "backing" files that the user names, raw nodes over another format."""

import json

from lib import daily, recipes
from lib.beside import REFERENCE, digest, same
from lib.python_tests import test
from lib.suite import Failure

# What is behind alone.qcow2, as the members of its node. base.raw is beside: nothing has to be allowed for it.
BEHIND = {
    "raw": {"driver": "raw", "file": {"driver": "file", "filename": "base.raw"}},
    "file": {"driver": "file", "filename": "base.raw"},
    "probed": {"file.filename": "base.raw"},
    "part": {"driver": "raw", "offset": 65536, "file": {"driver": "file", "filename": "base.raw"}},
    "itself": {"driver": "qcow2", "file.filename": "alone.qcow2"},
    "null": {"driver": "qcow2", "file.filename": "over.qcow2", "backing": None},
    "two": {"driver": "qcow2", "file.filename": "over.qcow2", "backing": {"driver": "vmdk", "file.filename": "stream.vmdk"}},
    "compressed": {"driver": "vmdk", "file.filename": "stream.vmdk"},
    "disk": {"driver": "raw", "offset": 66048, "file": {"driver": "vmdk", "file.filename": "stream.vmdk"}},
    "within": {"driver": "qcow2", "file": {"driver": "raw", "offset": 4096, "file": {"filename": "whole.bin"}}},
}
# Raw nodes over an image, as members of the outermost one; units of so many bytes are compressed in it.
OVER = {
    "disk": ({}, "alone.qcow2", "qcow2"),
    "part": ({"offset": "64k", "size": 512000}, "alone.qcow2", "qcow2"),
    "grains": ({"offset": 66048}, "stream.vmdk", "vmdk"),
    "clusters": ({"offset": 1024, "size": 200704}, "small.qcow2", "qcow2"),
    "qed": ({"offset": 512}, "disk.qed", "qed"),
    "vdi": ({}, "disk.vdi", "vdi"),
}
BROKEN = {
    "missing": {"driver": "raw", "file.filename": "nothing.raw"},
    "other-format": {"driver": "qcow2", "file.filename": "base.raw"},
    "no-file": {"driver": "qcow2"},
    "text": "node",
    "option": {"driver": "raw", "file.filename": "base.raw", "x": 1},
    "file-option": {"driver": "raw", "file": {"driver": "file", "filename": "base.raw", "y": 1}},
    "no-format": {"driver": "nothing", "file.filename": "base.raw"},
}


def make(context):
    recipes.make_once(files_make, context.directory)


def files_make(directory):
    def reference(*words):
        recipes.Maker(directory).run(REFERENCE, *words)

    def change(*words):
        recipes.Maker(directory).run("/usr/bin/qemu-io", *words)
    reference("create", "-q", "-f", "raw", "base.raw", "1M")
    change("-f", "raw", "-c", "write -P 7 0 256k", "-c", "write -P 8 400k 70k", "base.raw")
    reference("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "over.qcow2")
    change("-c", "write -P 9 128k 64k", "over.qcow2")
    reference("create", "-q", "-f", "qcow2", "alone.qcow2", "1M")
    change("-c", "write -P 3 512k 64k", "alone.qcow2")
    (directory / "text.raw").write_bytes(b"".join(b"%07d\n" % line for line in range(1 << 17)))
    reference("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "text.raw", "stream.vmdk")
    reference("convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "text.raw", "small.qcow2")
    reference("convert", "-f", "raw", "-O", "qed", "text.raw", "disk.qed")
    reference("convert", "-f", "raw", "-O", "vdi", "base.raw", "disk.vdi")
    (directory / "whole.bin").write_bytes(b"\x55" * 4096 + (directory / "alone.qcow2").read_bytes())


def content(context, name, compares=True):
    """By convert to raw, and by way of qcow2. qemu-img's compare takes for zeros what is behind an image in a raw node."""
    for program, target in ((REFERENCE, "reference.raw"), (context.qemu_img, "own.raw")):
        context.run([program, "convert", "-O", "raw", name, target]).expect()
    if digest(context.directory / "reference.raw") != digest(context.directory / "own.raw"):
        raise Failure(f"another content than qemu-img's of {name}")
    context.run([context.qemu_img, "convert", "-c", "-O", "qcow2", name, "own.qcow2"]).expect()
    context.run([REFERENCE, "compare", "-f", "qcow2", "-F", "raw", "own.qcow2", "reference.raw"]).expect()
    if compares:
        same(context, "compare", "-F", "raw", name, "reference.raw")
    else:
        context.run([context.qemu_img, "compare", "-F", "raw", name, "reference.raw"]).expect()


def with_backing(backing):
    return "json:" + json.dumps({"driver": "qcow2", "file.filename": "alone.qcow2", "backing": backing})


def over_image(case):
    options, file, driver = OVER[case]
    inner = {"driver": driver, "file": {"driver": "file", "filename": file}}
    return "json:" + json.dumps({"driver": "raw", **options, "file": inner})


@test(cases=daily.sample("nodes behind", list(BEHIND), 3), timeout=120)
def behind(context, case):
    """What the user names is behind the image, and opened as the user's; `info` refuses it as qemu-img's does."""
    make(context)
    name = with_backing(BEHIND[case])
    for words in (["map"], ["map", "--output=json"], ["check"], ["info"], ["info", "--backing-chain", "--output=json"]):
        same(context, *words, name)
    same(context, "measure", "-O", "qcow2", name)
    content(context, name)


@test(timeout=120)
def behind_broken(context):
    """In qemu-img's words, and nothing is made."""
    make(context)
    for node in BROKEN.values():
        name = with_backing(node)
        if same(context, "map", name).status != 1:
            raise Failure(f"qemu-img takes {name}")
    context.run([context.qemu_img, "convert", "-O", "raw", with_backing(BROKEN["other-format"]), "own.raw"]).expect(1)
    if (context.directory / "own.raw").exists():
        raise Failure("there is an output")


@test()
def behind_by_options(context):
    make(context)
    options = ("driver=qcow2,file.filename=alone.qcow2,backing.driver=qcow2,backing.file.filename=over.qcow2,"
               "backing.backing.driver=raw,backing.backing.file.filename=base.raw")
    same(context, "map", "--image-opts", options)
    same(context, "info", "--image-opts", options)
    same(context, "map", 'json:{"driver":"raw","file.filename":"base.raw","backing":{"driver":"raw","file.filename":"base.raw"}}')


FILE = {"driver": "file", "filename": "base.raw"}
RAW = {"driver": "raw", "file": FILE}
QCOW2 = {"driver": "qcow2", "file": {"driver": "file", "filename": "alone.qcow2"}}
# Raw nodes without a part over each other, below and over formats.
RAW_NODES = [
    {"driver": "raw", "file": RAW}, {"driver": "raw", "file": {"driver": "raw", "file": RAW}}, {"file": RAW},
    {"driver": "raw", "offset": 512, "file": RAW}, {"driver": "raw", "offset": 512, "file": {"driver": "raw", "file": RAW}},
    {"driver": "raw", "file": {"driver": "raw", "offset": 1024, "size": "64k", "file": FILE}},
    {"driver": "qcow2", "file": {"driver": "raw", "file": QCOW2["file"]}}, {"file": {"driver": "raw", "file": QCOW2["file"]}},
    {"driver": "raw", "size": 65536, "file": {"driver": "qcow2", "file": {"driver": "raw", "file": QCOW2["file"]}}},
]
# What cannot be behind a node, and where.
WRONG_BACKINGS = [{**node, "backing": backing} for node in (RAW, QCOW2, {"driver": "vdi", "file.filename": "disk.vdi"})
                  for backing in ("x", FILE, {"driver": "nothing"}, {"driver": "raw", "file.filename": "nothing.raw"})]
WRONG_BACKINGS += [{"driver": "raw", "file": {**inner, "backing": backing}} for inner in (FILE, RAW)
                   for backing in ("x", {"driver": "raw"})]
WRONG_BACKINGS += [{"driver": "raw", "offset": 512, "file": QCOW2, "backing": RAW}]


@test(timeout=60)
def raw_over_raw(context):
    make(context)
    for node in RAW_NODES:
        for words in (["info"], ["info", "--output=json", "--backing-chain"], ["map", "--output=json"]):
            same(context, *words, "json:" + json.dumps(node))


@test(timeout=60)
def wrong_backings(context):
    """`info`, which opens nothing behind an image, tells so in other words than the rest."""
    make(context)
    for node in WRONG_BACKINGS:
        for command in ("info", "map"):
            name = "json:" + json.dumps(node)
            done = same(context, command, name)
            if done.status != 1 and not ("qcow2" in name and command == "map"):
                raise Failure(f"qemu-img takes {name}")


def named(node, name):
    return {**node, "node-name": name}


@test(timeout=60)
def node_names(context):
    """Two nodes of a command have no name in common."""
    make(context)
    inner = {"driver": "file", "filename": "alone.qcow2", "node-name": "n"}
    part = {"driver": "raw", "offset": 4096, "file": {"driver": "file", "filename": "whole.bin", "node-name": "n"}}
    behind_it = {"driver": "qcow2", "file": {"driver": "file", "filename": "small.qcow2"}}
    doubles = [named({"driver": "qcow2", "file": inner}, "n"), named({"file": inner}, "n"),
               {"driver": "qcow2", "file": named(part, "n")}, named({"driver": "qcow2", "file": part}, "n"),
               named({"driver": "raw", "file": named(QCOW2, "n")}, "n"),
               named({**QCOW2, "backing": named(behind_it, "n")}, "n"), {"driver": "qcow2", "file": inner, "backing": named(RAW, "n")},
               {**QCOW2, "backing": named({"driver": "raw", "file": named(FILE, "n")}, "n")},
               {**QCOW2, "backing": {**behind_it, "backing": named({"driver": "raw", "file": named(FILE, "n")}, "n")}}]
    for node in doubles:
        if "node-name='n'" not in same(context, "map", "json:" + json.dumps(node)).stderr:
            raise Failure(f"qemu-img takes {node}")
    for name in ("m", ""):
        same(context, "map", "json:" + json.dumps(named({"driver": "qcow2", "file": inner}, name)))
    same(context, "info", "--image-opts", "driver=raw,node-name=n,file.driver=file,file.node-name=n,file.filename=base.raw")
    same(context, "info", "--image-opts", "driver=raw,node-name=n,node-name=n,file.driver=file,file.filename=base.raw")
    one, other = ("json:" + json.dumps(named(RAW, name)) for name in ("n", "m"))
    for words in (["compare", one, one], ["compare", one, other], ["convert", "-O", "raw", one, one, "none"],
                  ["convert", "-n", "-O", "raw", one, one], ["rebase", "-b", one, "-F", "raw", "json:" + json.dumps(named(QCOW2, "n"))]):
        done = same(context, *words, errors=words[0] != "rebase")
        if (done.status == 0) != (other in words):
            raise Failure(done.describe("qemu-img"))


@test()
def behind_vmdk_of_another(context):
    """What is not the parent of a vmdk is told by map, and never read."""
    make(context)
    context.run([REFERENCE, "create", "-q", "-f", "vmdk", "empty.vmdk", "1M"]).expect()
    name = 'json:{"driver":"vmdk","file.filename":"empty.vmdk","backing":{"driver":"raw","file.filename":"base.raw"}}'
    same(context, "map", name)
    for program in (REFERENCE, context.qemu_img):
        context.run([program, "convert", "-O", "raw", name, "out.raw"]).expect(1)


@test()
def policy_stays(context):
    """What an image behind names is no user's word; what the user names is opened without a rule."""
    make(context)
    name = with_backing({"driver": "qcow2", "file.filename": "over.qcow2"})
    done = context.run([context.qemu_img, "map", name]).expect(1)
    if "images lead nowhere" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("no clear line"))
    theirs = context.run([REFERENCE, "map", name]).expect()
    ours = context.run([context.qemu_img_beside, "map", name]).expect()
    if ours.stdout != theirs.stdout:
        raise Failure(theirs.describe("qemu-img") + "\n" + ours.describe("ours"))


@test(cases=daily.sample("nodes over", list(OVER), 2), timeout=120)
def over(context, case):
    """A raw node, and a part of a disk: also where it begins within a compressed unit."""
    make(context)
    name = over_image(case)
    for words in (["map", "--output=json"], ["info"], ["info", "--output=json"], ["info", "--backing-chain"], ["check"]):
        same(context, *words, name)
    same(context, "measure", "-O", "qcow2", name)
    content(context, name)
    done = context.run([context.qemu_img, "bench", "-c", "30", "-s", "7k", "-S", "5k", name])
    if done.status != 0 or done.stderr:
        raise Failure(done.describe("bench"))


@test(timeout=120)
def over_others(context):
    """Names, windows of windows, errors; what is only read is not written to."""
    make(context)
    inner = '{"driver":"qcow2","file.filename":"alone.qcow2"}'
    for name in (f'{{"driver":"raw","file":{{"driver":"raw","file":{inner}}}}}',
                 f'{{"driver":"raw","offset":1024,"file":{{"driver":"raw","offset":512000,"size":"100k","file":{inner}}}}}',
                 '{"driver":"raw","file":{"driver":"qcow2","file":{"driver":"raw","offset":4096,"file.filename":"whole.bin"}}}',
                 '{"driver":"raw","offset":65536,"file":{"driver":"raw","offset":65536,"file.filename":"base.raw"}}',
                 '{"driver":"raw","file":{"driver":"qcow2","file.filename":"alone.qcow2","backing":'
                 '{"driver":"raw","file.filename":"base.raw"}}}',
                 f'{{"driver":"raw","offset":102400000,"file":{inner}}}', f'{{"driver":"raw","size":102400000,"file":{inner}}}',
                 f'{{"driver":"raw","size":1000,"file":{inner}}}'):
        if same(context, "info", "json:" + name).status == 0:
            content(context, "json:" + name, compares="backing" not in name)
    before = digest(context.directory / "alone.qcow2")
    name = f'json:{{"driver":"raw","file":{inner}}}'
    for words in (["resize", name, "4M"], ["bench", "-w", "-c", "1", name], ["convert", "-n", "-O", "raw", "base.raw", name],
                  ["convert", "-O", "qcow2", "-B", "base.raw", "-F", "raw", name, "left.qcow2"],
                  ["info", f'json:{{"driver":"raw","offset":1001,"file":{inner}}}']):
        done = context.run([context.qemu_img, *words]).expect(1)
        if "not supported" not in done.stderr or len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("no clear line"))
    context.run([context.qemu_img, "bench", "-w", "-c", "1", with_backing(BEHIND["itself"])]).expect(1)
    if digest(context.directory / "alone.qcow2") != before or (context.directory / "left.qcow2").exists():
        raise Failure("something was written")
