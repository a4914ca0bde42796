#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The output must not be the input, whatever it is called.
echo content >in
ln -s in symbolic
ln in hard
ln -s symbolic chain
mkdir directory
for output in in ./in directory/../in symbolic hard chain "$PWD/in" /proc/self/cwd/in; do
    try instar copy in "$output"
    try instar-vmm --input "$output" --output in "$GUESTS/copy.bin"
done
try cat in
try ls -F
