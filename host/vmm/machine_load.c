/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine before its first instruction: program, address space, boot information, thread blocks.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/checked.h"
#include "host/vmm/elf_image.h"
#include "host/vmm/machine.h"

static bool map(struct machine *machine, uint64_t gpa, uint64_t len, enum guest_access access, struct error *error)
{
    return machine->engine->operations->map(machine->engine, gpa, len, access, error);
}

/*
 * What the guest only reads or executes need not be copied: a page of the program's file can be the guest's page. Most
 * of a large program is never used, and its beginning is, as the libraries come behind our own code. That is copied
 * nevertheless: writable memory of this process the kernel maps for the guest in groups, the file's page by page, and
 * such a fault costs more than several copies.
 */
#define COPIED_LEN (256ull << 10)

/* A segment that is neither written nor longer than what the program's file has of it, at the borders of pages. */
static bool is_constant(const struct elf_segment *segment)
{
    return !segment->writable && segment->content.len == segment->memory_len && segment->gpa % LAYOUT_PAGE_LEN == 0 &&
           (uintptr_t)segment->content.data % LAYOUT_PAGE_LEN == 0;
}

/* Moves the pages of a segment from COPIED_LEN on. Sets *ret_copy_len to what must be copied. */
static void segment_move(struct machine *machine, const struct elf_segment *segment, uint64_t *ret_copy_len)
{
    *ret_copy_len = segment->memory_len;
    if (is_constant(segment) && segment->memory_len > COPIED_LEN &&
        guest_memory_move_in(&machine->memory, segment->gpa + COPIED_LEN, segment->content.data + COPIED_LEN,
                             segment->content.len - COPIED_LEN)) {
        *ret_copy_len = COPIED_LEN;
    }
}

/* Where the engine can map the program's own pages. Returns how much of the segment need not be copied. */
static uint64_t segment_map_own(struct machine *machine, const struct elf_segment *segment)
{
    const struct engine_operations *operations = machine->engine->operations;
    uint64_t len = round_down(segment->memory_len, LAYOUT_PAGE_LEN);
    bool is_mapped =
        operations->map_program != NULL && is_constant(segment) && len > 0 &&
        operations->map_program(machine->engine, segment->gpa, segment->content.data, len, segment->executable);
    return is_mapped ? len : 0;
}

/* What is behind the content begins as zeros, as all memory does; of that most programs touch a few pages. */
static void segment_copy(struct machine *machine, const struct elf_segment *segment, uint64_t start, uint64_t end)
{
    uint64_t content_end = min_u64(end, segment->content.len);
    if (start < content_end) {
        uint64_t len = content_end - start;
        guest_memory_populate(&machine->memory, segment->gpa + start, len);
        memcpy(guest_memory_low(&machine->memory, segment->gpa + start, len), segment->content.data + start, len);
    }
}

static bool program_load(struct machine *machine, const struct elf_image *image, bool may_move, struct error *error)
{
    for (unsigned int i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];
        uint64_t mapped_len = may_move ? segment_map_own(machine, segment) : 0;
        uint64_t copy_end = segment->memory_len;
        if (may_move && !machine->engine->operations->shares_memory) {
            segment_move(machine, segment, &copy_end);
        }
        segment_copy(machine, segment, mapped_len, copy_end);
        uint64_t first_gpa = round_down(segment->gpa, LAYOUT_PAGE_LEN) + mapped_len;
        uint64_t end_gpa = round_up(segment->gpa + segment->memory_len, LAYOUT_PAGE_LEN);
        enum guest_access access = segment->executable ? GUEST_READ_EXECUTE
                                   : segment->writable ? GUEST_READ_WRITE
                                                       : GUEST_READ;
        RETURN_IF_FAILED(map(machine, first_gpa, end_gpa - first_gpa, access, error));
    }
    return true;
}

/* Of each stack, what hardly a program does without. */
#define STACK_POPULATED_LEN (4 * LAYOUT_PAGE_LEN)

static bool stacks_map(struct machine *machine, struct error *error)
{
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        uint64_t bottom_gpa = LAYOUT_STACK_BOTTOM_GPA(i);
        RETURN_IF_FAILED(map(machine, bottom_gpa, LAYOUT_STACK_TOP_GPA(i) - bottom_gpa, GUEST_READ_WRITE, error));
        RETURN_IF_FAILED(map(machine, LAYOUT_THREAD_BLOCK_GPA(i), LAYOUT_THREAD_BLOCK_LEN, GUEST_READ_WRITE, error));
        guest_memory_populate(&machine->memory, LAYOUT_STACK_TOP_GPA(i) - STACK_POPULATED_LEN,
                              LAYOUT_THREAD_BLOCK_GPA(i) + LAYOUT_THREAD_BLOCK_LEN - LAYOUT_STACK_TOP_GPA(i) +
                                  STACK_POPULATED_LEN);
    }
    return true;
}

