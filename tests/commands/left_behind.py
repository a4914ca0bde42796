# SPDX-License-Identifier: Apache-2.0
"""What jobs leave behind, however they end: no process, file, lock or open file.

INSTAR_TEST_RUNS is the number of jobs that are run in a row (100 when it is not set), INSTAR_TEST_KILLS the number of
jobs of which a process is killed at a random moment (50, for each process).
"""

import errno
import fcntl
import os
import random
import signal
import subprocess
import time

from lib import images, jobs
from lib.python_tests import test
from lib.suite import Failure, Skip, session_expect_empty

INPUT_LEN = (256 << 10) + 512  # whole sectors, as images have
RUNS = int(os.environ.get("INSTAR_TEST_RUNS", "100"))
KILLS = int(os.environ.get("INSTAR_TEST_KILLS", "50"))
# How long processes may outlive the parent, whose end they learn from the kernel.
GONE_S = 1.0
# How long a job may take to see that its machine is gone, or to succeed after all.
KILLED_S = 20


def kinds_of_jobs(context):
    """Jobs of many kinds: command, exit status."""
    hostile = context.build.hostile
    vmm = [context.build.vmm, "--input", "in", "--output", "out"]
    for backend in ("regular", "direct", "mmap", "io-uring", "memory"):
        yield [context.build.instar, "copy", "-q", f"--backing={backend}", "in", "out"], 0
    yield [context.build.instar, "copy", "-p", "--sync", "--stats", "in", "out"], 0
    yield [*vmm, "--vcpus", "4", context.build.copy], 0
    yield [context.build.instar, "convert", "-O", "raw", "in", "out"], 0
    yield [*vmm, hostile / "store_to_code.bin"], 1
    yield [*vmm, hostile / "syscall_instruction.bin"], 1
    yield [*vmm, hostile / "panic.bin"], 1
    yield [*vmm, "--max-output", "64K", context.build.copy], 1
    yield [*vmm, "--max-cpu", "60", "--max-exits", "5", hostile / "wake_flood.bin"], 1


