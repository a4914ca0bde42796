/* SPDX-License-Identifier: Apache-2.0 */
#include "image_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "base/text.h"

static void print_bytes(const char *key, const uint8_t *bytes, size_t len)
{
    printf(", \"%s\": \"", key);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] < 0x20 || bytes[i] > 0x7e || bytes[i] == '"' || bytes[i] == '\\') {
            printf("\\u%04x", bytes[i]);
        } else {
            putchar(bytes[i]);
        }
    }
    putchar('"');
}

static void print_text(const char *key, const char *text)
{
    print_bytes(key, (const uint8_t *)text, strlen(text));
}

static void print_number(const char *key, uint64_t value)
{
    printf(", \"%s\": %" PRIu64, key, value);
}

static void print_bool(const char *key, bool value)
{
    printf(", \"%s\": %s", key, value ? "true" : "false");
}

static void print_info(const instar_InfoMessage *info)
{
    print_number("device", info->device);
    print_text("format", info->format);
    print_number("virtual-size", info->virtual_size);
    print_number("cluster-size", info->cluster_size);
    print_bool("encrypted", info->encrypted);
    print_bool("compressed", info->compressed);
    if (info->has_dirty_flag) {
        print_bool("dirty-flag", info->dirty_flag);
    }
    if (info->has_backing_file) {
        print_bytes("backing-file", info->backing_file.bytes, info->backing_file.size);
    }
    if (info->has_backing_format) {
        print_bytes("backing-format", info->backing_format.bytes, info->backing_format.size);
    }
}

static void print_detail(const instar_DetailMessage *detail)
{
    static const char *const kinds[] = {"none", "object", "list", "end", "bool", "number", "text", "file"};
    print_text("kind", (size_t)detail->kind < ARRAY_COUNT(kinds) ? kinds[detail->kind] : "?");
    print_text("key", detail->key);
    if (detail->kind == instar_DetailKind_DETAIL_BOOL || detail->kind == instar_DetailKind_DETAIL_NUMBER ||
        detail->kind == instar_DetailKind_DETAIL_FILE) {
        printf(", \"value\": %" PRId64, detail->number);
    } else if (detail->kind == instar_DetailKind_DETAIL_TEXT) {
        print_bytes("value", detail->text.bytes, detail->text.size);
    }
}

static void print_map(const instar_MapMessage *map)
{
    for (pb_size_t i = 0; i < map->extents_count; i++) {
        const instar_MapExtent *extent = &map->extents[i];
        printf("%s{\"map\": true", i > 0 ? "}\n" : "");
        print_number("start", extent->start);
        print_number("length", extent->length);
        print_number("depth", extent->depth);
        print_bool("present", extent->present);
        print_bool("zero", extent->zero);
        print_bool("data", extent->data);
        if (extent->compressed) {
            print_bool("compressed", true);
        }
        if (extent->has_offset) {
            print_number("offset", extent->offset);
            print_number("device", extent->device);
        }
    }
}

static void print_check(const instar_CheckMessage *check)
{
    print_number("check-errors", check->check_errors);
    print_number("corruptions", check->corruptions);
    print_number("leaks", check->leaks);
    if (check->has_fragmentation) {
        print_number("total-clusters", check->total_clusters);
        print_number("allocated-clusters", check->allocated_clusters);
        print_number("fragmented-clusters", check->fragmented_clusters);
        print_number("compressed-clusters", check->compressed_clusters);
    }
    if (check->has_image_end_offset) {
        print_number("image-end-offset", check->image_end_offset);
    }
    print_number("leaks-fixed", check->leaks_fixed);
    print_number("corruptions-fixed", check->corruptions_fixed);
    print_bool("unsupported", check->unsupported);
}

static void print_complete(const instar_CompleteMessage *complete)
{
    print_bool("success", complete->success);
    print_number("bytes-read", complete->bytes_read);
    print_number("bytes-written", complete->bytes_written);
    print_number("bytes-zero", complete->bytes_zero);
    if (complete->has_error) {
        print_number("kind", complete->error.kind);
        print_text("place", complete->error.place);
        print_text("detail", complete->error.detail);
        print_bool("opening", complete->error.opening);
    }
}

