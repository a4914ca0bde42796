# SPDX-License-Identifier: Apache-2.0
"""Jobs that are interrupted, and processes that are killed."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import time

from lib import images, jobs
from lib.python_tests import test
from lib.suite import Failure, session_expect_empty

MIB = 1 << 20
QEMU_IMG = "/usr/bin/qemu-img"  # not ours, which is in PATH
QUIET = ["--progress-percent", "100"]
STOPS = 10


def endless(context):
    """A guest that never ends."""
    images.prepare(context.directory, MIB)
    (context.directory / "out").write_text("old content")
    guest = context.build.hostile / "endless_loop.bin"
    process = context.start([context.build.vmm, "--input", "in", "--output", "out", guest])
    return process, jobs.machine_find(context, process)


def held_start(context, arguments):
    images.prepare(context.directory, MIB)
    (context.directory / "out").write_text("old content")
    held = jobs.Held(context, arguments)
    return held, jobs.machine_find(context, held.process)


def held_vmm(context, *options):
    arguments = [context.build.vmm, "--input", "in", "--output", "out", *QUIET, *options, context.build.copy]
    return held_start(context, arguments)


def held_vmm_copy(context):
    """A copy that is waiting for its first read."""
    held, child = held_vmm(context)
    return held.process, child


def held_copy(context):
    held, child = held_start(context, [context.build.instar, "copy", "in", "out"])
    return held.process, child


KINDS = (endless, held_vmm_copy, held_copy)


def expect_nothing_happened(context):
    names = sorted(path.name for path in context.directory.iterdir())
    if names != ["in", "out"] or (context.directory / "out").read_text() != "old content":
        raise Failure(f"the directory holds {names}, or the old output has changed")


def expect_copied(context):
    if (context.directory / "out").read_bytes() != images.data(MIB):
        raise Failure("the output is not the input")


@test(cases=["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def signals(context, case):
    """The process ends by the signal, without a word, and leaves nothing behind; a shell shows 130 for SIGINT."""
    number = getattr(signal, case)
    for start in KINDS:
        process, _ = start(context)
        process.send_signal(number)
        completed = context.finish(process).expect(-number)
        expect_nothing_happened(context)
        if "instar" in completed.stdout + completed.stderr:
            raise Failure(completed.describe("an interruption needs no words"))


@test()
def terminal_interrupt(context):
    """Ctrl-C reaches parent and child at the same time."""
    for start in KINDS:
        process, _ = start(context)
        os.killpg(process.pid, signal.SIGINT)
        context.finish(process).expect(-signal.SIGINT)
        expect_nothing_happened(context)


@test()
def ignored_signal(context):
    """A job whose user ignores SIGINT (nohup, a shell's background job) is not interrupted by it."""
    images.prepare(context.directory, MIB)
    held = jobs.Held(context, [context.build.instar, "copy", "in", "out"],
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    jobs.machine_find(context, held.process)
    os.killpg(held.process.pid, signal.SIGINT)
    held.release()
    context.finish(held.process).expect()
    expect_copied(context)


@test()
def stopped_and_continued(context):
    """Ctrl-Z and fg, also again and again: each time the kernel goes on with what every thread was waiting for."""
    held, _ = held_vmm(context)
    for _ in range(STOPS):
        os.killpg(held.process.pid, signal.SIGSTOP)
        time.sleep(0.02)
        os.killpg(held.process.pid, signal.SIGCONT)
        time.sleep(0.02)
    os.killpg(held.process.pid, signal.SIGSTOP)
    held.release()
    time.sleep(0.2)
    os.killpg(held.process.pid, signal.SIGCONT)
    context.finish(held.process).expect()
    expect_copied(context)


@test()
def parent_killed(context):
    """When the parent is killed, its child is gone within a second, and the output's name is untouched."""
    for start in KINDS:
        process, _ = start(context)
        process.kill()
        process.wait()
        session_expect_empty(process.pid, patience=1.0)
        expect_nothing_happened(context)
        process.communicate()


@test(cases=["SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"])
def child_killed(context, case):
    """When the machine's process dies, that is an error, and never a hang."""
    number = getattr(signal, case)
    for start in KINDS:
        process, child = start(context)
        os.kill(child, number)
        context.finish(process).expect_error(f"the machine's process was killed by signal {int(number)} (")
        expect_nothing_happened(context)


@test()
def reader_gone(context):
    """Nobody reads the percentages any more: SIGPIPE ends the job as it ends other programs."""
    images.prepare(context.directory, MIB)
    (context.directory / "out").write_text("old content")
    held = jobs.Held(context, [context.build.instar, "copy", "-p", "in", "out"])
    held.process.stdout.close()
    held.process.stdout = None
    # The first percentage, 0, is written before anything is read.
    context.finish(held.process).expect(-signal.SIGPIPE)
    expect_nothing_happened(context)


@test(cases=["--version", "--help", "convert --help", "create --help"])
def reader_of_text_gone(context, case):
    """Whoever has read enough of it, as `head` has, does not make qemu-img fail."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([context.qemu_img, *case.split()], stdout=writing, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)
    finally:
        os.close(writing)
    if done.returncode != 0 or done.stderr:
        raise Failure(f"{case}: status {done.returncode}, {done.stderr}")


@test(cases=["regular", "direct-io", "mmap-backing", "io-uring"])
def input_shrinks(context, case):
    """An input that becomes shorter while it is copied is an error, and no crash."""
    if case in ("regular", "direct-io"):
        held, _ = held_vmm(context, *([] if case == "regular" else [f"--{case}"]))
        os.truncate(context.directory / "in", 4096)
        held.release()
        process = held.process
    else:
        # Their reads cannot be held: a lot of small ones, and the whole process is stopped.
        images.prepare(context.directory, 256 * MIB)
        (context.directory / "out").write_text("old content")
        process = context.start([context.build.vmm, "--input", "in", "--output", "out", *QUIET, "--request-size", "512",
                                 "--queue-depth", "1", f"--{case}", context.build.copy])
        child = jobs.machine_stop(context, process)
        os.truncate(context.directory / "in", 4096)
        os.kill(child, signal.SIGCONT)
    context.finish(process).expect_error("in: cannot read at offset ")
    expect_nothing_happened(context)


@test()
def input_grows(context):
    """What is appended while it is copied is not part of the copy."""
    held, _ = held_vmm(context)
    with open(context.directory / "in", "ab") as file:
        file.write(b"more")
    held.release()
    context.finish(held.process).expect()
    expect_copied(context)


@test()
def output_appears_meanwhile(context):
    """Somebody else creates a file under the output's name: it is replaced, as if it had been there before."""
    images.prepare(context.directory, MIB)
    held = jobs.Held(context, [context.build.instar, "copy", "in", "out"])
    jobs.machine_find(context, held.process)
    (context.directory / "out").write_text("meanwhile")
    held.release()
    context.finish(held.process).expect()
    expect_copied(context)
    names = sorted(path.name for path in context.directory.iterdir())
    if names != ["in", "out"]:
        raise Failure(f"the directory holds {names}")


def held_image_job(context, *arguments):
    images.prepare(context.directory, MIB)
    held = jobs.Held(context, [context.build.directory / "qemu-img", *arguments])
    jobs.machine_find(context, held.process)
    return held


@test(cases=["convert", "convert,-p", "compare"])
def progress_asked(context, case):
    """SIGUSR1: a percentage on standard error, with -p or without, and the job goes on."""
    command, *options = case.split(",")
    operands = {"convert": ["-O", "raw", "in", "out"], "compare": ["-f", "raw", "-F", "raw", "in", "in"]}[command]
    held = held_image_job(context, command, *options, *operands)
    for _ in range(3):
        held.process.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    held.release()
    completed = context.finish(held.process).expect()
    if not re.search(r"^ {4}\(\d+\.\d\d/100%\)$", completed.stderr, re.MULTILINE):
        raise Failure(completed.describe("no percentage"))
    if command == "convert":
        expect_copied(context)


@test()
def map_reader_gone(context):
    """Who has read enough of a map does not make it fail, as with qemu-img (pipefail shows its status)."""
    with open(context.directory / "in", "wb") as file:
        for number in range(3000):  # more extents than a pipe holds lines
            file.seek(number * 131072)
            file.write(b"x" * 4096)
    for program in [context.build.directory / "qemu-img", *[path for path in [QEMU_IMG] if os.path.exists(path)]]:
        command = f"set -o pipefail; '{program}' map -f raw in | head -1; '{program}' info in | true"
        context.run(["bash", "-c", command]).expect()


@test(cases=["limit", "limit of who has blocked SIGALRM", "SIGTERM"])
def output_unread(context, case):
    """Standard output is a pipe that nobody reads, and full: the time limit and signals work all the same."""
    with open(context.directory / "in", "wb") as file:
        for number in range(3000):  # more extents than a pipe holds lines
            file.seek(number * 131072)
            file.write(b"x" * 4096)
    reading, writing = os.pipe()
    is_limit = case.startswith("limit")
    limit = ["--max-time", "2"] if is_limit else []
    blocked = [signal.SIGALRM] if "blocked" in case else []
    with open(context.directory / "errors", "wb") as errors:
        process = context.start([context.build.directory / "qemu-img", "map", *limit, "-f", "raw", "in"],
                                stdout=writing, stderr=errors,
                                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, blocked))
    os.close(writing)
    if is_limit:
        status = process.wait(timeout=60)
    else:
        time.sleep(2)
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=60)
    os.close(reading)
    text = (context.directory / "errors").read_text()
    if status != (1 if is_limit else -signal.SIGTERM) or (
            is_limit and "the job exceeded its time limit of 2 s" not in text):
        raise Failure(f"status {status}: {text}")


@test(cases=["limit", "SIGTERM"])
def image_unread(context, case):
    """The image itself goes to a pipe that nobody reads, and the guest is killed meanwhile: what ends jobs ends this one."""
    images.prepare(context.directory, MIB)
    reading, writing = os.pipe()
    limit = ["--max-time", "2"] if case == "limit" else []
    process = context.start([context.build.directory / "qemu-img", "convert", *limit, "-f", "raw", "-O", "raw", "in",
                             "/dev/stdout"], stdout=writing)
    os.close(writing)
    held = 0
    while held < 65536 and process.poll() is None and context.left_s() > 1:  # what a pipe holds
        held = struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, bytes(4)))[0]
        time.sleep(0.01)
    jobs.kill(process, "guest")
    if case == "SIGTERM":
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    os.close(reading)
    lines = errors.decode().splitlines()
    # Where the guest's process is the machine's, the job ends with it.
    ends = (1,) if case == "limit" else (1, -signal.SIGTERM)
    if process.returncode not in ends or (process.returncode == 1) != (len(lines) == 1):
        raise Failure(f"status {process.returncode}: {errors.decode()}")
    session_expect_empty(process.pid)
