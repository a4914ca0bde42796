/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attack is a guest program that breaks one rule; its file is named for it. What the machine must make of
 * it is written in `expected`, next to this file.
 *
 * attack_run does it. An attack that the machine lets pass returns from attack_run, and the program then
 * reports success, which the suite takes for a failed test. A few programs do something legal that must not
 * harm anybody: for them success is what is expected.
 */
#ifndef INSTAR_TESTS_HOSTILE_ATTACK_H
#define INSTAR_TESTS_HOSTILE_ATTACK_H

#include <stdint.h>

#include "abi/ports.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/runtime.h"
#include "messages.pb.h"

/* The attack, on vCPU 0, after the program has introduced itself. */
void attack_run(struct runtime *runtime);

/* What the host asked for; valid in attack_run. */
const instar_VmmConfig *attack_config(void);

/* Reports failure when a device has refused a request with this status; returns when it has served it. */
void attack_judge(uint8_t status);

/* Reports failure in these words, and ends the machine. */
NO_RETURN void attack_fail(const char *detail);

/* An address that the compiler knows nothing about. */
static inline volatile uint8_t *attack_pointer(uint64_t gpa)
{
    __asm__("" : "+r"(gpa));
    return (volatile uint8_t *)(uintptr_t)gpa;
}

static inline void attack_jump(uint64_t gpa)
{
    __asm__ volatile("call *%0"
                     :
                     : "r"(gpa)
                     : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
}

#endif
