# SPDX-License-Identifier: Apache-2.0
"""The progress bar: on a terminal, and only there."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from lib import images, jobs
from lib.python_tests import test
from lib.suite import Failure, completed_make, session_expect_empty, session_processes

MIB = 1 << 20
LENGTH = 128 * MIB
# "\r 12%  [==>   ]   60.0 MiB of 512 MiB   300 MiB/s   0:01 left", less of it on a narrow terminal.
SIZE = r"\s+[\d.]+ ?[KMGT]?i?B"
LINE = re.compile(rf"\s*\d+%(\s+\[=*>? *\])?({SIZE} of{SIZE}({SIZE}/s)?(\s+\d+:\d\d left)?)?\s*")


class Terminal:
    """A pseudo terminal and what was written to it."""

    def __init__(self, columns):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.text = b""

    def read(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # nobody has the other end
                    return
                if not data:
                    return
                self.text += data
                return

    def close(self):
        os.close(self.master)


def run_slowly(context, terminal, arguments, hold_s=0.5):
    """Runs a program on a terminal; holds its reads for a while, then lets its machine work now and then."""
    held = jobs.Held(context, arguments, stderr=terminal.slave if terminal else subprocess.PIPE)
    process = held.process
    if terminal:
        os.close(terminal.slave)
    release = time.monotonic() + hold_s
    while process.poll() is None and context.left_s() > 1:
        if time.monotonic() > release:
            held.release()
            jobs.children_signal(process, signal.SIGCONT)
            time.sleep(0.002)
            jobs.children_signal(process, signal.SIGSTOP)
        if terminal:
            terminal.read(0.03)
        else:
            time.sleep(0.03)
    # The machine's process may have outlived its parent, asleep.
    for left in session_processes(process.pid):
        os.kill(left, signal.SIGCONT)
    if not terminal:
        return context.finish(process)
    terminal.read(0.05)
    stdout, _ = process.communicate(timeout=context.left_s())
    session_expect_empty(process.pid)
    terminal.close()
    return completed_make(process, stdout, terminal.text)


def lines_check(completed, columns):
    text = completed.stderr
    if re.search(r"[^\r -~]", text):
        raise Failure(completed.describe("more than plain text and carriage returns"))
    lines = [line for line in text.split("\r") if line.strip()]
    if not lines:
        raise Failure(completed.describe("no progress bar"))
    for line in lines:
        if len(line) >= columns or not LINE.fullmatch(line):
            raise Failure(completed.describe(f"not a line of a bar of {columns} columns: {line!r}"))
    # In the end there is nothing left of it.
    last = text.rstrip("\r").rpartition("\r")[2]
    if last.strip():
        raise Failure(completed.describe("the bar is still there"))


@test(cases=[80, 40, 20, 8], weight=3)
def bar(context, case):
    images.prepare(context.directory, LENGTH)
    completed = run_slowly(context, Terminal(case), [context.build.instar, "copy", "in", "out"]).expect()
    lines_check(completed, case)
    if completed.stdout:
        raise Failure(completed.describe("a bar on standard output"))
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure("the output is not the input")


@test(cases=["--quiet", "--progress"], weight=3)
def no_bar_when_unwanted(context, case):
    images.prepare(context.directory, LENGTH)
    completed = run_slowly(context, Terminal(80), [context.build.instar, "copy", case, "in", "out"]).expect()
    if completed.stderr:
        raise Failure(completed.describe("something on the terminal"))


@test(weight=3)
def no_bar_without_terminal(context):
    images.prepare(context.directory, LENGTH)
    completed = run_slowly(context, None, [context.build.instar, "copy", "in", "out"]).expect()
    if completed.stdout + completed.stderr:
        raise Failure(completed.describe("it prints something"))


@test()
def bar_is_cleared_before_an_error(context):
    """The error has a line of its own."""
    images.prepare(context.directory, LENGTH)
    arguments = [context.build.instar, "copy", "--timeout", "3", "in", "out"]
    completed = run_slowly(context, Terminal(80), arguments, hold_s=8).expect(1)
    if not LINE.fullmatch(completed.stderr.split("\r")[1]):
        raise Failure(completed.describe("no progress bar"))
    last = completed.stderr.rstrip("\r\n").rpartition("\r")[2]
    if last != "instar: the job exceeded its time limit of 3 s":
        raise Failure(completed.describe("the error does not have a line of its own"))
