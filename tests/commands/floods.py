# SPDX-License-Identifier: Apache-2.0
"""Small images that say much: what is printed has a bound, and what shares its tables is looked at once."""

import json
import random

from lib import aliased_images, daily
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB, GIB, TIB, PIB = (1 << shift for shift in (10, 20, 30, 40, 50))
# Disks that nobody would come to the end of, extent by extent.
LONG = {"qcow2": PIB, "qed": TIB, "vmdk": TIB, "vhdx": TIB}


@test(cases=sorted(LONG), is_native=False)
def a_million_shared_tables(context, format):
    """Compare and measure come to an end, with the right result; of map, the first lines come, and it fails."""
    image, other = context.directory / "image", context.directory / "other"
    make, length = aliased_images.MAKERS[format], LONG[format]
    make(image, length)
    make(other, length, [0] * 1000 + [1])
    instar = context.build.instar
    done = context.run([instar, "compare", "-f", format, "-F", format, image, image]).expect()
    if done.stdout != "Images are identical.\n":
        raise Failure(done.describe("an image is not the same as itself"))
    context.run([instar, "compare", "-s", "-f", format, "-F", format, image, image]).expect()
    done = context.run([instar, "compare", "-f", format, "-F", format, image, other]).expect(1)
    if not done.stdout.startswith("Content mismatch at offset "):
        raise Failure(done.describe("the difference was not found"))
    done = context.run([instar, "measure", "--output=json", "-f", format, "-O", "qcow2", "-o", "cluster_size=2M", image]).expect()
    sizes = json.loads(done.stdout)
    # QEMU has no block status of VHDX: all is data, in any case.
    if sizes["required"] != sizes["fully-allocated"]:
        raise Failure(done.describe("all of the disk is data"))
    for options in ([], ["--output=json"]):
        done = context.run([instar, "map", "--max-lines=1000", "-f", format, *options, image])
        if format == "vhdx":  # one line is enough, or an error that names none
            continue
        done.expect_error("the map has more than 1000 lines (option --max-lines)")
        lines = done.stdout.count("\n")
        if not 999 <= lines <= 1001:
            raise Failure(done.describe(f"{lines} lines were printed"))


@test(is_native=False)
def what_ends_a_map(context):
    """Without a bound of lines, it is the limit of processor time that ends it, and says so."""
    image = context.directory / "image"
    aliased_images.qcow2(image, PIB)
    with open("/dev/null", "wb") as nowhere:
        process = context.start([context.build.instar, "map", "--max-lines=0", "--max-cpu=1", "--output=json", image],
                                stdout=nowhere)
        done = context.finish(process)
    done.expect_error("the job exceeded its limit of 1 s of processor time")


def random_pattern(random_numbers):
    return [random_numbers.choice((0, 0, 1, 1, 2, 3, None)) for _ in range(random_numbers.randrange(3, 9))]


@test(cases=["qcow2", "qed", "vmdk"], is_native=False)
def shared_tables_as_in_qemu(context, format):
    """What is remembered of tables makes no difference to what is found: pairs of images, beside qemu-img."""
    make = aliased_images.MAKERS[format]
    random_numbers = random.Random(f"{daily.SEED} {format}")
    sizes = {"qcow2": {"bits": 12}, "qed": {"bits": 12, "table_clusters": 1}, "vmdk": {"grain_sectors": 1}}[format]
    for round_number in range(6):
        length = random_numbers.randrange(20, 60) * MIB - random_numbers.choice((0, 0, 512, 4096))
        paths = [context.directory / f"{round_number}.{i}" for i in range(2)]
        first = random_pattern(random_numbers)
        second = list(first)
        if round_number % 3:
            second[random_numbers.randrange(len(second))] = random_numbers.choice((0, 1, 2, None))
        for path, pattern, cut in zip(paths, (first, second), (0, random_numbers.choice((0, 0, MIB)))):
            pattern[0] = 0
            make(path, length - cut, pattern, **sizes)
        for options in (["compare"], ["compare", "-s"]):
            arguments = [*options, "-f", format, "-F", format, *paths]
            same(context, arguments, f"{first} {second} {length}")
        for options in (["-O", "raw"], ["-O", "qcow2"], ["-O", "qcow2", "-o", "cluster_size=512"],
                        ["-O", "qcow2", "-o", "cluster_size=2M"]):
            same(context, ["measure", "-f", format, *options, paths[0]], f"{first} {length}")


def same(context, arguments, what):
    reference = context.run(["/usr/bin/qemu-img", *arguments])
    own = context.run([context.qemu_img, *arguments])
    if (reference.status, reference.stdout) != (own.status, own.stdout):
        raise Failure(f"{what}\n{reference.describe('qemu-img:')}\n{own.describe('ours:')}")


@test(is_native=False)
def bounded_findings(context):
    """Each wrong entry is a line; the rest is counted."""
    image = context.directory / "image"
    aliased_images.qcow2(image, 64 * GIB)
    done = context.run([context.build.instar, "check", "--max-lines=10", image])
    lines = done.stderr.splitlines()
    told = [line for line in lines if "--max-lines" in line]
    if done.status not in (1, 2) or len(told) != 1 or len([line for line in lines if line.startswith("ERROR")]) > 10:
        raise Failure(done.describe("10 findings and a line about the rest were expected"))


@test(is_native=False)
def bounded_warnings(context):
    """A warning for each sector that cannot be read, as with --salvage: the first ones."""
    source, target = context.directory / "source", context.directory / "target"
    aliased_images.qcow2(source, 64 * MIB, bits=12)
    with open(source, "r+b") as file:
        table = 5 * 4096
        for index in range(0, 512, 2):
            file.seek(table + 8 * index)
            file.write((0x1234).to_bytes(8, "big"))
    done = context.run([context.build.instar, "convert", "--salvage", "--max-lines=5", "-O", "raw", source, target]).expect()
    lines = [line for line in done.stderr.splitlines() if "warning" in line]
    if len(lines) != 6 or "more warnings are left out (--max-lines)" not in lines[5]:
        raise Failure(done.describe("5 warnings and a line about the rest were expected"))
