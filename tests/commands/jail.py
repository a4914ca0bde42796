# SPDX-License-Identifier: Apache-2.0
"""The jail of the machine's process: what it keeps is what its table says, and the real process is in it."""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess

from lib import daemons, daily, images, jobs, users
from lib.python_tests import test
from lib.suite import Failure, Skip

BACKENDS = ["regular", "direct", "mmap", "io-uring", "memory"]
SHAPES = [f"{engine} {backend}" for engine in ("kvm", "process") for backend in BACKENDS]
SHAPES += ["kvm regular late", "kvm io-uring late", "kvm regular statistics", "kvm memory late statistics",
           "kvm regular vcpu-files", "kvm regular min-free",
           "kvm regular copies resizable", "kvm regular daemons", "kvm regular sockets", "process io-uring copies resizable", "process regular copies resizable late"]
# What the machine's process may keep in its simplest shapes.
CALLS_MAX = 26
VMM_OPTIONS = {"regular": [], "direct": ["--direct-io"], "mmap": ["--mmap-backing"], "io-uring": ["--io-uring"],
               "memory": ["--memory-backing"]}
INPUT_LEN = (3 << 20) + 511
QEMU_IMG = "/usr/bin/qemu-img"  # not ours, which is in PATH
SECURITY_PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "security.md"
# x86-64's numbers.
NUMBERS = {"fork": 57, "execve": 59, "kill": 62, "socket": 41, "open": 2, "openat": 257, "ptrace": 101, "clone3": 435,
           "io_uring_setup": 425, "prctl": 157, "mprotect": 10, "setuid": 105}


def probe_run(context, *arguments):
    return context.run([context.build.directory / "tests" / "jail" / "probe", *arguments])


def lists_kept(context, *parts):
    """By kind of thread, the names of the system calls that it keeps."""
    lists = {}
    for line in probe_run(context, "list", *parts).expect().stdout.splitlines():
        role, name = line.split()
        lists.setdefault(role, set()).add(name)
    return lists


def calls_kept(context, *parts):
    return set.union(*lists_kept(context, *parts).values())


def shapes_of_today(what, count):
    return [shape.replace(" ", ",") for shape in daily.sample(f"jail {what}", SHAPES, count)]


@test(cases=shapes_of_today("numbers", 1), needs_kvm=False, weight=5)
def every_number(context, shape):
    """Each system call number, tried one by one: what is allowed is what the table lists."""
    probed = probe_run(context, "numbers", *shape.split(","))
    if probed.status != 0 or probed.stdout:
        raise Failure(probed.describe("the kernel and the table differ"))


@test(cases=shapes_of_today("escapes", 4), needs_kvm=False, weight=2)
def escapes(context, shape):
    probed = probe_run(context, "escapes", *shape.split(","))
    if probed.status != 0 or probed.stdout:
        raise Failure(probed.describe("something gets out"))


@test(needs_kvm=False)
def size_of_list(context):
    for shape in SHAPES:
        parts = shape.split()
        count = len(calls_kept(context, *parts))
        if len(parts) == 2 and count > CALLS_MAX:
            raise Failure(f"{shape}: {count} system calls, more than {CALLS_MAX}")


@test(needs_kvm=False)
def documentation(context):
    for command in ("table", "parents"):
        table = probe_run(context, command).expect().stdout
        if table not in SECURITY_PAGE.read_text():
            raise Failure(f"{SECURITY_PAGE.name} does not show this table:\n{table}")


@test(cases=[f"{place},{call}" for place in ("vcpu", "io", "main") for call in NUMBERS])
def taken_over(context, case):
    """A thread of the program makes a forbidden call: the job ends, and says which."""
    place, call = case.split(",")
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"),
                       INSTAR_TEST_PLACE=place, INSTAR_TEST_ESCAPE=str(NUMBERS[call]))
    completed = context.run([context.build.instar, "copy", "in", "out"], env=environment)
    completed.expect_error(f"the machine's process attempted system call {call}, which its jail forbids")
    if (context.directory / "out").exists():
        raise Failure("there is an output")


