/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sector that is the least of all: what virtio-blk counts in (virtio 1.2, section 5.2.4), what QEMU's block layer
 * rounds to, and what storage takes. A format whose specification has sectors of its own names these itself.
 */
#ifndef INSTAR_BASE_UNITS_H
#define INSTAR_BASE_UNITS_H

#define SECTOR_LEN 512u

#endif
