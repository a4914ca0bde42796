# SPDX-License-Identifier: Apache-2.0
"""Inputs to begin with, for targets that do not have a corpus yet or get a new feature: whole images of qemu-img's and
messages as the guest sends them. What `make fuzz` makes of them is kept in corpus/.

A format whose images qemu-img makes needs a line in IMAGES.
"""
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import packed_image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib import (dmg_writer, lzfse_writer, recipes, recipes_bochs, recipes_cloop, recipes_dmg, recipes_parallels,  # noqa: E402
                 recipes_qcow, recipes_vhdx, recipes_vmdk, recipes_vpc, vhd_images, vmdk_writer)

QEMU_IMG = "/usr/bin/qemu-img"
DISK = "64k"

# Target: name of the seed, format, options.
QCOW2 = [
    ("v2", "compat=0.10,cluster_size=512"),
    ("small", "cluster_size=512,refcount_bits=1"),
    ("wide", "cluster_size=1024,refcount_bits=64"),
    ("extended", "cluster_size=16384,extended_l2=on"),
    ("zstd", "cluster_size=4096,compression_type=zstd"),
    ("zlib", "cluster_size=65536"),
    ("lazy", "cluster_size=512,lazy_refcounts=on"),
    ("backing", "cluster_size=512,backing_file=base.raw,backing_fmt=raw"),
    ("data", "cluster_size=4096,data_file=data.raw"),
]
LUKS = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.cipher-alg=aes-128,cluster_size=512"


