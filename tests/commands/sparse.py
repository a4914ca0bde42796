# SPDX-License-Identifier: Apache-2.0
"""-S: which bytes of raw output have storage, beside qemu-img."""

import json
import random

from lib import daily
from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
KIB = 1 << 10


def scattered(seed):
    """Runs of data and of zeros in sectors, 900 KiB: the whole is looked at in one piece."""
    generator = random.Random(seed)
    content = b""
    while len(content) < 900 * KIB:
        length = generator.choice([1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 40, 128, 129]) * 512
        content += bytes(length) if generator.random() < 0.5 else b"x" * length
    return content[:900 * KIB]


def stored(context, name):
    """Blocks with storage; not the first one, which QEMU writes in every new file, to find out about alignment."""
    done = context.run([REFERENCE, "map", "-f", "raw", "--output=json", name]).expect()
    return {at for run in json.loads(done.stdout) if run["data"]
            for at in range(run["start"] // 4096, -(-(run["start"] + run["length"]) // 4096))} - {0}


@test(cases=daily.sample("sparse run_lengths", ["512", "1k", "4k", "6k", "8k", "12k", "16k", "64k", "128k"], 4))
def run_lengths(context, case):
    chosen = [b"x" * 20480 + bytes(200 * KIB), bytes(8192) + b"x" * 4096 + bytes(100 * KIB)]
    for number, content in enumerate(chosen + [scattered(f"{case} {i}") for i in range(4)]):
        (context.directory / "in").write_bytes(content)
        runs = []
        for program, name in ((REFERENCE, "reference"), (context.qemu_img, "own")):
            context.run([program, "convert", "-S", case, "-f", "raw", "-O", "raw", "in", name]).expect()
            if (context.directory / name).read_bytes() != content:
                raise Failure(f"{program}: another content")
            runs.append(stored(context, name))
        if runs[0] != runs[1]:
            raise Failure(f"input {number}, -S {case}: other blocks are stored than by qemu-img: "
                          f"{sorted(runs[0] ^ runs[1])[:6]}")
