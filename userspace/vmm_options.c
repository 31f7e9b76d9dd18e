// SPDX-License-Identifier: MIT
//
// The VM worker's command line, and how configuration texts and options become one configuration.
#include "userspace/vmm_options.h"

#include "igvm/base/log.h"
#include "igvm/base/types.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// A small non-negative number; false when it is none.
static bool parse_number(const char *text, long max, long *out) {
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *out >= 0 && *out <= max;
}

int vmm_parse_options(int argc, char **argv, struct vmm_options *out) {
    static const struct option names[] = {
        {"config", required_argument, NULL, 'c'},
        {"kernel", required_argument, NULL, 'k'},
        {"initrd", required_argument, NULL, 'i'},
        {"append", required_argument, NULL, 'a'},
        {"memory", required_argument, NULL, 'm'},
        {"vps", required_argument, NULL, 'v'},
        {"control", required_argument, NULL, 's'},
        {"vtpm-fd", required_argument, NULL, 't'},
        {"uefi-vars-fd", required_argument, NULL, 'f'},
        {"supervisor-fd", required_argument, NULL, 'u'},
        {"confine", no_argument, NULL, 'x'},
        {NULL, 0, NULL, 0},
    };
    long number = 0;
    int option;

    *out = (struct vmm_options){.vtpm_fd = -1, .uefi_vars_fd = -1, .supervisor_fd = -1};
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        bool is_number = strchr("vtfu", option) != NULL;

        if (is_number && !parse_number(optarg, 65535, &number)) {
            fprintf(stderr, "parapet vmm: expected a number, found \"%s\"\n", optarg);
            return -EINVAL;
        }
        switch (option) {
        case 'c':
            out->config_path = optarg;
            break;
        case 'k':
            out->kernel = optarg;
            break;
        case 'i':
            out->initrd = optarg;
            break;
        case 'a':
            out->append = optarg;
            break;
        case 'm':
            out->memory = optarg;
            break;
        case 'v':
            out->vps = (uint32_t)number;
            break;
        case 's':
            out->control_path = optarg;
            break;
        case 't':
            out->vtpm_fd = (int)number;
            break;
        case 'f':
            out->uefi_vars_fd = (int)number;
            break;
        case 'u':
            out->supervisor_fd = (int)number;
            break;
        case 'x':
            out->confine = true;
            break;
        default:
            return -EINVAL; // getopt_long has said why
        }
    }
    if (optind < argc) {
        fprintf(stderr, "parapet vmm: unexpected argument \"%s\"\n", argv[optind]);
        return -EINVAL;
    }
    return 0;
}

static int apply(struct config *config, const char *name, const char *text, size_t size,
                 bool host) {
    struct config_error error;
    int result = config_apply(config, name, text, size, host, &error);

    if (result == -EINVAL) {
        log_write(LOG_ERROR, "config", "%s", error.text);
    } else if (result < 0) {
        log_write(LOG_ERROR, "config", "%s: %s", name, strerror(-result));
    }
    return result;
}

static int apply_file(struct config *config, const char *path, bool must_exist) {
    char *text = malloc(CONFIG_MAX_TEXT_BYTES + 1);
    size_t size = 0;
    ssize_t got = 1;
    int result = 0;
    int fd;

    if (text == NULL) {
        return -ENOMEM;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        result = errno == ENOENT && !must_exist ? 0 : -errno;
        if (result < 0) {
            log_write(LOG_ERROR, "config", "%s: %s", path, strerror(-result));
        }
        free(text);
        return result;
    }
    while (got > 0 && size <= CONFIG_MAX_TEXT_BYTES) {
        got = read(fd, text + size, CONFIG_MAX_TEXT_BYTES + 1 - size);
        size += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    result = apply(config, path, text, size, false);
    explicit_bzero(text, size); // it may hold a key
    free(text);
    return result;
}

/// The options are texts of a user: they go through the same checks as the file.
static int apply_options(struct config *config, const struct vmm_options *options) {
    char text[64];

    if (options->kernel) {
        snprintf(config->kernel, sizeof(config->kernel), "%s", options->kernel);
        config->initrd[0] = '\0';
    }
    if (options->initrd) {
        snprintf(config->initrd, sizeof(config->initrd), "%s", options->initrd);
    }
    if (options->append) {
        snprintf(config->command_line_append, sizeof(config->command_line_append), "%s",
                 options->append);
    }
    if (options->vps) {
        config->vps = options->vps;
    }
    if (options->memory) {
        snprintf(text, sizeof(text), "{\"guest\":{\"memory\":\"%.20s\"}}", options->memory);
        return apply(config, "--memory", text, strlen(text), false);
    }
    return 0;
}

int vmm_read_config(const struct vmm_options *options, const struct host_info *info,
                    struct config *out) {
    const char *path = options->config_path ? options->config_path : VMM_DEFAULT_CONFIG;
    struct config_error error;
    int result;

    config_defaults(out);
    result = apply_file(out, path, options->config_path != NULL);
    if (result == 0 && info->host_config) {
        result = apply(out, "host-config", info->host_config, info->host_config_bytes, true);
    }
    if (result == 0) {
        result = apply_options(out, options);
    }
    if (result == 0) {
        result = config_check(out, info->host_config ? "host-config" : path, &error);
        if (result < 0) {
            log_write(LOG_ERROR, "config", "%s", error.text);
        }
    }
    return result;
}
