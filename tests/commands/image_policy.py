# SPDX-License-Identifier: Apache-2.0
"""Images that name files which are none of their business: refused, and never opened."""

from lib import daily, recipes
from lib.opened_files import CONNECTED, opened_files
from lib.python_tests import test
from lib.suite import Failure, Skip
import shutil

# What an image might be made to name.
NAMES = ["/etc/group", "../outside", "json:{\"driver\":\"raw\",\"file.filename\":\"/etc/group\"}",
         "nbd://127.0.0.1:1/x", "nbd:127.0.0.1:1", "/proc/self/environ", "/dev/zero", "ssh://host/x", "fifo"]
COMMANDS = {
    "map": ["map", "image"],
    "convert": ["convert", "-O", "raw", "image", "out"],
    "compare": ["compare", "image", "image"],
    "measure": ["measure", "-O", "raw", "image"],
    "info_chain": ["info", "--backing-chain", "image"],
}


def backing_make(context, name):
    recipes.Maker(context.directory).run("/usr/bin/qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", "raw",
                                         "image", "1M")


def data_file_make(context, name):
    """qemu-img refuses to name what it cannot make; the name in the extension is changed afterwards."""
    recipes.Maker(context.directory).create("image", "1M", "data_file=" + "x" * len(name))
    path = context.directory / "image"
    data = path.read_bytes().replace(b"x" * len(name), name.encode(), 1)
    path.write_bytes(data)


@test(cases=[f"{kind},{command}" for kind in ("backing", "data_file") for command in COMMANDS
             if (kind, command) != ("data_file", "info_chain")])
def refused(context, case):
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    kind, command = case.split(",")
    context.run(["mkfifo", "fifo"]).expect()
    (context.directory.parent / "outside").write_bytes(bytes(1 << 20))
    for number, name in daily.sample(f"image_policy refused {case}", enumerate(NAMES), 4):
        options = ["--backing=beside"] if (number + len(case)) % 2 else []
        (backing_make if kind == "backing" else data_file_make)(context, name)
        done, opened = opened_files(context, [context.qemu_img, COMMANDS[command][0], *options, *COMMANDS[command][1:]])
        done.expect(2 if command == "compare" else 1)
        lines = done.stderr.splitlines()
        if len(lines) != 1 or not lines[0].startswith("qemu-img: "):
            raise Failure(done.describe(f"{name}: expected one clear line"))
        base = name.rsplit("/", 1)[-1]
        opened = [path for path in opened if path == CONNECTED or path.rsplit("/", 1)[-1] == base]
        if opened:
            raise Failure(f"{name}: it was opened:\n" + "\n".join(opened))
        if (context.directory / "out").exists():
            raise Failure(f"{name}: a refused job left a file")


def secrets_make(context):
    """What lies beside an uploaded image, in the directory of a service or a user's home."""
    secrets = {"other-tenant.raw": b"tenant" * 200000, ".ssh/id_rsa": b"key\n" * 400, ".bashrc": b"alias\n" * 300}
    for name, content in secrets.items():
        path = context.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.ljust(1 << 20, b"\0"))
    return list(secrets)


@test(cases=list(COMMANDS))
def nothing_beside_by_default(context, case):
    """An image that names its neighbours: nothing of them lands anywhere, and nobody learns whether they are there."""
    lines = {}
    for name in [*secrets_make(context), "missing.raw"]:
        backing_make(context, name)
        done = context.run([context.qemu_img, *COMMANDS[case]])
        done.expect(2 if case == "compare" else 1)
        is_hidden = name.startswith(".")  # which is in the name; what is hidden, --backing=beside does not allow
        lines.setdefault(is_hidden, set()).add(done.stderr.replace(name, "NAME"))
        if done.stdout or "image" not in done.stderr or name not in done.stderr or "--backing-file" not in done.stderr:
            raise Failure(done.describe("expected a line with image, file and option"))
        if ("--backing=beside" in done.stderr) == is_hidden:
            raise Failure(done.describe("expected --backing=beside where it helps"))
        if (context.directory / "out").exists():
            raise Failure(f"{name}: a refused job left a file")
    for told in lines.values():
        if len(told) != 1:
            raise Failure("what is there is told:\n" + "\n".join(sorted(told)))


