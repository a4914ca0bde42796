# SPDX-License-Identifier: Apache-2.0
"""Transports whose other end is another process: the real daemons, and such as lie."""

import os
import struct

from lib import daemons, images
from lib.daemons import CLOSE, FakeDaemon, FakeShare, message, number
from lib.python_tests import test
from lib.suite import Failure, Skip

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
    program = context.build.hostile / f"{case}.bin"
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


def virtiofs(context, *options, source="in", target="out"):
    """instar-vmm, or None where it refuses."""
    completed = context.run([context.build.vmm, "--transport=virtiofs", "--virtiofs=fs.sock", f"--input={source}",
                             f"--output={target}", "--progress-percent=100", *options,
                             context.build.guests / "transport-copy.bin"])
    if context.build.sandbox == "process":
        completed.expect_error('the transport "virtiofs" needs a virtual machine')
        return None
    return completed


def share_run(context, *options, **names):
    """A run on the directory `share`, which virtiofsd shares; it ends with its client."""
    serving = daemons.fs_daemon_start(context, "fs.sock", context.directory / "share")
    completed = virtiofs(context, *options, **names)
    if completed is None:
        serving.terminate()
    daemons.fs_daemon_end(context, "fs.sock", serving)
    return completed


def share_make(context):
    share = context.directory / "share"
    share.mkdir(exist_ok=True)
    return share


def share_copy(context, *options):
    share = context.directory / "share"
    completed = share_run(context, *options)
    if completed is None:
        return False
    completed.expect()
    if images.sha256(share / "in") != images.sha256(share / "out"):
        raise Failure(completed.describe("the output is not the input"))
    return True


@test()
def share_lengths(context):
    share = share_make(context)
    for length in (0, 1, 511, 4097, 64 * KIB + 1, MIB + 1):
        images.prepare(share, length)
        if not share_copy(context):
            return
    images.prepare(share, MIB + 1)
    for option in ("--request-size=4K", "--no-ioeventfd", "--sync", "--queue-depth=1"):
        share_copy(context, option)


@test()
def share_replaces(context):
    """A longer file that was there before leaves nothing behind."""
    share = share_make(context)
    images.write_islands(share / "in", 3 * MIB + 7, [(MIB, 100)])
    (share / "out").write_bytes(b"x" * (4 * MIB))
    if share_copy(context) and images.stored_bytes(share / "out") > MIB:
        raise Failure("zeros were written, or nothing was taken away")


@test(weight=4, timeout=120)
def share_large(context):
    images.prepare(share_make(context), 300 * MIB)
    share_copy(context)


@test()
def share_refusals(context):
    share = share_make(context)
    images.prepare(share, KIB)
    (share / "directory").mkdir()
    (share / "link").symlink_to("in")
    os.link(share / "in", share / "other")
    for names, expected in (({"source": "missing"}, "input: cannot find: missing (error 2 of the server)"),
                            ({"source": "directory"}, "input: directory is not a regular file"),
                            ({"source": "link"}, "input: link is not a regular file"),
                            ({"target": "link"}, "output: link is not a regular file"),
                            ({"target": "in"}, "output: is the input"),
                            ({"target": "other"}, "output: is the input")):
        if (completed := share_run(context, **names)) is not None:
            completed.expect_error(expected)


@test()
def share_full(context):
    """A file system without room: the server's error is the user's."""
    share = share_make(context)
    mounted = context.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=256k", "none", share])
    if mounted.status != 0:
        raise Skip(f"a tmpfs cannot be mounted: {mounted.stderr.strip()}")
    try:
        images.prepare(share, 200 * KIB)
        if (completed := share_run(context)) is not None:
            completed.expect_error("output: cannot write: no space is left (error 28 of the server)")
    finally:
        context.run(["/usr/bin/umount", share]).expect()


CONTENT = images.data(MIB + 1)


def told(length):
    """The ordinary answer, with another length in the ring."""
    return lambda unique, answer: (answer, length)


def header(unique_change=0, length=None, error=0):
    """The ordinary answer with another header."""
    return lambda unique, answer: (struct.pack("<IiQ", len(answer) if length is None else length, error,
                                               unique + unique_change) + answer[16:], len(answer))