void image_command_print(const instar_GuestMessage *message)
{
    switch (message->which_kind) {
    case instar_GuestMessage_info_tag:
        printf("{\"info\": true");
        print_info(&message->kind.info);
        break;
    case instar_GuestMessage_detail_tag:
        printf("{\"detail\": true");
        print_detail(&message->kind.detail);
        break;
    case instar_GuestMessage_map_tag:
        print_map(&message->kind.map);
        break;
    case instar_GuestMessage_finding_tag:
        printf("{\"finding\": true");
        print_text("text", message->kind.finding.text);
        break;
    case instar_GuestMessage_check_tag:
        printf("{\"check\": true");
        print_check(&message->kind.check);
        break;
    case instar_GuestMessage_compare_tag:
        printf("{\"compare\": true");
        print_number("verdict", message->kind.compare.verdict);
        print_number("offset", message->kind.compare.offset);
        print_bool("sizes-differ", message->kind.compare.sizes_differ);
        break;
    case instar_GuestMessage_measure_tag:
        printf("{\"measure\": true");
        print_number("required", message->kind.measure.required);
        print_number("fully-allocated", message->kind.measure.fully_allocated);
        if (message->kind.measure.has_bitmaps) {
            print_number("bitmaps", message->kind.measure.bitmaps);
        }
        break;
    case instar_GuestMessage_create_tag:
        printf("{\"create\": true");
        print_number("size", message->kind.create.size);
        print_text("backing-format", message->kind.create.backing_format);
        break;
    case instar_GuestMessage_resize_tag:
        printf("{\"resize\": true");
        print_number("size", message->kind.resize.size);
        break;
    case instar_GuestMessage_bench_tag:
        printf("{\"bench\": true");
        break;
    case instar_GuestMessage_warning_tag:
        printf("{\"warning\": true");
        print_number("device", message->kind.warning.device);
        print_text("text", message->kind.warning.text);
        break;
    case instar_GuestMessage_complete_tag:
        printf("{\"complete\": true");
        print_complete(&message->kind.complete);
        break;
    default: /* progress, for one */
        return;
    }
    printf("}\n");
}

static _Noreturn void usage(const char *what)
{
    fprintf(stderr, "image command: %s\n", what);
    exit(2);
}

static uint64_t parse_number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0') {
        usage("not a number");
    }
    return value;
}

static void add_option(struct image_command *command, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || command->option_count == ARRAY_COUNT(command->options)) {
        usage("-o wants a few NAME=VALUE");
    }
    instar_FormatOption *option = &command->options[command->option_count++];
    if ((size_t)(equals - text) >= sizeof(option->name)) {
        usage("the option's name is too long");
    }
    memcpy(option->name, text, (size_t)(equals - text));
    text_copy(option->value, sizeof(option->value), equals + 1);
}

static void add_secret(struct image_command *command, const char *text)
{
    instar_ImageJob *job = &command->job;
    const char *equals = strchr(text, '=');
    if (equals == NULL || job->secrets_count == ARRAY_COUNT(job->secrets)) {
        usage("--secret wants a few ID=PASSPHRASE");
    }
    instar_Secret *secret = &job->secrets[job->secrets_count++];
    size_t len = strlen(equals + 1);
    if ((size_t)(equals - text) >= sizeof(secret->id) || len > sizeof(secret->data.bytes)) {
        usage("the secret or its id is too long");
    }
    memcpy(secret->id, text, (size_t)(equals - text));
    memcpy(secret->data.bytes, equals + 1, len);
    secret->data.size = (pb_size_t)len;
    secret->is_known = true;
}

static void add_path(struct image_command *command, const char *path)
{
    instar_ImageJob *job = &command->job;
    if (job->sources_count == ARRAY_COUNT(job->sources)) {
        usage("too many files");
    }
    text_copy(job->sources[job->sources_count].format, sizeof(job->sources[0].format), command->format);
    job->sources[job->sources_count].device = job->sources_count;
    job->sources[job->sources_count].key = job->secrets_count > 0 ? 1 : 0;
    command->paths[job->sources_count++] = path;
}

static bool parse_flag(struct image_command *command, const char *flag)
{
    static const struct {
        const char *name;
        size_t off;
    } flags[] = {
        {"--chain", offsetof(struct image_command, chain)},
        {"--strict", offsetof(struct image_command, strict)},
        {"--target-is-zero", offsetof(struct image_command, target_is_zero)},
        {"--target-exists", offsetof(struct image_command, target_exists)},
        {"--salvage", offsetof(struct image_command, salvage)},
        {"-c", offsetof(struct image_command, compress)},
        {"--large-window", offsetof(struct image_command, large_window)},
        {"--shrink", offsetof(struct image_command, shrink)},
        {"--write", offsetof(struct image_command, write)},
        {"--sync", offsetof(struct image_command, sync)},
        {"--unsafe", offsetof(struct image_command, is_unsafe)},
        {"--drop", offsetof(struct image_command, drop)},
        {"--bitmaps", offsetof(struct image_command, bitmaps)},
        {"--force", offsetof(struct image_command, force)},
    };
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++) {
        if (strcmp(flag, flags[i].name) == 0) {
            *(bool *)((char *)command + flags[i].off) = true;
            return true;
        }
    }
    return false;
}

