/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical address space, the same for every machine.
 *
 * Guest-virtual addresses equal guest-physical ones; what differs is what is mapped. (Beneath, an engine may have data
 * memory elsewhere: these addresses are those of guest, devices and descriptors.) The guest runs in ring 3, so a page
 * that is present but has no user bit is as far away for it as one that is absent.
 *
 *   region          user access    device DMA   backed by
 *   below 64 KiB    none           no           low memory; a null pointer and its neighbours fault
 *   boot info       read           no           low memory, written by the VMM before the start
 *   first message   read           no           likewise
 *   task state      none           no           low memory, zero: its I/O bitmap permits every port
 *   page tables     none           no           low memory, not mapped at all
 *   mailboxes       read, write    no           low memory; only where a process stands in for the machine
 *   program         per segment    no           low memory, W^X as the ELF segments say
 *   stacks          read, write    no           low memory, a guard page under and over each stack
 *   registers       read, write    no           a read-only memory slot: loads are free, stores exit;
 *                                               where a process stands in for the machine, stores fault
 *   doorbell        write          no           nothing: stores exit, or signal; absent where a process stands in for
 *                                               the machine
 *   windows         its own        no           memory of a transport that has some (abi/transports); absent otherwise
 *   its registers   its own        no           a page; likewise
 *   queues, arena   read, write    yes          data memory, on huge pages
 *
 * Data memory (queues and arena) is the only memory that a descriptor may point into.
 * All values are bytes.
 */
#ifndef INSTAR_ABI_LAYOUT_H
#define INSTAR_ABI_LAYOUT_H

#define LAYOUT_PAGE_LEN 0x1000ull
#define LAYOUT_HUGE_PAGE_LEN 0x200000ull

/* Low memory: everything but data memory and registers. */
#define LAYOUT_LOW_GPA 0x0ull
#define LAYOUT_LOW_LEN 0x1000000ull

/* Nothing below 64 KiB: where an ordinary process stands in for the machine, it may not map pages there. */
#define LAYOUT_MAPPED_GPA_MIN 0x10000ull

#define LAYOUT_BOOT_INFO_GPA 0x10000ull
#define LAYOUT_BOOT_INFO_LEN LAYOUT_PAGE_LEN

/* The host's first message, without a frame; boot_info.message_len bytes. Behind the boot information, mapped with it.
 */
#define LAYOUT_MESSAGE_GPA 0x11000ull
#define LAYOUT_MESSAGE_LEN 0x3000ull

/* Task state segment: 104 bytes, then 8 KiB of I/O permission bitmap and its end marker. */
#define LAYOUT_TASK_STATE_GPA 0x14000ull
#define LAYOUT_TASK_STATE_LEN 0x3000ull

/*
 * In a machine with interrupts, of which vCPU 0 gets one (BOOT_TRANSPORT_INTERRUPTS): tables of descriptors, ring 0's
 * stack and the handler, none of which ring 3 reaches; and 4 bytes that the handler sets to 1, which the guest reads
 * and writes.
 */
#define LAYOUT_INTERRUPT_TABLES_GPA 0x18000ull
#define LAYOUT_INTERRUPT_STACK_GPA 0x19000ull
#define LAYOUT_INTERRUPT_CODE_GPA 0x1a000ull
#define LAYOUT_INTERRUPT_PENDING_GPA 0x1b000ull

#define LAYOUT_PAGE_TABLES_GPA 0x20000ull
#define LAYOUT_PAGE_TABLES_LEN 0x40000ull

/*
 * Where an ordinary process stands in for the machine: a mailbox per vCPU (abi/mailbox.h), the page where the
 * engine's own code in that process leaves its last words, and that code, the gate first. Absent otherwise.
 */
#define LAYOUT_MAILBOXES_GPA 0x70000ull
#define LAYOUT_MAILBOX_GPA(vcpu) (LAYOUT_MAILBOXES_GPA + (vcpu)*LAYOUT_PAGE_LEN)
#define LAYOUT_MAILBOXES_LEN(vcpu_count) ((vcpu_count)*LAYOUT_PAGE_LEN)
#define LAYOUT_REPORT_GPA 0x80000ull
#define LAYOUT_REPORT_LEN LAYOUT_PAGE_LEN
/* Beyond all guest-physical memory, and clear of what the kernel chooses for stacks and mappings. */
#define LAYOUT_GATE_GPA 0x700000000000ull

#define LAYOUT_PROGRAM_GPA 0x200000ull
#define LAYOUT_PROGRAM_LEN 0xa00000ull

/*
 * One stack slot per vCPU:
 *   guard page | stack, grows down | guard page | thread block (FS base points here)
 */
#define LAYOUT_STACKS_GPA 0xc00000ull
#define LAYOUT_STACK_SLOT_LEN 0x40000ull
#define LAYOUT_VCPU_MAX 16u

