# SPDX-License-Identifier: Apache-2.0
"""Outputs that cannot be replaced as a whole: they are written in place, with one line that says so; and what a file
that is replaced keeps."""

import errno
import os
import shutil
import stat
import struct
import subprocess

from lib import users
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"
MIB = 1 << 20
OLD = b"old content" * 300000
NOTICE = "is written in place, as "


def source_make(context):
    (context.directory / "in").write_bytes(b"n" * MIB + bytes(MIB))
    (context.directory / "out").write_bytes(OLD)


def convert(context, target="out", options=()):
    return context.run([context.qemu_img, "convert", *options, "-f", "raw", "-O", "raw", "in", target])


def expect_in_place(context, done, reason, path="out", inode=None):
    done.expect()
    if NOTICE + reason not in done.stderr or len(done.stderr.splitlines()) != 1:
        raise Failure(done.describe(f"expected one line with: {NOTICE}{reason}"))
    if (context.directory / path).read_bytes() != (context.directory / "in").read_bytes():
        raise Failure("other content")
    if inode is not None and os.stat(context.directory / path).st_ino != inode:
        raise Failure("it is another file")


@test()
def hard_links(context):
    source_make(context)
    out = context.directory / "out"
    os.link(out, context.directory / "other-name")
    expect_in_place(context, convert(context), "it has other names", inode=out.stat().st_ino)
    if (context.directory / "other-name").read_bytes() != out.read_bytes() or out.stat().st_nlink != 2:
        raise Failure("the link was cut")


@test(cases=["writer", "loop"])
def open_elsewhere(context, case):
    source_make(context)
    out = context.directory / "out"
    if case == "writer":
        with open(out, "r+b"):
            expect_in_place(context, convert(context), "another process has it open", inode=out.stat().st_ino)
        return
    done = subprocess.run(["losetup", "-r", "--find", "--show", out], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Skip("no loop device")
    try:
        expect_in_place(context, convert(context), "a loop device uses it", inode=out.stat().st_ino)
    finally:
        subprocess.run(["losetup", "-d", done.stdout.decode().strip()], check=True)


@test(cases=["", "--backing=beside"])
def links_behind_the_input(context, case):
    """That the input leads to it is told, and not that nothing is there."""
    source_make(context)
    os.link(context.directory / "out", context.directory / "other-name")
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "out", "-F", "raw", "overlay"]).expect()
    command = [context.qemu_img, "convert", *(case or f"--backing-dir={context.directory}").split(), "-O", "raw", "overlay", "out"]
    done = context.run(command).expect(1)
    if "'out': the output is a file that the input leads to" not in done.stderr or (context.directory / "out").read_bytes() != OLD:
        raise Failure(done.describe("expected another error"))


@test(cases=["qcow2", "create"])
def images_over_links(context, case):
    source_make(context)
    os.link(context.directory / "out", context.directory / "other-name")
    if case == "qcow2":
        done = context.run([context.qemu_img, "convert", "-f", "raw", "-O", "qcow2", "in", "out"]).expect()
        context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", "in", "other-name"]).expect()
    else:
        done = context.run([context.qemu_img, "create", "-q", "-f", "qcow2", "out", "5M"]).expect()
    context.run([REFERENCE, "check", "-q", "-f", "qcow2", "other-name"]).expect()
    if NOTICE not in done.stderr:
        raise Failure(done.describe("nothing was told"))


@test()
def directory_without_permission(context):
    if not users.is_root() or shutil.which("setpriv") is None:
        raise Skip("only root can become another user")
    users.kvm_expect_for_others(context)
    source_make(context)
    inner = context.directory / "inner"
    inner.mkdir()
    shutil.move(context.directory / "out", inner / "out")
    os.chown(inner / "out", 65534, 65534)
    for path in (context.directory.parent, context.directory):
        path.chmod(0o755)
    own = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", context.qemu_img]
    if context.run([*own, "--version"]).status != 0:
        raise Skip("the build is out of reach for other users")
    done = context.run([*own, "convert", "-f", "raw", "-O", "raw", "in", "inner/out"])
    expect_in_place(context, done, "no file can be made in its directory", path="inner/out")
    # What is not ours is not taken from its owner, either.
    os.chown(inner / "out", 1234, 1234)
    (inner / "out").chmod(0o666)
    inner.chmod(0o777)
    done = context.run([*own, "convert", "-f", "raw", "-O", "raw", "in", "inner/out"])
    expect_in_place(context, done, "its owner or attributes cannot be kept", path="inner/out")
    if (inner / "out").stat().st_uid != 1234:
        raise Failure("it has another owner")


