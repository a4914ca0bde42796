/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/print/snapshot_table.h"

#include <inttypes.h>
#include <time.h>

#include "host/cli/escape.h"
#include "host/cli/numbers.h"

#define NS_PER_S 1000000000ull

static void print_text(FILE *stream, const struct value *snapshot, const char *key, int width)
{
    /* As long as the texts of a DetailMessage. */
    char escaped[ESCAPED_LEN(1024)];
    const struct value *text = value_member(snapshot, key, VALUE_TEXT);
    fprintf(stream, "%-*s ", width,
            escape_bytes(escaped, sizeof(escaped), text != NULL ? text->text : (struct span){0}));
}

static void print_date(FILE *stream, int64_t seconds)
{
    char text[32] = "-";
    time_t date = (time_t)seconds;
    struct tm local;
    if (localtime_r(&date, &local) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
    }
    fprintf(stream, "%20s", text);
}

/* The virtual machine's own time. */
static void print_clock(FILE *stream, const struct value *snapshot)
{
    uint64_t seconds = (uint64_t)value_member_number(snapshot, "vm-clock-sec", 0);
    uint64_t nanoseconds = (uint64_t)value_member_number(snapshot, "vm-clock-nsec", 0);
    char text[64];
    snprintf(text, sizeof(text), "%02" PRIu64 ":%02u:%02u.%03u", seconds / 3600, (unsigned int)(seconds / 60 % 60),
             (unsigned int)(seconds % 60), (unsigned int)(nanoseconds % NS_PER_S / 1000000));
    fprintf(stream, "%13s", text);
}

static void print_row(FILE *stream, const struct value *snapshot)
{
    char size[SIZE_TEXT_LEN];
    char icount[24] = "";
    int64_t instructions = value_member_number(snapshot, "icount", -1);
    if (instructions != -1) {
        snprintf(icount, sizeof(icount), "%" PRId64, instructions);
    }
    print_text(stream, snapshot, "id", 9);
    print_text(stream, snapshot, "name", 16);
    fprintf(stream, "%8s", size_format(size, (uint64_t)value_member_number(snapshot, "vm-state-size", 0)));
    print_date(stream, value_member_number(snapshot, "date-sec", 0));
    print_clock(stream, snapshot);
    fprintf(stream, "%11s\n", icount);
}

void snapshot_table_print(FILE *stream, const struct value *snapshots)
{
    fprintf(stream, "Snapshot list:\n%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
            "ICOUNT");
    for (const struct value *at = snapshots->first; at != NULL; at = at->next) {
        if (at->kind == VALUE_OBJECT) {
            print_row(stream, at);
        }
    }
}
