#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Values of options that are out of bounds, or no numbers at all.
echo content >in
vmm() {
    try instar-vmm --input in --output out "$@" "$GUESTS/copy.bin"
}
for value in 0 1 511 513 1000 33554432 -512 0x2g 512x '' ' 512' 18446744073709552128; do
    vmm --input-sector-size "$value"
done
vmm --output-sector-size 768
vmm --request-size 511
vmm --request-size 32M
for value in -1 101 ten '' 4294967296; do
    vmm --progress-percent "$value"
done
for value in 0 257 -1 x; do
    vmm --queue-depth "$value"
done
for value in 0 17 two; do
    vmm --vcpus "$value"
done
for value in -1 4294967296 soon; do
    vmm --timeout "$value"
done
for value in xml JSON ''; do
    vmm "--stats=$value"
done
try instar copy --backing=paper in out
try instar copy --backing= in out
try instar copy --vcpus 99 in out
try ls
