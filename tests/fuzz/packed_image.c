/* SPDX-License-Identifier: Apache-2.0 */
#include "packed_image.h"

#include <string.h>

#include "base/checked.h"

#define RUN_HEAD_LEN 8u
#define ROOM_SLOT (FUZZ_SLOTS - 1u)
/* Runs of an input that are looked at. */
#define RUNS_MAX 1024u
#define WINDOW_LEN_MAX 64u

struct run {
    size_t off; /* of its head, in the input */
    uint64_t unit;
    size_t len; /* bytes of it that the input has */
};

static uint64_t load(const uint8_t *bytes, size_t len)
{
    struct fuzz_input input = {bytes, len};
    return fuzz_take(&input, len);
}

/* The runs of an input. */
static size_t runs_find(const uint8_t *data, size_t len, struct run runs[RUNS_MAX])
{
    size_t count = 0;
    size_t off = PACKED_HEAD_LEN;
    while (count < RUNS_MAX && off + RUN_HEAD_LEN < len) {
        uint64_t unit_count = load(data + off + 4, 4);
        size_t run_len = (size_t)min_u64(unit_count * PACKED_UNIT_LEN, len - off - RUN_HEAD_LEN);
        runs[count++] = (struct run){off, load(data + off, 4), run_len};
        off += RUN_HEAD_LEN + run_len;
    }
    return count;
}

static uint64_t stored_end(const struct run *runs, size_t count)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t run_end = runs[i].unit * PACKED_UNIT_LEN + runs[i].len;
        end = run_end <= PACKED_STORED_LEN_MAX ? max_u64(end, run_end) : end;
    }
    return end;
}

void packed_image_unpack(struct packed_image *image, const uint8_t *data, size_t len, uint64_t room_len)
{
    static struct run runs[RUNS_MAX];
    *image = (struct packed_image){0};
    if (len > 8) {
        memcpy(image->choices, data + 8, (size_t)min_u64(len - 8, PACKED_CHOICES_LEN));
    }
    size_t count = runs_find(data, len, runs);
    uint64_t asked_len = load(data, (size_t)min_u64(len, 8)) % (PACKED_FILE_LEN_MAX + 1);
    image->stored_len = stored_end(runs, count);
    image->len = max_u64(image->stored_len, asked_len);
    if (room_len > 0) {
        image->bytes = fuzz_memory(ROOM_SLOT, (size_t)max_u64(PACKED_STORED_LEN_MAX, room_len));
        memset(image->bytes, 0, (size_t)max_u64(image->stored_len, room_len));
    } else { /* as long as it is, so that a sanitizer sees the byte behind it */
        image->bytes = calloc(1, (size_t)max_u64(image->stored_len, 1));
        image->is_own = true;
    }
    FUZZ_ASSERT(image->bytes != NULL);
    for (size_t i = 0; i < count; i++) {
        uint64_t off = runs[i].unit * PACKED_UNIT_LEN;
        if (off + runs[i].len <= image->stored_len) {
            memcpy(image->bytes + off, data + runs[i].off + RUN_HEAD_LEN, runs[i].len);
        }
    }
}

void packed_image_release(struct packed_image *image)
{
    if (image->is_own) {
        free(image->bytes);
    }
    image->bytes = NULL;
}

/* xorshift64*; enough for this. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
    return random_next(state) % limit;
}

/* A number that is at the border of something, or anything. */
static uint64_t odd_number(uint64_t *state, uint64_t file_len)
{
    switch (random_below(state, 8)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return 1ull << random_below(state, 64);
    case 3:
        return (1ull << random_below(state, 64)) - 1;
    case 4:
        return random_below(state, file_len + 1) & ~511ull;
    case 5:
        return file_len + random_below(state, 1u << 20);
    case 6:
        return random_below(state, 256);
    default:
        return random_next(state);
    }
}

static void store(uint8_t *target, size_t len, bool is_big_endian, uint64_t value)
{
    for (size_t i = 0; i < len; i++) {
        target[is_big_endian ? len - 1 - i : i] = (uint8_t)(value >> 8 * i);
    }
}

