/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The property list of an image, XML: chunk tables are what its "data" elements have, in base64. As in QEMU no more of
 * it is understood: what an element belongs to does not matter, for what is no table is passed over.
 */
#ifndef INSTAR_GUEST_FORMATS_DMG_DMG_PLIST_H
#define INSTAR_GUEST_FORMATS_DMG_DMG_PLIST_H

#include "guest/formats/dmg/dmg_chunks.h"

struct dmg_plist {
    struct dmg_chunks *chunks;
    bool is_data;       /* within an element */
    bool has_ended;     /* a byte of zero ends the text */
    uint32_t matched;   /* characters of the tag that is waited for */
    uint32_t word;      /* of base64: four characters make three bytes */
    uint32_t word_len;  /* characters of it */
    uint32_t pad_count; /* of them, that were '=' */
};

/* More of the text. */
MUST_CHECK bool dmg_plist_feed(struct dmg_plist *plist, struct span text, struct error *error);

/* There is no more. */
MUST_CHECK bool dmg_plist_end(const struct dmg_plist *plist, struct error *error);

#endif
