/* SPDX-License-Identifier: Apache-2.0 */
/* A vsock connection between a socket, whose other end is the test's, and a guest, which is the test, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/transports/vsock.h"
#include "base/attributes.h"
#include "base/checked.h"
#include "host/devices/vsock_connection.h"

#define HOST_PORT 1025u
#define GUEST_PORT 7777u
#define GUEST_BUFFER_LEN 1000u

struct fixture {
    struct vsock_connection connection;
    int far_fd; /* the other end of the connection's socket */
};

static struct fixture connection_make(enum virtio_vsock_type type, uint32_t host_port)
{
    struct fixture fixture;
    struct error error = {0};
    int fds[2];
    int kind = type == VIRTIO_VSOCK_TYPE_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;
    assert_int_equal(socketpair(AF_UNIX, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(vsock_connection_init(&fixture.connection, type, fds[0], host_port, &error));
    fixture.far_fd = fds[1];
    return fixture;
}

static void connection_end(struct fixture *fixture)
{
    vsock_connection_release(&fixture->connection);
    close(fixture->far_fd);
}

static struct virtio_vsock_header packet(uint16_t op)
{
    return (struct virtio_vsock_header){.src_port = GUEST_PORT, .op = op, .buf_alloc = GUEST_BUFFER_LEN};
}

static bool take(struct fixture *fixture, const struct virtio_vsock_header *header, const uint8_t *data)
{
    struct error error = {0};
    struct iovec iov = {(void *)(uintptr_t)data, header->len};
    bool is_taken = vsock_connection_take(&fixture->connection, header, &iov, header->len > 0, &error);
    assert_true(is_taken || error.kind == ERROR_GUEST);
    return is_taken;
}

static bool take_data(struct fixture *fixture, const uint8_t *data, uint32_t len, uint32_t flags)
{
    struct virtio_vsock_header header = packet(VIRTIO_VSOCK_OP_RW);
    header.len = len;
    header.flags = flags;
    header.fwd_cnt = fixture->connection.guest_fwd_cnt;
    return take(fixture, &header, data);
}

/* The operation of the next packet to the guest, 0 when there is none. */
static uint16_t next_op(struct fixture *fixture, struct virtio_vsock_header *ret_header)
{
    const uint8_t *data = NULL;
    bool is_there = vsock_connection_next(&fixture->connection, UINT32_MAX, ret_header, &data);
    return is_there ? ret_header->op : 0;
}

/* One that the guest has made. */
static struct fixture established(enum virtio_vsock_type type)
{
    struct fixture fixture = connection_make(type, HOST_PORT);
    struct virtio_vsock_header header = packet(VIRTIO_VSOCK_OP_REQUEST);
    assert_true(take(&fixture, &header, NULL));
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(header.src_port, HOST_PORT);
    assert_int_equal(header.dst_port, GUEST_PORT);
    assert_int_equal(header.buf_alloc, VSOCK_BUFFER_LEN);
    return fixture;
}

static void bytes_make(uint8_t *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void move_all(struct fixture *fixture)
{
    while (vsock_connection_move(&fixture->connection)) { /* ends: what there is to move is bounded */
    }
}

/* What has come at the far end is exactly this. */
static void assert_far_is(const struct fixture *fixture, const void *expected, size_t len)
{
    uint8_t *bytes = malloc(len + 1);
    ssize_t got_len = recv(fixture->far_fd, bytes, len + 1, MSG_DONTWAIT);
    assert_int_equal(got_len, len);
    assert_memory_equal(bytes, expected, len);
    free(bytes);
}

static void a_client_asks_for_a_port_of_the_guests(void **state UNUSED)
{
    struct fixture fixture = connection_make(VIRTIO_VSOCK_TYPE_STREAM, 0);
    struct virtio_vsock_header header;
    const char text[] = "CONNECT 1024\nfirst";
    assert_int_equal(send(fixture.far_fd, text, strlen(text), 0), strlen(text));
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_REQUEST);
    assert_int_equal(header.dst_port, 1024);
    uint32_t host_port = header.src_port;
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), 0); /* nothing before the answer */

