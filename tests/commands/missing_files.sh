#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files and directories that are not there.
echo content >in
try instar copy nowhere out
try instar copy nowhere/in out
try instar copy in nowhere/out
try instar copy in/ out
try instar copy in in/out
try instar copy in out/
try instar-vmm --input nowhere --output out "$GUESTS/copy.bin"
try instar-vmm --input in --output out nowhere.bin
ln -s nowhere dangling
try instar copy dangling out
try ls
