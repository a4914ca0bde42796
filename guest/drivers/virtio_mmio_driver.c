/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/drivers/virtio_mmio_driver.h"

#include "abi/layout.h"
#include "abi/virtio_mmio.h"
#include "guest/runtime/platform.h"

static uint32_t register_read(const struct virtio_mmio *device, uint32_t off)
{
    return platform_register_read32(device->registers_gpa + off);
}

static void register_write(const struct virtio_mmio *device, uint32_t off, uint32_t value)
{
    platform_register_write32(device->registers_gpa + off, value);
}

/* The shortcuts of our own devices (abi/virtio_mmio.h). */
static bool find_shortcuts(struct virtio_mmio *device, struct arena *memory, struct error *error)
{
    device->kick_gpa = device->registers_gpa + VIRTIO_MMIO_QUEUE_NOTIFY;
    if (register_read(device, VIRTIO_MMIO_VENDOR_ID) != VIRTIO_MMIO_VENDOR_INSTAR) {
        return true;
    }
    device->setup = arena_allocate(memory, sizeof(*device->setup), _Alignof(struct virtio_mmio_setup));
    if (device->setup == NULL) {
        return error_set(error, ERROR_LIMIT, device->name, "no memory is left for the device");
    }
    *device->setup = (struct virtio_mmio_setup){0};
    uint32_t doorbell_gpa = register_read(device, VIRTIO_MMIO_INSTAR_DOORBELL);
    if (doorbell_gpa != 0) {
        device->kick_gpa = doorbell_gpa;
    }
    return true;
}

static bool probe(const struct virtio_mmio *device, uint32_t device_id, struct error *error)
{
    if (register_read(device, VIRTIO_MMIO_MAGIC_VALUE) != VIRTIO_MMIO_MAGIC) {
        return error_set(error, ERROR_HOST, device->name, "no virtio device");
    }
    uint32_t version = register_read(device, VIRTIO_MMIO_VERSION);
    if (version != VIRTIO_MMIO_VERSION_2) {
        return error_set(error, ERROR_HOST, device->name, "virtio-mmio of version %u", version);
    }
    uint32_t found_id = register_read(device, VIRTIO_MMIO_DEVICE_ID);
    if (found_id != device_id) {
        return error_set(error, ERROR_HOST, device->name, "a virtio device of type %u", found_id);
    }
    return true;
}

