# SPDX-License-Identifier: Apache-2.0
"""Who runs the tests."""

import os
import stat

from lib.suite import Skip


def is_root():
    """Whether it is root, who may be, and make files of, any user. Root of a namespace is not: there are others whom the
    namespace does not know."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        mapped = sum(int(line.split()[2]) for line in file)
    return os.geteuid() == 0 and mapped >= (1 << 32) - 1


def kvm_expect_for_others(context, bit=stat.S_IWOTH):
    """Skips a test of other users, or with stat.S_IWGRP of the device's group, on the engine that they have no right to here."""
    if context.build.sandbox == "kvm" and not os.stat("/dev/kvm").st_mode & bit:
        raise Skip("/dev/kvm is not for everybody here")