# What a server of FUSE answers, and what is said about it.
FUSE_LIES = {
    "other_version": ({daemons.INIT: daemons.fuse_init(major=8)}, "virtiofs: the server speaks FUSE 8.31"),
    "init_short": ({daemons.INIT: bytes(24)}, "virtiofs: the server's answer to request 26 has 24 bytes"),
    "init_empty": ({daemons.INIT: b""}, "virtiofs: the server's answer to request 26 has 0 bytes"),
    "init_refused": ({daemons.INIT: 71}, "with the error 71"),
    "takes_nothing": ({daemons.INIT: daemons.fuse_init(max_write=100)}, "virtiofs: the server takes 100 bytes at once"),
    "init_closes": ({daemons.INIT: CLOSE}, "fs.sock: the daemon closed the connection"),
    "told_nothing": ({daemons.LOOKUP: told(0)}, "virtiofs: the server's answer to request 1 is none"),
    "told_too_much": ({daemons.LOOKUP: told(1 << 31)}, "virtiofs: the server broke its queue"),
    "other_unique": ({daemons.LOOKUP: header(unique_change=1)}, "the server's answer to request 1 is none"),
    "length_too_long": ({daemons.LOOKUP: header(length=0xffffffff)}, "the server's answer to request 1 is none"),
    "length_too_short": ({daemons.LOOKUP: header(length=3)}, "the server's answer to request 1 is none"),
    "error_positive": ({daemons.LOOKUP: header(error=5)}, "virtiofs: the server answers with the error 5"),
    "error_unknown": ({daemons.LOOKUP: header(error=-(1 << 31))}, "the server answers with the error -2147483648"),
    "input_is_directory": ({daemons.LOOKUP: daemons.fuse_entry(2, 0, 0o40755)}, "input: in is not a regular file"),
    "input_has_no_node": ({daemons.LOOKUP: daemons.fuse_entry(0, 5)}, "input: cannot find: in (error 2"),
    "input_negative": ({daemons.LOOKUP: daemons.fuse_entry(2, 1 << 63)}, "the server says that in has 92233720"),
    "input_longer": ({daemons.READ: bytes(0)}, "input: the server reads 0 bytes instead of"),
    "output_is_input": ({daemons.LOOKUP: daemons.fuse_entry(2, 5)}, "output: is the input"),
    "open_refused": ({daemons.OPEN: 13}, "input: cannot open: in (error 13 of the server)"),
    "open_short": ({daemons.OPEN: bytes(8)}, "the server's answer to request 14 has 8 bytes"),
    "create_refused": ({daemons.CREATE: 30}, "output: cannot create: out (error 30 of the server)"),
    "create_makes_nothing": ({daemons.CREATE: bytes(144)}, "output: cannot find: out"),
    "length_refused": ({daemons.SETATTR: 27}, "output: cannot set the length: no space is left (error 27"),
    "read_fails": ({daemons.READ: 5}, "input: cannot read: in (error 5 of the server)"),
    "read_short": ({daemons.READ: bytes(100)}, "input: the server reads 100 bytes instead of"),
    "read_tells_too_much": ({daemons.READ: told(1 << 30)}, "virtiofs: the server broke its queue"),
    "read_closes": ({daemons.READ: CLOSE}, "fs.sock: the daemon closed the connection"),
    "write_fails": ({daemons.WRITE: 28}, "output: cannot write: no space is left (error 28 of the server)"),
    "write_nothing": ({daemons.WRITE: bytes(8)}, "output: the server writes 0 bytes instead of"),
    "write_long": ({daemons.WRITE: struct.pack("<II", 1 << 31, 0)}, "output: the server writes 2147483648 bytes"),
    "write_empty": ({daemons.WRITE: b""}, "virtiofs: the server's answer to request 16 has 0 bytes"),
    "close_fails": ({daemons.FLUSH: 5}, "output: cannot close: out (error 5 of the server)"),
}


@test(cases=list(FUSE_LIES), with_sanitizers=True)
def fuse_lie(context, case):
    fuse, expected = FUSE_LIES[case]
    fake = FakeShare(context, "fs.sock", CONTENT, fuse=fuse)
    try:
        if (completed := virtiofs(context)) is not None:
            completed.expect_error(expected)
    finally:
        fake.stop()


@test()
def fuse_truth(context):
    """The fake server can be honest, too, even where it lacks FLUSH, and writes less than it is asked to."""

    fake = FakeShare(context, "fs.sock", CONTENT, fuse={daemons.FLUSH: 38}, write_len_max=100 * KIB)
    try:
        if (completed := virtiofs(context)) is not None:
            completed.expect()
            if bytes(fake.written) != CONTENT:
                raise Failure("the output is not the input")
    finally:
        fake.stop()


@test()
def virtiofs_options(context):
    program = context.build.guests / "transport-copy.bin"

    def run(*options):
        return context.run([context.build.vmm, "--transport=virtiofs", *options, program])

    run("--input=a", "--output=b").expect_error("--virtiofs: is missing")
    run("--virtiofs=s", "--output=b").expect_error("--input: is missing")
    run("--virtiofs=s", "--input=a/b", "--output=b").expect_error("--input: is not a name in a directory")
    run("--virtiofs=s", "--input=a", "--output=").expect_error("--output: is not a name in a directory")
    run("--virtiofs=s", "--input=" + "a" * 256, "--output=b").expect_error("--input: is not a name in a directory")
    run("--virtiofs=s", "--input=a", "--output=b", "--vhost-user-input=s").expect_error("--vhost-user-input: does not")


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
