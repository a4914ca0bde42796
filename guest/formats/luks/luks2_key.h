/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a LUKS2 volume's segments, from a passphrase: by its key slots and digests. */
#ifndef INSTAR_GUEST_FORMATS_LUKS_LUKS2_KEY_H
#define INSTAR_GUEST_FORMATS_LUKS_LUKS2_KEY_H

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/luks/luks2_metadata.h"
#include "guest/image/image.h"

/*
 * What all slots may take together, as each is tried that another passphrase has. A slot of cryptsetup's takes 4 to 16
 * passes over a GiB at most; here, minutes.
 */
#define LUKS2_KIB_PASSES_MAX (1u << 27)

/* The keys of digests, by their index. Whoever has them wipes them. */
struct luks2_keys {
    struct {
        bool is_known;
        uint8_t bytes[SECTOR_CIPHER_KEY_LEN_MAX];
        uint32_t len;
    } list[LUKS2_DIGESTS_MAX];
};

/* Those of all encrypted segments. Memory is the arena's, that of Argon2 the environment's own for keys. */
MUST_CHECK bool luks2_keys_find(struct image *image, const struct luks2_metadata *metadata, struct span password,
                                struct luks2_keys *ret_keys, struct error *error);

#endif
