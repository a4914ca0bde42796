/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/map_print.h"

#include <inttypes.h>

#include "host/cli/escape.h"
#include "host/cli/image/image_path.h"

void map_print_init(struct map_print *print, struct console *console, const struct job_result *result, bool is_json,
                    uint64_t start_off)
{
    *print = (struct map_print){.console = console, .result = result, .is_json = is_json, .next_off = start_off};
}

static bool extent_check(const struct map_print *print, const instar_MapExtent *extent, struct error *error)
{
    bool is_alone = extent->length == 0 && !print->has_begun;
    bool is_sound = extent->start == print->next_off && (extent->length > 0 || is_alone) && !print->is_at_end &&
                    extent->length <= INT64_MAX - extent->start && extent->depth < JOB_DEVICE_MAX;
    if (is_sound && extent->has_offset) {
        is_sound = extent->device < print->result->device_count && extent->offset <= INT64_MAX &&
                   extent->length <= INT64_MAX - extent->offset;
    }
    return is_sound || error_set(error, ERROR_GUEST, NULL,
                                 "the guest reports a run of %" PRIu64 " bytes at %" PRIu64 " that cannot be",
                                 extent->length, extent->start);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static uint64_t offset_shown(const struct map_print *print, const instar_MapExtent *extent)
{
    return extent->offset + (extent->device == 0 ? print->first_start_off : 0);
}

static void extent_print_json(struct map_print *print, const instar_MapExtent *extent)
{
    char offset[40] = "";
    if (extent->has_offset) {
        snprintf(offset, sizeof(offset), ", \"offset\": %" PRIu64, offset_shown(print, extent));
    }
    console_print(print->console,
                  "%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %" PRIu32
                  ", \"present\": %s, \"zero\": %s, \"data\": %s%s}",
                  print->has_begun ? ",\n" : "[", extent->start, extent->length, extent->depth, truth(extent->present),
                  truth(extent->zero), truth(extent->data), offset);
}

static void head_print(const struct map_print *print)
{
    console_print(print->console, "%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
}

static bool extent_print_human(struct map_print *print, const instar_MapExtent *extent, struct error *error)
{
    if (!print->has_begun) {
        head_print(print);
    }
    if (!extent->data || extent->zero) {
        return true;
    }
    if (!extent->has_offset) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "File contains external, encrypted or compressed clusters.");
    }
    static char path[ESCAPED_LEN(IMAGE_PATH_LEN_MAX)]; /* large */
    bool is_first = extent->device == 0 && print->first_file_name != NULL;
    const char *name = is_first ? print->first_file_name : print->result->devices[extent->device].path;
    console_print(print->console, "%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", extent->start, extent->length,
                  offset_shown(print, extent), escape_text(path, sizeof(path), name));
    return true;
}

bool map_print_take(struct map_print *print, const instar_MapMessage *message, struct error *error)
{
    for (pb_size_t i = 0; i < message->extents_count; i++) {
        const instar_MapExtent *extent = &message->extents[i];
        RETURN_IF_FAILED(extent_check(print, extent, error));
        if (print->is_json) {
            extent_print_json(print, extent);
        } else {
            RETURN_IF_FAILED(extent_print_human(print, extent, error));
        }
        print->has_begun = true;
        print->is_at_end = extent->length == 0;
        print->next_off += extent->length;
    }
    return true;
}

bool map_print_end(struct map_print *print, struct error *error)
{
    if (!print->has_begun) {
        return error_set(error, ERROR_GUEST, NULL, "the guest did not tell of the image");
    }
    if (print->is_json) {
        console_print(print->console, "]\n");
    }
    return true;
}
