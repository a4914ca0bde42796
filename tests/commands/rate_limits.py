# SPDX-License-Identifier: Apache-2.0
"""convert and commit with -r: never faster, whatever is written and however short the disk is."""

import random
import time

from lib import daily
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
REFERENCE = "/usr/bin/qemu-img"
TARGETS = ["raw", "qcow2", "qcow2 -c", "qcow2 -c -o compression_type=zstd", "vmdk -o subformat=streamOptimized", "vdi"]


def least_s(length, rate, run):
    """A busy machine cannot make this fail. What is written last may go beyond the rate: a tenth of a second, and a cluster."""
    started = time.monotonic()
    run()
    took, least = time.monotonic() - started, length / rate - 0.2
    if took < least:
        raise Failure(f"{length} bytes at {rate} per second took {took:.2f} s, less than {least:.2f}")


@test(cases=daily.sample("rate/targets", TARGETS, 2))
def targets(context, case):
    """Two processors have compressed all of a short disk before its first cluster is written."""
    (context.directory / "source").write_bytes(random.Random(daily.seed()).randbytes(MIB))
    command = [context.qemu_img, "convert", "-r", "1M", "-f", "raw", "-O", *case.split(), "source", "out"]
    least_s(MIB, MIB, lambda: context.run(command).expect())
    context.run([REFERENCE, "compare", "-q", "-f", "raw", "-F", case.split()[0], "source", "out"]).expect()


@test()
def committed(context):
    """What commit writes counts, too."""
    (context.directory / "base").write_bytes(bytes(MIB))
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "top"]).expect()
    context.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", "top"]).expect()
    least_s(MIB, MIB, lambda: context.run([context.qemu_img, "commit", "-q", "-r", "1M", "-b", "base", "top"]).expect())
    if (context.directory / "base").read_bytes() != b"\x07" * MIB:
        raise Failure("the base is not what was committed")