#define LAYOUT_STACK_BOTTOM_GPA(vcpu) (LAYOUT_STACKS_GPA + (vcpu)*LAYOUT_STACK_SLOT_LEN + LAYOUT_PAGE_LEN)
#define LAYOUT_THREAD_BLOCK_GPA(vcpu) (LAYOUT_STACKS_GPA + ((vcpu) + 1) * LAYOUT_STACK_SLOT_LEN - LAYOUT_PAGE_LEN)
#define LAYOUT_STACK_TOP_GPA(vcpu) (LAYOUT_THREAD_BLOCK_GPA(vcpu) - LAYOUT_PAGE_LEN)
#define LAYOUT_THREAD_BLOCK_LEN LAYOUT_PAGE_LEN

/* virtio-mmio register pages, one per device. */
#define LAYOUT_REGISTERS_GPA 0xd0000000ull
#define LAYOUT_REGISTERS_STRIDE LAYOUT_PAGE_LEN
/* What a job can name, an image of 2,048 files, and a chain of 200 behind it; boot information fits its page with it.
 */
#define LAYOUT_DEVICE_MAX 2304u
#define LAYOUT_REGISTERS_DEVICE_GPA(device) (LAYOUT_REGISTERS_GPA + (device)*LAYOUT_REGISTERS_STRIDE)
/* Of all devices that there may be, in whole huge pages. */
#define LAYOUT_REGISTERS_LEN_MAX 0xa00000ull

/*
 * A store of 0, 4 bytes, kicks a group of late devices: their number is not known when the machine is made, and the
 * kernel's help with each one has its price. A device's register VIRTIO_MMIO_INSTAR_DOORBELL says where it listens:
 * here, or 4 bytes further for each group.
 */
#define LAYOUT_LATE_DOORBELL_GPA 0xd1000000ull
#define LAYOUT_LATE_GROUP_MAX 64u
#define LAYOUT_LATE_DOORBELL_LEN LAYOUT_PAGE_LEN

/*
 * What a transport may have (boot_info.transport): windows of 1 GiB at most, at multiples of a huge page, clear of
 * everything above; two for bulk data, and further ones where it says. And a page of registers.
 */
#define LAYOUT_WINDOW_LEN_MAX 0x40000000ull
#define LAYOUT_WINDOW_INPUT_GPA 0x40000000ull
#define LAYOUT_WINDOW_OUTPUT_GPA 0x80000000ull
#define LAYOUT_WINDOW_DATA_GPA 0x10000000ull
#define LAYOUT_WINDOW_RESULT_GPA 0x20000000ull
#define LAYOUT_TRANSPORT_REGISTERS_GPA 0xfe000000ull

/* Data memory: virtqueues, then the DMA arena, whose length is the job's (boot_info.arena_len). */
#define LAYOUT_DATA_GPA 0x100000000ull
#define LAYOUT_QUEUES_GPA LAYOUT_DATA_GPA
#define LAYOUT_QUEUES_LEN LAYOUT_HUGE_PAGE_LEN
#define LAYOUT_ARENA_GPA (LAYOUT_QUEUES_GPA + LAYOUT_QUEUES_LEN)
#define LAYOUT_ARENA_LEN_MAX 0x100000000ull

_Static_assert(LAYOUT_DEVICE_MAX *LAYOUT_REGISTERS_STRIDE <= LAYOUT_REGISTERS_LEN_MAX,
               "the registers of all devices fit");
_Static_assert(LAYOUT_REGISTERS_GPA + LAYOUT_REGISTERS_LEN_MAX <= LAYOUT_LATE_DOORBELL_GPA,
               "the registers end before the doorbell");
_Static_assert(LAYOUT_STACKS_GPA + LAYOUT_VCPU_MAX * LAYOUT_STACK_SLOT_LEN == LAYOUT_LOW_LEN,
               "the stacks end where low memory ends");
_Static_assert(LAYOUT_PROGRAM_GPA + LAYOUT_PROGRAM_LEN == LAYOUT_STACKS_GPA, "the program ends where the stacks begin");
_Static_assert(LAYOUT_PAGE_TABLES_GPA + LAYOUT_PAGE_TABLES_LEN <= LAYOUT_MAILBOXES_GPA,
               "the page tables end before the mailboxes");
_Static_assert(LAYOUT_MAILBOXES_GPA + LAYOUT_MAILBOXES_LEN(LAYOUT_VCPU_MAX) <= LAYOUT_REPORT_GPA,
               "the mailboxes end before the report");
_Static_assert(LAYOUT_REPORT_GPA + LAYOUT_REPORT_LEN <= LAYOUT_PROGRAM_GPA, "the report ends before the program");
_Static_assert(LAYOUT_BOOT_INFO_GPA >= LAYOUT_MAPPED_GPA_MIN, "boot information can be mapped");
_Static_assert(LAYOUT_BOOT_INFO_GPA + LAYOUT_BOOT_INFO_LEN == LAYOUT_MESSAGE_GPA,
               "the first message follows the boot information");
_Static_assert(LAYOUT_MESSAGE_GPA + LAYOUT_MESSAGE_LEN <= LAYOUT_TASK_STATE_GPA,
               "the first message ends before the task state");
_Static_assert(LAYOUT_TASK_STATE_GPA + LAYOUT_TASK_STATE_LEN <= LAYOUT_PAGE_TABLES_GPA,
               "the task state ends before the page tables");

#endif