    header = packet(VIRTIO_VSOCK_OP_RESPONSE);
    assert_true(take(&fixture, &header, NULL));
    char answer[32];
    assert_int_equal(snprintf(answer, sizeof(answer), "OK %u\n", host_port) > 0, true);
    assert_far_is(&fixture, answer, strlen(answer));
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RW);
    assert_int_equal(header.len, 5);
    connection_end(&fixture);
}

static void a_greeting_is_exact(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool is_good;
        uint32_t port;
    } cases[] = {
        {"CONNECT 0\n", true, 0},
        {"CONNECT 4294967295\n", true, UINT32_MAX},
        {"CONNECT 4294967296\n", false, 0},
        {"CONNECT 99999999999999999999\n", false, 0},
        {"CONNECT -18446744073709550592\n", false, 0},
        {"CONNECT -1\n", false, 0},
        {"CONNECT +1\n", false, 0},
        {"CONNECT  1\n", false, 0},
        {"CONNECT 1 \n", false, 0},
        {"CONNECT 1\r\n", false, 0},
        {"CONNECT 0x400\n", false, 0},
        {"CONNECT \n", false, 0},
        {"CONNECT\n", false, 0},
        {"connect 1\n", false, 0},
        {"\n", false, 0},
        {"CONNECT 1, and more than a greeting can be\n", false, 0},
    };
    for (int type = VIRTIO_VSOCK_TYPE_STREAM; type <= VIRTIO_VSOCK_TYPE_SEQPACKET; type++) {
        for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
            struct fixture fixture = connection_make((enum virtio_vsock_type)type, 0);
            struct virtio_vsock_header header;
            assert_true(send(fixture.far_fd, cases[i].text, strlen(cases[i].text), 0) > 0);
            move_all(&fixture);
            assert_int_equal(next_op(&fixture, &header), cases[i].is_good ? VIRTIO_VSOCK_OP_REQUEST : 0);
            assert_int_equal(fixture.connection.state, cases[i].is_good ? VSOCK_REQUESTED : VSOCK_CLOSED);
            assert_int_equal(fixture.connection.guest_port, cases[i].port);
            connection_end(&fixture);
        }
    }
}

static void a_client_that_leaves_is_nobody(void **state UNUSED)
{
    struct fixture fixture = connection_make(VIRTIO_VSOCK_TYPE_STREAM, 0);
    assert_int_equal(send(fixture.far_fd, "CONN", 4, 0), 4);
    assert_int_equal(shutdown(fixture.far_fd, SHUT_RDWR), 0);
    move_all(&fixture);
    assert_int_equal(fixture.connection.state, VSOCK_CLOSED);
    connection_end(&fixture);
}

/* No more goes to the guest than it has room for, also where the counts wrap around. */
static void the_guests_credit_bounds_what_is_sent(void **state UNUSED)
{
    static const uint32_t starts[] = {0, UINT32_MAX - 100, UINT32_MAX - GUEST_BUFFER_LEN};
    uint8_t bytes[3 * GUEST_BUFFER_LEN];
    bytes_make(bytes, sizeof(bytes), 1);
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
        struct vsock_connection *connection = &fixture.connection;
        connection->sent_count = connection->guest_fwd_cnt = starts[i];
        assert_int_equal(send(fixture.far_fd, bytes, sizeof(bytes), 0), sizeof(bytes));
        size_t got_len = 0;
        uint32_t passed_on = 0;
        while (got_len < sizeof(bytes)) { /* ends: each round brings some */
            struct virtio_vsock_header header;
            const uint8_t *data;
            move_all(&fixture);
            assert_true(vsock_connection_next(connection, 300, &header, &data));
            assert_int_equal(header.op, VIRTIO_VSOCK_OP_RW);
            assert_in_range(header.len, 1, 300);
            assert_memory_equal(data, bytes + got_len, header.len);
            got_len += header.len;
            assert_true(got_len - passed_on <= GUEST_BUFFER_LEN);
            if (got_len - passed_on == GUEST_BUFFER_LEN) {
                assert_int_equal(vsock_connection_ready(connection), 0);
                assert_int_equal(next_op(&fixture, &header), 0);
                passed_on += 700;
                header = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
                header.fwd_cnt = starts[i] + passed_on;
                assert_true(take(&fixture, &header, NULL));
            }
        }
        connection_end(&fixture);
    }
}

