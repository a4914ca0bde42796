/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes: how a guest reaches ports and registers where there are no port instructions, because an ordinary
 * process stands in for the machine (boot_info.platform is BOOT_PLATFORM_MAILBOX).
 *
 * Each vCPU has one, at LAYOUT_MAILBOX_GPA(vcpu). The guest fills it in and calls the gate; when that returns, the
 * host has done what was asked, and a read has its bytes in `data`. Loads from device registers need no request:
 * the register pages are mapped read-only, as they are in a virtual machine.
 *
 * The gate is code of the host's at LAYOUT_GATE_GPA, so that guest programs contain no system call. It sets
 * `state`, signals the host, and sleeps on `state` as a futex until the host has changed it.
 *
 * The host takes a request once and believes none of it: the fields stay writable to the guest meanwhile.
 */
#ifndef INSTAR_ABI_MAILBOX_H
#define INSTAR_ABI_MAILBOX_H

#include <stdint.h>

#include "abi/layout.h"

/* Values of mailbox.state. Set to REQUESTED by the gate, and to ANSWERED by the host. */
#define MAILBOX_ANSWERED 0u
#define MAILBOX_REQUESTED 1u

enum mailbox_kind {
    MAILBOX_PORT = 1,     /* an I/O port (abi/ports.h) */
    MAILBOX_REGISTER = 2, /* a device register, at its guest-physical address; one item */
};

#define MAILBOX_HEAD_LEN 32u
#define MAILBOX_DATA_LEN (LAYOUT_PAGE_LEN - MAILBOX_HEAD_LEN)

/* Written by the guest, except `state`, and `data` when it reads. */
struct mailbox {
    uint32_t state; /* MAILBOX_* */
    uint32_t kind;  /* enum mailbox_kind */
    uint32_t is_write;
    uint32_t width; /* bytes of an item: 1, 2, 4, or 8 for registers */
    uint32_t count; /* items, all to the same address, 1 at least: a string instruction in one request */
    uint32_t reserved;
    uint64_t address;
    uint8_t data[MAILBOX_DATA_LEN]; /* width * count bytes */
};

_Static_assert(sizeof(struct mailbox) == LAYOUT_PAGE_LEN, "a mailbox is a page");
_Static_assert(__builtin_offsetof(struct mailbox, data) == MAILBOX_HEAD_LEN, "no padding");

/* The gate, by the System V ABI. `vcpu` is the index of the caller's own. */
typedef void (*mailbox_gate)(uint32_t vcpu);

#endif
