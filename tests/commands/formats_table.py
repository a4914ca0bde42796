# SPDX-License-Identifier: Apache-2.0
"""Which formats there are is said in several places: they agree."""

import pathlib
import re
import subprocess

from lib.python_tests import test
from lib.suite import Failure

REFERENCE = "/usr/bin/qemu-img"
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
    section = (ROOT / "docs/commands.md").read_text().split("\n## Formats\n")[1].split("\n##")[0]
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
    text = (ROOT / "host/cli/image/names/image_driver.c").read_text()
    drivers = dict(re.findall(r'^    \{"(\w+)", [^}]*, (true|false)\},$', text, re.MULTILINE))
    formats = guest_formats()
    equal("drivers", set(drivers), set(formats) | {"file", "host_device"})
    for name, table in formats.items():
        equal(f"{name} is never written", drivers[name] == "true", ".is_read_only = true" in table)


def code_table(path, name):
    """The lines of a table of structures in C."""
    found = re.search(rf"^static const struct \w+ {name}\[\] = \{{\n(.*?)^\}};", (ROOT / path).read_text(), re.M | re.S)
    if found is None:
        raise Failure(f"{path} has no table {name}")
    return found.group(1)


def documented_rows(title, columns):
    """The rows of the table below a title of docs/commands.md; None: of any number of columns, all the same."""
    section = re.split(rf"\n##+ {title}\n", (ROOT / "docs/commands.md").read_text())[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    if any(len(row) != (columns or len(rows[0])) for row in rows) or len(rows) < 4:
        raise Failure(f"the table below {title} has other columns")
    return rows[0], rows[2:]


def option_rows(macro, prefix=""):
    """(name, stage, help) of a table of abi/option_tables.h, with those of the tables within it."""
    text = re.sub(r"\\\n", "", (ROOT / "abi/option_tables.h").read_text())
    body = re.search(rf"^#define {macro}\(OPTION(?:, prefix)?\) (.*)$", text, re.MULTILINE).group(1)
    rows = []
    for row in re.finditer(r'(FORMAT_OPTIONS_\w+)\(OPTION(?:, "([^"]*)")?\)|OPTION\((prefix )?"([^"]+)", \w+, (\w+), (?:NULL|"[^"]*"),\s*(NULL|")', body):
        table, inner, is_prefixed, name, stage, help_text = row.groups()
        if table:
            rows += option_rows(table, inner or "")
        else:
            rows.append(((prefix if is_prefixed else "") + name, stage, help_text))
    return rows


@test(is_native=True)
def creation_options_documented(_context):
    """docs/commands.md has the options of -o, as the host's tables have them, and these are qemu-img's."""
    head, rows = documented_rows("Options of new images", None)
    rows_of = {name: [row for row in option_rows(f"FORMAT_OPTIONS_{name.upper()}") if row[1] != "AMEND"] for name in head[1:]}
    tables = {name: {row[0] for row in found} for name, found in rows_of.items()}
    written = {name for name, table in guest_formats().items() if ".create = " in table}
    equal("formats with options", set(tables), written)
    equal("options of new images", {row[0] for row in rows}, set().union(*tables.values()))
    for option, *columns in rows:
        for name, cell in zip(head[1:], columns):
            equal(f"{option} of {name}", cell, "yes" if option in tables[name] else "no")
    for name, options in tables.items():
        text = subprocess.run([REFERENCE, "create", "-f", name, "-o", "help", "x"], stdout=subprocess.PIPE, check=True).stdout.decode()
        theirs = set(re.findall(r"^  ([\w.-]+)=<", text, re.M))
        # Of those without a text for the list, qemu-img 7.2 knows nothing yet.
        newer = {row[0] for row in rows_of[name] if row[2] == "NULL"}
        equal(f"options of {name} and qemu-img's", options - newer, theirs)


NODE_GROUPS = {"all": {"DRIVER_NODE_ALL"}, "file, host_device": {"DRIVER_NODE_FILE"}, "raw": {"DRIVER_NODE_RAW"},
               "qcow, qcow2, qed, vmdk": {"DRIVER_NODE_BACKED"}, "qcow2": {"DRIVER_NODE_QCOW2"},
               "luks": {"DRIVER_NODE_LUKS"}, "qcow, qcow2": {"DRIVER_NODE_KEYED"}, "parallels": {"DRIVER_NODE_PARALLELS"}, "vpc": {"DRIVER_NODE_VPC"}}


@test(is_native=True)
def node_options_documented(_context):
    """docs/commands.md has the options of nodes, and the drivers that have them, as the code's tables do."""
    _, rows = documented_rows("Nodes", 4)
    found = re.findall(r'\{"([\w.-]+)",\s*(\w+),\s*(?:\.type = (\w+)|(SWITCH_INTO|OVERLAP_WORDS))', code_table("host/cli/image/names/node_options.c", "node_options"))
    drivers = re.findall(r'^    \{"(\w+)", ([^,]+),', code_table("host/cli/image/names/image_driver.c", "drivers"), re.M)
    equal("groups of nodes", {row[0] for row in rows}, set(NODE_GROUPS))
    for group, *cells in rows:
        node = min(NODE_GROUPS[group])
        options = {re.sub(r"^(overlap-check\.|.*\.$).*", r"\1*", key): type for key, of, type, _ in found if of == node}
        refused = {key for key, type in options.items() if type in ("VALUE_REFUSED", "VALUE_UNEXPECTED")}
        effect, none, told = (set(filter(None, (word.strip() for word in cell.split(",")))) for cell in cells)
        equal(f"options of {group}", effect | none | told, set(options))
        equal(f"options of {group} that are refused", told, refused)
        if group != "all":
            names = {name for name, nodes in drivers if node in nodes.split(" | ")}
            equal(f"drivers that are {node}", set(group.split(", ")), names)
