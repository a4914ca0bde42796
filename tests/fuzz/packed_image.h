/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as inputs of a fuzzer. An image is long and mostly holes, an input is short, so it has the units of 512 bytes
 * that are not zeros, each run of them with its place:
 *
 *     le64   length of the file, bytes
 *     56 bytes of choices, for the target: what to do with the image
 *     runs, to the end: le32 unit, le32 count of units, then the units; what is missing at the end is zeros
 *
 * tests/fuzz/packed_image.py makes such inputs of files, and files of inputs.
 */
#ifndef INSTAR_TESTS_FUZZ_PACKED_IMAGE_H
#define INSTAR_TESTS_FUZZ_PACKED_IMAGE_H

#include "fuzz.h"

#define PACKED_HEAD_LEN 64u
#define PACKED_CHOICES_LEN 56u
#define PACKED_UNIT_LEN 512u
/* Runs that lie behind this are left out: formats have their tables before it. */
#define PACKED_STORED_LEN_MAX (8u << 20)
/* The longest file: what there is, and a lot behind it. */
#define PACKED_FILE_LEN_MAX (1ull << 44)

struct packed_image {
    uint8_t *bytes;      /* of the file's beginning; zeros follow */
    bool is_own;         /* bytes are freed with the image */
    uint64_t stored_len; /* bytes */
    uint64_t len;        /* of the file, bytes; not less */
    uint8_t choices[PACKED_CHOICES_LEN];
};

/*
 * To be released. With a `room_len`, there are so many bytes of memory at least, which are zeros behind what is stored;
 * they are the same memory for each input.
 */
void packed_image_unpack(struct packed_image *image, const uint8_t *data, size_t len, uint64_t room_len);
void packed_image_release(struct packed_image *image);

/* fuzz_mutate, for such inputs: places stay what they are, and most changes are numbers that are odd somewhere. */
size_t packed_image_mutate(uint8_t *data, size_t len, size_t max_len, uint32_t random);

#endif
