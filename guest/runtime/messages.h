/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between the host and this program, on COM1 (abi/messages.proto, abi/framing.h).
 *
 * Sending cannot fail: every message has a fixed maximal size. Strings that are too long are cut. For
 * vCPU 0 only.
 */
#ifndef INSTAR_GUEST_RUNTIME_MESSAGES_H
#define INSTAR_GUEST_RUNTIME_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "messages.pb.h"

/* What the host sends before the program starts, a configuration or a job, as the program expects: call one, once. */
bool messages_receive_config(instar_VmmConfig *ret_config, struct error *error);
bool messages_receive_job(instar_ImageJob *ret_job, struct error *error);

/* The answer to an OpenMessage (guest/runtime/late_file.h). Success with *ret_is_there false: it has not come yet. */
bool messages_receive_reply(instar_OpenReply *ret_reply, bool *ret_is_there, struct error *error);

/*
 * A faster way than COM1 for those that are many (guest/drivers/message_console.h). It carries on where COM1 stopped,
 * in order, and is not touched before there is more than fits the buffer for COM1.
 */
struct message_way {
    void *context;
    /* Sets up. False: it cannot be used, and everything stays as it is. */
    bool (*open)(void *context);
    /* Memory for the next messages; waits until there is some. Larger than the buffer for COM1. */
    uint8_t *(*buffer)(void *context, size_t *ret_len);
    /* Sends the first `len` bytes of it, which belong to the way until they have arrived. */
    void (*send)(void *context, size_t len);
    /* Returns when all of it has arrived. */
    void (*flush)(void *context);
};

/* Offers a way, which outlives the program's last message. */
void messages_offer(const struct message_way *way);

/* Any message, for which there is no function below. */
void messages_send(const instar_GuestMessage *message);

void messages_send_capacity(const char *device, uint64_t len, uint32_t sector_len);
void messages_send_progress(const instar_ProgressMessage *progress);
void messages_send_complete(const instar_CompleteMessage *complete);

/*
 * Some messages come in thousands: posted, one waits for the next message, or for messages_flush. Port output is cheap
 * by the byte and expensive by the call.
 */
void messages_post(const instar_GuestMessage *message);
void messages_post_init(const char *program, uint32_t vcpu_count, uint32_t device_count);
void messages_post_progress(const instar_ProgressMessage *progress);
void messages_flush(void);

/* The complete message of an operation that failed; `opening`: at the opening of an image. */
void messages_send_failure(const struct error *error);
void messages_send_failure_of(const struct error *error, bool opening);

#endif
