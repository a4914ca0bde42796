# SPDX-License-Identifier: Apache-2.0
"""`batch`: each job comes out as it does alone, results survive whatever ends the batch, and shards have each job once."""

import fcntl
import json
import os
import pathlib
import pty
import re
import shlex
import signal
import struct
import subprocess
import termios
import time
import xml.etree.ElementTree

from lib import daily, images, users
from lib.jobs import children, children_of, thread_count
from lib.python_tests import test
from lib.suite import Failure, Skip

REFERENCE = "/usr/bin/qemu-img"


def manifest_write(context, *jobs):
    path = context.directory / "jobs"
    path.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    return path


def results_of(context, name="jobs.results"):
    return [json.loads(line) for line in (context.directory / name).read_text().splitlines()]


def outcomes(results):
    return {(result["id"], result["outcome"]) for result in results}


def equal(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: {found}, expected {expected}")


def batch(context, *options, **others):
    return context.run([context.build.instar, "batch", "-q", *options, "jobs"], **others)


def info(name, **others):
    return {"id": name, "command": ["info", "--output=json"], "inputs": [name], **others}


def disk_make(context, name, pattern="0x5a 64k 200k"):
    context.run([REFERENCE, "create", "-q", "-f", "qcow2", name, "1M"]).expect()
    value, offset, length = pattern.split()
    context.run(["/usr/bin/qemu-io", "-c", f"write -P {value} {offset} {length}", name]).expect()


@test()
def jobs_come_out_as_alone(context):
    for name in ("a", "b"):
        disk_make(context, name)
    (context.directory / "bad").write_bytes((context.directory / "a").read_bytes()[:40] + bytes([0xFF]) * 600)
    context.run(["truncate", "-s", "100M", "large"]).expect()
    (context.directory / "noise").write_bytes(daily.dice("noise").randbytes(4 << 20))
    manifest_write(
        context, info("a"), info("bad"), info("missing"),
        {"id": "c", "command": ["convert", "-O", "raw"], "inputs": ["b"], "output": "c.raw", "digest": True},
        {"id": "differs", "command": ["compare"], "inputs": ["a", "large"], "accept": [1]},
        {"id": "limit", "command": ["convert", "-O", "raw", "-S", "0"], "inputs": ["large"], "output": "d.raw",
         "limits": {"max-output": "1M"}},
        {"id": "time", "command": ["convert", "-O", "raw", "-r", "100k"], "inputs": ["noise"], "output": "e.raw", "limits": {"max-time": 1}},
        {"id": "unknown", "command": ["no-such-command"]}, {"id": "self", "command": ["batch", "jobs"]},
        {"id": "a", "command": ["info"]})
    with (context.directory / "jobs").open("a") as file:
        file.write("\n{]\n")
    done = batch(context, "-j", "3").expect(1)
    results = results_of(context)
    equal("outcomes", outcomes(results), {
        ("a", "done"), ("bad", "refused"), ("missing", "failed"), ("c", "done"), ("differs", "done"), ("limit", "limit"),
        ("time", "limit"),
        ("unknown", "failed"), ("self", "failed"), ("a", "invalid"), (None, "invalid")})
    for line in (10, 12):
        if f"jobs:{line}: " not in done.stderr:
            raise Failure(done.describe(f"line {line} is no job, which is not told"))
    by_name = {result["id"]: result for result in results if result["outcome"] != "invalid"}
    alone = json.loads(context.run([REFERENCE, "info", "--output=json", "a"]).expect().stdout)
    equal("what info prints", by_name["a"]["result"], alone)
    context.run([REFERENCE, "convert", "-O", "raw", "b", "expected.raw"]).expect()
    equal("digest", by_name["c"]["output"]["sha256"], images.sha256(context.directory / "expected.raw"))
    equal("content", images.sha256(context.directory / "c.raw"), images.sha256(context.directory / "expected.raw"))
    if (context.directory / "d.raw").exists():
        raise Failure("an output beyond its limit is there")
    alone = context.run([context.build.instar, "info", "--output=json", "bad"]).expect(1).stderr
    if by_name["bad"]["stderr"].splitlines()[-1] not in alone:
        raise Failure(f"{by_name['bad']} says something else than {alone}")


@test()
def what_is_good_is_not_done_again(context):
    """A torn line, an output that has gone, and one that has changed are no good results."""
    for name in ("a", "b", "c"):
        disk_make(context, name)
    jobs = [{"id": name, "command": ["convert", "-O", "raw"], "inputs": [name], "output": f"{name}.raw"} for name in "abc"]
    manifest_write(context, info("missing"), info("a", id="info"), *jobs)
    batch(context).expect(1)
    equal("results", len(results_of(context)), 5)
    done = batch(context).expect(1)
    if "--resume" not in done.stderr or len(results_of(context)) != 5:
        raise Failure(done.describe("old results are added to, without --resume"))
    (context.directory / "a.raw").unlink()
    os.utime(context.directory / "b.raw", ns=(0, 1))
    with (context.directory / "jobs.results").open("a") as file:
        file.write('{"id": "c", "outco')
    done = batch(context, "--resume").expect(1)
    if "1 lines that are no results" not in done.stderr:
        raise Failure(done.describe("the torn line is not told"))
    lines = (context.directory / "jobs.results").read_text().splitlines()
    equal("the torn line", lines[5], '{"id": "c", "outco')
    again = outcomes(json.loads(line) for line in lines[6:])
    equal("done again", again, {("missing", "failed"), ("a", "done"), ("b", "done")})
    equal("content", images.sha256(context.directory / "a.raw"), images.sha256(context.directory / "c.raw"))


@test()
def what_has_changed_is_done_again(context):
    """A result counts for the job that it is of, and of what is written in place only if it is no shorter."""
    disk_make(context, "a")
    disk_make(context, "b", "0x33 0 300k")
    (context.directory / "place").write_bytes(bytes(1 << 20))
    jobs = [{"id": name, "command": ["convert", "-O", "raw"], "inputs": ["a"], "output": f"{name}.raw"} for name in "xyz"]
    jobs.append({"id": "place", "command": ["convert", "-n", "-O", "raw"], "inputs": ["a"], "output": "place"})
    manifest_write(context, *jobs)
    batch(context).expect()
    jobs[0]["inputs"] = ["b"]
    jobs[1]["limits"] = {"max-time": 60}
    manifest_write(context, *jobs)
    (context.directory / "place").write_bytes(b"")
    path = context.directory / "jobs.results"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["id"] == "z":
            del line["job"]  # as from before it was there
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    batch(context, "--resume", "--max-cpu", "100").expect(1)  # the target is too short now
    again = outcomes(json.loads(line) for line in path.read_text().splitlines()[4:])
    equal("done again", again, {("x", "done"), ("z", "done"), ("place", "failed")})
    context.run([REFERENCE, "compare", "-q", "-f", "raw", "-F", "qcow2", "x.raw", "b"]).expect()


@test()
def jobs_that_are_two(context):
    """Of an id, and of an output, the second one is none, whatever shard they are in; nor may it be a file of the batch's."""
    disk_make(context, "a")
    job = {"command": ["convert", "-O", "raw"], "inputs": ["a"]}
    lines = [info("a"), info("a"), info("a", id="1"), {**job, "id": "2", "output": "o"}, {**job, "id": "3", "output": "o"},
             {**job, "id": "4", "output": "jobs"}, {**job, "id": "5", "output": "link"}, {**job, "id": "6", "output": "raw"},
             {**job, "id": "7", "command": ["convert", "-O", "raw", "--shard", "1/1"], "output": "o"}]
    bad = {"a": "this id", "3": "makes this output", "4": "the manifest", "5": "the file of results", "6": "a word"}
    content = manifest_write(context, *lines).read_bytes()
    for count in (1, 2):
        for name in context.directory.glob("jobs.results*"):
            name.unlink()
        found = []
        for shard in range(1, count + 1):
            results = context.directory / ("jobs.results" if count == 1 else f"jobs.results.{shard}-of-{count}")
            (context.directory / "link").unlink(missing_ok=True)
            (context.directory / "link").symlink_to(results)
            batch(context, "-j", "1", "--tolerant", "--shard", f"{shard}/{count}").expect()
            found += results_of(context, results.name)
        equal("lines", len(found), len(lines))
        equal("invalid", {result["id"] for result in found if result["outcome"] == "invalid"}, set(bad))
        for result in found:
            if result["outcome"] == "invalid" and bad[result["id"]] not in result["stderr"]:
                raise Failure(f"{result} does not say {bad[result['id']]!r}")
        equal("done", sorted(result["id"] for result in found if result["outcome"] == "done"), ["1", "2", "7", "a"])
    equal("manifest", (context.directory / "jobs").read_bytes(), content)


@test()
def outputs_that_are_one(context):
    """By whatever way, a link or another name: the second job that makes a file is none, and others are."""
    disk_make(context, "a")
    (context.directory / "d").mkdir()
    (context.directory / "e").symlink_to("d")
    (context.directory / "old").write_bytes(b"old")
    (context.directory / "name").hardlink_to(context.directory / "old")
    (context.directory / "to").symlink_to("d/y")
    first = ["d/x", "old", "d/y", "d/new", "x"]
    second = ["./d/x", "d/../d/x", "e/x", f"{context.directory}/d/x", "name", "to", "e/new"]
    job = {"command": ["convert", "-O", "raw"], "inputs": ["a"]}
    manifest_write(context, *({**job, "id": name, "output": name} for name in first + second))
    done = batch(context, "-j", "4").expect(1)
    equal("outcomes", outcomes(results_of(context)), {*((name, "done") for name in first), *((name, "invalid") for name in second)})
    equal("lines", done.stderr.count("another job makes this output"), len(second))
    (context.directory / "jobs.results").unlink()
    # Of other shards' outputs what stands there is not looked at.
    second = [name for name in second if name not in ("name", "to")]
    manifest_write(context, *({**job, "id": name, "output": name} for name in first + second))
    found = set()
    for shard in range(1, 4):
        batch(context, "--tolerant", "--shard", f"{shard}/3").expect()
        found |= outcomes(results_of(context, f"jobs.results.{shard}-of-3"))
    equal("outcomes of shards", found, {*((name, "done") for name in first), *((name, "invalid") for name in second)})


@test()
def few_descriptors(context):
    """More are taken where there may be more. Where not, fewer jobs run at a time, or each that cannot says why."""
    disk_make(context, "a")
    manifest_write(context, *(info("a", id=str(number)) for number in range(12)))
    command = [context.build.instar, "batch", "-j", "8", "jobs"]
    context.run(["prlimit", "--nofile=20:4096", *command]).expect()
    for limit in (20, 24, 30):
        (context.directory / "jobs.results").unlink()
        done = context.run(["prlimit", f"--nofile={limit}:{limit}", *command]).expect(1)
        results = results_of(context)
        equal("results", (len(results), {result["outcome"] for result in results}), (12, {"failed"}))
        if any("open" not in result["stderr"] for result in results) or "12 jobs: 12 failed" not in done.stdout:
            raise Failure(done.describe(f"expected a line about open files: {results[0]}"))


@test()
def networks(context):
    """Machines that run at a time share no network with each other, nor with the host."""
    if not users.is_root():
        raise Skip("only root may look at a process that is not dumpable")
    (context.directory / "noise").write_bytes(daily.dice("noise").randbytes(1 << 20))
    manifest_write(context, *({"id": str(number), "command": ["convert", "-O", "raw", "-r", "200k"], "inputs": ["noise"], "output": f"{number}.raw"}
                              for number in range(4)))
    process = batch_start(context)
    ours = pathlib.Path("/proc/self/ns/net").readlink()
    seen = set()
    while process.poll() is None:
        machines = [machine for job in children(process) for machine in children_of(job) if thread_count(machine) >= 4]
        try:
            found = [pathlib.Path(f"/proc/{machine}/ns/net").readlink() for machine in machines]
        except OSError:  # it has ended meanwhile
            continue
        if len(found) != len(set(found)) or ours in found:
            raise Failure(f"networks of machines: {found}, ours {ours}")
        seen.add(len(found))
        time.sleep(0.005)
    equal("exit code", process.returncode, 0)
    if 2 not in seen:
        raise Failure(f"so many machines were seen at a time: {seen}")


@test()
def shards(context):
    """Each job is in one of them, by options and by what schedulers set; one results file for each."""
    disk_make(context, "a")
    manifest_write(context, *(info("a", id=str(number)) for number in range(10)))
    environments = ({"SLURM_ARRAY_TASK_ID": "0"}, {"JOB_COMPLETION_INDEX": "1"}, {"PARALLEL_SEQ": "3"})
    for number, variables in enumerate(environments, start=1):
        batch(context, "--shards", "4", env={**context.build.environment(), **variables}).expect()
        equal("jobs of a shard", sorted(int(result["id"]) for result in results_of(context, f"jobs.results.{number}-of-4")),
              list(range(number - 1, 10, 4)))
    batch(context, "--shard", "1/1", "--resume").expect()  # what the first three have done is good
    equal("jobs of the rest", sorted(result["id"] for result in results_of(context)), ["3", "7"])


@test()
def failures_and_retries(context):
    disk_make(context, "a")
    manifest_write(context, *(info("missing", id=f"bad {number}") for number in range(5)), info("a"))
    batch(context, "-j", "1", "--retries", "2", "--stop-after-failures", "2").expect(1)
    results = results_of(context)
    equal("attempts", [(result["id"], result["attempts"]) for result in results], [("bad 0", 3), ("bad 1", 3)])
    (context.directory / "jobs.results").unlink()
    done = context.run([context.build.instar, "batch", "-j", "1", "--stop-after-failures", "2", "jobs"]).expect(1)
    equal("summary", done.stdout, "2 jobs: 2 failed; 4 were not begun, after so many failures\n")


def batch_start(context, *options):
    return subprocess.Popen([context.build.instar, "batch", "-j", "2", *options, "jobs"], cwd=context.directory,
                            env=context.build.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def results_wait(context, process, count):
    """Until so many are there."""
    path = context.directory / "jobs.results"
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < count):
        time.sleep(0.005)


@test(cases=daily.sample("batch/ended early", ["SIGTERM", "SIGTERM SIGTERM", "SIGKILL"], 2))
def ended_early(context, case):
    """However a batch ends, the next one does what is left, and each job has one good result."""
    disk_make(context, "a")
    count = 16
    manifest_write(context, *({"id": str(number), "command": ["convert", "-O", "raw"], "inputs": ["a"],
                               "output": f"{number}.raw"} for number in range(count)))
    process = batch_start(context)
    results_wait(context, process, 3)
    for name in case.split():
        process.send_signal(getattr(signal, name))
        time.sleep(0.02)
    status = process.wait()
    if status != 0:  # all jobs may have been done by then
        equal("how it ended", status, -getattr(signal, case.split()[0]))
    if case == "SIGTERM":
        equal("outcomes after draining", {result["outcome"] for result in results_of(context)}, {"done"})
    batch(context, "--resume").expect()
    lines = (context.directory / "jobs.results").read_text().splitlines()
    good = []
    for line in lines:
        try:
            result = json.loads(line)
        except ValueError:
            continue
        good += [result["id"]] if result["outcome"] == "done" else []
    equal("good results", sorted(good, key=int), [str(number) for number in range(count)])
    digests = {images.sha256(context.directory / f"{number}.raw") for number in range(count)}
    equal("different contents", len(digests), 1)


@test()
def progress_on_a_terminal(context):
    """What is done, what has failed, the rate and the time that is left; a line for who asks; nothing of the bar stays."""
    disk_make(context, "a")
    manifest_write(context, info("missing"), *(info("a", id=str(number)) for number in range(20)))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen([context.build.instar, "batch", "-j", "1", "jobs"], cwd=context.directory,
                               env=context.build.environment(), stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    results_wait(context, process, 1)
    process.send_signal(signal.SIGUSR1)
    text = ""
    try:
        while data := os.read(master, 65536):
            text += data.decode()
    except OSError:  # nobody has the other end any more
        pass
    os.close(master)
    equal("exit code", process.wait(), 1)
    shown = r"\d+ of 21  \d failed  [\d.]+/s(  \d+:\d\d left)?"
    for what, pattern in (("a bar", rf"\r *\d+%  \[=*>? *\] +{shown} *[\r]"), ("an answer", rf" {shown} *\r\n"), ("rate and time", r"[1-9][\d.]*/s  \d")):
        if not re.search(pattern, text):
            raise Failure(f"there is no {what} in {text!r}")
    if text.rstrip("\r").rpartition("\r")[2].strip():
        raise Failure(f"the bar is still there: {text!r}")


@test()
def one_writer(context):
    """A second batch on the same results is refused while the first one runs."""
    disk_make(context, "a")
    manifest_write(context, *(info("a", id=str(number)) for number in range(100)))
    process = batch_start(context)
    results_wait(context, process, 1)
    done = batch(context, "--resume").expect(1)
    if "another process writes" not in done.stderr:
        raise Failure(done.describe("two write to one file"))
    process.kill()
    process.wait()


@test()
def manifest_from_a_pipe(context):
    """All of it is read before the first job, and a signal is heard meanwhile."""
    disk_make(context, "a")
    command = [context.build.instar, "batch", "--results", "out", "-"]
    process = subprocess.Popen(command, cwd=context.directory, env=context.build.environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output, _ = process.communicate("".join(json.dumps(info("a", id=name)) + "\n" for name in "xyz"))
    equal("summary", (process.returncode, output), (0, "3 jobs: 3 done\n"))
    process = subprocess.Popen([*command, "--resume"], cwd=context.directory, env=context.build.environment(),
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.1)
    process.terminate()
    equal("how it ended", process.wait(20), -signal.SIGTERM)


@test()
def report(context):
    """Over all shards, as text, JSON and a picture; a job that was done again counts once."""
    disk_make(context, "a")
    (context.directory / "bad").write_bytes((context.directory / "a").read_bytes()[:40] + bytes([0xFF]) * 600)
    manifest_write(context, info("a"), info("bad"), info("a", id="again"), info("missing"))
    for shard in ("1/2", "2/2"):
        batch(context, "--tolerant", "--shard", shard).expect()
    batch(context, "--tolerant", "--resume", "--shard", "2/2").expect()
    with (context.directory / "jobs").open("a") as file:
        file.write(json.dumps(info("a", id="not yet")) + "\n")
    found = json.loads(batch(context, "--report=json").expect().stdout)
    outcomes_found = {name: count for name, count in found["outcomes"].items() if count}
    equal("outcomes", outcomes_found, {"done": 2, "refused": 1, "failed": 1})
    equal("jobs", (found["jobs"], found["without-result"], found["done-repeatedly"]), (4, 1, 0))
    equal("not done", {job["id"] for job in found["not-done"]}, {"bad", "missing"})
    text = batch(context, "--report").expect().stdout
    for word in ("done                  2", "no result             1", "No such file"):
        if word not in text:
            raise Failure(f"{word!r} is not told: {text}")
    picture = xml.etree.ElementTree.fromstring(batch(context, "--report=svg").expect().stdout)
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    if "refused" not in texts or "5 jobs" not in texts[0]:
        raise Failure(f"the picture says {texts}")


@test(needs_kvm=False)
def report_of_odd_results(context):
    """No results yet, results that later versions or other manifests have, and lines that are none."""
    manifest_write(context, info("a"), info("b"))
    done = batch(context, "--report=json").expect(1)
    if "there are no results" not in done.stderr:
        raise Failure(done.describe("expected a line that says so"))
    path = context.directory / "jobs.results"

    def told():
        found = json.loads(batch(context, "--report=json").expect().stdout)
        outcomes_found = {name: count for name, count in found["outcomes"].items() if count}
        return [found[name] for name in ("jobs", "without-result", "of-no-job", "no-results")] + [outcomes_found]

    path.write_text("")
    equal("of an empty file", told(), [0, 2, 0, 0, {}])
    lines = [{"id": "a", "outcome": "done", "new": {"x": [1]}, "seconds": "two", "output": 7}, {"id": "other", "outcome": "done"},
             {"id": "b", "outcome": "splendid"}, {"id": 7, "outcome": "done"}, {"id": None, "outcome": "invalid", "line": 9}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"id": "b", "outco\n[1]\n')
    equal("of odd ones", told(), [1, 1, 2, 4, {"done": 1}])
    text = batch(context, "--report").expect().stdout
    for line in ("2 results are of jobs that the manifest does not have", "4 lines that are no results were passed over"):
        if line not in text.splitlines():
            raise Failure(f"{line!r} is not told: {text}")
    (context.directory / "jobs").unlink()
    equal("without the manifest", told(), [3, 0, 0, 4, {"done": 2, "invalid": 1}])


NASTY = "a\x1b]0;t\x07\n\x9b1m\u202eb\u200b"


@test(needs_kvm=False)
def report_has_no_controls(context):
    """Names of jobs and what commands say: nothing of it acts on a terminal, and JSON has it as it was."""
    manifest_write(context, info(NASTY), {"id": "long" * 5000, "command": ["no-such-command"]})
    with (context.directory / "jobs").open("a") as file:
        file.write("{\x1b]}\n")
    batch(context).expect(1)
    texts = {"results": (context.directory / "jobs.results").read_text()}
    for form in ("text", "json"):
        texts[form] = batch(context, f"--report={form}").expect().stdout
    for form, text in texts.items():
        if bad := {character for character in text if character != "\n" and not " " <= character <= "~"}:
            raise Failure(f"{form} has {bad}")
    if NASTY not in {result["id"] for result in results_of(context)} or NASTY not in {job["id"] for job in json.loads(texts["json"])["not-done"]}:
        raise Failure(f"the job's id has changed: {texts}")
    shown = "a\\x1b]0;t\\x07\\x0a\\xc2\\x9b1m\\xe2\\x80\\xaeb\\xe2\\x80\\x8b"
    if shown + ": " not in texts["text"]:
        raise Failure(f"{shown} is not in {texts['text']}")
    equal("lines", len([line for line in texts["text"].splitlines() if shown in line]), 3)


@test(needs_kvm=False)
def names_have_no_controls(context):
    """Nor have names of the manifest and of results, where lines of them are told of."""
    name = "jobs\x1b]0;t\x07"
    (context.directory / name).write_text("{]\n")
    (context.directory / f"{name}.results").write_text('{"torn')
    done = context.run([context.build.instar, "batch", "--resume", name]).expect(1)
    shown = "jobs\\x1b]0;t\\x07"
    for text in (f"{shown}:1: ", f"{shown}.results: 1 lines"):
        if text not in done.stderr or "\x1b" in done.stderr + done.stdout:
            raise Failure(done.describe(f"expected {text!r}"))


@test(needs_kvm=False)
def results_are_not_the_manifest(context):
    manifest_write(context, info("a"))
    os.link(context.directory / "jobs", context.directory / "other-name")
    content = (context.directory / "jobs").read_bytes().rstrip(b"\n")  # nor is its last line ended
    (context.directory / "jobs").write_bytes(content)
    for name in ("jobs", "other-name"):
        for options in ([], ["--resume"]):
            done = batch(context, "--results", name, *options).expect(1)
            if "is the manifest" not in done.stderr:
                raise Failure(done.describe("expected a line that says so"))
    with (context.directory / "jobs").open("rb") as manifest:
        context.run([context.build.instar, "batch", "--resume", "--results", "jobs", "-"], stdin=manifest).expect(1)
    equal("manifest", (context.directory / "jobs").read_bytes(), content)


@test(needs_kvm=False)
def files_of_strangers(context):
    """What somebody else has put into a sticky directory is neither followed, written to, nor run."""
    if not users.is_root():
        raise Skip("only root can make files of others")
    shared, victim = context.directory / "shared", context.directory / "victim"
    shared.mkdir()
    shared.chmod(0o1777)
    victim.write_text("precious")
    (shared / "man").write_text(json.dumps(info("missing")) + "\n")
    command = [context.build.instar, "batch", "-q"]
    submit = [*command, "--shards", "2", "--submit=parallel", shared / "man"]
    marker = context.directory / "ran"
    for kind in ("link", "file"):
        for name, run in (("man.parallel", submit), ("man.results", [*command, shared / "man"])):
            path = shared / name
            path.unlink(missing_ok=True)
            if kind == "link":
                path.symlink_to(victim)
            else:
                path.write_text(f"touch '{marker}'\n")
            os.lchown(path, 1002, 1002)
            before = path.read_bytes()
            done = context.run(run).expect(1)
            if "somebody else" not in done.stderr or path.read_bytes() != before or victim.read_text() != "precious":
                raise Failure(done.describe(f"{kind} {name} of somebody else's was used"))
            path.unlink()
    (shared / "other").symlink_to(shared / "man")
    os.lchown(shared / "other", 1002, 1002)
    done = context.run([*command, "--results", "results", shared / "other"]).expect(1)
    if "somebody else" not in done.stderr or marker.exists():
        raise Failure(done.describe("a manifest by a link of somebody else's"))


@test(needs_kvm=False)
def submission_keeps_what_is_there(context):
    """Of a submission that cannot be, and one into a FIFO: nothing changes, nothing hangs. One that can be replaces it."""
    manifest_write(context, info("a"))
    old = context.directory / "jobs.kubernetes"
    old.write_text("old")
    batch(context, "--shards", "2", "--submit=kubernetes").expect(1)
    equal("what was there", old.read_text(), "old")
    os.mkfifo(context.directory / "jobs.slurm")
    if "FIFO" not in (done := batch(context, "--shards", "2", "--submit=slurm")).expect(1).stderr:
        raise Failure(done.describe("expected a line about the FIFO"))
    tools = context.directory / "tools"
    tools.mkdir()
    (tools / "kubectl").write_text("#!/bin/sh\nexec cat \"$3\"\n")
    (tools / "kubectl").chmod(0o755)
    environment = {**context.build.environment(), "PATH": f"{tools}:{os.environ['PATH']}"}
    done = batch(context, "--shards", "2", "--submit=kubernetes", "--image", "i", "--claim", "c", env=environment).expect()
    equal("what is submitted", json.loads(done.stdout)["kind"], "Job")
    equal("what is there", old.read_text(), done.stdout)


@test(needs_kvm=False)
def submission(context):
    """What schedulers get: scripts that a shell reads, and a Job in the API's words, which each have all shards."""
    name = "jobs of 'one' $HOME"
    (context.directory / name).write_text("")
    limits = ["--shard-time", "93784", "--shard-memory", "1000000"]  # a day, two hours, three minutes and four seconds
    command = [context.build.instar, "batch", "--submit=slurm", "--dry-run", "--shards", "64", "-j", "2", *limits, name, "--", "--vcpus=1"]
    script = context.run(command).expect().stdout
    for line in ("#SBATCH --array=0-63", "#SBATCH --cpus-per-task=2", "#SBATCH --requeue", "#SBATCH --time=1-02:03:04", "#SBATCH --mem=977K"):
        if line not in script.splitlines():
            raise Failure(f"{line} is not in {script}")
    words = shlex.split(script.splitlines()[-1])
    equal("words", (words[:2], words[2:5], words[-3:]),
          (["exec", str(context.build.instar.resolve())], ["batch", "--shards", "64"], [name, "--", "--vcpus=1"]))
    environment = {**context.build.environment(), "SLURM_ARRAY_TASK_ID": "63"}
    context.run(["sh", "-c", script], env=environment).expect()
    if not (context.directory / f"{name}.results.64-of-64").exists():
        raise Failure("the script does not do its share")
    command[2] = "--submit=parallel"
    script = context.run(command).expect().stdout
    context.run(["sh", "-n", "-c", script]).expect()
    words = shlex.split(script.splitlines()[-1])
    equal("shards", words[:2], ["seq", "64"])
    if {"--timeout", "93784", "--memfree", "977K"} - set(words):
        raise Failure(f"limits are not in {words}")
    equal("a share's words", shlex.split(words[-1])[1:4], ["batch", "--shard", "@INSTAR-SHARD@/64"])
    command[2:3] = ["--submit=kubernetes", "--image", "instar:1", "--claim", "images"]
    job = json.loads(context.run(command).expect().stdout)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    equal("job", (job["apiVersion"], job["kind"], spec["completionMode"], spec["completions"], pod["restartPolicy"]),
          ("batch/v1", "Job", "Indexed", 64, "Never"))
    container, = pod["containers"]
    equal("arguments", (container["image"], container["args"][:3]), ("instar:1", ["batch", "--shards", "64"]))
    resources = container["resources"]
    equal("limits", (pod["activeDeadlineSeconds"], resources["limits"]["memory"], resources["requests"]["memory"]), (93784, "977Ki", "977Ki"))
    equal("where names are", container["workingDir"], container["volumeMounts"][0]["mountPath"])
    equal("volume", (container["volumeMounts"][0]["name"], pod["volumes"][0]["persistentVolumeClaim"]["claimName"]),
          (pod["volumes"][0]["name"], "images"))
    equal("keys", set(spec), {"completionMode", "completions", "parallelism", "backoffLimit", "template"})
    pods = ["--submit=kubernetes", "--image", "i", "--claim", "c"]
    for options, text in (([*pods, "--shards", "100001"], "100000 at most"), ([*pods, "--shards", "2", "--results", "\udcff"], "UTF-8"),
                          (["--submit=slurm", "--shards", "2", "--shard-time", "60"], "60 s before")):
        done = batch(context, *options, "--dry-run").expect(1)
        if text not in done.stderr or len(done.stderr.splitlines()) != 1 or done.stdout:
            raise Failure(done.describe(f"expected one line with {text!r}"))
