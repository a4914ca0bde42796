/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/mailbox_gate.h"

#include <string.h>

#include "base/checked.h"
#include "guest/runtime/platform.h"

static struct mailbox *mailbox_own(void)
{
    return (struct mailbox *)LAYOUT_MAILBOX_GPA((uint64_t)platform_vcpu());
}

/* Fills in the head, and returns when the host has done what it says. */
static void exchange(struct mailbox *mailbox, enum mailbox_kind kind, bool is_write, uint64_t address, uint32_t width,
                     uint32_t count)
{
    mailbox->kind = kind;
    mailbox->is_write = is_write;
    mailbox->width = width;
    mailbox->count = count;
    mailbox->address = address;
    ((mailbox_gate)LAYOUT_GATE_GPA)(platform_vcpu());
}

void mailbox_write(enum mailbox_kind kind, uint64_t address, uint32_t width, uint32_t value)
{
    struct mailbox *mailbox = mailbox_own();
    memcpy(mailbox->data, &value, sizeof(value));
    exchange(mailbox, kind, true, address, width, 1);
}

uint32_t mailbox_read(enum mailbox_kind kind, uint64_t address, uint32_t width)
{
    struct mailbox *mailbox = mailbox_own();
    uint32_t value = 0;
    exchange(mailbox, kind, false, address, width, 1);
    memcpy(&value, mailbox->data, width);
    return value;
}

void mailbox_write_bytes(uint16_t port, const void *data, size_t len)
{
    struct mailbox *mailbox = mailbox_own();
    const uint8_t *next = data;
    while (len > 0) { /* ends: each round sends at least one byte */
        uint32_t part_len = (uint32_t)min_u64(len, sizeof(mailbox->data));
        memcpy(mailbox->data, next, part_len);
        exchange(mailbox, MAILBOX_PORT, true, port, 1, part_len);
        next += part_len;
        len -= part_len;
    }
}

void mailbox_read_bytes(uint16_t port, void *target, size_t len)
{
    struct mailbox *mailbox = mailbox_own();
    uint8_t *next = target;
    while (len > 0) { /* ends: each round takes at least one byte */
        uint32_t part_len = (uint32_t)min_u64(len, sizeof(mailbox->data));
        exchange(mailbox, MAILBOX_PORT, false, port, 1, part_len);
        memcpy(next, mailbox->data, part_len);
        next += part_len;
        len -= part_len;
    }
}
