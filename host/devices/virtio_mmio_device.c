/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_mmio_device.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "abi/ports.h"
#include "abi/virtio_mmio.h"
#include "host/devices/register_bank.h"

#define TRANSPORT_FEATURES (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

static uint32_t *register_at(struct virtio_mmio *transport, uint32_t off)
{
    return (uint32_t *)(transport->page + off);
}

/* The page is shared with a running guest, which may load at any time. */
static void register_set(struct virtio_mmio *transport, uint32_t off, uint32_t value)
{
    __atomic_store_n(register_at(transport, off), value, __ATOMIC_RELEASE);
}

/* Half `select` of 64 feature bits; there are none beyond (2.2). */
static uint32_t features_half(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static struct virtqueue *queue_selected(struct virtio_mmio *transport)
{
    return transport->queue_sel < transport->queue_count ? &transport->queues[transport->queue_sel] : NULL;
}

/* Registers that show what a selector selects. */
static void selection_show(struct virtio_mmio *transport)
{
    const struct virtqueue *queue = queue_selected(transport);
    register_set(transport, VIRTIO_MMIO_DEVICE_FEATURES,
                 features_half(transport->offered, transport->device_features_sel));
    register_set(transport, VIRTIO_MMIO_QUEUE_NUM_MAX, queue != NULL ? VIRTQUEUE_SIZE_MAX : 0);
    register_set(transport, VIRTIO_MMIO_QUEUE_READY, queue != NULL && queue->is_enabled);
}

static void status_show(struct virtio_mmio *transport)
{
    register_set(transport, VIRTIO_MMIO_STATUS, transport->status);
}

static void settle(struct virtio_mmio *transport)
{
    if (transport->operations->settle != NULL) {
        transport->operations->settle(transport);
    }
}

static void transport_reset(struct virtio_mmio *transport)
{
    settle(transport);
    for (unsigned int i = 0; i < transport->queue_count; i++) {
        virtqueue_reset(&transport->queues[i]);
    }
    transport->negotiated = 0;
    transport->status = 0;
    transport->device_features_sel = 0;
    transport->driver_features_sel = 0;
    transport->queue_sel = 0;
    register_set(transport, VIRTIO_MMIO_INTERRUPT_STATUS, 0);
    status_show(transport);
    selection_show(transport);
}

/*
 * The driver's status (3.1.1). FEATURES_OK stays clear when its choice is not ours to serve: then the driver
 * reads that it has failed.
 */
static bool status_write(struct virtio_mmio *transport, uint32_t value, struct error *error)
{
    if (value == 0) {
        transport_reset(transport);
        return true;
    }
    uint32_t added = value & ~transport->status;
    if ((added & VIRTIO_STATUS_FEATURES_OK) != 0 &&
        ((transport->negotiated & ~transport->offered) != 0 || (transport->negotiated & VIRTIO_F_VERSION_1) == 0)) {
        value &= ~VIRTIO_STATUS_FEATURES_OK;
    }
    /* The driver can clear nothing but by reset, and cannot set what is ours. */
    transport->status |= value & ~VIRTIO_STATUS_NEEDS_RESET;
    bool is_ready = true;
    if ((added & VIRTIO_STATUS_DRIVER_OK) != 0) {
        is_ready = (transport->status & VIRTIO_STATUS_FEATURES_OK) != 0
                       ? transport->operations->activate(transport, error)
                       : error_set(error, ERROR_GUEST, NULL, "the driver started before features were negotiated");
    }
    status_show(transport);
    return is_ready;
}

static void driver_features_write(struct virtio_mmio *transport, uint32_t value)
{
    uint32_t select = transport->driver_features_sel;
    if (select >= 2 || (transport->status & VIRTIO_STATUS_FEATURES_OK) != 0) {
        return;
    }
    uint64_t mask = 0xffffffffull << (32 * select);
    transport->negotiated = (transport->negotiated & ~mask) | (uint64_t)value << (32 * select);
}

/* A driver that writes 0 takes the queue back (4.2.2.2): nothing of it is in flight when it reads 0. */
static void queue_stop(struct virtio_mmio *transport, struct virtqueue *queue)
{
    settle(transport);
    queue->is_enabled = false;
    selection_show(transport);
}

static bool queue_ready_write(struct virtio_mmio *transport, uint32_t value, struct error *error)
{
    struct virtqueue *queue = queue_selected(transport);
    if (queue != NULL && value == 0) {
        queue_stop(transport, queue);
        return true;
    }
    if (queue == NULL || value != 1 || queue->is_enabled || (transport->status & VIRTIO_STATUS_FEATURES_OK) == 0 ||
        (transport->status & VIRTIO_STATUS_DRIVER_OK) != 0) {
        return error_set(error, ERROR_GUEST, NULL, "the driver enables queue %u when it cannot", transport->queue_sel);
    }
    queue->has_event_idx = (transport->negotiated & VIRTIO_F_EVENT_IDX) != 0;
    queue->has_indirect = (transport->negotiated & VIRTIO_F_INDIRECT_DESC) != 0;
    RETURN_IF_FAILED(virtqueue_enable(queue, error));
    selection_show(transport);
    return true;
}

static void low_half_write(uint64_t *field, uint32_t value)
{
    *field = (*field & 0xffffffff00000000ull) | value;
}

static void high_half_write(uint64_t *field, uint32_t value)
{
    *field = (*field & 0xffffffffull) | (uint64_t)value << 32;
}

/* Where a queue lies cannot change while the device uses it (4.2.2.2). */
static bool queue_field_write(struct virtio_mmio *transport, uint64_t off, uint32_t value, struct error *error)
{
    struct virtqueue *queue = queue_selected(transport);
    if (queue == NULL || queue->is_enabled) {
        return error_set(error, ERROR_GUEST, NULL, "the driver configures queue %u when it cannot",
                         transport->queue_sel);
    }
    switch (off) {
    case VIRTIO_MMIO_QUEUE_NUM:
        queue->size = value;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        low_half_write(&queue->desc_gpa, value);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        high_half_write(&queue->desc_gpa, value);
        break;
    case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
        low_half_write(&queue->driver_gpa, value);
        break;
    case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
        high_half_write(&queue->driver_gpa, value);
        break;
    case VIRTIO_MMIO_QUEUE_DEVICE_LOW:
        low_half_write(&queue->device_gpa, value);
        break;
    case VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
        high_half_write(&queue->device_gpa, value);
        break;
    default:
        __builtin_unreachable();
    }
    return true;
}

static bool notify_write(struct virtio_mmio *transport, uint32_t queue, struct error *error)
{
    if (queue >= transport->queue_count) {
        return error_set(error, ERROR_GUEST, NULL, "the driver kicks queue %u, which does not exist", queue);
    }
    eventfd_write(transport->kick_fds[queue], 1);
    return true;
}

static bool setup_queue(struct virtio_mmio *transport, uint32_t index, const struct virtio_mmio_setup_queue *setup,
                        struct error *error)
{
    if (setup->size == 0) {
        return true;
    }
    transport->queue_sel = index;
    struct virtqueue *queue = queue_selected(transport);
    if (queue != NULL) {
        queue->size = setup->size;
        queue->desc_gpa = setup->desc_gpa;
        queue->driver_gpa = setup->driver_gpa;
        queue->device_gpa = setup->device_gpa;
    }
    return queue_ready_write(transport, 1, error);
}

/* All steps at once, each as if the driver had stored it. */
static bool setup_write(struct virtio_mmio *transport, uint32_t data_off, struct error *error)
{
    static const uint32_t agreed = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK;
    uint8_t *memory;
    struct virtio_mmio_setup setup;
    if (!guest_memory_data(&transport->machine->memory, LAYOUT_DATA_GPA + data_off, sizeof(setup), &memory)) {
        return error_set(error, ERROR_GUEST, NULL, "the driver's setup lies outside of data memory");
    }
    memcpy(&setup, memory, sizeof(setup)); /* once: it stays writable to the guest */
    if (setup.queue_count > ARRAY_COUNT(setup.queues)) {
        return error_set(error, ERROR_GUEST, NULL, "the driver configures %" PRIu32 " queues", setup.queue_count);
    }
    transport_reset(transport);
    transport->negotiated = setup.features;
    RETURN_IF_FAILED(status_write(transport, agreed, error));
    if ((transport->status & VIRTIO_STATUS_FEATURES_OK) == 0) {
        return true; /* the driver sees it */
    }
    for (uint32_t i = 0; i < setup.queue_count; i++) {
        RETURN_IF_FAILED(setup_queue(transport, i, &setup.queues[i], error));
    }
    return status_write(transport, agreed | VIRTIO_STATUS_DRIVER_OK, error);
}

static bool register_write(struct virtio_mmio *transport, uint64_t off, uint32_t value, struct error *error)
{
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        transport->device_features_sel = value;
        selection_show(transport);
        return true;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        driver_features_write(transport, value);
        return true;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        transport->driver_features_sel = value;
        return true;
    case VIRTIO_MMIO_QUEUE_SEL:
        transport->queue_sel = value;
        selection_show(transport);
        return true;
    case VIRTIO_MMIO_QUEUE_NUM:
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_DRIVER_LOW:
    case VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
    case VIRTIO_MMIO_QUEUE_DEVICE_LOW:
    case VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
        return queue_field_write(transport, off, value, error);
    case VIRTIO_MMIO_QUEUE_READY:
        return queue_ready_write(transport, value, error);
    case VIRTIO_MMIO_INTERRUPT_ACK:
        __atomic_and_fetch(register_at(transport, VIRTIO_MMIO_INTERRUPT_STATUS), ~value, __ATOMIC_SEQ_CST);
        return true;
    case VIRTIO_MMIO_STATUS:
        return status_write(transport, value, error);
    case VIRTIO_MMIO_INSTAR_SETUP:
        return setup_write(transport, value, error);
    default:
        return error_set(error, ERROR_GUEST, NULL, "the driver writes to register 0x%" PRIx64 ", which is read-only",
                         off);
    }
}

