/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest programs that are part of the VMM's own program need not be copied into the guest's memory: its process maps
 * the same pages of the same file. Nothing else of that file.
 */
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/vmm/engines/process_private.h"

struct place {
    uint64_t address;
    uint64_t len;
    uint64_t off; /* in the program's file */
    bool is_found;
};

/* The first object is the program itself. */
static int place_find(struct dl_phdr_info *object, size_t size UNUSED, void *context)
{
    struct place *place = context;
    for (unsigned int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uint64_t start = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) == 0 && place->address >= start &&
            range_is_within(place->address - start, place->len, segment->p_filesz)) {
            place->off = segment->p_offset + (place->address - start);
            place->is_found = true;
        }
    }
    return 1;
}

bool process_map_program(struct engine *engine, uint64_t gpa, const uint8_t *pages, uint64_t len, bool is_executable)
{
    struct process *process = (struct process *)engine;
    struct place place = {.address = (uintptr_t)pages, .len = len};
    dl_iterate_phdr(place_find, &place);
    if (!place.is_found || place.off % LAYOUT_PAGE_LEN != 0 || gpa % LAYOUT_PAGE_LEN != 0 ||
        len % LAYOUT_PAGE_LEN != 0 || process->start.mapping_count == STUB_MAPPING_MAX) {
        return false;
    }
    if (process->program_fd < 0) {
        process->program_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    }
    if (process->program_fd < 0) {
        return false;
    }
    process->start.mappings[process->start.mapping_count++] = (struct stub_mapping){
        .gpa = gpa,
        .len = len,
        .off = place.off,
        .protection = PROT_READ | (is_executable ? PROT_EXEC : 0),
        .is_program = 1,
    };
    return true;
}

void process_program_close(struct process *process)
{
    if (process->program_fd >= 0) {
        close(process->program_fd);
    }
    process->program_fd = -1;
}
