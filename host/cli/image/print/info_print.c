/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/print/info_print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/image/names/image_path.h"
#include "host/cli/image/print/snapshot_table.h"
#include "host/cli/image/values/value_print.h"
#include "host/cli/numbers.h"

static struct span backing_file(const instar_InfoMessage *message)
{
    return (struct span){message->backing_file.bytes, message->backing_file.size};
}

static struct span backing_format(const instar_InfoMessage *message)
{
    return (struct span){message->backing_format.bytes, message->backing_format.size};
}

bool info_message_check(const instar_InfoMessage *message, struct error *error)
{
    if (message->virtual_size > INT64_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest says that an image has %" PRIu64 " bytes",
                         message->virtual_size);
    }
    return true;
}

static void print_backing(FILE *stream, const struct info_image *image)
{
    const instar_InfoMessage *message = &image->message;
    if (!message->has_backing_file) {
        return;
    }
    struct span name = backing_file(message);
    struct image_path path;
    fputs("backing file: ", stream);
    value_print_text(stream, name);
    if (!image_path_beside(image->file_path, name, &path)) {
        fputs(" (cannot determine actual path)", stream);
    } else if (path.len != name.len || memcmp(path.bytes, name.data, name.len) != 0) {
        fputs(" (actual path: ", stream);
        value_print_text(stream, (struct span){path.bytes, path.len});
        putc(')', stream);
    }
    putc('\n', stream);
    if (message->has_backing_format) {
        fputs("backing file format: ", stream);
        value_print_text(stream, backing_format(message));
        putc('\n', stream);
    }
}

static void print_details(FILE *stream, const struct info_image *image)
{
    const struct value *snapshots = value_member(image->details, "snapshots", VALUE_LIST);
    if (snapshots != NULL && snapshots->count > 0) {
        snapshot_table_print(stream, snapshots);
    }
    const struct value *specific = value_member(image->details, "format-specific", VALUE_OBJECT);
    const struct value *data = value_member(specific, "data", VALUE_OBJECT);
    if (data != NULL) {
        fputs("Format specific information:\n", stream);
        value_print_human(stream, data, 1);
    }
}

void info_print_human(FILE *stream, const struct info_image *image)
{
    const instar_InfoMessage *message = &image->message;
    char virtual_text[SIZE_TEXT_LEN];
    char disk_text[SIZE_TEXT_LEN] = "unavailable";
    if (image->allocated_len != UINT64_MAX) {
        size_format(disk_text, image->allocated_len);
    }
    fputs("image: ", stream);
    value_print_text(stream, (struct span){(const uint8_t *)image->path, strlen(image->path)});
    fputs("\nfile format: ", stream);
    value_print_text(stream, (struct span){(const uint8_t *)image->format, strlen(image->format)});
    fprintf(stream, "\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
            size_format(virtual_text, message->virtual_size), message->virtual_size, disk_text);
    if (message->encrypted) {
        fputs("encrypted: yes\n", stream);
    }
    if (message->cluster_size != 0) {
        fprintf(stream, "cluster_size: %" PRIu32 "\n", message->cluster_size);
    }
    if (message->has_dirty_flag && message->dirty_flag) {
        fputs("cleanly shut down: no\n", stream);
    }
    print_backing(stream, image);
    print_details(stream, image);
}

static void add_backing(struct value_tree *tree, struct value *object, const struct info_image *image)
{
    const instar_InfoMessage *message = &image->message;
    if (!message->has_backing_file) {
        return;
    }
    struct image_path path;
    value_add_text(tree, object, "backing-filename", backing_file(message));
    if (image_path_beside(image->file_path, backing_file(message), &path)) {
        value_add_text(tree, object, "full-backing-filename", (struct span){path.bytes, path.len});
    }
    if (message->has_backing_format) {
        value_add_text(tree, object, "backing-filename-format", backing_format(message));
    }
}

static void add_details(struct value_tree *tree, struct value *object, const struct info_image *image)
{
    const struct value *snapshots = value_member(image->details, "snapshots", VALUE_LIST);
    if (snapshots != NULL && snapshots->count > 0) {
        value_add_existing(tree, object, "snapshots", snapshots);
    }
    const struct value *specific = value_member(image->details, "format-specific", VALUE_OBJECT);
    if (specific != NULL) {
        value_add_existing(tree, object, "format-specific", specific);
    }
}

void info_add(struct value_tree *tree, struct value *parent, const char *key, const struct info_image *image)
{
    const instar_InfoMessage *message = &image->message;
    struct value *object = value_add_object(tree, parent, key);
    value_add_number(tree, object, "virtual-size", (int64_t)message->virtual_size);
    value_add_string(tree, object, "filename", image->path);
    value_add_string(tree, object, "format", image->format);
    if (message->cluster_size != 0) {
        value_add_number(tree, object, "cluster-size", message->cluster_size);
    }
    if (image->allocated_len <= INT64_MAX) {
        value_add_number(tree, object, "actual-size", (int64_t)image->allocated_len);
    }
    if (message->encrypted) {
        value_add_bool(tree, object, "encrypted", true);
    }
    if (message->compressed) {
        value_add_bool(tree, object, "compressed", true);
    }
    if (message->has_dirty_flag) {
        value_add_bool(tree, object, "dirty-flag", message->dirty_flag);
    }
    add_backing(tree, object, image);
    add_details(tree, object, image);
}