@test()
def mounted_file(context):
    source_make(context)
    (context.directory / "host").write_bytes(OLD)
    script = "mount --bind host out && exec \"$@\""
    command = [context.qemu_img, "convert", "-f", "raw", "-O", "raw", "in", "out"]
    done = context.run(["unshare", "-m", "sh", "-c", script, "sh", *command])
    if "unshare" in done.stderr or "mount" in done.stderr.split("is written")[0]:
        raise Skip("no mounts here")
    expect_in_place(context, done, "it is mounted where it is", path="host")


MOUNTS = {
    "overlay": "mkdir lower upper work && cp out lower/ && "
               "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work place",
    "tmpfs": "mount -t tmpfs none place && cp out place/",
}


@test(cases=list(MOUNTS))
def file_systems(context, case):
    """A file that stands below a container's layer, or in memory, is replaced as any other."""
    source_make(context)
    (context.directory / "place").mkdir()
    script = (f'({MOUNTS[case]}) 2>no-mount || exit 77; "$@"; status=$?; '
              "cp place/out result; ls -A place >names; exit $status")
    convert_out = [context.qemu_img, "convert", "-f", "raw", "-O", "raw", "in", "place/out"]
    done = context.run(["unshare", "-m", "sh", "-c", script, "sh", *convert_out])
    if done.status == 77 or done.stderr.startswith("unshare"):
        raise Skip("no mounts here")
    if done.expect().stderr or (context.directory / "result").read_bytes() != (context.directory / "in").read_bytes():
        raise Failure(done.describe("other content, or another line than none"))
    if (names := (context.directory / "names").read_text()) != "out\n":
        raise Failure(f"left: {names}")


@test()
def kept_until_it_is_sound(context):
    """A source that is no image, or missing, leaves what was there."""
    source_make(context)
    os.link(context.directory / "out", context.directory / "other-name")
    for arguments in (["-f", "qcow2", "in", "out"], ["missing", "out"]):
        context.run([context.qemu_img, "convert", "-O", "raw", *arguments]).expect(1)
        if (context.directory / "out").read_bytes() != OLD:
            raise Failure("the old content is gone")


@test()
def emptied_after_a_failure(context):
    """Half of an output does not look like a whole one."""
    (context.directory / "in").write_bytes(b"n" * MIB)
    (context.directory / "out").write_bytes(b"o" * 4 * MIB)
    os.link(context.directory / "out", context.directory / "other-name")
    context.run([context.qemu_img, "convert", "--max-output=64k", "-f", "raw", "-O", "raw", "in", "out"]).expect(1)
    if (context.directory / "out").stat().st_size != 0:
        raise Failure("half an output is left")


# acl(5), as the kernel takes it (include/uapi/linux/posix_acl_xattr.h): tags of the owner, a user, the group, the mask,
# others, each with its rights and whose it is.
OWNER, USER, GROUP, MASK, OTHERS, NOBODY = 0x01, 0x02, 0x04, 0x10, 0x20, 0xFFFFFFFF


def acl(*entries):
    if os.geteuid() == 0 and not users.is_root():
        raise Skip("the namespace does not know the users that it names")
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def acl_of(path):
    try:
        return os.getxattr(path, "system.posix_acl_access")
    except OSError as error:
        if error.errno == errno.ENODATA:
            return b""
        raise