PARENTS_NUMBERS = ("execve", "fork", "clone3", "socket", "open", "openat", "ptrace", "kill", "prctl", "mprotect",
                   "setuid", "io_uring_setup")


@test(cases=PARENTS_NUMBERS)
def parent_taken_over(context, call):
    """The parent makes a forbidden call as it listens to its child: it ends, and says which; no output is left."""
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"),
                       INSTAR_TEST_PLACE="parent", INSTAR_TEST_ESCAPE=str(NUMBERS[call]))
    completed = context.run([context.build.instar, "copy", "in", "out"], env=environment)
    completed.expect_error(f"this process attempted system call {NUMBERS[call]}, which its list forbids")
    if (context.directory / "out").exists():
        raise Failure("there is an output")


RUN_PAGE = {"write": f"the machine's process was killed by signal {int(signal.SIGSEGV)}",
            "map": "the machine's process attempted system call mmap, which its jail forbids"}


@test(cases=RUN_PAGE)
def run_page(context, how):
    """Who has taken a vCPU's thread over cannot have KVM set special registers, and so run the guest in ring 0."""
    if context.build.sandbox == "process":
        return
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"),
                       INSTAR_TEST_RUN_PAGE=how)
    completed = context.run([context.build.instar, "copy", "in", "out"], env=environment)
    completed.expect_error(RUN_PAGE[how])


@test(cases=["vcpu", "io", "main"])
def standard_error(context, place):
    """What an attacker writes there reaches the user's log as lines of the parent's, bounded and made visible; the log
    itself it has not."""
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"),
                       INSTAR_TEST_PLACE=place, INSTAR_TEST_TEXT="\x1b[2Jqemu-img: all is well\n" + "x" * 5000 + "\n")
    log = context.directory / "log"
    log.write_text("what was there\n")
    with open(log, "a", encoding="ascii") as file:
        context.run([context.build.instar, "copy", "in", "out"], env=environment, stderr=file)
    text = log.read_text()
    lines = text.splitlines()
    written = [line for line in lines if not line.startswith("instar: running in a process")]
    if written[0] != "what was there" or "\x1b" in text or len(text) > 20000:
        raise Failure(f"the log: {text}")
    if place == "main" and len(written) == 1:
        return  # it comes by only where a job takes its time
    if written[1] != r"instar: the machine's process: \x1b[2Jqemu-img: all is well" or any(
            not line.startswith("instar: the machine's process: ") for line in written[1:]):
        raise Failure(f"the log: {text}")


@test(cases=["by-itself", "max-time", "interrupted"])
def silent(context, case):
    """The machine's process closes its pipe and sleeps: the job ends all the same, and what ends jobs ends it."""
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"),
                       INSTAR_TEST_PLACE="main", INSTAR_TEST_SILENT="1")
    options = ["--max-time", "1"] if case == "max-time" else []
    process = context.start([context.build.instar, "copy", *options, "in", "out"], env=environment)
    if case == "interrupted":
        jobs.machine_find(context, process)
        process.send_signal(signal.SIGINT)
        context.finish(process).expect(-signal.SIGINT)
    else:
        done = context.finish(process).expect(1)
        wanted = "time limit of 1 s" if options else "closed its pipe before the job was done"
        if wanted not in done.stderr:
            raise Failure(done.describe(f"expected {wanted}"))
    if (context.directory / "out").exists():
        raise Failure("there is an output")


# Uid, Gid and Groups of /proc/PID/status for `nobody`, who is in every /etc/passwd.
NOBODY = {"Uid": "\t".join(4 * ["65534"]), "Gid": "\t".join(4 * ["65534"]), "Groups": ""}


def user_of_package(context):
    """What stands before a command that shall see a user `instar` in /etc/passwd: of nobody's number."""
    (context.directory / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() +
                                              "instar:x:65534:65534:instar:/nonexistent:/usr/sbin/nologin\n")
    return ["unshare", "-m", "sh", "-c", 'mount --bind passwd /etc/passwd && exec "$@"', "sh"]


