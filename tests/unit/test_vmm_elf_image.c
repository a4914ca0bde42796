/* SPDX-License-Identifier: Apache-2.0 */
/* Guest programs, good and bad. instar-vmm takes any file for one. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/layout.h"
#include "base/attributes.h"
#include "host/vmm/elf_image.h"

#define CONTENT_OFF 0x1000u
#define SEGMENT_COUNT 3u

/* A program of three segments: code, constants, data with zeros behind it. */
struct file {
    Elf64_Ehdr header;
    Elf64_Phdr segments[SEGMENT_COUNT];
    uint8_t padding[CONTENT_OFF - sizeof(Elf64_Ehdr) - SEGMENT_COUNT * sizeof(Elf64_Phdr)];
    uint8_t content[0x3000];
};

static struct file good(void)
{
    struct file file = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_entry = LAYOUT_PROGRAM_GPA + 16,
                   .e_phoff = offsetof(struct file, segments),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = SEGMENT_COUNT},
        .segments = {{.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_X,
                      .p_offset = CONTENT_OFF,
                      .p_vaddr = LAYOUT_PROGRAM_GPA,
                      .p_filesz = 0x800,
                      .p_memsz = 0x800},
                     {.p_type = PT_LOAD,
                      .p_flags = PF_R,
                      .p_offset = CONTENT_OFF + 0x1000,
                      .p_vaddr = LAYOUT_PROGRAM_GPA + 0x1000,
                      .p_filesz = 0x1000,
                      .p_memsz = 0x1000},
                     {.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_W,
                      .p_offset = CONTENT_OFF + 0x2000,
                      .p_vaddr = LAYOUT_PROGRAM_GPA + 0x2000,
                      .p_filesz = 0x10,
                      .p_memsz = 0x5000}},
    };
    return file;
}

static struct span span_of(const struct file *file)
{
    return (struct span){(const uint8_t *)file, sizeof(*file)};
}

static void expect_bad(const struct file *file, const char *detail)
{
    struct elf_image image = {.segment_count = 77};
    struct error error = {0};
    assert_false(elf_image_parse(span_of(file), &image, &error));
    assert_int_equal(error.kind, ERROR_MALFORMED);
    assert_non_null(strstr(error.detail, detail));
    assert_int_equal(image.segment_count, 77);
}

static void takes_a_good_program(void **state UNUSED)
{
    struct file file = good();
    struct elf_image image;
    struct error error = {0};
    assert_true(elf_image_parse(span_of(&file), &image, &error));
    assert_int_equal(image.segment_count, SEGMENT_COUNT);
    assert_int_equal(image.entry_gpa, LAYOUT_PROGRAM_GPA + 16);
    assert_true(image.segments[0].executable && !image.segments[0].writable);
    assert_ptr_equal(image.segments[0].content.data, file.content);
    assert_true(image.segments[2].writable && !image.segments[2].executable);
    assert_int_equal(image.segments[2].memory_len, 0x5000);
    assert_int_equal(image.segments[2].content.len, 0x10);
}

static void refuses_other_files(void **state UNUSED)
{
    struct file file = good();
    file.header.e_ident[EI_MAG1] = 'F';
    expect_bad(&file, "no ELF header");
    file = good();
    file.header.e_ident[EI_CLASS] = ELFCLASS32;
    expect_bad(&file, "64-bit x86");
    file = good();
    file.header.e_ident[EI_DATA] = ELFDATA2MSB;
    expect_bad(&file, "64-bit x86");
    file = good();
    file.header.e_machine = EM_AARCH64;
    expect_bad(&file, "64-bit x86");
    file = good();
    file.header.e_type = ET_DYN;
    expect_bad(&file, "e_type");
    file = good();
    file.header.e_phentsize = sizeof(Elf64_Phdr) + 8;
    expect_bad(&file, "e_phentsize");
    file = good();
    file.segments[0].p_type = PT_INTERP;
    expect_bad(&file, "dynamically linked");
    file = good();
    file.segments[1].p_type = PT_DYNAMIC;
    expect_bad(&file, "dynamically linked");
}

static void refuses_headers_outside_of_the_file(void **state UNUSED)
{
    static const uint64_t offs[] = {sizeof(struct file), sizeof(struct file) - sizeof(Elf64_Phdr), UINT64_MAX,
                                    UINT64_MAX - sizeof(Elf64_Phdr), 1ull << 63};
    for (unsigned int i = 0; i < ARRAY_COUNT(offs); i++) {
        struct file file = good();
        file.header.e_phoff = offs[i];
        expect_bad(&file, "e_phoff");
    }
    struct file file = good();
    file.header.e_phnum = UINT16_MAX;
    memset(file.padding, 0, sizeof(file.padding));
    expect_bad(&file, "e_phoff");
    file = good();
    file.header.e_phnum = 0;
    expect_bad(&file, "e_entry");
}

