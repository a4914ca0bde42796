# SPDX-License-Identifier: Apache-2.0
"""Files on a server that is gone: opening and reading one that an image names waits for ever, the job does not."""

import os
import pathlib
import shutil
import signal

from lib.python_tests import test
from lib.suite import Failure, Skip

QEMU_IMG = "/usr/bin/qemu-img"
SERVER = pathlib.Path(__file__).resolve().parent.parent / "lib" / "stuck_files.py"
SKIPPED = 77
ENDS = {"deadline": 0, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


def convert_start(context, operation, signal_number):
    """A conversion of an image whose backing file is never opened, or never read."""
    if not os.path.exists(QEMU_IMG) or not shutil.which("unshare"):
        raise Skip("QEMU's qemu-img or unshare is not installed")
    (context.directory / "mnt").mkdir()
    context.run([QEMU_IMG, "create", "-q", "-f", "qcow2", "-u", "-b", "mnt/stuck", "-F", "raw", "top", "1M"]).expect()
    limit = ["--max-time", "1"] if signal_number == 0 else []
    return context.start(["unshare", "-rm", "python3", SERVER, "mnt", operation, str(int(signal_number)),
                          context.build.instar, "convert", "--backing-dir", "mnt", *limit, "-O", "raw", "top", "out"])


@test(cases=["open,deadline", "open,SIGINT", "open,SIGTERM", "read,deadline"])
def ends(context, case):
    """What ends a job ends it; and with it what would wait for the end of its output."""
    operation, end = case.split(",")
    completed = context.finish(convert_start(context, operation, ENDS[end]))
    if completed.status == SKIPPED or "unshare: " in completed.stderr:
        raise Skip("no file system can be mounted here")
    if "did not get there" in completed.stderr:
        raise Failure(completed.describe("nothing was opened"))
    completed.expect(1 if end == "deadline" else 128 + ENDS[end])
    if end == "deadline" and "the job exceeded its time limit of 1 s" not in completed.stderr:
        raise Failure(completed.describe("it does not say why"))
    if (context.directory / "out").exists():
        raise Failure("there is an output")
