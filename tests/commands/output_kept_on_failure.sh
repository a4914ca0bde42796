#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After a failure, the output's name stands for what it stood for before.
echo content >in
echo 'old content' >out
chmod 604 out
try instar-vmm --input in --output out "$HOSTILE/panic.bin"
try instar-vmm --input in --output out --timeout 1 "$HOSTILE/endless_loop.bin"
try instar-vmm --input in --output out in
try cat out
try stat -c '%a %s %n' out
try ls -A
