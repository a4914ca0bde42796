/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users, or the programs that call us, say on a command line: names of images (paths, protocols, json:,
 * --image-opts), options of formats, snapshots, sizes, limits. And any text on its way to a terminal.
 */
#include <string.h>

#include "fuzz.h"
#include "host/cli/escape.h"
#include "host/cli/image/format_options.h"
#include "host/cli/image/names/image_name.h"
#include "host/cli/image/names/image_options.h"
#include "host/cli/image/target_formats.h"
#include "host/cli/limit_values.h"
#include "host/cli/utf8.h"
#include "host/job/policy/policy_path.h"

static void name_check(bool is_parsed, struct image_name *name, const struct error *error)
{
    if (!is_parsed) {
        FUZZ_ASSERT(error_is_set(error) && error->place[0] == '\0');
        return;
    }
    FUZZ_ASSERT(name->path != NULL && strlen(name->format) < IMAGE_FORMAT_LEN);
    image_name_release(name);
}

static void names_parse(const char *text)
{
    static const char *const formats[] = {NULL, "raw", "qcow2", "file"};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct error error = {0};
        struct image_name name = {0};
        name_check(image_name_parse(&name, text, formats[i], &error), &name, &error);
    }
}

static void image_opts_parse(const char *text)
{
    struct error error = {0};
    struct image_name name = {0};
    name_check(image_name_parse_options(&name, text, &error), &name, &error);
}

/* What each format that is written makes of the options. */
static void writer_options_check(const struct key_values *list)
{
    static const char *const names[] = {"raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed", "qcow", "parallels"};
    pb_byte_t room[64]; /* for names of files that options have */
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        const struct target_format *format;
        struct error error = {0};
        struct job job = {.output = {.path = "images/new"}};
        pb_size_t len = 0;
        bool is_for_creation;
        FUZZ_ASSERT(target_format_find(names[i], &format, &error));
        if (!target_format_check(format, list, &error)) {
            FUZZ_ASSERT(error_is_set(&error));
            continue;
        }
        target_format_print_values(fuzz_nowhere(), format, list);
        (void)target_hints_take(list, &job, &error);
        error = (struct error){0};
        (void)target_data_file_take(list, &job, room, sizeof(room), &len, &error);
        error = (struct error){0};
        (void)target_extent_take(format, list, &job, room, sizeof(room), &len, &error);
        FUZZ_ASSERT(len <= sizeof(room));
        job_outputs_release(&job.further_outputs);
        error = (struct error){0};
        (void)target_format_check_amended(format, list, &is_for_creation, &error);
    }
}

static void format_options_parse(const char *text)
{
    static instar_FormatOption options[FORMAT_OPTIONS_MAX];
    struct key_values list = {0};
    struct error error = {0};
    pb_size_t count = 0;
    if (format_options_take(&list, text, &error) && !format_options_ask_help(&list)) {
        writer_options_check(&list);
        if (format_options_encode(&list, true, options, &count, &error)) {
            FUZZ_ASSERT(count <= FORMAT_OPTIONS_MAX);
        }
    }
    key_values_release(&list);
}

static void values_parse(const char *text)
{
    instar_SnapshotChoice choice = {0};
    struct error error = {0};
    struct cache_mode mode;
    struct limit_values limits = {0};
    uint64_t number;
    (void)snapshot_choice_parse(text, &choice, &error);
    (void)size_argument_parse("image size", text, &number, &error);
    (void)cache_mode_parse(text, &mode);
    for (unsigned int limit = 0; limit < LIMIT_COUNT; limit++) {
        error = (struct error){0};
        (void)limit_take(&limits, (enum limit)limit, "place", text, &error);
    }
}

/* Nothing of a text may do anything to a terminal, and a shorter target takes a part of it. */
static void text_escape(const char *text)
{
    size_t len = strlen(text);
    char *target = malloc(ESCAPED_LEN(len));
    FUZZ_ASSERT(target != NULL);
    escape_text(target, ESCAPED_LEN(len), text);
    FUZZ_ASSERT(strlen(target) >= len);
    for (const char *byte = target; *byte != '\0'; byte++) {
        FUZZ_ASSERT((unsigned char)*byte >= 0x20 && *byte != 0x7f);
    }
    free(target);
    char *less = malloc(len / 2 + 1);
    FUZZ_ASSERT(less != NULL);
    escape_text(less, len / 2 + 1, text);
    FUZZ_ASSERT(strlen(less) <= len / 2);
    free(less);
}

/* Paths as text: what is said to be beneath a directory is. */
static void path_check(const char *text)
{
    char path[PATH_MAX];
    char parent[PATH_MAX];
    if (snprintf(path, sizeof(path), "/allowed/%s", text) >= (int)sizeof(path)) {
        return;
    }
    const char *beneath = path_beneath(path, "/allowed");
    FUZZ_ASSERT(beneath == NULL || (beneath[0] != '/' && beneath[0] != '\0'));
    path_parent(path, parent);
    FUZZ_ASSERT(parent[0] == '/' && strstr(parent, "//") == NULL && strstr(parent, "/../") == NULL);
    char *combined = path_combine(path, (struct span){(const uint8_t *)text, strlen(text)});
    free(combined);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    uint64_t what = fuzz_take(&input, 1);
    char *text = fuzz_take_text(&input, input.len);
    switch (what % 6) {
    case 0:
        names_parse(text);
        break;
    case 1:
        image_opts_parse(text);
        break;
    case 2:
        format_options_parse(text);
        break;
    case 3:
        values_parse(text);
        break;
    case 4:
        path_check(text);
        break;
    default:
        text_escape(text);
        break;
    }
    free(text);
}