@test(cases=["option", "number", "package", "none"])
def own_user(context, case):
    """Root's job has its machine, and the guest's process, run by a user who owns nothing."""
    if not users.is_root():
        raise Skip("only root can become another user")
    images.prepare(context.directory, INPUT_LEN)
    program = context.build.hostile / "endless_loop.bin"
    choices = {"option": ["--run-as", "nobody"], "number": ["--run-as=65534"], "none": ["--run-as", "root"]}
    options = choices.get(case, [])
    before = user_of_package(context) if case in ("package", "none") else []
    process = context.start([*before, context.build.vmm, *options, "--input", "in", "--output", "out", program])
    child = pathlib.Path("/proc", str(jobs.machine_find(context, process)))
    seccomp_wait(context, child)
    guests = (child / "task" / child.name / "children").read_text().split()
    for number in (child.name, *guests):
        status = status_read(pathlib.Path("/proc", number))
        found = {name: status[name] for name in NOBODY}
        if (found == NOBODY) != (case != "none") or (case == "none" and found["Uid"].split()[0] != "0"):
            raise Failure(f"process {number}: {found}")
        if found := {name: status[name] for name in INMATE if status[name] != INMATE[name]}:
            raise Failure(f"process {number}: {found}")
    process.send_signal(signal.SIGINT)
    context.finish(process).expect(-signal.SIGINT)


@test(cases=BACKENDS)
def own_user_works(context, backend):
    """With each backend, on files that this user may not open."""
    if not users.is_root():
        raise Skip("only root can become another user")
    images.prepare(context.directory, INPUT_LEN)
    (context.directory / "in").chmod(0o600)
    context.run([context.build.instar, "copy", f"--backing={backend}", "--run-as=nobody", "in", "out"]).expect()
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure("the copy differs")
    if (context.directory / "out").stat().st_uid != 0:
        raise Failure("the output is not the user's")


