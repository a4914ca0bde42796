/* SPDX-License-Identifier: Apache-2.0 */
/* This vCPU's mailbox (abi/mailbox.h); for platform.c only. */
#ifndef INSTAR_GUEST_RUNTIME_MAILBOX_GATE_H
#define INSTAR_GUEST_RUNTIME_MAILBOX_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "abi/mailbox.h"

/*
 * Whether this guest has mailboxes instead of port instructions. Boot information is read-only, so that this
 * needs no variable that could be overwritten, and no order of initialization.
 */
static inline bool mailbox_is_used(void)
{
    return ((const struct boot_info *)LAYOUT_BOOT_INFO_GPA)->platform == BOOT_PLATFORM_MAILBOX;
}

/* One item of `width` bytes. */
void mailbox_write(enum mailbox_kind kind, uint64_t address, uint32_t width, uint32_t value);
uint32_t mailbox_read(enum mailbox_kind kind, uint64_t address, uint32_t width);

/* `len` bytes to or from a port, byte by byte in its eyes; as many requests as that takes. */
void mailbox_write_bytes(uint16_t port, const void *data, size_t len);
void mailbox_read_bytes(uint16_t port, void *target, size_t len);

#endif
