/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/table_writer.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/image/image.h"

/* Large enough that long tables without content do not take long. */
#define PAGE_LEN_MAX 65536u

bool table_writer_make(struct table_writer *writer, struct target *target, struct arena *arena,
                       enum block_table_word word, uint64_t fill, uint64_t count_max, struct error *error)
{
    uint64_t len = min_u64(count_max, PAGE_LEN_MAX) * block_table_word_len(word) + SECTOR_LEN;
    *writer = (struct table_writer){
        .target = target,
        .word = word,
        .fill = fill,
        .page_len = (uint32_t)min_u64(round_up(len, SECTOR_LEN), PAGE_LEN_MAX),
    };
    for (uint32_t i = 0; i < TABLE_WRITER_PAGE_COUNT; i++) {
        writer->pages[i].writer = writer;
        writer->pages[i].data = arena_allocate(arena, writer->page_len, SECTOR_LEN);
        if (writer->pages[i].data == NULL) {
            return error_set(error, ERROR_LIMIT, target->file->name, "no memory is left for the image's tables");
        }
    }
    return true;
}

static uint64_t table_end_off(const struct table_writer *writer)
{
    return writer->off + writer->count * block_table_word_len(writer->word);
}

/* The current page as it is without entries. */
static void page_init(struct table_writer *writer)
{
    uint8_t *data = writer->pages[writer->current].data;
    uint32_t word_len = block_table_word_len(writer->word);
    memset(data, 0, writer->page_len);
    writer->is_used = false;
    if (writer->fill == 0) {
        return;
    }
    uint64_t start = writer->page_off < writer->off ? writer->off - writer->page_off : 0;
    uint64_t end = min_u64(writer->page_len, table_end_off(writer) - writer->page_off);
    for (uint64_t at = start; at + word_len <= end; at += word_len) {
        block_table_word_put(data + at, writer->word, writer->fill);
    }
}

void table_writer_begin(struct table_writer *writer, uint64_t off, uint64_t copy_off, uint64_t count)
{
    writer->off = off;
    writer->copy_off = copy_off;
    writer->count = count;
    writer->page_off = round_down(off, SECTOR_LEN);
    memset(writer->first_sector, 0, sizeof(writer->first_sector));
    /* The current page is not under way: page_close leaves one that is free. */
    page_init(writer);
}

static void page_done(struct io_request *request, const struct error *error)
{
    struct table_writer_page *page = request->owner;
    page->busy_count--;
    target_request_done(page->writer->target, error);
}

static void page_write(struct table_writer *writer, struct table_writer_page *page, struct io_request *request,
                       uint64_t off, const uint8_t *data, uint64_t len)
{
    page->busy_count++;
    writer->target->pending++;
    *request = (struct io_request){.done = page_done, .owner = page};
    io_write(writer->target->io, request, writer->target->file, off, data, len);
}

/* The current page goes to the file; the other one is the current one, once it is free. */
static bool page_close(struct table_writer *writer, struct error *error)
{
    struct table_writer_page *page = &writer->pages[writer->current];
    uint64_t off = writer->page_off;
    uint64_t len = round_up(min_u64(writer->page_len, table_end_off(writer) - off), SECTOR_LEN);
    const uint8_t *data = page->data;
    if (off < writer->off) { /* the header's sector, too, which comes last */
        memcpy(writer->first_sector, data, sizeof(writer->first_sector));
        off += sizeof(writer->first_sector);
        data += sizeof(writer->first_sector);
        len -= sizeof(writer->first_sector);
    }
    if (len > 0 && (writer->is_used || writer->fill != 0)) {
        page_write(writer, page, &page->request, off, data, len);
        if (writer->copy_off != 0) {
            page_write(writer, page, &page->copy_request, writer->copy_off + (off - writer->off), data, len);
        }
    }
    writer->page_off += writer->page_len;
    writer->current = (writer->current + 1) % TABLE_WRITER_PAGE_COUNT;
    page = &writer->pages[writer->current];
    while (page->busy_count > 0) { /* ends: its writes are done at some time */
        RETURN_IF_FAILED(io_wait(writer->target->io, error));
    }
    return target_check(writer->target, error);
}

bool table_writer_set(struct table_writer *writer, uint64_t index, uint64_t value, struct error *error)
{
    uint64_t off = writer->off + index * block_table_word_len(writer->word);
    while (off - writer->page_off >= writer->page_len) { /* ends: each round goes on by a page */
        RETURN_IF_FAILED(page_close(writer, error));
        page_init(writer);
    }
    block_table_word_put(writer->pages[writer->current].data + (off - writer->page_off), writer->word, value);
    writer->is_used = true;
    return true;
}

bool table_writer_end(struct table_writer *writer, struct error *error)
{
    while (writer->count > 0 && writer->page_off < table_end_off(writer)) { /* ends: by a page each round */
        RETURN_IF_FAILED(page_close(writer, error));
        if (writer->page_off < table_end_off(writer)) {
            page_init(writer);
        }
    }
    writer->count = 0;
    return true;
}
