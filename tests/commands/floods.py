# SPDX-License-Identifier: Apache-2.0
"""Small images that say much: what is printed has a bound, and what shares its tables is looked at once."""

import json
import os

from lib import aliased_images, daily
from lib.python_tests import test
from lib.suite import Failure

KIB, MIB, GIB, TIB, PIB = (1 << shift for shift in (10, 20, 30, 40, 50))
# Disks that nobody would come to the end of, extent by extent.
LONG = {"qcow2": PIB, "qcow": PIB, "qed": TIB, "vmdk": TIB, "vhdx": TIB}


@test(cases=daily.sample("floods a_million_shared_tables", sorted(LONG), 1), is_native=False)
def a_million_shared_tables(context, format):
    """Compare and measure come to an end, with the right result; of map, the first lines come, and it fails."""
    image, other = context.directory / "image", context.directory / "other"
    make, length = aliased_images.MAKERS[format], LONG[format]
    make(image, length)
    make(other, length, [0] * 400 + [1])
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
    for options in daily.sample(f"map {format}", [[], ["--output=json"]], 1):
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


SMALL = {"qcow2": {"bits": 12}, "qcow": {"bits": 12}, "qed": {"bits": 12, "table_clusters": 2}, "vmdk": {"grain_sectors": 1}}
REACH = {"qcow2": 2 * MIB, "qcow": 2 * MIB, "qed": 4 * MIB, "vmdk": 2 * MIB}  # of a table, with these
ENTRIES = {"qcow2": 512, "qcow": 512, "qed": 1024, "vmdk": 4096}
Content = aliased_images.Content
ROUNDS = int(os.environ.get("INSTAR_TEST_ROUNDS", "3"))