@test(cases=["info", "check", "snapshot", "resize_up", "resize_down", "create"])
def without_data_nothing_is_opened(context, case):
    """Commands that need nothing of a backing file open none, and do not fail for its sake."""
    names = [secrets_make(context)[0], "missing.raw", "/etc/shadow"]
    command = {"info": ["info", "image"], "check": ["check", "image"], "snapshot": ["snapshot", "-l", "image"],
               "resize_up": ["resize", "image", "3M"], "resize_down": ["resize", "--shrink", "image", "512k"],
               "create": ["create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "new"]}[case]
    for name in names:
        backing_make(context, name)
        context.run(["strace", "-f", "-o", "trace", "-e", "trace=open,openat,openat2,connect", context.qemu_img,
                     *command]).expect()
        trace = (context.directory / "trace").read_text(errors="replace")
        if name in trace or "connect(" in trace:
            raise Failure(f"{name}: it was looked for:\n" + trace)
        if case.startswith("resize"):
            context.run(["/usr/bin/qemu-img", "rebase", "-u", "-b", "", "image"]).expect()
            context.run(["/usr/bin/qemu-img", "check", "-q", "image"]).expect()


@test()
def growth_hides_what_is_behind(context):
    """The new part of a disk reads as zeros, also where nobody may look how long the backing file is."""
    for size, old, options in (("4M", "2M", []), ("4M", "2M", ["--preallocation=falloc"]), ("4M", "2M", ["--preallocation=metadata"])):
        for policy in ([], ["--backing=beside"]):
            (context.directory / "base").write_bytes(b"b" * (4 << 20))
            context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "image", old]).expect()
            context.run([context.qemu_img, "resize", "-q", *policy, *options, "image", size]).expect()
            context.run(["/usr/bin/qemu-img", "convert", "-O", "raw", "image", "seen"]).expect()
            context.run(["/usr/bin/qemu-img", "check", "-q", "image"]).expect()
            if (context.directory / "seen").read_bytes() != b"b" * (2 << 20) + bytes(2 << 20):
                raise Failure(f"resize {policy} {options}: other content")
    # In version 2 all zeros are written: nothing is before it is known how many.
    (context.directory / "base").write_bytes(b"b" * (4 << 20))
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "-b", "base", "-F", "raw", "image",
                 "2M"]).expect()
    before = (context.directory / "image").read_bytes()
    done = context.run([context.qemu_img, "resize", "-q", "image", "80M"]).expect(1)
    if "--backing=beside" not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected one line with the option"))
    if (context.directory / "image").read_bytes() != before:
        raise Failure("a refusal has changed the image")
    context.run([context.qemu_img, "resize", "-q", "--backing=beside", "image", "80M"]).expect()
    context.run(["/usr/bin/qemu-img", "convert", "-O", "raw", "image", "seen"]).expect()
    if (context.directory / "seen").read_bytes() != b"b" * (2 << 20) + bytes(78 << 20):
        raise Failure("version 2: other content")
    # In a cluster that is half new, data of the backing file is needed.
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "image", "100k"]).expect()
    done = context.run([context.qemu_img, "resize", "-q", "image", "1M"]).expect(1)
    if "--backing=beside" not in done.stderr:
        raise Failure(done.describe("expected the option"))
    context.run([context.qemu_img, "resize", "-q", "--backing-file=base", "image", "1M"]).expect()
    context.run(["/usr/bin/qemu-img", "convert", "-O", "raw", "image", "seen"]).expect()
    if (context.directory / "seen").read_bytes() != b"b" * (100 << 10) + bytes((1 << 20) - (100 << 10)):
        raise Failure("other content")


