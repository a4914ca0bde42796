#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# instar copy -p shows the percentage on standard output, terminal or not.
head -c 3000000 /dev/zero | tr '\0' x >in
instar copy -p in out | tr '\r' '\n' >percentages
head -n 1 percentages
tail -n 2 percentages
# Numbers only rise.
tr -dc '0-9.\n/' <percentages | cut -d / -f 1 | grep . | sort -n -c
try instar copy -p -q in out
try instar copy in out
try cmp in out
