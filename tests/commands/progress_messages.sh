#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is reported, for every meaning of --progress-percent.
head -c 12800 /dev/zero | tr '\0' x >in
copy() {
    echo "$*:"
    instar-vmm --input in --output out "$@" "$GUESTS/copy.bin" 2>&1 | cat
}
copy
copy --progress-percent 0
copy --progress-percent 1 | tail -n 2
copy --progress-percent 10
copy --progress-percent 33
copy --progress-percent 50
copy --progress-percent 99
copy --progress-percent 100
copy --input-sector-size 4096 --progress-percent 0
copy --input-sector-size 4096 --progress-percent 50
copy --output-sector-size 4096 --progress-percent 50
: >in
copy
copy --progress-percent 50
