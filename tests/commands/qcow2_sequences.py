# SPDX-License-Identifier: Apache-2.0
"""All that changes qcow2 images in place, in sequences at random, on chains of images: each step ends as with qemu-img, and
afterwards all disks, snapshots and what is told of the images agree.
"""

import os
import random
import shutil

from lib import daily
from lib.chains import NAMES, Chains
from lib.python_tests import test
from lib.sequences import Sequence, chain_make
from lib.suite import Failure

# Of each chain, as making one takes as long as a sequence.
SEQUENCES = 4
STEPS = 8
CHAINS = -(-int(os.environ.get("INSTAR_TEST_SEQUENCES") or 24) // SEQUENCES)


def sequence_run(context, images, seed, is_looked_at_after_each):
    """From the chain as it was made."""
    for folder in NAMES:
        shutil.rmtree(context.directory / folder)
        shutil.copytree(context.directory / "made", context.directory / folder)
    sequence = Sequence(context, images, random.Random(seed))
    for number in range(1, STEPS + 1):
        sequence.step()
        if is_looked_at_after_each or number == STEPS:
            what = f"{seed}: {sequence.steps}"
            images.compare(what)
            images.compare_bits(what)


@test(cases=range(CHAINS), timeout=240, weight=4)
def sequences(context, case):
    """Others each day, and other ones by each engine. What ends with a difference is done again, to tell after which step there is one."""
    seed = f"INSTAR_TEST_SEED={daily.seed()} {context.build.sandbox} {case}"
    chance = random.Random(seed)
    images = Chains(context, chance)
    chain_make(images, chance)
    shutil.copytree(context.directory / "own", context.directory / "made")
    for number in range(SEQUENCES):
        try:
            sequence_run(context, images, f"{seed} {number}", False)
        except Failure as failure:
            sequence_run(context, images, f"{seed} {number}", True)
            raise failure
