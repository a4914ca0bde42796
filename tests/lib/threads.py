# SPDX-License-Identifier: Apache-2.0
"""What has threads, in a build with the thread sanitizer: unit tests, and whole jobs on each backend with several vCPUs."""

import json
import pathlib

from lib import suite, unit

# Unit tests of what has more than one thread, or is called by more than one. Their names begin so.
UNITS = ("backends_in_flight", "backends_ring", "guest workers", "device", "job open_task", "job run", "vmm guest_memory")
BACKENDS = ("regular", "direct", "io-uring", "mmap", "memory")
# The sanitizer knows only some layouts of memory: not those that recent kernels make.
PREFIX = ["setarch", "--addr-no-randomize"]
VCPUS = ("--vcpus", "4")


class Build(suite.Build):
    def __init__(self, directory, sandbox):
        super().__init__(directory, is_sanitizer=True, sandbox=sandbox)
        self.suffix = "-threads"

    def environment(self):
        return dict(super().environment(), TSAN_OPTIONS="exitcode=66")


def entries(directory):
    found = json.loads((pathlib.Path(directory) / "meson-info" / "intro-tests.json").read_text())
    return [entry for entry in found if entry["name"].startswith(UNITS)]


def targets(directory):
    """What has to be built, as ninja calls it."""
    root = pathlib.Path(directory).resolve()
    return ["instar", "instar-vmm"] + [str(pathlib.Path(entry["cmd"][0]).relative_to(root)) for entry in entries(directory)]


def unit_test(context, entry, name):
    return unit.run(context, dict(entry, cmd=PREFIX + entry["cmd"]), name)


def source_make(context):
    with open(context.directory / "source.raw", "wb") as file:
        for i in range(24):
            file.write(bytes([i + 1]) * (256 << 10) + bytes(256 << 10))
    context.run(["/usr/bin/qemu-img", "convert", "-c", "-O", "qcow2", "source.raw", "packed.qcow2"]).expect()


def job(context, arguments, output):
    source_make(context)
    context.run(PREFIX + [context.build.instar, *arguments]).expect()
    if output:
        context.run(["/usr/bin/qemu-img", "compare", "source.raw", output]).expect()


def jobs():
    for backend in BACKENDS:
        yield f"copy,{backend}", ["copy", f"--backing={backend}", *VCPUS, "source.raw", "copy.raw"], "copy.raw"
    yield "convert", ["convert", *VCPUS, "-O", "raw", "packed.qcow2", "out.raw"], "out.raw"
    yield "convert,compress", ["convert", "-c", *VCPUS, "-O", "qcow2", "source.raw", "new.qcow2"], "new.qcow2"
    yield "compare", ["compare", *VCPUS, "source.raw", "packed.qcow2"], None
    yield "info", ["info", "packed.qcow2"], None


def tests(directory, sandbox):
    build = Build(directory, sandbox)
    found = []
    for entry in entries(directory):
        name = f"threads/{entry['name']}".replace(" ", "-")
        found.append(suite.Test(name, build, lambda context, entry=entry, name=name: unit_test(context, entry, name),
                                needs_kvm=False, weight=5))
    for name, arguments, output in jobs():
        found.append(suite.Test(f"threads/{name}", build, needs_kvm=False, weight=5,
                                function=lambda context, a=arguments, o=output: job(context, a, o)))
    return found
