/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/print/check_print.h"

#include <inttypes.h>

bool check_message_check(const instar_CheckMessage *message, struct error *error)
{
    const uint64_t counts[] = {
        message->check_errors,        message->corruptions,        message->leaks,
        message->total_clusters,      message->allocated_clusters, message->fragmented_clusters,
        message->compressed_clusters, message->image_end_offset,   message->leaks_fixed,
        message->corruptions_fixed,
    };
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        if (counts[i] > INT64_MAX) {
            return error_set(error, ERROR_GUEST, NULL, "the guest counts %" PRIu64 " of something", counts[i]);
        }
    }
    return true;
}

static void print_problems(FILE *stream, const instar_CheckMessage *message)
{
    if (message->corruptions > 0) {
        fprintf(stream,
                "\n%" PRIu64 " errors were found on the image.\n"
                "Data may be corrupted, or further writes to the image may corrupt it.\n",
                message->corruptions);
    }
    if (message->leaks > 0) {
        fprintf(stream,
                "\n%" PRIu64 " leaked clusters were found on the image.\n"
                "This means waste of disk space, but no harm to data.\n",
                message->leaks);
    }
    if (message->check_errors > 0) {
        fprintf(stream, "\n%" PRIu64 " internal errors have occurred during the check.\n", message->check_errors);
    }
}

static double percentage(uint64_t part, uint64_t whole)
{
    return (double)part * 100.0 / (double)whole;
}

void check_print_human(FILE *stream, const instar_CheckMessage *message)
{
    if (message->corruptions == 0 && message->leaks == 0 && message->check_errors == 0) {
        fputs("No errors were found on the image.\n", stream);
    } else {
        print_problems(stream, message);
    }
    if (message->has_fragmentation && message->total_clusters > 0 && message->allocated_clusters > 0) {
        fprintf(stream,
                "%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
                message->allocated_clusters, message->total_clusters,
                percentage(message->allocated_clusters, message->total_clusters),
                percentage(message->fragmented_clusters, message->allocated_clusters),
                percentage(message->compressed_clusters, message->allocated_clusters));
    }
    if (message->has_image_end_offset && message->image_end_offset > 0) {
        fprintf(stream, "Image end offset: %" PRIu64 "\n", message->image_end_offset);
    }
}

/* qemu-img leaves zeros out. */
static void add_count(struct value_tree *tree, struct value *object, const char *key, bool is_known, uint64_t count)
{
    if (is_known && count > 0) {
        value_add_number(tree, object, key, (int64_t)count);
    }
}

void check_add(struct value_tree *tree, struct value *object, const instar_CheckMessage *message, const char *path,
               const char *format)
{
    bool has_clusters = message->has_fragmentation;
    value_add_string(tree, object, "filename", path);
    value_add_string(tree, object, "format", format);
    value_add_number(tree, object, "check-errors", (int64_t)message->check_errors);
    add_count(tree, object, "corruptions", true, message->corruptions);
    add_count(tree, object, "leaks", true, message->leaks);
    add_count(tree, object, "corruptions-fixed", true, message->corruptions_fixed);
    add_count(tree, object, "leaks-fixed", true, message->leaks_fixed);
    add_count(tree, object, "image-end-offset", message->has_image_end_offset, message->image_end_offset);
    add_count(tree, object, "total-clusters", has_clusters, message->total_clusters);
    add_count(tree, object, "allocated-clusters", has_clusters, message->allocated_clusters);
    add_count(tree, object, "fragmented-clusters", has_clusters, message->fragmented_clusters);
    add_count(tree, object, "compressed-clusters", has_clusters, message->compressed_clusters);
}

int check_exit_code(const instar_CheckMessage *message)
{
    if (message->check_errors > 0) {
        return CHECK_EXIT_FAILED;
    }
    if (message->corruptions > 0) {
        return CHECK_EXIT_CORRUPT;
    }
    return message->leaks > 0 ? CHECK_EXIT_LEAKS : 0;
}
