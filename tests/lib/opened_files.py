# SPDX-License-Identifier: Apache-2.0
"""Which files a command opens, by strace."""

import re

CONNECTED = "a connection"


def opened_files(context, words):
    """Runs a command; where the descriptors lead that it and its processes have got, but for those that only name a file (O_PATH).

    A file is opened by such a descriptor, so its name does not stand where it is opened to be read.
    """
    for path in context.directory.glob("trace.*"):
        path.unlink()
    done = context.run(["strace", "-ff", "-y", "-o", "trace", "-e", "trace=open,openat,openat2,connect", *words])
    opened = []
    for path in context.directory.glob("trace.*"):
        for line in path.read_text(errors="replace").splitlines():
            target = re.search(r" = [0-9]+<(.*)>$", line)
            if line.startswith("connect("):
                opened.append(CONNECTED)
            elif target is not None and "O_PATH" not in line:
                opened.append(target[1])
    return done, opened
