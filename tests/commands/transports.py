# SPDX-License-Identifier: Apache-2.0
"""The same bytes over every transport: transport-copy.bin, and what instar-vmm says about transports."""

import pathlib
import re

from lib import daily, images, jobs
from lib.python_tests import test
from lib.suite import Failure, Skip

KIB = 1 << 10
MIB = 1 << 20

# Name, and how much of the 300 MiB it carries in a test: some need microseconds for each few bytes.
LARGE_LEN = {
    "virtio-blk": 300 * MIB,
    "irqfd": 300 * MIB,
    "virtio-blk-polling": 300 * MIB,
    "direct": 300 * MIB,
    "direct-doorbell": 8 * MIB,
    "direct-progress": 8 * MIB,
    "pio-single": 8 * KIB + 3,
    "pio-string": 2 * MIB,
    "mmio": 16 * KIB + 3,
    "custom-mmio": 300 * MIB,
    "custom-mmio-irqfd": 16 * MIB,
    "pipe": 300 * MIB,
    "ring": 300 * MIB,
    "hypercall": 128 * KIB + 1,
    "vsock": 300 * MIB,
    "vsock-seqpacket": 300 * MIB,
    "console": 300 * MIB,
    "ivshmem": 300 * MIB,
}
# Those that also run where a process stands in for the virtual machine.
ANYWHERE = {"virtio-blk", "virtio-blk-polling", "pio-single", "pio-string", "pipe", "ring", "vsock",
            "vsock-seqpacket", "console"}
# Their input comes in order only, and is not read twice.
SEQUENTIAL = {"ring", "vsock", "vsock-seqpacket", "console", "ivshmem"}
# Their output comes without offsets, and so without holes.
STREAMS = {"vsock", "vsock-seqpacket", "console"}
TRANSPORTS = list(LARGE_LEN)
# Those that need other processes: daemons.py and vsock_socket.py test them.
ELSEWHERE = ["vhost-user-blk", "virtiofs", "vsock-socket"]
# Those that there are not; the host may have what they need, or not.
ABSENT = {"vfio": None, "vhost-blk": "/dev/vhost-blk", "vhost-scsi": "/dev/vhost-scsi", "vhost-vsock": "/dev/vhost-vsock"}


def transport_copy(context, transport, *options, source="in", target="out"):
    """Copies, or sees that the process engine is refused. None in that case."""
    completed = context.vmm(context.build.guests / "transport-copy.bin", f"--transport={transport}",
                            "--progress-percent=100", *options, source=source, target=target)
    if context.build.sandbox == "process" and transport not in ANYWHERE:
        completed.expect_error(f'the transport "{transport}" needs a virtual machine')
        return None
    return completed.expect()


def copy_expect_equal(context, transport, *options):
    completed = transport_copy(context, transport, *options)
    if completed is None:
        return False
    source, target = context.directory / "in", context.directory / "out"
    if images.sha256(source) != images.sha256(target):
        raise Failure(completed.describe("the output is not the input"))
    if target.stat().st_size != source.stat().st_size:
        raise Failure(completed.describe("the output has another length than the input"))
    target.unlink()
    return True


@test()
def transport_list(context):
    """What --transport=help lists is what is tested here."""
    listed = context.run([context.build.vmm, "--transport=help"]).expect().stdout.splitlines()
    names = [line.split()[0] for line in listed]
    tested = [*TRANSPORTS, *ELSEWHERE, *ABSENT]
    if sorted(names) != sorted(tested):
        raise Failure(f"listed are {names}, tested are {tested}")
    images.prepare(context.directory, KIB)
    context.vmm(context.build.copy, "--transport=pigeon").expect_error("--transport: pigeon is not one of those")


