# SPDX-License-Identifier: Apache-2.0
"""Jobs that a test looks at while they are at work."""

import os
import random
import signal
import subprocess
import time

from lib.suite import Failure, session_expect_empty

# Seconds until a killed job has ended, and until the last of its processes has.
KILLED_S, GONE_S = 20, 1.0


class Held:
    """A program whose reads of files wait until release is called (lib/hold_reads.c)."""

    def __init__(self, context, arguments, **options):
        self.path = context.directory.parent / "hold"
        self.path.write_bytes(b"\1")
        environment = dict(context.environment, INSTAR_TEST_HOLD=str(self.path))
        environment["LD_PRELOAD"] = str(context.build.directory / "tests" / "lib" / "libhold_reads.so")
        self.process = context.start(arguments, env=environment, **options)

    def release(self):
        # In place: a file that is cut first would take the mapping away.
        with open(self.path, "r+b") as file:
            file.write(b"\0")


def children_of(number):
    """Those of a process that may end at any moment: its files are then not there, or cannot be read any more."""
    try:
        with open(f"/proc/{number}/task/{number}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(process):
    return children_of(process.pid)


def children_signal(process, number):
    for child in children(process):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass


def thread_count(process):
    try:
        return len(os.listdir(f"/proc/{process}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def machine_find(context, process):
    """The machine's process, as soon as the machine runs in it."""
    while context.left_s() > 1 and process.poll() is None:
        for child in children(process):
            # One that relays, one for each of two devices, one for a vCPU.
            if thread_count(child) >= 4:
                return child
        time.sleep(0.001)
    raise Failure("there is no machine")


def machine_stop(context, process):
    """Finds the machine's process and stops it."""
    child = machine_find(context, process)
    try:
        os.kill(child, signal.SIGSTOP)
        while process.poll() is None and context.left_s() > 1:
            with open(f"/proc/{child}/stat", encoding="ascii", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] == "T":
                    return child
            time.sleep(0.001)
    except (FileNotFoundError, ProcessLookupError):
        pass
    raise Failure("the job was over before it could be stopped")


def descriptors_of(process):
    """What a process, by its number, has open, as names; what it closes meanwhile is left out. PermissionError: only root may look."""
    found = []
    for number in os.listdir(f"/proc/{process}/fd"):
        try:
            found.append(os.readlink(f"/proc/{process}/fd/{number}"))
        except FileNotFoundError:
            pass
    return found


def descendants(process):
    """The machine's process and the guest's, as far as they are there."""
    found = [process.pid]
    for number in found:
        found += children_of(number)
    return found[1:]


def kill(process, victim):
    """SIGKILL to the parent, the machine's process, the guest's, or the whole group."""
    if victim == "parent":
        process.kill()
        return
    if victim == "group":
        os.killpg(process.pid, signal.SIGKILL)  # not reaped yet: the group is there
        return
    for number in descendants(process)[:1] if victim == "machine" else descendants(process)[-1:]:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_at_random(process, duration, number):
    """
    At any moment from the program's start to a bit after its usual end, and another victim each time. Then all of it is
    gone. Returns whether it had finished before.
    """
    time.sleep(random.uniform(0, 1.2 * duration))
    kill(process, ("group", "parent", "machine")[number % 3])
    try:
        process.communicate(timeout=KILLED_S)
    except subprocess.TimeoutExpired:
        raise Failure("the job hangs") from None
    if process.returncode not in (0, 1, -signal.SIGKILL):
        raise Failure(f"exit status {process.returncode}")
    session_expect_empty(process.pid, patience=GONE_S)
    return process.returncode == 0


def failing_disk(context, call, number):
    """An environment in which each call, from the `number`th of a process on, is answered with EIO (fail_calls.c)."""
    return _with_failing_calls(context, INSTAR_TEST_FAIL=f"{call}:{number}")


def small_files(context, limit):
    """An environment in which no file gets longer than so many bytes. Unlike the kernel's limit, it leaves memory alone
    that is a file, as one engine has it."""
    return _with_failing_calls(context, INSTAR_TEST_FILE_LIMIT=str(limit))


def _with_failing_calls(context, **variables):
    return dict(context.environment, **variables,
                LD_PRELOAD=str(context.build.directory / "tests" / "lib" / "libfail_calls.so"))
