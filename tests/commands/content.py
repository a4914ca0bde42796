# SPDX-License-Identifier: Apache-2.0
"""What is copied is what was there: every size, sector size, backend and option."""

import filecmp
import json
import os

from lib import daily, images
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65536 + 511, MIB, MIB + 1, 3 * MIB + 4095]
SECTOR_SIZES = [512 << bits for bits in range(16)]
BACKENDS = ["", "--direct-io", "--mmap-backing", "--io-uring", "--memory-backing"]
COPY_BACKENDS = ["regular", "direct", "mmap", "io-uring", "memory"]
QUIET = ["--progress-percent", "100"]
MEMORY_MAX = 128 * MIB


def expect_same(context, what, source="in", target="out"):
    source, target = context.directory / source, context.directory / target
    if not filecmp.cmp(source, target, shallow=False):
        raise Failure(f"{what}: the output is not the input")


def copy_check(context, *options, source="in"):
    target = context.directory / "out"
    target.unlink(missing_ok=True)
    completed = context.vmm(context.build.copy, *QUIET, *options, source=source).expect()
    expect_same(context, " ".join(map(str, options)), source)
    return completed


def holes_and_data(path):
    """A file of odd length with data and holes that no sector size divides."""
    images.write_islands(path, 5 * MIB + 333, [
        (0, 100), (70 * KIB + 13, 5000), (MIB - 1, 2), (2 * MIB, 300 * KIB), (3 * MIB + 512, 512),
        (5 * MIB + 332, 1),
    ])


@test(cases=[f"{backend.lstrip('-') or 'regular'}{mode}" for backend in BACKENDS for mode in ("", ",no-ioeventfd")])
def sizes(context, case):
    backend, _, mode = case.partition(",")
    options = [] if backend == "regular" else [f"--{backend}"]
    options += [f"--{mode}"] if mode else []
    for length in SIZES:
        images.prepare(context.directory, length)
        copy_check(context, *options)


@test(cases=COPY_BACKENDS)
def sizes_of_copy(context, case):
    for length in SIZES:
        images.prepare(context.directory, length)
        (context.directory / "out").unlink(missing_ok=True)
        completed = context.copy("in", "out", f"--backing={case}").expect()
        if completed.stdout + completed.stderr:
            raise Failure(completed.describe("without a terminal it prints nothing"))
        expect_same(context, f"{length} bytes")


@test(cases=daily.sample("content sector_sizes", SECTOR_SIZES, 4), weight=5)
def sector_sizes(context, case):
    """Every output sector size, with one input sector size."""
    holes_and_data(context.directory / "in")
    for size in SECTOR_SIZES:
        copy_check(context, "--input-sector-size", case, "--output-sector-size", size)


@test(cases=[backend for backend in BACKENDS if backend], weight=3)
def mixed_sector_sizes(context, case):
    holes_and_data(context.directory / "in")
    for pair in ((512, 16 * MIB), (16 * MIB, 512), (4 * KIB, 64 * KIB), (16 * MIB, 16 * MIB)):
        copy_check(context, case, "--input-sector-size", pair[0], "--output-sector-size", pair[1])


@test(cases=[backend.lstrip("-") or "regular" for backend in BACKENDS])
def queue_depths(context, case):
    options = [] if case == "regular" else [f"--{case}"]
    holes_and_data(context.directory / "in")
    for depth in (1, 2, 3, 16, 255, 256):
        copy_check(context, "--queue-depth", depth, "--request-size", "4K", *options)


@test()
def request_sizes(context):
    holes_and_data(context.directory / "in")
    for size in SECTOR_SIZES:
        copy_check(context, "--request-size", size)
        copy_check(context, "--request-size", size, "--input-sector-size", 65536, "--output-sector-size", 4096)


@test()
def request_per_sector(context):
    """--request-size 512: as many requests as sectors."""
    images.prepare(context.directory, 1000 * 512 + 1)
    completed = copy_check(context, "--request-size", 512, "--stats=json")
    devices = {device["name"]: device for device in json.loads(completed.stdout)["devices"]}
    counts = devices["input"]["requests"]["read"], devices["output"]["requests"]["write"]
    if counts != (1001, 1001):
        raise Failure(completed.describe(f"{counts} requests, expected 1001 of each kind"))


@test(cases=[2, 3, 16])
def vcpus(context, case):
    holes_and_data(context.directory / "in")
    copy_check(context, "--vcpus", case)
    copy_check(context, "--vcpus", case, "--io-uring", "--no-ioeventfd")


