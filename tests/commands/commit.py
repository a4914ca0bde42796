# SPDX-License-Identifier: Apache-2.0
"""What an image has is written into one behind it: beside qemu-img, on chains at random, and only where the user says so."""

import os
import random
import shutil

from lib import daily
from lib.chains import REFERENCE, Chains
from lib.loop_devices import loop_device
from lib.python_tests import test
from lib.suite import Failure, Skip

BESIDE = ("--backing=beside",)
CONFIGURATION = "[backing]\nallow = beside\ncommit = yes\n"


@test(cases=daily.sample("commit chains", range(24), 3), timeout=120, weight=3)
def chains(context, case):
    """Into the image right behind it, or into one further down; all that is written to is as long as it must be."""
    chance = random.Random(f"commit {case} {daily.seed()}")
    images = Chains(context, chance)
    images.add("base", format=chance.choice(["qcow2", "raw"]))
    images.add("middle", backing="base")
    images.add("top", backing="middle")
    if chance.random() < 0.3:
        name = chance.choice(["top", "middle"])
        if context.run(["env", "-C", "own", REFERENCE, "snapshot", "-c", "one", name]).status != 0:  # counts of one bit have no room
            images.maker.run(REFERENCE, "check", "-q", "-r", "leaks", name)
        images.maker.io("top", "write -P 5 64k 200k")
    images.duplicate()
    before = images.content("own", "top")
    target = chance.choice(["", "", "middle", "base"])
    arguments = ["commit", *(["-b", target] if target else []), *chance.choice([[], ["-d"], ["-q"], ["-r", "1G"]]), "top"]
    what = f"INSTAR_TEST_SEED={daily.seed()}: {arguments}"
    images.both(*arguments, own=[*BESIDE, *([] if target else ["--backing-file", "middle"])], messages=False)
    images.compare(what)
    if target != "base" and images.content("own", "top") != before:
        raise Failure(f"{what}: the disk is another one")


def simple(context):
    images = Chains(context)
    images.maker.create("base", 1 << 20)
    images.maker.create("middle", 1 << 20, "cluster_size=4k", backing="base")
    images.maker.create("top", 2 << 20, backing="middle")
    images.maker.create("alone", 1 << 20)
    images.maker.create("flat", 1 << 20, format="raw")
    images.formats.update(dict.fromkeys(("base", "middle", "top", "alone"), "qcow2"))
    images.maker.io("base", "write -P 1 0 1M")
    images.maker.io("middle", "write -P 2 100k 300k")
    images.maker.io("top", "write -P 3 200k 1500k", "write -z 0 64k")
    (images.folder / "configuration").write_text(CONFIGURATION)
    (images.folder / "below").mkdir()
    images.duplicate()
    return images


CALLS = [
    "top", "-b base top", "-b ./base top", "-b middle top", "-b missing top", "-b top top", "-b @ top", "-b alone top",
    "alone", "-f raw flat", "-f qcow2 top", "-d top", "-d -q top", "-p top", "-p -q top", "-t foo top", "-t none top",
    "-t writethrough -d top", "-r foo top", "-r 0 top", "-r 100M top", "top x", "", "missing",
    "--image-opts driver=qcow2,file.filename=top", "--object secret,id=a,data=b top", "-p -d top", "-d -p -b base top",
]


@test(cases=daily.sample("commit calls", CALLS, 5))
def calls(context, case):
    """The same words, output and end."""
    images = simple(context)
    arguments = ["" if word == "@" else word for word in case.split()]
    ours = images.run("own", "commit", *arguments, "--config", "configuration")
    theirs = images.run("reference", "commit", *arguments)
    shown = [done.stdout.split("\r")[-1] for done in (ours, theirs)]  # how often progress is shown is chance
    if (ours.status, ours.stderr, shown[0]) != (theirs.status, theirs.stderr, shown[1]):
        raise Failure(ours.describe("another end") + "\n" + theirs.describe("than qemu-img:"))
    if "-p" in arguments and "-q" not in arguments and not ours.stdout.startswith("    (0.00/100%)\r"):
        raise Failure(ours.describe("no progress"))
    images.compare(case)


@test(cases=["1M", "2M"])
def parts_of_compressed_clusters(context, case):
    """Of the longest that there are: what is around the parts in the base is expanded, whatever the reader has taken."""
    (context.directory / "raw").write_bytes(random.Random(case).randbytes(1623296).hex().encode())
    context.run([REFERENCE, "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", f"cluster_size={case}", "raw", "base"]).expect()
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "top"]).expect()
    writes = [f"write -P 9 {at}k 64k" for at in (64, 320, 2100)]
    context.run(["qemu-io", "-f", "qcow2", *(word for write in writes for word in ("-c", write)), "top"]).expect()
    context.run([REFERENCE, "convert", "-O", "raw", "top", "wanted"]).expect()
    context.run([context.qemu_img, "commit", *BESIDE, "--backing-file", "base", "top"]).expect()
    context.run([REFERENCE, "compare", "-F", "raw", "base", "wanted"]).expect()
    context.run([REFERENCE, "check", "-q", "base"]).expect()


