# SPDX-License-Identifier: Apache-2.0
"""The manual pages and the completion of the shell say what the programs have: all of it, and nothing else."""

import pathlib
import re
import shutil

from lib import daily, images
from lib.python_tests import test
from lib.suite import Failure, Skip

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAN = ROOT / "man"
COMPLETION = ROOT / "completions" / "qemu-img.bash"  # reads the other one
COLUMNS = 80
UNKNOWN = re.compile(r"un(recognized|known) option")
# Pages of no command of instar's, and of what their options are.
OTHER_PAGES = ("instar-security.7", "instar-vmm.1", "instar.1", "instar.conf.5")
PUNCTUATION = set(",.;:|()[]")


def pages():
    return sorted(path for path in MAN.iterdir() if path.suffix[1:].isdigit())


def page_of(command):
    return MAN / f"instar-{command}.1"


def equal(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: {sorted(map(str, set(found) ^ set(expected)))}, found {found}, expected {expected}")


def help_text(context, *command):
    return context.run([*command, "--help"]).expect(0).stdout


def commands(context):
    section = help_text(context, context.build.instar).split("Commands:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in section.splitlines() if line.split()[0] != "help"]


def options_of_help(text):
    heads = (re.split(r" {2,}", line[2:])[0] for line in text.splitlines() if line.startswith("  -"))
    return {word for head in heads for word in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", head)}


def options_of_line(line):
    """Those that a line of mdoc names by Fl."""
    is_flag = False
    for word in line[1:].split():
        if re.fullmatch(r"[A-Z][a-z]", word):
            is_flag = word == "Fl"
        elif is_flag and word not in PUNCTUATION and word != "-":
            yield from (f"-{word}",) if word.startswith("-") else (f"-{letter}" for letter in word)


def options_of_page(path, start="."):
    lines = path.read_text().splitlines()
    return {option for line in lines if line.startswith(start) for option in options_of_line(line)}


@test(needs_kvm=False)
def pages_are_correct(context):
    """As mandoc sees them; and they fit a terminal, literal lines, too."""
    if shutil.which("mandoc") is None:
        raise Skip("mandoc is missing")
    for page in pages():
        done = context.run(["mandoc", "-Tlint", "-Wwarning", page])
        if done.status != 0 or page.name in done.stdout:
            raise Failure(done.describe(f"mandoc complains of {page.name}"))
        text = re.sub(".\b", "", context.run(["mandoc", "-Tascii", page]).expect(0).stdout)
        wide = [line for line in text.splitlines() if len(line) > COLUMNS]
        if wide:
            raise Failure(f"{page.name}: wider than {COLUMNS} columns: {wide}")


@test(needs_kvm=False)
def each_command_has_a_page(context):
    """It is installed as well, and found from the overview."""
    names = {page.name for page in pages()}
    equal("pages", names, {page_of(command).name for command in commands(context)} | set(OTHER_PAGES))
    equal("installed pages", set(re.findall(r"^  '([\w.-]+)',$", (MAN / "meson.build").read_text(), re.M)), names)
    overview = (MAN / "instar.1").read_text()
    for page in names - {"instar.1"}:
        title, section = page.rsplit(".", 1)
        if not re.search(rf"^\.(It )?Xr {re.escape(title)} {section}\b", overview, re.M):
            raise Failure(f"instar(1) does not refer to {page}")


def programs(context):
    """What has options, and its page."""
    yield [context.build.vmm], MAN / "instar-vmm.1"
    for command in commands(context):
        yield [context.build.instar, command], page_of(command)


@test(needs_kvm=False)
def each_option_is_explained(context):
    """In the page of the command, or in that of what all share."""
    shared = options_of_page(MAN / "instar.1", ".It ")
    equal("options of instar", options_of_help(help_text(context, context.build.instar)) - shared, set())
    for program, page in programs(context):
        own = options_of_page(page, ".It ")
        options = options_of_help(help_text(context, *program))
        if len(options) < 10:
            raise Failure(f"{program}: its help has only {options}")
        equal(f"options of {page.name} without explanation", options - own - shared, set())


@test(needs_kvm=False)
def each_explained_option_exists(context):
    everywhere = options_of_help(help_text(context, context.build.instar))
    for program, page in programs(context):
        known = options_of_help(help_text(context, *program))
        everywhere |= known
        for option in options_of_page(page) - known:
            done = context.run([*program, option])
            if UNKNOWN.search(done.stderr):
                raise Failure(done.describe(f"{page.name} has an option that there is not"))
    if not UNKNOWN.search(context.run([context.build.instar, "info", "--no-such-option"]).stderr):
        raise Failure("an unknown option is not told")
    for name in set(OTHER_PAGES) - {"instar-vmm.1"}:
        for option in options_of_page(MAN / name) - everywhere:
            done = context.run([context.build.instar, "info", option])
            if UNKNOWN.search(done.stderr):
                raise Failure(done.describe(f"{name} has an option that there is not"))


@test(needs_kvm=False)
def help_fits_a_terminal(context):
    """But for the list of formats, which programs look for in one line, as qemu-img has it."""
    for program in [[context.build.instar], *(program for program, _ in programs(context))]:
        wide = [line for line in help_text(context, *program).splitlines()
                if len(line) > COLUMNS and not line.startswith("Supported formats: ")]
        if wide:
            raise Failure(f"{program}: wider than {COLUMNS} columns: {wide}")


@test(needs_kvm=False)
def version(context):
    """The programs for the machine that are told are those of the build, without what debuggers want."""
    short, *guests = context.run([context.build.instar, "--version", "--verbose"]).expect(0).stdout.splitlines()
    equal("version", [short], context.run([context.build.instar, "--version"]).expect(0).stdout.splitlines())
    stripped = context.directory / "stripped"
    expected = []
    for name in ("copy", "image"):
        context.run(["objcopy", "--strip-all", context.build.guests / f"{name}.bin", stripped]).expect(0)
        expected.append(f"guest program {name}: sha256 {images.sha256(stripped)}")
        if stripped.read_bytes() not in context.build.instar.read_bytes():
            raise Failure(f"{name} is not the program that is embedded")
    equal("digests", guests, expected)
    done = context.run([context.build.instar, "--verbose", "info", "missing"]).expect(1)
    if "--verbose: goes with --version only" not in done.stderr:
        raise Failure(done.describe("--verbose is taken without --version"))


def completed(context, *words, path=None):
    """What bash offers for the last one of words, which are cut at each '=' as bash does."""
    words = [part for word in words for part in re.split("(=)", word) if part or word == ""]
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _instar; printf "%s\\n" "${COMPREPLY[@]}"'
    environment = dict(context.build.environment())
    if path is not None:
        environment["PATH"] = path
    done = context.run(["/bin/bash", "-c", script, "bash", COMPLETION, *words], env=environment).expect(0)
    if done.stderr:
        raise Failure(done.describe("the completion complains"))
    return done.stdout.split()


@test(needs_kvm=False)
def completion(context):
    names = commands(context)
    formats = re.search(r"^Supported formats: (.*)$", help_text(context, context.build.instar), re.M).group(1).split()
    for words, expected in (
        (("instar", ""), [*names, "help", "--help", "--version", "--verbose"]),
        (("instar", "co"), [name for name in names if name.startswith("co")]),
        (("instar", "help", "inf"), ["info"]),
        (("instar", "info", "--out"), ["--output"]),
        (("instar", "info", "--output", ""), ["human", "json"]),
        (("instar", "info", "--output=j"), ["json"]),
        (("instar", "info", "--backing="), ["no", "beside"]),
        (("instar", "info", "-f", ""), formats),
        (("instar", "create", "-f", ""), ["raw", "qcow2", "vdi", "vpc", "vhdx", "qed", "parallels", "qcow", "vmdk", "luks"]),
        (("instar", "convert", "-O", "q"), ["qcow2", "qed", "qcow"]),
        (("instar", "convert", "-O", "qcow2", "-o", "exte"), ["extended_l2=", "extent_size_hint="]),
        (("instar", "create", "-f", "qcow2", "-o", "size=1G,cluster"), ["1G,cluster_size="]),
        (("instar", "convert", "-O", "qcow2", "-o", "compression_type="), ["zlib", "zstd"]),
        (("instar", "convert", "-O", "qcow2", "-o", "preallocation=f"), ["falloc", "full"]),
        (("instar", "convert", "-O", "raw", "-o", "preallocation="), ["off", "falloc", "full"]),
        (("instar", "create", "-f", "vmdk", "-o", "size=1G,subformat=mono"), ["monolithicSparse", "monolithicFlat"]),
        (("instar", "create", "-f", "qcow2", "-o", "size=1G,lazy_refcounts=o"), ["on", "off"]),
        (("instar", "create", "-f", "qcow2", "-o", "cluster_size="), []),
        (("instar", "create", "-f", "qcow2", "-o", "backing_file="), []),  # bash offers files
        (("instar", "create", "-f", "qcow2", "-o", "backing_fmt=vh"), ["vhdx"]),
        (("instar", "create", "-f", "vmdk", "-o", "backing_fmt="), ["vmdk"]),
        (("instar", "measure", "-O", "qcow2", "-o", "comp"), ["compat=", "compression_type="]),
        (("instar", "measure", "-O", "vpc", "-o", "subformat="), ["dynamic", "fixed"]),
        (("instar", "amend", "-o", ""), [f"{name}=" for name in (
            "backing_file", "backing_fmt", "compat", "data_file", "data_file_raw", "encrypt.iter-time", "encrypt.keyslot",
            "encrypt.new-secret", "encrypt.old-secret", "encrypt.state", "lazy_refcounts", "refcount_bits", "size")]),
        (("instar", "check", "-r", ""), ["leaks", "all"]),
        (("instar", "batch", "--report="), ["text", "json", "svg"]),
        (("instar", "batch", "--submit="), ["slurm", "parallel", "kubernetes"]),
        (("instar", "info", "--object", ""), ["secret,id="]),
        (("instar", "info", "--object", "secret,id="), []),
        (("instar", "dd", "i"), ["if="]),
        (("instar", "dd", "if=a"), []),
        (("instar", "convert", "image", ""), []),
        (("instar", "no-such-command", ""), []),
    ):
        equal(f"completion of {words}", completed(context, *words), expected)
    for command in names:
        offered = completed(context, "instar", command, "-")
        equal(f"completion of {command}", set(offered), options_of_help(help_text(context, context.build.instar, command)))


@test(needs_kvm=False)
def completion_of_values(context):
    """Those that the completion knows by itself are those of the program."""
    for command, option in (("info", "--sandbox"), ("info", "--stats"), ("copy", "--backing")):
        told = context.run([context.build.instar, command, f"{option}=bogus"]).expect(1).stderr
        expected = told.split("is not one of ")[1].strip().split(", ")
        equal(f"values of {option}", set(completed(context, "instar", command, f"{option}=")), set(expected))
    for value in completed(context, "instar", "convert", "-t", ""):
        done = context.run([context.build.instar, "convert", "-t", value, "missing", "target"])
        if "cache option" in done.stderr:
            raise Failure(done.describe(f"-t {value} is offered"))
    listed = context.run([context.build.instar, "create", "-f", "qcow2", "-o", "help"]).expect(0).stdout
    expected = re.search(r"preallocation=.*: (.*)\)", listed).group(1).split(", ")
    equal("values of --preallocation", completed(context, "instar", "resize", "--preallocation="), expected)


# Words that some option of some format takes in instar or in qemu-img, and one that none does.
WORDS = """bogus on off metadata falloc full v2 v3 0.10 1.1 zlib zstd dynamic fixed monolithicSparse monolithicFlat
twoGbMaxExtentSparse twoGbMaxExtentFlat streamOptimized ide lsilogic buslogic legacyESX 1 2 3 4 8 16 32 64""".split()
CHOICES = [("raw", "preallocation"), ("qcow2", "preallocation"), ("qcow2", "compression_type"), ("qcow2", "compat"),
           ("qcow2", "refcount_bits"), ("qcow2", "data_file_raw"), ("vdi", "static"), ("vpc", "subformat"),
           ("vpc", "force_size"), ("vhdx", "subformat"), ("vhdx", "nocow"), ("qed", "table_size"),
           ("vmdk", "subformat"), ("vmdk", "adapter_type"), ("vmdk", "zeroed_grain")]


@test(needs_kvm=False, cases=daily.sample("words", [",".join(choice) for choice in CHOICES], 2))
def completion_of_options(context, case):
    """What is offered for an option of a format is what images can be made with, and all of that."""
    context.environment["INSTAR_SANDBOX"] = "auto"
    form, option = case.split(",")
    offered = completed(context, "instar", "create", "-f", form, "-o", f"{option}=")
    equal("words that are not tried", set(offered) - set(WORDS), set())
    others = "data_file=data," if option == "data_file_raw" else ""
    taken = [word for word in WORDS if context.run(
        [context.build.instar, "create", "-q", "-f", form, "-o", f"{others}{option}={word}", "new", "1M"],
        cwd=context.directory).status == 0]
    equal(f"values of {case}", set(offered), set(taken))


@test(needs_kvm=False)
def completion_of_the_other_name(context):
    """qemu-img is completed where it is instar, and no program is run for it that is not in PATH."""
    link = context.directory / "bin" / "qemu-img"
    link.parent.mkdir()
    link.symlink_to(context.build.instar)
    path = f"{link.parent}:/usr/bin:/bin"
    equal("completion of ours", completed(context, "qemu-img", "conv", path=path), ["convert"])
    link.unlink()
    for text in ("#!/bin/sh\necho 'qemu-img version 7.2.22'\n", f"#!/bin/sh\ntouch {context.directory}/was-run\n"):
        link.write_text(text)
        link.chmod(0o755)
        equal("completion of QEMU's", completed(context, "qemu-img", "conv", path=path), [])
    (context.directory / "was-run").unlink()
    equal("completion of one beside", completed(context, str(link), "", path="/nowhere"), [])
    if (context.directory / "was-run").exists():
        raise Failure("a program was run by the path on the line")
