# SPDX-License-Identifier: Apache-2.0
"""Files for tests to copy."""

import array
import functools
import hashlib
import os
import pathlib

# 64-bit word number i, from 0 on, is (i + 1) times this: no word is zero, and each tells where it belongs.
PATTERN_FACTOR = 0x9E3779B97F4A7C15
PATTERN_LEN = 17 * 1024 * 1024 + 100


@functools.lru_cache(maxsize=1)
def pattern():
    words = range(1, PATTERN_LEN // 8 + 2)
    return array.array("Q", ((i * PATTERN_FACTOR) & (2**64 - 1) for i in words)).tobytes()[:PATTERN_LEN]


def data(length, start=0):
    """`length` bytes of the pattern, over and over, from `start` of it."""
    source = pattern()
    repeated = source * ((start + length) // len(source) + 1)
    return repeated[start:start + length]


def write_islands(path, length, islands):
    """A sparse file with data only at these (offset, length)."""
    with open(path, "wb") as file:
        file.truncate(length)
        for offset, island_len in islands:
            file.seek(offset)
            file.write(data(island_len, start=offset % 4099))
    if path.stat().st_size != length:
        raise ValueError("an island lies behind the end of the file")


def write_sparse(path, content):
    """Blocks of zeros are holes."""
    with open(path, "wb") as file:
        for start in range(0, len(content), 65536):
            block = content[start:start + 65536]
            if block.count(0) != len(block):
                file.seek(start)
                file.write(block)
        file.truncate(len(content))


def stored_bytes(path):
    return os.stat(path).st_blocks * 512


def data_extents(path):
    """What the file system has stored, as (offset, end)."""
    found = []
    with open(path, "rb") as file:
        end = 0
        length = os.fstat(file.fileno()).st_size
        while end < length:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, end))
    return found


def content_id(path):
    """The SHA-256 of length and data, without reading holes: they are as good as zeros."""
    digest = hashlib.sha256()
    chunk_len = 1 << 20
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        digest.update(f"{length}\n".encode())
        last = -1
        for start, end in data_extents(path):
            for chunk in range(start // chunk_len, (end + chunk_len - 1) // chunk_len):
                if chunk > last:
                    last = chunk
                    content = os.pread(file.fileno(), chunk_len, chunk * chunk_len)
                    if content.count(0) != len(content):
                        digest.update(f"{chunk}\n".encode() + content)
    return digest.hexdigest()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def prepare(directory: pathlib.Path, length, name="in"):
    """A file of `length` bytes of the pattern, over and over."""
    path = directory / name
    with open(path, "wb") as file:
        while length > 0:
            length -= file.write(pattern()[:length])
    return path