@test()
def allowed(context):
    """The user's own word opens other directories, and closes all."""
    there = context.directory / "there"
    there.mkdir()
    (there / "base").write_bytes(b"\x07" * (1 << 20))
    backing_make(context, str(there / "base"))
    own = context.build.directory / "instar"
    (context.directory / "elsewhere").mkdir()
    (context.directory / "image").rename(context.directory / "elsewhere" / "image")
    context.run([own, "convert", "-O", "raw", "elsewhere/image", "out"]).expect_error("base")
    context.run([own, "convert", "--backing-dir", "there", "-O", "raw", "elsewhere/image", "out"]).expect()
    if (context.directory / "out").read_bytes() != b"\x07" * (1 << 20):
        raise Failure("the backing file's content is missing")
    context.run([own, "convert", "--no-backing", "--backing-dir", "there", "-O", "raw", "elsewhere/image",
                 "out2"]).expect(1)


@test(cases=["default", "no-backing", "beside"])
def parts_are_no_links(context, case):
    """What is read as a part of a VMDK by default is called so itself: a link of that name leads to nothing else."""
    secrets_make(context)
    (context.directory / "disk.vmdk").write_text(
        '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        'RW 2048 FLAT "disk-flat.vmdk" 0\n')
    options = {"default": [], "no-backing": ["--no-backing"], "beside": ["--backing=beside"]}[case]
    for target in ("other-tenant.raw", ".ssh/id_rsa", "disk-data.vmdk"):
        link = context.directory / "disk-flat.vmdk"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        shutil.copy(context.directory / "other-tenant.raw", context.directory / "disk-data.vmdk")
        done = context.run([context.qemu_img, "convert", *options, "-O", "raw", "disk.vmdk", "out"])
        allowed = target == "disk-data.vmdk" or (case == "beside" and not target.startswith("."))
        if done.status != (0 if allowed else 1) or (context.directory / "out").exists() != allowed:
            raise Failure(done.describe(f"{target}: expected that it is {'read' if allowed else 'refused'}"))
        (context.directory / "out").unlink(missing_ok=True)


def overlay_make(context, name, base, format="raw"):
    context.run(["/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", format, name]).expect()


@test(cases=["option", "format_option", "json", "elsewhere", "in_place", "link"])
def base_of_the_command_line(context, case):
    """A file that the user has behind the new image is one that the source may have behind it, too."""
    (context.directory / "base").write_bytes(b"b" * (1 << 20))
    (context.directory / "sub").mkdir()
    (context.directory / "sub" / "link").symlink_to("../base")
    overlay_make(context, "overlay", "base")
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", "overlay"]).expect()
    words, out = {
        "option": (["-B", "base", "-F", "raw"], "out"),
        "format_option": (["-o", "backing_file=base,backing_fmt=raw"], "out"),
        "json": (["-B", 'json:{"driver": "raw", "file.filename": "base"}', "-F", "raw"], "out"),
        "elsewhere": (["-B", "../base", "-F", "raw"], "sub/out"),
        "in_place": (["-n", "-B", "base"], "out"),
        "link": (["-B", "link", "-F", "raw"], "sub/out"),
    }[case]
    if case == "in_place":
        overlay_make(context, "out", "base")
    context.run([context.qemu_img, "convert", *words, "-O", "qcow2", "overlay", out]).expect()
    context.run(["/usr/bin/qemu-img", "compare", "-q", "overlay", out]).expect()
    if case == "option":
        other = context.directory / "other"
        other.write_bytes(b"b" * (1 << 20))
        done = context.run([context.qemu_img, "convert", "-B", "other", "-F", "raw", "-O", "qcow2", "overlay", "out2"]).expect(1)
        if "'base': images lead nowhere" not in done.stderr:
            raise Failure(done.describe("expected that the other file is refused"))
        context.run([context.qemu_img, "convert", "--no-backing", *words, "-O", "qcow2", "overlay", "out2"]).expect(1)


@test()
def base_across_a_mount(context):
    """A file that the user names is found by whatever way the image's name for it goes."""
    (context.directory / "base").write_bytes(b"b" * (1 << 20))
    (context.directory / "sub").mkdir()
    overlay_make(context, "overlay", "base")
    context.run(["/usr/bin/qemu-img", "rebase", "-u", "-b", "../base", "-F", "raw", "overlay"]).expect()
    script = "mount -t tmpfs none sub 2>no-mount && cp overlay sub/ || exit 77; exec \"$@\""
    done = context.run(["unshare", "-rm", "sh", "-c", script, "sh", context.qemu_img, "convert", "--backing-file", "base",
                        "-O", "raw", "sub/overlay", "out"])
    if done.status == 77 or "unshare" in done.stderr:
        raise Skip("no mounts here")
    done.expect()
    if (context.directory / "out").read_bytes() != (context.directory / "base").read_bytes():
        raise Failure("another content")


@test()
def what_is_behind_the_named_base(context):
    """The user's word is about the file that it names: what that names in turn is an image's word."""
    (context.directory / "root").write_bytes(b"r" * (1 << 20))
    overlay_make(context, "base", "root")
    overlay_make(context, "overlay", "base", "qcow2")
    convert = [context.qemu_img, "convert", "-B", "base", "-F", "qcow2", "-O", "qcow2"]
    done = context.run([*convert, "overlay", "out"]).expect(1)
    if "'root': images lead nowhere" not in done.stderr or "base" not in done.stderr:
        raise Failure(done.describe("expected a refusal of the file behind the base"))
    context.run([*convert, "--backing-file", "root", "overlay", "out"]).expect()
    context.run(["/usr/bin/qemu-img", "compare", "-q", "overlay", "out"]).expect()


@test()
def missing_in_an_allowed_directory(context):
    """One line with image, file and option."""
    (context.directory / "sub").mkdir()
    backing_make(context, "sub/missing")
    done = context.run([context.qemu_img, "map", "--backing-dir", "sub", "image"]).expect(1)
    if not all(word in done.stderr for word in ("'image'", "'sub/missing'", "--backing-dir", "No such file or directory")) or \
            len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe("expected image, file and option"))


