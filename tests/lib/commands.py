# SPDX-License-Identifier: Apache-2.0
"""Commands: tests/commands/NAME.sh with what it prints, NAME.out and NAME.err, and NAME.status.

A script runs in an empty directory, under `sh -eu`. `try` shows a command with its output and exit status; a script
that cannot run here says why and exits with 77. What is not there is expected to be empty, or 0. Paths of the build
and the directory are printed as BUILD and DIR.
"""

import difflib

from lib import suite

SKIP_STATUS = 77


def expected_read(script, suffix, default=""):
    path = script.with_suffix(suffix)
    return path.read_text() if path.exists() else default


def expected_write(script, suffix, text, default=""):
    path = script.with_suffix(suffix)
    if text != default:
        path.write_text(text)
    else:
        path.unlink(missing_ok=True)


def normalize(context, text):
    build = context.build
    # One may be called like the beginning of the other: build, build-sanitize.
    directories = sorted((build.directory, build.guests_directory), key=lambda path: -len(str(path)))
    for path, name in ((context.directory, "DIR"), *((path, "BUILD") for path in directories)):
        text = text.replace(str(path), name)
    return text


def run(context, script, root, update):
    bin_directory = root / "tests" / "lib" / "bin"
    environment = dict(context.environment, GUESTS=str(context.build.guests), TESTS=str(root / "tests"),
                       HOSTILE=str(context.build.hostile))
    environment["PATH"] = f"{bin_directory}:{environment['PATH']}"
    completed = context.run(["/bin/sh", "-eu", script], env=environment)
    if completed.status == SKIP_STATUS:
        raise suite.Skip(completed.stdout.strip().splitlines()[-1])
    outputs = [
        (".out", normalize(context, completed.stdout), ""),
        (".err", normalize(context, completed.stderr), ""),
        (".status", f"{completed.status}\n", "0\n"),
    ]
    if update:
        for suffix, text, default in outputs:
            expected_write(script, suffix, text, default)
        return
    differences = []
    for suffix, text, default in outputs:
        expected = expected_read(script, suffix, default)
        differences += difflib.unified_diff(expected.splitlines(), text.splitlines(), f"expected {suffix}",
                                            f"actual {suffix}", lineterm="")
    if differences:
        raise suite.Failure("it prints something else\n" + "\n".join(differences))


def tests(build, root, update):
    found = []
    for script in sorted((root / "tests" / "commands").glob("*.sh")):
        found.append(suite.Test(f"commands{build.suffix}/{script.stem}", build,
                                lambda context, script=script: run(context, script, root, update), weight=2))
    return found
