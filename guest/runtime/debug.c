/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/runtime/debug.h"

#include <stdio.h>
#include <string.h>

#include "abi/ports.h"
#include "guest/runtime/platform.h"

void debug_print_v(const char *format, va_list arguments)
{
    char line[DEBUG_LINE_LEN + 1];
    vsnprintf(line, DEBUG_LINE_LEN, format, arguments);
    size_t len = strnlen(line, DEBUG_LINE_LEN - 1);
    line[len] = '\n';
    platform_port_write(PORT_DEBUG_DATA, line, len + 1);
}

void debug_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    debug_print_v(format, arguments);
    va_end(arguments);
}
