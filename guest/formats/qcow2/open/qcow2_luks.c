/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/open/qcow2_luks.h"

#include "base/checked.h"

bool qcow2_luks_read(struct image *image, struct luks_header *ret_luks, struct error *error)
{
    const struct qcow2_extensions *extensions = &qcow2_of(image)->extensions;
    uint8_t bytes[LUKS_HEADER_LEN];
    size_t len = min_u64(sizeof(bytes), extensions->crypto_header_len);
    if (!extensions->has_crypto_header) {
        return error_set(error, ERROR_MALFORMED, NULL, "Missing CRYPTO header for crypt method %u", QCOW2_CRYPT_LUKS);
    }
    if (!range_is_within(extensions->crypto_header_off, len, QCOW2_LEN_MAX)) {
        return error_set(error, ERROR_IO, NULL, "Could not read encryption header: Input/output error");
    }
    RETURN_IF_FAILED(
        cache_read(image->environment->cache, image->file, extensions->crypto_header_off, bytes, len, error));
    return luks_header_parse((struct span){bytes, len}, false, ret_luks, error);
}
