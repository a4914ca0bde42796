/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport brings the job's input into the guest and takes its output out, whatever the mechanism: disks, ports,
 * registers, shared memory, streams. Each one is a file in this folder that fills struct transport_operations, and a
 * line in the table of transport_kinds.c. The host says which one a machine has (boot_info.transport).
 *
 * Calls return when the data is where it belongs. Within a call a transport may split the work into parts of
 * request_len bytes and have up to `depth` of them under way.
 *
 * Rules for the caller, which all transports may rely on:
 * - data lies in the arena, 64-byte aligned, with room for `len` rounded up to TRANSPORT_UNIT_LEN; what is behind `len`
 *   in a buffer that is written is zero;
 * - offsets are multiples of TRANSPORT_UNIT_LEN, and so are lengths, except of what ends where the file ends;
 * - ranges end within transport_size; the output is as long as the input;
 * - with is_sequential, each range begins where the last one of its direction ended.
 */
#ifndef INSTAR_GUEST_TRANSPORTS_TRANSPORT_H
#define INSTAR_GUEST_TRANSPORTS_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/boot_info.h"
#include "base/error.h"
#include "guest/runtime/arena.h"
#include "guest/runtime/runtime.h"

#define TRANSPORT_UNIT_LEN 512u

struct transport;

struct transport_setup {
    const struct boot_info *boot;
    struct arena *queues; /* memory for virtqueues */
    struct arena *arena;
    uint32_t request_len;   /* bytes of a part, a multiple of TRANSPORT_UNIT_LEN; what cannot be split ignores it */
    uint32_t depth;         /* parts under way at most, 1 at least */
    const char *input_name; /* in a directory, where the machine has one; outlives the transport */
    const char *output_name;
};

struct transport_operations {
    const char *name;
    uint32_t id;        /* enum transport_id */
    bool is_sequential; /* a stream: no offset but the next one */
    /* Finds its devices and brings them up; *ret_transport lies in the arena. */
    bool (*open)(const struct transport_setup *setup, struct transport **ret_transport, struct error *error);
    /* Fills `data` from the input, or takes it to the output. */
    bool (*read)(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error);
    bool (*write)(struct transport *transport, uint64_t off, const void *data, uint64_t len, struct error *error);
    /* What was written is on stable storage. NULL: there is nothing that could be done about it, flushing succeeds. */
    bool (*flush)(struct transport *transport, struct error *error);
    /* The input was dealt with up to here, bytes; for transports that carry progress of their own. May be NULL. */
    void (*progress)(struct transport *transport, uint64_t done_len);
    /* Nothing follows: the output is complete. May be NULL. */
    bool (*finish)(struct transport *transport, struct error *error);
    /*
     * For mechanisms that have signals worth measuring by themselves: sends number `which` to the host once, and
     * returns when that has answered; *ret_what says what it was. With ERROR_UNSUPPORTED this machine lacks it.
     */
    uint32_t signal_count;
    bool (*signal)(struct transport *transport, uint32_t which, const char **ret_what, struct error *error);
    /* In the machine that reads for another one (BOOT_TRANSPORT_READER): does so, whatever happens, until the host ends
     * it. NULL: the transport has only one machine. */
    NO_RETURN void (*serve)(const struct transport_setup *setup);
};

/* The part that all transports share; each one's own struct begins with it. */
struct transport {
    const struct transport_operations *operations;
    uint64_t input_len;    /* bytes, exact */
    bool is_output_zeroed; /* what is not written reads as zeros; false for streams */
};

/* How long to poll for a completion before sleeping (boot_transport.variant): `usual_ticks`, or not at all, or for
 * ever. */
uint64_t transport_poll_ticks(const struct boot_info *boot, uint64_t usual_ticks);

/* The machine's part is to read for another one: never returns. */
NO_RETURN void transport_serve(const struct transport_setup *setup);

/* Opens the one that the machine has. */
bool transport_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error);

static inline uint64_t transport_size(const struct transport *transport)
{
    return transport->input_len;
}

static inline bool transport_read(struct transport *transport, uint64_t off, void *data, uint64_t len,
                                  struct error *error)
{
    return transport->operations->read(transport, off, data, len, error);
}

static inline bool transport_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                                   struct error *error)
{
    return transport->operations->write(transport, off, data, len, error);
}

static inline bool transport_flush(struct transport *transport, struct error *error)
{
    return transport->operations->flush == NULL || transport->operations->flush(transport, error);
}

static inline bool transport_finish(struct transport *transport, struct error *error)
{
    return transport->operations->finish == NULL || transport->operations->finish(transport, error);
}

static inline void transport_progress(struct transport *transport, uint64_t done_len)
{
    if (transport->operations->progress != NULL) {
        transport->operations->progress(transport, done_len);
    }
}

#endif
