# SPDX-License-Identifier: Apache-2.0
"""Memory does not follow what images say: no process of a job takes more for a damaged image than for a sound one."""

from lib import daily, recipes
from lib.python_tests import test
from lib.suite import Failure

MIB = 1 << 20
# Of the largest process of a job: what the guest of a job that reads is given at most, and the programs.
MEMORY_MAX = 96 * MIB
# With short and long units, tables, descriptors and lists.
RECIPES = [
    "cluster2097152_refcount16", "subclusters_cluster65536", "zstd_cluster65536", "zlib_cluster2097152", "snapshots_default",
    "bitmaps", "bochs_version2", "cloop_block64k", "cloop_block9m", "dmg_mixed", "dmg_long", "parallels_extension",
    "qcow_compressed", "qed_cluster1048576_table2", "vdi_dynamic", "vhdx_dynamic", "vmdk_monolithicSparse_converted",
    "vmdk_stream_large_grains", "vpc_dynamic",
]
DAMAGES = 4
# What a disk without end would take is time and output, which have bounds of their own.
LIMITS = ["--max-cpu=10", "--max-output=64M", "--max-lines=1000"]
COMMANDS = (["info", "--output=json"], ["check"], ["map", "--output=json"], ["measure", "-O", "qcow2"], ["convert", "-O", "qcow2"])
# Python's own 10 MiB count, too.
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print("peak", usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
"""


def damaged(dice, content):
    """Some numbers of it, mostly at its begin or end, where headers are, are other ones."""
    content = bytearray(content)
    for _ in range(dice.choice((1, 2, 4, 16))):
        length = dice.choice((1, 2, 4, 8))
        start = dice.choice((0, 0, max(0, len(content) - 4096), dice.randrange(len(content)) & ~511))
        offset = min(start + dice.randrange(4096 // length) * length, len(content) - length)
        top = (1 << (8 * length)) - 1
        value = dice.choice((0, 1, top, top >> 1, top ^ top >> 1, 1 << dice.randrange(8 * length), dice.randrange(top + 1)))
        content[offset:offset + length] = value.to_bytes(length, dice.choice(("little", "big")))
    return bytes(content)


@test(cases=daily.sample("memory of damaged images", RECIPES, 2), timeout=120)
def damaged_images(context, case):
    recipe = next(recipe for recipe in recipes.all_recipes() if recipe.name == case)
    recipe.make(recipes.Maker(context.directory))
    path = context.directory / recipe.image
    sound, dice = path.read_bytes(), daily.dice(f"memory {case}")
    for number in range(DAMAGES):
        path.write_bytes(damaged(dice, sound) if number > 0 else sound)
        for command, *options in COMMANDS:
            words = [command, *LIMITS, *options, "-f", recipe.format, recipe.image, *(["out"] if command == "convert" else [])]
            done = context.run(["/usr/bin/python3", "-S", "-c", LAUNCHER, context.qemu_img_beside, *words])
            peak = int(done.stdout.split()[-1])
            if done.status not in (0, 1, 2, 3, 63) or peak > MEMORY_MAX:
                what = f"INSTAR_TEST_SEED={daily.seed()} damage {number}"
                raise Failure(done.describe(f"{what}: exit status {done.status}, {peak} bytes at the peak"))
