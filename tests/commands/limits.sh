#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job that uses more than it may is ended: one line, exit status 1, and the output's name stands for what it stood for.
yes content | head -c 8M >in
echo 'old content' >out
for limit in --max-output=8388607 --max-memory=1M --max-exits=1; do
    try instar copy $limit in out
    try instar convert $limit -O raw in out
done
for limit in --max-memory=1M --max-exits=1; do
    try instar info $limit in
done
try instar-vmm --input in --output out --max-cpu 1 "$HOSTILE/endless_loop.bin"
try instar-vmm --input in --output out --max-time 1 "$HOSTILE/endless_loop.bin"
try cat out
# A file's limits, which options lift.
printf '[limits]\nmax-output = 1M\n' >conf
try instar copy --config conf in out
try cat out
try instar copy --config conf --max-output 0 in out
try cmp in out
# What suffices is no limit.
try instar copy --max-output=8388608 --max-memory=64M --max-exits=100000 --max-cpu=60 --max-time=60 in second
try cmp in second
try ls -A
