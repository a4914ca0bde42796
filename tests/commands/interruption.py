# SPDX-License-Identifier: Apache-2.0
"""Jobs that are interrupted, and processes that are killed."""

import os
import signal
import time

from lib import images
from lib.python_tests import test
from lib.suite import Failure, session_expect_empty

MIB = 1 << 20
# 64 MiB in requests of a sector, one at a time: seconds.
SLOW = ["--request-size", "512", "--queue-depth", "1", "--progress-percent", "100"]


def child_find(context, process):
    """The machine's process."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    while context.left_s() > 1 and process.poll() is None:
        with open(path, encoding="ascii") as file:
            if children := file.read().split():
                return int(children[0])
        time.sleep(0.001)
    raise Failure("no child was started")


def state(process):
    with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]


def child_stop(context, process):
    """Finds the machine's process and holds it, so that nothing depends on the time any more."""
    child = child_find(context, process)
    os.kill(child, signal.SIGSTOP)
    while state(child) != "T":
        if process.poll() is not None or context.left_s() < 1:
            raise Failure("the job was over before it could be stopped")
        time.sleep(0.001)
    return child


def endless(context):
    images.prepare(context.directory, 1000)
    (context.directory / "out").write_text("old content")
    guest = context.build.directory / "tests" / "hostile" / "endless_loop.bin"
    return context.start([context.build.vmm, "--input", "in", "--output", "out", guest])


def slow_copy(context, *options):
    images.prepare(context.directory, 64 * MIB)
    (context.directory / "out").write_text("old content")
    return context.start([context.build.vmm, "--input", "in", "--output", "out", *SLOW, *options, context.build.copy])


def expect_nothing_happened(context):
    names = sorted(path.name for path in context.directory.iterdir())
    if names != ["in", "out"] or (context.directory / "out").read_text() != "old content":
        raise Failure(f"the directory holds {names}, or the old output has changed")


@test(cases=["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def signals(context, case):
    """The process ends by the signal, and leaves nothing behind; a shell shows 130 for SIGINT."""
    number = getattr(signal, case)
    for start, stop in ((endless, child_find), (slow_copy, child_stop)):
        process = start(context)
        stop(context, process)
        process.send_signal(number)
        context.finish(process).expect(-number)
        expect_nothing_happened(context)


@test()
def terminal_interrupt(context):
    """Ctrl-C reaches parent and child at the same time."""
    process = endless(context)
    child_find(context, process)
    os.killpg(process.pid, signal.SIGINT)
    context.finish(process).expect(-signal.SIGINT)
    expect_nothing_happened(context)


@test()
def interrupted_copy_of_instar(context):
    images.prepare(context.directory, 256 * MIB)
    (context.directory / "out").write_text("old content")
    process = context.start([context.build.instar, "copy", "in", "out"])
    child_stop(context, process)
    process.send_signal(signal.SIGINT)
    completed = context.finish(process).expect(-signal.SIGINT)
    expect_nothing_happened(context)
    if completed.stdout + completed.stderr:
        raise Failure(completed.describe("an interruption needs no words"))


@test()
def ignored_signal(context):
    """A job whose user ignores SIGINT (nohup, a shell's background job) is not interrupted by it."""
    images.prepare(context.directory, 64 * MIB)
    process = context.start([context.build.vmm, "--input", "in", "--output", "out", *SLOW, context.build.copy],
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    child = child_stop(context, process)
    process.send_signal(signal.SIGINT)
    os.kill(child, signal.SIGCONT)
    context.finish(process).expect()
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure("the output is not the input")


@test()
def stopped_and_continued(context):
    """Ctrl-Z and fg."""
    process = slow_copy(context)
    child_find(context, process)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGCONT)
    context.finish(process).expect()
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure("the output is not the input")


@test()
def parent_killed(context):
    """When the parent is killed, its child is gone within a second, and the output's name is untouched."""
    for start in (endless, slow_copy):
        process = start(context)
        child_find(context, process)
        process.kill()
        process.wait()
        session_expect_empty(process.pid, patience=1.0)
        expect_nothing_happened(context)


@test(cases=["SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"])
def child_killed(context, case):
    """When the machine's process dies, that is an error, and never a hang."""
    number = getattr(signal, case)
    for start in (endless, slow_copy):
        process = start(context)
        os.kill(child_find(context, process), number)
        context.finish(process).expect_error(f"the machine's process was killed by signal {int(number)} (")
        expect_nothing_happened(context)


@test()
def reader_gone(context):
    """Nobody reads the percentages any more: SIGPIPE ends the job as it ends other programs."""
    images.prepare(context.directory, 64 * MIB)
    (context.directory / "out").write_text("old content")
    process = context.start([context.build.instar, "copy", "-p", "in", "out"])
    process.stdout.close()
    process.stdout = None
    completed = context.finish(process)
    if completed.status not in (-signal.SIGPIPE, 1):
        raise Failure(completed.describe("expected SIGPIPE, or an error"))
    expect_nothing_happened(context)


@test(cases=["regular", "direct", "mmap", "io-uring"])
def input_shrinks(context, case):
    """An input that becomes shorter while it is copied is an error, and no crash."""
    options = {"regular": [], "direct": ["--direct-io"], "mmap": ["--mmap-backing"], "io-uring": ["--io-uring"]}[case]
    process = slow_copy(context, *options)
    child = child_stop(context, process)
    os.truncate(context.directory / "in", 4096)
    os.kill(child, signal.SIGCONT)
    context.finish(process).expect_error("in: cannot read at offset ")
    expect_nothing_happened(context)


@test()
def input_grows(context):
    """What is appended while it is copied is not part of the copy."""
    process = slow_copy(context)
    child = child_stop(context, process)
    with open(context.directory / "in", "ab") as file:
        file.write(b"more")
    os.kill(child, signal.SIGCONT)
    context.finish(process).expect()
    if (context.directory / "out").read_bytes() != images.data(64 * MIB):
        raise Failure("the output is not what the input was")