def random_table(dice, format):
    """A few runs of clusters that follow each other, or do not, with gaps between them; at times over the whole table."""
    entries = []
    while len(entries) < 60:
        first, count = dice.randrange(4), dice.randrange(1, 9)
        entries += dice.choice(([first] * count, [(first + i) % 4 for i in range(count)], [None] * count,
                                [None if format == "vmdk" else Content.ZERO] * count, [4], [5]))
    whole = ENTRIES[format]
    return (entries * (whole // len(entries) + 1))[:whole] if dice.random() < 0.3 else entries


def random_content(dice, format):
    """Six clusters: the fifth is zeros that are stored, and the last is the first with another last byte."""
    plain = [bytes([dice.randrange(1, 256)]) * 512 for _ in range(4)]
    unit = SMALL[format].get("grain_sectors", 8) * 512
    return Content([*plain, bytes(512), plain[0] * (unit // 512 - 1) + plain[0][:511] + b"\0"],
                   [random_table(dice, format) for _ in range(3)])


def changed(dice, content, pattern):
    """The other side: the same, the same in another arrangement, or with one stretch of the disk that is told of by
    another table: one of the others, or one of which one entry is another one."""
    content, pattern = Content(list(content.clusters), [list(table) for table in content.tables]), list(pattern)
    kind = dice.choice(("same", "arranged", "table", "entry", "entry", "entry"))
    place = dice.randrange(len(pattern))
    if kind == "arranged":
        order = list(range(len(content.clusters)))
        dice.shuffle(order)
        content.clusters = [content.clusters[i] for i in order]
        content.tables = [[order.index(entry) if isinstance(entry, int) else entry for entry in table]
                          for table in content.tables]
        content.tables += [list(table) for table in content.tables]
        pattern = [table if table is None else table + dice.choice((0, 3)) for table in pattern]
    elif kind == "table":
        pattern[place] = dice.choice((None, 0, 1, 2))
    elif kind == "entry":
        table = list(content.tables[pattern[place]]) if pattern[place] is not None else []
        table.append(None)
        table[dice.randrange(len(table))] = dice.choice((0, 1, 2, 3, 4, 5, None))
        pattern[place] = len(content.tables)
        content.tables.append(table)
    return content, pattern


def behind(context, dice, name, length):
    """A file to be behind an image: shorter or longer than its disk, with something here and there."""
    with open(context.directory / name, "wb") as file:
        file.truncate(dice.choice((length, length // 2 + 512, length + MIB)))
        for _ in range(5):
            file.seek(dice.randrange(length // 512) * 512)
            file.write(dice.randbytes(512) * 4)
    return name, "raw"


@test(cases=daily.sample("floods shared_tables_as_in_qemu", ["qcow2", "qcow", "qed", "vmdk", "qcow2 qcow"], 2), is_native=False)
def shared_tables_as_in_qemu(context, formats):
    """What is remembered of tables makes no difference to what is found: pairs of images, beside qemu-img. At times they
    differ in one of the places only that a table is used in, have files behind them, or a snapshot. A few pairs each day;
    INSTAR_TEST_ROUNDS says how many."""
    formats = formats.split()
    own, other = formats[0], formats[-1]
    dice = daily.dice(f"shared tables {formats}")
    for number in range(max(1, round(ROUNDS * daily.share()))):
        content = random_content(dice, own)
        length = dice.randrange(12, 24) * REACH[own] - dice.choice((0, 0, 512, 4096, MIB))
        pattern = [dice.choice((0, 0, 1, 1, 2, None)) for _ in range(24)]
        sides = [(content, pattern), changed(dice, content, pattern)]
        has_backing = [own == other and own in ("qcow2", "qed") and dice.random() < 0.3 for _ in sides]
        paths = [context.directory / f"{number}.{i}" for i in range(2)]
        for format, path, (content, pattern), backed in zip((own, other), paths, sides, has_backing):
            more = {"backing": behind(context, dice, f"{number}.behind", length)} if backed else {}
            if format == "qcow2" and dice.random() < 0.5:
                more["snapshot"] = [dice.choice((0, 1, 2, None)) for _ in range(5)]
            aliased_images.MAKERS[format](path, length, pattern, content=content, **SMALL[format], **more)
            for options in dice.sample(list(measures(more, format)), 1):
                same(context, ["measure", "-f", format, *options, path], f"{number}: {pattern} {length}")
        for options in (["compare"], ["compare", "-s"]):
            first = dice.randrange(2)
            same(context, [*options, "-f", (own, other)[first], "-F", (own, other)[1 - first], paths[first],
                           paths[1 - first]], f"{number}: {sides[0][1]} {sides[1][1]} {length}")


def measures(more, format):
    yield ["-O", "raw"]
    for options in ("cluster_size=4096", "cluster_size=512", "cluster_size=2M"):
        yield ["-O", "qcow2", "-o", options]
    if "snapshot" in more:
        yield ["-O", "qcow2", "-l", "snapshot", "-o", "cluster_size=4096"]


def same(context, arguments, what):
    reference = context.run(["/usr/bin/qemu-img", *arguments])
    own = context.run([context.qemu_img_beside, *arguments])
    if (reference.status, reference.stdout) != (own.status, own.stdout) or reference.status not in (0, 1):
        raise Failure(f"{what}\n{reference.describe('qemu-img:')}\n{own.describe('ours:')}")
    if "Could not open" in reference.stderr:
        raise Failure(reference.describe("the test's image is none"))
    return own


@test(cases=sorted(aliased_images.BLOCK_MAKERS), is_native=False)
def shared_blocks(context, format):
    """Where each block has a line of its own in the table, a long disk is long work: a limit ends it, and says so."""
    image, target = context.directory / "image", context.directory / "target.raw"
    aliased_images.BLOCK_MAKERS[format](image, TIB)
    instar = context.build.instar
    for arguments, limit, text in ((["compare", image, image], "--max-cpu=1", "its limit of 1 s of processor time"),
                                   (["convert", "-O", "raw", image, target], "--max-output=4M", "limit of 4194304 bytes")):
        done = context.run([instar, arguments[0], limit, "-f", format, *arguments[1:]])
        if done.status == 0 or text not in done.stderr or "identical" in done.stdout or target.exists():
            raise Failure(done.describe(f"it was to be ended, and to say: {text}"))


@test(is_native=False)
def checks_of_shared_tables(context):
    """A table that was found to be sound is so wherever the disk has it; a bit for each block of the longest disk is there;
    and who ends a job by the system's limit of processor time, which kills without a word, is named."""
    image, long = context.directory / "image", context.directory / "long"
    aliased_images.vmdk(image, 2 * TIB - MIB)
    context.run([context.build.instar, "check", "-f", "vmdk", image]).expect()
    aliased_images.vdi(long, 500 * TIB)
    command = f"ulimit -t 1; exec {context.build.instar} check -q --max-lines=1 -f vdi {long}"
    done = context.run(["sh", "-c", command])
    if done.status != 1 or "system's limit of 1 s of processor time" not in done.stderr:
        raise Failure(done.describe("it was to say what ended it"))


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


@test(cases=["qcow", "vmdk", "vdi"], is_native=False)
def strict_at_the_end(context, format):
    """The end of the disk is a part of block status, which QEMU tells of these formats cluster by cluster: how clusters lie in
    the file makes no difference there."""
    paths = [context.directory / name for name in ("in order", "in reverse")]
    for path, order in zip(paths, ((4, 5, 6, 7), (7, 6, 5, 4))):
        context.run(["/usr/bin/qemu-img", "create", "-q", "-f", format, path, "8M"]).expect()
        for place in order:
            context.run(["/usr/bin/qemu-io", "-f", format, "-c", f"write -q -P 5 {place}M 1M", path]).expect()
    done = same(context, ["compare", "-s", "-f", format, "-F", format, *paths], format)
    if done.status != 0:
        raise Failure(done.describe("they are the same"))