def run(*arguments, folder):
    subprocess.run([str(argument) for argument in arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def qcow2_images(folder):
    (folder / "base.raw").write_bytes(b"base" * 16384)
    for name, options in QCOW2:
        run(QEMU_IMG, "create", "-f", "qcow2", "-o", options, name, DISK, folder=folder)
        writes = ["write -P 1 0 5k", "write -z 8k 4k", "write -P 2 40k 1k", "discard 1k 1k"]
        if name != "data":
            writes.append("write -c -P 3 16k 4k" if name != "zlib" else "write -c -P 3 0 64k")
        subprocess.run(["qemu-io", "-f", "qcow2", *[word for write in writes for word in ("-c", write)], name],
                       cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield name
        if name not in ("data", "small"):
            run(QEMU_IMG, "snapshot", "-c", "a snapshot", name, folder=folder)
            run("qemu-io", "-f", "qcow2", "-c", "write -P 4 10k 2k", name, folder=folder)
            yield name
        if name not in ("v2", "data"):
            run(QEMU_IMG, "bitmap", "--add", name, "a bitmap", folder=folder)
            run(QEMU_IMG, "bitmap", "--add", "-g", "512", name, "another", folder=folder)
            run("qemu-io", "-f", "qcow2", "-c", "write -P 5 30k 1k", name, folder=folder)
            yield name
    run(QEMU_IMG, "create", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o", LUKS, "luks", DISK, folder=folder)
    yield "luks"


def luks_images(folder):
    run(QEMU_IMG, "create", "-f", "luks", "--object", "secret,id=s,data=x", "-o",
        "key-secret=s,iter-time=10,cipher-alg=aes-128", "luks", DISK, folder=folder)
    yield "luks"


def made(*makers):
    """By recipes of the tests."""
    def images(folder):
        for maker in makers:
            maker(recipes.Maker(folder))
            yield "image"
    return images


def other_images(kind):
    """Of a format that needs no options."""
    def images(folder):
        run(QEMU_IMG, "create", "-f", kind, "image", DISK, folder=folder)
        run("qemu-io", "-f", kind, "-c", "write -P 1 0 5k", "-c", "write -P 2 40k 1k", "image", folder=folder)
        yield "image"
    return images


def vpc_images(folder):
    """Dynamic, fixed, and a differencing disk."""
    maker = recipes.Maker(folder)
    recipes_vpc.written(3 << 20, commands=("write -P 1 0 5k", "write -P 2 2M 1k"))(maker)
    yield "image"
    (folder / "image").rename(folder / "parent")
    recipes_vpc.written(3 << 20, commands=("write -P 3 4k 1k",))(maker)
    vhd_images.make_vhd_child(folder / "image", folder / "parent", "parent", {0: [0, 8, 9]})
    yield "image"
    recipes_vpc.written(1 << 20, "subformat=fixed", commands=("write -P 1 0 5k",))(maker)
    yield "image"


def vhdx_images(folder):
    """Dynamic, with a log of zeros and data, and a differencing disk."""
    maker = recipes.Maker(folder)
    recipes_vhdx.written(3 << 20, "block_size=1M", commands=("write -P 1 0 5k", "write -P 2 2M 1k"))(maker)
    yield "image"
    image = vhd_images.Vhdx(folder / "image")
    identifier = bytes(range(16))
    changes = [(image.bat, 4096), (image.metadata, bytes(image.data[image.metadata:image.metadata + 4096]))]
    image.set_log(identifier, [(0, vhd_images.log_entry(identifier, 1, 0, changes, len(image.data)))])
    image.save()
    yield "image"
    recipes_vhdx.written(3 << 20, "block_size=1M", commands=("write -P 1 0 5k",))(maker)
    vhd_images.make_vhdx_child(folder / "image", None, "{00000000-0000-0000-0000-000000000001}", "parent", {0: (7, [0, 8])})
    yield "image"


def vmdk_images(folder):
    """What is one file: sparse, streams, ESX's."""
    grains = {0: b"a" * 4096, 3: bytes(4096), 511: b"b" * 4096}
    makers = [recipes_vmdk.created(3 << 20), recipes_vmdk.created(1 << 20, "zeroed_grain=on"),
              recipes_vmdk.created(1 << 20, "subformat=monolithicFlat", io=False),
              recipes_vmdk.written({recipes_vmdk.NAME: vmdk_writer.stream(8 * 512, 8, grains)}),
              recipes_vmdk.written({recipes_vmdk.NAME: vmdk_writer.stream(8 * 512, 8, grains, footer=False, version=1)}),
              recipes_vmdk.written({recipes_vmdk.NAME: vmdk_writer.cowd(8 * 512, 8, grains)})]
    for make in makers:
        make(recipes.Maker(folder))
        yield recipes_vmdk.NAME


def changed_images(kind, *options):
    """Of a disk whose content is compared: what is damaged in its tables is for the fuzzer to find."""
    def images(folder):
        for number, choice in enumerate(options or ("",)):
            name = f"image{number}"
            run(QEMU_IMG, "create", "-f", kind, *(["-o", choice] if choice else []), name, "300k", folder=folder)
            run("qemu-io", "-f", kind, "-c", "write -P 1 0 5k", "-c", "write -P 2 240k 1k", name, folder=folder)
            yield name
    return images


def within_images(folder):
    """Small images within qcow2 images, some of these compressed."""
    for kind, options in (("qcow2", "cluster_size=512"), ("vmdk", ""), ("vdi", ""), ("vpc", "force_size=on"), ("parallels", ""),
                          ("qcow", ""), ("qcow2", "cluster_size=4096")):
        run(QEMU_IMG, "create", "-f", kind, *(["-o", options] if options else []), "inner", DISK, folder=folder)
        writes = ["write -P 1 0 5k", "write -P 2 40k 1k"] + (["write -c -P 3 16k 4k"] if kind == "qcow2" else [])
        run("qemu-io", "-f", kind, *[word for write in writes for word in ("-c", write)], "inner", folder=folder)
        run(QEMU_IMG, "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", "inner", "image", folder=folder)
        yield "image"
        run(QEMU_IMG, "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4096", "inner", "image", folder=folder)
        yield "image"


# A target of a format is a name of fuzz_formats in meson.build.
IMAGES = {"qcow2": qcow2_images, "qcow2_change": qcow2_images, "luks": luks_images,
          "bochs": made(recipes_bochs.redolog(2, 60 * 512, 4096), recipes_bochs.redolog(1, 512, 4096)),
          "cloop": made(recipes_cloop.blocks(4096, 9), recipes_cloop.blocks(1536, 5)),
          "dmg": made(recipes_dmg.all_types(), recipes_dmg.all_types(fork=True)),
          "parallels": made(recipes_parallels.recipes()[0].make, recipes_parallels.extension()),
          "parallels_change": changed_images("parallels", "cluster_size=4096", "cluster_size=65536"),
          "qcow_change": changed_images("qcow"), "qed_change": changed_images("qed", "cluster_size=4096,table_size=2", "cluster_size=65536"),
          "vdi_change": changed_images("vdi", "", "static=on"), "vhdx_change": changed_images("vhdx", "block_size=1M"),
          "vmdk_change": changed_images("vmdk", "", "zeroed_grain=on"),
          "vpc_change": changed_images("vpc", "force_size=on", "subformat=fixed,force_size=on"),
          "qcow": made(recipes_qcow.small), "vhdx": vhdx_images, "vmdk": vmdk_images, "vpc": vpc_images,
          "within": within_images}

# What is behind says nothing: keys that nobody has.
STORED_MAX = {"luks": 4096}

# What is done with each: the first choices (fuzz_image.c, fuzz_change.c).
READ_CHOICES = [bytes([0]), bytes([1]), bytes([1, 7, 0, 3, 0, 1, 0]), bytes([2])] + [bytes([3, i]) for i in range(6)] + [
    bytes([3, 5, flags]) for flags in (1, 3, 9, 17)]
CHANGE_CHOICES = [
    bytes([1, 4, 0, 0, 1, 4, 9, 0, 2, 0, 0, 0, 0, 1, 3, 0, 2, 4, 60, 0, 3]),
    bytes([1, 3, 0, 0, 0, 3, 1, 0, 0, 4, 1, 0, 0, 1, 0, 0, 255]),
    bytes([1, 5, 0, 0, 255, 6, 0, 0, 40, 3, 40, 0, 0]),
    bytes([0, 200, 0, 0, 0]), bytes([0, 20, 0, 0, 0]), bytes([0, 0, 4, 0, 1]), bytes([0, 0, 4, 0, 2]),
]


def image_inputs(target):
    choices = CHANGE_CHOICES if target.endswith("_change") else READ_CHOICES
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in IMAGES.get(target, other_images(target))(folder):
            image = (folder / name).read_bytes()
            for choice in choices:
                yield packed_image.pack(image, choice, STORED_MAX.get(target, packed_image.STORED_MAX))


def varint(value):
    encoded = b""
    while value > 0x7f:
        encoded += bytes([value & 0x7f | 0x80])
        value >>= 7
    return encoded + bytes([value])


def field(number, value):
    """A field of a message: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


# GuestMessages (abi/messages.proto): number in the oneof, fields.
def guest_messages():
    text = "ein Text \u202e".encode()
    init = [(1, b"image"), (2, 1), (3, 2)]
    info = [(1, 0), (2, b"qcow2"), (3, 1 << 30), (4, 65536), (7, 1), (9, 1), (10, b"base"), (11, 1), (12, b"raw")]
    extent = b"".join(field(number, value) for number, value in
                      [(1, 0), (2, 4096), (4, 1), (6, 1), (8, 1), (9, 327680), (10, 0)])
    later = b"".join(field(number, value) for number, value in [(1, 4096), (2, 4096), (5, 1)])
    details = [[(1, 1), (2, b"format-specific")], [(1, 6), (2, b"type"), (4, b"qcow2")], [(1, 1), (2, b"data")],
               [(1, 4), (2, b"lazy-refcounts"), (3, 1)], [(1, 5), (2, b"refcount-bits"), (3, 16)], [(1, 3)], [(1, 3)],
               [(1, 2), (2, b"snapshots")], [(1, 1)], [(1, 6), (2, b"id"), (4, b"1")], [(1, 3)], [(1, 3)]]
    failure = [(1, 4), (2, b"device 0"), (3, text), (4, 1)]
    yield [("init", init), ("info", info)] + [("detail", detail) for detail in details] + [("complete", [(1, 1)])]
    yield [("init", init), ("map", [(1, extent), (1, later)]), ("complete", [(1, 1), (2, 4096)])]
    yield [("init", init), ("finding", [(1, text)]), ("check", [(1, 1), (2, 2), (3, 3), (4, 1), (5, 9), (6, 5)])]
    yield [("init", init), ("warning", [(1, 1), (2, text)]), ("format", [(1, 0), (2, b"raw")]),
           ("progress", [(1, 1), (2, 2), (3, 512), (4, 1024)])]
    yield [("init", init), ("capacity", [(1, b"input"), (2, 9), (3, 512), (4, 4100)]),
           ("complete", [(5, b"".join(field(number, value) for number, value in failure))])]
    yield [("init", init), ("latency", [(1, text), (2, 5), (3, 6), (4, 7), (5, 8), (6, 9)]), ("open", [(1, text)])]


def proto_numbers(path):
    """The members of GuestMessage's oneof."""
    body = path.read_text().split("message GuestMessage {", 1)[1]
    return {line.split()[1]: int(line.split("=")[1].split(";")[0]) for line in body.splitlines() if "=" in line}


def event_inputs():
    numbers = proto_numbers(pathlib.Path(__file__).resolve().parents[2] / "abi/messages.proto")
    device = b"".join(field(number, value) for number, value in [(1, b"input"), (2, b"regular"), (3, 512), (4, 7)])
    kernel = b"".join(field(number, value) for number, value in [(1, b"exits"), (2, 0), (3, 9)])
    tail = [field(2, field(1, b"debug \x1b[2J")), field(3, field(1, 5) + field(15, device) + field(17, kernel)),
            field(5, field(1, 4711)), field(4, field(1, 1))]
    for messages in guest_messages():
        events = [field(1, field(numbers[kind], b"".join(field(*part) for part in parts)))
                  for kind, parts in messages]
        stream = b"".join(len(event).to_bytes(4, "little") + event for event in events + tail)
        for choice in (0, 1):
            pieces = [stream[i:i + 4096] for i in range(0, len(stream), 4096)]
            yield bytes([choice]) + b"".join(b"\xff" + piece for piece in pieces)


NAMES = {
    0: ["a.qcow2", "file:a:b", "host_device:/dev/x", "nbd://x/y", 'json:{"driver":"qcow2","file":{"driver":"file",'
        '"filename":"b"}}', 'json:{"file.filename":"b","read-only":true}', 'json:{"driver":"file","filename":"b"}',
        'json:{"a":{"b":{"c":{"d":{"e":1}}}}}', 'json:{"driver":"qcow2","file.filename":"\\u0000","x":null}'],
    1: ["driver=qcow2,file.filename=a,,b", "force-share,file.locking=off,file.filename=x",
        "driver=raw,file.driver=file,file.filename=x,node-name=y,file.aio=native,file.cache.direct=on", "nofoo"],
    2: ["cluster_size=64k,refcount_bits=16", "compat=v3,lazy_refcounts=on,extended_l2", "help", "a=,,b=,c,nod",
        "preallocation=falloc,data_file=d,data_file_raw=on", "subformat=monolithicFlat,adapter_type=ide,hwversion=6",
        "subformat=fixed,force_size=on", "nocow=on,extent_size_hint=1M"],
    3: ["snapshot.id=1,snapshot.name=a", "1.5G", "0x1000", "none", "writeback", "18446744073709551615", "7E", "-1"],
    4: ["a/b/../c", "../allowed/x", "/", "./.", "a//b/", "../../x"],
    5: ["plain", "\x1b[31mred\x1b[0m", "\u202eabc", "\u2028", "\u00ad\u200b", "\ufeff"],
}

CONFIGURATIONS = [
    "[limits]\nmax-time = 60\nmax-cpu=10\nmax-output = 10G\n\n[limits.inspect]\nmax-memory=64M\n",
    "# a comment\n[backing]\nallow = no\ndirectory = /tmp\n",
    "[sandbox]\nengine = process\n[limits.convert]\nmax-exits = 1000 ; more\n", "[limits]x\n", "key = value\n",
]

POLICY = ["a", "in/b", "../other/s", "out", "all/etc/passwd", "f", "in", "file:a", ".h", "in/up/a", "images/a",
          "./in/../a", "/proc/self/fd/0", "a\0b", "images/in/up/out", "in/up/../images/a"]


def text_inputs(target):
    if target == "names":
        for kind, texts in NAMES.items():
            for text in texts:
                yield bytes([kind]) + text.encode()
    elif target == "configuration":
        for text in CONFIGURATIONS:
            yield text.encode()
    else:
        for name in POLICY:
            for choices in (0, 1, 2, 4, 8):
                yield bytes([choices]) + name.encode()


OPENINGS = ["a", "k", "in/b", "d", "o", "i-f.vmdk", "i.vmdk", "l", ".h", "../images/a", "file:in/b", "in/../a", "missing", "",
            "in/i.vmdk", "../other/s", "nbd:a", "a\0b"]


def opening_inputs():
    """Chains of questions: what is asked, the number of a device and a use, and a name."""
    choice = random.Random(17)
    for choices in (0, 1, 4, 5, 7, 13, 0x15, 0x35, 0x75, 0x7d, 0xfd, 0x84, 0x94):
        for _ in range(6):
            content = bytes([choices])
            for number in range(choice.randrange(1, 8)):
                name = choice.choice(OPENINGS).encode()
                content += bytes([choice.choice([0, 0, 1, number + 1]) | choice.choice([0, 16, 32]), len(name)]) + name
            yield content


def descriptor(address, length, flags, following):
    return address.to_bytes(8, "little") + length.to_bytes(4, "little") + flags.to_bytes(2, "little") + \
        following.to_bytes(2, "little")


def request(kind, sector, data_len, is_read, data=b"", argument=0):
    """Memory of a disk's half from its start: descriptors, the ring, and at 2048 what the request consists of."""
    def head(disk):
        start = disk * 32768
        table = descriptor(start + 2048, 16, 1, 1)
        if data_len:
            table += descriptor(start + 4096, data_len, 3 if is_read else 1, 2)
        else:
            table = descriptor(start + 2048, 16, 1, 2) + bytes(16)
        table += descriptor(start + 3072, 1, 2, 0)
        header = kind.to_bytes(4, "little") + argument.to_bytes(4, "little") + sector.to_bytes(8, "little")
        return table.ljust(2048, b"\0") + header.ljust(2048, b"\0") + data
    return head


def virtio_blk_inputs():
    copy = (0).to_bytes(4, "little") + (0).to_bytes(4, "little") + bytes(16) + (4096).to_bytes(8, "little")
    zone = (4).to_bytes(8, "little") + (8).to_bytes(4, "little") + bytes(4)
    kinds = [(0, 0, 4096, True, b""), (1, 8, 512, False, b"x" * 512), (4, 0, 0, False, b""), (8, 0, 20, True, b""),
             (11, 0, 16, False, zone), (13, 0, 16, False, zone), (13, 0, 16, False, zone[:12] + b"\1\0\0\0")]
    header = (pathlib.Path(__file__).resolve().parents[2] / "abi/virtio_blk.h").read_text()
    for line in header.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "#define" and words[1].startswith("VIRTIO_BLK_T_INSTAR_"):
            number = int(words[2].rstrip("u)").lstrip("("), 0)
            for length in (8, 16, 24, 32, 40):
                kinds.append((number, 0, length, False, copy[:length].ljust(length, b"\0")))
            kinds.append((number, 0, 4096, True, b""))
    for kind in kinds:
        for disk in (0, 1):
            for features in (0, 3, 4):
                memory = request(*kind)(disk)
                yield bytes([features, 0]) + bytes([disk, 1]) + (0).to_bytes(2, "little") + \
                    len(memory).to_bytes(2, "little") + memory


def mailbox_inputs():
    def port(index, is_read, data, width_bit=0):
        return bytes([1 | (2 if is_read else 0) | width_bit << 2 | index << 3, len(data)]) + data
    frame = (5).to_bytes(4, "little") + b"hello"
    yield port(0, False, frame) + port(2, False, b"a line\n") + port(1, True, b"") + port(7, False, b"\0")
    yield port(5, False, b"\1") + port(6, False, b"\0") + port(0, True, b"1234")

    def register(device, off, value):
        return bytes([4 | device << 3]) + off.to_bytes(2, "little") + value.to_bytes(4, "little")
    handshake = [(0x70, 1), (0x70, 3), (0x24, 1), (0x20, 1), (0x24, 0), (0x20, 0x200), (0x70, 11), (0x30, 0), (0x38, 16),
                 (0x80, 0), (0x84, 1), (0x90, 512), (0x94, 1), (0xa0, 1024), (0xa4, 1), (0x44, 1), (0x70, 15),
                 (0x50, 0), (0x64, 1), (0x44, 0), (0x70, 0)]
    for device in (0, 1):
        yield b"".join(register(device, off, value) for off, value in handshake)


def deflate_part(choice):
    """As fuzz_deflate.c reads it: bytes, a copy, a run, or noise."""
    kind = choice.randrange(4)
    lengths = [1, 2, 3, 257, 258, 259, 4096, 8191, 8192, 8193, 20000, 65535, *range(4, 400, 20)]
    length = choice.choice(lengths if kind else lengths[:6])
    if kind == 0:
        letters = choice.choice([b"ab", b"etaoin shrdlu\n", bytes(range(256))])
        return bytes([0]) + length.to_bytes(2, "little") + bytes(choice.choices(letters, k=length))
    value = choice.choice([0, 1, 254, 1023, 1024, 3833, 4094, 4095, 4096]) if kind == 1 else choice.randrange(65536)
    return bytes([kind]) + length.to_bytes(2, "little") + value.to_bytes(2, "little")


def expand_inputs():
    """As fuzz_expand.c reads them: which codec, lengths of the unit and of steps, a stream."""
    kinds = [(0, dmg_writer.ENCODERS[dmg_writer.ADC]), (1, dmg_writer.ENCODERS[dmg_writer.ZLIB]),
             (2, dmg_writer.ENCODERS[dmg_writer.BZIP2]), (4, dmg_writer.ENCODERS[dmg_writer.LZMA])]
    kinds += [(3, lambda data, kind=kind: lzfse_writer.lzfse(data, kind, 1300)) for kind in ("2", "n", "-", "2n-")]
    for number, (kind, encode) in enumerate(kinds):
        for length, in_len, out_len in ((4000, 1, 700), (1500, 500, 1), (3000, 65536, 65536), (1, 13, 13)):
            stream = encode(dmg_writer.content(length, number))
            for changed in (stream, stream[:len(stream) // 2], stream[:-1], stream[:9] + b"\xff\0" + stream[11:],
                            stream[:len(stream) // 2] + b"\x80\x7f" + stream[len(stream) // 2 + 2:]):
                yield struct.pack("<BIHH", kind, length - 1, in_len - 1, out_len - 1) + changed


def deflate_inputs():
    choice = random.Random(11)
    for level in range(12):
        for count in (1, 3, 12, 40):
            steps = [choice.choice([0, 1, 511, 1023, 4095]).to_bytes(2, "little") for _ in range(2)]
            parts = [deflate_part(choice) for _ in range(count)]
            yield bytes([level]) + b"".join(steps) + bytes([choice.randrange(256)]) + b"".join(parts)


def luks2_metadata_inputs():
    """JSON texts: of a volume as cryptsetup makes it, with each way to make keys, and some that have more."""
    area = {"type": "raw", "offset": "32768", "size": "258048", "encryption": "aes-xts-plain64", "key_size": 64}
    kdfs = [{"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": "AAECAwQFBgcICQoLDA0ODw=="},
            {"type": "argon2id", "time": 4, "memory": 1048576, "cpus": 4, "salt": "AAECAwQFBgcICQoLDA0ODw=="},
            {"type": "argon2i", "time": 1, "memory": 64, "cpus": 1, "salt": "AAECAwQFBgcICQoLDA0ODw=="}]
    slots = [{"type": "luks2", "key_size": 64, "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"}, "area": area, "kdf": kdf} for kdf in kdfs]
    slots.append({"type": "reencrypt", "key_size": 1, "mode": "reencrypt", "direction": "forward", "priority": 0, "area": dict(area, type="none")})
    segment = {"type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0", "encryption": "aes-xts-plain64", "sector_size": 4096}
    more = {"0": dict(segment, size="4096", encryption="aes-cbc-essiv:sha256"), "1": {"type": "linear", "offset": "16781312", "size": "512"},
            "2": dict(segment, sector_size=512), "3": dict(segment, flags=["backup-previous"])}
    digest = {"type": "pbkdf2", "keyslots": ["0", "1", "2"], "segments": ["0", "2"], "hash": "sha256", "iterations": 1000, "salt": "AAECAw==", "digest": "AAECAw=="}
    config = {"json_size": "12288", "keyslots_size": "16744448", "requirements": {"mandatory": ["online-reencrypt-v2"]}}
    for count in range(1, len(slots) + 1):
        placed = {f"{i}": dict(slot, area=dict(slot["area"], offset=f"{32768 + i * 258048}")) for i, slot in enumerate(slots[:count])}
        for segments in ({"0": segment}, more, {}):
            metadata = {"keyslots": placed, "tokens": {}, "segments": segments, "digests": {"0": digest}, "config": config}
            yield json.dumps(metadata, separators=(",", ":")).encode()
    yield json.dumps(metadata, indent=1).replace("/", "\\/").encode()
    yield from (b"", b"{}", b"[]", b"{" * 20, b'{"a":' * 20 + b"1" + b"}" * 20, b'{"a":[' + b"0," * 5000 + b"0]}", b'{"a":"\\', b'{"a":"\\u0041"}x')


def luks_key_inputs():
    """As fuzz_luks_key.c reads them: what is done, how many edits, where the file is cut; edits; what amend is to do."""
    edits = [b"", b"\x01\xd4\0\0\xff\xff\xff\xff", b"\x03\xd0\0\0\x02\0\0\0", b"\x02\xf8\0\0\x08\0\0\0", b"\0\x6c\0\0\x10\0\0\0", b"\x02\x68\0\0\0\x10\0\0",
             b"\x03\0\x01\0\x02\0\0\0", b"\0\x10\x20\0\x01\0\0\0"]
    for choice in range(8):
        for change in edits:
            for more in (bytes([0, 0, 0, 0]), bytes([1, 0, 0, 1]), bytes([1, 1, 3, 1]), bytes([1, 2, 0, 0]), bytes([1, 3, 0, 0]), bytes([0, 1, 0, 0])):
                yield bytes([choice, 1 if change else 0, 0, 0]) + change + more
    yield b"\0\0\x20\0"


def inputs(target):
    """All inputs to begin with, of a target."""
    if target == "events":
        return event_inputs()
    if target in ("names", "configuration", "policy"):
        return text_inputs(target)
    if target == "openings":
        return opening_inputs()
    if target == "virtio_blk":
        return virtio_blk_inputs()
    if target == "mailbox":
        return mailbox_inputs()
    if target == "luks2_metadata":
        return luks2_metadata_inputs()
    if target == "luks_key":
        return luks_key_inputs()
    if target == "deflate":
        return deflate_inputs()
    if target == "expand":
        return expand_inputs()
    return image_inputs(target)
