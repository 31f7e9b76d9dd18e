// SPDX-License-Identifier: MIT
//
// Checks of the machine itself: processors, memory, PCI and MSI-X, random numbers, serial port.

#include "tests/guest/probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define PCI_WINDOW_START 0xb0000000ull ///< QEMU's q35 has its ECAM here, everyone else later

// ---- processors --------------------------------------------------------------------------------

struct turn {
    long cpu;
    _Atomic long *baton; ///< index of the CPU whose turn it is
    long cpu_count;
    long rounds;
};

/// Passes a baton round the CPUs: every hand-over is a futex-less yield loop, so it only ends when
/// each CPU really runs and sees the others' stores.
static void *take_turns(void *arg) {
    struct turn *turn = arg;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)turn->cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        return (void *)1;
    }
    for (long round = 0; round < turn->rounds; round++) {
        while (atomic_load(turn->baton) % turn->cpu_count != turn->cpu) {
            sched_yield();
        }
        if (sched_getcpu() != turn->cpu) {
            return (void *)2;
        }
        atomic_fetch_add(turn->baton, 1);
    }
    return NULL;
}

int cmd_smp(int argc, char **argv) {
    char online[64] = "?";
    long expected = argc > 1 ? atol(argv[1]) : sysconf(_SC_NPROCESSORS_CONF);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    read_text("/sys/devices/system/cpu/online", online, sizeof(online));
    check(count == expected, "smp-online", "%ld of %ld CPUs online (%s)", count, expected, online);
    if (count < 1 || count > 64) {
        return 1;
    }

    _Atomic long baton = 0;
    pthread_t threads[64];
    struct turn turns[64];
    bool all_ran = true;
    for (long i = 0; i < count; i++) {
        turns[i] = (struct turn){.cpu = i, .baton = &baton, .cpu_count = count, .rounds = 50};
        pthread_create(&threads[i], NULL, take_turns, &turns[i]);
    }
    for (long i = 0; i < count; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        all_ran = all_ran && result == NULL;
    }
    check(all_ran, "smp-runs", "%ld turns on %ld CPUs", atomic_load(&baton), count);
    return 0;
}

// ---- memory ------------------------------------------------------------------------------------

/// Writes and reads back most of the free memory, so that every huge page of the machine's RAM is
/// really there.
static void check_free_memory(long mib) {
    size_t words = (size_t)mib * 1024 * 1024 / 8;
    uint64_t *memory =
        mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail("memory-works", "mmap of %ld MiB: %s", mib, strerror(errno));
        return;
    }
    size_t step = 4096 / 8, wrong = 0;
    for (size_t i = 0; i < words; i += step) {
        memory[i] = i * 0x9e3779b97f4a7c15ull;
    }
    for (size_t i = 0; i < words; i += step) {
        wrong += memory[i] != i * 0x9e3779b97f4a7c15ull;
    }
    munmap(memory, words * 8);
    check(wrong == 0, "memory-works", "%ld MiB written and read back, %zu pages wrong", mib, wrong);
}

/// The highest end of RAM, usable or reserved, in /proc/iomem, and how many bytes are usable in
/// all.
static uint64_t ram_end(uint64_t *total) {
    char line[256];
    uint64_t highest = 0;
    FILE *iomem = fopen("/proc/iomem", "re");
    *total = 0;
    while (iomem && fgets(line, sizeof(line), iomem)) {
        unsigned long long start, end;
        if (line[0] == ' ' || sscanf(line, "%llx-%llx", &start, &end) != 2) {
            continue;
        }
        bool usable = strstr(line, "System RAM") != NULL;
        bool reserved = strstr(line, "Reserved") || strstr(line, "ACPI");
        *total += usable ? end + 1 - start : 0;
        if ((usable || (reserved && end < PCI_WINDOW_START)) && end + 1 > highest) {
            highest = end + 1;
        }
    }
    if (iomem) {
        fclose(iomem);
    }
    return highest;
}

/// Behind the end of RAM there is nothing: stores change nothing, and loads give all ones (or, on a
/// machine that is not strict, zero).
static void check_behind_ram(uint64_t end, bool strict) {
    static const uint64_t distances[] = {0, 0x1000, 0x200000, 0x1000000, 0x6000000, 0x20000000};
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        skip("memory-behind-ram", "/dev/mem: %s", strerror(errno));
        return;
    }
    unsigned probed = 0, not_ones = 0, refused = 0;
    for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        uint64_t at = ((end + 0xfff) & ~0xfffull) + distances[i];
        if (at >= PCI_WINDOW_START && at < 0x100000000ull) {
            continue; // what is there is a device's, not nothing
        }
        volatile uint32_t *page =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
        if (page == MAP_FAILED) {
            refused++;
            continue;
        }
        for (size_t word = 0; word < 1024; word += 128) {
            page[word] = 0x0badf00d;
            uint32_t found = page[word];
            not_ones += found != 0xffffffffu && (strict || found != 0);
            probed++;
        }
        munmap((void *)(uintptr_t)page, 4096);
    }
    close(fd);
    if (probed == 0) {
        skip("memory-behind-ram", "the kernel refused all %u mappings", refused);
        return;
    }
    check(not_ones == 0, "memory-behind-ram", "%u of %u words behind 0x%llx were not all ones",
          not_ones, probed, (unsigned long long)end);
}

