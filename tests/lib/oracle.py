# SPDX-License-Identifier: Apache-2.0
"""Runs qemu-img and its like, for scripts that compare with them."""

import subprocess

# On a busy machine qemu-img cannot measure how fast it derives keys, and then makes no encrypted image.
ATTEMPTS = 20
BUSY = "Unable to get accurate CPU usage"


def run(*arguments, check=True, **options):
    """The completed process, its output as text. Fails when the program does, if `check` is set."""
    for _ in range(ATTEMPTS):
        result = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True,
                                errors="replace", check=False, **options)
        if BUSY not in result.stderr:
            break
    if check and result.returncode != 0:
        raise RuntimeError(f"{arguments}: {result.stderr}")
    return result
