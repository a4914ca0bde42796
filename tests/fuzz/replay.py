#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Replays the corpus of a fuzz target.

    replay.py PROGRAM CORPUS.tar.gz
"""
import os
import subprocess
import sys
import tarfile
import tempfile


def main():
    program, corpus = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        with tarfile.open(corpus) as archive:
            members = [member for member in archive.getmembers() if member.isfile() and "/" not in member.name]
            for member in members:
                with open(os.path.join(folder, member.name), "wb") as file:
                    file.write(archive.extractfile(member).read())
        result = subprocess.run([program, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                errors="replace")
    if result.returncode != 0 or result.stdout != f"{len(members)} inputs\n":
        print(result.stdout, result.stderr[-6000:], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
