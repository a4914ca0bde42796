#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# --sync changes nothing but when the command ends.
head -c 100000 /dev/zero | tr '\0' x >in
for backing in regular direct mmap io-uring memory; do
    try instar copy --sync --backing="$backing" in "out-$backing"
    cmp in "out-$backing"
done
