#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Options and commands that do not exist, or lack their value, or have one too many.
touch in
try instar
try instar conquer
try instar help conquer
try instar --frobnicate
try instar -x copy in out
try instar --version=2
try instar copy --frobnicate in out
try instar copy -x in out
try instar copy -qx in out
try instar copy --quiet=yes in out
try instar copy --timeout
try instar copy in out --vcpus
try instar copy --time 5 --frob in out
try instar-vmm --frobnicate
try instar-vmm --input
try instar-vmm --input in --output out --debug=yes "$GUESTS/copy.bin"
try instar-vmm -i in
try ls
