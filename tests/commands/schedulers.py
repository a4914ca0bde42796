# SPDX-License-Identifier: Apache-2.0
"""Real schedulers run `batch`: Slurm with nodes that fail, GNU parallel by ssh, and what Kubernetes' API takes.

INSTAR_TEST_ALL=1: 2,000 images, 64 shards and four nodes instead of a few.
"""

import json
import os
import random
import shlex
import shutil

from lib import daily, images
from lib.hosts import Hosts, programs_need, wait_for
from lib.python_tests import test
from lib.slurm import Slurm
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"
SSHD = "/usr/sbin/sshd"
IS_WHOLE = bool(os.environ.get("INSTAR_TEST_ALL"))


def fleet_make(context, count):
    """Images that become raw ones, an eighth of them hostile; returns what each good one has to become."""
    dice = random.Random(daily.seed())
    content = bytearray(1 << 20)
    content[65536:200000] = dice.randbytes(200000 - 65536)
    (context.directory / "content").write_bytes(content)
    context.run([REFERENCE, "convert", "-f", "raw", "-O", "qcow2", "content", "good"]).expect()
    good = (context.directory / "good").read_bytes()
    at = good.index(content[65536:65536 + 64])
    jobs, expected = [], {}
    for number in range(count):
        name = f"{number}.qcow2"
        image = bytearray(good)
        if number % 8 == 2:
            image[dice.choice((8, 20, 40, 48, 100))] ^= 0xFF
        else:
            image[at:at + 8] = number.to_bytes(8, "big")
            content[65536:65536 + 8] = number.to_bytes(8, "big")
            expected[str(number)] = bytes(content)
        (context.directory / name).write_bytes(image)
        jobs.append({"id": str(number), "command": ["convert", "-f", "qcow2", "-O", "raw", "-t", "unsafe"], "inputs": [name],
                     "output": f"{number}.raw", "digest": True})
    (context.directory / "jobs").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return expected


def fleet_check(context, count, expected):
    """Each good image has one good result and is right, no bad one has; nothing half done has a name."""
    results = {}
    for path in context.directory.glob("jobs.results*"):
        for line in path.read_text().splitlines():
            try:
                result = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            results.setdefault(result["id"], []).append(result)
    if set(results) != {str(number) for number in range(count)}:
        raise Failure(f"{count - len(results)} jobs have no result")
    for name, all_of_it in results.items():
        good = [result for result in all_of_it if result["outcome"] == "done"]
        if len(good) != (name in expected) or (not good and all_of_it[-1]["outcome"] != "refused"):
            raise Failure(f"results of {name}: {all_of_it}")
        path = context.directory / f"{name}.raw"
        if path.exists() != bool(good):
            raise Failure(f"{path} is there: {path.exists()}, and its result is {all_of_it}")
        if good and (path.read_bytes() != expected[name] or good[0]["output"]["sha256"] != images.sha256(path)):
            raise Failure(f"{path} is not what {name} becomes")
    left = [path.name for path in context.directory.iterdir() if path.name.startswith(".")]
    if left:
        raise Failure(f"left over: {left}")


def slurm(context):
    """An array; a node loses its power in the middle and comes back."""
    count, shards, nodes = (2000, 64, 4) if IS_WHOLE else (12, 3, 2)
    cluster = Slurm(context, nodes, 2)
    expected = fleet_make(context, count)
    cluster.run(str(context.build.instar), "batch", "--submit=slurm", "--shards", str(shards), "-j", "1", "jobs")
    victim = cluster.nodes[0]

    def is_at_work():
        return any(line.count(b"\n") > 1 for line in (path.read_bytes() for path in context.directory.glob("jobs.results*")))

    wait_for(context, "the first results", is_at_work, 0.01)
    cluster.node_kill(victim)
    cluster.run("scontrol", "update", f"NodeName={victim}", "State=DOWN", "Reason=power")
    cluster.node_return(victim)
    cluster.run("scontrol", "update", f"NodeName={victim}", "State=RESUME")
    wait_for(context, "the end of the array", lambda: not cluster.run("squeue", "-h").strip(), 0.5)
    states = cluster.run("scontrol", "-o", "show", "jobs")
    if "Restarts=1" not in states:
        raise Failure(f"no task was run anew: {states}")
    if states.count("JobState=COMPLETED") != shards:
        raise Failure(f"not all tasks have completed: {states}")
    fleet_check(context, count, expected)


