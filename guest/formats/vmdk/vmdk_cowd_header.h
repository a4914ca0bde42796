/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a COWD extent: VMware 3's disks, and snapshots on ESX (vmfsSparse). */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_COWD_HEADER_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_COWD_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/vmdk/vmdk_tables.h"

#define VMDK_COWD_MAGIC "COWD"
#define VMDK_COWD_HEADER_LEN 44u

/* Of VMDK_COWD_HEADER_LEN bytes with the magic number. */
MUST_CHECK bool vmdk_cowd_header_parse(struct span bytes, struct vmdk_tables *ret_tables, struct error *error);

#endif
