# SPDX-License-Identifier: Apache-2.0
"""Guest programs: attacks (tests/hostile, with their table `expected`) and conformance tests."""

import re
import shlex

from lib import images, processor, suite

INPUT_LEN = (1 << 20) + 1
# Attacks on limits that only a large device has: their input is a hole of this length.
HOLES = {"request_too_long": 32 << 20, "discard_too_long": 3 << 30, "write_zeroes_too_long": 3 << 30}
STATUS_LINE = re.compile(r"(init|capacity|progress|latency|complete|debug): ")
FAULT_LOST = "guest fault on vCPU {number}, at an instruction that this host's processor does not tell"
PLACEHOLDERS = {"{hex}": "0x[0-9a-f]+", "{number}": "[0-9]+", "{any}": ".*"}

# Conformance tests: options, and the length of the input. What a program copies to the output is compared.
CONFORMANCE = [
    ("commands", "", INPUT_LEN),
    ("commands", "--io-uring", INPUT_LEN),
    ("commands", "--mmap-backing", INPUT_LEN),
    ("commands", "--direct-io", INPUT_LEN),
    ("commands", "--memory-backing", INPUT_LEN),
    ("console", "--console", INPUT_LEN),
    ("console", "--console --no-ioeventfd", INPUT_LEN),
    ("direct_then_indirect", "", INPUT_LEN),
    ("event_index", "", INPUT_LEN),
    ("event_index", "--io-uring", INPUT_LEN),
    ("event_index", "--no-ioeventfd", INPUT_LEN),
    ("index_wrap", "", INPUT_LEN),
    ("index_wrap", "--io-uring", INPUT_LEN),
    ("initialization", "--input-sector-size 4096 --output-sector-size 1024", INPUT_LEN),
    ("initialization", "--input-sector-size 4096 --output-sector-size 1024 --vcpus 3", INPUT_LEN),
    ("multiple_queues", "--vcpus 2", INPUT_LEN),
    ("multiple_queues", "--vcpus 4 --io-uring", INPUT_LEN),
    ("multiple_queues", "--vcpus 2 --no-ioeventfd", INPUT_LEN),
    ("offload", "--offload", INPUT_LEN),
    ("offload", "--offload --io-uring", INPUT_LEN),
    ("offload", "--offload --mmap-backing", INPUT_LEN),
    ("offload", "--offload --direct-io", INPUT_LEN),
    ("offload", "--offload --memory-backing", INPUT_LEN),
    ("partial_last_sector", "", INPUT_LEN),
    ("partial_last_sector", "--direct-io", INPUT_LEN),
    ("partial_last_sector", "--mmap-backing", INPUT_LEN),
    ("partial_last_sector", "--io-uring", INPUT_LEN),
    ("partial_last_sector", "--memory-backing", INPUT_LEN),
    ("request_shapes", "", INPUT_LEN),
    ("request_shapes", "--direct-io", INPUT_LEN),
    ("request_shapes", "--mmap-backing", INPUT_LEN),
    ("request_shapes", "--io-uring", INPUT_LEN),
    ("request_sizes", "--queue-depth 64", images.PATTERN_LEN),
    ("request_sizes", "--queue-depth 64 --direct-io", images.PATTERN_LEN),
    ("request_sizes", "--queue-depth 64 --mmap-backing", images.PATTERN_LEN),
    ("request_sizes", "--queue-depth 64 --io-uring", images.PATTERN_LEN),
    ("two_vcpus", "--vcpus 2", INPUT_LEN),
    ("two_vcpus", "--vcpus 3", INPUT_LEN),
]


def messages(completed):
    """Standard error without what a guest may say at any time."""
    return [line for line in completed.stderr.splitlines() if not STATUS_LINE.match(line)]


def message_matches(pattern, line):
    expression = "".join(PLACEHOLDERS.get(part, re.escape(part)) for part in re.split(r"(\{\w+\})", pattern))
    return re.fullmatch("instar-vmm: " + expression, line) is not None


