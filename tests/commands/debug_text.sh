#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# --debug shows the guest's debug text, made harmless; without it there is none.
echo content >in
vmm() {
    try instar-vmm --input in --output out "$@" "$HOSTILE/debug_escape_sequences.bin"
}
vmm
vmm --debug | cat -v
try instar-vmm --input in --output out --debug "$HOSTILE/panic.bin"
