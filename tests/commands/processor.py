# SPDX-License-Identifier: Apache-2.0
"""Nothing depends on the features of the processor but speed: guests with fewer of them, and a host's libraries."""

from lib import images, processor
from lib.python_tests import test
from lib.suite import Failure

KIB = 1 << 10
# What the C library chooses its functions by, and liblzma, zlib and the like by the C library.
FEWER = "glibc.cpu.hwcaps=" + ",".join("-" + name for name in (
    "AVX", "AVX2", "AVX_Fast_Unaligned_Load", "AVX512F", "AVX512VL", "AVX512BW", "AVX512DQ", "AVX512CD", "BMI1", "BMI2",
    "ERMS", "FSRM", "FMA", "FMA4", "LZCNT", "MOVBE", "POPCNT", "SSE4_1", "SSE4_2", "SSSE3", "XSAVE", "XSAVEC"))
# As a method that compresses, and one whose streams and table lookups use other instructions.
METHODS = {"zlib": [], "zstd": ["-o", "compression_type=zstd"]}


def convert(context, source, target, *options, **environment):
    return context.run([context.build.instar, "convert", *options, source, target],
                       env=dict(context.environment, **environment)).expect()


def there_and_back(context, method, name, **environment):
    """Compressed and expanded again: what became of it."""
    convert(context, "in", f"{name}.qcow2", "-f", "raw", "-O", "qcow2", "-c", *METHODS[method], **environment)
    convert(context, f"{name}.qcow2", f"{name}.raw", "-O", "raw", **environment)
    if images.sha256(context.directory / f"{name}.raw") != images.sha256(context.directory / "in"):
        raise Failure(f"{name}: not what was compressed, on {processor.describe()}")
    return images.sha256(context.directory / f"{name}.qcow2")


def expect_same(context, method, variants):
    images.prepare(context.directory, 700 * KIB + 512)
    with_all = there_and_back(context, method, "all")
    for name, environment in variants.items():
        if there_and_back(context, method, name, **environment) != with_all:
            raise Failure(f"{name}: another image than with all features, on {processor.describe()}")


@test(cases=list(METHODS))
def guest_with_fewer_features(context, case):
    """The guest's processor is of a lower level of x86-64; where a process is the guest, that is refused."""
    if context.build.sandbox == "process":
        images.prepare(context.directory, KIB)
        context.run([context.build.instar, "convert", "-f", "raw", "-O", "raw", "in", "out"],
                    env=dict(context.environment, INSTAR_PROCESSOR_LEVEL="1")).expect_error(
                        "a process has the host's processor")
        return
    expect_same(context, case, {f"level-{level}": {"INSTAR_PROCESSOR_LEVEL": str(level)} for level in (1, 2, 3)})


@test(cases=list(METHODS))
def host_with_fewer_features(context, case):
    """The C library's choices among its functions are those for a processor with fewer features."""
    expect_same(context, case, {"fewer": {"GLIBC_TUNABLES": FEWER}})


@test(cases=["0", "4", "x"], needs_kvm=False)
def level_that_there_is_not(context, case):
    images.prepare(context.directory, KIB)
    context.run([context.build.instar, "convert", "-f", "raw", "-O", "raw", "in", "out"],
                env=dict(context.environment, INSTAR_PROCESSOR_LEVEL=case)).expect_error("INSTAR_PROCESSOR_LEVEL: ")