static void refuses_segments_that_do_not_fit(void **state UNUSED)
{
    static const struct {
        uint64_t off, gpa, file_len, memory_len;
        const char *detail;
    } cases[] = {
        {CONTENT_OFF, LAYOUT_PROGRAM_GPA, 0x801, 0x800, "p_filesz"},
        {CONTENT_OFF, LAYOUT_PROGRAM_GPA, UINT64_MAX, UINT64_MAX, "p_offset"},
        {sizeof(struct file), LAYOUT_PROGRAM_GPA, 1, 0x800, "p_offset"},
        {UINT64_MAX, LAYOUT_PROGRAM_GPA, 2, 0x800, "p_offset"},
        {CONTENT_OFF, LAYOUT_PROGRAM_GPA - 1, 0x800, 0x800, "p_vaddr"},
        {CONTENT_OFF, 0, 0x800, 0x800, "p_vaddr"},
        {CONTENT_OFF, LAYOUT_BOOT_INFO_GPA, 0x800, 0x800, "p_vaddr"},
        {CONTENT_OFF, LAYOUT_PROGRAM_GPA, 0x800, LAYOUT_PROGRAM_LEN + 1, "p_vaddr"},
        {CONTENT_OFF, LAYOUT_PROGRAM_GPA, 0x800, UINT64_MAX, "p_vaddr"},
        {CONTENT_OFF, LAYOUT_STACKS_GPA - 1, 0, 2, "p_vaddr"},
        {CONTENT_OFF, LAYOUT_STACKS_GPA, 0, 1, "p_vaddr"},
        {CONTENT_OFF, UINT64_MAX, 0x800, 0x800, "p_vaddr"},
    };
    for (unsigned int i = 0; i < ARRAY_COUNT(cases); i++) {
        struct file file = good();
        file.segments[0].p_offset = cases[i].off;
        file.segments[0].p_vaddr = cases[i].gpa;
        file.segments[0].p_filesz = cases[i].file_len;
        file.segments[0].p_memsz = cases[i].memory_len;
        expect_bad(&file, cases[i].detail);
    }
}

static void refuses_segments_that_share_a_page(void **state UNUSED)
{
    struct file file = good();
    file.segments[1].p_vaddr = LAYOUT_PROGRAM_GPA + 0x800; /* the code's page */
    expect_bad(&file, "share a page");
    file = good();
    file.segments[0].p_memsz = 0x1001; /* into the page of the constants */
    expect_bad(&file, "share a page");
    file = good();
    file.segments[1].p_vaddr = LAYOUT_PROGRAM_GPA + 0x8000; /* behind the data */
    expect_bad(&file, "share a page or are out of order");
    file = good();
    file.segments[1] = file.segments[0];
    expect_bad(&file, "share a page");
}

static void refuses_memory_that_is_writable_and_executable(void **state UNUSED)
{
    struct file file = good();
    file.segments[0].p_flags = PF_R | PF_W | PF_X;
    expect_bad(&file, "writable and executable");
}

static void refuses_an_entry_that_is_no_code(void **state UNUSED)
{
    static const uint64_t entries[] = {
        0,         LAYOUT_PROGRAM_GPA - 1, LAYOUT_PROGRAM_GPA + 0x800, LAYOUT_PROGRAM_GPA + 0x1000, LAYOUT_GATE_GPA,
        UINT64_MAX};
    for (unsigned int i = 0; i < ARRAY_COUNT(entries); i++) {
        struct file file = good();
        file.header.e_entry = entries[i];
        expect_bad(&file, "e_entry");
    }
}

static void refuses_too_many_segments(void **state UNUSED)
{
    static struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[ELF_SEGMENT_MAX + 1];
    } file;
    file.header = good().header;
    file.header.e_phoff = sizeof(file.header);
    file.header.e_phnum = ELF_SEGMENT_MAX + 1;
    for (unsigned int i = 0; i <= ELF_SEGMENT_MAX; i++) {
        file.segments[i] =
            (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = LAYOUT_PROGRAM_GPA + i * 0x1000, .p_memsz = 1};
    }
    struct elf_image image;
    struct error error = {0};
    assert_false(elf_image_parse((struct span){(const uint8_t *)&file, sizeof(file)}, &image, &error));
    assert_non_null(strstr(error.detail, "e_phnum"));
}

/* Cut anywhere, the file is refused or has all that its segments need; the sanitizer watches the reads. */
static void reads_nothing_behind_the_end(void **state UNUSED)
{
    struct file whole = good();
    for (size_t len = 0; len <= sizeof(whole); len += len < CONTENT_OFF ? 1 : 61) {
        uint8_t *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, &whole, len);
        struct elf_image image;
        struct error error = {0};
        /* The last segment has 16 bytes in the file. */
        assert_int_equal(elf_image_parse((struct span){cut, len}, &image, &error), len >= CONTENT_OFF + 0x2010);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_good_program),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_headers_outside_of_the_file),
        cmocka_unit_test(refuses_segments_that_do_not_fit),
        cmocka_unit_test(refuses_segments_that_share_a_page),
        cmocka_unit_test(refuses_memory_that_is_writable_and_executable),
        cmocka_unit_test(refuses_an_entry_that_is_no_code),
        cmocka_unit_test(refuses_too_many_segments),
        cmocka_unit_test(reads_nothing_behind_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
