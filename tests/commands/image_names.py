# SPDX-License-Identifier: Apache-2.0
"""json:{...} and --image-opts as QEMU reads them: what is wrong is told in its words, what is sound is the same image."""

import json

from lib import daily
from lib.python_tests import test
from lib.suite import Failure

# As they are: qemu-img says of each what is wrong, or takes it.
JSON_TEXTS = [
    "", "{", "}", "{}x", "{} {}", "[]", "1", "'a'", '"a"', "null", "{}", '{"a"}', '{"a":}', '{"a":1', '{"a":1,}', "{a:1}",
    '{"a" 1}', '{"a":1 "b":2}', '{1:2}', '{"a":[1,2}', '{"a":[1 2]}', "[1,", "{]", '{"a":nul}', '{"a":"b', "{'a':'b", '{"a":"\\q"}',
    '{"a":"\\u12"}', '{"a":"\\ud800"}', '{"a":"\\ud800\\u0041"}', '{"a":"\\ufffe"}', '{"a":01}', '{"a":-}', '{"a":1.}',
    '{"a":1e}', '{"a":%d}', '{"a":A}', '{"a":1,"a":2}', "{'a':'\\'', 'driver': 1}", '{"a" "b", -}',
    '{"driver":"qcow2","file":"nn"}', '{"driver":"raw","file":"nn","file.filename":"disk.raw"}',
    '{"driver":"qcow2","file":null}', '{"driver":1}', '{"filename":"disk.raw"}',
    '{"driver":"raw","filename":"disk.raw"}', "{'driver':'nothing','file.filename':'disk.raw'}",
    "{'driver':'qcow2','file.filename':'disk.qcow2'}", "{'driver':'qcow2','file':{'driver':'file','filename':'disk.qcow2'}}",
    "{'driver': 'raw', 'file': {'filename': '\\u0064isk.raw'}, 'read-only': true}",
    "{\"driver\":'raw',\"file\":{'filename':\"disk.raw\"}}", "{'driver':null,'file.filename':'disk.raw'}",
    "{'driver':'qcow2','file.filename':'overlay.qcow2','backing':null}", " { 'file.filename' : 'disk.raw' } ",
    "{'driver':'qcow2','file.filename':'disk.qcow2','l2-cache-size':'1x'}",
    "{'driver':'qcow2','file.filename':'overlay.qcow2','backing':''}",
    "{'driver':'qcow2','file.filename':'disk.qcow2','lazy-refcounts':'yes','pass-discard-request':'n'}",
    "{'driver':'raw','file':{'filename':'disk.raw'},'file.filename':'disk.qcow2'}",
    "{'file.filename':'disk.qcow2','driver':'raw','file':{'driver':'file','filename':'disk.raw'}}",
    "{'cache':{'direct':'x'},'cache.direct':'on','driver':'raw','file.filename':'disk.raw'}",
]
# A value of another type than is wanted there: %s.
TYPED_TEXTS = [
    '{"driver":"raw","file":{"driver":"file","filename":%s}}', '{"driver":"file","filename":%s}', '{"filename":%s}',
    '{"file":{"filename":%s}}', '{"file.filename":%s}', '{"driver":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","file":{"driver":%s,"filename":"disk.raw"}}', '{"driver":"raw","file":%s}', '{"file":%s}',
    '{"driver":"raw","size":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"qcow2","backing":%s,"file":{"driver":"file","filename":"disk.qcow2"}}',
    '{"driver":"raw","read-only":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","cache":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","cache":{"direct":%s},"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","file":{"driver":"file","filename":"disk.raw","locking":%s}}',
    '{"driver":"raw","force-share":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","node-name":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"qcow2","lazy-refcounts":%s,"file":{"driver":"file","filename":"disk.qcow2"}}',
    '{"driver":"qcow2","l2-cache-size":%s,"file":{"driver":"file","filename":"disk.qcow2"}}',
    '{"driver":"qcow2","overlap-check":%s,"file":{"driver":"file","filename":"disk.qcow2"}}',
    '{"driver":"raw","nothing":%s,"file":{"driver":"file","filename":"disk.raw"}}',
    '{"driver":"raw","discard":%s,"file":{"driver":"file","filename":"disk.raw"}}',
]
TYPED_VALUES = ["5", "-5", "5.5", "true", "false", "null", "[]", "{}", '["x"]', '{"a":1}', '"x"', '""', "1e3",
                "99999999999999999999"]
# By name, and as it is printed.
COLONS = ["file:a:b.raw", "./a:b.raw", "file:./a:b.raw"]


