#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Standard streams that are closed must not become somebody else's file.
echo content >in
instar copy in out1 <&-
instar copy in out2 >&-
instar copy in out3 2>&-
instar copy in out4 <&- >&- 2>&-
instar-vmm --input in --output out5 "$GUESTS/copy.bin" <&- >&- 2>&-
status=0
instar copy nowhere out6 2>&- || status=$?
echo "exit status $status"
status=0
instar --help >&- 2>error || status=$?
echo "exit status $status"
cat error
for i in 1 2 3 4 5; do
    cmp in "out$i"
done
try ls
