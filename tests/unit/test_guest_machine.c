/* SPDX-License-Identifier: Apache-2.0 */
#include "test_guest_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/layout.h"
#include "abi/ports.h"
#include "base/checked.h"
#include "base/endian.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"
#include "test_guest_disk.h"

#define ARENA_LEN (64ull << 20)
#define RINGS_LEN (1ull << 20)
#define OUTPUT_LEN (1u << 20)
/* Never dereferenced: registers are reached by platform_register_* only. */
#define FAKE_REGISTERS_GPA LAYOUT_REGISTERS_GPA

static struct {
    struct fake_disk disks[FAKE_DISKS_MAX];
    uint32_t disk_count;
    void *arena_memory, *rings_memory;
    struct arena arena, rings;
    uint64_t random;
    uint64_t ticks;
    bool is_signalled;
    uint8_t *output[2]; /* messages, debug text */
    uint64_t output_len[2];
    const uint8_t *input;
    uint64_t input_len;
    unsigned int early_waits; /* so many waits for input end before it is there */
} machine;

void fake_machine_start(uint64_t seed)
{
    memset(&machine, 0, sizeof(machine));
    machine.random = seed * 2 + 1;
    machine.arena_memory = calloc(1, ARENA_LEN);
    machine.rings_memory = calloc(1, RINGS_LEN);
    machine.output[0] = calloc(1, OUTPUT_LEN);
    machine.output[1] = calloc(1, OUTPUT_LEN);
    arena_init(&machine.arena, (uint64_t)(uintptr_t)machine.arena_memory, ARENA_LEN);
    arena_init(&machine.rings, (uint64_t)(uintptr_t)machine.rings_memory, RINGS_LEN);
}

void fake_machine_stop(void)
{
    for (uint32_t i = 0; i < machine.disk_count; i++) {
        free(machine.disks[i].data);
    }
    free(machine.arena_memory);
    free(machine.rings_memory);
    free(machine.output[0]);
    free(machine.output[1]);
}

struct arena *fake_machine_arena(void)
{
    return &machine.arena;
}

struct arena *fake_machine_rings(void)
{
    return &machine.rings;
}

uint64_t fake_random(void)
{
    machine.random ^= machine.random << 13;
    machine.random ^= machine.random >> 7;
    machine.random ^= machine.random << 17;
    return machine.random;
}

void *fake_memory(uint64_t gpa, uint64_t len)
{
    uint64_t arena_gpa = (uint64_t)(uintptr_t)machine.arena_memory;
    uint64_t rings_gpa = (uint64_t)(uintptr_t)machine.rings_memory;
    if ((gpa < arena_gpa || !range_is_within(gpa - arena_gpa, len, ARENA_LEN)) &&
        (gpa < rings_gpa || !range_is_within(gpa - rings_gpa, len, RINGS_LEN))) {
        fail_msg("the guest gave a device memory that is not data memory");
    }
    return (void *)(uintptr_t)gpa;
}

void *fake_memory_at(uint32_t data_off, uint64_t len)
{
    /* Rings are less than 4 GiB long: of the address only the lower half is known, and enough. */
    uint64_t rings_gpa = (uint64_t)(uintptr_t)machine.rings_memory;
    uint32_t rings_off = data_off - (uint32_t)(rings_gpa - LAYOUT_DATA_GPA);
    return fake_memory(rings_gpa + rings_off, len);
}

struct fake_disk *fake_machine_add_disk(uint64_t file_len)
{
    assert_true(machine.disk_count < FAKE_DISKS_MAX);
    struct fake_disk *disk = &machine.disks[machine.disk_count];
    uint64_t capacity_len = round_up(file_len, VIRTIO_BLK_SECTOR_LEN);
    *disk = (struct fake_disk){
        .features = FAKE_DISK_FEATURES,
        .config = {.capacity = capacity_len / VIRTIO_BLK_SECTOR_LEN,
                   .size_max = 4u << 20,
                   .seg_max = 64,
                   .blk_size = 512,
                   .max_discard_sectors = 1u << 20,
                   .max_discard_seg = 1,
                   .max_write_zeroes_sectors = 1u << 20,
                   .max_write_zeroes_seg = 1},
        .instar = {.file_len = file_len},
        .queue_num_max = FAKE_QUEUE_MAX,
        .extents_per_answer = 1000,
        .registers_gpa = FAKE_REGISTERS_GPA + machine.disk_count * 0x1000ull,
        .data = calloc(1, capacity_len + 1),
    };
    machine.disk_count++;
    return disk;
}

