# SPDX-License-Identifier: Apache-2.0
"""Transports whose other end is another process: the real daemons, and such as lie."""

import os
import struct

from lib import daemons, images
from lib.daemons import CLOSE, FakeDaemon, message, number
from lib.python_tests import test
from lib.suite import Failure

KIB = 1 << 10
MIB = 1 << 20
SECTOR = 512

SOCKETS = ("in.sock", "out.sock")


def vhost_user(context, *options, program=None):
    """instar-vmm, or None where it refuses: a process stands in for the virtual machine."""
    completed = context.run([context.build.vmm, "--transport=vhost-user-blk", f"--vhost-user-input={SOCKETS[0]}",
                             f"--vhost-user-output={SOCKETS[1]}", "--progress-percent=100", *options,
                             program or context.build.guests / "transport-copy.bin"])
    if context.build.sandbox == "process":
        completed.expect_error('the transport "vhost-user-blk" needs a virtual machine')
        return None
    return completed


def whole_sectors(context, name):
    """Disks have whole sectors, and the rest of the last one is zero."""
    path = context.directory / name
    length = path.stat().st_size
    os.truncate(path, -(-length // SECTOR) * SECTOR)
    return path


def storage_copy(context, *options):
    """Copies `in` to `out`, both qemu-storage-daemon's."""
    source = whole_sectors(context, "in")
    target = context.directory / "out"
    target.write_bytes(b"")
    os.truncate(target, source.stat().st_size)
    serving = [daemons.storage_daemon_start(context, SOCKETS[0], "in"),
               daemons.storage_daemon_start(context, SOCKETS[1], "out", writable=True)]
    completed = vhost_user(context, *options)
    for process in serving:
        daemons.daemon_stop(context, process)
    if completed is not None:
        completed.expect()
        if images.sha256(source) != images.sha256(target):
            raise Failure(completed.describe("the output is not the input"))
    for name in SOCKETS:
        (context.directory / name).unlink(missing_ok=True)
    return completed


@test()
def storage_lengths(context):
    for length in (1, 4095, 64 * KIB + 1, MIB + 1):
        images.prepare(context.directory, length)
        if storage_copy(context) is None:
            return
    for option in ("--request-size=4K", "--no-ioeventfd", "--sync", "--vcpus=2"):
        storage_copy(context, option)


@test()
def storage_sparse(context):
    """Zeros are written, as no daemon says what a disk reads where it was not written; it punches holes for them."""
    length = 8 * MIB + 5
    images.write_islands(context.directory / "in", length, [(0, 100), (length // 2, 100), (length - 5, 5)])
    if storage_copy(context) is not None and images.stored_bytes(context.directory / "out") > length // 2:
        raise Failure(f"the output takes {images.stored_bytes(context.directory / 'out')} bytes")


@test(weight=4, timeout=120)
def storage_large(context):
    images.prepare(context.directory, 300 * MIB)
    storage_copy(context)


@test()
def storage_output_too_short(context):
    images.prepare(context.directory, 64 * KIB)
    (context.directory / "out").write_bytes(bytes(32 * KIB))
    serving = [daemons.storage_daemon_start(context, SOCKETS[0], "in"),
               daemons.storage_daemon_start(context, SOCKETS[1], "out", writable=True)]
    if (completed := vhost_user(context)) is not None:
        completed.expect_error("output: has 32768 bytes, less than the input's 65536")
    for process in serving:
        daemons.daemon_stop(context, process)


@test()
def storage_output_read_only(context):
    images.prepare(context.directory, 64 * KIB)
    (context.directory / "out").write_bytes(bytes(64 * KIB))
    serving = [daemons.storage_daemon_start(context, name, path) for name, path in zip(SOCKETS, ("in", "out"))]
    if (completed := vhost_user(context)) is not None:
        completed.expect_error("output: ")
    for process in serving:
        daemons.daemon_stop(context, process)


# Guests that break the rules of the registers: the daemon need not be asked. Those that break the rules of a ring end
# with the daemon, which lets go of us.
REGISTER_ATTACKS = {
    "driver_ok_without_queue": "input: the driver started without a queue",
    "kick_nonexistent_queue": "input: the driver kicks queue 77, which does not exist",
    "queue_size_not_power_of_two": "input: broken virtqueue: size 100 is not a power of two",
    "ring_in_page_tables": "is outside of data memory",
    "ring_outside_data_memory": "is outside of data memory",
    "ring_outside_memory": "is outside of data memory",
    "setup_of_too_many_queues": "input: the driver configures",
    "setup_outside_data_memory": "input: the driver's setup lies outside of data memory",
}
RING_ATTACKS = ["address_in_page_tables", "address_outside_memory", "descriptor_loop", "head_outside_queue",
                "indirect_loop", "random_rings"]


@test(cases=[*REGISTER_ATTACKS, *RING_ATTACKS])
def storage_hostile_guest(context, case):
    for name in ("out", "in"):
        images.prepare(context.directory, MIB).rename(context.directory / name)
    serving = [daemons.storage_daemon_start(context, SOCKETS[0], "in"),
               daemons.storage_daemon_start(context, SOCKETS[1], "out", writable=True)]
    program = context.build.directory / "tests" / "hostile" / f"{case}.bin"
    if (completed := vhost_user(context, "--max-time=20", program=program)) is not None:
        completed.expect_error(REGISTER_ATTACKS.get(case, ".sock: the daemon closed the connection"))
    for process in serving:
        daemons.daemon_stop(context, process)


def lie(context, expected, options=(), output=None, **what):
    """Input from a daemon that does `what`; the output's does what it should, unless `output` says otherwise."""
    fakes = [FakeDaemon(context, SOCKETS[0], **what), FakeDaemon(context, SOCKETS[1], **(output or {}))]
    try:
        completed = vhost_user(context, *options)
        if completed is not None:
            completed.expect_error(expected)
    finally:
        for fake in fakes:
            fake.stop()


def config_answer(offset, length, content):
    return message(daemons.GET_CONFIG, struct.pack("<III", offset, length, 0) + content)


GARBAGE = bytes(range(7, 250, 3)) * 4
CONFIG = daemons.disk_config()
# What a daemon answers, and what is said about it.
LIES = {
    "closes": ({"answers": {1: CLOSE}}, "in.sock: the daemon closed the connection"),
    "garbage": ({"answers": {1: GARBAGE}}, "in.sock: the daemon answers request 1 by request "),
    "answer_cut": ({"answers": {1: lambda daemon, _: daemon.send(number(1, 0)[:15]) or CLOSE}},
                   "in.sock: the daemon does not answer in full"),
    "head_cut": ({"answers": {1: lambda daemon, _: daemon.send(number(1, 0)[:5]) or CLOSE}},
                 "in.sock: the daemon does not answer in full"),
    "answer_too_long": ({"answers": {1: message(1, bytes(16))}}, "flags 0x5 and 16 bytes"),
    "answer_of_4_gib": ({"answers": {1: message(1, bytes(8), length=0xffffffff)}}, "flags 0x5 and 4294967295 bytes"),
    "answer_empty": ({"answers": {1: message(1, b"")}}, "flags 0x5 and 0 bytes"),
    "other_request": ({"answers": {1: number(15, 0)}}, "answers request 1 by request 15"),
    "no_reply_flag": ({"answers": {1: message(1, bytes(8), flags=1)}}, "flags 0x1 and 8 bytes"),
    "other_version": ({"answers": {1: message(1, bytes(8), flags=6)}}, "flags 0x6 and 8 bytes"),
    "no_protocol_features": ({"features": daemons.VERSION_1}, "in.sock: the daemon has no protocol features"),
    "no_config": ({"protocol": daemons.REPLY_ACK}, "in.sock: the daemon lacks the protocol features 0x200"),
    "no_features": ({"features": daemons.PROTOCOL_FEATURES}, "device lacks the features 0x130000000"),
    "config_elsewhere": ({"answers": {24: config_answer(4, len(CONFIG), CONFIG)}}, "bytes at offset 4 of its config"),
    "config_short": ({"answers": {24: config_answer(0, 8, CONFIG)}}, "gives 8 bytes at offset 0"),
    "config_missing": ({"answers": {24: message(24, b"")}}, "answers request 24 by request 24"),
    "config_long": ({"answers": {24: config_answer(0, 512, CONFIG + bytes(452))}}, "and 524 bytes"),
    "memory_refused": ({"answers": {5: number(5, 1)}}, "in.sock: the daemon fails to do request 5"),
    "memory_unanswered": ({"answers": {5: CLOSE}}, "in.sock: the daemon closed the connection"),
    "capacity_overflows": ({"config": daemons.disk_config(capacity=1 << 63)}, "input: the device's capacity is"),
    "sectors_of_3": ({"config": daemons.disk_config(blk_size=3)}, "input: the device's sectors have 3 bytes"),
    "no_segments": ({"config": daemons.disk_config(seg_max=0)}, "input: the device takes 0 segments"),
    # In the jail.
    "address_refused": ({"answers": {9: number(9, 1)}}, "in.sock: the daemon fails to do request 9"),
    "address_garbage": ({"answers": {9: GARBAGE}}, "in.sock: the daemon answers request 9 by request"),
    "enable_closes": ({"answers": {18: CLOSE}}, "in.sock: the daemon closed the connection"),
    "kick_closes": ({"on_kick": lambda *_: CLOSE}, "in.sock: the daemon closed the connection"),
    "speaks_unasked": ({"on_kick": lambda daemon, _: daemon.send(number(1, 0))}, "speaks without being asked"),
    # In the used ring: index, head, length.
    "used_index_jumps": ({"on_kick": lambda daemon, ring: daemon.use(ring, 999, 0, 0)}, "input: "),
    "used_head_outside": ({"on_kick": lambda daemon, ring: daemon.use(ring, 1, 0xffffffff, 0)}, "input: "),
    "used_head_unknown": ({"on_kick": lambda daemon, ring: daemon.use(ring, 1, 255, 0)}, "input: "),
    "used_too_long": ({"on_kick": lambda daemon, ring: daemon.use(ring, 1, 0, 0xffffffff)}, "input: "),
    "used_unanswered": ({"on_kick": lambda daemon, ring: daemon.use(ring, 1, 0, 1)}, "input: "),
}


@test(cases=list(LIES), with_sanitizers=True)
def vhost_user_lie(context, case):
    what, expected = LIES[case]
    lie(context, expected, **what)


@test(timeout=30)
def vhost_user_silence(context):
    lie(context, "in.sock: the daemon does not answer", answers={1: b""})


@test()
def vhost_user_hangs(context):
    """Requests that are never answered, as by a disk that hangs: the job's limit ends it."""
    lie(context, "the job exceeded its time limit of 1 s", options=["--max-time=1"])


@test()
def vhost_user_output_closes(context):
    lie(context, "out.sock: the daemon closed the connection", output={"answers": {18: CLOSE}})


@test(with_sanitizers=True)
def vhost_user_scribbles(context):
    """All memory that the daemon has becomes rubbish: that is the guest's data memory, not its program."""

    def scribble(daemon, _):
        daemon.memory[:] = os.urandom(64 * KIB) * (len(daemon.memory) // (64 * KIB))
        daemon.use(0, 1, 0, 1)

    lie(context, "", on_kick=scribble)


@test()
def vhost_user_memory_stays(context):
    """The file of the guest's memory cannot be cut, and has nothing but data memory."""
    found = {}

    def examine(daemon, _):
        found["len"] = os.fstat(daemon.memory_fd).st_size == len(daemon.memory)
        try:
            os.truncate(daemon.memory_fd, 0)
            found["cut"] = True
        except OSError:
            found["cut"] = False
        return CLOSE

    lie(context, "closed the connection", on_kick=examine)
    if context.build.sandbox != "process" and found != {"len": True, "cut": False}:
        raise Failure(f"the daemon finds {found}")


@test()
def vhost_user_descriptors_dropped(context):
    """What a daemon sends along is not kept: the other end of a pipe sees that nobody has it."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    found = []

    def examine(daemon, _):
        os.close(writing)
        daemon.descriptors.clear()
        try:
            found.append(os.read(reading, 1))
        except BlockingIOError:
            found.append(None)
        return CLOSE

    lie(context, "closed the connection", on_kick=examine, descriptors=[writing] * 3)
    os.close(reading)
    if context.build.sandbox != "process" and found != [b""]:
        raise Failure("a descriptor that came with an answer is still open")


@test()
def vhost_user_options(context):
    """Sockets that are none, and options that mean nothing here."""
    images.prepare(context.directory, KIB)
    program = context.build.guests / "transport-copy.bin"

    def run(*options):
        return context.run([context.build.vmm, *options, program])

    both = ["--transport=vhost-user-blk", "--vhost-user-input=in", "--vhost-user-output=out"]
    run("--transport=vhost-user-blk", "--vhost-user-input=in").expect_error("--vhost-user-output: is missing")
    run(*both, "--input=in").expect_error('--input: does not go with the transport "vhost-user-blk"')
    run(*both, "--io-uring").expect_error("--io-uring: does not go with")
    run(*both, "--offload").expect_error("--offload: does not go with")
    run(*both, "--max-output=1M").expect_error("--max-output: does not go with")
    run("--input=in", "--output=out", "--vhost-user-input=in").expect_error("--vhost-user-input: does not go with")
    if context.build.sandbox != "process":
        run(*both).expect_error("in: cannot connect: Connection refused")
        run(*both[:1], "--vhost-user-input=nowhere", both[2]).expect_error("nowhere: cannot connect: No such file")
        run(*both[:1], "--vhost-user-input=", both[2]).expect_error("a socket's path has 1 to 107 bytes")