static void a_guest_passes_on_only_what_it_has(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_header header;
    assert_int_equal(send(fixture.far_fd, "0123456789", 10, 0), 10);
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RW);
    static const struct {
        uint32_t fwd_cnt;
        bool is_good;
    } cases[] = {{4, true},  {4, true},           {3, false}, {11, false},
                 {0, false}, {UINT32_MAX, false}, {10, true}, {9, false}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        header = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
        header.fwd_cnt = cases[i].fwd_cnt;
        assert_int_equal(take(&fixture, &header, NULL), cases[i].is_good);
    }
    connection_end(&fixture);
}

/* It may take memory back that is in use: then nothing more comes, and nothing is computed below zero. */
static void a_guest_may_take_credit_away(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_header header;
    assert_int_equal(send(fixture.far_fd, "0123456789", 10, 0), 10);
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RW);
    assert_int_equal(send(fixture.far_fd, "more", 4, 0), 4);
    move_all(&fixture);
    header = packet(VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    header.buf_alloc = 5;
    assert_true(take(&fixture, &header, NULL));
    assert_int_equal(vsock_connection_ready(&fixture.connection), 0);
    header.buf_alloc = 12;
    assert_true(take(&fixture, &header, NULL));
    assert_int_equal(vsock_connection_ready(&fixture.connection), 2);
    connection_end(&fixture);
}

/* The guest's credit with us: what the ring has room for, to the byte, wherever in the ring. */
static void our_credit_bounds_what_is_taken(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    uint8_t *bytes = malloc(VSOCK_BUFFER_LEN + 1);
    bytes_make(bytes, VSOCK_BUFFER_LEN + 1, 2);
    assert_false(take_data(&fixture, bytes, VSOCK_BUFFER_LEN + 1, 0));
    assert_true(take_data(&fixture, bytes, 1000, 0));
    move_all(&fixture);
    assert_far_is(&fixture, bytes, 1000);

    assert_true(take_data(&fixture, bytes, VSOCK_BUFFER_LEN - 1, 0));
    assert_false(take_data(&fixture, bytes, 2, 0));
    assert_true(take_data(&fixture, bytes + VSOCK_BUFFER_LEN - 1, 1, 0));
    assert_false(take_data(&fixture, bytes, 1, 0));
    for (size_t done_len = 0; done_len < VSOCK_BUFFER_LEN;) { /* ends: each round brings some */
        uint8_t part[4096];
        move_all(&fixture);
        ssize_t len = recv(fixture.far_fd, part, sizeof(part), MSG_DONTWAIT);
        assert_true(len > 0);
        assert_memory_equal(part, bytes + done_len, len);
        done_len += (size_t)len;
    }
    free(bytes);
    connection_end(&fixture);
}

static void half_a_buffer_is_worth_an_update(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_header header;
    uint8_t bytes[4096] = {0};
    for (uint32_t sent_len = 0; sent_len < VSOCK_BUFFER_LEN / 2; sent_len += sizeof(bytes)) {
        assert_int_equal(next_op(&fixture, &header), 0);
        assert_true(take_data(&fixture, bytes, sizeof(bytes), 0));
        move_all(&fixture);
        assert_far_is(&fixture, bytes, sizeof(bytes));
    }
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    assert_int_equal(header.fwd_cnt, VSOCK_BUFFER_LEN / 2);
    assert_int_equal(next_op(&fixture, &header), 0);
    connection_end(&fixture);
}

