/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/guest_session.h"

#include <inttypes.h>
#include <pb_decode.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "base/checked.h"

static bool init_check(const instar_InitMessage *init, struct error *error)
{
    if (init->vcpus == 0 || init->vcpus > LAYOUT_VCPU_MAX || init->devices > LAYOUT_DEVICE_MAX) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest says that it has %" PRIu32 " vCPUs and %" PRIu32 " devices", init->vcpus,
                         init->devices);
    }
    return true;
}

static bool capacity_check(const instar_CapacityMessage *capacity, struct error *error)
{
    uint64_t sector_len = capacity->sector_size;
    uint64_t whole_len;
    if (!is_power_of_two(sector_len) || sector_len < JOB_SECTOR_LEN_MIN || sector_len > JOB_SECTOR_LEN_MAX ||
        !checked_multiply(capacity->sectors, sector_len, &whole_len) || capacity->bytes > whole_len ||
        whole_len - capacity->bytes >= sector_len) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest says that %" PRIu64 " sectors of %" PRIu32 " bytes are %" PRIu64 " bytes",
                         capacity->sectors, capacity->sector_size, capacity->bytes);
    }
    return true;
}

static bool progress_check(const instar_ProgressMessage *progress, struct error *error)
{
    if (progress->sectors > progress->total_sectors || progress->bytes > progress->total_bytes) {
        return error_set(error, ERROR_GUEST, NULL, "the guest says that it is past the end of its work");
    }
    return true;
}

static unsigned int device_count(const struct guest_devices *devices)
{
    return devices->result != NULL ? devices->result->device_count : 0;
}

static bool device_check(const struct guest_session *session, uint32_t device, struct error *error)
{
    if (device >= device_count(&session->devices)) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the guest reports something about device %" PRIu32 ", which does not exist", device);
    }
    return true;
}

static bool map_check(const struct guest_session *session, const instar_MapMessage *map, struct error *error)
{
    for (pb_size_t i = 0; i < map->extents_count; i++) {
        const instar_MapExtent *extent = &map->extents[i];
        uint64_t end;
        if (!checked_add(extent->start, extent->length, &end)) {
            return error_set(error, ERROR_GUEST, NULL, "the guest reports an extent that has no end");
        }
        RETURN_IF_FAILED(!extent->has_offset || device_check(session, extent->device, error));
    }
    return true;
}

static bool order_check(const struct guest_session *session, pb_size_t kind, struct error *error)
{
    if (session->has_complete) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sent a message after its result");
    }
    if (kind == instar_GuestMessage_init_tag && session->has_init) {
        return error_set(error, ERROR_GUEST, NULL, "the guest introduced itself twice");
    }
    if (kind != instar_GuestMessage_init_tag && !session->has_init) {
        return error_set(error, ERROR_GUEST, NULL, "the guest did not introduce itself first");
    }
    return true;
}

bool guest_session_accept(struct guest_session *session, struct span encoded, struct error *error)
{
    instar_GuestMessage *message = &session->message;
    pb_istream_t stream = pb_istream_from_buffer(encoded.data, encoded.len);
    if (!pb_decode(&stream, instar_GuestMessage_fields, message)) {
        return error_set(error, ERROR_GUEST, NULL, "the guest sent a malformed message");
    }
    RETURN_IF_FAILED(order_check(session, message->which_kind, error));
    switch (message->which_kind) {
    case instar_GuestMessage_init_tag:
        session->has_init = true;
        return init_check(&message->kind.init, error);
    case instar_GuestMessage_capacity_tag:
        return capacity_check(&message->kind.capacity, error);
    case instar_GuestMessage_progress_tag:
        return progress_check(&message->kind.progress, error);
    case instar_GuestMessage_info_tag:
        return device_check(session, message->kind.info.device, error);
    case instar_GuestMessage_map_tag:
        return map_check(session, &message->kind.map, error);
    case instar_GuestMessage_warning_tag:
        return device_check(session, message->kind.warning.device, error);
    case instar_GuestMessage_format_tag:
        return device_check(session, message->kind.format.device, error);
    case instar_GuestMessage_open_tag:
        return true; /* its content is for the policy */
    case instar_GuestMessage_detail_tag:
    case instar_GuestMessage_finding_tag:
    case instar_GuestMessage_check_tag:
    case instar_GuestMessage_compare_tag:
    case instar_GuestMessage_measure_tag:
    case instar_GuestMessage_resize_tag:
    case instar_GuestMessage_bench_tag:
    case instar_GuestMessage_create_tag:
    case instar_GuestMessage_latency_tag:
    case instar_GuestMessage_bitmap_tag:
        return true; /* texts and numbers: any will do */
    case instar_GuestMessage_complete_tag:
        session->has_complete = true;
        session->complete = message->kind.complete;
        return true;
    default:
        return error_set(error, ERROR_GUEST, NULL, "the guest sent an empty message");
    }
}