int cmd_memory(int argc, char **argv) {
    char text[4096];
    long free_kib = 0;
    uint64_t total = 0;
    uint64_t end = ram_end(&total);
    long minimum_mib = argc > 1 ? atol(argv[1]) : 1;

    check((long)(total >> 20) >= minimum_mib, "memory-size",
          "%llu MiB of RAM, highest end 0x%llx, wanted %ld MiB", (unsigned long long)total >> 20,
          (unsigned long long)end, minimum_mib);
    if (read_text("/proc/meminfo", text, sizeof(text)) > 0) {
        const char *line = strstr(text, "MemAvailable:");
        free_kib = line ? atol(line + strlen("MemAvailable:")) : 0;
    }
    check_free_memory(free_kib / 1024 * 3 / 4);
    check_behind_ram(end, argc > 2 && strcmp(argv[2], "strict") == 0);
    return 0;
}

// ---- PCI and MSI-X -----------------------------------------------------------------------------

static bool has_entries(const char *path) {
    bool found = false;
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        found = found || entry->d_name[0] != '.';
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

static void check_virtio_function(const char *name, unsigned *bound, unsigned *with_msix) {
    char path[300], link[300];
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", name);
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    link[length > 0 ? length : 0] = 0;
    if (!strstr(link, "virtio-pci")) {
        fail("pci-driver", "%s has no virtio-pci driver", name);
        return;
    }
    (*bound)++;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/msi_irqs", name);
    if (has_entries(path)) {
        (*with_msix)++;
    } else {
        fail("pci-msix", "%s uses no MSI-X vector", name);
    }
}

/// Sum over all CPUs of the interrupts whose line in /proc/interrupts contains what.
static long interrupts_of(const char *what) {
    static char text[65536];
    long sum = 0;
    if (read_text("/proc/interrupts", text, sizeof(text)) < 0) {
        return -1;
    }
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *at = strchr(line, ':');
        if (!at || !strstr(line, what)) {
            continue;
        }
        for (char *end = at + 1, *from = at + 1;; from = end) {
            long count = strtol(from, &end, 10);
            if (end == from || (*end != ' ' && *end != 0)) {
                break;
            }
            sum += count;
        }
    }
    return sum;
}

int cmd_pci(int argc, char **argv) {
    unsigned functions = 0, virtio = 0, bound = 0, with_msix = 0;
    unsigned wanted = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    DIR *dir = opendir("/sys/bus/pci/devices");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[300];
        if (entry->d_name[0] == '.') {
            continue;
        }
        functions++;
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vendor", entry->d_name);
        if (read_number(path, 0) == 0x1af4) {
            virtio++;
            check_virtio_function(entry->d_name, &bound, &with_msix);
        }
    }
    if (dir) {
        closedir(dir);
    }
    check(virtio >= wanted && bound == virtio && with_msix == virtio, "pci-virtio",
          "%u PCI functions, %u virtio (wanted %u), %u bound, %u with MSI-X", functions, virtio,
          wanted, bound, with_msix);
    long count = interrupts_of("virtio");
    check(virtio == 0 || count > 0, "pci-interrupts", "%ld virtio interrupts so far", count);
    return 0;
}

// ---- random numbers and the serial port -------------------------------------------------------

int cmd_rng(int argc, char **argv) {
    (void)argc;
    (void)argv;
    char current[64] = "none";
    uint8_t bytes[2][64] = {{0}};
    read_text("/sys/class/misc/hw_random/rng_current", current, sizeof(current));
    int fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail("rng", "/dev/hwrng: %s", strerror(errno));
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        for (size_t have = 0; have < sizeof(bytes[i]);) {
            ssize_t got = read(fd, bytes[i] + have, sizeof(bytes[i]) - have);
            if (got <= 0) {
                fail("rng", "read: %s", strerror(errno));
                close(fd);
                return 1;
            }
            have += (size_t)got;
        }
    }
    close(fd);
    check(strncmp(current, "virtio_rng", 10) == 0 && memcmp(bytes[0], bytes[1], 64) != 0, "rng",
          "%s gave two different blocks of 64 bytes", current);
    return 0;
}

int cmd_serial(int argc, char **argv) {
    (void)argc;
    (void)argv;
    char text[8192];
    long length = read_text("/proc/tty/driver/serial", text, sizeof(text));
    const char *port = length > 0 ? strstr(text, "0: uart:16550A port:000003F8 irq:4") : NULL;
    check(port != NULL, "serial-found", "%.60s", length > 0 ? strchr(text, '\n') + 1 : "no driver");
    if (!port) {
        return 1;
    }
    // 2000 bytes at the driver's pace: it only ends when the transmit interrupt comes.
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    char line[65];
    memset(line, 'U', sizeof(line) - 1);
    line[64] = '\n';
    uint64_t start = now_ns();
    bool sent = fd >= 0;
    for (int i = 0; sent && i < 30; i++) {
        sent = write(fd, line, sizeof(line)) == (ssize_t)sizeof(line);
    }
    sent = sent && tcdrain(fd) == 0;
    check(sent, "serial-sends", "1950 bytes in %llu ms",
          (unsigned long long)(now_ns() - start) / 1000000);
    if (fd >= 0) {
        close(fd);
    }
    return 0;
}
