# SPDX-License-Identifier: Apache-2.0
"""Which formats there are is said in several places: they agree."""

import pathlib
import re

from lib.python_tests import test
from lib.suite import Failure

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ROW = re.compile(r"^\| (\w+) \| ([\w ]+) \| ([\w ]+) \| (yes|no) \|$", re.MULTILINE)


def guest_formats():
    """Of each in the guest's list, the text of its table."""
    text = (ROOT / "guest/formats/formats.c").read_text()
    found = {}
    for name in re.findall(r"^\s+&(\w+)_format,$", text, re.MULTILINE):
        sources = (path.read_text() for path in sorted((ROOT / "guest/formats" / name).rglob("*.c")))
        tables = [match for source in sources
                  for match in re.findall(rf"^const struct format {name}_format = \{{\n(.*?)^\}};", source, re.M | re.S)]
        if len(tables) != 1:
            raise Failure(f"{name}: {len(tables)} tables")
        found[name] = tables[0]
    return found


def equal(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: {sorted(found ^ expected)}" if isinstance(found, set) else f"{what}: {found}, not {expected}")


@test(is_native=True)
def documented(_context):
    """docs/commands.md has each, and says truly whether it is read, written and checked."""
    formats = guest_formats()
    section = (ROOT / "docs/commands.md").read_text().split("\n## Formats\n")[1].split("\n## ")[0]
    rows = {row[0]: row[1:] for row in ROW.findall(section)}
    equal("formats in docs/commands.md and in the guest", set(rows), set(formats))
    for name, (read, written, check) in rows.items():
        table = formats[name]
        equal(f"{name} is read", read != "not yet", ".map = " in table)
        equal(f"{name} is written", written == "yes", ".create = " in table)
        equal(f"{name} is never written", written == "never", ".is_read_only = true" in table)
        equal(f"{name} has a check", check == "yes", ".check = " in table)


@test(is_native=True)
def known_to_the_host(_context):
    """The host's drivers are the formats, and those for a file as it is."""
    text = (ROOT / "host/cli/image/image_driver.c").read_text()
    drivers = dict(re.findall(r'^    \{"(\w+)", [^}]*, (true|false)\},$', text, re.MULTILINE))
    formats = guest_formats()
    equal("drivers", set(drivers), set(formats) | {"file", "host_device"})
    for name, table in formats.items():
        equal(f"{name} is never written", drivers[name] == "true", ".is_read_only = true" in table)
