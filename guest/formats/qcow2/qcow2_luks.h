/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LUKS header of an encrypted image (LUKS1 On-Disk Format Specification 1.2.3): what info says of it. No keys, no
 * I/O: bytes in, checked text and numbers out.
 */
#ifndef INSTAR_GUEST_FORMATS_QCOW2_QCOW2_LUKS_H
#define INSTAR_GUEST_FORMATS_QCOW2_QCOW2_LUKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

#define QCOW2_LUKS_HEADER_LEN 592u
#define QCOW2_LUKS_SLOT_COUNT 8u

struct qcow2_luks_slot {
    bool is_active;
    uint32_t iterations;
    uint32_t stripes;
    uint64_t key_off; /* bytes from the start of the LUKS header */
};

struct qcow2_luks {
    /* As qemu-img calls them. */
    const char *cipher;
    const char *cipher_mode;
    const char *ivgen;
    const char *ivgen_hash; /* NULL: none */
    const char *hash;
    char uuid[41];
    uint32_t master_key_iterations;
    uint64_t payload_off; /* bytes */
    struct qcow2_luks_slot slots[QCOW2_LUKS_SLOT_COUNT];
};

MUST_CHECK bool qcow2_luks_parse(struct span bytes, struct qcow2_luks *ret_luks, struct error *error);

#endif
