/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), as in RFC 3720, appendix B.4: reflected, begun with and complemented at the end by ones. */
#ifndef INSTAR_BASE_CRC32C_H
#define INSTAR_BASE_CRC32C_H

#include <stdint.h>

#include "base/span.h"

/* Of `bytes` behind those that gave `before`; 0 to begin with. */
uint32_t crc32c(uint32_t before, struct span bytes);

#endif
