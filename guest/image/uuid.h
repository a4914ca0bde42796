/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers of new images, of random bytes (RFC 4122, 4.4). */
#ifndef INSTAR_GUEST_IMAGE_UUID_H
#define INSTAR_GUEST_IMAGE_UUID_H

#include <stdint.h>
#include <string.h>

#define UUID_LEN 16u

/* How an image stores the first three fields. */
enum uuid_order {
    UUID_BIG_ENDIAN,
    UUID_LITTLE_ENDIAN,
};

/* Of UUID_LEN random bytes, and as many in *ret_uuid. */
static inline void uuid_make(const uint8_t *random, enum uuid_order order, uint8_t *ret_uuid)
{
    uint32_t version_at = order == UUID_BIG_ENDIAN ? 6 : 7;
    memcpy(ret_uuid, random, UUID_LEN);
    ret_uuid[version_at] = (uint8_t)((random[version_at] & 0x0f) | 0x40);
    ret_uuid[8] = (uint8_t)((random[8] & 0x3f) | 0x80);
}

#endif