@test(cases=["nothing", "beside", "elsewhere", "no"])
def refused(context, case):
    """No file is written because an image names it."""
    images = simple(context)
    options = {"nothing": [], "beside": BESIDE, "elsewhere": [*BESIDE, "--backing-file", "base"],
               "no": ["--config", "configuration"]}[case]
    if case == "no":
        (images.folder / "configuration").write_text(CONFIGURATION.replace("yes", "no"))
    before = {name: (images.folder / name).read_bytes() for name in images.formats}
    done = images.run("own", "commit", *options, "top").expect(1)
    if len(done.stderr.splitlines()) != 1 or "--backing-file" not in done.stderr or "-b" not in done.stderr:
        raise Failure(done.describe("expected one line that names the options"))
    if before != {name: (images.folder / name).read_bytes() for name in before}:
        raise Failure("a refusal has changed an image")


@test()
def clients(context):
    """As cinder and oVirt call it, with a configuration that says so."""
    images = simple(context)
    for arguments in (["-d", "top"], ["-d", "-p", "top"], ["top"]):
        done = images.run("own", "commit", *arguments, "--config", "configuration").expect()
        if not done.stdout.endswith("Image committed.\n"):
            raise Failure(done.describe("no such line"))
        context.run([REFERENCE, "compare", "own/middle", "own/top"]).expect()


@test()
def not_by_a_link(context):
    """A name of the image that leads out of its directory is not followed by the configuration's word."""
    images = simple(context)
    (context.directory / "victim").write_bytes(b"x" * (1 << 20))
    (images.folder / "flat").unlink()
    (images.folder / "flat").symlink_to(context.directory / "victim")
    images.maker.run(REFERENCE, "rebase", "-u", "-b", "flat", "-F", "raw", "top")
    done = images.run("own", "commit", "--config", "configuration", "top").expect(1)
    if (context.directory / "victim").read_bytes() != b"x" * (1 << 20) or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("a file elsewhere was written, or no refusal"))


@test(cases=["qcow2", "raw"])
def device(context, case):
    """A base on a block device, which -b names; what does not fit there says so."""
    images = Chains(context)
    images.maker.create("base", "1M", format=case)
    images.maker.io("base", "write -P 1 0 1M", format=case)
    with open(images.folder / "base", "r+b") as file:
        file.truncate(8 << 20 if case == "qcow2" else 1 << 20)
    with loop_device(images.folder / "base") as path:
        images.maker.create("top", "1M", backing=path, backing_format=case)
        images.maker.io("top", "write -P 2 100k 300k", "write -z 900k 50k")
        context.run([REFERENCE, "convert", "-O", "raw", "own/top", "before"]).expect()
        done = images.run("own", "commit", "-b", path, "top").expect()
        if done.stdout != "Image committed.\n":
            raise Failure(done.describe("no such line"))
        context.run([REFERENCE, "compare", "-f", case, "-F", "raw", path, "before"]).expect()
        context.run([REFERENCE, "compare", "-f", "qcow2", "-F", "raw", "own/top", "before"]).expect()
        if case == "qcow2":
            context.run([REFERENCE, "check", "-f", case, path]).expect()
        images.maker.create("long", "2M", backing=path, backing_format=case)
        done = images.run("own", "commit", "-b", path, "long").expect(0 if case == "qcow2" else 1)
        if case == "raw" and len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("expected one line"))
        done = images.run("own", "commit", "--backing=beside", "--backing-file", path, "top").expect(1)
        if len(done.stderr.splitlines()) != 1:
            raise Failure(done.describe("expected one line"))


@test(cases=["-d top", "-b base top", "-b middle -d top"])
def data_files_read(context, case):
    """Of the image, and of one that lies in between."""
    images = Chains(context)
    images.maker.create("base", "1M")
    images.maker.create("middle", "1M", *(["data_file=middle.data"] if "-b base" in case else []), backing="base")
    images.maker.create("top", "1M", "data_file=top.data", backing="middle")
    images.formats.update(dict.fromkeys(("base", "middle", "top"), "qcow2"))
    images.maker.io("middle", "write -P 1 0 300k")
    images.maker.io("top", "write -P 2 100k 300k", "write -z 0 64k")
    images.duplicate()
    before = {path.name: path.read_bytes() for path in images.folder.glob("*.data")}
    named = ["--backing-file", "middle"] if "-b" not in case else []
    images.both("commit", *case.split(), own=["--backing=beside", "--data-file", "top.data", *named])
    images.compare(case)
    if before != {name: (images.folder / name).read_bytes() for name in before}:
        raise Failure("a data file has changed")


DATA_FILES = {"base": "base", "base raw": "base", "top": "top", "both": "base top", "two below": "base top", "longer": "base top"}


