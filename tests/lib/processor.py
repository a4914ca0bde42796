# SPDX-License-Identifier: Apache-2.0
"""The processor that the suite runs on."""

import pathlib


def fields():
    """What /proc/cpuinfo says of the first one."""
    found = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if not line.strip():
            break
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found


def flags():
    return set(fields().get("flags", "").split())


# The levels of x86-64 in its psABI, table 3.1, by the kernel's names of what they add.
LEVELS = [
    ("x86-64-v2", {"cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
]


def level():
    name = "x86-64"
    for higher, needed in LEVELS:
        if not needed <= flags():
            break
        name = higher
    return name


def loses_faults():
    """After a shutdown, which a fault of a guest without handlers is, KVM on these does not know where it happened."""
    return fields().get("vendor_id") in ("AuthenticAMD", "HygonGenuine")


def describe():
    return f"{fields().get('model name', 'a processor without a name')} ({fields().get('vendor_id', 'no vendor')}, {level()})"