@test()
def own_user_refused(context):
    """For others than root there is nobody else, and for root of a namespace nobody that the system knows."""
    images.prepare(context.directory, INPUT_LEN)
    (context.directory / "in").chmod(0o644)
    copy = [context.build.instar, "copy", "in", "out"]
    context.run([*copy, "--run-as=nobody-of-this-name"]).expect_error("'nobody-of-this-name' is neither a user")
    if subprocess.run(["unshare", "-Ur", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("no namespace of users here")
    context.run(["unshare", "-Ur", *copy, "--run-as=nobody"]).expect_error("cannot become user 65534")
    if (context.directory / "out").exists():
        raise Failure("there is an output")
    if os.geteuid() != 0:
        context.run([*copy, "--run-as=nobody"]).expect_error("only root can run the machine's process as another user")
        return
    # That of the package is taken where it can be.
    context.run([*user_of_package(context), "unshare", "-Ur", *copy]).expect()


@test()
def not_taken_over(context):
    """The preloaded library alone changes nothing."""
    images.prepare(context.directory, INPUT_LEN)
    environment = dict(context.environment, LD_PRELOAD=str(context.build.directory / "tests" / "jail" / "escape.so"))
    context.run([context.build.instar, "copy", "in", "out"], env=environment).expect()


def status_read(path):
    lines = (path / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# What each thread's /proc/PID/task/TID/status says in jail. Seccomp 2 is a filter.
INMATE = {"NoNewPrivs": "1", "Seccomp": "2", "CapInh": "0" * 16, "CapPrm": "0" * 16, "CapEff": "0" * 16,
          "CapAmb": "0" * 16}
# Descriptors besides the images.
DESCRIPTOR = re.compile(
    r"/dev/null|(pipe|socket):\[\d+\]|/memfd:instar-\w+ \(deleted\)|"
    r"anon_inode:\[?(eventfd|eventpoll|io_uring|pidfd|kvm-vm|kvm-vcpu:\d|kvm-vm-stats|kvm-vcpu-stats:\d)\]?")


@test(cases=BACKENDS)
def from_outside(context, backend):
    """Threads and descriptors of the process of a real job."""
    images.prepare(context.directory, INPUT_LEN)
    # A guest that does not end by itself.
    program = context.build.hostile / "endless_loop.bin"
    process = context.start([context.build.vmm, "--input", "in", "--output", "out", *VMM_OPTIONS[backend], program])
    child = pathlib.Path("/proc", str(jobs.machine_find(context, process)))
    seccomp_wait(context, child)
    guests = (child / "task" / child.name / "children").read_text().split()
    if len(guests) != (1 if context.build.sandbox == "process" else 0):
        raise Failure(f"children: {guests}")
    threads = [thread for process_number in (child.name, *guests)
               for thread in pathlib.Path("/proc", process_number, "task").iterdir()]
    for thread in threads:
        status = status_read(thread)
        if found := {name: status[name] for name in INMATE if status[name] != INMATE[name]}:
            raise Failure(f"thread {thread}: {found}")
    parent_check(context, process.pid)
    namespaces_check(child, [pathlib.Path("/proc", guest) for guest in guests])
    try:
        targets = jobs.descriptors_of(child.name)
        of_guests = [target for guest in guests for target in jobs.descriptors_of(guest)]
    except PermissionError:
        raise Skip("only root may look at a process that is not dumpable") from None
    own = [target for target in targets if not DESCRIPTOR.fullmatch(target)]
    images_open = [target for target in own if target.startswith(str(context.directory))]
    if own != images_open or len(images_open) > (4 if backend == "direct" else 2):
        raise Failure(f"descriptors: {own}")
    if of_guests != ["anon_inode:[eventfd]"] * len(guests):
        raise Failure(f"descriptors of the guest's process: {of_guests}")
    process.send_signal(signal.SIGINT)
    context.finish(process).expect(-signal.SIGINT)


def parents_files(process):
    try:
        return set(jobs.descriptors_of(process.pid))
    except PermissionError:
        raise Skip("only root may look at a process that is not dumpable") from None


@test(cases=["instar", "vmm"])
def descriptors_of_the_caller(context, case):
    """What the caller has left open is nothing that the parent keeps while it decodes what comes from a machine."""
    images.prepare(context.directory, INPUT_LEN)
    (context.directory / "service.db").write_text("secret")
    program = [context.build.instar, "copy"] if case == "instar" else \
        [context.build.vmm, "--input", "in", "--output", "out", context.build.copy]
    words = ["in", "out"] if case == "instar" else []
    there, here = socket.socketpair()
    with there, here, open(context.directory / "service.db", "r+b") as file:
        left = {os.readlink(f"/proc/self/fd/{number}") for number in (there.fileno(), file.fileno())}
        # Above those that are opened first, and below.
        high = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD, 300)
        held = jobs.Held(context, [*program, *words], pass_fds=[there.fileno(), file.fileno(), high])
        os.close(high)
        jobs.machine_find(context, held.process)
        if found := left & parents_files(held.process):
            raise Failure(f"the parent has {found}")
        held.release()
        context.finish(held.process).expect()


def is_locked(path):
    """Whether somebody holds a lock of any of the two sorts that descriptors hold."""
    with open(path, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        except BlockingIOError:
            return True
    return False


@test(cases=["flock", "ofd"])
def locks_of_the_caller(context, case):
    """A lock that the caller has taken lasts as long as the job, whose machine does not know of it."""
    images.prepare(context.directory, INPUT_LEN)
    lock = context.directory / "lock"
    with open(lock, "w+b") as file:
        if case == "flock":
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        held = jobs.Held(context, [context.build.instar, "copy", "in", "out"], pass_fds=[file.fileno()])
    machine = jobs.machine_find(context, held.process)
    try:
        if str(lock) in jobs.descriptors_of(machine):
            raise Failure("the machine's process has the lock")
    except PermissionError:
        pass  # only root may look
    if not is_locked(lock):
        raise Failure("the lock is free while the job runs")
    held.release()
    context.finish(held.process).expect()
    if is_locked(lock):
        raise Failure("the lock outlives the job")


@test()
def descriptors_that_are_named(context):
    """Names of descriptors on the command line are names of files, however JSON writes them."""
    (context.directory / "disk").write_bytes(bytes(1 << 20))
    with open(context.directory / "disk", "rb") as file:
        number = file.fileno()
        for name in (f"/dev/fd/{number}", f"/proc/self/fd/{number}", f"//dev//fd//{number}", f"file:/dev/fd/{number}",
                     f"/dev/fd/../fd/{number}", 'json:{"driver": "raw", "file.filename": "/dev/fd/%d"}' % number,
                     r'json:{"driver": "raw", "file": {"driver": "file", "filename": "\/dev\/fd\/%d"}}' % number,
                     r'json:{"driver": "raw", "file.filename": "/dev/\u0066d\u002f%d"}' % number):
            words = ["info", name] if name.startswith("json:") else ["info", "-f", "raw", name]
            context.run([context.qemu_img, *words], pass_fds=[number]).expect()
        context.run([context.qemu_img, "info", "--image-opts", f"driver=raw,file.filename=/dev/fd/{number}"],
                    pass_fds=[number]).expect()
        context.run([context.qemu_img, "info", f"/dev/fd/{number + 1}"], pass_fds=[number]).expect(1)


# chown, dac_override, dac_read_search, fowner, fsetid, kill, setfcap
PARENTS_CAPABILITIES = sum(1 << number for number in (0, 1, 2, 3, 4, 5, 31))


def parent_check(context, number):
    """The parent decodes what its child says: with no more rights than its work on files needs."""
    parent = pathlib.Path("/proc", str(number))
    seccomp_wait(context, parent)
    status = status_read(parent)
    if status["NoNewPrivs"] != "1" or int(status["CapPrm"], 16) & ~PARENTS_CAPABILITIES or int(status["CapInh"], 16):
        raise Failure(f"the parent: {status['NoNewPrivs']}, {status['CapPrm']}, {status['CapInh']}")


def namespaces_check(child, guests):
    """Own namespaces, in which there are no files; where the system gives them to a process of this user."""
    if subprocess.run(["unshare", "-Urmni", "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        return
    for process in (child, *guests):
        for name in ("user", "mnt", "net", "ipc"):
            try:
                is_shared = (process / "ns" / name).readlink() == pathlib.Path("/proc/self/ns", name).readlink()
            except PermissionError:
                return
            if is_shared:
                raise Failure(f"{process} has the namespace of the test: {name}")
    if names := os.listdir(child / "root"):
        raise Failure(f"the file system of the machine's process holds {names}")


def seccomp_wait(context, process):
    """Until it has its list of system calls: the machine's threads are there a moment earlier."""
    while status_read(process)["Seccomp"] != "2":
        if context.left_s() < 1:
            raise Failure(f"{process}: no list of system calls")


STRACE_MODES = {"plain": [], "statistics": ["--stats=json"], "sync": ["--sync"], "fault": []}
STRACE_CASES = [f"{backend},{mode}" for backend in BACKENDS for mode in STRACE_MODES]
STRACE_CASES += [f"{backend},{mode}" for backend in ("regular", "io-uring") for mode in ("vcpus", "late")]
STRACE_CASES += ["regular,info", "regular,convert", "regular,compare", "regular,ivshmem", "regular,vsock"]
CALL = re.compile(r"(\d+) +(\w+)\(")
RETURN = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. ((?!seccomp)\w+) resumed>).* = ")
THREAD = re.compile(r"(\d+) +(?:clone3?\(|<\.\.\. clone3? resumed>).* = (\d+)$")
OPENED = re.compile(r'\d+ +(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"([^"]*)"')
BORN = re.compile(r"^(\d+) +(?:vfork\(|<\.\.\. vfork resumed>).* = (\d+)$", re.MULTILINE)
# Each thread of the machine's process has its own, the guest's process one for all. Where only root may look into the
# process, which is not dumpable, strace has nothing but the filter's address.
FILTER = re.compile(r"(\d+) +seccomp\(SECCOMP_SET_MODE_FILTER, (0|SECCOMP_FILTER_FLAG_TSYNC\S*), (?:\{|0x)")
# What the guest's process of the process engine may call: signal the host, wait for it, end.
GUEST_CALLS = {"write", "futex", "exit_group"}


class Trace:
    """What strace has seen behind the filters: of the machine's process, and of the guest's where there is one."""

    def __init__(self, text):
        makers = {}
        # From all lines: a process may have come far before strace prints that its maker goes on.
        first = text.split(maxsplit=1)[0]
        machines = {process for maker, process in BORN.findall(text) if maker == first}
        guests = {process for maker, process in BORN.findall(text) if maker != first}
        # Forked by the parent: it opens files, and has a list of its own.
        openers = {found[2] for found in map(THREAD.match, text.splitlines()) if found and found[1] == first}
        self.machine = machines.pop() if machines else None
        self.inmates, self.calls_by_thread = set(), {}
        self.guests, self.guest_calls = set(), set()
        for line in text.splitlines():
            if found := THREAD.match(line):
                makers[found[2]] = found[1]
            if found := FILTER.match(line):
                if found[1] in guests:
                    self.guests |= {found[1]} | {thread for thread, maker in makers.items() if maker == found[1]}
                elif found[2] == "0" and found[1] not in openers | {first}:
                    self.inmates.add(found[1])
                    self.calls_by_thread[found[1]] = set()
            elif (found := CALL.match(line)) and found[1] in self.inmates and found[2] in ("exit", "exit_group"):
                self.calls_by_thread[found[1]].add(found[2])
            # Only what came back: of a process that is killed on its way into a call, strace prints another one's call.
            elif found := RETURN.match(line):
                if found[1] in self.inmates:
                    self.calls_by_thread[found[1]].add(found[2] or found[3])
                elif found[1] in self.guests:
                    self.guest_calls.add(found[2] or found[3])
        self.calls = set().union(*self.calls_by_thread.values())

    def check(self, lists):
        """Each thread calls what one kind of thread may: the first one what the first one may."""
        for thread, calls in self.calls_by_thread.items():
            roles = ["first"] if thread == self.machine else ["vcpu", "device"]
            extra = min((calls - lists[role] for role in roles), key=len)
            if extra:
                raise Failure(f"made by thread {thread}, but not listed: {sorted(extra)}; it made {sorted(calls)}")


def qcow2_make(context):
    """An image without data of its own, whose backing file is the input."""
    if not os.path.exists(QEMU_IMG):
        raise Skip("QEMU's qemu-img is not installed")
    context.run([QEMU_IMG, "create", "-q", "-f", "qcow2", "-b", "in", "-F", "raw", "top"]).expect()


def traced_command(context, backend, mode):
    """A job: of the shipped copy command, or of a guest program that does what the command does not."""
    vmm = [context.build.vmm, "--input", "in", "--output", "out", *VMM_OPTIONS[backend]]
    if mode == "fault":
        # Registers are read, and the machine ends badly.
        return [*vmm, context.build.hostile / "store_to_code.bin"]
    if mode == "vcpus":
        return [*vmm, "--vcpus", "4", "--max-cpu", "60", context.build.copy]
    if mode == "late":
        # The guest reads which files to ask for: one beside the image, which it gets and reads, and one elsewhere.
        names = [b"in", b"/etc/passwd"]
        content = b"".join(b"\0" + len(name).to_bytes(2, "little") + name for name in names)
        (context.directory / "in").write_bytes(content)
        return [*vmm, "--backing=beside", context.build.conformance / "open_files.bin"]
    if mode in ("ivshmem", "vsock"):
        return [*vmm, f"--transport={mode}", context.build.guests / "transport-copy.bin"]
    if mode in ("info", "compare", "convert"):
        qcow2_make(context)
        names = {"info": ["--backing-chain", "top"], "compare": ["in", "top"], "convert": ["-O", "raw", "top", "out"]}
        return [context.build.instar, mode, "--backing=beside", *names[mode]]
    return [context.build.instar, "copy", f"--backing={backend}", *STRACE_MODES[mode], "in", "out"]


@test(cases=STRACE_CASES, weight=5)
def strace(context, case):
    """No call outside of the list, as strace sees it, from the jail's closing to the process's end."""
    backend, mode = case.split(",")
    engine = context.build.sandbox
    if mode == "ivshmem" and engine == "process":
        return
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    images.prepare(context.directory, INPUT_LEN)
    command = traced_command(context, backend, mode)
    log = context.directory / "trace"
    completed = context.run(["strace", "-f", "-o", log, *command])
    if "ptrace" in completed.stderr:
        raise Skip("strace may not trace here")
    completed.expect(1 if mode == "fault" else 0)
    seen = Trace(log.read_text())
    vcpu_count = {"vcpus": 4, "ivshmem": 2}.get(mode, 1)
    # One that relays, one for each of two devices, and the vCPUs, of which some commands choose more.
    if len(seen.inmates) < 3 + vcpu_count or not {"epoll_wait", "write"} < seen.calls:
        raise Failure(completed.describe(f"the trace shows threads {seen.inmates} and calls {sorted(seen.calls)}"))
    # Guests of instar-vmm, and those that read formats, may always ask for files.
    parts = {"plain": [], "sync": [], "statistics": ["statistics"], "convert": ["late", "copies", "resizable"],
             "vsock": ["late", "sockets", "vcpu-files"], "ivshmem": ["late", "vcpu-files"]}
    new_output = [] if mode in ("info", "compare") else ["min-free"]
    seen.check(lists_kept(context, engine, backend, *parts.get(mode, ["late"]), *new_output))
    if mode == "late" and "recvmsg" not in seen.calls:
        raise Failure("no file was received")
    if (len(seen.guests) < vcpu_count) if engine == "process" else seen.guests:
        raise Failure(f"threads of the guest: {seen.guests}")
    if extra := seen.guest_calls - GUEST_CALLS:
        raise Failure(f"made by the guest's process: {sorted(extra)}")
    if engine == "process" and "write" not in seen.guest_calls:
        raise Failure("the trace does not show what the guest's process calls")


@test(weight=5)
def strace_daemons(context):
    """Where daemons have the files, no process of the job opens one, and the jail has nothing that is not listed."""
    if context.build.sandbox == "process":
        return
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    source = images.prepare(context.directory, INPUT_LEN // 512 * 512)
    target = context.directory / "out"
    target.touch()
    os.truncate(target, source.stat().st_size)
    serving = [daemons.storage_daemon_start(context, "in.sock", "in"),
               daemons.storage_daemon_start(context, "out.sock", "out", writable=True)]
    program = context.build.guests / "transport-copy.bin"
    log = context.directory / "trace"
    completed = context.run(["strace", "-f", "-o", log, context.build.vmm, "--transport=vhost-user-blk",
                             "--vhost-user-input=in.sock", "--vhost-user-output=out.sock", program])
    for process in serving:
        daemons.daemon_stop(context, process)
    if "ptrace" in completed.stderr:
        raise Skip("strace may not trace here")
    completed.expect()
    if images.sha256(source) != images.sha256(target):
        raise Failure(completed.describe("the output is not the input"))
    text = log.read_text()
    opened = {pathlib.Path(path).name for path in OPENED.findall(text)}
    if program.name not in opened or opened & {"in", "out"}:
        raise Failure(f"opened were {sorted(opened)}")
    seen = Trace(text)
    if "sendmsg" not in seen.calls:
        raise Failure(f"the trace shows the calls {sorted(seen.calls)}")
    seen.check(lists_kept(context, "kvm", "regular", "daemons"))
