/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "host/vmm/engines/process_private.h"

/* Port numbers have 16 bits. */
#define PORT_MAX 0xffffu

/* The guest may write to the mailbox at the same time: one load, which the compiler cannot repeat. */
#define FETCH(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static bool width_check(uint32_t width, bool is_port, struct error *error)
{
    if (!is_power_of_two(width) || width > (is_port ? 4 : 8)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest made a request %u bytes wide", width);
    }
    return true;
}

bool process_request_take(const struct mailbox *mailbox, uint8_t *data, struct process_request *ret_request,
                          struct error *error)
{
    uint32_t kind = FETCH(mailbox->kind);
    uint32_t is_write = FETCH(mailbox->is_write);
    struct bus_access access = {
        .is_write = is_write == 1,
        .address = FETCH(mailbox->address),
        .width = FETCH(mailbox->width),
        .count = FETCH(mailbox->count),
        .data = data,
    };
    bool is_port = kind == MAILBOX_PORT;
    if ((!is_port && kind != MAILBOX_REGISTER) || is_write > 1) {
        return error_set(error, ERROR_GUEST, NULL, "the guest made a request of unknown kind %u, %u", kind, is_write);
    }
    RETURN_IF_FAILED(width_check(access.width, is_port, error));
    if (access.count == 0 || access.count > (is_port ? MAILBOX_DATA_LEN / access.width : 1)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest made a request of %u items of %u bytes", access.count,
                         access.width);
    }
    if (is_port && access.address > PORT_MAX) {
        return error_set(error, ERROR_GUEST, NULL, "the guest made a request for port 0x%" PRIx64, access.address);
    }
    size_t len = (size_t)access.width * access.count;
    if (access.is_write) {
        memcpy(data, mailbox->data, len);
    } else {
        memset(data, 0, len);
    }
    *ret_request = (struct process_request){.is_port = is_port, .access = access};
    return true;
}
