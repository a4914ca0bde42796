/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE requests (abi/fuse.h) on a virtio-fs device (abi/virtio_fs.h). The server is another process, and not trusted:
 * of an answer, the length must be what its kind has, and its number that of the request; it is copied out of the
 * memory that the server can write to before anybody looks at it.
 *
 * Requests are asynchronous: submit some, kick once, wait, reap. A request lies in the arena and belongs to the client
 * between its submission and its reaping.
 */
#ifndef INSTAR_GUEST_DRIVERS_FUSE_CLIENT_H
#define INSTAR_GUEST_DRIVERS_FUSE_CLIENT_H

#include "abi/fuse.h"
#include "abi/virtio_fs.h"
#include "guest/drivers/virtio_mmio_driver.h"
#include "guest/drivers/virtqueue_driver.h"

struct fuse_client {
    struct virtio_mmio mmio;
    struct virtqueue queue;
    uint64_t poll_ticks;
    uint64_t last_unique;
    uint32_t transfer_len; /* bytes of one READ or WRITE at most */
};

struct fuse_client_setup {
    const char *name; /* for errors; outlives the client */
    uint64_t registers_gpa;
    uint32_t tsc_khz; /* 0 when unknown */
    struct arena *rings;
    struct arena *arena;
};

/* What is asked. */
struct fuse_call {
    enum fuse_opcode opcode;
    uint64_t node;
    const void *arguments; /* of the kind, copied */
    uint32_t arguments_len;
    const char *name; /* or NULL; copied, FUSE_NAME_LEN_MAX at most */
    const void *data; /* of a WRITE, in the arena; or NULL */
    void *room;       /* for a READ, likewise */
    uint32_t data_len;
    uint32_t answer_len; /* what the kind returns, besides the header and room */
};

union fuse_answer {
    struct fuse_init_out init;
    struct fuse_entry_out entry;
    struct fuse_open_out open;
    struct fuse_create_out create;
    struct fuse_write_out write;
    struct fuse_attributes_out attributes;
};

struct fuse_request {
    /* Read by the server. */
    struct fuse_in_header in;
    uint8_t arguments[sizeof(struct fuse_setattr_in)];
    char name[FUSE_NAME_LEN_MAX + 1];
    /* Written by it, at any time. */
    struct fuse_out_header out;
    union fuse_answer shared_answer;

    uint64_t unique;
    uint32_t answer_len;
    uint32_t room_len;
    uint32_t written_len; /* that the server says it wrote */
    bool is_done;         /* reaped */
} __attribute__((aligned(64)));

/* What has come of a request. */
struct fuse_result {
    int errno_value;   /* 0: it was done, and the rest is valid */
    uint32_t data_len; /* of a READ: bytes in its room */
    union fuse_answer answer;
};

/* Brings the device up and agrees with the server (INIT). */
bool fuse_client_open(struct fuse_client *client, const struct fuse_client_setup *setup, struct error *error);

/* How many requests can be submitted. */
static inline uint16_t fuse_client_room(const struct fuse_client *client)
{
    return virtqueue_room(&client->queue);
}

/* There must be room. The server sees it after the next kick. */
void fuse_client_submit(struct fuse_client *client, struct fuse_request *request, const struct fuse_call *call);
void fuse_client_kick(struct fuse_client *client);
/* Returns when something can be reaped; something must be in flight. */
bool fuse_client_wait(struct fuse_client *client, struct error *error);
/* Sets *ret_request to one that was answered, or NULL. */
bool fuse_client_reap(struct fuse_client *client, struct fuse_request **ret_request, struct error *error);
/* The answer of a reaped request. Fails when it is none; an error that the server reports is a result. */
bool fuse_client_result(const struct fuse_client *client, const struct fuse_request *request,
                        struct fuse_result *ret_result, struct error *error);

/* All of it, for one request. Nothing else may be in flight. */
bool fuse_client_call(struct fuse_client *client, struct fuse_request *request, const struct fuse_call *call,
                      struct fuse_result *ret_result, struct error *error);

#endif
