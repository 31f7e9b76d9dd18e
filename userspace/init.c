// SPDX-License-Identifier: MIT
//
// PID 1 of VTL2: mounts what the workers need, starts the supervisor, reaps, and ends the machine
// when the supervisor ends. Whatever goes wrong, the machine ends with a sentence on the console:
// a paravisor that hangs looks like a guest that hangs.
#include "userspace/init.h"

#include "igvm/base/bytes.h"
#include "igvm/base/log.h"
#include "userspace/log.h"
#include "userspace/vmm.h"
#include "vtl2/vsm/power.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CPUID1_ECX_RDRAND (1u << 30)
#define SEED_WORDS        8u

#define PLATFORM_PROPERTY "/proc/device-tree/parapet/platform" // loader/layout.h
#define CLOCK_PROPERTY    "/proc/device-tree/parapet/wall-clock"
#define VTL_MODULE        "/lib/mshv_vtl.ko"
#define MODULES_DISABLED  "/proc/sys/kernel/modules_disabled"

static const struct mount_point {
    const char *type, *path;
    unsigned long flags;
    const char *options;
} mounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=755"},
    {"proc", "/proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, ""},
    {"sysfs", "/sys", MS_NOSUID | MS_NOEXEC | MS_NODEV, ""},
    {"tmpfs", "/run", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755,size=4m"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=4m"},
    {"tmpfs", "/var/lib", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755,size=4m"},
};

static bool on_vsm; ///< the shim says that VTL2 is a virtual trust level

static _Noreturn void end_machine(const char *why, int how) {
    log_write(how == RB_POWER_OFF ? LOG_INFO : LOG_WARN, "init", "%s; the machine %s", why,
              how == RB_POWER_OFF ? "powers off" : "restarts");
    sync();
    tcdrain(STDERR_FILENO); // the last words are the ones that count
    if (on_vsm && how == RB_POWER_OFF) {
        vsm_power_off();
    }
    reboot(how);
    log_write(LOG_ERROR, "init", "reboot(2): %s", strerror(errno));
    for (;;) { // PID 1 must not end
        pause();
    }
}

/// A crash of PID 1 would be a kernel panic without a reason.
static void on_crash(int number) {
    static const char text[] = "\r\ninit crashed; the machine powers off\r\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)written;
    (void)number;
    reboot(RB_POWER_OFF); // NOLINT(bugprone-signal-handler): a bare system call
    _exit(1);
}

static void open_console(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0) {
        fd = open("/dev/null", O_RDWR);
    }
    for (int i = 0; fd >= 0 && i < 3; i++) {
        dup2(fd, i);
    }
    if (fd > 2) {
        close(fd);
    }
}

static void mount_all(void) {
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        const struct mount_point *m = &mounts[i];

        mkdir(m->path, 0755); // usually there
        if (mount(m->type, m->path, m->type, m->flags, m->options) < 0 && errno != EBUSY) {
            log_write(LOG_WARN, "init", "mount %s: %s", m->path, strerror(errno));
        }
        if (i == 0) {
            open_console(); // from here on there is somewhere to write to
        }
    }
}

/// Mixes the processor's generator into the kernel's pool, without credit: on an isolated platform
/// it is the only source that the host does not see, and the kernel may be told not to trust it.
static void seed_entropy(void) {
    unsigned eax, ebx, ecx = 0, edx;
    unsigned long long words[SEED_WORDS] = {0};
    ssize_t written;
    int fd;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & CPUID1_ECX_RDRAND)) {
        return;
    }
    for (unsigned i = 0; i < SEED_WORDS; i++) {
        __asm__ volatile("rdrand %0" : "=r"(words[i]) : : "cc"); // a failure gives 0: no harm
    }
    fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        written = write(fd, words, sizeof(words));
        (void)written;
        close(fd);
    }
    explicit_bzero(words, sizeof(words));
}

/// A line through the kernel's log, for when the console takes none from programs.
static void warn_kernel(const char *what, int error) {
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        dprintf(fd, "<3>init: %s: %s", what, strerror(error));
        close(fd);
    }
}

