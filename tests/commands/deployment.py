# SPDX-License-Identifier: Apache-2.0
"""What a package, a container and a cluster are told of instar: programs of theirs understand it, and it is true."""

import pathlib
import re
import shutil
import subprocess

from lib.python_tests import test
from lib.suite import Failure, Skip

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROFILE = ROOT / "data" / "apparmor" / "usr.bin.instar"
UNIT = ROOT / "data" / "systemd" / "instar-convert@.service"
CONTAINERFILE = ROOT / "packaging" / "oci" / "Containerfile"
JOBS = ROOT / "packaging" / "kubernetes"


def program_needed(name):
    if shutil.which(name) is None:
        raise Skip(f"{name} is missing")


@test(needs_kvm=False)
def apparmor_profile(context):
    program_needed("apparmor_parser")
    done = context.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", PROFILE]).expect()
    if "error" in done.stderr:
        raise Failure(done.describe("the profile is not understood"))
    rules = re.sub(r"^ *#.*$", "", PROFILE.read_text(), flags=re.M)
    if "qemu-img" in rules:
        raise Failure("the profile takes /usr/bin/qemu-img, which is QEMU's where instar-qemu-img is not installed")


def options_exist(context, command, arguments):
    """As the help of the command has them."""
    text = context.run([context.build.instar, command, "--help"]).expect().stdout
    for option in re.findall(r"(?<!\S)--?[A-Za-z][\w-]*", " ".join(arguments)):
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text):
            raise Failure(f"{command} has no {option}")


@test(needs_kvm=False)
def systemd_unit(context):
    program_needed("systemd-analyze")
    text = UNIT.read_text()
    command = re.search(r"^ExecStart=/usr/bin/instar (\w+) (.*)$", text, re.M)
    options_exist(context, command[1], command[2].split())
    unit = context.directory / UNIT.name.replace("@", "")
    unit.write_text(text.replace("/usr/bin/instar", str(context.build.instar)).replace("%i", "upload"))
    done = context.run(["systemd-analyze", "verify", "--man=no", unit])
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    if complaints or (done.status != 0 and not done.stderr):
        raise Failure(done.describe("systemd complains"))


def libraries(program):
    listed = subprocess.run(["ldd", program], capture_output=True, check=True, text=True).stdout
    return {word for word in listed.split() if word.startswith("/")}


def version():
    return re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.M)[1]


@test(needs_kvm=False)
def container_image(context):
    """It has all libraries that the program needs, and no others; its name is that of the version."""
    names = set(re.findall(r"(?<![\w/.-])instar:[\w.]+", CONTAINERFILE.read_text()))
    if names != {f"instar:{version()}"}:
        raise Failure(f"it is called {names}")
    command, arguments = re.search(r" instar:\S+ (\w+) (.*)$", CONTAINERFILE.read_text(), re.M).groups()
    options_exist(context, command, arguments.split())
    copied = set(re.findall(r"^COPY --from=package (/lib\S+) \1$", CONTAINERFILE.read_text(), re.M))
    needed = libraries(context.build.instar)
    if copied != needed:
        raise Failure(f"the image has {copied}, the program needs {needed}")


@test(needs_kvm=False, cases=["job.yaml", "job-kvm.yaml"])
def kubernetes_job(context, case):
    """It is YAML, keeps to the restricted Pod Security Standard, and its command is one of ours."""
    try:
        import yaml  # not on every machine
    except ImportError:
        raise Skip("python3-yaml is missing") from None
    job = yaml.safe_load((JOBS / case).read_text())
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    if job["kind"] != "Job" or container["securityContext"] != wanted or not pod["securityContext"]["runAsNonRoot"] or \
            pod["securityContext"]["seccompProfile"] != {"type": "RuntimeDefault"}:
        raise Failure("it does not keep to the restricted profile")
    has_device = any(name.endswith("/kvm") for name in container["resources"]["limits"])
    if has_device != ("--sandbox=kvm" in container["args"]) or has_device != ("kvm" in case):
        raise Failure("the device and the option do not fit")
    # The group of the device, and one that may write to the volume.
    if has_device != bool(pod["securityContext"].get("supplementalGroups")) or not pod["securityContext"]["fsGroup"]:
        raise Failure("the groups do not fit")
    command, *arguments = container["args"]
    options_exist(context, command, arguments)
    if container["image"] != f"instar:{version()}":
        raise Failure("it is the image of another version")
