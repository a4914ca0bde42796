# SPDX-License-Identifier: Apache-2.0
"""qemu-img and ours, side by side on the same images: standard output, exit status, content."""

import json
import pathlib
import re
import subprocess

from lib import daily, recipes
from lib.images import content_id
from lib.python_tests import test
from lib.suite import Failure

RECIPES = {recipe.name: recipe for recipe in recipes.all_recipes()}
QCOW2_COUNT, OTHERS_COUNT = 4, 7  # of recipes, each day


def chosen():
    """Some of qcow2, and some of any other format, each of another one."""
    by_format = {}
    for recipe in RECIPES.values():
        by_format.setdefault(recipe.format, []).append(recipe.name)
    others = daily.sample("matrix formats", sorted(set(by_format) - {"qcow2"}), OTHERS_COUNT)
    return [*daily.sample("matrix qcow2", by_format["qcow2"], QCOW2_COUNT),
            *(name for format in others for name in daily.sample(f"matrix {format}", by_format[format], 1))]


class Pair:
    """Runs a command of both programs on the image of a recipe."""

    def __init__(self, context, recipe):
        self.context = context
        self.recipe = recipe
        self.own = context.qemu_img_beside

    def both(self, *arguments):
        """Runs both; fails unless they end alike. Returns what qemu-img and ours print."""
        reference = self.context.run(["/usr/bin/qemu-img", *arguments])
        own = self.context.run([self.own, *arguments])
        if own.status != reference.status:
            raise Failure(own.describe(f"exit status {own.status}; qemu-img has {reference.status}") + "\n" +
                          reference.describe("qemu-img:"))
        return reference, own

    def text(self, *arguments):
        reference, own = self.both(*arguments)
        if own.stdout != reference.stdout:
            raise Failure(own.describe("another output") + "\n" + reference.describe("than qemu-img:"))

    def json(self, *arguments):
        reference, own = self.both(*arguments)
        if not reference.stdout and not own.stdout:
            return
        if json.loads(own.stdout) != json.loads(reference.stdout):
            raise Failure(own.describe("another value") + "\n" + reference.describe("than qemu-img:"))

    def forms(self, *arguments):
        self.text(*arguments)
        self.json(*arguments, "--output=json")


def inspect(pair):
    options, image = pair.recipe.options, pair.recipe.image
    pair.forms("info", *options, image)
    pair.forms("info", image, "--backing-chain", *options)
    pair.forms("map", *options, image)
    pair.json("map", "--output=json", "--start-offset=65536", "--max-length=200000", *options, image)
    if pair.recipe.is_checked:
        pair.forms("check", *options, image)
    pair.text("snapshot", "-l", *options[2:], image)
    if pair.recipe.is_cut:
        pair.context.run([pair.own, "convert", *options, "-O", "raw", image, "own.raw"]).expect(1)
        return
    for target in ("raw", "qcow2"):
        pair.forms("measure", "-O", target, *options, image)
    pair.json("measure", "--output=json", "-O", "qcow2", "-o", "cluster_size=4k", *options, image)


def is_large(pair):
    done = pair.context.run(["/usr/bin/qemu-img", "info", "--output=json", *pair.recipe.options, pair.recipe.image]).expect()
    return json.loads(done.stdout)["virtual-size"] > (1 << 32)


def convert(pair, *options):
    directory = pair.context.directory
    results = []
    for program, name in (("/usr/bin/qemu-img", "reference.raw"), (pair.own, "own.raw")):
        pair.context.run([program, "convert", *pair.recipe.options, "-O", "raw", *options, pair.recipe.image, name]).expect()
        results.append(content_id(directory / name))
    if results[0] != results[1]:
        raise Failure(f"convert {' '.join(options)}: sha256 of length and data is {results[1]}, not {results[0]}")


def compare(pair):
    """Against its own content, in both orders, and against content that differs late, early, or in length."""
    context, options, image = pair.context, pair.recipe.options, pair.recipe.image
    pair.text("compare", *options, image, "reference.raw", "-F", "raw")
    pair.text("compare", "-s", *options, image, "reference.raw", "-F", "raw")
    pair.text("compare", "-f", "raw", *(("-F", options[1]) if options else ()), "reference.raw", image)
    other = context.directory / "own.raw"
    length = other.stat().st_size
    for offset in {length - 1, length // 2, 70000}:
        if 0 <= offset < length:
            with open(other, "r+b") as file:
                file.seek(offset)
                old = file.read(1)
                file.seek(offset)
                file.write(bytes([old[0] ^ 1]))
            pair.text("compare", *options, image, "own.raw", "-F", "raw")
    with open(other, "r+b") as file:
        file.truncate(length + 66000)
    pair.text("compare", *options, image, "own.raw", "-F", "raw")
    pair.text("compare", "-s", *options, image, "own.raw", "-F", "raw")


@test(cases=chosen(), timeout=120, weight=2)
def images(context, case):
    recipe = RECIPES[case]
    recipe.make(recipes.Maker(context.directory))
    pair = Pair(context, recipe)
    inspect(pair)
    if recipe.is_encrypted or recipe.is_cut or is_large(pair):
        return
    convert(pair)
    for snapshot in recipe.snapshots:
        convert(pair, "-l", snapshot)
    convert(pair)
    compare(pair)


# What a recipe says by other means than an option.
OTHERWISE = {"size", "backing_file", "backing_fmt", "encryption"}


@test(is_native=True, cases=["vmdk", "vpc", "vhdx", "vdi", "parallels", "qcow", "qed"])
def options_covered(_context, case):
    """Some recipe of the format has each option that qemu-img makes such images with."""
    done = subprocess.run(["/usr/bin/qemu-img", "create", "-f", case, "-o", "help", "x"], stdout=subprocess.PIPE, check=True)
    options = set(re.findall(r"^  ([\w.-]+)=<", done.stdout.decode(), re.M)) - OTHERWISE
    text = (pathlib.Path(recipes.__file__).parent / f"recipes_{case}.py").read_text()
    has_file_options = "FILE_OPTIONS" in text.split("def recipes", 1)[1]
    of_file = {option.split("=")[0] for option in recipes.FILE_OPTIONS} if has_file_options else set()
    missing = {option for option in options - of_file if not re.search(rf"\b{re.escape(option)}\b", text)}
    if missing or not options:
        raise Failure(f"no recipe of {case} has {sorted(missing)}")