LINKED = {
    "dir": ["--backing-dir", "{here}/link/_base"],
    "relative": ["--backing-dir", "link/_base"],
    "resolved": ["--backing-dir", "real/_base"],
    "beside": ["--backing=beside"],
    "file": ["--backing-file", "real/_base/mid"],
    "configuration": ["--config", "instar.conf"],
}


@test(cases=list(LINKED))
def directories_behind_links(context, case):
    """A store whose path goes through a link, as images and who allows it call it; what is not allowed stays so."""
    here = context.directory
    (here / "real" / "_base").mkdir(parents=True)
    (here / "link").symlink_to("real")
    (here / "instar.conf").write_text(f"[backing]\ndirectory = {here}/link/_base\n")
    maker = recipes.Maker(here)
    (here / "real" / "_base" / "base").write_bytes(b"base" * (1 << 18))
    (here / "real" / "secret").write_bytes(b"secret" * (1 << 18))
    maker.run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", f"{here}/link/_base/base", "-F", "raw",
              "link/_base/mid")
    maker.run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-b", f"{here}/link/_base/mid", "-F", "qcow2", "link/disk")
    options = [option.format(here=here) for option in LINKED[case]]
    if case == "file":
        options += ["--backing-file", "link/_base/base"]
    context.run([context.qemu_img, "convert", *options, "-O", "raw", "link/disk", "out"]).expect()
    if (here / "out").read_bytes() != (here / "real" / "_base" / "base").read_bytes():
        raise Failure("the content is another one")
    (here / "real" / "_base" / "out").symlink_to("../secret")
    for name in (f"{here}/link/_base/../secret", f"{here}/link/_base/out", f"{here}/link/../real/secret"):
        if case == "beside":
            name = name.replace("secret", "../instar.conf").replace("_base/out", "_base/../../instar.conf")
        maker.run("/usr/bin/qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", "raw", "link/bad", "1M")
        context.run([context.qemu_img, "convert", *options, "-O", "raw", "link/bad", "bad"]).expect(1)
