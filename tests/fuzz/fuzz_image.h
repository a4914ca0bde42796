/* SPDX-License-Identifier: Apache-2.0 */
/* What a format tells its fuzz target, in formats/NAME.c. */
#ifndef INSTAR_TESTS_FUZZ_FUZZ_IMAGE_H
#define INSTAR_TESTS_FUZZ_FUZZ_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

struct fuzz_format {
    const char *name; /* as with -f */
    /*
     * Makes checksums right that the format looks at before anything else, in the `len` bytes that the file begins
     * with: otherwise all that is tried is damage that the checksum finds. NULL: there are none.
     */
    void (*repair)(uint8_t *bytes, uint64_t len);
    bool is_outer;          /* what is used is an image within the disk of this one: */
    const char *inner_name; /* its format; empty: it is probed */
};

extern const struct fuzz_format fuzz_format;

#endif