void fake_machine_signal(void)
{
    machine.is_signalled = true;
}

static struct fake_disk *disk_at(uint64_t register_gpa)
{
    for (uint32_t i = 0; i < machine.disk_count; i++) {
        if (register_gpa - machine.disks[i].registers_gpa < 0x1000) {
            return &machine.disks[i];
        }
    }
    fail_msg("no device at 0x%llx", (unsigned long long)register_gpa);
    return NULL;
}

uint8_t platform_register_read8(uint64_t register_gpa)
{
    uint8_t value = 0;
    struct fake_disk *disk = disk_at(register_gpa);
    fake_disk_config(disk, register_gpa - disk->registers_gpa, &value, sizeof(value));
    return value;
}

uint16_t platform_register_read16(uint64_t register_gpa)
{
    uint16_t value = 0;
    struct fake_disk *disk = disk_at(register_gpa);
    fake_disk_config(disk, register_gpa - disk->registers_gpa, &value, sizeof(value));
    return value;
}

uint32_t platform_register_read32(uint64_t register_gpa)
{
    struct fake_disk *disk = disk_at(register_gpa);
    return fake_disk_read_register(disk, register_gpa - disk->registers_gpa);
}

static void ring_doorbell(uint32_t value)
{
    assert_int_equal(value, 0);
    for (uint32_t i = 0; i < machine.disk_count; i++) {
        if (machine.disks[i].is_late) {
            fake_disk_write_register(&machine.disks[i], VIRTIO_MMIO_QUEUE_NOTIFY, value);
        }
    }
}

void platform_register_write32(uint64_t register_gpa, uint32_t value)
{
    if (register_gpa == LAYOUT_LATE_DOORBELL_GPA) {
        ring_doorbell(value);
        return;
    }
    struct fake_disk *disk = disk_at(register_gpa);
    uint64_t off = register_gpa - disk->registers_gpa;
    disk->exits += off != VIRTIO_MMIO_QUEUE_NOTIFY;
    fake_disk_write_register(disk, off, value);
}

static bool work(void)
{
    bool worked = false;
    for (uint32_t i = 0; i < machine.disk_count; i++) {
        worked |= fake_disk_work(&machine.disks[i]);
    }
    return worked;
}

uint64_t platform_ticks(void)
{
    machine.ticks += 1000;
    return machine.ticks;
}

void platform_relax(void)
{
    if (fake_random() % 16 == 0) {
        work();
    }
}

void platform_wait(uint32_t mask)
{
    if (mask == WAIT_INPUT) {
        assert_true(machine.input_len > 0); /* the guest would wait for ever */
        machine.early_waits -= machine.early_waits > 0 ? 1 : 0;
        return;
    }
    assert_int_equal(mask, WAIT_COMPLETION);
    while (!machine.is_signalled) {
        if (!work()) {
            fail_msg("the guest waits for ever");
        }
    }
    machine.is_signalled = false;
}

void platform_port_write(uint16_t port, const void *data, size_t len)
{
    int index = port == PORT_MESSAGE_DATA ? 0 : 1;
    assert_true(port == PORT_MESSAGE_DATA || port == PORT_DEBUG_DATA);
    assert_true(machine.output_len[index] + len <= OUTPUT_LEN);
    memcpy(machine.output[index] + machine.output_len[index], data, len);
    machine.output_len[index] += len;
}

const uint8_t *fake_machine_output(uint16_t port, uint64_t *ret_len)
{
    int index = port == PORT_MESSAGE_DATA ? 0 : 1;
    *ret_len = machine.output_len[index];
    return machine.output[index];
}

void fake_machine_set_input(const void *data, uint64_t len)
{
    machine.input = data;
    machine.input_len = len;
    machine.early_waits = 2;
}

struct span platform_first_message(void)
{
    struct le32 head;
    assert_true(machine.input_len >= sizeof(head));
    memcpy(&head, machine.input, sizeof(head));
    return (struct span){machine.input + sizeof(head), le32_get(head)};
}

void platform_port_read(uint16_t port, void *target, size_t len)
{
    assert_int_equal(port, PORT_MESSAGE_DATA);
    size_t input_len = machine.early_waits == 0 ? (size_t)min_u64(len, machine.input_len) : 0;
    memset(target, 0xff, len);
    memcpy(target, machine.input, input_len);
    machine.input += input_len;
    machine.input_len -= input_len;
}

NO_RETURN void panic(const char *format, ...)
{
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    fail_msg("panic: %s", reason);
    abort();
}
