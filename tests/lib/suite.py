# SPDX-License-Identifier: Apache-2.0
"""Tests, what they run in, and how they end."""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from typing import Callable

PASSED, FAILED, SKIPPED = "pass", "FAIL", "skip"

# A process that was told to end, and a virtual machine that is taken down, need a moment.
LEFT_OVER_S = 5.0
OUTPUT_SHOWN = 4000
# Of large matrices, what is enough of them in a second run: with sanitizers, or by the other engine.
SECOND_SHARE = 0.15
SANITIZER_REPORT = re.compile(r"(Address|Leak|Thread|UndefinedBehavior)Sanitizer|: runtime error: ")

# For an interruption of the suite itself: sessions of programs and directories of tests that are not over.
live_sessions = set()
live_directories = set()


class Failure(Exception):
    """The test failed. The first line says why, the rest helps."""


class Skip(Exception):
    """The test cannot run here."""


class Build:
    """A build directory, and the engine that its programs run guests by. Programs for the guest, in which there is nothing of
    sanitizers, are those of the directory `guests`."""

    def __init__(self, directory, is_sanitizer=False, sandbox="kvm", guests=None):
        self.directory = pathlib.Path(directory).resolve()
        self.guests_directory = pathlib.Path(guests or directory).resolve()
        self.is_sanitizer = is_sanitizer
        self.sandbox = sandbox
        self.suffix = ("-process" if sandbox == "process" else "") + ("-sanitize" if is_sanitizer else "")
        self.instar = self.directory / "instar"
        self.vmm = self.directory / "instar-vmm"
        self.guests = self.guests_directory / "guest" / "programs"
        self.hostile = self.guests_directory / "tests" / "hostile"
        self.conformance = self.guests_directory / "tests" / "conformance"
        self.copy = self.guests / "copy.bin"
        if not self.vmm.exists():
            raise SystemExit(f"tests/run: {self.directory}: there is no build; run make first")

    def dynamic(self, argument):
        """Of one of our programs' paths, that of the same program with a C library that calls can be put before."""
        path = pathlib.Path(argument)
        other = self.directory / "tests" / "dynamic" / path.name
        return str(other) if path.parent == self.directory and other.exists() else argument

    def environment(self):
        """What programs of this build need to run under test."""
        environment = dict(os.environ, LC_ALL="C", TZ="UTC", INSTAR_SANDBOX=self.sandbox)
        environment["PATH"] = f"{self.directory}:{environment['PATH']}"
        # To standard error, not to a file: a process in its jail can open none.
        common = "halt_on_error=1:abort_on_error=1:print_stacktrace=1"
        environment["ASAN_OPTIONS"] = common
        environment["UBSAN_OPTIONS"] = common
        if self.is_sanitizer:
            environment["INSTAR_TEST_SHARE"] = str(SECOND_SHARE)
        return environment


@dataclasses.dataclass
class Test:
    name: str
    build: Build
    function: Callable  # takes a Context; may return a list of Results of its own
    timeout: float = 120
    needs_kvm: bool = True
    is_native: bool = False  # on the image program without a machine: once, and once with sanitizers
    with_sanitizers: bool = False  # also by programs that are built with them, on the first engine
    alone: bool = False
    weight: float = 1  # about how long it takes, for the order


@dataclasses.dataclass
class Result:
    name: str
    outcome: str
    text: str = ""
    seconds: float = 0


@dataclasses.dataclass
class Completed:
    """A program that has ended."""

    arguments: list
    status: int  # negative: the signal that ended it
    stdout: str
    stderr: str

    def describe(self, what):
        parts = [what, "$ " + " ".join(map(str, self.arguments)), f"exit status {self.status}"]
        for name, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            if text:
                if len(text) > OUTPUT_SHOWN:
                    text = text[:OUTPUT_SHOWN // 2] + "\n[...]\n" + text[-OUTPUT_SHOWN // 2:]
                parts.append(f"{name}:\n{text}")
        return "\n".join(parts)

    def expect(self, status=0):
        if self.status != status:
            raise Failure(self.describe(f"exit status {self.status}, expected {status}"))
        return self

    def expect_error(self, text):
        """Exit status 1 and one line of error with `text` in it."""
        self.expect(1)
        errors = [line for line in self.stderr.splitlines() if line.startswith(("instar: ", "instar-vmm: "))]
        if len(errors) != 1 or text not in errors[0]:
            raise Failure(self.describe(f"expected one line of error with: {text}"))
        return self


def session_processes(session):
    """Living processes of a session. None is older than the one that the session is named for."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) >= session:
            try:
                fields = pathlib.Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            # A process whose first thread has ended may have others, which fields[17] counts.
            if int(fields[3]) == session and (fields[0] not in "ZX" or int(fields[17]) > 1):
                found.append(int(entry))
    return found


def session_expect_empty(session, patience=LEFT_OVER_S):
    end = time.monotonic() + patience
    while left := session_processes(session):
        if time.monotonic() > end:
            session_kill(session)
            raise Failure(f"processes left over: {left}")
        time.sleep(0.005)


def session_kill(session):
    for process in session_processes(session):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass


# The option comes behind the command. Without one there is none to put it behind.
BESIDE_SCRIPT = """#!/bin/sh
program={program}
[ -z "$LD_PRELOAD" ] || program={dynamic}
case $1 in
amend|check|compare|convert|create|dd|info|map|measure|resize|snapshot|bench)
    command=$1
    shift
    exec "$program" "$command" --backing=beside "$@" ;;