/* Everything that is not mapped here faults: page zero, the guard pages, and what belongs to the engine. */
static bool address_space_map(struct machine *machine, const struct elf_image *image, bool may_move,
                              struct error *error)
{
    RETURN_IF_FAILED(map(machine, LAYOUT_BOOT_INFO_GPA, LAYOUT_BOOT_INFO_LEN + LAYOUT_MESSAGE_LEN, GUEST_READ, error));
    RETURN_IF_FAILED(program_load(machine, image, may_move, error));
    RETURN_IF_FAILED(stacks_map(machine, error));
    RETURN_IF_FAILED(map(machine, LAYOUT_REGISTERS_GPA, machine->memory.registers_len, GUEST_REGISTERS, error));
    RETURN_IF_FAILED(map(machine, LAYOUT_LATE_DOORBELL_GPA, LAYOUT_LATE_DOORBELL_LEN, GUEST_DOORBELL, error));
    return map(machine, LAYOUT_DATA_GPA, machine->memory.data_len, GUEST_READ_WRITE, error);
}

static void boot_info_write(struct machine *machine, const struct machine_content *content)
{
    assert(content->message.len <= LAYOUT_MESSAGE_LEN);
    memcpy(guest_memory_low(&machine->memory, LAYOUT_MESSAGE_GPA, LAYOUT_MESSAGE_LEN), content->message.data,
           content->message.len);
    struct boot_info *info =
        (struct boot_info *)guest_memory_low(&machine->memory, LAYOUT_BOOT_INFO_GPA, LAYOUT_BOOT_INFO_LEN);
    *info = (struct boot_info){
        .magic = BOOT_INFO_MAGIC,
        .version = BOOT_INFO_VERSION,
        .vcpu_count = machine->vcpu_count,
        .device_count = machine->device_count,
        .tsc_khz = machine->engine->operations->tsc_khz(machine->engine),
        .platform = machine->engine->operations->platform,
        .message_len = (uint32_t)content->message.len,
        .arena_gpa = LAYOUT_ARENA_GPA,
        .arena_len = machine->memory.data_len - LAYOUT_QUEUES_LEN,
        .transport = content->transport,
    };
    for (unsigned int i = 0; i < machine->device_count; i++) {
        info->devices[i] = (struct boot_device){.role = (uint8_t)content->roles[i]};
    }
}

static void thread_block_write(struct machine *machine, unsigned int vcpu, uint64_t canary)
{
    uint64_t gpa = LAYOUT_THREAD_BLOCK_GPA(vcpu);
    struct thread_block *block =
        (struct thread_block *)guest_memory_low(&machine->memory, gpa, LAYOUT_THREAD_BLOCK_LEN);
    *block = (struct thread_block){.self_gpa = gpa, .vcpu_index = vcpu, .canary = canary};
}

static bool vcpus_reset(struct machine *machine, uint64_t entry_gpa, struct error *error)
{
    uint64_t canary;
    if (getrandom(&canary, sizeof(canary), 0) != (ssize_t)sizeof(canary)) {
        return error_set(error, ERROR_HOST, NULL, "no random numbers: %s", strerror(errno));
    }
    for (unsigned int i = 0; i < machine->vcpu_count; i++) {
        thread_block_write(machine, i, canary);
        struct vcpu_start start = {
            .entry_gpa = entry_gpa,
            .stack_top_gpa = LAYOUT_STACK_TOP_GPA(i),
            .thread_block_gpa = LAYOUT_THREAD_BLOCK_GPA(i),
            .arguments = {LAYOUT_BOOT_INFO_GPA, i},
        };
        RETURN_IF_FAILED(machine->engine->operations->vcpu_reset(machine->engine, i, &start, error));
    }
    return true;
}

bool machine_add_window(struct machine *machine, uint64_t gpa, uint8_t *host, uint64_t len, enum guest_access access,
                        struct error *error)
{
    const struct engine_operations *operations = machine->engine->operations;
    if (operations->add_memory == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "the engine \"%s\" gives a guest no further memory",
                         operations->name);
    }
    return operations->add_memory(machine->engine, gpa, host, len, access == GUEST_READ || access == GUEST_REGISTERS,
                                  error) &&
           map(machine, gpa, len, access, error);
}

bool machine_load(struct machine *machine, const struct machine_content *content, struct error *error)
{
    struct elf_image image;
    RETURN_IF_FAILED(elf_image_parse(content->program, &image, error));
    RETURN_IF_FAILED(address_space_map(machine, &image, content->gives_program, error));
    boot_info_write(machine, content);
    return vcpus_reset(machine, image.entry_gpa, error);
}
