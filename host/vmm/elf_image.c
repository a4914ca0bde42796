/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/elf_image.h"

#include <elf.h>

#include "abi/layout.h"
#include "base/checked.h"

static bool malformed(struct error *error, const char *what)
{
    return error_set(error, ERROR_MALFORMED, NULL, "not a guest program: %s", what);
}

static bool header_parse(struct span file, Elf64_Ehdr *ret_header, struct error *error)
{
    Elf64_Ehdr header;
    if (!span_copy(file, 0, &header, sizeof(header)) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return malformed(error, "no ELF header");
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64) {
        return malformed(error, "ELF header is not for 64-bit x86");
    }
    if (header.e_type != ET_EXEC) {
        return malformed(error, "not a static executable (e_type)");
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr)) {
        return malformed(error, "wrong size of program headers (e_phentsize)");
    }
    *ret_header = header;
    return true;
}

static bool segment_parse(struct span file, const Elf64_Phdr *header, struct elf_segment *ret_segment,
                          struct error *error)
{
    struct elf_segment segment = {
        .gpa = header->p_vaddr,
        .memory_len = header->p_memsz,
        .writable = (header->p_flags & PF_W) != 0,
        .executable = (header->p_flags & PF_X) != 0,
    };
    if (header->p_filesz > header->p_memsz) {
        return malformed(error, "a segment is longer in the file than in memory (p_filesz)");
    }
    if (!span_slice(file, header->p_offset, header->p_filesz, &segment.content)) {
        return malformed(error, "a segment ends past the end of the file (p_offset)");
    }
    if (segment.gpa < LAYOUT_PROGRAM_GPA ||
        !range_is_within(segment.gpa - LAYOUT_PROGRAM_GPA, segment.memory_len, LAYOUT_PROGRAM_LEN)) {
        return malformed(error, "a segment lies outside of the program region (p_vaddr)");
    }
    if (segment.writable && segment.executable) {
        return malformed(error, "a segment is writable and executable (p_flags)");
    }
    *ret_segment = segment;
    return true;
}

/* Permissions are per page, so no page may belong to two segments. */
static bool segment_follows(const struct elf_image *image, const struct elf_segment *segment)
{
    if (image->segment_count == 0) {
        return true;
    }
    const struct elf_segment *last = &image->segments[image->segment_count - 1];
    return round_down(segment->gpa, LAYOUT_PAGE_LEN) >= round_up(last->gpa + last->memory_len, LAYOUT_PAGE_LEN);
}

static bool entry_is_executable(const struct elf_image *image)
{
    for (unsigned int i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];
        if (segment->executable && image->entry_gpa >= segment->gpa &&
            image->entry_gpa - segment->gpa < segment->content.len) {
            return true;
        }
    }
    return false;
}

bool elf_image_parse(struct span file, struct elf_image *ret_image, struct error *error)
{
    Elf64_Ehdr header;
    RETURN_IF_FAILED(header_parse(file, &header, error));

    struct elf_image image = {.entry_gpa = header.e_entry};
    /* Ends after 65535 headers at most: e_phnum has 16 bits. */
    for (unsigned int i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr program_header;
        uint64_t off;
        if (!checked_add(header.e_phoff, i * sizeof(program_header), &off) ||
            !span_copy(file, off, &program_header, sizeof(program_header))) {
            return malformed(error, "program headers end past the end of the file (e_phoff)");
        }
        if (program_header.p_type == PT_INTERP || program_header.p_type == PT_DYNAMIC) {
            return malformed(error, "dynamically linked (p_type)");
        }
        if (program_header.p_type != PT_LOAD || program_header.p_memsz == 0) {
            continue;
        }
        if (image.segment_count == ELF_SEGMENT_MAX) {
            return malformed(error, "too many segments (e_phnum)");
        }
        struct elf_segment segment;
        RETURN_IF_FAILED(segment_parse(file, &program_header, &segment, error));
        if (!segment_follows(&image, &segment)) {
            return malformed(error, "segments share a page or are out of order (p_vaddr)");
        }
        image.segments[image.segment_count++] = segment;
    }
    if (!entry_is_executable(&image)) {
        return malformed(error, "the entry point is in no executable segment (e_entry)");
    }
    *ret_image = image;
    return true;
}