static void parse_value(struct image_command *command, const char *option, const char *value)
{
    if (value == NULL) {
        usage("the last option wants a value");
    } else if (strcmp(option, "-f") == 0) {
        command->format = value;
    } else if (strcmp(option, "-l") == 0) {
        command->job.has_snapshot = true;
        instar_SnapshotChoice *choice = &command->job.snapshot;
        choice->id_or_name.size = (pb_size_t)strnlen(value, sizeof(choice->id_or_name.bytes));
        memcpy(choice->id_or_name.bytes, value, choice->id_or_name.size);
    } else if (strcmp(option, "-O") == 0) {
        command->target_format = value;
    } else if (strcmp(option, "-o") == 0) {
        add_option(command, value);
    } else if (strcmp(option, "--secret") == 0) {
        add_secret(command, value);
    } else if (strcmp(option, "--start") == 0) {
        command->start = parse_number(value);
        command->has_range = true;
    } else if (strcmp(option, "--length") == 0) {
        command->length = parse_number(value);
        command->has_range = true;
    } else if (strcmp(option, "--rate") == 0) {
        command->rate = parse_number(value);
    } else if (strcmp(option, "--level") == 0) {
        command->level = (int32_t)parse_number(value);
        command->has_level = true;
    } else if (strcmp(option, "--findings") == 0) {
        command->findings = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--memory-left") == 0) {
        command->memory_left = parse_number(value);
    } else if (strcmp(option, "--sparse") == 0) {
        command->sparse = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--size") == 0) {
        command->has_size = true;
        command->size = parse_number(value);
    } else if (strcmp(option, "--preallocation") == 0) {
        command->preallocation = value;
    } else if (strcmp(option, "--repair") == 0) {
        command->job.operation.check.repair = strcmp(value, "leaks") == 0 ? instar_RepairMode_REPAIR_LEAKS
                                              : strcmp(value, "all") == 0 ? instar_RepairMode_REPAIR_ALL
                                                                          : instar_RepairMode_REPAIR_NONE;
    } else if (strcmp(option, "--action") == 0) {
        command->action = value;
    } else if (strcmp(option, "--granularity") == 0) {
        command->granularity = parse_number(value);
    } else if (strcmp(option, "--count") == 0) {
        command->count = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--depth") == 0) {
        command->depth = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--step") == 0) {
        command->step = parse_number(value);
    } else if (strcmp(option, "--pattern") == 0) {
        command->pattern = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--flush") == 0) {
        command->flush = (uint32_t)parse_number(value);
    } else if (strcmp(option, "--target") == 0) {
        command->target = value;
    } else if (strcmp(option, "-b") == 0) {
        command->backing = value;
    } else if (strcmp(option, "-F") == 0) {
        command->backing_format = value;
    } else {
        usage("an unknown option");
    }
}

/* Options but for the name of the data file, as host/cli/image/command_amend.c tells them. */
static void fill_amend(const struct image_command *command, instar_AmendRequest *amend)
{
    for (size_t i = 0; i < command->option_count; i++) {
        const instar_FormatOption *option = &command->options[i];
        if (strcmp(option->name, "data_file") == 0) {
            amend->has_data_file = true;
            amend->data_file.size = (pb_size_t)strlen(option->value);
            memcpy(amend->data_file.bytes, option->value, amend->data_file.size);
        } else {
            amend->options[amend->options_count++] = *option;
        }
    }
    amend->sync = command->sync;
    amend->force = command->force;
}

static void fill_measure(const struct image_command *command, instar_MeasureRequest *measure)
{
    text_copy(measure->target_format, sizeof(measure->target_format), command->target_format);
    memcpy(measure->options, command->options, sizeof(command->options));
    measure->options_count = command->option_count;
    measure->has_size = command->has_size;
    measure->size = command->size;
}

