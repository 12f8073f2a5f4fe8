/* `remuda doctor`: whether this machine, user and build are fit for what is configured; with
 * --handoff, what handing work to another process costs here. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json_out.h"
#include "config/check.h"
#include "config/merge.h"
#include "server/cli.h"
#include "server/doctor.h"
#include "server/doctor_handoff.h"

enum { JSON, HANDOFF };

static int print_json(const struct doctor *doctor, const struct doctor_handoff *handoff)
{
    struct buf buf = {0};
    struct json_out out = {.buf = &buf};
    json_out_open(&out, NULL, '{');
    if (doctor)
        doctor_print_json(doctor, &out);
    else
        doctor_handoff_print_json(handoff, &out);
    json_out_close(&out, '}');
    int code = out.is_failed ? CLI_CONFIG : CLI_OK;
    if (code == CLI_OK)
        (void)printf("%.*s\n", (int)buf.len, buf.data);
    buf_fini(&buf);
    return code;
}

static int examine(const struct settings *settings, bool wants_json)
{
    struct machine machine;
    struct doctor *doctor = calloc(1, sizeof *doctor);
    if (!doctor)
        return CLI_CONFIG;
    machine_read(&machine, "/proc", "/sys/fs/cgroup");
    doctor->settings = settings;
    doctor->machine = &machine;
    doctor->proc = "/proc";
    doctor->sys = "/sys";
    doctor_run_all(doctor);
    int code = CLI_OK;
    if (wants_json)
        code = print_json(doctor, NULL);
    else
        doctor_print(doctor, stdout);
    if (doctor_worst(doctor) >= DOCTOR_BAD)
        code = CLI_CONFIG;
    free(doctor);
    return code;
}

static int measure(const struct settings *settings, bool wants_json)
{
    struct doctor_handoff handoff;
    struct err err;
    if (doctor_handoff_measure((uint32_t)settings->compute_pools.items[0].nice, &handoff, &err) <
        0) {
        (void)fprintf(stderr, "remuda doctor: %s\n", err.text);
        return CLI_CONFIG;
    }
    int code = CLI_OK;
    if (wants_json)
        code = print_json(NULL, &handoff);
    else
        doctor_handoff_print(&handoff, stdout);
    return doctor_handoff_is_slow(&handoff) ? CLI_CONFIG : code;
}

static int consult(const struct merge_result *r, const struct merge_option *options)
{
    if (r->is_help_wanted) {
        cli_print_help("doctor", stdout);
        return CLI_OK;
    }
    if (r->n_rest > 0)
        return cli_refuse_argument("doctor", r->rest[0]);
    bool wants_json = options[JSON].n_given > 0;
    return options[HANDOFF].n_given > 0 ? measure(r->settings, wants_json)
                                        : examine(r->settings, wants_json);
}

int cmd_doctor(int argc, char **argv)
{
    struct merge_option options[] = {
        [JSON] = {.name = "--json"}, [HANDOFF] = {.name = "--handoff"}, {.name = NULL}};
    struct merge_input in = {
        .argc = argc, .argv = argv, .environment = environ, .options = options};
    struct merge_result r;
    int code;
    if (merge_settings(&in, &r) < 0) {
        merge_print(&r, stderr);
        code = r.exit_code;
    } else {
        code = consult(&r, options);
    }
    merge_fini(&r);
    return code;
}