static void messages_keep_their_borders(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_SEQPACKET);
    uint8_t *bytes = malloc(VSOCK_MESSAGE_LEN_MAX);
    bytes_make(bytes, VSOCK_MESSAGE_LEN_MAX, 3);
    /* Of one packet and of two; the odd length makes some of them wrap around the ring's end. */
    for (unsigned int i = 0; i < 20; i++) {
        uint32_t len = 30001 + i;
        assert_true(take_data(&fixture, bytes, len - i, i == 0 ? VIRTIO_VSOCK_SEQ_EOM : 0));
        move_all(&fixture);
        if (i > 0) {
            assert_int_equal(recv(fixture.far_fd, bytes, 1, MSG_DONTWAIT), -1); /* not before its end */
            assert_true(take_data(&fixture, bytes + len - i, i, VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR));
            move_all(&fixture);
        }
        assert_far_is(&fixture, bytes, len);
    }
    assert_true(take_data(&fixture, bytes, VSOCK_MESSAGE_LEN_MAX, 0));
    assert_false(take_data(&fixture, bytes, 1, VIRTIO_VSOCK_SEQ_EOM));
    free(bytes);
    connection_end(&fixture);
}

static void the_sockets_end_is_told_once(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_header header;
    assert_int_equal(send(fixture.far_fd, "last", 4, 0), 4);
    assert_int_equal(shutdown(fixture.far_fd, SHUT_WR), 0);
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RW);
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_SHUTDOWN);
    assert_int_equal(header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    move_all(&fixture);
    assert_int_equal(next_op(&fixture, &header), 0);
    /* The other direction still works. */
    assert_true(take_data(&fixture, (const uint8_t *)"answer", 6, 0));
    move_all(&fixture);
    assert_far_is(&fixture, "answer", 6);
    connection_end(&fixture);
}

static void an_orderly_end_comes_behind_all_data(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_header header = packet(VIRTIO_VSOCK_OP_SHUTDOWN);
    header.flags = VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RECEIVE;
    assert_true(take_data(&fixture, (const uint8_t *)"the end", 7, 0));
    assert_true(take(&fixture, &header, NULL));
    assert_false(take_data(&fixture, (const uint8_t *)"more", 4, 0));
    move_all(&fixture);
    assert_far_is(&fixture, "the end", 7);
    assert_int_equal(next_op(&fixture, &header), VIRTIO_VSOCK_OP_RST);
    assert_int_equal(fixture.connection.state, VSOCK_CLOSED);
    connection_end(&fixture);
}

/* What the guest still sends is thrown away, and does not fill the ring for good. */
static void a_far_end_that_is_gone_costs_nothing(void **state UNUSED)
{
    struct fixture fixture = established(VIRTIO_VSOCK_TYPE_STREAM);
    uint8_t bytes[4096] = {0};
    close(fixture.far_fd);
    for (uint32_t len = 0; len < 2 * VSOCK_BUFFER_LEN; len += sizeof(bytes)) {
        assert_true(take_data(&fixture, bytes, sizeof(bytes), 0));
        move_all(&fixture);
    }
    vsock_connection_release(&fixture.connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_asks_for_a_port_of_the_guests),
        cmocka_unit_test(a_greeting_is_exact),
        cmocka_unit_test(a_client_that_leaves_is_nobody),
        cmocka_unit_test(the_guests_credit_bounds_what_is_sent),
        cmocka_unit_test(a_guest_passes_on_only_what_it_has),
        cmocka_unit_test(a_guest_may_take_credit_away),
        cmocka_unit_test(our_credit_bounds_what_is_taken),
        cmocka_unit_test(half_a_buffer_is_worth_an_update),
        cmocka_unit_test(messages_keep_their_borders),
        cmocka_unit_test(the_sockets_end_is_told_once),
        cmocka_unit_test(an_orderly_end_comes_behind_all_data),
        cmocka_unit_test(a_far_end_that_is_gone_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
