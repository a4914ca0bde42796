# SPDX-License-Identifier: Apache-2.0
"""Unit tests: the programs of meson's suite `unit`. Each test case that a cmocka program reports counts."""

import json
import os
import re
import time

from lib import suite

CASE = re.compile(r"^\[\s*(OK|FAILED|SKIPPED)\s*\] ([a-zA-Z_]\w*)", re.MULTILINE)
OUTCOMES = {"OK": suite.PASSED, "FAILED": suite.FAILED, "SKIPPED": suite.SKIPPED}


def run(context, entry, name):
    missing = [word for word in entry["cmd"] if word.startswith(str(context.build.directory)) and not os.path.exists(word)]
    if missing:
        raise suite.Failure(f"{missing[0]} is not built: ninja -C {context.build.directory} meson-test-prereq")
    start = time.monotonic()
    environment = dict(context.environment, TMPDIR=str(context.directory), **entry["env"])
    completed = context.run(entry["cmd"], cwd=entry["workdir"] or context.build.directory, env=environment)
    # A failed case is reported twice: when it ends, and in the summary.
    cases = {}
    for outcome, case in CASE.findall(completed.stdout + completed.stderr):
        cases[case] = suite.FAILED if cases.get(case) == suite.FAILED else OUTCOMES[outcome]
    if suite.FAILED not in cases.values() and completed.status != 0:
        raise suite.Failure(completed.describe(f"exit status {completed.status}"))
    if not cases:
        return None
    seconds = (time.monotonic() - start) / len(cases)
    details = {suite.PASSED: "", suite.FAILED: completed.describe("failed"), suite.SKIPPED: "the test skips itself"}
    return [suite.Result(f"{name}/{case}", outcome, details[outcome], seconds) for case, outcome in cases.items()]


def tests(build, suite_name="unit"):
    entries = json.loads((build.directory / "meson-info" / "intro-tests.json").read_text())
    found = []
    for entry in entries:
        if {suite_name, f"instar:{suite_name}"} & set(entry["suite"]):
            name = f"unit{build.suffix}/{entry['name']}".replace(" ", "-")
            timeout = max(entry["timeout"], 30) * (3 if build.is_sanitizer else 1)
            found.append(suite.Test(name, build, lambda context, entry=entry, name=name: run(context, entry, name),
                                    timeout=timeout, needs_kvm=False, weight=20))
    return found
