/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/platform.h"

#include <stdbool.h>

#include "abi/boot_info.h"
#include "abi/ports.h"
#include "guest/runtime/mailbox_gate.h"

void platform_port_write8(uint16_t port, uint8_t value)
{
    if (mailbox_is_used()) {
        mailbox_write(MAILBOX_PORT, port, sizeof(value), value);
        return;
    }
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

void platform_port_write32(uint16_t port, uint32_t value)
{
    if (mailbox_is_used()) {
        mailbox_write(MAILBOX_PORT, port, sizeof(value), value);
        return;
    }
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

uint8_t platform_port_read8(uint16_t port)
{
    if (mailbox_is_used()) {
        return (uint8_t)mailbox_read(MAILBOX_PORT, port, sizeof(uint8_t));
    }
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/*
 * String instructions: a write that the kernel coalesces costs it the decoding of the instruction, and for a
 * string it decodes once. Words before bytes, as each write takes one entry of its ring.
 */
void platform_port_write(uint16_t port, const void *data, size_t len)
{
    if (mailbox_is_used()) {
        mailbox_write_bytes(port, data, len);
        return;
    }
    size_t count = len / 4;
    size_t rest_len = len % 4;
    __asm__ volatile("rep outsl" : "+S"(data), "+c"(count) : "d"(port) : "memory");
    if (rest_len > 0) {
        __asm__ volatile("rep outsb" : "+S"(data), "+c"(rest_len) : "d"(port) : "memory");
    }
}

void platform_port_read(uint16_t port, void *target, size_t len)
{
    if (mailbox_is_used()) {
        mailbox_read_bytes(port, target, len);
        return;
    }
    __asm__ volatile("rep insb" : "+D"(target), "+c"(len) : "d"(port) : "memory");
}

void platform_port_read_words(uint16_t port, void *target, size_t count)
{
    if (mailbox_is_used()) {
        mailbox_read_bytes(port, target, count * sizeof(uint32_t));
        return;
    }
    __asm__ volatile("rep insl" : "+D"(target), "+c"(count) : "d"(port) : "memory");
}

uint32_t platform_port_read32(uint16_t port)
{
    if (mailbox_is_used()) {
        return mailbox_read(MAILBOX_PORT, port, sizeof(uint32_t));
    }
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

uint8_t platform_register_read8(uint64_t register_gpa)
{
    return __atomic_load_n((const uint8_t *)(uintptr_t)register_gpa, __ATOMIC_ACQUIRE);
}

uint16_t platform_register_read16(uint64_t register_gpa)
{
    return __atomic_load_n((const uint16_t *)(uintptr_t)register_gpa, __ATOMIC_ACQUIRE);
}

uint32_t platform_register_read32(uint64_t register_gpa)
{
    return __atomic_load_n((const uint32_t *)(uintptr_t)register_gpa, __ATOMIC_ACQUIRE);
}

void platform_register_write8(uint64_t register_gpa, uint8_t value)
{
    if (mailbox_is_used()) {
        mailbox_write(MAILBOX_REGISTER, register_gpa, sizeof(value), value);
        return;
    }
    __atomic_store_n((uint8_t *)(uintptr_t)register_gpa, value, __ATOMIC_RELEASE);
}

void platform_register_write32(uint64_t register_gpa, uint32_t value)
{
    if (mailbox_is_used()) {
        mailbox_write(MAILBOX_REGISTER, register_gpa, sizeof(value), value);
        return;
    }
    __atomic_store_n((uint32_t *)(uintptr_t)register_gpa, value, __ATOMIC_RELEASE);
}

/* One instruction each, which an emulator of the access can take apart: a plain move. */
uint64_t platform_register_read64(uint64_t register_gpa)
{
    uint64_t value;
    __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(register_gpa) : "memory");
    return value;
}

void platform_register_write64(uint64_t register_gpa, uint64_t value)
{
    __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(register_gpa) : "memory");
}

static bool has_interrupts(void)
{
    const struct boot_info *boot = (const struct boot_info *)LAYOUT_BOOT_INFO_GPA;
    return (boot->transport.flags & BOOT_TRANSPORT_INTERRUPTS) != 0;
}

/* Latched like the events of PORT_WAIT: an interrupt since the last wait ends this one at once. */
static void interrupt_wait(void)
{
    __asm__ volatile("hlt" : : : "memory");
    __atomic_store_n((uint32_t *)LAYOUT_INTERRUPT_PENDING_GPA, 0, __ATOMIC_SEQ_CST);
}

void platform_wait(uint32_t mask)
{
    if (mask == WAIT_COMPLETION && has_interrupts() && platform_vcpu() == 0) {
        interrupt_wait();
        return;
    }
    platform_port_write32(PORT_WAIT, mask);
}

void platform_wake(uint32_t vcpu)
{
    platform_port_write32(PORT_WAKE, vcpu);
}

NO_RETURN void platform_exit(uint32_t code)
{
    for (;;) {
        platform_port_write32(PORT_EXIT, code);
    }
}

uint64_t platform_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

struct span platform_first_message(void)
{
    const struct boot_info *boot = (const struct boot_info *)LAYOUT_BOOT_INFO_GPA;
    return (struct span){(const uint8_t *)LAYOUT_MESSAGE_GPA, boot->message_len};
}

void platform_relax(void)
{
    __builtin_ia32_pause();
}

uint32_t platform_vcpu(void)
{
    uint64_t index;
    __asm__("movq %%fs:%c1, %0" : "=r"(index) : "i"(__builtin_offsetof(struct thread_block, vcpu_index)));
    return (uint32_t)index;
}