/// Without an interrupt controller for it, the serial port's interrupt never comes and writers wait
/// for ever: with "no interrupt" Linux polls the port. It could not be started at its first
/// opening, so nobody may keep it open.
static void poll_console(void) {
    struct serial_struct port;

    if (ioctl(STDERR_FILENO, TIOCGSERIAL, &port) < 0 || port.irq == 0) {
        return; // not a serial port, or polled already
    }
    port.irq = 0;
    if (ioctl(STDERR_FILENO, TIOCSSERIAL, &port) < 0) {
        warn_kernel("the console stays silent, its port cannot be polled", errno);
    }
    for (int fd = 0; fd < 3; fd++) {
        close(fd);
    }
    open_console();
}

/// The time of day, where the kernel has no clock chip to read it from.
static void set_clock(void) {
    struct timespec since_boot, now = {0};
    uint8_t bytes[8];
    int fd = open(CLOCK_PROPERTY, O_RDONLY | O_CLOEXEC);

    if (fd >= 0 && read(fd, bytes, sizeof(bytes)) == sizeof(bytes)) {
        clock_gettime(CLOCK_BOOTTIME, &since_boot);
        now.tv_sec = (time_t)load_be64(bytes) + since_boot.tv_sec;
        if (clock_settime(CLOCK_REALTIME, &now) < 0) {
            log_write(LOG_WARN, "init", "the clock cannot be set: %s", strerror(errno));
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/// The driver of the trust levels, where the shim says that there are any: elsewhere its start
/// fails, and on a kernel that is no guest of such a host it must not even be tried.
static void prepare_vsm(void) {
    char platform[16] = {0};
    int fd = open(PLATFORM_PROPERTY, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, platform, sizeof(platform) - 1);

    if (fd >= 0) {
        close(fd);
    }
    on_vsm = got > 0 && strcmp(platform, "vsm") == 0;
    if (!on_vsm) {
        return;
    }
    poll_console();
    set_clock();
    fd = open(VTL_MODULE, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0) {
        log_write(LOG_ERROR, "init", "%s: %s", VTL_MODULE, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

/// Nothing is added to VTL2's kernel from here on: whoever gets hold of a worker, or of init
/// itself, finds that door closed until the next boot.
static void close_modules(void) {
    int fd = open(MODULES_DISABLED, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "1", 1) != 1) {
        log_write(LOG_WARN, "init", "%s: %s", MODULES_DISABLED, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
}

static pid_t start_supervisor(void) {
    char *const arguments[] = {"supervisor", NULL};
    char *const environment[] = {"PATH=/", NULL};
    pid_t child = fork();

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        setsid();
        execve("/proc/self/exe", arguments, environment);
        log_write(LOG_ERROR, "init", "exec supervisor: %s", strerror(errno));
        _exit(127);
    }
    return child;
}

static _Noreturn void end_by_status(int status) {
    char text[96];

    if (WIFSIGNALED(status)) {
        snprintf(text, sizeof(text), "the supervisor was ended by signal %d", WTERMSIG(status));
        end_machine(text, RB_POWER_OFF);
    }
    switch (WEXITSTATUS(status)) {
    case VMM_END_POWER_OFF:
        end_machine("the guest has ended", RB_POWER_OFF);
    case VMM_END_RESET:
        end_machine("the guest asked for a reset", RB_AUTOBOOT);
    case VMM_END_CRASH:
        end_machine("the guest crashed (triple fault)", RB_POWER_OFF);
    case VMM_END_CONFIG:
        end_machine("the configuration cannot be used", RB_POWER_OFF);
    default:
        end_machine("the guest could not be run", RB_POWER_OFF);
    }
}

int init_main(int argc, char **argv) {
    pid_t supervisor, ended;
    int status = 0;

    (void)argc;
    (void)argv;
    if (getpid() != 1) {
        fprintf(stderr, "parapet init: only as PID 1\n");
        return 1;
    }
    log_init("init", LOG_INFO, STDERR_FILENO);
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGBUS, on_crash);
    mount_all();
    seed_entropy();
    prepare_vsm();
    close_modules();
    supervisor = start_supervisor();
    if (supervisor < 0) {
        end_machine("the supervisor cannot be started", RB_POWER_OFF);
    }
    do { // orphans come to us: reaped and forgotten
        ended = wait(&status);
    } while (ended != supervisor && (ended > 0 || errno == EINTR));
    end_by_status(status);
}
