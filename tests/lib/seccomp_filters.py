# SPDX-License-Identifier: Apache-2.0
"""Lists of system calls as other hosts have them, as programs for seccomp (seccomp(2), linux/filter.h)."""

import errno
import pathlib
import re
import struct

NUMBERS = pathlib.Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
CONTAINER_CALLS = pathlib.Path(__file__).parent / "container_calls.txt"
ARCHITECTURE = 0xc000003e  # AUDIT_ARCH_X86_64
ALLOW, ERRNO, KILL = 0x7fff0000, 0x00050000, 0x80000000
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD | BPF_W | BPF_ABS and so on
NUMBER_OFF, ARCHITECTURE_OFF, ARGUMENTS_OFF = 0, 4, 16  # in struct seccomp_data
X32_BIT = 0x40000000
NEW_NAMESPACES = 0x7e020000  # CLONE_NEWNS to CLONE_NEWNET
AF_VSOCK = 40
LANDLOCK = ("landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self")
FIRST_AFTER_5_10 = 441  # epoll_pwait2; all that is newer has a higher number
MEMFD_SEAL_FLAGS = 0x18  # MFD_NOEXEC_SEAL, MFD_EXEC: Linux 6.3
O_TMPFILE = 0x400000  # without O_DIRECTORY, which it contains


def numbers():
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", NUMBERS.read_text())}


def instruction(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def refusal(number):
    return instruction(RETURN, ERRNO | number)


def load_argument(index):
    """Its lower half, which has all that is asked for here."""
    return instruction(LOAD, ARGUMENTS_OFF + 8 * index)


def begin(x32):
    return [instruction(LOAD, ARCHITECTURE_OFF), instruction(IF_EQUAL, ARCHITECTURE, 1), instruction(RETURN, KILL),
            instruction(LOAD, NUMBER_OFF), instruction(IF_AT_LEAST, X32_BIT, 0, 1), x32]


def call(number, *rest):
    """What is done for one number, and ends there."""
    return [instruction(IF_EQUAL, number, 0, len(rest)), *rest]


def container():
    """Docker's and containerd's default profile for containers without CAP_SYS_ADMIN, as in the list beside this file."""
    known = numbers()
    lines = [line for line in CONTAINER_CALLS.read_text().splitlines() if line and not line.startswith("#")]
    allow, refuse = instruction(RETURN, ALLOW), refusal(errno.EPERM)
    program = begin(refuse)
    program += call(known["clone"], load_argument(0), instruction(IF_ANY, NEW_NAMESPACES, 0, 1), refuse, allow)
    program += call(known["clone3"], refusal(errno.ENOSYS))
    program += call(known["socket"], load_argument(0), instruction(IF_EQUAL, AF_VSOCK, 0, 1), refuse, allow)
    for name in " ".join(lines).split():
        if name in known:  # else this system's headers are older than the list
            program += call(known[name], allow)
    return b"".join([*program, refuse])


def without(names, number=errno.ENOSYS):
    """A kernel that does not have these calls, or a profile that forbids them."""
    known = numbers()
    program = begin(instruction(RETURN, ALLOW))
    for name in names:
        program += call(known[name], refusal(number))
    return b"".join([*program, instruction(RETURN, ALLOW)])


def kernel_5_10():
    allow = instruction(RETURN, ALLOW)
    program = begin(refusal(errno.ENOSYS))
    program += call(numbers()["memfd_create"], load_argument(1), instruction(IF_ANY, MEMFD_SEAL_FLAGS, 0, 1),
                    refusal(errno.EINVAL), allow)
    return b"".join([*program, instruction(IF_AT_LEAST, FIRST_AFTER_5_10, 0, 1), refusal(errno.ENOSYS), allow])


def no_unnamed_files():
    """A file system that does not know O_TMPFILE."""
    allow = instruction(RETURN, ALLOW)
    program = begin(allow)
    for name, index in (("openat", 2), ("open", 1)):
        program += call(numbers()[name], load_argument(index), instruction(IF_ANY, O_TMPFILE, 0, 1),
                        refusal(errno.EOPNOTSUPP), allow)
    return b"".join([*program, allow])