@test(cases=list(ABSENT), needs_kvm=False)
def transport_absent(context, case):
    """What is missing is said before anything is asked for. tests/unit/test_job_absent_transports.c has other hosts."""
    completed = context.run([context.build.vmm, f"--transport={case}"])
    path = ABSENT[case]
    if path is not None and pathlib.Path(path).exists():
        completed.expect_error(f"{case}: ")
    elif path is not None:
        completed.expect_error(f"{case}: this host lacks {path} (No such file or directory; the kernel's module is vhost_")
    else:
        completed.expect_error("vfio: ")
        groups = pathlib.Path("/sys/kernel/iommu_groups")
        has_groups = groups.is_dir() and any(groups.iterdir())
        if has_groups == ("IOMMU groups" in completed.stderr):
            raise Failure(completed.describe("not what this host has"))


@test(cases=TRANSPORTS)
def transport_lengths(context, case):
    """Around units, pages and buffers; the last one is cut off in the middle of everything."""
    for length in (1, 511, 512, 513, 4095, 4096, 64 * KIB + 1, MIB + 1):
        if length > LARGE_LEN[case]:
            break
        images.prepare(context.directory, length)
        if not copy_expect_equal(context, case):
            return
    images.prepare(context.directory, min(LARGE_LEN[case], MIB // 8 + 1))
    copy_expect_equal(context, case, "--request-size=4K")
    copy_expect_equal(context, case, "--no-ioeventfd")
    copy_expect_equal(context, case, "--sync")


@test(cases=TRANSPORTS)
def transport_sparse(context, case):
    """What is zero stays a hole, where a transport can leave something out."""
    length = min(LARGE_LEN[case], 8 * MIB) + 5
    islands = [(0, 100), (length // 2, 100), (length - 5, 5)]
    images.write_islands(context.directory / "in", length, islands)
    completed = transport_copy(context, case)
    if completed is None:
        return
    if images.sha256(context.directory / "in") != images.sha256(context.directory / "out"):
        raise Failure(completed.describe("the output is not the input"))
    if case not in STREAMS and length > MIB and images.stored_bytes(context.directory / "out") > length // 2:
        raise Failure(f"the output takes {images.stored_bytes(context.directory / 'out')} bytes")


@test(cases=daily.sample("transport_large", TRANSPORTS, 9), weight=4, timeout=120)
def transport_large(context, case):
    images.prepare(context.directory, LARGE_LEN[case])
    copy_expect_equal(context, case)


@test(cases=TRANSPORTS)
def transport_latency(context, case):
    """Nothing is copied, and the times are in order."""
    images.prepare(context.directory, 64 * KIB if case in SEQUENTIAL else 8 * KIB)
    completed = transport_copy(context, case, "--latency-reads=16")
    if completed is None:
        return
    found = re.search(r"^latency: read of 4096 bytes, 16 times: min (\d+) ns, p50 (\d+) ns, p99 (\d+) ns, max (\d+) ns$",
                      completed.stderr, re.MULTILINE)
    if not found or sorted(times := list(map(int, found.groups()))) != times or times[0] == 0:
        raise Failure(completed.describe("no latency, or one that cannot be"))
    if case == "hypercall" and not re.search(
            r"^latency: (vmcall|vmmcall), (refused|served), 16 times: |"
            r"^warning: hypercall: this host lacks a call of the kernel: ", completed.stderr, re.MULTILINE):
        raise Failure(completed.describe("neither the latency of a call of the kernel, nor that there is none"))


@test(cases=TRANSPORTS)
def transport_output_limit(context, case):
    images.prepare(context.directory, 6 * KIB)
    completed = context.vmm(context.build.guests / "transport-copy.bin", f"--transport={case}", "--max-output=4K")
    if context.build.sandbox == "process" and case not in ANYWHERE:
        return
    completed.expect_error("the job exceeded its limit of 4096 bytes of output")
    if (context.directory / "out").exists():
        raise Failure("there is an output after a failure")


@test(cases=TRANSPORTS)
def transport_full_disk(context, case):
    """What the host cannot write, the guest reports, and the user sees why."""
    if context.build.sandbox == "process" and case not in ANYWHERE:
        return
    images.prepare(context.directory, 8 * KIB)
    (context.directory / "disk").mkdir()
    if context.run(["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "disk"]).status != 0:
        raise Skip("mounting is not allowed")
    # In a mount namespace of its own, with which the file system goes.
    done = context.run(["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4k tmpfs disk && "$@"', "sh",
                        context.build.vmm, "--input", "in", "--output", "disk/out", f"--transport={case}",
                        "--min-free=0", context.build.guests / "transport-copy.bin"])
    done.expect_error("No space left on device")


# What fails, whose file it is, and what the user reads about it.
FAILING = {"preadv": ("in", "cannot read at offset "), "pwritev": ("out", "cannot write at offset "),
           "fdatasync": ("out", "cannot flush at offset 0")}


@test(cases=daily.sample("transport_failing_disk", [f"{name},{call}" for name in TRANSPORTS for call in FAILING], 24))
def transport_failing_disk(context, case):
    """From the first time on, or from the second. The guest learns of it, and the user reads what the host found."""
    name, call = case.split(",")
    place, what = FAILING[call]
    if context.build.sandbox == "process" and name not in ANYWHERE:
        return
    images.prepare(context.directory, min(LARGE_LEN[name], 3 * MIB))
    for number in (1, 2):
        done = context.run([context.build.vmm, "--input", "in", "--output", "out", f"--transport={name}", "--sync",
                            context.build.guests / "transport-copy.bin"],
                           env=jobs.failing_disk(context, call, number))
        if number == 2 and done.status == 0:
            return  # one call was enough
        done.expect_error(f"instar-vmm: {place}: {what}")
        if not done.stderr.rstrip().endswith(": Input/output error"):
            raise Failure(done.describe("not the reason"))
        if (context.directory / "out").exists():
            raise Failure("there is an output after a failure")


@test()
def direct_too_large(context):
    """Larger than the window, by one byte."""
    if context.build.sandbox == "process":
        return
    images.write_islands(context.directory / "in", (1 << 30) + 1, [])
    context.vmm(context.build.guests / "transport-copy.bin", "--transport=direct").expect_error(
        "carries files of up to 1073741824 bytes")


@test()
def direct_progress(context):
    """Percentages on port 0x80 reach the user as progress, and the guest sends no messages about it."""
    if context.build.sandbox == "process":
        return
    images.prepare(context.directory, 8 * MIB)
    completed = transport_copy(context, "direct-progress")
    lines = [line for line in completed.stderr.splitlines() if line.startswith("progress: ")]
    if lines != ["progress: 8192 of 16384 sectors (50.0 %)", "progress: 16384 of 16384 sectors (100.0 %)"]:
        raise Failure(completed.describe("other progress than expected"))


@test()
def ivshmem_memory_limit(context):
    """It holds for two machines and what they share: 18 MiB, and at least 4 MiB for the transfers of each."""
    if context.build.sandbox == "process":
        return
    images.prepare(context.directory, 3 * MIB + 1)
    program = context.build.guests / "transport-copy.bin"
    context.vmm(program, "--transport=ivshmem", "--max-memory=25M").expect_error(
        "the job needs 27267072 bytes of guest memory, more than its limit of 26214400")
    copy_expect_equal(context, "ivshmem", f"--max-memory={27267072}")


@test()
def ivshmem_endless(context):
    """Both machines loop, and the processor time of both counts; then neither is left."""
    if context.build.sandbox == "process":
        return
    images.prepare(context.directory, KIB)
    program = context.build.hostile / "endless_loop.bin"
    for limit, text in (("--max-cpu=1", "its limit of 1 s of processor time"), ("--max-time=1", "its time limit of 1 s")):
        context.vmm(program, "--transport=ivshmem", limit).expect_error(text)