/* All registers are 32 bits wide and accessed whole (4.2.2.2). */
static bool store_handle(struct virtio_mmio *transport, uint64_t off, const struct bus_access *access,
                         struct error *error)
{
    if (access->width != sizeof(uint32_t) || off % sizeof(uint32_t) != 0) {
        return error_set(error, ERROR_GUEST, NULL,
                         "the driver writes %u bytes to register 0x%" PRIx64 ", not a whole register", access->width,
                         off);
    }
    uint32_t value;
    memcpy(&value, access->data, sizeof(value));
    if (off == VIRTIO_MMIO_QUEUE_NOTIFY) {
        /* Without the lock, which the I/O thread may hold for as long as a read takes. */
        return notify_write(transport, value, error);
    }
    pthread_mutex_lock(&transport->lock);
    bool is_written = transport->is_attached
                          ? register_write(transport, off, value, error)
                          : error_set(error, ERROR_GUEST, NULL, "the driver writes to a device that is not there");
    pthread_mutex_unlock(&transport->lock);
    return is_written;
}

bool virtio_mmio_access(struct virtio_mmio *transport, uint64_t off, const struct bus_access *access,
                        struct error *error)
{
    if (!access->is_write) {
        /* Loads come from the page; only an engine without read-only memory brings them here. */
        memcpy(access->data, transport->page + off, access->width);
        return true;
    }
    bool is_written = store_handle(transport, off, access, error);
    if (!is_written) {
        error_add_place(error, transport->name);
    }
    return is_written;
}

