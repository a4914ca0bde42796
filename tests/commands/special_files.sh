#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What is neither a file nor a block device is refused, as input and as output.
echo content >in
mkdir directory
mkfifo fifo
/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
for file in directory directory/ fifo socket /dev/null /dev/zero /dev/tty /proc; do
    try instar copy "$file" out
    try instar copy in "$file"
done
try instar-vmm --input in --output out directory
try instar-vmm --input in --output out fifo
try ls -F
