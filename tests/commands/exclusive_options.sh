#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Backends exclude each other; naming the same one twice is harmless.
echo content >in
vmm() {
    try instar-vmm --input in --output out --progress-percent 100 "$@" "$GUESTS/copy.bin"
}
vmm --direct-io --mmap-backing
vmm --mmap-backing --direct-io
vmm --io-uring --memory-backing
vmm --memory-backing --direct-io
try ls
vmm --mmap-backing --mmap-backing
try instar copy --backing=direct --backing=mmap in out2
try instar copy --backing=mmap --backing=mmap in out2
try cat out out2
