/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a build with a sanitizer the jail has holes, so that a defect is reported and not only fatal: the sanitizer
 * maps memory at will, and opens its log and /proc/self/maps when it reports. Such a build is for tests.
 */
#ifndef INSTAR_HOST_JAIL_JAIL_SANITIZER_H
#define INSTAR_HOST_JAIL_JAIL_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JAIL_HAS_SANITIZER 1
#else
#define JAIL_HAS_SANITIZER 0
#endif

#endif