static bool doorbells_make(struct virtio_mmio *transport, uint64_t page_gpa, bool use_ioeventfd, struct error *error)
{
    struct engine *engine = transport->machine->engine;
    for (unsigned int i = 0; i < transport->queue_count; i++) {
        transport->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (transport->kick_fds[i] < 0) {
            return error_set(error, ERROR_HOST, NULL, "cannot make an eventfd: %s", strerror(errno));
        }
        if (use_ioeventfd) {
            RETURN_IF_FAILED(engine->operations->add_doorbell(engine, page_gpa + VIRTIO_MMIO_QUEUE_NOTIFY, i,
                                                              transport->kick_fds[i], error));
        }
    }
    return true;
}

bool virtio_mmio_init(struct virtio_mmio *transport, struct machine *machine, const struct virtio_mmio_config *config,
                      struct error *error)
{
    assert(config->queue_count <= VIRTIO_QUEUE_MAX && config->index < machine->device_count);
    transport->operations = config->operations;
    transport->machine = machine;
    transport->name = config->name;
    transport->page = machine->memory.registers + config->index * LAYOUT_REGISTERS_STRIDE;
    transport->queue_count = config->queue_count;
    pthread_mutex_init(&transport->lock, NULL);
    for (unsigned int i = 0; i < VIRTIO_QUEUE_MAX; i++) {
        transport->queues[i] = (struct virtqueue){.memory = &machine->memory};
        transport->kick_fds[i] = -1;
    }
    transport->is_late = config->is_late;
    transport->doorbell_gpa = 0;
    if (config->is_late) {
        assert(config->queue_count == 1);
        unsigned int group = register_bank_group(config->bank, config->index);
        transport->kick_fds[0] = config->bank->late_kick_fds[group];
        transport->doorbell_gpa = (uint32_t)LAYOUT_LATE_DOORBELL_GPA + group * (uint32_t)sizeof(uint32_t);
    } else if (!doorbells_make(transport, LAYOUT_REGISTERS_DEVICE_GPA(config->index), config->use_ioeventfd, error)) {
        virtio_mmio_release(transport);
        return false;
    }
    register_bank_add(config->bank, config->index, transport);
    return true;
}