/* A number in the image becomes another one. Formats have them in either order, most of them aligned. */
static void number_change(uint8_t *bytes, size_t len, uint64_t file_len, uint64_t *state)
{
    size_t number_len = (size_t)1 << random_below(state, 4);
    if (number_len > len) {
        return;
    }
    size_t off = (size_t)random_below(state, len - number_len + 1);
    if (random_below(state, 8) != 0) {
        off -= off % number_len;
    }
    bool is_big_endian = random_below(state, 2) == 0;
    if (random_below(state, 3) != 0) {
        store(bytes + off, number_len, is_big_endian, odd_number(state, file_len));
        return;
    }
    uint64_t step = 1ull << random_below(state, 8 * number_len);
    uint8_t copy[8];
    for (size_t i = 0; i < number_len; i++) {
        copy[i] = bytes[off + (is_big_endian ? number_len - 1 - i : i)];
    }
    uint64_t value = load(copy, number_len);
    store(bytes + off, number_len, is_big_endian, random_below(state, 2) == 0 ? value + step : value ^ step);
}

static void run_change(uint8_t *data, const struct run *runs, size_t count, uint64_t file_len, uint64_t *state)
{
    const struct run *run = &runs[random_below(state, count)];
    /* Where there is a header it is at the front, and every number in it counts. */
    if (random_below(state, 3) == 0) {
        run = &runs[0];
    }
    uint8_t *bytes = data + run->off + RUN_HEAD_LEN;
    size_t window_len = (size_t)min_u64(1 + random_below(state, WINDOW_LEN_MAX), run->len);
    size_t off = (size_t)random_below(state, run->len - window_len + 1);
    if (run == &runs[0] && random_below(state, 2) == 0) {
        off = (size_t)random_below(state, min_u64(run->len - window_len + 1, 128));
    }
    off -= random_below(state, 4) != 0 ? off % 8 : 0;
    switch (random_below(state, 5)) {
    case 0:
        fuzz_mutate_bytes(bytes + off, window_len);
        break;
    case 1: { /* what stands elsewhere */
        const struct run *from = &runs[random_below(state, count)];
        size_t from_len = (size_t)min_u64(window_len, from->len);
        size_t from_off = (size_t)random_below(state, from->len - from_len + 1);
        memmove(bytes + off, data + from->off + RUN_HEAD_LEN + from_off - from_off % (from_off >= 8 ? 8 : 1), from_len);
        break;
    }
    default:
        number_change(bytes + off, run->len - off, file_len, state);
        break;
    }
}

/* A run lies elsewhere, or once more. */
static size_t run_move(uint8_t *data, size_t len, size_t max_len, const struct run *runs, size_t count, uint64_t *state)
{
    const struct run *run = &runs[random_below(state, count)];
    uint64_t unit = random_below(state, 2) == 0 ? run->unit + random_below(state, 64) : random_below(state, 4096);
    size_t whole_len = RUN_HEAD_LEN + run->len;
    if (random_below(state, 2) == 0 && run->len % PACKED_UNIT_LEN == 0 && whole_len <= max_len - len) {
        memcpy(data + len, data + run->off, whole_len);
        store(data + len, 4, false, unit);
        return len + whole_len;
    }
    store(data + run->off, 4, false, unit);
    return len;
}

size_t packed_image_mutate(uint8_t *data, size_t len, size_t max_len, uint32_t random)
{
    static struct run runs[RUNS_MAX];
    uint64_t state = random * 0x9e3779b97f4a7c15ull + 1;
    uint64_t changes = 1 + random_below(&state, 4);
    if (len < PACKED_HEAD_LEN) {
        if (max_len < PACKED_HEAD_LEN) {
            return len;
        }
        memset(data + len, 0, PACKED_HEAD_LEN - len);
        len = PACKED_HEAD_LEN;
    }
    for (uint64_t i = 0; i < changes; i++) {
        size_t count = runs_find(data, len, runs);
        uint64_t file_len = stored_end(runs, count);
        uint64_t what = random_below(&state, 16);
        if (what == 0) {
            store(data, 8, false, random_below(&state, 2) == 0 ? odd_number(&state, file_len) : file_len);
        } else if (what < 4) {
            fuzz_mutate_bytes(data + 8, PACKED_CHOICES_LEN);
        } else if (what == 4 && count > 0) {
            len = run_move(data, len, max_len, runs, count, &state);
        } else if (count > 0) {
            run_change(data, runs, count, max_u64(file_len, 1), &state);
        }
    }
    return len;
}
