/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's side of a queue; the tests play the device, directly on the rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/drivers/virtqueue_driver.h"

#define SIZE 8u
#define PARTS_MAX 4u
#define MEMORY_LEN 0x10000u

struct fixture {
    struct virtqueue queue;
    struct arena arena;
    void *memory;
    uint16_t seen_idx; /* the device's position in the available ring */
    uint16_t used_idx;
};

static struct fixture *fixture_make(bool event_idx)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->memory = calloc(1, MEMORY_LEN);
    assert_non_null(fixture->memory);
    arena_init(&fixture->arena, (uint64_t)(uintptr_t)fixture->memory, MEMORY_LEN);
    struct virtqueue_setup setup = {SIZE, PARTS_MAX, event_idx, &fixture->arena, &fixture->arena};
    assert_true(virtqueue_init(&fixture->queue, &setup));
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    free(fixture->memory);
    free(fixture);
}

static uint16_t used_event(const struct fixture *fixture)
{
    return fixture->queue.avail->ring[SIZE];
}

static void set_avail_event(struct fixture *fixture, uint16_t event)
{
    memcpy(&fixture->queue.used->ring[SIZE], &event, sizeof(event));
}

static void add_one(struct fixture *fixture, void *token)
{
    const struct virtqueue_part parts[] = {{0x1000, 16, false}, {0x2000, 512, true}, {0x3000, 1, true}};
    virtqueue_add(&fixture->queue, parts, 3, token);
}

/* The device's next chain. */
static uint16_t device_fetch(struct fixture *fixture)
{
    assert_int_not_equal(fixture->seen_idx, fixture->queue.avail->idx);
    return fixture->queue.avail->ring[fixture->seen_idx++ % SIZE];
}

static void device_use(struct fixture *fixture, uint32_t id, uint32_t len)
{
    fixture->queue.used->ring[fixture->used_idx++ % SIZE] = (struct virtq_used_elem){id, len};
    fixture->queue.used->idx = fixture->used_idx;
}

static void expect_taken(struct fixture *fixture, const void *token, uint32_t len)
{
    void *found;
    uint32_t written_len;
    assert_true(virtqueue_has_used(&fixture->queue));
    assert_int_equal(virtqueue_take(&fixture->queue, &found, &written_len), VIRTQUEUE_TAKEN);
    assert_ptr_equal(found, token);
    assert_int_equal(written_len, len);
}

static void expect_not_taken(struct fixture *fixture, enum virtqueue_taken why)
{
    void *found;
    uint32_t written_len;
    uint16_t room = virtqueue_room(&fixture->queue);
    assert_int_equal(virtqueue_take(&fixture->queue, &found, &written_len), why);
    assert_int_equal(virtqueue_room(&fixture->queue), room);
}

static void chain_is_an_indirect_table(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    const struct virtq_desc *desc = &fixture->queue.desc[device_fetch(fixture)];
    assert_int_equal(desc->flags, VIRTQ_DESC_F_INDIRECT);
    assert_int_equal(desc->len, 3 * sizeof(struct virtq_desc));
    const struct virtq_desc *table = (const struct virtq_desc *)(uintptr_t)desc->addr;
    const struct virtq_desc expected[] = {
        {0x1000, 16, VIRTQ_DESC_F_NEXT, 1},
        {0x2000, 512, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2},
        {0x3000, 1, VIRTQ_DESC_F_WRITE, table[2].next},
    };
    assert_memory_equal(table, expected, sizeof(expected));
    fixture_free(fixture);
}

static void nothing_is_visible_before_it_is_published(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    assert_false(virtqueue_publish(&fixture->queue));
    add_one(fixture, &token);
    add_one(fixture, &token);
    assert_int_equal(fixture->queue.avail->idx, 0);
    assert_true(virtqueue_publish(&fixture->queue));
    assert_int_equal(fixture->queue.avail->idx, 2);
    assert_false(virtqueue_publish(&fixture->queue));
    fixture_free(fixture);
}

static void room_is_what_is_not_in_flight(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int tokens[SIZE];
    for (unsigned int i = 0; i < SIZE; i++) {
        assert_int_equal(virtqueue_room(&fixture->queue), SIZE - i);
        add_one(fixture, &tokens[i]);
    }
    assert_int_equal(virtqueue_room(&fixture->queue), 0);
    assert_int_equal(virtqueue_in_flight(&fixture->queue), SIZE);
    assert_true(virtqueue_publish(&fixture->queue));
    uint16_t first = device_fetch(fixture);
    device_use(fixture, device_fetch(fixture), 5);
    device_use(fixture, first, 0);
    expect_taken(fixture, &tokens[1], 5);
    expect_taken(fixture, &tokens[0], 0);
    assert_int_equal(virtqueue_room(&fixture->queue), 2);
    expect_not_taken(fixture, VIRTQUEUE_EMPTY);
    fixture_free(fixture);
}

