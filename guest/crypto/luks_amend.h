/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key slots of a LUKS1 volume that is there: a passphrase is added, or taken away. Whenever the job ends, the slots
 * that were there before and stay are sound; of one that is overwritten, a free slot has the new key meanwhile.
 */
#ifndef INSTAR_GUEST_CRYPTO_LUKS_AMEND_H
#define INSTAR_GUEST_CRYPTO_LUKS_AMEND_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/crypto/luks_key.h"
#include "guest/image/image.h"

/*
 * The image was opened with its key to be changed. `header` is what stands at `place`, and is changed, too. `prefix` is
 * what stands before the names of the plan's options ("encrypt." or nothing); others are left alone. Waits; takes as
 * long as new passphrases and old ones do. Errors are QEMU's.
 */
MUST_CHECK bool luks_amend(struct image *image, struct luks_header *header, const struct luks_place *place,
                           const struct amend_plan *plan, const char *prefix, struct error *error);

#endif
