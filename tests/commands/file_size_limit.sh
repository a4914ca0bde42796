#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A limit on the size of files is an error, not a signal.
head -c 100000 /dev/zero | tr '\0' x >in
# In blocks of 512 bytes.
(
    ulimit -f 100
    try instar copy in out
    try instar-vmm --input in --output out "$GUESTS/copy.bin"
)
try ls
