#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Key slots that are changed, natively, and wherever that is cut off by a crash, also with writes that were never flushed
left out: a passphrase that opened the image before or is to open it afterwards does, and the disk is what it was.

    luks_crashes.py IMAGE_NATIVE
"""
import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lib import crashes, daily  # noqa: E402
from lib.oracle import run  # noqa: E402

REFERENCE = "/usr/bin/qemu-img"
STATE_COUNT = 60 if os.environ.get("INSTAR_TEST_ALL") else 6  # of each job
SECRETS = ("a=alt", "n=neu", "z=zweite")
SLOTS_FULL = [f"state=active,new-secret=z,keyslot={slot}" for slot in range(1, 8)]
# What is done beforehand; the change, and whether it is forced; passphrases of which one opens the image whenever that ends.
CASES = {
    "added": ([], "state=active,new-secret=n", False, "a"),
    "overwritten": ([], "state=active,new-secret=n,keyslot=0", True, "an"),
    "overwritten among others": (SLOTS_FULL[:3], "state=active,new-secret=n,keyslot=0", True, "an"),
    "overwritten, none is free": (SLOTS_FULL, "state=active,new-secret=n,keyslot=0", True, "z"),
    "the last one overwritten": (["state=active,new-secret=z,keyslot=7", "state=inactive,keyslot=0"], "state=active,new-secret=n,keyslot=7", True, "zn"),
    "taken away": (SLOTS_FULL[:2], "state=inactive,keyslot=0", False, "z"),
    "taken away by its passphrase": (SLOTS_FULL[:2], "state=inactive,old-secret=z", False, "a"),
}


class Scene:
    def __init__(self, folder, native, form):
        self.folder, self.native, self.form = folder, native, form
        self.prefix = "encrypt." if form == "qcow2" else ""
        (folder / "plain").write_bytes(os.urandom(64 << 10))

    def options(self, text):
        return [word for option in text.split(",") for word in ("-o", self.prefix + option)]

    def amend(self, change, force=False, first="a", **options):
        """By the passphrase of the secret `first`."""
        if "new-secret" in change:
            change += ",iter-time=1"
        secrets = sorted(SECRETS, key=lambda text: not text.startswith(first))
        run(self.native, "amend", *(word for secret in secrets for word in ("--secret", secret)), "-f", self.form, *self.options(change),
             *(["--force"] if force else []), self.folder / "image", **options)

    def opens(self, secret, path):
        """Whether qemu-img opens it by that, and finds the disk there."""
        name = f"driver={self.form},{self.prefix}key-secret=s,file.filename={path}"
        passphrase = next(text[2:] for text in SECRETS if text.startswith(secret))
        done = run(REFERENCE, "convert", "--object", f"secret,id=s,data={passphrase}", "--image-opts", name, "-O", "raw", self.folder / "shown", check=False)
        if done.returncode == 0 and (self.folder / "shown").read_bytes() != (self.folder / "plain").read_bytes():
            raise RuntimeError("the disk is another one")
        return done.returncode == 0

    def case(self, name, steps, change, force, any_of):
        """`steps` and `change` are options of amend."""
        image = self.folder / "image"
        image.unlink(missing_ok=True)
        options = f"{self.prefix}key-secret=s,{self.prefix}iter-time=10" + (",encrypt.format=luks" if self.prefix else "")
        template = self.folder / "template"
        if not template.exists():  # it takes qemu-img seconds to measure how fast the processor is
            run(REFERENCE, "convert", "-f", "raw", "-O", self.form, "--object", "secret,id=s,data=alt", "-o", options, self.folder / "plain", template)
        shutil.copy(template, image)
        for step in steps:
            self.amend(step)
        before, record = image.read_bytes(), self.folder / "record"
        self.amend(change, force, "z" if not self.opens("a", image) else "a", env={**os.environ, "NATIVE_RECORD": str(record)})
        names, _ = crashes.read_record(record)
        crashed = self.folder / "crashed"
        for what, state in crashes.states(record, {text: before for text in names.values()}, daily.dice(f"luks crashes {name}"), STATE_COUNT):
            crashed.write_bytes(next(iter(state.values())))
            if not any(self.opens(secret, crashed) for secret in any_of):
                raise RuntimeError(f"{what}: no passphrase opens it")
        if not self.opens("n" if "new-secret" in change else any_of, image):
            raise RuntimeError("the passphrase that it has in the end does not open it")


def main():
    failures = 0
    for form in ("luks", "qcow2"):
        with tempfile.TemporaryDirectory(prefix="instar-luks-") as folder:
            scene = Scene(pathlib.Path(folder), sys.argv[1], form)
            for name, case in CASES.items():
                try:
                    scene.case(name, *case)
                except RuntimeError as error:
                    print(f"{form} {name}: {error}", flush=True)
                    failures += 1
    return 1 if failures else 0


sys.exit(main())