/* What a guest says of one decides about words and hints only. */
static enum error_reason guest_error_reason(uint32_t reason)
{
    return reason <= ERROR_REASON_LAST ? (enum error_reason)reason : ERROR_REASON_OTHER;
}

/* The kinds that a guest can know about; of anything else it is the guest that is wrong. */
static enum error_kind guest_error_kind(uint32_t kind)
{
    switch (kind) {
    case ERROR_USAGE:
    case ERROR_IO:
    case ERROR_NO_SPACE:
    case ERROR_MALFORMED:
    case ERROR_UNSUPPORTED:
    case ERROR_LIMIT:
    case ERROR_REFUSED:
    case ERROR_IN_USE:
        return (enum error_kind)kind;
    default:
        return ERROR_GUEST;
    }
}

/* The device that the guest means; GUEST_DEVICE_NONE for anything else. */
static unsigned int place_device(const struct guest_devices *devices, const char *place)
{
    static const char numbered[] = "device ";
    const char *number = place + sizeof(numbered) - 1;
    if (device_count(devices) == 0) {
        return GUEST_DEVICE_NONE;
    }
    if (strcmp(place, "input") == 0 && devices->input_count > 0) {
        return 0;
    }
    if (strcmp(place, "output") == 0 && devices->has_output) {
        return devices->input_count;
    }
    if (strncmp(place, numbered, sizeof(numbered) - 1) != 0 || number[0] < '0' || number[0] > '9') {
        return GUEST_DEVICE_NONE;
    }
    char *end;
    unsigned long index = strtoul(number, &end, 10);
    return *end == '\0' && index < device_count(devices) ? (unsigned int)index : GUEST_DEVICE_NONE;
}

unsigned int guest_session_error_device(const struct guest_session *session)
{
    const instar_CompleteMessage *complete = &session->complete;
    if (!session->has_complete || complete->success || !complete->has_error) {
        return GUEST_DEVICE_NONE;
    }
    return place_device(&session->devices, complete->error.place);
}

bool guest_session_check_result(const struct guest_session *session, const struct error *refusal, struct error *error)
{
    if (!session->has_complete) {
        return error_set(error, ERROR_GUEST, NULL, "the guest ended without a result");
    }
    if (session->complete.success) {
        return true;
    }
    const instar_ErrorMessage *reported = &session->complete.error;
    if (!session->complete.has_error || reported->detail[0] == '\0') {
        return error_set(error, ERROR_GUEST, NULL, "the guest failed and did not say why");
    }
    if (error_is_set(refusal) && reported->kind == (uint32_t)refusal->kind) {
        *error = *refusal;
        return false;
    }
    unsigned int device = guest_session_error_device(session);
    const char *place = device != GUEST_DEVICE_NONE ? session->devices.result->devices[device].path : reported->place;
    return error_set_reason(error, guest_error_reason(reported->reason), guest_error_kind(reported->kind), place, "%s",
                            reported->detail);
}
