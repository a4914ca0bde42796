# SPDX-License-Identifier: Apache-2.0
"""Tests of commands that need more than a script: the functions that modules in tests/commands mark with @test."""

import importlib.util

from lib import suite

marked = []


def test(cases=None, **options):
    """Marks a function as a test, of a Context or, once for each of the cases, of a Context and the case."""
    if callable(cases):
        raise TypeError(f"{cases.__name__}: @test() it is, with its brackets; without them it would never run")

    def mark(function):
        marked.append((function, cases, options))
        return function

    return mark


def tests(build, root):
    marked.clear()
    for path in sorted((root / "tests" / "commands").glob("*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    found = []
    for function, cases, options in marked:
        name = f"{function.__module__}{build.suffix}/{function.__name__}"
        if cases is None:
            found.append(suite.Test(name, build, function, **options))
        for case in cases or []:
            found.append(suite.Test(f"{name},{case}", build,
                                    lambda context, function=function, case=case: function(context, case), **options))
    return found
