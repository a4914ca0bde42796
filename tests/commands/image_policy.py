# SPDX-License-Identifier: Apache-2.0
"""Images that name files which are none of their business: refused, and never opened."""

import re

from lib import recipes
from lib.python_tests import test
from lib.suite import Failure, Skip
import shutil

# What an image might be made to name.
NAMES = ["/etc/passwd", "../outside", "json:{\"driver\":\"raw\",\"file.filename\":\"/etc/passwd\"}",
         "nbd://127.0.0.1:1/x", "nbd:127.0.0.1:1", "/proc/self/environ", "/dev/zero", "ssh://host/x", "fifo"]
COMMANDS = {
    "map": ["map", "image"],
    "convert": ["convert", "-O", "raw", "image", "out"],
    "compare": ["compare", "image", "image"],
    "measure": ["measure", "-O", "raw", "image"],
    "info_chain": ["info", "--backing-chain", "image"],
}


def backing_make(context, name):
    recipes.Maker(context.directory).run("/usr/bin/qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", "raw",
                                         "image", "1M")


def data_file_make(context, name):
    """qemu-img refuses to name what it cannot make; the name in the extension is changed afterwards."""
    recipes.Maker(context.directory).create("image", "1M", "data_file=" + "x" * len(name))
    path = context.directory / "image"
    data = path.read_bytes().replace(b"x" * len(name), name.encode(), 1)
    path.write_bytes(data)


@test(cases=[f"{kind},{command}" for kind in ("backing", "data_file") for command in COMMANDS
             if (kind, command) != ("data_file", "info_chain")])
def refused(context, case):
    if shutil.which("strace") is None:
        raise Skip("strace is missing")
    kind, command = case.split(",")
    context.run(["mkfifo", "fifo"]).expect()
    (context.directory.parent / "outside").write_bytes(bytes(1 << 20))
    for name in NAMES:
        (backing_make if kind == "backing" else data_file_make)(context, name)
        done = context.run(["strace", "-f", "-o", "trace", "-e", "trace=open,openat,openat2,connect,execve",
                            context.qemu_img, *COMMANDS[command]])
        done.expect(2 if command == "compare" else 1)
        lines = done.stderr.splitlines()
        if len(lines) != 1 or not lines[0].startswith("qemu-img: "):
            raise Failure(done.describe(f"{name}: expected one clear line"))
        trace = (context.directory / "trace").read_text(errors="replace")
        base = re.escape(name.rsplit("/", 1)[-1])
        opened = [line for line in trace.splitlines()
                  if "connect(" in line or re.search(rf'open[a-z0-9]*\([^"]*"[^"]*{base}"', line)
                  and not line.rstrip().endswith(")") and "O_PATH" not in line and "= -1" not in line]
        if opened:
            raise Failure(f"{name}: it was opened:\n" + "\n".join(opened))
        if (context.directory / "out").exists():
            raise Failure(f"{name}: a refused job left a file")


@test()
def allowed(context):
    """The user's own word opens other directories, and closes all."""
    there = context.directory / "there"
    there.mkdir()
    (there / "base").write_bytes(b"\x07" * (1 << 20))
    backing_make(context, str(there / "base"))
    own = context.build.directory / "instar"
    (context.directory / "elsewhere").mkdir()
    (context.directory / "image").rename(context.directory / "elsewhere" / "image")
    context.run([own, "convert", "-O", "raw", "elsewhere/image", "out"]).expect_error("base")
    context.run([own, "convert", "--backing-dir", "there", "-O", "raw", "elsewhere/image", "out"]).expect()
    if (context.directory / "out").read_bytes() != b"\x07" * (1 << 20):
        raise Failure("the backing file's content is missing")
    context.run([own, "convert", "--no-backing", "--backing-dir", "there", "-O", "raw", "elsewhere/image",
                 "out2"]).expect(1)
