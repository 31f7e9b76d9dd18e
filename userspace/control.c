// SPDX-License-Identifier: MIT
//
// The control socket: see control.h. The peer is whoever may open the socket's path (VTL2's root).
// Time-outs bound how long a silent peer can hold the control thread; the guest runs on meanwhile.
#include "userspace/control.h"

#include "devices/device_states.h"
#include "igvm/base/log.h"
#include "userspace/inspect.h"
#include "userspace/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PEER_TIMEOUT_S    2
#define MAX_COMMAND_BYTES 256u
#define MAX_PEERS         8u ///< per round

static void answer(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t put = send(fd, text, size, MSG_NOSIGNAL);

        if (put <= 0) {
            return; // gone, or too slow
        }
        text += put;
        size -= (size_t)put;
    }
}

static void say(int fd, const char *text) {
    answer(fd, text, strlen(text));
}

// ---- commands ----

static void do_inspect(struct control *c, int fd) {
    size_t size = 0;
    char *text = inspect_json(c->machine, STATE_GUEST, &size);

    if (text) {
        answer(fd, text, size);
        say(fd, "\n");
    } else {
        say(fd, "error: out of memory\n");
    }
    free(text);
}

static void do_power_button(struct control *c, int fd) {
    acpi_pm_press_power_button(&c->machine->pm);
    say(fd, "ok\n");
}

static void do_reset(struct control *c, int fd) {
    machine_request(c->machine, MACHINE_WANT_RESET);
    say(fd, "ok\n");
}

static void do_stop(struct control *c, int fd) {
    machine_request(c->machine, MACHINE_WANT_STOP);
    say(fd, "ok\n");
}

static void do_pause(struct control *c, int fd) {
    machine_stop(c->machine);
    say(fd, "ok\n");
}

static void do_resume(struct control *c, int fd) {
    machine_run(c->machine);
    say(fd, "ok\n");
}

/// Runs fn with the guest stopped and nothing in flight in any device; the guest goes on afterwards
/// if it ran before.
static int while_paused(struct control *c, int (*fn)(struct machine *machine, void *ctx),
                        void *ctx) {
    bool was_running = c->machine->running;
    int result;

    machine_stop(c->machine);
    machine_pause_devices(c->machine);
    result = fn(c->machine, ctx);
    machine_resume_devices(c->machine);
    if (was_running) {
        machine_run(c->machine);
    }
    return result;
}

struct blob {
    uint8_t *bytes;
    size_t size;
};

static int save(struct machine *machine, void *ctx) {
    struct blob *blob = ctx;

    blob->bytes = device_states_save(machine->devices, &blob->size);
    return blob->bytes ? 0 : -ENOMEM;
}

/// The TPM's and the variables' processes keep running. A guest whose devices do not load is
/// restarted: it could not go on with some of them as they were and others as new.
static int load(struct machine *machine, void *ctx) {
    const struct blob *blob = ctx;
    int result = device_states_check(machine->devices, blob->bytes, blob->size);

    if (result < 0) {
        return result;
    }
    machine_reset_devices(machine, true);
    result = device_states_load(machine->devices, blob->bytes, blob->size);
    if (result < 0) {
        log_write(LOG_ERROR, "control", "the devices refuse their states: the guest restarts");
        machine_request(machine, MACHINE_WANT_RESET);
    }
    return result;
}

static int cycle(struct machine *machine, void *ctx) {
    int result = save(machine, ctx);

    return result < 0 ? result : load(machine, ctx);
}

static void say_result(int fd, int result) {
    char text[64];

    snprintf(text, sizeof(text), "error: %s\n", strerror(-result));
    say(fd, result < 0 ? text : "ok\n");
}

static void do_save(struct control *c, int fd) {
    struct blob blob = {NULL, 0};

    if (while_paused(c, save, &blob) == 0) {
        answer(fd, (const char *)blob.bytes, blob.size);
    }
    free(blob.bytes);
}

static void do_cycle(struct control *c, int fd) {
    struct blob blob = {NULL, 0};

    say_result(fd, while_paused(c, cycle, &blob));
    free(blob.bytes);
}

static void do_uefi_vars(struct control *c, int fd) {
    char *text = malloc(UEFI_VARS_PAYLOAD_MAX_BYTES);
    int size = -ENODEV;

    if (text != NULL && c->machine->has_uefi_vars) {
        size = uefi_vars_client_inspect(&c->machine->uefi_vars_client, text,
                                        UEFI_VARS_PAYLOAD_MAX_BYTES);
    }
    if (size >= 0) {
        answer(fd, text, (size_t)size);
    } else {
        say_result(fd, size);
    }
    free(text);
}

