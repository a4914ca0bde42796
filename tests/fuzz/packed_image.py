# SPDX-License-Identifier: Apache-2.0
"""Images as inputs of the fuzz targets of formats, and back (packed_image.h).

    packed_image.py IMAGE >INPUT
    packed_image.py --unpack INPUT >IMAGE
"""
import struct
import sys

UNIT = 512
STORED_MAX = 8 << 20
CHOICES_LEN = 56


def pack(image, choices=b"", stored_max=STORED_MAX):
    """The input that an image's bytes make; those from `stored_max` on are left out."""
    runs = []
    for unit in range((min(len(image), stored_max) + UNIT - 1) // UNIT):
        data = image[unit * UNIT:(unit + 1) * UNIT].ljust(UNIT, b"\0")
        if not any(data):
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == unit:
            runs[-1][1].append(data)
        else:
            runs.append((unit, [data]))
    head = struct.pack("<Q", len(image)) + choices.ljust(CHOICES_LEN, b"\0")
    return head + b"".join(struct.pack("<II", unit, len(data)) + b"".join(data) for unit, data in runs)


def unpack(data):
    """The image: what is stored, without the zeros up to its length."""
    stored = {}
    off = 8 + CHOICES_LEN
    while off + 8 < len(data):
        unit, count = struct.unpack_from("<II", data, off)
        content = data[off + 8:off + 8 + count * UNIT]
        if unit * UNIT + len(content) <= STORED_MAX:
            stored[unit * UNIT] = content
        off += 8 + len(content)
    image = bytearray(max((start + len(content) for start, content in stored.items()), default=0))
    for start, content in stored.items():
        image[start:start + len(content)] = content
    length = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0] % ((1 << 44) + 1)
    return bytes(image), max(length, len(image))


def main():
    is_unpacking = sys.argv[1] == "--unpack"
    with open(sys.argv[-1], "rb") as file:
        data = file.read()
    if is_unpacking:
        image, length = unpack(data)
        sys.stdout.buffer.write(image)
        print(f"{length} bytes", file=sys.stderr)
    else:
        sys.stdout.buffer.write(pack(data))


if __name__ == "__main__":
    main()
