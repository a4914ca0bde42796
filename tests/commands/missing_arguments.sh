#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What must be given.
touch in
try instar copy
try instar copy in
try instar copy in out more
try instar-vmm
try instar-vmm "$GUESTS/copy.bin"
try instar-vmm --input in "$GUESTS/copy.bin"
try instar-vmm --output out "$GUESTS/copy.bin"
try instar-vmm --input in --output out
try instar-vmm --input in --output out "$GUESTS/copy.bin" more
try instar copy '' out
try instar copy in ''
try ls
