#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files that are no guest programs.
echo content >in
vmm() {
    try instar-vmm --input in --output out "$1"
}
: >empty
printf '\177ELF' >four_bytes
head -c 100 "$GUESTS/copy.bin" >cut_headers
head -c 5000 "$GUESTS/copy.bin" >cut_segment
cp "$GUESTS/copy.bin" wrong_machine
printf '\003' | dd of=wrong_machine bs=1 seek=18 conv=notrunc status=none
cp "$GUESTS/copy.bin" wrong_entry
printf '\000\000\000\000' | dd of=wrong_entry bs=1 seek=24 conv=notrunc status=none
vmm in
vmm empty
vmm four_bytes
vmm cut_headers
vmm cut_segment
vmm wrong_machine
vmm wrong_entry
vmm /bin/true
truncate -s 1T huge
vmm huge
vmm /dev/zero
try test -e out