static void fill_convert(const struct image_command *command, instar_ConvertRequest *convert)
{
    text_copy(convert->target_format, sizeof(convert->target_format), command->target_format);
    memcpy(convert->options, command->options, sizeof(command->options));
    convert->options_count = command->option_count;
    convert->target_device = command->job.sources_count;
    convert->sparse_len = command->sparse;
    convert->target_exists = command->target_exists;
    convert->target_is_zero = command->target_is_zero;
    convert->salvage = command->salvage;
    convert->bitmaps = command->bitmaps;
    convert->rate_limit = command->rate;
    convert->compress = command->compress;
    convert->sync = command->sync;
    convert->has_compression_level = command->has_level;
    convert->compression_level = command->level;
    convert->deflate_window = command->large_window ? 32768 : 0;
    convert->has_range = command->has_range;
    convert->range_start = command->start;
    convert->range_length = command->length;
    convert->backing_file.size = (pb_size_t)strnlen(command->backing, sizeof(convert->backing_file.bytes));
    memcpy(convert->backing_file.bytes, command->backing, convert->backing_file.size);
    text_copy(convert->backing_format, sizeof(convert->backing_format), command->backing_format);
}

static void fill_create(const struct image_command *command, instar_CreateRequest *create)
{
    text_copy(create->target_format, sizeof(create->target_format), command->target_format);
    memcpy(create->options, command->options, sizeof(command->options));
    create->options_count = command->option_count;
    create->target_device = command->job.sources_count;
    create->has_size = command->has_size;
    create->sync = command->sync;
    create->size = command->size;
    create->backing_file.size = (pb_size_t)strnlen(command->backing, sizeof(create->backing_file.bytes));
    memcpy(create->backing_file.bytes, command->backing, create->backing_file.size);
    text_copy(create->backing_format, sizeof(create->backing_format), command->backing_format);
}

static void fill_resize(const struct image_command *command, instar_ResizeRequest *resize)
{
    resize->size = command->size;
    resize->shrink = command->shrink;
    resize->sync = command->sync;
    text_copy(resize->preallocation, sizeof(resize->preallocation), command->preallocation);
}

static void fill_snapshot(const struct image_command *command, instar_SnapshotRequest *snapshot)
{
    const instar_SnapshotChoice *choice = &command->job.snapshot;
    static const char *const actions[] = {"create", "apply", "delete"};
    for (uint32_t i = 0; i < ARRAY_COUNT(actions); i++) {
        if (strcmp(command->action, actions[i]) == 0) {
            snapshot->action = (instar_SnapshotAction)i;
        }
    }
    snapshot->sync = command->sync;
    snapshot->name.size = (pb_size_t)min_u64(choice->id_or_name.size, sizeof(snapshot->name.bytes));
    memcpy(snapshot->name.bytes, choice->id_or_name.bytes, snapshot->name.size);
}

static void add_action(instar_BitmapRequest *bitmap, const char *text, size_t len)
{
    static const char *const names[] = {"add", "remove", "clear", "enable", "disable", "merge="};
    instar_BitmapAction *action = &bitmap->actions[bitmap->actions_count];
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        size_t name_len = strlen(names[i]);
        bool has_value = names[i][name_len - 1] == '=';
        if ((has_value ? len > name_len : len == name_len) && strncmp(text, names[i], name_len) == 0 &&
            bitmap->actions_count < ARRAY_COUNT(bitmap->actions)) {
            action->kind = (instar_BitmapActionKind)i;
            action->merged_len = (uint32_t)min_u64(len - name_len, sizeof(bitmap->merged.bytes) - bitmap->merged.size);
            memcpy(bitmap->merged.bytes + bitmap->merged.size, text + name_len, action->merged_len);
            bitmap->merged.size += (pb_size_t)action->merged_len;
            bitmap->actions_count++;
            return;
        }
    }
    usage("an unknown action, or too many");
}

static void fill_bitmap(const struct image_command *command, instar_BitmapRequest *bitmap)
{
    const instar_SnapshotChoice *choice = &command->job.snapshot;
    for (const char *text = command->action; *text != '\0'; text += *text == ',') { /* ends: each round goes on */
        size_t len = strcspn(text, ",");
        add_action(bitmap, text, len);
        text += len;
    }
    bitmap->granularity = command->granularity;
    bitmap->sync = command->sync;
    bitmap->name.size = choice->id_or_name.size;
    memcpy(bitmap->name.bytes, choice->id_or_name.bytes, choice->id_or_name.size);
}

