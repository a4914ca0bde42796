# SPDX-License-Identifier: Apache-2.0
"""Files that images name: a guest asks for them one by one (tests/conformance/open_files.c), the policy decides.

The guest learns that a file is refused, not why. The reason is for the user, when the guest fails for it: then one name
is NEEDED, and the error line has it.
"""

import os
import socket

from lib import users
from lib.python_tests import test
from lib.suite import Failure

NEEDED = 0x80
REFUSED = "refused: error 10, the host does not give the file"
NOT_OPENED = "refused: error 2, the host does not give the file"
INPUT, LATE_FIRST = 0, 2
DEVICES = 8  # that a guest of instar-vmm may ask for


def requests(*names):
    """The list that the guest reads: names, asked for by the input, or (device, name)."""
    content = b""
    for name in names:
        device, text = name if isinstance(name, tuple) else (INPUT, name)
        encoded = text if isinstance(text, bytes) else text.encode()
        content += bytes([device]) + len(encoded).to_bytes(2, "little") + encoded
    return content


def ask(context, names, *options):
    """Runs the guest on an image in images/ that names these files."""
    images = context.directory / "images"
    images.mkdir(exist_ok=True)
    (images / "in").write_bytes(requests(*names))
    guest = context.build.conformance / "open_files.bin"
    policy = ["--backing=beside"] if not {"--no-backing", "--backing=no"} & set(options) else []
    return context.vmm(guest, "--debug", *policy, *options, source="images/in")


def answers(context, names, *options, status=0):
    """The guest's debug lines."""
    completed = ask(context, names, *options).expect(status)
    return [line.removeprefix("debug: ") for line in completed.stderr.splitlines() if line.startswith("debug: ")]


def expect(lines, *patterns):
    if len(lines) != len(patterns) or not all(pattern in line for line, pattern in zip(lines, patterns)):
        raise Failure("answers:\n" + "\n".join(lines) + "\nexpected:\n" + "\n".join(patterns))


def tree(context):
    """images/ with a file, a directory and links; outside/ with a secret."""
    images, outside = context.directory / "images", context.directory / "outside"
    (images / "below").mkdir(parents=True)
    outside.mkdir()
    (images / "base").write_bytes(b"the base")
    (images / "below" / "deep").write_bytes(b"the deep one")
    (outside / "secret").write_bytes(b"the secret")
    (images / "link-inside").symlink_to("below/deep")
    (images / "link-outside").symlink_to("../outside/secret")
    (images / "link-absolute").symlink_to(outside / "secret")
    (images / "directory-outside").symlink_to("../outside")
    return images, outside


@test()
def files_beside_the_image(context):
    images, _ = tree(context)
    lines = answers(context, ["base", "below/deep", "below/../base", "link-inside", f"{images}/base", "file:base"])
    expect(lines, "granted: device 2, 8 bytes: the base", "granted: device 3, 12 bytes: the deep one",
           "granted: device 4, 8 bytes: the base", "granted: device 5, 12 bytes: the deep one",
           "granted: device 6, 8 bytes: the base", "granted: device 7, 8 bytes: the base")


@test()
def files_elsewhere(context):
    _, outside = tree(context)
    names = ["../outside/secret", f"{outside}/secret", "/etc/passwd", "/proc/self/environ", "below/../../outside/secret"]
    expect(answers(context, names), *[REFUSED] * len(names))


@test()
def none_of_the_images_business(context):
    """The guest cannot tell what is not for it from what is not there."""
    images, _ = tree(context)
    (images / ".hidden").write_bytes(b"hidden")
    (images / ".ssh").mkdir()
    (images / ".ssh" / "id_rsa").write_bytes(b"a key")
    (images / "link-hidden").symlink_to(".hidden")
    (images / "two-names").write_bytes(b"x")
    os.link(images / "two-names", images / "other-name")
    names = ["link-outside", "link-absolute", "directory-outside/secret", ".hidden", ".ssh/id_rsa", "link-hidden",
             "two-names", "missing"]
    if users.is_root():
        (images / "of-another-user").write_bytes(b"x")
        os.chown(images / "of-another-user", 1234, 1234)
        names.append("of-another-user")
    expect(answers(context, names), *[NOT_OPENED] * len(names))
    lines = {ask(context, [(INPUT | NEEDED, name)]).expect(1).stderr.splitlines()[-1].replace(name, "NAME") for name in names}
    if len(lines) != 1:
        raise Failure("the user learns more:\n" + "\n".join(sorted(lines)))