/* More than 2^16 chains: every index wraps, in step or not with the ring. */
static void indices_wrap(bool event_idx)
{
    struct fixture *fixture = fixture_make(event_idx);
    int tokens[SIZE];
    uint32_t count = 0;
    for (uint32_t round = 0; round < 50000; round++) {
        uint32_t batch = 1 + round % SIZE;
        bool is_wanted = round % 3 == 0;
        set_avail_event(fixture, (uint16_t)(fixture->queue.added_idx - (is_wanted ? 0 : 1)));
        fixture->queue.used->flags = (uint16_t)(is_wanted ? 0 : VIRTQ_USED_F_NO_NOTIFY);
        for (uint32_t i = 0; i < batch; i++) {
            add_one(fixture, &tokens[i]);
        }
        assert_int_equal(virtqueue_publish(&fixture->queue), is_wanted);
        for (uint32_t i = 0; i < batch; i++) {
            device_use(fixture, device_fetch(fixture), i);
        }
        for (uint32_t i = 0; i < batch; i++) {
            expect_taken(fixture, &tokens[i], i);
        }
        expect_not_taken(fixture, VIRTQUEUE_EMPTY);
        count += batch;
    }
    assert_true(count > 3 * 65536);
    fixture_free(fixture);
}

static void indices_wrap_with_event_index(void **state)
{
    (void)state;
    indices_wrap(true);
}

static void indices_wrap_with_flags(void **state)
{
    (void)state;
    indices_wrap(false);
}

static void device_is_notified_only_when_it_asked(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    set_avail_event(fixture, 2);
    add_one(fixture, &token);
    assert_false(virtqueue_publish(&fixture->queue));
    add_one(fixture, &token);
    assert_false(virtqueue_publish(&fixture->queue));
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    add_one(fixture, &token);
    assert_false(virtqueue_publish(&fixture->queue));
    /* An event in the middle of a batch counts as well. */
    set_avail_event(fixture, 5);
    add_one(fixture, &token);
    add_one(fixture, &token);
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    fixture_free(fixture);
}

/* Whether the device, after using one more buffer, would signal. */
static bool device_signals(const struct fixture *fixture, uint16_t now)
{
    return virtq_event_passed(used_event(fixture), now, (uint16_t)(now - 1));
}

static void only_an_armed_queue_asks_for_a_signal(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    for (uint32_t i = 0; i < 70000; i++) {
        uint16_t next = (uint16_t)(i + 1);
        assert_false(device_signals(fixture, next));
        virtqueue_arm(&fixture->queue);
        assert_true(device_signals(fixture, next));
        if (i % 2 == 0) {
            virtqueue_disarm(&fixture->queue);
            assert_false(device_signals(fixture, next));
        }
        add_one(fixture, &token);
        assert_int_equal(virtqueue_publish(&fixture->queue), i % 65536 == 0);
        device_use(fixture, device_fetch(fixture), 0);
        expect_taken(fixture, &token, 0);
    }
    fixture_free(fixture);
}

static void flags_ask_for_a_signal_without_event_index(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(false);
    assert_int_equal(fixture->queue.avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
    virtqueue_arm(&fixture->queue);
    assert_int_equal(fixture->queue.avail->flags, 0);
    virtqueue_disarm(&fixture->queue);
    assert_int_equal(fixture->queue.avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
    fixture_free(fixture);
}

static void used_id_outside_the_queue_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    device_use(fixture, SIZE, 0);
    expect_not_taken(fixture, VIRTQUEUE_BROKEN);
    fixture_free(fixture);
}

static void used_id_that_is_not_in_flight_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int tokens[2];
    add_one(fixture, &tokens[0]);
    add_one(fixture, &tokens[1]);
    assert_true(virtqueue_publish(&fixture->queue));
    uint16_t first = device_fetch(fixture);
    device_use(fixture, first, 0);
    device_use(fixture, first, 0);
    expect_taken(fixture, &tokens[0], 0);
    expect_not_taken(fixture, VIRTQUEUE_BROKEN);
    fixture_free(fixture);
}

static void more_written_than_offered_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    device_use(fixture, device_fetch(fixture), 514);
    expect_not_taken(fixture, VIRTQUEUE_BROKEN);
    fixture_free(fixture);
}

static void more_used_than_in_flight_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_make(true);
    int token;
    add_one(fixture, &token);
    assert_true(virtqueue_publish(&fixture->queue));
    fixture->queue.used->idx = 2;
    expect_not_taken(fixture, VIRTQUEUE_BROKEN);
    fixture_free(fixture);
}

static void too_little_memory_is_refused(void **state)
{
    (void)state;
    uint8_t memory[512] = {0};
    struct arena arena;
    struct virtqueue queue;
    arena_init(&arena, (uint64_t)(uintptr_t)memory, sizeof(memory));
    struct virtqueue_setup setup = {SIZE, PARTS_MAX, true, &arena, &arena};
    assert_false(virtqueue_init(&queue, &setup));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_is_an_indirect_table),
        cmocka_unit_test(nothing_is_visible_before_it_is_published),
        cmocka_unit_test(room_is_what_is_not_in_flight),
        cmocka_unit_test(indices_wrap_with_event_index),
        cmocka_unit_test(indices_wrap_with_flags),
        cmocka_unit_test(device_is_notified_only_when_it_asked),
        cmocka_unit_test(only_an_armed_queue_asks_for_a_signal),
        cmocka_unit_test(flags_ask_for_a_signal_without_event_index),
        cmocka_unit_test(used_id_outside_the_queue_is_refused),
        cmocka_unit_test(used_id_that_is_not_in_flight_is_refused),
        cmocka_unit_test(more_written_than_offered_is_refused),
        cmocka_unit_test(more_used_than_in_flight_is_refused),
        cmocka_unit_test(too_little_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
