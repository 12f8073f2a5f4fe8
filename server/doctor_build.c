/* What this is made of, and what is not in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/load.h"
#include "config/settings.h"
#include "server/doctor.h"
#include "workers/loader.h"

static void look_remuda(const struct doctor *d, struct doctor_row *row)
{
    (void)d;
    bool is_sanitized = sizeof REMUDA_SANITIZE > 1;
    doctor_found(row, "%s (%s%s%s)", REMUDA_VERSION, REMUDA_BUILD_TYPE,
                 is_sanitized ? ", sanitizers: " : "", REMUDA_SANITIZE);
    if (is_sanitized)
        doctor_advise(row, DOCTOR_WARN,
                      "for tests only: several times slower, and memory_limit is not in effect");
    else if (strcmp(REMUDA_BUILD_TYPE, "Debug") == 0)
        doctor_advise(row, DOCTOR_WARN, "not for service: built without optimisation");
    if (row->verdict != DOCTOR_OK)
        doctor_command(row, "cmake --preset release && cmake --build build/release");
}

/* The lines of `remuda version`, put behind each other. */
static void look_libraries(const struct doctor *d, struct doctor_row *row)
{
    char *text = NULL;
    size_t len = 0;
    (void)d;
    FILE *file = open_memstream(&text, &len);
    if (!file)
        return;
    loader_print_versions(file);
    (void)fprintf(file, "libyaml %s", load_yaml_version());
    if (fclose(file) != 0 || !text)
        return;
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ',';
    doctor_found(row, "%s", text);
    const char *libdw = strstr(text, "libdw ");
    if (libdw && strncmp(libdw, "libdw not", 9) == 0) {
        doctor_advise(row, DOCTOR_WARN,
                      "backtraces have addresses and no names, slowlog and dump have no stacks%s",
                      strncmp(libdw, "libdw not built", 15) == 0
                          ? ": it must be there when remuda is built"
                          : "");
        doctor_command(row, "apt-get install %s",
                       strncmp(libdw, "libdw not built", 15) == 0 ? "libdw-dev" : "libdw1");
    }
    free(text);
}

static void look_user(const struct doctor *d, struct doctor_row *row)
{
    const char *user = d->settings->user;
    if (geteuid() != 0) {
        doctor_found(row, "user %d, and so are all workers", (int)geteuid());
    } else if (user && user[0]) {
        doctor_found(row, "root; loader and workers become %s", user);
    } else {
        doctor_found(row, "root, and so are all workers");
        doctor_advise(row, DOCTOR_WARN, "the app's code has every right: set user");
        doctor_command(row, "remuda run --user www-data ...");
    }
}

const struct doctor_check doctor_build_checks[] = {
    {"remuda", look_remuda, true},
    {"libraries", look_libraries, true},
    {"user", look_user, true},
};
const size_t doctor_build_n = sizeof doctor_build_checks / sizeof doctor_build_checks[0];
