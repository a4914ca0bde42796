/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/peers.h"

#include "base/checked.h"
#include "guest/runtime/messages.h"
#include "guest/transports/transport_kinds.h"

#define BUFFER_LEN 0x100000u

bool peers_is_reader(const struct runtime *runtime)
{
    return (runtime->boot->transport.flags & BOOT_TRANSPORT_READER) != 0;
}

static void input_take(struct transport *transport, void *buffer)
{
    struct error error = {0};
    uint64_t len = transport_size(transport);
    for (uint64_t off = 0; off < len; off += BUFFER_LEN) {
        if (!transport_read(transport, off, buffer, min_u64(len - off, BUFFER_LEN), &error)) {
            messages_send_failure(&error);
            platform_exit(EXIT_FINISHED);
        }
    }
}

void peers_behave(struct runtime *runtime)
{
    struct transport_setup setup = {
        .boot = runtime->boot,
        .queues = &runtime->queues,
        .arena = &runtime->arena,
        .request_len = BUFFER_LEN / 16,
        .depth = 16,
    };
    struct error error = {0};
    struct transport *transport;
    void *buffer = arena_allocate(&runtime->arena, BUFFER_LEN, LAYOUT_PAGE_LEN);
    if (buffer == NULL) {
        panic("no memory for a buffer");
    }
    if (peers_is_reader(runtime)) {
        ivshmem_serve(&setup);
    }
    if (!ivshmem_transport.open(&setup, &transport, &error)) {
        messages_send_failure(&error);
        platform_exit(EXIT_FINISHED);
    }
    input_take(transport, buffer);
}

struct ivshmem_reader *peers_reader(const struct runtime *runtime)
{
    return (struct ivshmem_reader *)(uintptr_t)runtime->boot->transport.windows[0].gpa;
}

struct ivshmem_writer *peers_writer(const struct runtime *runtime)
{
    return (struct ivshmem_writer *)(uintptr_t)runtime->boot->transport.windows[1].gpa;
}

void peers_ring(const struct runtime *runtime, uint32_t value)
{
    platform_register_write32(runtime->boot->transport.registers_gpa + IVSHMEM_DOORBELL, value);
}

static void other_wake(const struct runtime *runtime)
{
    peers_ring(runtime, IVSHMEM_RING(peers_is_reader(runtime) ? IVSHMEM_WRITER_ID : IVSHMEM_READER_ID, IVSHMEM_VECTOR));
}

void peers_begin(const struct runtime *runtime, uint64_t len)
{
    peers_reader(runtime)->input_len = len;
    __atomic_store_n(&peers_reader(runtime)->head.state, IVSHMEM_READY, __ATOMIC_RELEASE);
    other_wake(runtime);
}

void peers_claim(const struct runtime *runtime, uint64_t position)
{
    struct ivshmem_head *head = peers_is_reader(runtime) ? &peers_reader(runtime)->head : &peers_writer(runtime)->head;
    __atomic_store_n(&head->position, position, __ATOMIC_RELEASE);
    other_wake(runtime);
}

NO_RETURN void peers_sleep(void)
{
    for (;;) { /* the host ends it */
        platform_wait(WAIT_COMPLETION);
    }
}
