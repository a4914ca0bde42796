/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The direct transport: the whole input is memory of the guest's that it can read, the whole output is memory that it
 * can write. (Seed documents: "direct memory", data-transfer-other, "Recommendations": bulk data, one-shot.)
 *
 *   window 0  the input, LAYOUT_WINDOW_INPUT_GPA, a read-only memory slot; a multiple of 2 MiB, zeros behind the file
 *   window 1  the output, LAYOUT_WINDOW_OUTPUT_GPA, likewise, zero at the start
 *   window 2  struct direct_control, LAYOUT_WINDOW_DATA_GPA, a page
 *
 * When the output is complete the guest fills in the control block and signals: by a 4-byte write of 1 to
 * PORT_TRANSPORT, or, with DIRECT_VARIANT_DOORBELL, by a 4-byte store of 1 to the page at boot_transport.registers_gpa,
 * which does not exit. The host reads `output_len` once, checks it, and takes so many bytes out of the output window.
 * `state` says when it is done; after PORT_TRANSPORT it is so at once. A guest signals once.
 *
 * With DIRECT_VARIANT_PROGRESS it writes the percentage that it has done, a byte, to PORT_PROGRESS now and then; these
 * writes are coalesced.
 */
#ifndef INSTAR_ABI_TRANSPORTS_DIRECT_H
#define INSTAR_ABI_TRANSPORTS_DIRECT_H

#include <stdint.h>

#define DIRECT_VARIANT_PLAIN 0u
#define DIRECT_VARIANT_DOORBELL 1u
#define DIRECT_VARIANT_PROGRESS 2u

#define DIRECT_SIGNAL 1u
#define DIRECT_PERCENT_MAX 100u

enum direct_state {
    DIRECT_RUNNING = 0,
    DIRECT_TAKEN = 1,  /* the output is in its file */
    DIRECT_FAILED = 2, /* it could not be written */
};

#define DIRECT_FLUSH 0x1u /* to stable storage */

struct direct_control {
    uint64_t input_len;  /* by the host: bytes, exact */
    uint64_t output_len; /* by the guest: bytes, at most the length of the output file */
    uint32_t flags;      /* by the guest: DIRECT_FLUSH */
    uint32_t state;      /* by the host: enum direct_state */
};

#endif
