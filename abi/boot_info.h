/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot information: what the VMM tells the guest before its first instruction.
 *
 * Written once by the VMM at LAYOUT_BOOT_INFO_GPA, then read-only to the guest for the machine's life.
 * Every vCPU starts at the program's entry point with
 *   RDI = LAYOUT_BOOT_INFO_GPA, RSI = index of the vCPU, RSP = top of its stack, FS base = its thread block.
 * Host and guest are both x86-64, so plain little-endian integers are the wire format.
 */
#ifndef INSTAR_ABI_BOOT_INFO_H
#define INSTAR_ABI_BOOT_INFO_H

#include <stdint.h>

#include "abi/layout.h"
#include "abi/transports/transport_id.h"

#define BOOT_INFO_MAGIC 0x544f4f42524e5349ull /* "ISNRBOOT" */
#define BOOT_INFO_VERSION 6u

/* What a device is to the job; inputs come first, then the output if there is one. */
enum boot_device_role {
    BOOT_DEVICE_INPUT = 1,
    BOOT_DEVICE_OUTPUT = 2,
    BOOT_DEVICE_LATE = 3,    /* empty until the host grants an OpenMessage */
    BOOT_DEVICE_CONSOLE = 4, /* no disk: for messages (abi/virtio_console.h); the last one, and not in every machine */
    BOOT_DEVICE_ELSEWHERE = 5, /* an input that another machine has: its page is empty */
};

/* How the guest reaches ports and registers. */
enum boot_platform {
    BOOT_PLATFORM_PORTS = 1,   /* port instructions, and stores to registers */
    BOOT_PLATFORM_MAILBOX = 2, /* requests in a mailbox (abi/mailbox.h) */
};

/* Its registers, virtio-mmio version 2, are the page at LAYOUT_REGISTERS_DEVICE_GPA. */
struct boot_device {
    uint8_t role; /* enum boot_device_role */
};

/* Memory that a transport has besides data memory; what the guest may do there is the transport's. */
struct boot_window {
    uint64_t gpa; /* a multiple of LAYOUT_PAGE_LEN */
    uint64_t len; /* bytes; 0: there is no such window */
};

#define BOOT_TRANSPORT_WINDOW_MAX 3u
/* What is not written to the output reads as zeros. */
#define BOOT_TRANSPORT_OUTPUT_ZEROED 0x1u
/* Completions come as interrupts, too: `hlt` on vCPU 0 returns when one is pending at LAYOUT_INTERRUPT_PENDING_GPA. */
#define BOOT_TRANSPORT_INTERRUPTS 0x2u
/* The machine reads the input for another one, which tells the result: it has no COM1, and ends when that one does. */
#define BOOT_TRANSPORT_READER 0x4u

/* How the job's data comes in and goes out; those of virtio devices are found by the devices below. */
struct boot_transport {
    uint32_t id;            /* enum transport_id */
    uint32_t variant;       /* the transport's own; 0 where it has none */
    uint32_t flags;         /* BOOT_TRANSPORT_* */
    uint32_t reserved;      /* 0 */
    uint64_t registers_gpa; /* a page of registers, or 0 */
    struct boot_window windows[BOOT_TRANSPORT_WINDOW_MAX];
};

struct boot_info {
    uint64_t magic;   /* BOOT_INFO_MAGIC */
    uint32_t version; /* BOOT_INFO_VERSION */
    uint32_t vcpu_count;
    uint32_t device_count;
    uint32_t tsc_khz;     /* time stamp counter ticks per millisecond, 0 when the host does not know */
    uint32_t platform;    /* enum boot_platform */
    uint32_t message_len; /* bytes of the host's first message, at LAYOUT_MESSAGE_GPA */
    uint64_t arena_gpa;
    uint64_t arena_len; /* bytes, a multiple of LAYOUT_HUGE_PAGE_LEN */
    struct boot_device devices[LAYOUT_DEVICE_MAX];
    struct boot_transport transport;
};

_Static_assert(sizeof(struct boot_info) <= LAYOUT_BOOT_INFO_LEN, "boot information fits its page");

/*
 * The thread block of a vCPU, at its FS base. The first and the canary word are where the x86-64 System V
 * ABI's thread control block has them, so code built with -fstack-protector runs unchanged. The VMM fills
 * it; the guest may write behind it.
 */
struct thread_block {
    uint64_t self_gpa; /* the block's own address, as the ABI wants at %fs:0 */
    uint64_t vcpu_index;
    uint64_t reserved[3];
    uint64_t canary; /* %fs:0x28, random per machine */
};

_Static_assert(__builtin_offsetof(struct thread_block, canary) == 0x28, "the canary is at %fs:0x28");

#endif