class Servers:
    """sshd on some hosts, which lets in who has the test's key."""

    def __init__(self, context, names):
        programs_need("sshd", "ssh", "ssh-keygen")
        self.hosts = Hosts(context, ["control", *names])
        directory = context.directory.parent / "ssh"
        directory.mkdir(mode=0o700)
        os.makedirs("/run/sshd", exist_ok=True)  # where sshd confines its process before the login
        for name in ("host", "user"):
            context.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]).expect()
        shutil.copy(directory / "user.pub", directory / "authorized_keys")
        (directory / "sshd_config").write_text(
            f"HostKey {directory}/host\nAuthorizedKeysFile {directory}/authorized_keys\nStrictModes no\nPidFile none\n"
            "UsePAM no\nPermitRootLogin yes\nPort 2222\n")
        addresses = [self.hosts.address(name) for name in names]
        self.config = directory / "config"
        self.config.write_text(f"Host {' '.join(addresses)}\nPort 2222\nIdentityFile {directory}/user\nStrictHostKeyChecking no\n"
                               "UserKnownHostsFile /dev/null\nLogLevel ERROR\nBatchMode yes\n")
        self.addresses = addresses
        for name in names:
            self.hosts.start(name, [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")], f"../{name}.log")
        for address in addresses:
            wait_for(context, f"sshd at {address}", lambda address=address: self.answers(address))

    def answers(self, address):
        try:
            self.hosts.run("control", ["ssh", "-F", self.config, address, "true"])
            return True
        except Failure:
            return False


def parallel(context):
    """By ssh on two hosts."""
    programs_need("parallel")
    count, shards = (400, 16) if IS_WHOLE else (6, 3)
    servers = Servers(context, ["node1", "node2"])
    expected = fleet_make(context, count)
    script = context.run([context.build.instar, "batch", "--submit=parallel", "--dry-run", "--shards", str(shards), "-j", "1", "jobs"])
    (context.directory / "jobs.parallel").write_text(script.expect().stdout)
    environment = {**context.build.environment(), "PARALLEL_SSH": f"ssh -F {shlex.quote(str(servers.config))}",
                   "HOME": str(context.directory.parent)}
    command = ["sh", "jobs.parallel", "--will-cite", "--sshlogin", ",".join(f"1/{address}" for address in servers.addresses),
               "--workdir", str(context.directory)]
    servers.hosts.run("control", command, env=environment)
    fleet_check(context, count, expected)
    hosts = {json.loads(line)["host"] for path in context.directory.glob("jobs.results*") for line in path.read_text().splitlines()}
    if hosts != {"node1", "node2"}:
        raise Failure(f"the work was done by {hosts}")


# Daemons take half a minute of processor time to come and go, on slow machines: one of five days.
@test(cases=daily.sample("schedulers", ["slurm", "parallel"], 1) if daily.takes("schedulers", 0.2) else [], timeout=1200 if IS_WHOLE else 120, alone=IS_WHOLE)
def of_hosts(context, case):
    {"slurm": slurm, "parallel": parallel}[case](context)


def disk_make(path, length, stored_length):
    """A sparse disk; what it has is text and noise, in pieces of 1 MiB."""
    dice = random.Random(daily.seed())
    pieces = [(b"%d lines of text\n" % number * 60000)[:1 << 19] + dice.randbytes(1 << 19) for number in range(64)]
    places = dice.sample(range(length >> 20), stored_length >> 20)
    with path.open("wb") as disk:
        disk.truncate(length)
        for number, place in enumerate(places):
            disk.seek(place << 20)
            disk.write(place.to_bytes(8, "big") + pieces[number % len(pieces)][8:])


@test(cases=daily.sample("schedulers/one image", ["raw", "compressed"], 1), timeout=1200 if IS_WHOLE else 120, alone=IS_WHOLE)
def one_image(context, case):
    """Of 20 GiB, by four shards on two hosts, of which one loses its power meanwhile; a shard is done twice."""
    length, stored_length = (20 << 30, 2 << 30) if IS_WHOLE else (640 << 20, 16 << 20)
    hosts = Hosts(context, ["control", "node1", "node2"])
    source, output = context.directory / "source", context.directory / "output"
    disk_make(source, length, stored_length)
    with output.open("wb") as file:
        file.truncate(length if case == "raw" else 0)
    environment = context.build.environment()

    def command(number, *options):
        target = ["-O", "raw", output] if case == "raw" else ["-O", "qcow2", "-c", context.directory / f"part{number}"]
        return [context.build.instar, "convert", "-t", "unsafe", "-f", "raw", "--shard", f"{number}/4", *options, source, *target]

    def do(host, number):
        return context.start(hosts.enter(host, command(number)), env=environment, cwd=context.directory)

    running = [do("node1", 1), do("node2", 2), context.start(hosts.enter("node1", command(3, "-r", "1M")), env=environment)]
    if running[1].wait(context.left_s()) != 0:
        raise Failure("a shard has failed")
    running[0].wait(context.left_s())
    hosts.kill("node1")
    running[2].wait(context.left_s())
    if (context.directory / "part3").exists():
        raise Failure("half a part has a name")
    for done in [do("node1", 3), do("node2", 4)], [do("node1", 2), do("node2", 1)]:
        if any(process.wait(context.left_s()) for process in done):
            raise Failure("a shard has failed")
    if case != "raw":
        output.unlink()
        hosts.run("node2", [context.build.instar, "convert", "--join", *(f"part{number}" for number in (3, 1, 4, 2)), output], env=environment)
        context.run([REFERENCE, "check", "-q", output]).expect()
    context.run([REFERENCE, "compare", "-q", "-f", "raw", "-F", "raw" if case == "raw" else "qcow2", source, output]).expect()


# Of the API's schema (Kubernetes' OpenAPI, io.k8s.api.batch.v1.Job and what it leads to), what a Job of ours may have:
# names, types, and what has to be there. Nothing else is let through, as by `kubectl create --validate=strict`.
def json_object(properties, required=()):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "array", "items": TEXT}
QUANTITY = {"anyOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}, NUMBER]}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
LABEL = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
METADATA = json_object({"name": TEXT, "generateName": TEXT, "namespace": TEXT, "labels": {"type": "object"}, "annotations": {"type": "object"}})
SECCOMP = json_object({"type": {"enum": ["Localhost", "RuntimeDefault", "Unconfined"]}, "localhostProfile": TEXT}, ["type"])
CONTAINER_SECURITY = json_object({
    "allowPrivilegeEscalation": FLAG, "privileged": FLAG, "readOnlyRootFilesystem": FLAG, "runAsNonRoot": FLAG, "runAsUser": NUMBER,
    "runAsGroup": NUMBER, "seccompProfile": SECCOMP, "capabilities": json_object({"add": TEXTS, "drop": TEXTS})})
ENVIRONMENT = json_object({"name": TEXT, "value": TEXT}, ["name"])
MOUNT = json_object({"name": LABEL, "mountPath": {"type": "string", "pattern": "^[^:]+$"}, "readOnly": FLAG, "subPath": TEXT},
                    ["name", "mountPath"])
CONTAINER = json_object({
    "name": LABEL, "image": TEXT, "command": TEXTS, "args": TEXTS, "workingDir": TEXT, "env": {"type": "array", "items": ENVIRONMENT},
    "imagePullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]}, "securityContext": CONTAINER_SECURITY,
    "resources": json_object({"limits": QUANTITIES, "requests": QUANTITIES}), "volumeMounts": {"type": "array", "items": MOUNT}}, ["name"])
VOLUME = json_object({"name": LABEL, "persistentVolumeClaim": json_object({"claimName": TEXT, "readOnly": FLAG}, ["claimName"]),
                      "emptyDir": json_object({"medium": TEXT, "sizeLimit": QUANTITY})}, ["name"])
POD = json_object({
    "restartPolicy": {"enum": ["Never", "OnFailure"]}, "automountServiceAccountToken": FLAG, "enableServiceLinks": FLAG,
    "serviceAccountName": TEXT, "nodeSelector": {"type": "object"}, "terminationGracePeriodSeconds": NUMBER, "activeDeadlineSeconds": NUMBER,
    "securityContext": json_object({"runAsNonRoot": FLAG, "runAsUser": NUMBER, "runAsGroup": NUMBER, "fsGroup": NUMBER,
                                    "seccompProfile": SECCOMP}),
    "containers": {"type": "array", "items": CONTAINER, "minItems": 1}, "volumes": {"type": "array", "items": VOLUME}},
    ["containers", "restartPolicy"])
JOB = json_object({
    "apiVersion": {"const": "batch/v1"}, "kind": {"const": "Job"}, "metadata": METADATA,
    "spec": json_object({
        "completionMode": {"enum": ["Indexed", "NonIndexed"]}, "completions": NUMBER, "parallelism": NUMBER, "backoffLimit": NUMBER,
        "activeDeadlineSeconds": NUMBER, "ttlSecondsAfterFinished": NUMBER, "suspend": FLAG,
        "template": json_object({"metadata": METADATA, "spec": POD}, ["spec"])}, ["template"])},
    ["apiVersion", "kind", "metadata", "spec"])


@test()
def kubernetes(context):
    """The Job is what the API's schema has, and its pods, by the index that they get, do all jobs once."""
    try:
        import jsonschema  # pylint: disable=import-outside-toplevel
    except ImportError:
        raise Skip("not installed: python3-jsonschema (tools/install-packages schedulers)") from None
    count, shards = 4, 2
    expected = fleet_make(context, count)
    text = context.run([context.build.instar, "batch", "--submit=kubernetes", "--dry-run", "--shards", str(shards), "-j", "2", "--image",
                        "registry.test/instar:0.1.0", "--claim", "images", "--shard-time", "600", "--shard-memory", "512M", "jobs"]).expect().stdout
    job = json.loads(text)
    jsonschema.validate(job, JOB)
    damaged = json.loads(text)
    damaged["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    try:
        jsonschema.validate(damaged, JOB)
        raise Failure("the schema lets through what the API does not know")
    except jsonschema.ValidationError:
        pass
    pod = job["spec"]["template"]["spec"]
    mounts = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
    if mounts != {volume["name"] for volume in pod["volumes"]}:
        raise Failure(f"mounts {mounts} have no volumes")
    for index in range(job["spec"]["completions"]):
        environment = {**context.build.environment(), "JOB_COMPLETION_INDEX": str(index)}
        context.run([context.build.instar, *pod["containers"][0]["args"]], env=environment).expect()
    fleet_check(context, count, expected)
