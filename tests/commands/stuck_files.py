# SPDX-License-Identifier: Apache-2.0
"""Files on a server that is gone: opening and reading one that the user or an image names waits for ever, the job does not."""

import os
import pathlib
import shutil
import signal

from lib import daily
from lib.python_tests import test
from lib.suite import Failure, Skip

QEMU_IMG = "/usr/bin/qemu-img"
SERVER = pathlib.Path(__file__).resolve().parent.parent / "lib" / "stuck_files.py"
SKIPPED = 77
ENDS = {"deadline": 0, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


def start(context, operation, signal_number, *command):
    """A command beside a file that never gives an answer to this operation."""
    if not os.path.exists(QEMU_IMG) or not shutil.which("unshare"):
        raise Skip("QEMU's qemu-img or unshare is not installed")
    (context.directory / "mnt").mkdir()
    context.run([QEMU_IMG, "create", "-q", "-f", "qcow2", "-u", "-b", "mnt/stuck", "-F", "raw", "top", "1M"]).expect()
    limit = ["--max-time", "1"] if signal_number == 0 else []
    return context.start(["unshare", "-rm", "python3", SERVER, "mnt", operation, str(int(signal_number)),
                          context.build.instar, command[0], *limit, *command[1:]])


def expect_end(context, process, end):
    completed = context.finish(process)
    if completed.status == SKIPPED or "unshare: " in completed.stderr:
        raise Skip("no file system can be mounted here")
    if "did not get there" in completed.stderr:
        raise Failure(completed.describe("nothing was opened"))
    completed.expect(1 if end == "deadline" else 128 + ENDS[end])
    if end == "deadline" and "the job exceeded its time limit of 1 s" not in completed.stderr:
        raise Failure(completed.describe("it does not say why"))
    if (context.directory / "out").exists():
        raise Failure("there is an output")


@test(cases=["open,deadline", "open,SIGINT", "open,SIGTERM", "read,deadline"])
def ends(context, case):
    """What ends a job ends it; and with it what would wait for the end of its output."""
    operation, end = case.split(",")
    process = start(context, operation, ENDS[end], "convert", "--backing-dir", "mnt", "-O", "raw", "top", "out")
    expect_end(context, process, end)


NAMED = {
    "info": ("info", "-f", "raw", "mnt/stuck"),
    "convert": ("convert", "-f", "raw", "-O", "raw", "mnt/stuck", "out"),
    "resize": ("resize", "-f", "raw", "mnt/stuck", "2M"),
    "bench": ("bench", "-w", "-c", "1", "-f", "raw", "mnt/stuck"),
    "config": ("info", "--config", "mnt/stuck", "top"),
    "backing-file": ("info", "--backing-file", "mnt/stuck", "top"),
    "backing-dir": ("info", "--backing-dir", "mnt/stuck", "top"),
    "configured": ("info", "--config", "conf", "top"),
    "data-file": ("convert", "--data-file", "mnt/stuck", "-O", "raw", "top", "out"),
    "secret": ("info", "--object", "secret,id=a,file=mnt/stuck", "top"),
    "driver": ("info", "-f", "file", "mnt/stuck"),
    "base": ("commit", "-b", "mnt/stuck", "top"),
    "backing of a new one": ("convert", "-B", "mnt/stuck", "-F", "raw", "-O", "qcow2", "top", "out"),
}


STUCK = ["info,open,deadline", "info,open,SIGINT", "convert,open,SIGTERM", "convert,lookup,deadline",
         "convert,lookup,SIGINT", "convert,lock,deadline", "convert,lock,SIGINT", "resize,open,deadline",
         "resize,open,SIGINT", "bench,write,deadline", "bench,write,SIGTERM", "config,open,deadline", "config,read,SIGTERM",
         "backing-file,lookup,deadline", "backing-dir,lookup,SIGTERM", "configured,lookup,SIGINT",
         "data-file,lookup,deadline", "secret,lookup,deadline", "driver,lookup,SIGINT", "base,lookup,SIGTERM",
         "backing of a new one,lookup,deadline"]


@test(cases=daily.sample("stuck_files ends_with_files_of_the_user", STUCK, 7))
def ends_with_files_of_the_user(context, case):
    """The same with a file that the command line names: as input, as the image that is changed, or for something else."""
    command, operation, end = case.split(",")
    (context.directory / "conf").write_text(f"[backing]\nfile = {context.directory}/mnt/stuck\n")
    expect_end(context, start(context, operation, ENDS[end], *NAMED[command]), end)


@test()
def limit_of_the_configuration(context):
    """A pipe to which nobody writes is waited for no longer than the command line says; and one with a writer is read."""
    os.mkfifo(context.directory / "pipe")
    (context.directory / "disk").write_bytes(b"x" * 512)
    completed = context.run([context.build.instar, "info", "--config", "pipe", "--max-time", "1", "-f", "raw", "disk"])
    completed.expect(1)
    if "the job exceeded its time limit of 1 s" not in completed.stderr:
        raise Failure(completed.describe("it does not say why"))
    script = f'(printf "[limits]\\nmax-time = 0\\n" >pipe) & {context.build.instar} info --config pipe -f raw disk'
    context.run(["sh", "-c", script]).expect()