@test()
def what_is_kept(context):
    """A file that replaces another one has its permissions, extended attributes and ACL, and no more rights."""
    source_make(context)
    out = context.directory / "out"
    out.chmod(0o640)
    os.setxattr(out, "user.origin", b"here")
    own = acl((OWNER, 6, NOBODY), (USER, 4, 1234), (GROUP, 0, NOBODY), (MASK, 4, NOBODY), (OTHERS, 0, NOBODY))
    os.setxattr(out, "system.posix_acl_access", own)
    is_root = users.is_root()
    if is_root:
        os.setxattr(out, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
        os.setxattr(out, "trusted.origin", b"there")
        os.chown(out, 1234, 4321)
        out.chmod(0o6640)
    inode = out.stat().st_ino
    done = convert(context).expect()
    status = out.stat()
    if done.stderr or status.st_ino == inode or stat.S_IMODE(status.st_mode) != 0o640:
        raise Failure(done.describe(f"it is not replaced, or has other permissions: {status}"))
    if acl_of(out) != own or os.getxattr(out, "user.origin") != b"here":
        raise Failure("the ACL or an attribute is lost")
    if is_root and ((status.st_uid, status.st_gid) != (1234, 4321) or os.getxattr(out, "trusted.origin") != b"there"):
        raise Failure("the owner or an attribute is lost")
    if "security.capability" in os.listxattr(out):
        raise Failure("what is written has the capabilities of what was there")


@test()
def nothing_is_added(context):
    """A default ACL of the directory gives nothing to what had no ACL."""
    source_make(context)
    out = context.directory / "out"
    out.chmod(0o640)
    default = acl((OWNER, 7, NOBODY), (USER, 7, 4321), (GROUP, 7, NOBODY), (MASK, 7, NOBODY), (OTHERS, 7, NOBODY))
    os.setxattr(context.directory, "system.posix_acl_default", default)
    convert(context).expect()
    if acl_of(out) or stat.S_IMODE(out.stat().st_mode) != 0o640:
        raise Failure("somebody got a right")


@test()
def traps_in_shared_directories(context):
    """As root: links of others, and files that others put where everybody may."""
    if not users.is_root():
        raise Skip("only root can make files of others")
    source_make(context)
    shared = context.directory / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "file").write_bytes(OLD)
    os.chown(shared / "file", 1234, 1234)
    done = convert(context, "shared/file").expect(1)
    if "it belongs to somebody else" not in done.stderr or (shared / "file").read_bytes() != OLD:
        raise Failure(done.describe("it was replaced"))
    os.chown(shared, 1234, 1234)  # now it is the directory's owner's
    convert(context, "shared/file").expect()
    # A link that is neither root's nor its directory's owner's.
    open_directory = context.directory / "open"
    open_directory.mkdir()
    open_directory.chmod(0o777)
    for name, target in (("link", context.directory / "out"), ("directory", context.directory)):
        (open_directory / name).symlink_to(target)
        os.lchown(open_directory / name, 1234, 1234)
    for source, target in (("open/link", "new"), ("in", "open/link"), ("open/directory/in", "new"),
                           ("in", "open/directory/new")):
        done = context.run([context.qemu_img, "convert", "-f", "raw", "-O", "raw", source, target]).expect(1)
        if "a symbolic link on the way belongs to somebody else" not in done.stderr:
            raise Failure(done.describe("it was followed"))
    # What is not the input or the output has the same door.
    image = ("-f", "raw", "-O", "qcow2", "in", "new2")
    for options in (("-B", "open/link", "-F", "raw"), ("--config", "open/link"),
                    ("--object", "secret,id=s,file=open/link"), ("--config=open/directory/none",)):
        done = context.run([context.qemu_img, "convert", *options, *image]).expect(1)
        if "a symbolic link on the way belongs to somebody else" not in done.stderr:
            raise Failure(done.describe("it was followed"))
    os.chown(open_directory, 1234, 1234)
    context.run([context.qemu_img, "convert", "-f", "raw", "-O", "raw", "open/link", "new"]).expect()


@test()
def backing_files_of_another_kind(context):
    """-B is no directory, and no FIFO, whose writer waits for somebody who reads."""
    source_make(context)
    (context.directory / "directory").mkdir()
    os.mkfifo(context.directory / "pipe")
    command = ["convert", "-f", "raw", "-O", "qcow2", "-F", "raw", "-B"]
    wanted = context.run([REFERENCE, *command, "directory", "in", "new"]).expect(1).stderr
    with subprocess.Popen(["sh", "-c", "exec 3>pipe"], cwd=context.directory) as writer:
        for name in ("directory", "pipe"):
            done = context.run([context.qemu_img, *command, name, "in", "new"]).expect(1)
            if done.stderr != wanted.replace("'directory'", f"'{name}'"):
                raise Failure(done.describe(f"expected what qemu-img says of a directory: {wanted}"))
        is_waiting = writer.poll() is None
        writer.kill()
    if not is_waiting:
        raise Failure("the writer of the FIFO was let go")


@test()
def traps_for_what_is_changed(context):
    """As root: a file of somebody else's in a sticky directory gets nothing of other files, and may be changed. And a
    further name of a file is no way to it, where somebody else may have made it."""
    if not users.is_root():
        raise Skip("only root can make files of others")
    (context.directory / "in").write_bytes(b"n" * MIB)
    shared, others = context.directory / "shared", context.directory / "others"
    for path in (shared, others):
        path.mkdir()
    for name, options in (("base", ("-f", "raw")), ("other", ("-f", "raw")), ("image", ("-f", "qcow2", "-b", "base", "-F", "raw"))):
        context.run([REFERENCE, "create", "-q", *options, shared / name, "1M"]).expect()
        os.chown(shared / name, 1234, 1234)
    shared.chmod(0o1777)
    before = {path: path.read_bytes() for path in shared.iterdir()}
    beside = "--backing=beside"
    for command in (("convert", "-n", "-f", "raw", "-O", "raw", "in", "shared/base"), ("commit", "-b", "base", "shared/image"),
                    ("rebase", beside, "-b", "other", "-F", "raw", "shared/image")):
        done = context.run([context.qemu_img, *command]).expect(1)
        if "refused to write to it: it belongs to somebody else" not in done.stderr:
            raise Failure(done.describe("it was written to"))
    if before != {path: path.read_bytes() for path in shared.iterdir()}:
        raise Failure("something was changed")
    context.run([context.qemu_img, "resize", "shared/image", "2M"]).expect()
    context.run([context.qemu_img, "rebase", "-u", "-b", "other", "-F", "raw", "shared/image"]).expect()
    # Another name of root's own file.
    (context.directory / "victim").write_bytes(OLD)
    os.chown(others, 1234, 1234)
    for directory in (shared, others):
        os.link(context.directory / "victim", directory / "name")
        for command in (("convert", "-f", "raw", "-O", "raw", "in", directory / "name"),
                        ("resize", "-f", "raw", "--shrink", directory / "name", "1M")):
            done = context.run([context.qemu_img, *command]).expect(1)
            if "somebody else may have made this one" not in done.stderr:
                raise Failure(done.describe("it was written to"))
    if (context.directory / "victim").read_bytes() != OLD:
        raise Failure("it was written to")