static uint64_t offered_features(const struct virtio_mmio *device)
{
    if (device->setup != NULL) {
        uint64_t offered_high = register_read(device, VIRTIO_MMIO_INSTAR_FEATURES_HIGH);
        return offered_high << 32 | register_read(device, VIRTIO_MMIO_INSTAR_FEATURES_LOW);
    }
    register_write(device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    uint64_t high = register_read(device, VIRTIO_MMIO_DEVICE_FEATURES);
    register_write(device, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    return high << 32 | register_read(device, VIRTIO_MMIO_DEVICE_FEATURES);
}

/* The device takes its FEATURES_OK back when it does not agree (3.1.1). */
static bool check_features(const struct virtio_mmio *device, struct error *error)
{
    if ((register_read(device, VIRTIO_MMIO_STATUS) & VIRTIO_STATUS_FEATURES_OK) == 0) {
        return error_set(error, ERROR_HOST, device->name, "the device refused the features 0x%llx",
                         (unsigned long long)device->features);
    }
    return true;
}

/* Up to step 6 of the initialization (3.1.1). */
static bool negotiate(struct virtio_mmio *device, struct error *error)
{
    /* A device that nobody has touched is in reset already (4.2.2.1), which saves a store. */
    if (register_read(device, VIRTIO_MMIO_STATUS) != 0) {
        register_write(device, VIRTIO_MMIO_STATUS, 0);
    }
    /* The two steps need no store each: both bits say what was found before this point. */
    register_write(device, VIRTIO_MMIO_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(device->features >> 32));
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    register_write(device, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)device->features);
    register_write(device, VIRTIO_MMIO_STATUS,
                   VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    return check_features(device, error);
}

bool virtio_mmio_open(struct virtio_mmio *device, const struct virtio_mmio_open *open, struct error *error)
{
    *device = (struct virtio_mmio){.name = open->name, .registers_gpa = open->registers_gpa};
    RETURN_IF_FAILED(probe(device, open->device_id, error));
    RETURN_IF_FAILED(find_shortcuts(device, open->memory, error));
    uint64_t offered = offered_features(device);
    uint64_t missing = open->features.required & ~offered;
    if (missing != 0) {
        return error_set(error, ERROR_HOST, device->name, "the device lacks the features 0x%llx",
                         (unsigned long long)missing);
    }
    device->features = offered & (open->features.accepted | open->features.required);
    return device->setup != NULL || negotiate(device, error);
}

uint64_t virtio_mmio_read_config(const struct virtio_mmio *device, uint32_t off, uint32_t len)
{
    /* Each field is read at its own width, 64 bits as two halves (4.2.2.2). */
    uint64_t field_gpa = device->registers_gpa + VIRTIO_MMIO_CONFIG + off;
    switch (len) {
    case 1:
        return platform_register_read8(field_gpa);
    case 2:
        return platform_register_read16(field_gpa);
    case 4:
        return platform_register_read32(field_gpa);
    default:
        return platform_register_read32(field_gpa) | (uint64_t)platform_register_read32(field_gpa + 4) << 32;
    }
}

uint32_t virtio_mmio_config_generation(const struct virtio_mmio *device)
{
    return register_read(device, VIRTIO_MMIO_CONFIG_GENERATION);
}

uint32_t virtio_mmio_select_queue(struct virtio_mmio *device, uint16_t index)
{
    device->selected = index;
    if (device->setup != NULL) {
        bool is_possible = index < VIRTIO_MMIO_SETUP_QUEUE_MAX;
        return is_possible ? register_read(device, VIRTIO_MMIO_INSTAR_QUEUE_NUM_MAX) : 0;
    }
    register_write(device, VIRTIO_MMIO_QUEUE_SEL, index);
    return register_read(device, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

void virtio_mmio_setup_queue(const struct virtio_mmio *device, const struct virtio_mmio_queue *queue)
{
    if (device->setup != NULL) {
        device->setup->queues[device->selected] = (struct virtio_mmio_setup_queue){
            .size = queue->size,
            .desc_gpa = queue->desc_gpa,
            .driver_gpa = queue->driver_gpa,
            .device_gpa = queue->device_gpa,
        };
        return;
    }
    register_write(device, VIRTIO_MMIO_QUEUE_NUM, queue->size);
    register_write(device, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)queue->desc_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(queue->desc_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_DRIVER_LOW, (uint32_t)queue->driver_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_DRIVER_HIGH, (uint32_t)(queue->driver_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_DEVICE_LOW, (uint32_t)queue->device_gpa);
    register_write(device, VIRTIO_MMIO_QUEUE_DEVICE_HIGH, (uint32_t)(queue->device_gpa >> 32));
    register_write(device, VIRTIO_MMIO_QUEUE_READY, 1);
}

bool virtio_mmio_start(const struct virtio_mmio *device, struct error *error)
{
    if (device->setup != NULL) {
        device->setup->features = device->features;
        device->setup->queue_count = VIRTIO_MMIO_SETUP_QUEUE_MAX; /* those that nobody wanted have no size */
        register_write(device, VIRTIO_MMIO_INSTAR_SETUP, (uint32_t)((uintptr_t)device->setup - LAYOUT_DATA_GPA));
    } else {
        register_write(device, VIRTIO_MMIO_STATUS,
                       VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |
                           VIRTIO_STATUS_DRIVER_OK);
    }
    return check_features(device, error) && virtio_mmio_check(device, error);
}

void virtio_mmio_notify(const struct virtio_mmio *device, uint16_t queue_index)
{
    platform_register_write32(device->kick_gpa, queue_index);
}

bool virtio_mmio_check(const struct virtio_mmio *device, struct error *error)
{
    uint32_t status = register_read(device, VIRTIO_MMIO_STATUS);
    if ((status & VIRTIO_STATUS_NEEDS_RESET) != 0 || (status & VIRTIO_STATUS_DRIVER_OK) == 0) {
        return error_set(error, ERROR_GUEST, device->name, "the device stopped: status 0x%x", status);
    }
    return true;
}
