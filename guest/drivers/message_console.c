/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/message_console.h"

#include <stdbool.h>
#include <stddef.h>

#include "abi/ports.h"
#include "abi/virtio_console.h"
#include "abi/virtio_mmio.h"
#include "guest/drivers/device_queue.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"

#define BUFFER_LEN 65536u
#define BUFFER_COUNT 2u
/* For the queue, its tables and what the driver remembers: a few hundred bytes. */
#define QUEUE_MEMORY_LEN 4096u

struct message_console {
    struct virtio_mmio mmio;
    struct virtqueue queue;
    struct arena memory; /* the console's part of the program's arena */
    uint64_t registers_gpa;
    uint8_t *buffers[BUFFER_COUNT];
    unsigned int filled; /* index of the buffer that is being filled */
};

/* There is one machine, and it has one. */
static struct message_console console;

/* Both fail only if host and guest do not fit: nothing was said to anybody yet that could be taken back. */
static bool console_open(void *context)
{
    struct message_console *own = context;
    struct virtio_mmio_open open = {
        .name = "console",
        .registers_gpa = own->registers_gpa,
        .device_id = VIRTIO_DEVICE_ID_CONSOLE,
        .features = {VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC},
        .memory = &own->memory,
    };
    struct error error = {0};
    if (!virtio_mmio_open(&own->mmio, &open, &error)) {
        panic("%s: %s", error.place, error.detail);
    }
    struct device_queue_setup setup = {
        .index = VIRTIO_CONSOLE_QUEUE_TRANSMIT,
        .size_max = BUFFER_COUNT,
        .parts_max = 1,
        .rings = &own->memory,
        .arena = &own->memory,
    };
    if (!device_queue_open(&own->mmio, &setup, &own->queue, &error) || own->queue.size != BUFFER_COUNT) {
        panic("console: a queue of %u", own->queue.size);
    }
    if (!virtio_mmio_start(&own->mmio, &error)) {
        panic("%s: %s", error.place, error.detail);
    }
    return true;
}

/* Takes back what the host has read. */
static void reap(struct message_console *own)
{
    void *token;
    uint32_t written_len;
    enum virtqueue_taken taken;
    while ((taken = virtqueue_take(&own->queue, &token, &written_len)) == VIRTQUEUE_TAKEN) {
    }
    if (taken == VIRTQUEUE_BROKEN) {
        panic("console: the used ring is broken");
    }
}

/* Waits until at most `count` buffers are under way. The host takes them, or ends the machine. */
static void wait_for(struct message_console *own, unsigned int count)
{
    for (;;) {
        reap(own);
        if (virtqueue_in_flight(&own->queue) <= count) {
            return;
        }
        virtqueue_arm(&own->queue);
        if (!virtqueue_has_used(&own->queue)) {
            platform_wait(WAIT_COMPLETION);
        }
        virtqueue_disarm(&own->queue);
    }
}

static uint8_t *console_buffer(void *context, size_t *ret_len)
{
    struct message_console *own = context;
    wait_for(own, BUFFER_COUNT - 1);
    *ret_len = BUFFER_LEN;
    return own->buffers[own->filled];
}

static void console_send(void *context, size_t len)
{
    struct message_console *own = context;
    struct virtqueue_part part = {.gpa = (uint64_t)(uintptr_t)own->buffers[own->filled], .len = (uint32_t)len};
    virtqueue_add(&own->queue, &part, 1, own);
    if (virtqueue_publish(&own->queue)) {
        virtio_mmio_notify(&own->mmio, VIRTIO_CONSOLE_QUEUE_TRANSMIT);
    }
    /* They come back in their order: the host takes one after the other. */
    own->filled = (own->filled + 1) % BUFFER_COUNT;
}

static void console_flush(void *context)
{
    wait_for(context, 0);
}

void message_console_offer(const struct boot_info *boot, struct arena *arena)
{
    static const struct message_way way = {&console, console_open, console_buffer, console_send, console_flush};
    for (uint32_t i = 0; i < boot->device_count; i++) {
        if (boot->devices[i].role != BOOT_DEVICE_CONSOLE) {
            continue;
        }
        uint8_t *memory = arena_allocate(arena, QUEUE_MEMORY_LEN + BUFFER_COUNT * BUFFER_LEN, LAYOUT_PAGE_LEN);
        if (memory == NULL) {
            return;
        }
        arena_init(&console.memory, (uint64_t)(uintptr_t)memory, QUEUE_MEMORY_LEN);
        for (unsigned int k = 0; k < BUFFER_COUNT; k++) {
            console.buffers[k] = memory + QUEUE_MEMORY_LEN + k * BUFFER_LEN;
        }
        console.registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(i);
        messages_offer(&way);
        return;
    }
}
