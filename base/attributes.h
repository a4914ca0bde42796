/* SPDX-License-Identifier: Apache-2.0 */
/* Short names for the compiler attributes that the tree uses. */
#ifndef INSTAR_BASE_ATTRIBUTES_H
#define INSTAR_BASE_ATTRIBUTES_H

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define NO_RETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
