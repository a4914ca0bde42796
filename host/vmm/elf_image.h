/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest program: a static ELF64 executable for x86-64 (System V ABI, "Object Files" and "Program Loading").
 *
 * Programs are built by us, but instar-vmm takes any file as one: it is parsed like any untrusted input.
 */
#ifndef INSTAR_HOST_VMM_ELF_IMAGE_H
#define INSTAR_HOST_VMM_ELF_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

/* Text, constants, data and a few more: the linker makes one segment per permission. */
#define ELF_SEGMENT_MAX 8u

struct elf_segment {
    uint64_t gpa;
    uint64_t memory_len; /* bytes; what exceeds content.len is zero */
    struct span content; /* part of the parsed file */
    bool writable;
    bool executable; /* never together with writable */
};

/* Segments are in ascending order, share no page, and lie in the layout's program region. */
struct elf_image {
    uint64_t entry_gpa; /* in an executable segment */
    unsigned int segment_count;
    struct elf_segment segments[ELF_SEGMENT_MAX];
};

/* Parses `file`; *ret_image refers to its bytes. */
bool elf_image_parse(struct span file, struct elf_image *ret_image, struct error *error);

#endif
