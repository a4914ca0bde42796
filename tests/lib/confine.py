#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs commands one after the other as they would be on another host: in a root directory, as a user, with limits and
a list of system calls. A program of its own, for what it gives up stays given up.

    confine.py SETTINGS

SETTINGS is JSON: commands, and where they are wanted root, directory, uid, gid, capabilities (those that may stay in the
bounding set), limits ({"AS": bytes}), control_groups (files that take a process's number), filter (a file with a program
for seccomp), close (standard streams to be closed).
"""

import ctypes
import json
import os
import resource
import sys

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 24, 38, 22, 2
CAPABILITY_COUNT = 41
INSTRUCTION_LEN = 8


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def prctl(*arguments):
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(*arguments, *[0] * (5 - len(arguments))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")


def confine(settings):
    code = None
    if "filter" in settings:
        with open(settings["filter"], "rb") as file:
            code = file.read()
    for path in settings.get("control_groups", []):
        with open(path, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    if "root" in settings:
        os.chroot(settings["root"])
    os.chdir(settings.get("directory", "."))
    if "capabilities" in settings:
        for number in set(range(CAPABILITY_COUNT)) - set(settings["capabilities"]):
            prctl(PR_CAPBSET_DROP, number)
    if "uid" in settings:
        os.setgroups([])
        os.setresgid(*[settings["gid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    for name, value in settings.get("limits", {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if code is not None:
        program = Program(len(code) // INSTRUCTION_LEN, code)
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def run(command, settings):
    """The exit status. By fork and exec, as limits may leave no room for more."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            for stream in settings.get("close", []):
                os.close(stream)
            os.execv(command[0], command)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    settings = json.loads(sys.argv[1])
    confine(settings)
    for command in settings["commands"]:
        status = run(command, settings)
        if status != 0:
            print(f"{command}: exit status {status}", flush=True)
            sys.exit(1)


main()
