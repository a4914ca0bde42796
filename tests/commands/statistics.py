# SPDX-License-Identifier: Apache-2.0
"""--stats and --progress-percent: formats, and numbers that must agree with each other."""

import json
import re

from lib import images
from lib.python_tests import test
from lib.suite import Failure

LENGTH = (1 << 20) + 1
EXIT_KINDS = {"io-in", "io-out", "mmio-read", "mmio-write", "hlt", "shutdown", "fail-entry", "unknown"}
DEVICE_KEYS = {
    "name", "backend", "sector-size", "bytes-read", "bytes-written", "sectors-read", "sectors-written",
    "bytes-read-per-second", "bytes-written-per-second", "requests", "operations", "merges", "batches", "kicks",
    "notifications",
}


def statistics_run(context, kind, *options, guest=None):
    images.prepare(context.directory, LENGTH)
    return context.vmm(guest or context.build.copy, "--progress-percent", "100", f"--stats={kind}", *options)


def expect_equal(completed, what, actual, expected):
    if actual != expected:
        raise Failure(completed.describe(f"{what} is {actual}, expected {expected}"))


def json_check(completed):
    statistics = json.loads(completed.stdout)
    exits = dict(statistics["exits"])
    if not EXIT_KINDS <= exits.keys():
        raise Failure(completed.describe(f"exits without {EXIT_KINDS - exits.keys()}"))
    total = exits.pop("total")
    expect_equal(completed, "the total of exits", total, sum(exits.values()))
    expect_equal(completed, "derived", set(statistics["derived"]),
                 {"exits-per-second", "mmio-exits-per-sector", "bytes-per-exit"})
    for device in statistics["devices"]:
        if not DEVICE_KEYS <= device.keys():
            raise Failure(completed.describe(f"a device without {DEVICE_KEYS - device.keys()}"))
    if statistics["wall-ns"] <= 0 or statistics["peak-memory"] <= 0:
        raise Failure(completed.describe("no time, or no memory"))
    if statistics["kernel"]["supported"] != bool(statistics["kernel"]["statistics"]):
        raise Failure(completed.describe("the kernel's statistics do not agree with themselves"))
    return statistics


@test(cases=["regular", "direct-io", "mmap-backing", "io-uring", "memory-backing"])
def json_format(context, case):
    options = [] if case == "regular" else [f"--{case}"]
    completed = statistics_run(context, "json", *options).expect()
    statistics = json_check(completed)
    source, target = statistics["devices"]
    expect_equal(completed, "the devices' names", (source["name"], target["name"]), ("input", "output"))
    expect_equal(completed, "bytes read", source["bytes-read"], LENGTH)
    expect_equal(completed, "bytes written", target["bytes-written"], LENGTH)
    expect_equal(completed, "sectors read", source["sectors-read"], LENGTH // 512 + 1)
    expect_equal(completed, "bytes written to the input", source["bytes-written"], 0)
    expect_equal(completed, "failed requests", source["requests"]["failed"] + target["requests"]["failed"], 0)
    if source["requests"]["read"] < 1 or target["requests"]["write"] < 1 or source["kicks"] < 1:
        raise Failure(completed.describe("no requests, or no kicks"))


@test()
def kicks_as_exits(context):
    """Without ioeventfd every kick is an exit of its own."""
    completed = statistics_run(context, "json", "--no-ioeventfd").expect()
    statistics = json_check(completed)
    kicks = sum(device["kicks"] for device in statistics["devices"])
    if statistics["exits"]["mmio-write"] < kicks or kicks == 0:
        raise Failure(completed.describe(f"{kicks} kicks, but fewer exits"))


@test()
def prometheus_format(context):
    """Every line is a comment or a sample, every sample has a type, no sample comes twice (exposition format)."""
    completed = statistics_run(context, "prometheus").expect()
    types, samples = {}, set()
    for line in completed.stdout.splitlines():
        if found := re.fullmatch(r"# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)", line):
            if found[1] in types:
                raise Failure(completed.describe(f"a second type: {line}"))
            types[found[1]] = found[2]
        elif re.fullmatch(r"# HELP [a-zA-Z_:][\w:]* .+", line):
            continue
        elif found := re.fullmatch(r'(([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})?) '
                                   r'[-+]?[\d.]+(?:e[-+]?\d+)?', line):
            if found[2] not in types:
                raise Failure(completed.describe(f"a sample without a type: {line}"))
            if found[1] in samples:
                raise Failure(completed.describe(f"a sample that comes twice: {line}"))
            samples.add(found[1])
        else:
            raise Failure(completed.describe(f"not a line of the format: {line!r}"))
    if len(samples) < 20 or not completed.stdout.endswith("\n"):
        raise Failure(completed.describe(f"only {len(samples)} samples, or a last line without an end"))


@test()
def human_format(context):
    completed = statistics_run(context, "human").expect()
    for word in ("exits", "input", "output", "per second", "memory"):
        if word not in completed.stdout.lower():
            raise Failure(completed.describe(f"nothing about {word!r}"))


@test()
def statistics_of_a_failure(context):
    """A job that fails after its machine ran tells what it did."""
    guest = context.build.hostile / "fault_null.bin"
    completed = statistics_run(context, "json", guest=guest).expect(1)
    statistics = json_check(completed)
    expect_equal(completed, "shutdown exits", statistics["exits"]["shutdown"], 1)


@test(cases=[0, 1, 2, 3, 7, 10, 25, 33, 50, 51, 99, 100])
def progress_count(context, case):
    """0: every 10 sectors; 1 to 99: once for each threshold; 100: never."""
    for sectors in (99, 100, 1000, 12345):
        images.prepare(context.directory, sectors * 512 - 100)
        completed = context.vmm(context.build.copy, "--progress-percent", case).expect()
        counts = [int(found) for found in re.findall(r"^progress: (\d+) of ", completed.stderr, re.MULTILINE)]
        if case == 0:
            expected = list(range(10, sectors + 1, 10))
        elif case == 100:
            expected = []
        else:
            expected = sorted({(sectors * percent + 99) // 100 for percent in range(case, 101, case)})
        expect_equal(completed, f"progress of {sectors} sectors", counts, expected)
