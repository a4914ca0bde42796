#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Output that cannot be written is an error.
echo content >in
to_full() {
    status=0
    "$@" >/dev/full 2>error || status=$?
    echo "$1 $2: exit status $status"
    grep -v '^[a-z]*: [a-z]*, \|^progress\|^complete' error || true
}
to_full instar --help
to_full instar --version
to_full instar-vmm --help
to_full instar copy --help
to_full instar copy --stats in out
to_full instar copy --stats=json in out
to_full instar copy -p in out
