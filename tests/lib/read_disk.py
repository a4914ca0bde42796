#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what another library than ours and QEMU's reads of an image's disk to standard output.

    read_disk.py vhdi|vmdk IMAGE [PARENT...] [--at OFFSET LENGTH]...

Of a differencing disk all the parents follow, each one behind its child. Exits with 77 where Debian's python3-libvhdi or
python3-libvmdk is missing, which are built for Debian's python3 alone.
"""

import importlib
import sys

MISSING = 77
STEP = 1 << 20


def opened(library, paths):
    """What reads the disk, first; the others have to live as long."""
    if library == "vmdk":
        handle = importlib.import_module("pyvmdk").handle()
        handle.open(paths[0])
        handle.open_extent_data_files()
        return [handle]
    files = []
    for path in paths:
        file = importlib.import_module("pyvhdi").file()
        file.open(path)
        files.append(file)
    for child, parent in zip(files, files[1:]):
        child.set_parent(parent)
    return files


def main(library, *words):
    words = list(words)
    ranges = []
    while "--at" in words:
        at = words.index("--at")
        ranges.append((int(words[at + 1]), int(words[at + 2])))
        del words[at:at + 3]
    try:
        files = opened(library, words)
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return MISSING
    disk = files[0]
    for start, length in ranges or [(0, disk.get_media_size())]:
        while length > 0:
            data = disk.read_buffer_at_offset(min(length, STEP), start)
            sys.stdout.buffer.write(data)
            start += len(data)
            length -= len(data)
            if not data:
                print(f"nothing at {start}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