@test(cases=daily.sample("commit data files", DATA_FILES, 3))
def data_files_written(context, case):
    """Those that the user names: of the base, which gets the content, and of the image, which is emptied."""
    images = Chains(context, random.Random(f"commit {case} {daily.seed()}"))
    with_data = DATA_FILES[case].split()
    raw = ",data_file_raw=on" if case == "base raw" else ""
    cluster = images.chance.choice(["4k", "64k", "128k,extended_l2=on"])
    images.maker.create("base", "1M", *([f"data_file=base.data{raw},cluster_size={cluster}"] if "base" in with_data else []))
    images.maker.create("middle", "1M", backing="base")
    below = "middle" if case == "two below" else "base"
    images.maker.create("top", "2M" if case == "longer" else "1M", *(["data_file=top.data"] if "top" in with_data else []),
                        backing=below)
    images.formats.update(dict.fromkeys(("base", "middle", "top"), "qcow2"))
    images.maker.io("base", "write -P 1 0 1M")
    images.maker.io("middle", "write -P 2 300k 500k")
    images.maker.io("top", "write -P 3 100k 300k", "write -z 0 64k", "write -z 700k 100k")
    images.duplicate()
    before = images.content("own", "top")
    named = [f"--{option}={name}.data" for option, name in (("data-file", "top"), ("base-data-file", "base"))
             if name in with_data]
    target = ["-b", "base"] if case == "two below" else []
    own = [*BESIDE, *named, *([] if target else ["--backing-file", "base"])]
    what = f"INSTAR_TEST_SEED={daily.seed()}: {case}"
    images.both("commit", *target, "top", own=own)
    images.compare(what)
    if case != "two below" and images.content("own", "top") != before:
        raise Failure(f"{what}: the disk is another one")
    if raw and (images.folder / "base.data").read_bytes() != images.content("own", "base"):
        raise Failure(f"{what}: the data file is not what the disk is")


@test(cases=["base", "top", "other", "the same"])
def data_files_refused(context, case):
    """One that is not named, or another one than the image's, is not written to; nothing changes."""
    images = Chains(context)
    images.maker.create("base", "1M", "data_file=base.data")
    images.maker.create("top", "1M", "data_file=top.data", backing="base")
    images.maker.io("base", "write -P 1 0 1M")
    images.maker.io("top", "write -P 2 100k 300k")
    (images.folder / "other.data").write_bytes(b"x" * 1000)
    before = {path.name: path.read_bytes() for path in images.folder.iterdir()}
    named = {"base": ["--data-file=top.data"], "top": ["--base-data-file=base.data"],
             "other": ["--data-file=top.data", "--base-data-file=other.data"],
             "the same": ["--data-file=top.data", "--base-data-file=top.data"]}[case]
    done = images.run("own", "commit", *BESIDE, "--backing-file", "base", *named, "top").expect(1)
    if len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected one line"))
    if before != {path.name: path.read_bytes() for path in images.folder.iterdir()}:
        raise Failure("something has changed")


@test(cases=["stream", "read only"])
def not_written(context, case):
    """What cannot be written says so, and nothing has changed."""
    images = Chains(context)
    format, options = ("vmdk", ["subformat=streamOptimized"]) if case == "stream" else ("qcow2", [])
    images.maker.create("base", 1 << 20, *options, format=format)
    images.maker.create("top", 1 << 20, format="qcow2", backing="base", backing_format=format)
    before = {path.name: path.read_bytes() for path in images.folder.iterdir()}
    images.duplicate()
    if case == "read only":
        (images.folder / "base").chmod(0o444)
        if context.run(["test", "-w", "own/base"]).status == 0:
            return  # root may write everything
    done = images.run("own", "commit", "--backing-file", "base", "top").expect(1)
    if len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected one line"))
    if before != {path.name: path.read_bytes() for path in images.folder.iterdir()}:
        raise Failure("something has changed")


@test()
def disk_begins_early(context):
    """Where a flush follows, the disk begins to write while the copy goes on; where none does, it is left alone."""
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    data = os.urandom(40 << 20)
    (context.directory / "disk").write_bytes(data)
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "base", "40M"]).expect()
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "top"]).expect()
    for count, command in ((0, ["convert", "-n", "-f", "raw", "-O", "qcow2", "--backing-file", "base", "disk", "top"]),
                           (2, ["commit", "-q", "-f", "qcow2", "--backing-file", "base", "top"])):
        context.run(["strace", "-f", "-o", "trace", "-e", "trace=sync_file_range,fdatasync", context.qemu_img, *command]).expect()
        calls = [line for line in (context.directory / "trace").read_text().splitlines() if "sync" in line]
        early = [line for line in calls if "sync_file_range(" in line]
        if len(early) != count or (early and "fdatasync" not in calls[-1]):
            raise Failure(f"{command[0]}: {len(early)} pieces were given to the disk early instead of {count}:\n" + "\n".join(calls))
    context.run([REFERENCE, "convert", "-O", "raw", "base", "seen"]).expect()
    if (context.directory / "seen").read_bytes() != data:
        raise Failure("other content")
