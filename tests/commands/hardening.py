# SPDX-License-Identifier: Apache-2.0
"""How the host's programs are built: what a file and its debug information say of it."""
import re

from lib.python_tests import test
from lib.suite import Failure, Skip

PROGRAMS = ("instar", "instar-vmm")
FLAGS = ("-fstack-protector-strong", "-fcf-protection=full", "-fstack-clash-protection", "-ftrivial-auto-var-init=zero")
# Sources that are compiled for the host, by folder.
HOST_UNIT = re.compile(r"^\.\./(host|base)/")
# The program of the guest's process has no libc, and its own arguments.
NOT_HOST = re.compile(r"process_stub/")


def readelf(context, *arguments):
    completed = context.run(["readelf", "-W", *arguments])
    if completed.status != 0:
        raise Failure(completed.describe("readelf failed"))
    return completed.stdout


def expect(condition, program, what):
    if not condition:
        raise Failure(f"{program}: {what}")


@test(needs_kvm=False)
def elf_header_and_segments(context):
    """Position independent, all of it resolved and read-only before main, no page both written and executed."""
    for program in PROGRAMS:
        path = context.build.directory / program
        segments = readelf(context, "-l", path)
        dynamic = readelf(context, "-d", path)
        expect("Elf file type is DYN" in segments, program, "is not position independent")
        expect("GNU_RELRO" in segments, program, "has no part that becomes read-only")
        expect(re.search(r"\(FLAGS\).*BIND_NOW", dynamic), program, "resolves functions when they are called")
        expect(re.search(r"\(FLAGS_1\).*NOW.*PIE", dynamic), program, "is not PIE, or not bound at once")
        expect(re.search(r"GNU_STACK +(\S+ +){5}RW ", segments), program, "has an executable stack")
        for line in segments.splitlines():
            if line.strip().startswith("LOAD"):
                expect(not re.search(r" RWE? *W?E ", line), program, f"has a page to write and execute: {line}")
        expect("TEXTREL" not in dynamic, program, "is relocated in its text")


@test(needs_kvm=False)
def checks_of_the_compiler(context):
    """Canaries and checked copies are called, and every unit of ours was compiled with all of it."""
    if context.build.is_sanitizer:
        raise Skip("sanitizers want memory as the program leaves it")
    for program in PROGRAMS:
        path = context.build.directory / program
        symbols = readelf(context, "--symbols", path)
        expect("__stack_chk_fail" in symbols, program, "has no canaries")
        expect(re.search(r" __\w+_chk\b", symbols), program, "has no checked copies")
        units = readelf(context, "--debug-dump=info", "--dwarf-depth=1", path)
        count = 0
        for unit in units.split("DW_TAG_compile_unit")[1:]:
            name = re.search(r"DW_AT_name.*: (\S+)$", unit, re.MULTILINE)
            producer = re.search(r"DW_AT_producer.*: (GNU C17.*)$", unit, re.MULTILINE)
            if not name or not producer or not HOST_UNIT.match(name.group(1)) or NOT_HOST.search(name.group(1)):
                continue
            count += 1
            missing = [flag for flag in FLAGS if flag not in producer.group(1)]
            expect(not missing, program, f"{name.group(1)} was compiled without {missing}")
        expect(count > 50, program, f"only {count} units of the host's were found")
