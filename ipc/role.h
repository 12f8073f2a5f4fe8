/* The roles a process can have, as a table: name for logs and ps, and what each may hold. */
#ifndef REMUDA_IPC_ROLE_H
#define REMUDA_IPC_ROLE_H

enum role {
    ROLE_MASTER,  /* owns sockets, seats and signals; never loads app code */
    ROLE_LOADER,  /* loads the app, then only forks; one per generation */
    ROLE_WEB,     /* serves HTTP */
    ROLE_COMPUTE, /* runs heavy handlers, a task at a time, in a pool, within hard limits */
    ROLE_SINGLE,  /* `remuda run --single`: everything in one process, for debuggers */
    ROLE_TRACER,  /* looks into one slow request, from outside; or into everything, for a dump */
    ROLE_CORONER, /* looks into one death: names for a backtrace; then ends */
    ROLE_ADMIN,   /* metrics and health; no app code */
    ROLE_COUNT
};

struct role_info {
    const char *name;    /* in logs and rmd_role() */
    const char *title;   /* for people: "web worker" */
    int owes_heartbeat;  /* judged by the master's watchdog once ready */
    int gets_listeners;  /* receives listening sockets over its channel */
    const char *signals; /* what it obeys, for docs and reviewers */
};

extern const struct role_info role_table[ROLE_COUNT];

#endif
