/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/print/map_print.h"

#include <inttypes.h>
#include <string.h>

#include "host/cli/escape.h"
#include "host/cli/image/names/image_path.h"

void map_print_init(struct map_print *print, struct console *console, const struct job_result *result,
                    const struct job_limits *limits, bool is_json, uint64_t start_off)
{
    *print = (struct map_print){
        .console = console,
        .result = result,
        .limits = limits,
        .is_json = is_json,
        .next_off = start_off,
    };
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

/* A line that is cut off must not be taken for the end of what there is. */
static bool line_take(struct map_print *print, struct error *error)
{
    return line_budget_take(&print->lines) == LINE_PRINTED ||
           error_set(error, ERROR_LIMIT, NULL, "the map has more than %" PRIu64 " lines (option --max-lines)",
                     print->lines.max);
}

static uint64_t offset_shown(const struct map_print *print, const instar_MapExtent *extent)
{
    return extent->offset + (extent->device < JOB_INPUT_MAX ? print->inputs[extent->device].start_off : 0);
}

#define NUMBER_LEN_MAX 20u
#define JSON_LINE_LEN_MAX (160u + 4 * NUMBER_LEN_MAX)

/* By hand: an image may have millions of runs, and what is printed of them is most of the work. */
static char *number_put(char *at, uint64_t number)
{
    char digits[NUMBER_LEN_MAX];
    unsigned int count = 0;
    do { /* ends: 20 digits are enough for any */
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0) {
        *at++ = digits[--count];
    }
    return at;
}

static char *text_put(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static char *truth_put(char *at, const char *key, bool value)
{
    return text_put(text_put(at, key), value ? "true" : "false");
}

static bool extent_print_json(struct map_print *print, const instar_MapExtent *extent, struct error *error)
{
    char line[JSON_LINE_LEN_MAX];
    RETURN_IF_FAILED(line_take(print, error));
    char *at = text_put(line, print->has_begun ? ",\n{ \"start\": " : "[{ \"start\": ");
    at = text_put(number_put(at, extent->start), ", \"length\": ");
    at = text_put(number_put(at, extent->length), ", \"depth\": ");
    at = truth_put(number_put(at, extent->depth), ", \"present\": ", extent->present);
    at = truth_put(truth_put(at, ", \"zero\": ", extent->zero), ", \"data\": ", extent->data);
    if (extent->has_offset) {
        at = number_put(text_put(at, ", \"offset\": "), offset_shown(print, extent));
    }
    *at++ = '}';
    console_write(print->console, line, (size_t)(at - line));
    return true;
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
    RETURN_IF_FAILED(line_take(print, error));
    static char path[ESCAPED_LEN(IMAGE_PATH_LEN_MAX)]; /* large */
    const char *name = extent->device < JOB_INPUT_MAX ? print->inputs[extent->device].name : NULL;
    name = name != NULL ? name : print->result->devices[extent->device].path;
    console_print(print->console, "%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", extent->start, extent->length,
                  offset_shown(print, extent), escape_text(path, sizeof(path), name));
    return true;
}

bool map_print_take(struct map_print *print, const instar_MapMessage *message, struct error *error)
{
    print->lines.max = line_budget_max(print->limits, LINES_OF_MAP);
    for (pb_size_t i = 0; i < message->extents_count; i++) {
        const instar_MapExtent *extent = &message->extents[i];
        RETURN_IF_FAILED(extent_check(print, extent, error));
        if (print->is_json) {
            RETURN_IF_FAILED(extent_print_json(print, extent, error));
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
