# SPDX-License-Identifier: Apache-2.0
"""A part of a large matrix, another one each day, so that a run is short and a week of runs sees it all.

INSTAR_TEST_SEED in the environment, the ordinal number of a day, repeats that day's choice; INSTAR_TEST_ALL=1 takes everything.
"""

import datetime
import os
import random


def seed():
    return int(os.environ.get("INSTAR_TEST_SEED") or datetime.date.today().toordinal())


def sample(name, cases, count):
    """`count` of the cases, by the day's seed and the matrix's name; all when there are no more."""
    cases = list(cases)
    if os.environ.get("INSTAR_TEST_ALL"):
        return cases
    chosen = random.Random(f"{name} {seed()}").sample(range(len(cases)), min(count, len(cases)))
    return [cases[i] for i in sorted(chosen)]