/* The device ID comes last: a driver that sees it sees the rest. */
void virtio_mmio_attach(struct virtio_mmio *transport, uint64_t features)
{
    pthread_mutex_lock(&transport->lock);
    transport->offered = features | TRANSPORT_FEATURES;
    transport->is_attached = true;
    selection_show(transport);
    register_set(transport, VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_MAGIC);
    register_set(transport, VIRTIO_MMIO_VERSION, VIRTIO_MMIO_VERSION_2);
    register_set(transport, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VENDOR_INSTAR);
    register_set(transport, VIRTIO_MMIO_INSTAR_FEATURES_LOW, features_half(transport->offered, 0));
    register_set(transport, VIRTIO_MMIO_INSTAR_FEATURES_HIGH, features_half(transport->offered, 1));
    register_set(transport, VIRTIO_MMIO_INSTAR_QUEUE_NUM_MAX, VIRTQUEUE_SIZE_MAX);
    register_set(transport, VIRTIO_MMIO_INSTAR_DOORBELL, transport->doorbell_gpa);
    register_set(transport, VIRTIO_MMIO_DEVICE_ID, transport->operations->device_id);
    pthread_mutex_unlock(&transport->lock);
}

void virtio_mmio_release(struct virtio_mmio *transport)
{
    for (unsigned int i = 0; i < VIRTIO_QUEUE_MAX; i++) {
        if (transport->kick_fds[i] >= 0 && !transport->is_late) {
            close(transport->kick_fds[i]);
            transport->kick_fds[i] = -1;
        }
    }
    pthread_mutex_destroy(&transport->lock);
}

void virtio_mmio_set_config(struct virtio_mmio *transport, uint32_t off, const void *config, size_t len)
{
    assert(VIRTIO_MMIO_CONFIG + off + len <= LAYOUT_REGISTERS_STRIDE);
    memcpy(transport->page + VIRTIO_MMIO_CONFIG + off, config, len);
}

bool virtio_mmio_is_active(const struct virtio_mmio *transport)
{
    return (transport->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_NEEDS_RESET)) == VIRTIO_STATUS_DRIVER_OK;
}

static void interrupt(struct virtio_mmio *transport, uint32_t reason)
{
    __atomic_or_fetch(register_at(transport, VIRTIO_MMIO_INTERRUPT_STATUS), reason, __ATOMIC_SEQ_CST);
    machine_signal(transport->machine, WAIT_COMPLETION);
}

static void config_generation_advance(struct virtio_mmio *transport)
{
    __atomic_add_fetch(register_at(transport, VIRTIO_MMIO_CONFIG_GENERATION), 1, __ATOMIC_SEQ_CST);
}

void virtio_mmio_config_begin(struct virtio_mmio *transport)
{
    config_generation_advance(transport);
}

/* Drivers read 64 bits as two halves (4.2.2.2). */
void virtio_mmio_config_change(struct virtio_mmio *transport, uint32_t off, uint64_t value)
{
    assert(off % sizeof(uint32_t) == 0 && VIRTIO_MMIO_CONFIG + off + sizeof(value) <= LAYOUT_REGISTERS_STRIDE);
    register_set(transport, VIRTIO_MMIO_CONFIG + off, (uint32_t)value);
    register_set(transport, VIRTIO_MMIO_CONFIG + off + sizeof(uint32_t), (uint32_t)(value >> 32));
}

void virtio_mmio_config_end(struct virtio_mmio *transport)
{
    config_generation_advance(transport);
    interrupt(transport, VIRTIO_MMIO_INTERRUPT_CONFIG_CHANGE);
}

void virtio_mmio_notify(struct virtio_mmio *transport)
{
    transport->notifications++;
    interrupt(transport, VIRTIO_MMIO_INTERRUPT_USED_BUFFER);
}

void virtio_mmio_break(struct virtio_mmio *transport, struct error *error)
{
    /* First: a guest that notices could end the machine itself, with less to say about why. */
    error_add_place(error, transport->name);
    machine_end(transport->machine, error);
    transport->status |= VIRTIO_STATUS_NEEDS_RESET;
    status_show(transport);
    interrupt(transport, VIRTIO_MMIO_INTERRUPT_CONFIG_CHANGE);
}