esac
exec "$program" "$@"
"""


class Context:
    """What a test works with: a build, an empty directory, and a deadline."""

    def __init__(self, test, directory):
        self.build = test.build
        self.directory = directory / "work"
        self.directory.mkdir()
        self.environment = self.build.environment()
        self.deadline = time.monotonic() + test.timeout
        self.processes = []

    @property
    def qemu_img(self):
        """Our program under qemu-img's name."""
        program = self.build.directory / "qemu-img"
        if not program.exists():
            raise Skip("this build has no qemu-img of ours")
        return program

    @property
    def qemu_img_beside(self):
        """The same, by the word of a user who lets images lead to what is beside them: for chains."""
        script = self.directory.parent / "beside" / "qemu-img"
        if not script.exists():
            script.parent.mkdir()
            program = str(self.qemu_img)
            script.write_text(BESIDE_SCRIPT.format(program=shlex.quote(program),
                                                   dynamic=shlex.quote(self.build.dynamic(program))))
            script.chmod(0o755)
        return script

    @property
    def share(self):
        """Of its cases, how many a test in Python runs in this build (daily.sample): 1 is all."""
        return SECOND_SHARE if self.build.is_sanitizer else 1.0

    def left_s(self):
        return max(self.deadline - time.monotonic(), 0.1)

    def start(self, arguments, **options):
        """A program in a session of its own, in the test's directory."""
        options.setdefault("cwd", self.directory)
        options.setdefault("env", self.environment)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        arguments = [str(argument) for argument in arguments]
        if "LD_PRELOAD" in options["env"]:
            arguments = [self.build.dynamic(argument) for argument in arguments]
        process = subprocess.Popen(arguments, start_new_session=True, **options)
        live_sessions.add(process.pid)
        self.processes.append(process)
        return process

    def finish(self, process, left_over_s=LEFT_OVER_S):
        """Waits for the end of a program and of all that it started."""
        try:
            stdout, stderr = process.communicate(timeout=self.left_s())
        except subprocess.TimeoutExpired:
            session_kill(process.pid)
            stdout, stderr = process.communicate()
            hung = completed_make(process, stdout, stderr)
            raise Failure(hung.describe("timed out")) from None
        # Of the system's programs, which we compare with, nothing is left over, and looking takes time.
        if not str(process.args[0]).startswith("/usr/bin/"):
            session_expect_empty(process.pid, left_over_s)
        live_sessions.discard(process.pid)
        completed = completed_make(process, stdout, stderr)
        if SANITIZER_REPORT.search(completed.stdout + completed.stderr):
            raise Failure(completed.describe("a sanitizer reports"))
        return completed

    def end(self):
        """After a failure: whatever the test has started and did not wait for."""
        for process in self.processes:
            if process.poll() is None:
                session_kill(process.pid)
                process.communicate()
            live_sessions.discard(process.pid)

    def run(self, arguments, **options):
        return self.finish(self.start(arguments, **options))

    def vmm(self, guest, *options, source="in", target="out"):
        return self.run([self.build.vmm, "--input", source, "--output", target, *options, guest])

    def copy(self, source, target, *options):
        return self.run([self.build.instar, "copy", *options, source, target])


def abandon():
    """Ends what still runs, and removes what it works in."""
    for session in tuple(live_sessions):
        session_kill(session)
    for directory in tuple(live_directories):
        shutil.rmtree(directory, ignore_errors=True)


def completed_make(process, stdout, stderr):
    texts = [(text or b"").decode(errors="backslashreplace") for text in (stdout, stderr)]
    return Completed(process.args, process.returncode, *texts)


def kvm_missing():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm cannot be opened: {error.strerror}"
    return None


KVM_MISSING = kvm_missing()


def run(test):
    """Runs a test and returns its results."""
    if test.needs_kvm and not test.is_native and KVM_MISSING and test.build.sandbox == "kvm":
        return [Result(test.name, SKIPPED, KVM_MISSING)]
    start = time.monotonic()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="instar-test-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    directory.chmod(0o755)
    live_directories.add(directory)
    results, outcome, text = None, PASSED, ""
    context = Context(test, directory)
    try:
        results = test.function(context)
    except Skip as skip:
        outcome, text = SKIPPED, str(skip)
    except Failure as failure:
        outcome, text = FAILED, str(failure)
    except Exception:  # a defect of the test is a failure, too
        outcome, text = FAILED, "the test itself failed\n" + traceback.format_exc()
    finally:
        context.end()
        shutil.rmtree(directory, ignore_errors=True)
        live_directories.discard(directory)
    if outcome == PASSED and results is not None:
        return results
    return [Result(test.name, outcome, text, time.monotonic() - start)]
