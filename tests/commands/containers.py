# SPDX-License-Identifier: Apache-2.0
"""Containers and odd hosts, without a container engine: lists of system calls, users, roots, limits, file systems."""

import errno
import json
import os
import pathlib
import shutil
import stat
import subprocess

from lib import daily, images, seccomp_filters, users
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"
CONFINE = pathlib.Path(__file__).resolve().parent.parent / "lib" / "confine.py"
DISK_LEN = 3 << 20
# A number that no file knows, as OpenShift gives one out.
RANDOM_USER = 1000650000
# CAP_CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD,
# AUDIT_WRITE, SETFCAP: what Docker leaves to root.
DOCKER_CAPABILITIES = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31]
# Each after those before it.
COMMANDS = """
info disk.qcow2
check disk.qcow2
convert -O raw disk.qcow2 plain.raw
convert -O qcow2 -c disk.qcow2 packed.qcow2
create -q -f qcow2 new 5M
"""
CHAIN = "info --backing=beside --backing-chain top.qcow2\n"
# Of a host's, for what no container has: the first process of a tree of its own, and mounts.
IN_MOUNTS = ["unshare", "--mount", "--propagation", "private"]


def commands(program, text=COMMANDS + CHAIN):
    return [[str(program), *line.split()] for line in text.strip().splitlines()]


def place_make(context):
    """A directory with the program and images, that everybody may write to."""
    place = context.directory / "place"
    place.mkdir()
    shutil.copy(context.build.instar, place / "instar")
    images.write_islands(place / "disk.raw", DISK_LEN, [(0, 300000), (1 << 20, 70000)])
    context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"], cwd=place).expect()
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"],
                cwd=place).expect()
    for path, mode in ((context.directory.parent, 0o755), (context.directory, 0o755), (place, 0o777)):
        path.chmod(mode)
    for path in place.iterdir():
        path.chmod(path.stat().st_mode | 0o666)
    return place


def confined(context, before=(), status=0, **settings):
    """What the commands print, run where the settings say, behind a command that may change the scene."""
    if "filter" in settings:
        path = context.directory / "filter"
        path.write_bytes(settings["filter"])
        settings["filter"] = str(path)
    settings = {name: str(value) if isinstance(value, pathlib.Path) else value for name, value in settings.items()}
    return context.run([*before, "/usr/bin/python3", "-I", CONFINE, json.dumps(settings)]).expect(status)


def user_of(case):
    """Settings for a user without a name; his group may use KVM, as a device that is given to a container may be used."""
    return {"uid": RANDOM_USER, "gid": os.stat("/dev/kvm").st_gid if os.path.exists("/dev/kvm") else 0} \
        if case == "user" else {}


def root_needed():
    if not users.is_root():
        raise Skip("only root can make such a host")


def result_check(context, place):
    wanted = images.sha256(place / "disk.raw")
    if images.sha256(place / "plain.raw") != wanted:
        raise Failure("what was converted is not the disk")
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", place / "disk.raw", place / "packed.qcow2"]).expect()
    context.run([REFERENCE, "check", "-q", "-f", "qcow2", place / "new"]).expect()
    if left := [name for name in os.listdir(place) if name.startswith(".")]:
        raise Failure(f"left behind: {left}")


def quiet(done, *expected):
    """Nothing on standard error but what is expected."""
    lines = [line for line in done.stderr.splitlines() if not any(text in line for text in expected)]
    if lines:
        raise Failure(done.describe("it says something else than it was asked for"))


@test(cases=daily.sample("docker", ["root", "user"], 1))
def docker(context, case):
    """The default profile, and the capabilities that are left to root, or a user without any."""
    root_needed()
    if case == "user":
        users.kvm_expect_for_others(context, stat.S_IWGRP)
    place = place_make(context)
    done = confined(context, directory=place, commands=commands(place / "instar"), capabilities=DOCKER_CAPABILITIES,
                    filter=seccomp_filters.container(), **user_of(case))
    quiet(done)
    result_check(context, place)


# No file can be made but in /tmp and in the volume; /proc/sys and /dev/kvm are not there.
POD = """
mkdir "$1" && mount --rbind / "$1" && mount --make-rprivate "$1" && mount -o remount,bind,ro "$1" &&
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$1/tmp" && mount --bind "$2" "$1/mnt" &&
mount -t tmpfs tmpfs "$1/dev" && touch "$1/dev/null" && mount --bind /dev/null "$1/dev/null" &&
mount -o remount,ro "$1/dev" && mount -t proc proc "$1/proc" && mount -t tmpfs -o ro tmpfs "$1/proc/sys" || exit 77
shift 2
exec "$@"
"""


