# SPDX-License-Identifier: Apache-2.0
"""LUKS of version 2, which qemu-img does not know: headers are cryptsetup's, contents are encrypted by Python's cryptography, or by
qemu-img before cryptsetup has turned version 1 into version 2; and what hostile metadata comes to."""

import hashlib
import json
import struct

from lib import daily, encrypted, oracle
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
HEADER_LEN = 16384
DATA_OFF = MIB
SECTOR_LEN = 512
SECRET = encrypted.SECRET
FORM = encrypted.FORMS["luks"]
TOOL = ("cryptsetup", "-q", "--disable-locks", "--key-file", "first")
KDFS = {"pbkdf2": ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"),
        "pbkdf2 sha512": ("--pbkdf", "pbkdf2", "--hash", "sha512", "--pbkdf-force-iterations", "1000"),
        "argon2i": ("--pbkdf", "argon2i", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "64", "--pbkdf-parallel", "1"),
        "argon2id": ("--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "1024", "--pbkdf-parallel", "4")}
CIPHERS = {"aes-xts-plain64": (256, 512), "aes-xts-plain": (512,), "aes-cbc-essiv:sha256": (128, 256), "aes-cbc-plain64": (256,)}
CASES = [f"{kdf}, {cipher}, {bits}, {sector}" for kdf in KDFS for cipher, lengths in CIPHERS.items() for bits in lengths
         for sector in (512, 1024, 2048, 4096)]


def encrypt(key, cipher, sector_len, data, first_number=0):
    """As dm-crypt does: the IV counts sectors of 512 bytes, whatever the length of those that are encrypted."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    result = bytearray()
    for off in range(0, len(data), sector_len):
        iv = (first_number + off // SECTOR_LEN).to_bytes(8, "little").ljust(16, b"\0")
        if "essiv" in cipher:
            iv = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor().update(iv)
        mode = modes.XTS(iv) if "xts" in cipher else modes.CBC(iv)
        result += Cipher(algorithms.AES(key), mode).encryptor().update(data[off:off + sector_len])
    return bytes(result)


def content(length):
    return b"".join(hashlib.sha256(bytes([17, i % 251, i // 251])).digest() * 128 for i in range(length // 4096))


def volume_make(context, kdf="pbkdf2", cipher="aes-xts-plain64", bits=512, sector_len=512, length=64 << 10):
    """A volume "image" with the content of "plain"; returns its key."""
    (context.directory / "first").write_bytes(b"geheim")
    (context.directory / "key").unlink(missing_ok=True)
    with open(context.directory / "image", "wb") as file:
        file.truncate(DATA_OFF + length)
    options = ("--luks2-metadata-size", f"{HEADER_LEN}", "--luks2-keyslots-size", "512k", "--offset", f"{DATA_OFF // SECTOR_LEN}")
    run(context, *TOOL, "luksFormat", "--type", "luks2", *KDFS[kdf], "-c", cipher, "-s", bits, "--sector-size", sector_len, *options, "image")
    run(context, *TOOL, "luksDump", "--dump-volume-key", "--volume-key-file", "key", "image")
    key, plain = (context.directory / "key").read_bytes(), content(length)
    with open(context.directory / "image", "r+b") as file:
        file.seek(DATA_OFF)
        file.write(encrypt(key, cipher, sector_len, plain))
    (context.directory / "plain").write_bytes(plain)
    return key


def run(context, *arguments):
    return oracle.run(*arguments, cwd=context.directory)


def expect_plain(context):
    encrypted.expect_plain(context, "--image-opts", FORM)


@test(cases=daily.sample("luks2 volumes", CASES, 3))
def volumes(context, case):
    kdf, cipher, bits, sector_len = case.split(", ")
    volume_make(context, kdf, cipher, int(bits), int(sector_len))
    expect_plain(context)


@test()
def commands(context):
    """All that only reads; what changes it is refused; several key slots, of which one is not to be tried."""
    volume_make(context, sector_len=4096)
    own, size = context.qemu_img_beside, (context.directory / "plain").stat().st_size
    (context.directory / "second").write_bytes(b"neu")
    run(context, *TOOL, "luksAddKey", *KDFS["argon2id"], "image", "second")
    other = ("--object", "secret,id=s,data=neu")
    context.run([own, "compare", *other, "--image-opts", FORM, "driver=raw,file.filename=plain"]).expect()
    told = json.loads(context.run([own, "map", "--output=json", *SECRET, "--image-opts", FORM]).expect().stdout)
    if [(extent["start"], extent["length"], extent["data"]) for extent in told] != [(0, size, True)]:
        raise Failure(f"map: {told}")
    info = json.loads(context.run([own, "info", "--output=json", "-f", "luks", "image"]).expect().stdout)
    data, found = info["format-specific"]["data"], json.loads(run(context, "cryptsetup", "luksDump", "--dump-json-metadata", "image").stdout)
    slots = [(slot["id"], slot["kdf"], slot["key-offset"]) for slot in data["slots"]]
    wanted = [(int(name), slot["kdf"]["type"], int(slot["area"]["offset"])) for name, slot in found["keyslots"].items()]
    if info["virtual-size"] != size or slots != wanted or data["segments"][0]["sector-size"] != 4096:
        raise Failure(f"info: {info}\n{found}")
    context.run([own, "dd", *SECRET, "--image-opts", "-O", "raw", f"if={FORM}", "of=part", "bs=700", "skip=3", "count=20"]).expect()
    if (context.directory / "part").read_bytes()[:11900] != (context.directory / "plain").read_bytes()[2100:14000]:
        raise Failure("dd: another content")
    context.run([own, "bench", "-c", "4", "-s", "512", *SECRET, "--image-opts", FORM]).expect()
    before = (context.directory / "image").read_bytes()
    for refused in (("resize", *SECRET, "--image-opts", FORM, "1M"), ("bench", "-w", "-c", "1", *SECRET, "--image-opts", FORM),
                    ("convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", FORM),
                    ("amend", *SECRET, "--image-opts", FORM, "-o", "state=inactive,keyslot=0")):
        completed = context.run([own, *refused]).expect(1)
        if "version 2 is not supported" not in completed.stderr or len(completed.stderr.splitlines()) != 1:
            raise Failure(completed.describe("it is not refused as what it is"))
    if (context.directory / "image").read_bytes() != before:
        raise Failure("what is refused has changed the volume")
    run(context, *TOOL, "config", "--key-slot", "1", "--priority", "ignore", "image")
    completed = context.run([own, "convert", *other, "--image-opts", FORM, "-O", "raw", "own"]).expect(1)
    if "Invalid password, cannot unlock any keyslot" not in completed.stderr:
        raise Failure(completed.describe("a slot of no priority is tried"))


@test(cases=daily.sample("luks2 converted", ["aes-xts-plain64 256", "aes-xts-plain 512", "aes-cbc-plain 128", "aes-cbc-plain64 256", "aes-cbc-essiv:sha256 256"], 1))
def converted(context, case):
    """A volume of version 1 with qemu-img's content, which cryptsetup makes one of version 2."""
    cipher, bits = case.split()
    plain = content(256 << 10)
    for name, data in (("first", b"geheim"), ("plain", plain), ("image", bytes((2 << 20) + len(plain)))):
        (context.directory / name).write_bytes(data)
    run(context, *TOOL, "luksFormat", "--type", "luks1", "--pbkdf-force-iterations", "1000", "-c", cipher, "-s", bits, "--offset", "4096", "image")
    run(context, encrypted.REFERENCE, "convert", "-n", "-f", "raw", *SECRET, "--target-image-opts", "plain", FORM)
    run(context, *TOOL, "convert", "--type", "luks2", "image")
    if run(context, "cryptsetup", "luksDump", "image").stdout.split()[4] != "2":
        raise Failure("the volume is not of version 2")
    expect_plain(context)


def json_of(image):
    return json.loads(image[4096:HEADER_LEN].rstrip(b"\0"))


def copies_set(context, image, text, sequence=(1000, 1000), spoiled=()):
    """Both copies of the header with this JSON text, and checksums that are right, but for those of `spoiled`."""
    image = bytearray(image)
    for number, off in enumerate((0, HEADER_LEN)):
        head = bytearray(image[off:off + 4096])
        struct.pack_into(">Q", head, 16, sequence[number])
        head[448:512] = bytes(64)
        area = text[number].ljust(HEADER_LEN - 4096, b"\0")
        head[448:480] = hashlib.sha256(bytes(head) + area).digest()
        if number in spoiled:
            head[449] ^= 1
        image[off:off + HEADER_LEN] = head + area
    (context.directory / "image").write_bytes(image)


@test()
def copies(context):
    """The copy that counts is the sound one with the higher sequence id; without a first one there is the second."""
    volume_make(context)
    image = (context.directory / "image").read_bytes()
    sound = json.dumps(json_of(image)).encode()
    other = sound.replace(b'"offset": "1048576"', b'"offset": "1052672"')  # has another content, or none
    for name, text, sequence, spoiled in (("first", (sound, other), (7, 7), ()), ("newer second", (other, sound), (7, 8), ()),
                                          ("spoiled first", (other, sound), (9, 8), (0,)), ("spoiled second", (sound, other), (7, 9), (1,))):
        copies_set(context, image, text, sequence, spoiled)
        if encrypted.own_content(context, "--image-opts", FORM) != (context.directory / "plain").read_bytes():
            raise Failure(f"{name}: another content")
    copies_set(context, image, (sound, sound), (7, 7))
    with open(context.directory / "image", "r+b") as file:
        file.write(bytes(4096))
    expect_plain(context)


@test()
def segments(context):
    """Several, with keys, IVs and sectors of their own, and one that is not encrypted."""
    key = volume_make(context, length=128 << 10)
    image = bytearray((context.directory / "image").read_bytes())
    plain = (context.directory / "plain").read_bytes()
    metadata = json_of(image)
    one = metadata["segments"]["0"]
    parts = [(16384, 4096, 0, True), (8192, 512, 777, True), (4096, 512, 0, False), (None, 512, 1 << 40, True)]
    off, voff, metadata["segments"] = DATA_OFF + 4096, 0, {}
    for number, (length, sector_len, tweak, is_encrypted) in enumerate(parts):
        end = voff + length if length else 65536
        data = plain[voff:end]
        image[off:off + len(data)] = encrypt(key, "aes-xts-plain64", sector_len, data, tweak) if is_encrypted else data
        segment = dict(one, offset=f"{off}", size=f"{length}" if length else "dynamic", iv_tweak=f"{tweak}", sector_size=sector_len)
        metadata["segments"][f"{number}"] = segment if is_encrypted else {"type": "linear", "offset": f"{off}", "size": f"{length}"}
        off, voff = off + len(data) + (8192 if length else 0), end
    metadata["segments"]["7"] = dict(one, flags=["backup-previous"])
    metadata["digests"]["0"]["segments"] = ["0", "1", "3", "7"]
    metadata["config"]["requirements"] = {"mandatory": ["online-reencrypt-v2"]}
    copies_set(context, image[:off], [json.dumps(metadata).encode()] * 2)
    (context.directory / "plain").write_bytes(plain[:65536])
    expect_plain(context)
    context.run([context.qemu_img_beside, "dd", *SECRET, "--image-opts", "-O", "raw", f"if={FORM}", "of=part", "bs=1000", "skip=15", "count=20"]).expect()
    if (context.directory / "part").read_bytes()[:5000] != plain[15000:20000]:
        raise Failure("dd over the ends of segments: another content")


@test()
def detached(context):
    """A header in a file of its own, of either version: qemu-img 7.2 knows none, so they are taken from images as those are."""
    volume_make(context)
    image = (context.directory / "image").read_bytes()
    metadata = json_of(image)
    metadata["segments"]["0"]["offset"] = "0"
    copies_set(context, image, [json.dumps(metadata).encode()] * 2)
    (context.directory / "header").write_bytes((context.directory / "image").read_bytes()[:DATA_OFF])
    (context.directory / "image").write_bytes(image[DATA_OFF:])
    for node in ("header.filename=header", "header.driver=raw,header.file.driver=file,header.file.filename=header"):
        encrypted.expect_plain(context, "--image-opts", f"{FORM},{node}")
    (context.directory / "image").unlink()
    encrypted.content_make(context)
    encrypted.image_make(context, "luks")
    image = bytearray((context.directory / "image").read_bytes())
    payload_off = struct.unpack_from(">I", image, 104)[0] * SECTOR_LEN
    struct.pack_into(">I", image, 104, 0)
    (context.directory / "header").write_bytes(image[:payload_off])
    (context.directory / "image").write_bytes(image[payload_off:])
    form = f"{FORM},header.filename=header"
    encrypted.expect_plain(context, "--image-opts", form)
    own = context.qemu_img_beside
    info = json.loads(context.run([own, "info", "--output=json", "--image-opts", form]).expect().stdout)
    data = info["format-specific"]["data"]
    if info["virtual-size"] != encrypted.DISK_LEN or not data["detached-header"] or data["payload-offset"] != 0:
        raise Failure(f"info: {info}")
    for told, words in (("payload is overlapping", ("convert", *SECRET, "--image-opts", "driver=luks,key-secret=s,file.filename=header", "own")),
                        ("not in LUKS format", ("convert", *SECRET, "--image-opts", f"{FORM},header.filename=plain", "own")),
                        ("No such file", ("convert", *SECRET, "--image-opts", f"{FORM},header.filename=missing", "own"))):
        completed = context.run([own, *words]).expect(1)
        if told not in completed.stderr or len(completed.stderr.splitlines()) != 1:
            raise Failure(completed.describe(f"not one line with {told!r}"))


def put(*path):
    """A change of the metadata: the last of the path is the new value, None takes the member away."""
    def change(metadata):
        *keys, last, value = path
        for key in keys:
            metadata = metadata[key]
        if value is None:
            del metadata[last]
        else:
            metadata[last] = value
    return change


SLOT = ("keyslots", "0")
# What is changed of the metadata, and a part of the line that says so; bytes are a text in the place of it.
HOSTILE = [
    (b"", "no value"), (b"[]", "no object"), (b"{" * 5000, "no text"), (b'{"a":' * 1000, "within more than 16 others"), (b"[" * 9000, "within more than 16"),
    (b'{"a":[' + b"0," * 5000 + b"0]}", "json_size|config|more than 8192"), (b'{"a":[' + b"0," * 5900 + b"0]} ", "config"), (b'{"a":"', "does not end"),
    (b'{"a":"\\', "does not end"), (b'{"a":1}x', "behind the object"), (b'{"a":1}\0x', "behind the JSON text"), (b"{}", "config"),
    (put("config", "json_size", "4096"), "json_size"), (put("config", "keyslots_size", "18446744073709551615"), "keyslots_size"),
    (put("config", "keyslots_size", "18446744073709547520"), "keyslots_size"), (put("config", "keyslots_size", "99999999999999999999999"), "keyslots_size"),
    (put("config", "requirements", {"mandatory": ["tomorrow"]}), "requires 'tomorrow'"), (put(*SLOT, "key_size", 4294967296), "key_size"),
    (put(*SLOT, "key_size", 0), "key_size"), (put(*SLOT, "af", "stripes", 4294967295), "stripes"), (put(*SLOT, "af", "hash", "crc"), "'crc'"),
    (put(*SLOT, "area", "offset", "16384"), "not where key slots are"), (put(*SLOT, "area", "offset", "18446744073709551104"), "not where"),
    (put(*SLOT, "area", "size", "4096"), "too small"), (put(*SLOT, "area", "size", "18446744073709551615"), "not where"), (put(*SLOT, "area", "encryption", "rot-13"), "rot|13"),
    (put(*SLOT, "area", "key_size", 63), "key size"), (put(*SLOT, "kdf", "iterations", 4294967295), "4294968295 iterations of PBKDF2|iterations of PBKDF2 together"),
    (put(*SLOT, "kdf", "iterations", 0), "iterations"), (put(*SLOT, "kdf", "salt", "A" * 5000), "salt"), (put(*SLOT, "kdf", "salt", "?"), "salt"),
    (put(*SLOT, "kdf", {"type": "argon2id", "time": 1, "memory": 4294967295, "cpus": 1, "salt": "AAAAAAAAAAAAAAAA"}), "Argon2 over more memory"),
    (put(*SLOT, "kdf", {"type": "argon2id", "time": 1, "memory": 4 << 20, "cpus": 1, "salt": "AAAAAAAAAAAAAAAA"}), "takes 4194304 KiB of memory"),
    (put(*SLOT, "kdf", {"type": "argon2id", "time": 4294967295, "memory": 4294967295, "cpus": 1, "salt": "AAAAAAAAAAAAAAAA"}), "Argon2 over more memory"),
    (put(*SLOT, "kdf", {"type": "argon2i", "time": 1, "memory": 64, "cpus": 4294967295, "salt": "AAAAAAAAAAAAAAAA"}), "cpus"),
    (put(*SLOT, "kdf", {"type": "argon2i", "time": 1, "memory": 64, "cpus": 1, "salt": "AAAA"}), "salt"), (put(*SLOT, "kdf", {"type": "scrypt", "salt": "AAAA"}), "'scrypt'"),
    (put("keyslots", "32", {}), "number"), (put("keyslots", "x", {}), "number"), (put("keyslots", {}), "no keyslot has its key"), (put("segments", {}), "no segments"),
    (put("segments", "0", "offset", "4096"), "overlapping with the header"), (put("segments", "0", "offset", "1048577"), "sectors"),
    (put("segments", "0", "offset", "9223372036854774784"), "behind the end"), (put("segments", "0", "size", "18446744073709551104"), "behind the end"),
    (put("segments", "0", "size", "0"), "size"), (put("segments", "0", "sector_size", 3), "sector_size"), (put("segments", "0", "sector_size", 1 << 31), "sector_size"),
    (put("segments", "0", "type", "opal"), "'opal'"), (put("segments", "0", "flags", ["in-reencryption"]), "encrypted anew"), (put("segments", "0", "integrity", {}), "integrity"),
    (put("segments", "1", {"type": "linear", "offset": "1048576", "size": "512"}), "goes on to the end"), (put("segments", "0", "encryption", "serpent-xts-plain64\\u0000"), "encryption|serpent"),
    (put("digests", {}), "no keyslot has its key"), (put("digests", "0", "iterations", 4294967295), "iterations of PBKDF2"), (put("digests", "0", "type", "x"), "PBKDF2"),
    (put("digests", "0", "digest", ""), "digest"), (put("digests", "0", "keyslots", None), "keyslots"), (put("digests", "0", "segments", ["99999999999999999999"]), "segments"),
]


def overlapping(metadata):
    metadata["keyslots"]["1"] = metadata["keyslots"]["0"]


def many_slots(metadata):
    """Each for itself is within all bounds."""
    slot = metadata["keyslots"]["0"]
    slot["kdf"] = {"type": "argon2id", "time": 1 << 12, "memory": 8192, "cpus": 1, "salt": "AAAAAAAAAAAAAAAA"}
    slot["af"]["stripes"], slot["area"]["size"] = 1, "4096"
    metadata["keyslots"] = {f"{i}": dict(slot, area=dict(slot["area"], offset=f"{32768 + 4096 * i}")) for i in range(8)}
    metadata["digests"]["0"]["keyslots"] = list(metadata["keyslots"])


HOSTILE += [(overlapping, "overlapping"), (many_slots, "Argon2 over more memory")]


@test()
def hostile(context):
    """One line, at once, and nothing is left of the output."""
    volume_make(context)
    image = (context.directory / "image").read_bytes()
    wrong = []
    for change, told in daily.sample("luks2 hostile", HOSTILE, 16, context.share):
        if isinstance(change, bytes):
            text = change
        else:
            metadata = json_of(image)
            change(metadata)
            text = json.dumps(metadata).encode().replace(b"\\\\u", b"\\u")
        copies_set(context, image, [text] * 2)
        own = context.run([context.qemu_img_beside, "convert", *SECRET, "--image-opts", FORM, "-O", "raw", "out"])
        if own.status != 1 or len(own.stderr.splitlines()) != 1 or not any(part in own.stderr for part in told.split("|")) or (context.directory / "out").exists():
            wrong.append(own.describe(f"{text[:60]}: not one line with {told!r}"))
    if wrong:
        raise Failure("\n".join(wrong))
