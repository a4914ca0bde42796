# SPDX-License-Identifier: Apache-2.0
"""Block devices to test with."""

import contextlib
import subprocess

from lib.suite import Skip


@contextlib.contextmanager
def loop_device(path, *options):
    """A block device whose content is a file's."""
    command = ["losetup", "--find", "--show", *options, str(path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Skip(f"losetup: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        if "--read-only" not in options:
            # It may still be as somebody before has set it.
            subprocess.run(["blockdev", "--setrw", device], check=True)
        yield device
    finally:
        subprocess.run(["blockdev", "--setrw", device], check=False)
        subprocess.run(["losetup", "--detach", device], check=False)