static void fill_rebase(const struct image_command *command, instar_RebaseRequest *rebase)
{
    rebase->unsafe = command->is_unsafe;
    rebase->backing_file.size = (pb_size_t)strnlen(command->backing, sizeof(rebase->backing_file.bytes));
    memcpy(rebase->backing_file.bytes, command->backing, rebase->backing_file.size);
    text_copy(rebase->backing_format, sizeof(rebase->backing_format), command->backing_format);
}

static void fill_bench(const struct image_command *command, instar_BenchRequest *bench)
{
    bench->count = command->count;
    bench->depth = command->depth;
    bench->offset = command->start;
    bench->buffer_size = (uint32_t)command->size;
    bench->step_size = command->step;
    bench->write = command->write;
    bench->pattern = command->pattern;
    bench->flush_interval = command->flush;
}

static void fill_operation(struct image_command *command, const char *name)
{
    instar_ImageJob *job = &command->job;
    static const struct {
        const char *name;
        pb_size_t tag;
    } operations[] = {
        {"info", instar_ImageJob_info_tag},       {"map", instar_ImageJob_map_tag},
        {"check", instar_ImageJob_check_tag},     {"compare", instar_ImageJob_compare_tag},
        {"measure", instar_ImageJob_measure_tag}, {"convert", instar_ImageJob_convert_tag},
        {"create", instar_ImageJob_create_tag},   {"resize", instar_ImageJob_resize_tag},
        {"bench", instar_ImageJob_bench_tag},     {"snapshot", instar_ImageJob_snapshots_tag},
        {"bitmap", instar_ImageJob_bitmap_tag},   {"rebase", instar_ImageJob_rebase_tag},
        {"commit", instar_ImageJob_commit_tag},   {"amend", instar_ImageJob_amend_tag},
    };
    for (size_t i = 0; i < ARRAY_COUNT(operations); i++) {
        if (strcmp(operations[i].name, name) == 0) {
            job->which_operation = operations[i].tag;
        }
    }
    switch (job->which_operation) {
    case instar_ImageJob_info_tag:
        job->operation.info.backing_chain = command->chain;
        break;
    case instar_ImageJob_map_tag:
        job->operation.map = (instar_MapRequest){.start = command->start, .length = command->length};
        break;
    case instar_ImageJob_check_tag:
        job->operation.check.findings_max = command->findings;
        break;
    case instar_ImageJob_compare_tag:
        job->operation.compare.strict = command->strict;
        break;
    case instar_ImageJob_measure_tag:
        fill_measure(command, &job->operation.measure);
        break;
    case instar_ImageJob_convert_tag:
        fill_convert(command, &job->operation.convert);
        break;
    case instar_ImageJob_create_tag:
        fill_create(command, &job->operation.create);
        break;
    case instar_ImageJob_resize_tag:
        fill_resize(command, &job->operation.resize);
        break;
    case instar_ImageJob_snapshots_tag:
        fill_snapshot(command, &job->operation.snapshots);
        break;
    case instar_ImageJob_bitmap_tag:
        fill_bitmap(command, &job->operation.bitmap);
        break;
    case instar_ImageJob_rebase_tag:
        fill_rebase(command, &job->operation.rebase);
        break;
    case instar_ImageJob_commit_tag:
        job->operation.commit = (instar_CommitRequest){
            .drop = command->drop, .rate_limit = command->rate, .sync = command->sync, .base_source = 1};
        break;
    case instar_ImageJob_amend_tag:
        fill_amend(command, &job->operation.amend);
        job->operation.amend.encryption = job->secrets_count > 0;
        break;
    case instar_ImageJob_bench_tag:
        fill_bench(command, &job->operation.bench);
        break;
    default:
        usage("an unknown operation");
    }
}

void image_command_parse(struct image_command *command, int argc, char **argv)
{
    *command = (struct image_command){
        .format = "",
        .target_format = "raw",
        .backing = "",
        .backing_format = "",
        .preallocation = "",
        .action = "",
        .count = 1,
        .depth = 4,
        .length = UINT64_MAX,
        .findings = UINT32_MAX,
        .sparse = 4096,
    };
    if (argc < 2) {
        usage("say what to do: OPERATION [options] FILE...");
    }
    for (int i = 2; i < argc; i++) {
        if (argv[i][0] != '-') {
            add_path(command, argv[i]);
        } else if (!parse_flag(command, argv[i])) {
            parse_value(command, argv[i], argv[i + 1]);
            i++;
        }
    }
    fill_operation(command, argv[1]);
}