static const struct {
    const char *name, *help;
    void (*run)(struct control *c, int fd);
} commands[] = {
    {"inspect", "the inspect tree as JSON", do_inspect},
    {"uefi-vars", "the guest's UEFI variables: names and sizes", do_uefi_vars},
    {"power-button", "press the power button: the guest shuts down", do_power_button},
    {"reset", "restart the guest", do_reset},
    {"stop", "end the machine at once", do_stop},
    {"pause", "stop the guest's processors", do_pause},
    {"resume", "let them go on", do_resume},
    {"save", "the devices' states, binary", do_save},
    {"cycle", "save, reset and load all devices in place: what servicing does", do_cycle},
};

static void run_command(struct control *c, int fd, const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            commands[i].run(c, fd);
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        char text[128];

        snprintf(text, sizeof(text), "%-13s %s\n", commands[i].name, commands[i].help);
        say(fd, text);
    }
}

/// Reads one line; false when the peer sends none in time.
static bool read_line(int fd, char *line, size_t capacity) {
    size_t size = 0;

    while (size < capacity - 1) {
        ssize_t got = recv(fd, line + size, capacity - 1 - size, 0);
        char *end;

        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        line[size] = '\0';
        end = strchr(line, '\n');
        if (end) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

// ---- the socket ----

static void peer_waits(struct loop_io *io, int64_t result) {
    struct control *c = io->owner;

    c->ready = result >= 0;
}

void control_serve(struct control *c) {
    struct timeval limit = {.tv_sec = PEER_TIMEOUT_S};
    char line[MAX_COMMAND_BYTES];

    if (!c->ready) {
        return;
    }
    c->ready = false;
    for (unsigned i = 0; i < MAX_PEERS; i++) {
        int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0) {
            break;
        }
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (read_line(fd, line, sizeof(line))) {
            run_command(c, fd, line);
        }
        close(fd);
    }
    loop_submit(&c->machine->loop.base, &c->poll);
}

int control_open(struct control *c, struct machine *machine, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result;

    *c = (struct control){.machine = machine, .listen_fd = -1};
    if (path == NULL) {
        return 0;
    }
    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listen_fd < 0) {
        return -errno;
    }
    unlink(path);
    if (bind(c->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(c->listen_fd, MAX_PEERS) < 0) {
        result = -errno;
        log_write(LOG_ERROR, "control", "%s: %s", path, strerror(-result));
        close(c->listen_fd);
        c->listen_fd = -1;
        return result;
    }
    c->poll = (struct loop_io){
        .op = LOOP_POLL_IN, .fd = c->listen_fd, .complete = peer_waits, .owner = c};
    loop_submit(&machine->loop.base, &c->poll);
    return 0;
}

void control_close(struct control *c) {
    if (c->listen_fd >= 0) {
        close(c->listen_fd);
    }
}

int control_ask_service(int supervisor_fd, char service) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } space;
    char byte = service;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
    const struct cmsghdr *header;
    int fd;

    if (send(supervisor_fd, &byte, 1, MSG_NOSIGNAL) != 1 ||
        recvmsg(supervisor_fd, &message, MSG_CMSG_CLOEXEC) != 1) {
        log_write(LOG_WARN, "vmm", "the supervisor does not answer: %s", strerror(errno));
        return -EIO;
    }
    header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
        return fd;
    }
    return -ENOENT;
}

void control_renew_services(struct control *c, int supervisor_fd) {
    struct machine *machine = c->machine;
    int fd;

    if (supervisor_fd < 0) {
        return;
    }
    // The guest that asked may have other VPs that still run: a new TPM would take their word for
    // what firmware measures, a new variable process would show them what boot services left.
    machine_stop(machine);
    if (machine->has_tpm && vtpm_client_is_dead(&machine->vtpm)) {
        fd = control_ask_service(supervisor_fd, SUPERVISOR_VTPM);
        if (fd >= 0) {
            vtpm_client_attach(&machine->vtpm, fd);
            log_write(LOG_INFO, "vtpm", "a new vTPM serves the restarted guest");
        }
    }
    if (machine->has_uefi_vars && uefi_vars_client_is_dead(&machine->uefi_vars_client)) {
        fd = control_ask_service(supervisor_fd, SUPERVISOR_UEFI_VARS);
        if (fd >= 0) {
            uefi_vars_client_attach(&machine->uefi_vars_client, fd);
            log_write(LOG_INFO, "uefi-vars", "a new process keeps the restarted guest's variables");
        }
    }
}