def control_groups_make(context, limits):
    """Groups with these limits, {controller: (file of version 1, of version 2, value)}."""
    found = []
    name = f"instar-test-{os.getpid()}-{context.directory.parent.name}"
    for controller, (first, second, value) in limits.items():
        for top, file in ((controller, first), ("", second)):
            group = pathlib.Path("/sys/fs/cgroup", top, name)
            try:
                group.mkdir(exist_ok=True)
                with open(group / file, "r+", encoding="ascii") as limit:  # it is the kernel's, or not there
                    limit.write(str(value))
                found.append(group)
                break
            except OSError:
                if group.exists() and group not in found:
                    group.rmdir()
    return found


def pod(context, limits, text=COMMANDS + CHAIN):
    root_needed()
    place = place_make(context)
    root = context.directory / "root"
    groups = control_groups_make(context, limits)
    try:
        done = confined(context, before=[*IN_MOUNTS, "--pid", "--fork", "sh", "-c", POD, "sh", root, place],
                        root=root, directory="/mnt", uid=RANDOM_USER, gid=0, capabilities=[],
                        filter=seccomp_filters.container(),
                        control_groups=[f"{group}/cgroup.procs" for group in groups],
                        limits={} if len(groups) == 2 else {"NPROC": 20}, commands=commands("/mnt/instar", text))
    finally:
        for group in set(groups):
            group.rmdir()
    result_check(context, place)
    return done


@test(needs_kvm=False)
def kubernetes_restricted(context):
    """No capabilities, a read-only root, a user without a name, 100 MB and 20 processes; without KVM by itself."""
    context.environment["INSTAR_SANDBOX"] = "auto"
    limits = {"memory": ("memory.limit_in_bytes", "memory.max", 100 << 20), "pids": ("pids.max", "pids.max", 20)}
    quiet(pod(context, limits), "instead of a virtual machine: /dev/kvm: cannot open: No such file")


def libraries(program):
    """What a dynamic program needs, the loader among them."""
    listed = subprocess.run(["ldd", program], capture_output=True, check=True, text=True).stdout
    return [word for word in listed.split() if word.startswith("/")]


@test(needs_kvm=False, cases=daily.sample("chroot", ["root", "user"], 1))
def bare_chroot(context, case):
    """Without /proc and /dev, and so without KVM: nothing but the program, its libraries and the images."""
    root_needed()
    context.environment["INSTAR_SANDBOX"] = "process"
    place = place_make(context)
    for library in libraries(context.build.instar):
        target = place / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    user = user_of(case)
    quiet(confined(context, root=place, directory="/", commands=commands("/instar", COMMANDS), **user))
    result_check(context, place)
    done = confined(context, root=place, directory="/", commands=commands("/instar", CHAIN), status=1, **user)
    if "refused to open 'disk.qcow2': without /proc it cannot be told where it is" not in done.stderr:
        raise Failure(done.describe("where a file is cannot be told without /proc"))
    # There is no /dev/null to put in the place of streams that are closed.
    done = confined(context, root=place, directory="/", commands=commands("/instar", "create -q -f qcow2 new 1M"),
                    close=[0, 1, 2], **user)
    quiet(done)


# What a file system, a kernel or a profile does not have, and what --debug says of it.
LACKS = {
    "landlock": (lambda: seccomp_filters.without(seccomp_filters.LANDLOCK), "this kernel has no Landlock"),
    "kernel-5.10": (seccomp_filters.kernel_5_10, "this kernel has no Landlock"),
    "unnamed-files": (seccomp_filters.no_unnamed_files, None),
    "mounts": (lambda: seccomp_filters.without(["mount"], errno.EACCES), "this system gives no namespaces"),
    "namespaces": (lambda: seccomp_filters.without(["unshare"]), "this system gives no namespaces"),
}


@test(cases=daily.sample("lacks", LACKS, 2))
def lacks(context, case):
    place = place_make(context)
    make, told = LACKS[case]
    code = make()
    context.environment["TMPDIR"] = str(place)
    piped = ["/bin/sh", "-c", "cat disk.raw | ./instar convert -f raw -O qcow2 /dev/stdin piped.qcow2"]
    quiet(confined(context, directory=place, commands=[*commands(place / "instar"), piped], filter=code))
    result_check(context, place)
    context.run([REFERENCE, "compare", "-f", "raw", "-F", "qcow2", place / "disk.raw", place / "piped.qcow2"]).expect()
    done = confined(context, directory=place, filter=code,
                    commands=commands(place / "instar", "info --debug disk.qcow2"))
    if told is not None and told not in done.stderr:
        raise Failure(done.describe("--debug does not say what the jail lacks"))


def image_make(context, kind):
    path = context.directory / kind
    if kind == "raw":
        images.write_islands(path, 100 << 30, [(0, 4096), (50 << 30, 65536)])
        return path, ["-f", "raw"]
    options = {"sparse": ["-f", "qcow2"], "tables": ["-f", "qcow2", "-o", "preallocation=metadata"],
               "small-clusters": ["-f", "qcow2", "-o", "cluster_size=4k"],
               "vmdk": ["-f", "vmdk"], "vhdx": ["-f", "vhdx"]}[kind]
    context.run([REFERENCE, "create", "-q", *options, path, "25G" if kind == "tables" else "100G"]).expect()
    return path, []