def guest_run(context, program, options, source):
    input_len = source.stat().st_size
    before = images.content_id(source)
    completed = context.vmm(program, *options)
    if images.content_id(source) != before:
        raise suite.Failure(completed.describe("the input has changed"))
    target = context.directory / "out"
    left = sorted(path.name for path in context.directory.iterdir())
    expected = ["in", "out"] if completed.status == 0 else ["in"]
    if left != expected:
        raise suite.Failure(completed.describe(f"the directory holds {left}, expected {expected}"))
    if completed.status == 0 and target.stat().st_size != input_len:
        raise suite.Failure(completed.describe(f"the output has {target.stat().st_size} bytes, expected {input_len}"))
    if re.search(r"[^\n -~]", completed.stdout + completed.stderr):
        raise suite.Failure(completed.describe("control characters in the output"))
    return completed


def attack_run(context, program, options, outcomes):
    if hole_len := HOLES.get(program.stem):
        source = context.directory / "in"
        images.write_islands(source, hole_len, [])
    else:
        source = images.prepare(context.directory, INPUT_LEN)
    completed = guest_run(context, program, options, source)
    lines = messages(completed)
    if completed.status == 0 and "success" in outcomes and not lines:
        return
    patterns = [outcome for outcome in outcomes if outcome != "success"]
    if context.build.sandbox == "kvm" and processor.loses_faults():
        patterns += [FAULT_LOST for pattern in patterns if pattern.startswith("guest fault on ")]
    if completed.status == 1 and len(lines) == 1 and any(message_matches(p, lines[0]) for p in patterns):
        return
    raise suite.Failure(completed.describe("expected " + " or ".join(outcomes)))


def conformance_run(context, program, options, input_len):
    guest_run(context, program, options, images.prepare(context.directory, input_len)).expect(0)
    if program.name in ("request_sizes.bin", "offload.bin") and images.sha256(context.directory / "out") != images.sha256(
            context.directory / "in"):
        raise suite.Failure("the output is not the input")


def options_expand(text):
    """`--queue-depth 1..3` stands for three runs."""
    if found := re.search(r"(\d+)\.\.(\d+)", text):
        for number in range(int(found[1]), int(found[2]) + 1):
            yield text[:found.start()] + str(number) + text[found.end():]
    else:
        yield text


def table_read(path):
    """Lines `PROGRAM OPTIONS | OUTCOME | OUTCOME`; yields (program, options, outcomes)."""
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            command, *outcomes = line.split(" | ")
            program, _, text = command.partition(" ")
            for options in options_expand(text):
                yield program, options, outcomes


def name_make(kind, build, program, options):
    return f"{kind}{build.suffix}/{program}" + "".join("," + option.lstrip("-") for option in shlex.split(options))


def tests(build, root):
    found = []
    listed = set()
    for program, options, outcomes in table_read(root / "tests" / "hostile" / "expected"):
        listed.add(program)
        binary = build.hostile / f"{program}.bin"

        def run(context, binary=binary, options=options, outcomes=outcomes):
            attack_run(context, binary, shlex.split(options), outcomes)

        found.append(suite.Test(name_make("hostile", build, program, options), build, run,
                                weight=8 if "flood" in program else 2))
    for program, options, input_len in CONFORMANCE:
        binary = build.conformance / f"{program}.bin"

        def run_conformance(context, binary=binary, options=options, input_len=input_len):
            conformance_run(context, binary, shlex.split(options), input_len)

        found.append(suite.Test(name_make("conformance", build, program, options), build, run_conformance, weight=2))
    built = {path.stem for path in build.hostile.glob("*.bin")}
    if built != listed:
        odd = ", ".join(sorted(built ^ listed))
        raise SystemExit(f"tests/hostile/expected and the build do not have the same programs: {odd}")
    return found
