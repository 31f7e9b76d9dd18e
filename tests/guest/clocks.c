// SPDX-License-Identifier: MIT
//
// Checks of what ACPI and the CMOS clock give the guest: time of day and its interrupts, the PM
// timer (ACPI 6.5, 4.8.3.3), the tables, the power button.

#include "tests/guest/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/rtc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define CLOCKSOURCE "/sys/devices/system/clocksource/clocksource0/"

static time_t rtc_seconds(int fd) {
    struct rtc_time t = {0};
    if (ioctl(fd, RTC_RD_TIME, &t) != 0) {
        return -1;
    }
    struct tm tm = {.tm_sec = t.tm_sec,
                    .tm_min = t.tm_min,
                    .tm_hour = t.tm_hour,
                    .tm_mday = t.tm_mday,
                    .tm_mon = t.tm_mon,
                    .tm_year = t.tm_year};
    return timegm(&tm);
}

int cmd_rtc(int argc, char **argv) {
    (void)argc;
    (void)argv;
    int fd = open("/dev/rtc0", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail("rtc-time", "/dev/rtc0: %s", strerror(errno));
        return 1;
    }
    time_t first = rtc_seconds(fd);
    uint64_t start = now_ns();
    // 2024-01-01: any host that runs this is later.
    check(first > 1704067200, "rtc-time", "unix time %lld", (long long)first);
    sleep_ms(2500);
    time_t second = rtc_seconds(fd);
    double elapsed = (double)(now_ns() - start) / 1e9;
    check(second - first >= 2 && (double)(second - first) <= elapsed + 1.5, "rtc-ticks",
          "%lld s passed in %.2f s", (long long)(second - first), elapsed);

    // The update-ended interrupt (or the alarm that the driver uses for it), IRQ 8.
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    unsigned long data = 0;
    if (ioctl(fd, RTC_UIE_ON, 0) != 0) {
        fail("rtc-interrupt", "RTC_UIE_ON: %s", strerror(errno));
    } else {
        bool came = poll(&poll_fd, 1, 5000) == 1 && read(fd, &data, sizeof(data)) > 0;
        check(came, "rtc-interrupt", "data 0x%lx", data);
        ioctl(fd, RTC_UIE_OFF, 0);
    }
    close(fd);
    return 0;
}

static bool use_clocksource(const char *name) {
    int fd = open(CLOCKSOURCE "current_clocksource", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/// TSC ticks per second of the kernel's clock.
static double tsc_rate(void) {
    uint64_t start = now_ns();
    uint64_t first = __builtin_ia32_rdtsc();
    sleep_ms(1000);
    uint64_t second = __builtin_ia32_rdtsc();
    return (double)(second - first) * 1e9 / (double)(now_ns() - start);
}

/// The kernel's clock driven by the PM timer runs as fast as by what it has chosen itself.
int cmd_pmtimer(int argc, char **argv) {
    (void)argc;
    (void)argv;
    char available[128] = "", chosen[64] = "";
    read_text(CLOCKSOURCE "available_clocksource", available, sizeof(available));
    read_text(CLOCKSOURCE "current_clocksource", chosen, sizeof(chosen));
    double before = tsc_rate();
    if (!strstr(available, "acpi_pm") || !use_clocksource("acpi_pm")) {
        fail("pmtimer", "the kernel does not take it; it has: %s", available);
        return 1;
    }
    double with = tsc_rate();
    use_clocksource(chosen);
    check(with > before * 0.95 && with < before * 1.05, "pmtimer",
          "TSC at %.2f MHz by acpi_pm, %.2f MHz by %s", with / 1e6, before / 1e6, chosen);
    return 0;
}

int cmd_acpi(int argc, char **argv) {
    static const char *const always[] = {"FACP", "APIC", "DSDT"};
    char path[128], missing[128] = "";
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]) + (size_t)(argc - 1); i++) {
        const char *table = i < 3 ? always[i] : argv[i - 2];
        snprintf(path, sizeof(path), "/sys/firmware/acpi/tables/%s", table);
        if (access(path, F_OK) != 0) {
            strncat(missing, " ", sizeof(missing) - strlen(missing) - 1);
            strncat(missing, table, sizeof(missing) - strlen(missing) - 1);
        }
    }
    check(missing[0] == 0, "acpi-tables", "missing:%s", missing[0] ? missing : " none");
    bool button = access("/sys/bus/acpi/devices/PNP0C0C:00", F_OK) == 0 ||
                  access("/sys/bus/acpi/devices/LNXPWRBN:00", F_OK) == 0;
    check(button, "acpi-button", "power button %s", button ? "found" : "not found");
    return 0;
}

/// Waits up to SECONDS for KEY_POWER on any input device.
int cmd_button(int argc, char **argv) {
    struct pollfd fds[16];
    nfds_t count = 0;
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
    for (int i = 0; i < 16; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
    if (count == 0) {
        fail("power-button", "no input device");
        return 1;
    }
    // The host presses the button when it sees this.
    value("button-waiting", (double)count, "inputs");
    uint64_t end = now_ns() + seconds * 1000000000ull;
    while (now_ns() < end) {
        if (poll(fds, count, 1000) <= 0) {
            continue;
        }
        for (nfds_t i = 0; i < count; i++) {
            struct input_event event;
            if ((fds[i].revents & POLLIN) && read(fds[i].fd, &event, sizeof(event)) > 0 &&
                event.type == EV_KEY && event.code == KEY_POWER) {
                pass("power-button", "pressed");
                return 0;
            }
        }
    }
    fail("power-button", "not pressed within %u s", seconds);
    return 1;
}
