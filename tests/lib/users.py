# SPDX-License-Identifier: Apache-2.0
"""Who runs the tests."""

import os


def is_root():
    """Whether it is root, who may be, and make files of, any user. Root of a namespace is not: there are others whom the
    namespace does not know."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        mapped = sum(int(line.split()[2]) for line in file)
    return os.geteuid() == 0 and mapped >= (1 << 32) - 1
