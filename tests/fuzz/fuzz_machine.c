/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_machine.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/ports.h"
#include "fuzz.h"
#include "host/backends/find_zeros.h"
#include "host/devices/register_bank.h"

static struct {
    bool is_made;
    struct machine machine;
    struct register_bank bank;
    struct io_thread thread;
    struct virtio_blk disks[FUZZ_MACHINE_DISKS];
    struct virtio_blk_peers peers;
    struct write_budget budget;
    struct backend *backends[FUZZ_MACHINE_DISKS];
    struct backend_operations operations; /* of disk 1: those of its backend, with a bound */
    int files[FUZZ_MACHINE_DISKS];
} world;

static bool engine_coalesce(struct engine *engine UNUSED, bool is_port UNUSED, uint64_t start UNUSED,
                            uint32_t len UNUSED, struct error *error UNUSED)
{
    return true;
}

static void engine_interrupt(struct engine *engine UNUSED, unsigned int vcpu UNUSED)
{
}

static const struct engine_operations engine_operations = {
    .name = "none", .coalesce_writes = engine_coalesce, .vcpu_interrupt = engine_interrupt};
static struct engine engine = {.operations = &engine_operations};

static int bounded_set_len(struct backend *backend, uint64_t len)
{
    if (len > FUZZ_MACHINE_DISK_LEN_MAX || ftruncate(backend->data_fd, (off_t)len) != 0) {
        return EFBIG;
    }
    __atomic_store_n(&backend->len, len, __ATOMIC_RELAXED);
    return 0;
}

/* What is the same for all inputs. */
static void world_make(void)
{
    uint8_t content[4096];
    world.is_made = true;
    world.machine = (struct machine){
        .engine = &engine,
        .ports = {.noun = "port"},
        .registers = {.noun = "address"},
        .device_count = FUZZ_MACHINE_DISKS,
        .vcpu_count = 1,
        .exit_count = &world.machine.own_exit_count,
        .interrupt_fd = -1,
        .end_fd = -1,
    };
    pthread_mutex_init(&world.machine.drain_lock, NULL);
    pthread_mutex_init(&world.machine.end_lock, NULL);
    start_gate_init(&world.machine.gate);
    memset(content, 0xa5, sizeof(content));
    for (unsigned int i = 0; i < FUZZ_MACHINE_DISKS; i++) {
        world.files[i] = memfd_create("disk", MFD_CLOEXEC);
        FUZZ_ASSERT(world.files[i] >= 0);
        FUZZ_ASSERT(ftruncate(world.files[i], FUZZ_MACHINE_DISK_LEN) == 0);
    }
    /* Data, holes, data. */
    FUZZ_ASSERT(pwrite(world.files[0], content, sizeof(content), 0) == sizeof(content));
    FUZZ_ASSERT(pwrite(world.files[0], content, sizeof(content), 4 * sizeof(content)) == sizeof(content));
}

static void disk_make(unsigned int index)
{
    static const char *const names[] = {"device 0", "device 1"};
    struct error error = {0};
    bool is_writable = index > 0;
    struct backend_config config = {
        .kind = BACKEND_REGULAR,
        .path = names[index],
        .fd = dup(world.files[index]),
        .len = FUZZ_MACHINE_DISK_LEN,
        .writable = is_writable,
    };
    struct virtio_blk_setup setup = {
        .index = index,
        .queue_count = 1,
        .thread = &world.thread,
        .bank = &world.bank,
        .is_late = true,
        .peers = &world.peers,
    };
    world.backends[index] = backend_open(&config, &error);
    FUZZ_ASSERT(world.backends[index] != NULL);
    if (is_writable) {
        world.operations = *world.backends[index]->operations;
        world.operations.set_len = bounded_set_len;
        world.backends[index]->operations = &world.operations;
    }
    struct virtio_blk_medium medium = {
        .name = names[index],
        .backend = world.backends[index],
        .sector_len = 512,
        .zeroed = is_writable,
        .is_resizable = is_writable,
        .is_copy_target = is_writable,
        .finds_zeros = backend_finds_zeros(world.backends[index]),
        .allocated_len = FUZZ_MACHINE_DISK_LEN,
        .room = write_room_of_budget(&world.budget),
    };
    FUZZ_ASSERT(virtio_blk_init(&world.disks[index], &world.machine, &setup, &error));
    FUZZ_ASSERT(virtio_blk_attach(&world.disks[index], &medium, &error));
}

struct machine *fuzz_machine_start(uint64_t write_limit_len)
{
    struct error error = {0};
    struct machine *machine = &world.machine;
    if (!world.is_made) {
        world_make();
    }
    machine->ports.range_count = 0;
    machine->registers.range_count = 0;
    machine->has_ended = false;
    machine->error = (struct error){0};
    machine->vcpus[0] = (struct machine_vcpu){.machine = machine};
    vcpu_events_init(&machine->vcpus[0].events);
    /* On the heap, each by itself, so that a sanitizer sees the byte behind it. */
    machine->memory = (struct guest_memory){
        .registers = calloc(FUZZ_MACHINE_DISKS, LAYOUT_REGISTERS_STRIDE),
        .registers_len = FUZZ_MACHINE_DISKS * LAYOUT_REGISTERS_STRIDE,
        .data = calloc(1, FUZZ_MACHINE_DATA_LEN),
        .data_len = FUZZ_MACHINE_DATA_LEN,
        .shared_fd = -1,
    };
    FUZZ_ASSERT(machine->memory.registers != NULL && machine->memory.data != NULL);
    FUZZ_ASSERT(ftruncate(world.files[1], 0) == 0 && ftruncate(world.files[1], FUZZ_MACHINE_DISK_LEN) == 0);
    memset(&world.peers, 0, sizeof(world.peers));
    write_budget_init(&world.budget, write_limit_len);
    world.bank = (struct register_bank){0};
    FUZZ_ASSERT(
        register_bank_init(&world.bank, machine, (struct register_bank_late){0, FUZZ_MACHINE_DISKS}, false, &error));
    for (unsigned int i = 0; i < FUZZ_MACHINE_DISKS; i++) {
        disk_make(i);
    }
    return machine;
}

void fuzz_machine_serve(void)
{
    for (unsigned int i = 0; i < FUZZ_MACHINE_DISKS; i++) {
        virtio_blk_serve(&world.disks[i]);
    }
}

void fuzz_machine_stop(void)
{
    for (unsigned int i = 0; i < FUZZ_MACHINE_DISKS; i++) {
        virtio_blk_settle(&world.disks[i]);
        virtio_blk_release(&world.disks[i]);
        backend_close(world.backends[i], false);
    }
    register_bank_release(&world.bank);
    write_budget_release(&world.budget);
    vcpu_events_release(&world.machine.vcpus[0].events);
    free(world.machine.memory.registers);
    free(world.machine.memory.data);
}

struct virtio_blk *fuzz_machine_disk(unsigned int index)
{
    return &world.disks[index];
}

const struct write_budget *fuzz_machine_budget(void)
{
    return &world.budget;
}
