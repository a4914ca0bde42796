# SPDX-License-Identifier: Apache-2.0
"""Documents: their links lead somewhere, the environment that they tell of is the one that the programs read, and what README.md
shows is what one sees."""

import os
import pathlib
import re

from lib.python_tests import test
from lib.suite import Failure

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDERS = ("docs", "guest", "host", "tests")
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What the package has (debian/instar.docs and what is beside it); debian/tests/documents looks at the package itself.
SHIPPED = re.compile(r"[A-Z]+\.md|docs/[\w-]+\.(md|svg)|guest/formats/\w+/README\.md|tests/README\.md|packaging/.*")
TOP_DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def documents():
    yield from (ROOT / name for name in TOP_DOCUMENTS)
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.md")


def anchors(path):
    """Of its headings, as forges make them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@test(needs_kvm=False)
def links(context):
    """To files and headings that are there."""
    count = 0
    for path in documents():
        for link in LINK.findall(path.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            count += 1
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if not target.exists() or not target.is_relative_to(ROOT):
                raise Failure(f"{path.relative_to(ROOT)}: {link} leads nowhere")
            if SHIPPED.fullmatch(str(path.relative_to(ROOT))) and not SHIPPED.fullmatch(str(target.relative_to(ROOT))):
                raise Failure(f"{path.relative_to(ROOT)}: {link} leads to what the package does not have")
            if anchor and anchor not in anchors(target):
                raise Failure(f"{path.relative_to(ROOT)}: {link}: there is no such heading among {anchors(target)}")
    if count < 30:
        raise Failure(f"only {count} links were found")


def variables_read():
    """What the host's code gives to getenv, by name or by a constant."""
    found = set()
    for path in [*(ROOT / "host").rglob("*.c"), *(ROOT / "base").rglob("*.c")]:
        text = path.read_text()
        for argument in re.findall(r"\b(?:secure_)?getenv\(([^)]*)\)", text):
            constants = re.findall(rf'#define {re.escape(argument)} "(\w+)"', text)
            for function in re.findall(rf"\b(\w+)\(const char \*{re.escape(argument)}\b[^;]*?\n{{", text):
                constants += re.findall(rf'\b{function}\("(\w+)"', text)  # a name of its parameter
            if argument.startswith('"'):
                constants.append(argument.strip('"'))
            if not constants:
                raise Failure(f"{path}: which variable is {argument}?")
            found.update(constants)
    return found


@test(needs_kvm=False)
def environment(context):
    """docs/configuration.md and the manual pages have each variable that is read, and no other."""
    read = variables_read()
    table = (ROOT / "docs" / "configuration.md").read_text().split("\n## The environment\n")[1].split("\n## ")[0]
    pages = [(ROOT / "man" / name).read_text() for name in ("instar.1", "instar-batch.1")]
    section = "\n".join(page.split("\n.Sh ENVIRONMENT\n")[1].split("\n.Sh ")[0] for page in pages)
    for what, told in (("docs/configuration.md", re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", table, re.M)),
                       ("the manual pages", re.findall(r"^\.(?:It )?Ev (\w+)", section, re.M))):
        if len(read) < 3 or set(told) != read:
            raise Failure(f"{what}: it tells of {sorted(told)}, the program reads {sorted(read)}")


def examples_of(text):
    """Commands behind a dollar, and what they print."""
    for block in re.findall(r"^```\n(\$ .*?)^```", text, re.M | re.S):
        for example in block.split("$ ")[1:]:
            command, *printed = example.splitlines()
            yield command, printed


@test()
def examples(context):
    """README.md's, on images like those that they tell of; how much storage a file takes is its file system's to say."""
    (context.directory / "build").symlink_to(context.build.instar.parent)
    for words in (["create", "-q", "-f", "qcow2", "disk.qcow2", "64M"], ["create", "-q", "-f", "raw", "disk.raw", "1M"],
                  ["create", "-q", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", "thief.qcow2", "1M"],
                  ["create", "-q", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", "top.qcow2"]):
        context.run(["/usr/bin/qemu-img", *words]).expect()
    context.run(["/usr/bin/qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 3M", "disk.qcow2"]).expect()
    environment = dict(context.build.environment(), **context.environment)
    environment["PATH"] = f"{context.build.instar.parent}:{os.environ['PATH']}"
    count = 0
    for command, printed in examples_of((ROOT / "README.md").read_text()):
        done = context.run(["/bin/sh", "-c", command], env=environment)
        found = (done.stdout + done.stderr).splitlines()
        if [line for line in found if "disk size" not in line] != [line for line in printed if "disk size" not in line]:
            raise Failure(done.describe("README.md shows " + "\n".join(printed)))
        count += 1
    if count < 6:
        raise Failure(f"only {count} examples were found")