def images_make(context):
    for words in (["create", "-q", "-f", "raw", "disk.raw", "1M"], ["create", "-q", "-f", "qcow2", "disk.qcow2", "1M"],
                  ["create", "-q", "-f", "raw", "./a:b.raw", "1M"],
                  ["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "overlay.qcow2"]):
        context.run(["/usr/bin/qemu-img", *words]).expect()
    context.run(["/usr/bin/qemu-io", "-f", "raw", "-c", "write -P 7 64k 64k", "disk.raw"]).expect()


def expect_same(context, *words, own=None):
    theirs = context.run(["/usr/bin/qemu-img", *words])
    ours = context.run([own or context.qemu_img, *words])
    if (ours.status, ours.stderr) != (theirs.status, theirs.stderr):
        raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
    return theirs, ours


@test()
def json_dialect(context):
    images_make(context)
    for text in JSON_TEXTS:
        theirs, ours = expect_same(context, "info", "--output=json", f"json:{text}")
        if theirs.status == 0 and json.loads(theirs.stdout) != json.loads(ours.stdout):
            raise Failure(theirs.describe(text) + "\n" + ours.describe("ours"))


@test()
def json_types(context):
    """Numbers, switches, nothing and lists where QEMU wants something else."""
    images_make(context)
    # Without a driver, which of them does not know an option is known to qemu-img, which has looked at the image by then.
    texts = [text % value for text in TYPED_TEXTS for value in TYPED_VALUES
             if not (value in ('["x"]', '{"a":1}') and text.startswith('{"driver":%s'))]
    for text in daily.sample("image_names json_types", texts, 16):
        expect_same(context, "map", f"json:{text}")


@test()
def without_backing_file(context):
    """"backing": null: what the image leaves to its backing file is zeros."""
    images_make(context)
    name = "json:{'driver':'qcow2','file.filename':'overlay.qcow2','backing':null}"
    for words in (["map", "--output=json", name], ["map", "--output=json", "overlay.qcow2"]):
        theirs, ours = expect_same(context, *words, own=context.qemu_img_beside)
        if json.loads(theirs.stdout) != json.loads(ours.stdout):
            raise Failure(theirs.describe("map") + "\n" + ours.describe("ours"))
    context.run([context.qemu_img, "convert", "-O", "raw", name, "alone.raw"]).expect()
    if any((context.directory / "alone.raw").read_bytes()):
        raise Failure("not only zeros")
    (context.directory / "disk.raw").unlink()
    context.run([context.qemu_img, "convert", "-O", "raw", name, "alone.raw"]).expect()


@test(cases=COLONS)
def names_with_colons(context, case):
    """What is printed as a name can be given as one."""
    images_make(context)
    for words in (["info", "-f", "raw", case], ["info", "-f", "raw", "--output=json", case], ["map", "-f", "raw", case]):
        theirs, ours = expect_same(context, *words)
        if theirs.stdout.replace("4 KiB", "") != ours.stdout.replace("4 KiB", ""):
            raise Failure(theirs.describe(case) + "\n" + ours.describe("ours"))
    shown = json.loads(context.run([context.qemu_img, "info", "-f", "raw", "--output=json", case]).expect().stdout)
    context.run([context.qemu_img, "info", "-f", "raw", shown["filename"]]).expect()


@test()
def json_name_with_colon(context):
    """qemu-img prints one here that it does not take itself."""
    images_make(context)
    done = context.run([context.qemu_img, "info", "--output=json", "json:{'driver':'raw','file.filename':'a:b.raw'}"])
    context.run([context.qemu_img, "info", "-f", "raw", json.loads(done.expect().stdout)["filename"]]).expect()


@test(cases=["image-opts", "json", "json-file"])
def read_only(context, case):
    """What is called read-only is not written to."""
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "image", "1M"]).expect()
    before = (context.directory / "image").read_bytes()
    name = {"image-opts": ["--image-opts", "driver=qcow2,file.filename=image,read-only=on"],
            "json": ["json:{'driver':'qcow2','file.filename':'image','read-only':true}"],
            "json-file": ["json:{'driver':'qcow2','file.filename':'image','file.read-only':true}"]}[case]
    for words in (["resize", *name, "2M"], ["bench", "-w", "-c", "1", *name], ["snapshot", "-c", "one", *name]):
        theirs = context.run(["/usr/bin/qemu-img", *words])
        ours = context.run([context.qemu_img_beside, *words])
        if (ours.status, ours.stderr) != (theirs.status, theirs.stderr) or ours.status != 1:
            raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))
    if (context.directory / "image").read_bytes() != before:
        raise Failure("the image has changed")


@test(cases=["qcow2", "raw"])
def format_beside_json(context, case):
    """-f counts before the driver that the name says."""
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "image", "1M"]).expect()
    words = ["info", "-f", case, "json:{'driver':'qcow2','file.filename':'image'}"]
    theirs = context.run(["/usr/bin/qemu-img", *words]).expect()
    ours = context.run([context.qemu_img_beside, *words]).expect()
    if ours.stdout != theirs.stdout:
        raise Failure(theirs.describe("qemu-img has another answer") + "\n" + ours.describe("than ours"))


@test(cases=["qcow2", "raw"])
def created_on_standard_output(context, case):
    """What create says of the image is not written into it."""
    for program, name in (("/usr/bin/qemu-img", "theirs"), (context.qemu_img, "ours")):
        context.run(["sh", "-c", 'exec "$0" create -f "$1" /dev/stdout 1M >"$2"', program, case, name]).expect()
    context.run(["/usr/bin/qemu-img", "compare", "-f", case, "-F", case, "theirs", "ours"]).expect()


@test()
def drivers_of_qemu(context):
    """That are not ours: a line says which it is, wherever it stands."""
    images_make(context)
    for driver in daily.sample("drivers of QEMU", ["nbd", "null-co", "blkdebug", "https", "copy-on-read", "virtio-blk-vhost-vdpa"], 2):
        for text in (f'{{"driver":"{driver}"}}', f'{{"driver":"raw","file":{{"driver":"{driver}","filename":"disk.raw"}}}}'):
            done = context.run([context.qemu_img, "info", f"json:{text}"]).expect(1)
            if f"driver '{driver}'" not in done.stderr or "not supported" not in done.stderr:
                raise Failure(done.describe("it does not say what is not supported"))


@test()
def first_option_without_key(context):
    """It is the name of a node, and nobody has one; a path that follows --image-opts is told to be none."""
    images_make(context)
    for text in ("disk.raw", "disk.qcow2,driver=qcow2", "x,,y,driver=raw", ",", "driver", "x,file.filename=disk.raw",
                 "driver=qcow2,file=x,file.driver=file", "x,driver=nothing"):
        for command in ("info", "map", "check"):
            if expect_same(context, command, "--image-opts", text)[0].status != 1:
                raise Failure(f"qemu-img takes {text}")
