#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes small qcow2 images of all kinds, and damages them at random.

    qcow2_replay.py PROGRAM [COUNT [SEED]]

PROGRAM is the one that is built from qcow2_replay.c. Each day has another SEED.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import daily  # noqa: E402
from lib.oracle import run  # noqa: E402

KINDS = {
    "v2": ["compat=0.10,cluster_size=512"],
    "small": ["cluster_size=512,refcount_bits=1"],
    "wide": ["cluster_size=4096,refcount_bits=64"],
    "extended": ["cluster_size=16384,extended_l2=on"],
    "zstd": ["cluster_size=4096,compression_type=zstd"],
    "zlib": ["cluster_size=65536"],
    "backing": ["cluster_size=1024,backing_file=base.raw,backing_fmt=raw"],
    "data": ["cluster_size=4096,data_file=data.raw"],
}


def make_images(folder):
    (folder / "base.raw").write_bytes(b"base" * 65536)
    for name, (options,) in KINDS.items():
        path = folder / f"{name}.qcow2"
        run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path.name, "400k", cwd=folder)
        writes = ["write -P 1 0 70k", "write -z 128k 64k", "write -P 2 300k 1k", "discard 16k 16k"]
        if name != "data":
            writes += ["write -c -P 3 192k 64k"]
        arguments = [argument for write in writes for argument in ("-c", write)]
        subprocess.run(["qemu-io", "-f", "qcow2", *arguments, path.name], cwd=folder, capture_output=True)
        if name not in ("data", "small"):
            run("/usr/bin/qemu-img", "snapshot", "-c", "a snapshot", path)
            run("qemu-io", "-f", "qcow2", "-c", "write -P 4 10k 20k", path.name, cwd=folder)
        if name not in ("v2", "data"):
            run("/usr/bin/qemu-img", "bitmap", "--add", path, "a bitmap")
            run("/usr/bin/qemu-img", "bitmap", "--add", "-g", "512", path, "another")
        yield path
    luks = folder / "luks.qcow2"
    run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.cipher-alg=aes-128", luks, "400k")
    yield luks


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    count = sys.argv[2] if len(sys.argv) > 2 else "400"
    seed = sys.argv[3] if len(sys.argv) > 3 else str(daily.seed())
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        paths = list(make_images(pathlib.Path(folder)))
        result = subprocess.run([program, count, seed, *paths], stderr=subprocess.PIPE, text=True, errors="replace")
    if result.returncode != 0:
        print(f"seed {seed}\n{result.stderr[-4000:]}", file=sys.stderr)
    return 1 if result.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