@test(cases=daily.sample("limited resources", ["raw", "sparse", "tables", "small-clusters", "vmdk", "vhdx"], 2))
def limited_resources(context, case):
    """glance's and Incus' limits: 1 GiB of address space, 2 seconds of processor time."""
    image, options = image_make(context, case)
    limits = {"AS": 1 << 30, "CPU": 2}
    text = f"info {image}\n" + (f"check {image}\n" if case != "raw" else "")
    done = confined(context, limits=limits, commands=commands(context.build.instar, text.replace(str(image), " ".join(
        [*options, str(image)]))))
    quiet(done)
    expected = context.run([REFERENCE, "info", *options, image]).expect().stdout
    if done.stdout[:len(expected)] != expected:
        raise Failure(done.describe(f"info is not what qemu-img says:\n{expected}"))


FILE_SYSTEMS = {
    "overlay": 'mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" overlay "$1/top"',
    "fuse": 'fuse-overlayfs -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/top" 2>/dev/null',
    # As a server of NFS squashes root: whatever root does there, nobody has done.
    "squashed": 'chown nobody "$1/lower" "$1/top" && mknod -m 666 "$1/fuse" c 10 229 && '
                'mount --bind "$1/fuse" /dev/fuse && echo user_allow_other >"$1/conf" && '
                'mount --bind "$1/conf" /etc/fuse.conf && setpriv --reuid nobody --regid nogroup --clear-groups '
                'bindfs -o allow_other "$1/lower" "$1/top"',
}


@test(cases=daily.sample("file systems", FILE_SYSTEMS, 1))
def file_system(context, case):
    """Images are read from, and written to, another file system than the usual one."""
    root_needed()
    place = place_make(context)
    scene = context.directory.parent / "scene"  # overlays do not lie in each other
    for name in ("lower", "upper", "work", "top"):
        (scene / name).mkdir(parents=True)
    script = f'{FILE_SYSTEMS[case]} >&2 || exit 77; cp "$2"/* "$1/top"; cd "$1/top"; shift 2; "$@"; status=$?; ' \
             'cp plain.raw packed.qcow2 new "$OLDPWD/place"; cd /; umount "$OLDPWD"; exit $status'
    before = [*IN_MOUNTS, "sh", "-c", script, "sh", scene, place]
    settings = json.dumps({"commands": commands(place / "instar")})
    done = context.run([*before, "/usr/bin/python3", "-I", CONFINE, settings])
    if done.status == 77:
        raise Skip(f"cannot be mounted here: {done.stderr.strip()}")
    quiet(done.expect())
    result_check(context, place)


QUOTA = """
truncate -s 200M "$1/fs" && mkfs.btrfs -q "$1/fs" >/dev/null && mount -o loop "$1/fs" "$1/top" || exit 77
btrfs -q subvolume create "$1/top/place" && btrfs -q quota enable "$1/top" && btrfs -q qgroup limit 12M "$1/top/place" ||
    exit 77
cp "$2"/* "$1/top/place"
cd "$1/top/place"
shift 2
"$@"
status=$?
[ $status -ne 0 ] || sha256sum disk.qcow2 plain.raw | cut -d ' ' -f 1
ls -A
cd /
umount "$OLDPWD/.."
exit $status
"""


@test(cases=daily.sample("quota", ["new", "existing"], 1))
def quota(context, case):
    """A job that has used its user's storage up says so, leaves nothing of a new output, and an old one as it was."""
    root_needed()
    for program in ("mkfs.btrfs", "btrfs"):
        if shutil.which(program) is None:
            raise Skip(f"{program} is missing")
    place = place_make(context)
    old = [images.sha256(place / name) for name in ("disk.qcow2", "disk.raw")]
    (place / "plain.raw").write_bytes((place / "disk.raw").read_bytes())
    (scene := context.directory.parent / "scene").mkdir()
    (scene / "top").mkdir()
    images.write_islands(context.directory / "large.raw", 40 << 20, [(0, 30 << 20)])
    before = set(os.listdir(place))
    target = "disk.qcow2" if case == "existing" else "new.qcow2"
    large = ["/bin/sh", "-c", f"! ./instar convert -f raw -O qcow2 {context.directory}/large.raw {target} && "
             f"! ./instar convert -f raw -O raw {context.directory}/large.raw plain.raw"]
    done = context.run([*IN_MOUNTS, "sh", "-c", QUOTA, "sh", scene, place, "/usr/bin/python3", "-I", CONFINE,
                        json.dumps({"commands": [large]})])
    if done.status == 77:
        raise Skip(f"cannot be mounted here: {done.stderr.strip()}")
    quiet(done.expect(), "Disk quota exceeded")
    lines = done.stdout.splitlines()
    if done.stderr.count("Disk quota exceeded") != 2 or lines[:2] != old or set(lines[2:]) != before:
        raise Failure(done.describe("something has changed"))
