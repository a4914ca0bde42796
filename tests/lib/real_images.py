# SPDX-License-Identifier: Apache-2.0
"""Images that other programs made: INSTAR_TEST_IMAGES is the folder of a collection of them. Its INDEX.tsv says of each:
path, format, length, sha256 of the file, virtual size, exit status of check, sha256 of the disk as qemu-img reads it, ...
"""

import os
import pathlib

PATH, FORMAT, DISK_LEN, DISK_ID = 0, 1, 4, 6
FOLDER = pathlib.Path(os.environ.get("INSTAR_TEST_IMAGES") or "/nowhere")
DISK_LEN_MAX = 256 << 20


def of_format(name):
    """Path and sha256 of the disk's content of each image that is not too long; empty where qemu-img reads none."""
    index = FOLDER / "INDEX.tsv"
    if not index.exists():
        return {}
    rows = [line.split("\t") for line in index.read_text(encoding="utf-8").splitlines()]
    return {row[PATH]: row[DISK_ID] for row in rows if row[FORMAT] == name and int(row[DISK_LEN] or 0) <= DISK_LEN_MAX}
