#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A job that takes too long is ended.
echo content >in
try instar-vmm --input in --output out --timeout 1 "$HOSTILE/endless_loop.bin"
try instar-vmm --input in --output out --timeout 60 --progress-percent 100 "$GUESTS/copy.bin"
try cat out
