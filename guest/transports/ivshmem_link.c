/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/transports/ivshmem_link.h"

#include "abi/ports.h"
#include "guest/drivers/device_queue.h"
#include "guest/runtime/platform.h"

void ivshmem_link_init(struct ivshmem_link *link, const struct boot_info *boot)
{
    uint64_t registers_gpa = boot->transport.registers_gpa;
    bool is_reader = platform_register_read32(registers_gpa + IVSHMEM_POSITION) == IVSHMEM_READER_ID;
    struct ivshmem_head *reader = (struct ivshmem_head *)(uintptr_t)boot->transport.windows[0].gpa;
    struct ivshmem_head *writer = (struct ivshmem_head *)(uintptr_t)boot->transport.windows[1].gpa;
    *link = (struct ivshmem_link){
        .registers_gpa = registers_gpa,
        .ring = IVSHMEM_RING(is_reader ? IVSHMEM_WRITER_ID : IVSHMEM_READER_ID, IVSHMEM_VECTOR),
        .poll_ticks = transport_poll_ticks(boot, device_queue_poll_ticks(boot->tsc_khz)),
        .own = is_reader ? reader : writer,
        .other = is_reader ? writer : reader,
    };
}

struct ivshmem_head ivshmem_link_look(const struct ivshmem_link *link)
{
    struct ivshmem_head head = {
        .state = __atomic_load_n(&link->other->state, __ATOMIC_ACQUIRE),
        .echo = __atomic_load_n(&link->other->echo, __ATOMIC_ACQUIRE),
    };
    /* Behind the state: one that says that no slot follows is seen with the last position. */
    head.position = __atomic_load_n(&link->other->position, __ATOMIC_ACQUIRE);
    return head;
}

/*
 * Whoever is about to sleep says so and looks once more; whoever changes its head looks then whether the other one
 * sleeps. With both orders kept one of the two sees what the other did.
 */
static void other_wake(const struct ivshmem_link *link)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&link->other->waits, __ATOMIC_RELAXED) != 0) {
        platform_register_write32(link->registers_gpa + IVSHMEM_DOORBELL, link->ring);
    }
}

void ivshmem_link_set_position(struct ivshmem_link *link, uint64_t position)
{
    __atomic_store_n(&link->own->position, position, __ATOMIC_RELEASE);
    other_wake(link);
}

void ivshmem_link_set_state(struct ivshmem_link *link, enum ivshmem_state state)
{
    __atomic_store_n(&link->own->state, (uint32_t)state, __ATOMIC_RELEASE);
    other_wake(link);
}

void ivshmem_link_set_echo(struct ivshmem_link *link, uint32_t echo)
{
    __atomic_store_n(&link->own->echo, echo, __ATOMIC_RELEASE);
    other_wake(link);
}

static bool has_changed(const struct ivshmem_link *link, const struct ivshmem_head *seen)
{
    struct ivshmem_head head = ivshmem_link_look(link);
    return head.position != seen->position || head.state != seen->state || head.echo != seen->echo;
}

static bool poll(const struct ivshmem_link *link, const struct ivshmem_head *seen)
{
    uint64_t start = platform_ticks();
    while (!has_changed(link, seen)) {
        if (platform_ticks() - start >= link->poll_ticks) {
            return false;
        }
        platform_relax();
    }
    return true;
}

void ivshmem_link_wait(struct ivshmem_link *link, const struct ivshmem_head *seen)
{
    while (!poll(link, seen)) {
        __atomic_store_n(&link->own->waits, 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (!has_changed(link, seen)) {
            platform_wait(WAIT_COMPLETION);
        }
        __atomic_store_n(&link->own->waits, 0, __ATOMIC_RELAXED);
    }
}
