/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of transports that are not there, on hosts that have more or less for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attributes.h"
#include "host/job/absent_transports.h"

static char root[64];

static int root_make(void **state UNUSED)
{
    snprintf(root, sizeof(root), "/var/tmp/instar-absent-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int root_remove(void **state UNUSED)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", root);
    return system(command);
}

static void shell(const char *format)
{
    char command[256];
    snprintf(command, sizeof(command), "cd %s && %s", root, format);
    assert_int_equal(system(command), 0);
}

static struct error explain(const char *name)
{
    struct error error = {0};
    const struct absent_transport *transport = absent_transport_find(name);
    assert_non_null(transport);
    assert_false(absent_transport_explain(transport, root, &error));
    assert_int_equal(error.kind, ERROR_UNSUPPORTED);
    assert_string_equal(error.place, name);
    return error;
}

static void names_all_that_vfio_lacks(void **state UNUSED)
{
    struct error error = explain("vfio");
    assert_string_equal(error.detail,
                        "this host lacks: IOMMU groups (/sys/kernel/iommu_groups is empty); /dev/vfio/vfio "
                        "(No such file or directory); a device that the driver vfio-pci has "
                        "(/sys/bus/pci/drivers/vfio-pci); see docs/vfio.md");
}

/* The driver's directory has files besides its devices. */
static void names_only_what_vfio_lacks(void **state UNUSED)
{
    shell("mkdir -p sys/kernel/iommu_groups/0 dev/vfio sys/bus/pci/drivers/vfio-pci/module && touch dev/vfio/vfio");
    struct error error = explain("vfio");
    assert_string_equal(error.detail, "this host lacks: a device that the driver vfio-pci has "
                                      "(/sys/bus/pci/drivers/vfio-pci); see docs/vfio.md");
}

static void says_when_only_we_lack_something(void **state UNUSED)
{
    shell(
        "mkdir -p sys/kernel/iommu_groups/0 dev/vfio sys/bus/pci/drivers/vfio-pci/0000:01:00.0 && touch dev/vfio/vfio");
    struct error error = explain("vfio");
    assert_non_null(strstr(error.detail, "but this version cannot use it"));
    shell("touch dev/vhost-vsock");
    error = explain("vhost-vsock");
    assert_string_equal(error.detail, "the host has /dev/vhost-vsock, but this version cannot use it");
}

static void names_the_device_of_the_kernel(void **state UNUSED)
{
    struct error error = explain("vhost-scsi");
    assert_string_equal(error.detail,
                        "this host lacks /dev/vhost-scsi (No such file or directory; the kernel's module is "
                        "vhost_scsi)");
}

static void knows_no_other_name(void **state UNUSED)
{
    assert_null(absent_transport_find("vhost-user-blk"));
    assert_null(absent_transport_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_all_that_vfio_lacks, root_make, root_remove),
        cmocka_unit_test_setup_teardown(names_only_what_vfio_lacks, root_make, root_remove),
        cmocka_unit_test_setup_teardown(says_when_only_we_lack_something, root_make, root_remove),
        cmocka_unit_test_setup_teardown(names_the_device_of_the_kernel, root_make, root_remove),
        cmocka_unit_test(knows_no_other_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
