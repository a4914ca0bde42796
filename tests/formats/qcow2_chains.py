#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""rebase and commit that end early, natively: stopped before each write, every image of the chain is sound but for clusters
that nobody uses, and each has its old content or the new one; the disk of the image itself never changes.

    qcow2_chains.py MODIFY_NATIVE IMAGE_NATIVE [NAME]
"""
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402
from qcow2_modify import CASES, LEAKS, MIB, STOPPED, must, qemu_io, run  # noqa: E402

PART_COUNT = 2
UNIT = 512


def contents(folder, names):
    """Of images, as qemu-img reads them with what is behind them."""
    found = {}
    for name in names:
        must("/usr/bin/qemu-img", "convert", "-O", "raw", folder / name, folder / "disk.raw")
        found[name] = (folder / "disk.raw").read_bytes()
    return found


def is_between(content, old, new):
    """Each unit as before or as after; a disk that is longer than before goes on with zeros."""
    if len(content) not in (len(old), len(new)):
        return False
    old, new = old.ljust(len(content), b"\0"), new.ljust(len(content), b"\0")
    return all(content[at:at + UNIT] in (old[at:at + UNIT], new[at:at + UNIT]) for at in range(0, len(content), UNIT))


def stop_everywhere(folder, command, written, check):
    """Runs the command on copies of the folder, and stops it before each write: check(copy, whether it has ended)."""
    number = 0
    while True:
        number += 1 if number < 12 else number // 3
        copy = folder.parent / "stopped"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        result = run(*command, cwd=copy, env={**os.environ, "NATIVE_STOP_BEFORE_WRITE": str(number)})
        if result.returncode not in (0, STOPPED):
            raise RuntimeError(f"{result.returncode} {result.stdout}{result.stderr}")
        for name in written:
            found = run("/usr/bin/qemu-img", "check", "-f", "qcow2", copy / name)
            if found.returncode not in (0, LEAKS) or (found.returncode != 0 and result.returncode == 0):
                raise RuntimeError(f"{name}, write {number}: {found.returncode} {found.stdout}{found.stderr}")
        check(copy, number)
        if result.returncode == 0:
            break
    if number < 3:
        raise RuntimeError(f"only {number} writes")


def make_chain(case, folder):
    """base, top on it, and other: the case's image is top, or the base."""
    chain = folder / "chain"
    chain.mkdir()
    made = case.make(folder)
    shutil.copy(made, chain / "base")
    options = ["-o", ",".join(f"{key}={value}" for key, value in case.options.items())] if case.options else []
    must("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *options, "-b", "base", "-F", "qcow2", "top",
         case.size + MIB, cwd=chain)
    qemu_io(chain / "top", "write -P 201 1M 300k", f"write -P 202 {case.size} 100k", "write -z 64k 128k",
            "write -P 203 2M 512")
    must("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", chain / "other", case.size)
    qemu_io(chain / "other", "write -P 204 512k 1M", "write -P 205 3M 100k")
    return chain


def test_rebase(case, folder, image_native):
    chain = make_chain(case, folder)
    before = contents(chain, ["top"])["top"]

    def check(copy, number):
        if contents(copy, ["top"])["top"] != before:
            raise RuntimeError(f"write {number}: the disk is another one")

    command = [image_native, "rebase", "-b", "other", "-F", "qcow2", "top", "-f", "qcow2", "other"]
    stop_everywhere(chain, command, ["top"], check)


def test_commit(case, folder, image_native):
    chain = make_chain(case, folder)
    old = contents(chain, ["top", "base"])

    def check(copy, number):
        new = contents(copy, ["top", "base"])
        if new["top"] != old["top"]:
            raise RuntimeError(f"write {number}: the disk is another one")
        if not is_between(new["base"], old["base"], old["top"]):
            raise RuntimeError(f"write {number}: the base is neither old nor new")

    stop_everywhere(chain, [image_native, "commit", "top", "base"], ["top", "base"], check)


def main():
    image_native = pathlib.Path(sys.argv[2]).resolve()
    chosen = sys.argv[3] if len(sys.argv) > 3 else ""
    tests = {"rebase": test_rebase, "commit": test_commit}
    # One reference per cluster, or a base with a backing file of its own name: not for this.
    cases = [case for case in CASES if not case.bitmap and case.size <= 8 * MIB]
    wanted = [(case, name) for case in cases for name in tests if re.search(chosen, f"{case.name} {name}")]
    failed = 0
    for case, name in daily.sample(f"chains {chosen}", wanted, PART_COUNT):
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="instar-chains-") as folder:
            try:
                tests[name](case, pathlib.Path(folder), image_native)
                print(f"ok {case.name} {name}", flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"not ok {case.name} {name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
