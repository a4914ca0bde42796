/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target for libFuzzer, which brings its own main. */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t max_len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned int seed);

#pragma weak fuzz_mutate

void fuzz_mutate_bytes(uint8_t *data, size_t len)
{
    LLVMFuzzerMutate(data, len, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_one(data, len);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t max_len, unsigned int seed)
{
    /* Now and then as if nobody knew: what the target's author did not think of. */
    if (fuzz_mutate == NULL || seed % 16 == 0) {
        return LLVMFuzzerMutate(data, len, max_len);
    }
    return fuzz_mutate(data, len, max_len, seed);
}
