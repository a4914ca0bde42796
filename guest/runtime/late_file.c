/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/late_file.h"

#include <string.h>

#include "abi/ports.h"
#include "guest/runtime/messages.h"
#include "guest/runtime/platform.h"

_Static_assert(sizeof(((instar_OpenMessage *)0)->name.bytes) == LATE_FILE_NAME_MAX, "the message holds every name");

bool late_file_request(struct span name, uint32_t referrer, instar_OpenUse use, uint32_t *ret_device,
                       struct error *error)
{
    /* Large, and one call at a time. */
    static instar_GuestMessage message;
    if (name.len > LATE_FILE_NAME_MAX) {
        return error_set(error, ERROR_REFUSED, NULL, "a file name of %zu bytes", name.len);
    }
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_open_tag};
    message.kind.open.device = referrer;
    message.kind.open.use = use;
    message.kind.open.name.size = (pb_size_t)name.len;
    memcpy(message.kind.open.name.bytes, name.data, name.len);
    messages_send(&message);

    /* Ends: the host answers, or ends the machine. A wait may end early, for input that was read long ago. */
    instar_OpenReply reply;
    bool is_there = false;
    while (!is_there) {
        platform_wait(WAIT_INPUT);
        RETURN_IF_FAILED(messages_receive_reply(&reply, &is_there, error));
    }
    if (!reply.success) {
        bool is_known = reply.error_kind > ERROR_NONE && reply.error_kind <= ERROR_KIND_LAST;
        return error_set(error, is_known ? (enum error_kind)reply.error_kind : ERROR_HOST, NULL,
                         "the host does not give the file");
    }
    *ret_device = reply.device;
    return true;
}