@test()
def nowhere_by_default(context):
    images, _ = tree(context)
    for name in ("base", "missing", f"{images}/base"):
        completed = ask(context, [name], "--backing=no")
        completed.expect_error("images/in: ")
        completed.expect_error("--backing=beside")
    ask(context, ["/etc/passwd"], "--backing=no").expect_error("--backing-dir /etc")


@test()
def files_by_name(context):
    _, outside = tree(context)
    names = ["base", "below/../base", "../outside/secret", "link-outside", "below/deep", "../outside/other"]
    lines = answers(context, names, "--backing=no", "--backing-file", "images/base", "--backing-file", f"{outside}/secret")
    expect(lines, "granted: device 2, 8 bytes", "granted: device 3, 8 bytes", "granted: device 4, 10 bytes",
           "granted: device 5, 10 bytes", REFUSED, REFUSED)


@test()
def files_in_an_allowed_directory(context):
    _, outside = tree(context)
    names = ["../outside/secret", f"{outside}/secret", "/etc/passwd"]
    lines = answers(context, names, "--backing-dir", "outside")
    expect(lines, "granted: device 2, 10 bytes: the secret", "granted: device 3, 10 bytes: the secret", REFUSED)


@test()
def a_chain_of_directories(context):
    """Each image leads to files beside itself, not beside the first one."""
    images, outside = tree(context)
    (outside / "neighbour").write_bytes(b"its neighbour")
    lines = answers(context, ["../outside/secret", (LATE_FIRST, "neighbour"), (LATE_FIRST, "../images/base")],
                    "--backing-dir", "outside")
    expect(lines, "granted: device 2", "granted: device 3, 13 bytes: its neighbour", REFUSED)


@test()
def nothing_but_regular_files(context):
    images, _ = tree(context)
    os.mkfifo(images / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(images / "socket"))
        lines = answers(context, ["fifo", "socket", "below", ".", "..", "", "missing"])
    expect(lines, *[NOT_OPENED] * 4, *[REFUSED] * 2, NOT_OPENED)


@test()
def device_nodes(context):
    tree(context)
    expect(answers(context, ["/dev/zero", "/dev/null"], "--backing-dir", "/dev"), REFUSED, REFUSED)


@test()
def protocols(context):
    tree(context)
    names = ["nbd:localhost:10809", "nbd://localhost/disk", "json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}",
             "http://localhost/", "fat:rw:/", "host_device:/dev/zero", "file:/etc/passwd"]
    expect(answers(context, names), *[REFUSED] * len(names))


@test()
def names_that_are_no_names(context):
    tree(context)
    names = [b"a\0b", b"line\nfeed", b"\x1b[31mred", b"\xff\xfe", b"x" * 4096, b"y/" * 2000]
    lines = answers(context, names)
    expect(lines, REFUSED, NOT_OPENED, NOT_OPENED, NOT_OPENED, REFUSED, NOT_OPENED)


@test(cases=["../outside/secret", "/etc/passwd", "nbd:localhost:10809", "json:{}", "link-outside", "below", "missing"])
def the_user_learns_why(context, case):
    """One line, which names the image and the file."""
    tree(context)
    completed = ask(context, [(INPUT | NEEDED, case)])
    completed.expect_error("images/in: ")
    completed.expect_error(case)


@test()
def the_user_sees_no_control_characters(context):
    tree(context)
    completed = ask(context, [(INPUT | NEEDED, b"/etc/line\nfeed\x1b[31mred")])
    completed.expect_error("line\\x0afeed\\x1b[31mred")


@test()
def magic_links(context):
    tree(context)
    names = [f"/proc/self/{name}" for name in ("fd/0", "exe", "root/etc/passwd", "cwd/images/base")]
    lines = answers(context, names, "--backing-dir", "/proc")
    expect(lines, *[REFUSED] * len(names))


@test()
def no_backing(context):
    tree(context)
    ask(context, ["base"], "--no-backing").expect_error("no file that an image names is allowed (--no-backing")


@test()
def more_files_than_devices(context):
    tree(context)
    lines = answers(context, ["base"] * (DEVICES + 1))
    expect(lines, *["granted: "] * DEVICES, "refused: error 8")


@test()
def asking_without_end(context):
    tree(context)
    lines = answers(context, ["missing"] * 600, status=1)
    if len(lines) != 512:
        raise Failure(f"{len(lines)} answers")


@test(cases=[1, 7])
def asking_for_nobody(context, case):
    tree(context)
    ask(context, [(case, "base")]).expect_error(f"on behalf of device {case}, which names none")