@test(cases=COPY_BACKENDS, weight=20)
def output_that_exists(context, case):
    """Longer, shorter and equal files under the output's name are replaced as a whole."""
    images.prepare(context.directory, MIB + 1)
    for length in (0, 100, MIB + 1, 2 * MIB):
        (context.directory / "out").write_bytes(b"\xff" * length)
        context.copy("in", "out", f"--backing={case}").expect()
        expect_same(context, f"over {length} bytes")


ISLANDS = [
    (0, 1), (4 * KIB - 1, 2), (GIB + 12345, 70000), (2 * GIB - 512, 1024), (4 * GIB - 1, 3),
    (4 * GIB + 5 * MIB, 4 * MIB), (5 * GIB + 122, 1),
]


@test(cases=[backend.lstrip("-") or "regular" for backend in BACKENDS if backend != "--memory-backing"], timeout=120,
      weight=30)
def big_and_sparse(context, case):
    """5 GiB with a few islands of data, one of them the very last byte."""
    options = [] if case == "regular" else [f"--{case}"]
    source, target = context.directory / "in", context.directory / "out"
    images.write_islands(source, 5 * GIB + 123, ISLANDS)
    completed = context.vmm(context.build.copy, *QUIET, "--stats=json", *options).expect()
    if target.stat().st_size != 5 * GIB + 123:
        raise Failure(f"the output has {target.stat().st_size} bytes")
    if images.content_id(source) != images.content_id(target):
        raise Failure("the output is not the input")
    sparse_check(source, target)
    memory_check(completed)
    context.run(["/usr/bin/qemu-img", "compare", "-f", "raw", "-F", "raw", "in", "out"]).expect()


@test(timeout=120, weight=60)
def big_and_sparse_cmp(context):
    """Islands in a smaller one, by cmp, which knows no holes."""
    images.write_islands(context.directory / "in", GIB // 4 + 123, [(offset // 20, length) for offset, length in ISLANDS])
    context.copy("in", "out").expect()
    context.run(["cmp", "in", "out"]).expect()


def sparse_check(source, target):
    """Holes stay holes; the file system may store a little more around data."""
    before, after = images.stored_bytes(source), images.stored_bytes(target)
    if after > before + 256 * KIB:
        raise Failure(f"the input takes {before} bytes of storage, the output {after}")


def memory_check(completed):
    peak = json.loads(completed.stdout)["peak-memory"]
    if not 0 < peak < MEMORY_MAX:
        raise Failure(completed.describe(f"peak memory of {peak} bytes"))


@test(cases=daily.sample("content holes_stay_holes", COPY_BACKENDS, 2))
def holes_stay_holes(context, case):
    source, target = context.directory / "in", context.directory / "out"
    images.write_islands(source, 300 * MIB + 1, [(MIB, 4096), (100 * MIB + 7, 100000), (300 * MIB, 1)])
    context.copy("in", "out", f"--backing={case}").expect()
    expect_same(context, "holes")
    sparse_check(source, target)


@test(cases=daily.sample("content zeros_are_not_written", COPY_BACKENDS, 2))
def zeros_are_not_written(context, case):
    """Zeros that are stored in the input become holes in the output."""
    source, target = context.directory / "in", context.directory / "out"
    with open(source, "wb") as file:
        file.write(bytes(32 * MIB) + images.data(MIB) + bytes(16 * MIB + 1))
        os.fsync(file.fileno())
    context.copy("in", "out", f"--backing={case}").expect()
    expect_same(context, "zeros")
    if images.stored_bytes(target) > MIB + 256 * KIB:
        raise Failure(f"1 MiB of data takes {images.stored_bytes(target)} bytes of storage")


@test()
def only_a_hole(context):
    (context.directory / "in").touch()
    os.truncate(context.directory / "in", 3 * GIB + 1)
    completed = context.vmm(context.build.copy, *QUIET, "--stats=json").expect()
    if (context.directory / "out").stat().st_size != 3 * GIB + 1 or images.stored_bytes(context.directory / "out"):
        raise Failure(completed.describe("the output is not one hole"))
    devices = {device["name"]: device for device in json.loads(completed.stdout)["devices"]}
    if devices["input"]["bytes-read"] or devices["output"]["bytes-written"]:
        raise Failure(completed.describe("a hole was read or written"))


@test(cases=daily.sample("content memory_is_bounded", ["512", "65536", "16777216"], 1), timeout=120, weight=20)
def memory_is_bounded(context, case):
    """300 MiB of data: more than the machine may have."""
    images.prepare(context.directory, 300 * MIB)
    for options in ([], ["--io-uring"], ["--queue-depth", "256"]):
        completed = copy_check(context, "--stats=json", "--input-sector-size", case, "--output-sector-size", case,
                               *options)
        memory_check(completed)
