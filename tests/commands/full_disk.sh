#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A disk that fills up ends the job, and leaves nothing behind.
if ! unshare --mount true 2>/dev/null; then
    echo 'mounting is not allowed'
    exit 77
fi
mkdir disk
head -c 3000000 /dev/zero | tr '\0' x >in
truncate -s 3000000 hole
cat >inside <<'END'
mount -t tmpfs -o size=1m tmpfs disk
for backing in regular mmap io-uring memory; do
    try instar copy --min-free=0 --backing="$backing" in disk/out
    ls -A disk
done
echo old >disk/out
try instar copy --min-free=0 in disk/out
try cat disk/out
# What is not stored needs no room.
try instar copy --min-free=0 hole disk/out
stat -c '%s bytes' disk/out
END
unshare --mount sh -eu inside 2>&1 | sed "s,at offset [0-9]*,at some offset,"
