/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/print/detail_reader.h"

#include <inttypes.h>

#include "host/cli/image/values/value_print.h"

/* Room for what the commands put around it. */
_Static_assert(DETAIL_DEPTH_MAX + 4 <= VALUE_DEPTH_MAX, "trees of details can be printed");

void detail_reader_init(struct detail_reader *reader, struct value_tree *tree, struct value *object,
                        const struct job_result *files)
{
    *reader = (struct detail_reader){.tree = tree, .files = files, .open = {object}};
}

static bool detail_open(struct detail_reader *reader, struct value *opened, struct error *error)
{
    if (reader->depth == DETAIL_DEPTH_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest nests details too deeply");
    }
    reader->depth++;
    reader->open[reader->depth] = opened;
    return true;
}

bool detail_reader_take(struct detail_reader *reader, const instar_DetailMessage *message, struct error *error)
{
    struct value_tree *tree = reader->tree;
    struct value *parent = reader->open[reader->depth];
    const char *key = message->key;
    if (message->kind != instar_DetailKind_DETAIL_END && parent != NULL && parent->kind == VALUE_OBJECT &&
        key[0] == '\0') {
        return error_set(error, ERROR_GUEST, NULL, "the guest sent a detail without a name");
    }
    switch (message->kind) {
    case instar_DetailKind_DETAIL_OBJECT:
        RETURN_IF_FAILED(detail_open(reader, value_add_object(tree, parent, key), error));
        break;
    case instar_DetailKind_DETAIL_LIST:
        RETURN_IF_FAILED(detail_open(reader, value_add_list(tree, parent, key), error));
        break;
    case instar_DetailKind_DETAIL_END:
        if (reader->depth == 0) {
            return error_set(error, ERROR_GUEST, NULL, "the guest closes a detail that is not open");
        }
        reader->depth--;
        break;
    case instar_DetailKind_DETAIL_BOOL:
        value_add_bool(tree, parent, key, message->number != 0);
        break;
    case instar_DetailKind_DETAIL_NUMBER:
        value_add_number(tree, parent, key, message->number);
        break;
    case instar_DetailKind_DETAIL_TEXT:
        value_add_text(tree, parent, key, (struct span){message->text.bytes, message->text.size});
        break;
    case instar_DetailKind_DETAIL_FILE:
        if (message->number < 0 || message->number >= reader->files->device_count) {
            return error_set(error, ERROR_GUEST, NULL, "the guest tells of a file that is not there");
        }
        value_add_string(tree, parent, key,
                         message->number == 0 && reader->first_name != NULL
                             ? reader->first_name
                             : reader->files->devices[message->number].path);
        break;
    case instar_DetailKind_DETAIL_NONE:
    default:
        return error_set(error, ERROR_GUEST, NULL, "the guest sent a detail of kind %" PRIu32, (uint32_t)message->kind);
    }
    return value_tree_check(tree, error);
}

bool detail_reader_check(const struct detail_reader *reader, struct error *error)
{
    return reader->depth == 0 || error_set(error, ERROR_GUEST, NULL, "the guest did not close its details");
}
