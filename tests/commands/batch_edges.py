# SPDX-License-Identifier: Apache-2.0
"""`batch`, where it meets what is around it: manifests by pipes, schedulers that replace words, lines mended since, jobs between attempts."""

import fcntl
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

from lib import daily
from lib.jobs import children
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"


def equal(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: {found}, expected {expected}")


def info(name, **others):
    return {"id": name, "command": ["info"], "inputs": ["disk"], **others}


def jobs_write(context, *jobs):
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", "disk", "1M"]).expect()
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    (context.directory / "jobs").write_text(text)
    return text


def lines_of(context, name):
    return [json.loads(line) for line in (context.directory / name).read_text().splitlines()]


@test()
def manifest_by_a_fifo(context):
    """It is read twice, which a pipe cannot be: all of it is taken first, and a signal ends the wait for who writes it."""
    text = jobs_write(context, info("a"), info("b"))
    done = context.run(["bash", "-c", f"exec {shlex.quote(str(context.build.instar))} batch --results shell <(cat jobs)"]).expect()
    equal("summary", done.stdout, "2 jobs: 2 done\n")
    os.mkfifo(context.directory / "fifo")
    process = context.start([context.build.instar, "batch", "fifo"])
    with (context.directory / "fifo").open("w") as stream:
        stream.write(text[:20])
        stream.flush()
        stream.write(text[20:])
    equal("summary", context.finish(process).expect().stdout, "2 jobs: 2 done\n")
    equal("results", {line["id"] for line in lines_of(context, "fifo.results")}, {"a", "b"})
    for _ in range(2):  # before anybody has opened it, or when it may wait for that
        process = context.start([context.build.instar, "batch", "--results", "none", "fifo"])
        time.sleep(0.1)
        process.terminate()
        context.finish(process).expect(-signal.SIGTERM)


@test()
def results_are_read_with_the_lock(context):
    """Who resumes knows what another batch has added until it ended: nobody adds any more when results are read."""
    jobs_write(context, info("a"))
    os.mkfifo(context.directory / "jobs.results.1-of-2")  # reading it waits for us
    process = context.start([context.build.instar, "batch", "--resume", "jobs"])
    with (context.directory / "jobs.results.1-of-2").open("w"), (context.directory / "jobs.results").open("a") as ours:
        try:
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            raise Failure("results are read before they are locked")
    equal("summary", context.finish(process).expect().stdout, "1 jobs: 1 done\n")


@test()
def results_are_not_added_to_an_image(context):
    jobs_write(context, info("a"))
    content = (context.directory / "disk").read_bytes()
    done = context.run([context.build.instar, "batch", "--resume", "--results", "disk", "jobs"])
    done.expect_error("something else than results")
    equal("the image", (context.directory / "disk").read_bytes(), content)


@test()
def odd_limits_and_numbers(context):
    """A limit is taken as it stands, or not at all."""
    jobs_write(context, info("a", limits={"max-memory": "0" * 64 + "1"}), info("b", limits={"max-memory": "0" * 63 + "1"}))
    context.run([context.build.instar, "batch", "jobs"]).expect(1)
    equal("outcomes", {(line["id"], line["outcome"]) for line in lines_of(context, "jobs.results")}, {("a", "invalid"), ("b", "limit")})
    environment = {**context.build.environment(), "PARALLEL_SEQ": "0"}
    done = context.run([context.build.instar, "batch", "--shards", "2", "jobs"], env=environment).expect(1)
    if "PARALLEL_SEQ: is 0" not in done.stderr:
        raise Failure(done.describe("the number is not told"))


@test()
def lines_that_were_mended(context):
    """Of a line that was no job, and is one now, a report tells what came out; sums of odd results stay numbers."""
    jobs_write(context, info("a"), info("b", unknown=1), info("a"), info("c", unknown=1))
    context.run([context.build.instar, "batch", "--tolerant", "jobs"]).expect()
    jobs_write(context, info("a"), info("b"), info("a"), info("c", unknown=1))
    context.run([context.build.instar, "batch", "--tolerant", "--resume", "jobs"]).expect()
    with (context.directory / "jobs.results").open("a") as stream:
        stream.write(json.dumps({"id": "a", "outcome": "done", "seconds": 1e308}) + "\n")
        stream.write(json.dumps({"id": "b", "outcome": "done", "seconds": 1e308}) + "\n")
    found = json.loads(context.run([context.build.instar, "batch", "--report=json", "jobs"]).expect().stdout)
    equal("outcomes", {name: count for name, count in found["outcomes"].items() if count}, {"done": 2, "invalid": 2})
    equal("jobs", (found["jobs"], found["without-result"], found["seconds"]), (4, 0, 0))


@test()
def between_attempts(context):
    """A job that has failed once, and is not tried again as the batch stops, has a result."""
    (context.directory / "noise").write_bytes(daily.dice("noise").randbytes(1 << 20))
    jobs_write(context, *({"id": name, "command": ["convert", "-O", "raw", "-r", "20k"], "inputs": ["noise"], "output": f"{name}.raw"}
                          for name in "ab"))

    def is_job(number):
        try:
            return os.getpgid(number) == number  # others, as what makes a network, are in the batch's group
        except ProcessLookupError:
            return False

    def jobs_wait(process, gone=None):
        while process.poll() is None:
            found = sorted(child for child in children(process) if is_job(child))
            if len(found) == 2 and gone not in found:
                return found
            time.sleep(0.01)
        raise Failure(f"the batch has ended with {process.returncode}")

    process = context.start([context.build.instar, "batch", "-j", "2", "--retries", "1", "--stop-after-failures", "1", "jobs"])
    second = jobs_wait(process)[1]
    os.kill(second, signal.SIGKILL)
    both = jobs_wait(process, second)
    process.send_signal(signal.SIGSTOP)  # it sees the end of both at once
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    for number in both:
        os.kill(number, signal.SIGKILL)
    while any(pathlib.Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z" for number in both):
        time.sleep(0.01)
    process.send_signal(signal.SIGCONT)
    equal("summary", context.finish(process).expect(1).stdout, "2 jobs: 2 crashed\n")
    equal("results", {(line["id"], line["outcome"], line["attempts"]) for line in lines_of(context, "jobs.results")},
          {("a", "crashed", 1), ("b", "crashed", 2)})


@test(needs_kvm=False)
def names_that_parallel_would_replace(context):
    """They reach each share as they are: only the number of the share is replaced."""
    name, option = "jobs {#} {.} {1} {} @INSTAR-SHARD@ 'x'", "--backing-dir={= $_ = `touch ran` =}"
    (context.directory / name).write_text("")
    command = [context.build.instar, "batch", "--submit=parallel", "--dry-run", "--shards", "3", name, "--", option]
    script = context.run(command).expect().stdout
    text = shlex.split(script.splitlines()[-1])[-1]
    words = shlex.split(text)
    equal("words", (words[2:4], words[-3:]), (["--shard", "@INSTAR-SHARD@/3"], [name, "--", option]))
    if text.count("@INSTAR-SHARD@") != 1 or any(begin in text for begin in ("{#", "{.", "{1", "{}", "{=")):
        raise Failure(f"parallel would replace something in {text}")
    if shutil.which("parallel"):
        done = subprocess.run(["sh", "-c", script, "sh", "--dry-run"], cwd=context.directory, env={**context.build.environment(), "HOME": str(context.directory)},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        equal("shares", {tuple(shlex.split(line)[3:4] + shlex.split(line)[-3:]) for line in done.stdout.splitlines()},
              {(f"{number}/3", name, "--", option) for number in (1, 2, 3)})
        equal("what the name does", (context.directory / "ran").exists(), False)


@test()
def parallel_again(context):
    """Each time all shards look for what is left, also of a manifest that has grown, or by another number of shards."""
    if not shutil.which("parallel"):
        raise Skip("parallel is not installed (tools/install-packages schedulers)")
    environment = {**context.build.environment(), "HOME": str(context.directory)}
    for count, names in ((3, "ab"), (3, "abcd"), (2, "abcdef")):
        jobs_write(context, *(info(name) for name in names))
        context.run([context.build.instar, "batch", "--submit=parallel", "--shards", str(count), "jobs"], env=environment).expect()
        found = json.loads(context.run([context.build.instar, "batch", "--report=json", "jobs"]).expect().stdout)
        equal("done", (found["outcomes"]["done"], found["without-result"], found["done-repeatedly"]), (len(names), 0, 0))


@test(needs_kvm=False)
def names_that_kubernetes_would_replace(context):
    """In arguments of a container $(NAME) is a variable, and $$ one dollar."""
    name = "jobs $(JOB_COMPLETION_INDEX) $$ $$$(A) $HOME $"
    (context.directory / name).write_text("")
    done = context.run([context.build.instar, "batch", "--submit=kubernetes", "--dry-run", "--shards", "3", "--image", "i", "--claim", "c", name])
    container, = json.loads(done.expect().stdout)["spec"]["template"]["spec"]["containers"]

    def expand(text):
        """What a container gets, where each variable is set (the API's description of args)."""
        return re.sub(r"\$(\$|\(([^)]*)\))", lambda match: "$" if match[1] == "$" else "set", text)

    equal("what would be replaced", expand(name), "jobs set $ $set $HOME $")
    equal("the name", expand(container["args"][-1]), name)


@test()
def copies_that_are_two(context):
    """`copy` makes its output as convert does: of two jobs with the same one the second is none."""
    jobs_write(context, *({"id": name, "command": ["copy", "-q"], "inputs": ["disk"], "output": "copy"} for name in "ab"))
    context.run([context.build.instar, "batch", "-j", "1", "jobs"]).expect(1)
    equal("outcomes", [(line["id"], line["outcome"]) for line in lines_of(context, "jobs.results")], [("a", "done"), ("b", "invalid")])
