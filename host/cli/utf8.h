/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INSTAR_HOST_CLI_UTF8_H
#define INSTAR_HOST_CLI_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Decodes the UTF-8 sequence that `bytes`, not empty, begins with. Returns its length, 0 if malformed (RFC 3629). */
size_t utf8_decode(struct span bytes, uint32_t *ret_code);

#endif