class Scene:
    """A directory with an input, where jobs run that find no other place to write to."""

    def __init__(self, context):
        self.context = context
        self.source = images.prepare(context.directory, INPUT_LEN)
        self.target = context.directory / "out"
        self.content = self.source.read_bytes()
        self.environment = dict(context.environment, TMPDIR=str(context.directory), HOME=str(context.directory))
        self_check(self.source)

    def start(self, arguments):
        return self.context.start(arguments, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def check(self, has_target):
        """The input as it was, an output that is whole or none at all, and nobody who uses them."""
        names = sorted(path.name for path in self.context.directory.iterdir())
        if names != (["in", "out"] if has_target else ["in"]):
            raise Failure(f"the directory holds {names}")
        for path in (self.source, self.target)[:1 + has_target]:
            if path.read_bytes() != self.content:
                raise Failure(f"{path.name} is not what it should be")
            # The kernel closes files a moment after their process.
            end = time.monotonic() + GONE_S
            while use := use_find(path):
                if time.monotonic() > end:
                    raise Failure(f"{path.name} {use}")
                time.sleep(0.001)
        self.target.unlink(missing_ok=True)


def use_find(path):
    """Who has the file open, or locks it. A lease for writing is given only to who has a file for himself."""
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(file, fcntl.LOCK_UN)
        except BlockingIOError:
            return "is locked"
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return "is still open"
        except OSError as error:
            raise Skip(f"no leases here: {error.strerror}") from None
    return None


def self_check(path):
    """That a file which is in use is found."""
    with open(path, "rb"):
        if use_find(path) != "is still open":
            raise Failure("the test does not see who has a file open")
    if use_find(path):
        raise Failure("the test sees somebody where nobody is")


def unnamed_files_check(directory):
    """Where the file system has none, an output has a temporary name, which a killed parent cannot remove."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR))
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise Skip("the file system of the test's directory has no unnamed files") from None
        raise


@test(timeout=120 + RUNS, weight=RUNS / 20)
def after_the_end(context):
    """Jobs in a row, which succeed or fail."""
    scene = Scene(context)
    kinds = list(kinds_of_jobs(context))
    for number in range(RUNS):
        arguments, status = kinds[number % len(kinds)]
        process = scene.start(arguments)
        if process.wait(timeout=context.left_s()) != status:
            raise Failure(f"exit status {process.returncode}, expected {status}: {arguments}")
        session_expect_empty(process.pid, patience=GONE_S)
        scene.check(status == 0)


@test(cases=["parent", "machine", "guest"], timeout=120 + KILLS, weight=KILLS / 20)
def after_a_kill(context, victim):
    """SIGKILL at any moment from the program's start to a bit after its usual end. The guest's process is the machine's
    on KVM."""
    scene = Scene(context)
    unnamed_files_check(context.directory)
    kinds = list(kinds_of_jobs(context))
    durations = []
    for arguments, status in kinds:
        begin = time.monotonic()
        process = scene.start(arguments)
        process.wait(timeout=context.left_s())
        durations.append(time.monotonic() - begin)
        session_expect_empty(process.pid)
        scene.check(status == 0)
    for number in range(KILLS):
        kind = number % len(kinds)
        process = scene.start(kinds[kind][0])
        time.sleep(random.uniform(0, 1.2 * durations[kind]))
        jobs.kill(process, victim)
        try:
            status = process.wait(timeout=KILLED_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"the job hangs: {kinds[kind][0]}") from None
        if status not in (0, 1, -signal.SIGKILL):
            raise Failure(f"exit status {status}: {kinds[kind][0]}")
        session_expect_empty(process.pid, patience=GONE_S)
        scene.check(scene.target.exists())


# The same, with a signal from the start of each job on, ever later. What comes when the output is there already ends a
# program that prints, which waits for nobody: that does not count.
INTERRUPTING = """
import os, subprocess, sys, time
count = int(sys.argv[2])
late, left = set(), []
for number in range(count):
    if os.path.exists("out"):
        os.unlink("out")
    process = subprocess.Popen(sys.argv[1].split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.15 * number / count)
    process.send_signal([2, 15, 1][number % 3])
    process.wait()
    new = {name for name in os.listdir("/proc") if name.isdigit() and name != "1"} - late
    late |= new
    if not os.path.exists("out"):
        left += [open(f"/proc/{name}/stat").read() for name in sorted(new)]
print(left)
"""

# The first process of a container, which reaps nobody but whom it has started itself.
FIRST_PROCESS = """
import os, subprocess, sys, time
for arguments in sys.argv[1].split(";"):
    for _ in range(int(sys.argv[2])):
        subprocess.run(arguments.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
left = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
print([open(f"/proc/{name}/stat").read() for name in left])
"""


def process_namespace():
    """What begins a command that is the first process of its own."""
    namespaces = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*namespaces, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise Skip("no namespace of processes here")
    return namespaces


@test(timeout=240)
def nothing_to_reap(context):
    """Jobs that succeed, and jobs that fail, leave no process to a first process that does not reap:
    52, or INSTAR_TEST_RUNS."""
    namespaces = process_namespace()
    images.prepare(context.directory, INPUT_LEN)
    hostile = context.build.hostile
    qemu_img = context.build.directory / "qemu-img"
    vmm = f"{context.build.vmm} --input in --output out"
    commands = [f"{qemu_img} info in", f"{qemu_img} convert -O raw in out", f"{vmm} {hostile / 'panic.bin'}",
                f"{vmm} --max-exits 5 {hostile / 'wake_flood.bin'}"]
    rounds = str(int(os.environ.get("INSTAR_TEST_RUNS", 52)) // len(commands))
    completed = context.run([*namespaces, "/usr/bin/python3", "-c", FIRST_PROCESS, ";".join(commands), rounds])
    if completed.expect().stdout.strip() != "[]":
        raise Failure(completed.describe("processes are left"))


@test(timeout=240)
def nothing_to_reap_after_a_signal(context):
    """A job that is interrupted while it starts leaves nothing either, told of or not: 60, or INSTAR_TEST_KILLS."""
    namespaces = process_namespace()
    images.prepare(context.directory, INPUT_LEN)
    command = f"{context.build.directory / 'qemu-img'} convert -O raw in out"
    count = os.environ.get("INSTAR_TEST_KILLS", "60")
    completed = context.run([*namespaces, "/usr/bin/python3", "-c", INTERRUPTING, command, count])
    if completed.expect().stdout.strip() != "[]":
        raise Failure(completed.describe("processes are left"))
