# SPDX-License-Identifier: Apache-2.0
"""A part of a large matrix, the next one each day, so that a run is short and some days of runs see it all.

INSTAR_TEST_SEED in the environment, the ordinal number of a day, repeats that day's choice; INSTAR_TEST_ALL=1 takes everything.
Of what runs a second time, with sanitizers, a part is enough: INSTAR_TEST_SHARE, which the suite sets then.
"""

import datetime
import os
import random


def seed():
    return int(os.environ.get("INSTAR_TEST_SEED") or datetime.date.today().toordinal())


def share():
    return float(os.environ.get("INSTAR_TEST_SHARE") or 1)


def takes(name, part):
    """Whether this day's part of a matrix, `part` of 1 of it, has the case of this name."""
    if os.environ.get("INSTAR_TEST_ALL"):
        return True
    return random.Random(f"{name} {seed()}").random() < part * share()


def dice(name):
    """Numbers for random damages: other ones each day."""
    return random.Random(f"{name} {seed()}")


def sample(name, cases, count, part=1.0):
    """`count` of the cases, or a part of so many, by the day's seed and the matrix's name; all when there are no more.

    The cases are in an order of chance, which stays, and each day takes those that follow the day's before: in as many days
    as it takes to see them all, each is seen."""
    cases = list(cases)
    if os.environ.get("INSTAR_TEST_ALL"):
        return cases
    count = max(1, round(count * share() * part))
    order = random.Random(name).sample(range(len(cases)), len(cases))
    first = seed() * count
    chosen = {order[(first + i) % len(cases)] for i in range(min(count, len(cases)))}
    return [cases[i] for i in sorted(chosen)]
