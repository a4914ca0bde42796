# SPDX-License-Identifier: Apache-2.0
"""Readers of images that share nothing with QEMU or us: libvhdi, libvmdk and 7zip."""

import pathlib
import shutil
import subprocess

from lib.suite import Failure, Skip

PYTHON = "/usr/bin/python3"  # what Debian's modules are for
READ_DISK = pathlib.Path(__file__).with_name("read_disk.py")
MISSING = 77
LIBRARIES = {"vpc": "vhdi", "vhdx": "vhdi", "vmdk": "vmdk"}
# 7zip takes a file for what its name says.
SUFFIXES = {"vpc": ".vhd", "vhdx": ".vhdx", "vmdk": ".vmdk", "vdi": ".vdi", "qcow2": ".qcow2", "qcow": ".qcow"}


def read_disk(context, format, names, ranges=()):
    """What the library reads of the first image, the others being the parents of the one before."""
    if not pathlib.Path(PYTHON).exists():
        raise Skip(f"{PYTHON} is not there")
    words = [word for start, length in ranges for word in ("--at", str(start), str(length))]
    done = subprocess.run([PYTHON, READ_DISK, LIBRARIES[format], *names, *words], cwd=context.directory, capture_output=True, check=False)
    if done.returncode == MISSING:
        raise Skip(f"python3-lib{LIBRARIES[format]} is not installed")
    if done.returncode != 0:
        raise Failure(f"lib{LIBRARIES[format]} does not read {names}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def extract(context, format, name):
    """What 7zip reads of the disk."""
    if shutil.which("7zz") is None:
        raise Skip("7zz is not installed")
    path = context.directory / name
    if path.suffix != SUFFIXES[format]:
        other = context.directory / ("7z" + SUFFIXES[format])
        other.unlink(missing_ok=True)
        other.symlink_to(path)
        path = other
    done = subprocess.run(["7zz", "e", "-so", path.name], cwd=context.directory, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure(f"7zip does not read {name}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def vmdk_info(context, name):
    """What vmdkinfo tells of an image, but for names and for what is random."""
    if shutil.which("vmdkinfo") is None:
        raise Skip("vmdkinfo (libvmdk-utils) is not installed")
    done = subprocess.run(["vmdkinfo", name], cwd=context.directory, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise Failure(f"vmdkinfo does not read {name}: {done.stderr}")
    return [line for line in done.stdout.splitlines() if not line.lstrip().startswith(("Content identifier:", "Filename:"))]