ORDINARY = ["setpriv", "--reuid", "1000", "--regid", "1000", "--groups", "2000"]
# Modes of a directory of root's and of group 2000, in which others than its owner can make links.
SHARED_MODES = {"sticky": 0o1777, "everybody's": 0o777, "sticky-of-group": 0o1770}


def others_make(context, mode):
    """A directory with links and a pipe of user 1234's to what user 1000 has in another one."""
    if not users.is_root() or shutil.which("setpriv") is None:
        raise Skip("only root can become another user")
    users.kvm_expect_for_others(context)
    for path in (context.directory.parent, context.directory):
        path.chmod(0o755)
    own = context.directory / "own"
    shared = context.directory / "shared"
    for path in (own, shared):
        path.mkdir()
    shutil.copy(context.build.instar, own / "qemu-img")
    (own / "in").write_bytes(b"n" * MIB)
    (own / "victim").write_bytes(OLD)
    os.symlink(own / "victim", shared / "link")
    os.symlink(own, shared / "directory")
    os.mkfifo(shared / "pipe")
    (shared / "pipe").chmod(0o666)
    for path in (own, own / "in", own / "victim"):
        os.chown(path, 1000, 1000)
    for path in ("link", "directory", "pipe"):
        os.lchown(shared / path, 1234, 1234)
    os.chown(shared, 0, 2000)
    shared.chmod(mode)
    if context.run([*ORDINARY, own / "qemu-img", "--version"]).status != 0:
        raise Skip("the directory of the tests is out of reach for other users")
    return own


@test(cases=[f"{mode},{user}" for mode in SHARED_MODES for user in ("user", "root-of-namespace")])
def traps_for_users(context, case):
    """No user writes where a link of somebody else's leads, nor to a pipe that somebody else has put there. In a
    namespace, where this somebody and root look like the same one, neither."""
    mode, user = case.split(",")
    own = others_make(context, SHARED_MODES[mode])
    before = [*ORDINARY, *(["unshare", "-Ur"] if user == "root-of-namespace" else [])]
    if context.run([*before, "true"]).status != 0:
        raise Skip("no namespaces here")
    for target in ("shared/link", "shared/directory/victim", "shared/directory/new", "shared/pipe"):
        if target == "shared/pipe" and not SHARED_MODES[mode] & stat.S_ISVTX:
            continue  # who may rename it has other ways
        done = context.run([*before, own / "qemu-img", "convert", "--max-time=5", "-f", "raw", "-O", "raw", own / "in", target])
        if done.status != 1 or "belongs to somebody else" not in done.stderr:
            raise Failure(done.describe(f"{target}: it was followed"))
    if (own / "victim").read_bytes() != OLD or (own / "new").exists():
        raise Failure("a file of the user's was written")


@test()
def owners_in_a_namespace(context):
    """Two users who are not mapped look like one: what is beside an image of the one is not the other's."""
    own = others_make(context, 0o777)
    shared = context.directory / "shared"
    (shared / "secret").write_bytes(b"s" * MIB)
    context.run([REFERENCE, "create", "-q", "-u", "-f", "qcow2", "-b", "secret", "-F", "raw", shared / "image", "1M"]).expect()
    command = [own / "qemu-img", "convert", "--backing=beside", "-O", "raw", "shared/image", own / "out"]
    for owner, is_allowed, before in ((1235, False, []), (1234, True, []), (1235, False, ["unshare", "-Ur"])):
        os.chown(shared / "image", 1234, 1234)
        os.chown(shared / "secret", owner, owner)
        done = context.run([*ORDINARY, *before, *command])
        if done.stderr.startswith("unshare"):
            raise Skip("no namespaces here")
        if done.status != (0 if is_allowed else 1):
            raise Failure(done.describe(f"owner {owner}: expected that it is {'read' if is_allowed else 'refused'}"))
