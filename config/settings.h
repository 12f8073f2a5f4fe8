/* Typed settings, made from the table config/schema.def. This is the only header of config/ that
 * workers read. Built once by config/merge.c, read-only afterwards (safe to share between threads
 * and to inherit over fork); everything it points to lies in its own arena and dies with it.
 *
 * Fields carry their unit: DURATION rows become uint64_t NAME_us, SIZE rows uint64_t NAME_bytes,
 * COUNT rows uint32_t NAME, RANGE rows struct setting_range NAME, MODE rows uint32_t NAME,
 * BOOL rows bool NAME, STRING rows a never-NULL text (may be ""), PATH, USER and GROUP rows a text
 * that is NULL for none, BINDS rows a list of parsed addresses, NETWORKS rows a struct
 * network_list, MOUNTS rows struct setting_mounts NAME_mounts (a list that may be empty), PATHS
 * rows a struct setting_paths, which may be empty too, TREE rows a map that is never NULL, enums
 * their own type. */
#ifndef REMUDA_CONFIG_SETTINGS_H
#define REMUDA_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/network.h"

/* Bounds of `threads: auto`, and where it begins; guesses, for stacks and handlers that wait. */
#define SETTINGS_THREADS_AUTO_MIN 4U
#define SETTINGS_THREADS_AUTO_MAX 256U
#define SETTINGS_THREADS_AUTO_BEGIN 16U

enum worker_class { WORKER_CLASS_EVENT, WORKER_CLASS_SYNC };
enum proxy_protocol {
    PROXY_PROTOCOL_OFF,
    PROXY_PROTOCOL_V1,
    PROXY_PROTOCOL_V2,
    PROXY_PROTOCOL_AUTO
};
enum forwarded_header { FORWARDED_HEADER_ANY, FORWARDED_HEADER_RFC7239, FORWARDED_HEADER_X };

enum capabilities_kept { CAPABILITIES_DROP, CAPABILITIES_KEEP };
enum proc_title { PROC_TITLE_NAME, PROC_TITLE_STATE, PROC_TITLE_PATH };

/* A number, or two between which the server chooses; `auto` leaves either to the machine. In
 * settings from merge_settings() 1 ≤ min ≤ n ≤ max. */
struct setting_range {
    bool is_auto;     /* as configured: auto alone, */
    bool is_max_auto; /* or a range up to auto */
    uint32_t n;       /* to begin with; with `adaptive: off` also to stay with */
    uint32_t min;
    uint32_t max;
};

enum setting_bind_kind { SETTING_BIND_TCP, SETTING_BIND_UNIX };

/* One address of `bind`. */
struct setting_bind {
    enum setting_bind_kind kind;
    const char *text; /* canonical: "127.0.0.1:8000", "[::1]:80", "0.0.0.0:80", "unix:/run/a" */
    const char *host; /* TCP: name or address without brackets, never empty; else NULL */
    uint16_t port;    /* TCP: 0 lets the kernel choose */
    const char *path; /* UNIX: fits sun_path; else NULL */
    unsigned line;    /* where it stands in the file, from 1; 0: not from a file */
    unsigned column;
};

struct setting_binds {
    const struct setting_bind *items; /* n of them, n ≥ 1 */
    size_t n;
};

#define SETTINGS_MOUNTS_MAX 64 /* in one list */
#define SETTINGS_INDEX_MAX 16  /* index files of a mount */

/* One folder of `static`. */
struct setting_mount {
    const char *path;         /* "/assets/": begins and ends with "/", no empty or dot segments */
    const char *folder;       /* as written, never empty */
    const char *const *index; /* names, n_index of them, 0 … SETTINGS_INDEX_MAX */
    size_t n_index;
    bool listing;
    bool dotfiles;
    bool follow;
    bool br; /* precompressed */
    bool gzip;
    const char *cache_control; /* "" none */
    unsigned line;             /* where it stands in the file, from 1; 0: not from a file */
    unsigned column;
};

struct setting_mounts {
    const struct setting_mount *items; /* n of them, in the order given; no path is there twice */
    size_t n;                          /* 0 … SETTINGS_MOUNTS_MAX */
};

/* Lanes that `routes` may choose. */
enum setting_lane {
    SETTING_LANE_DECLARED,
    SETTING_LANE_INLINE,
    SETTING_LANE_IO,
    SETTING_LANE_COMPUTE,
    SETTING_LANE_AUTO,
    SETTING_LANES
};

struct setting_paths {
    const char *const *items; /* n of them, none empty */
    size_t n;
};

#define SETTING_QUEUE_TARGET_UNSAID UINT64_MAX

/* What `routes` says of one route of the app. */
struct setting_route {
    const char *route;                 /* "POST /upload", as `remuda routes` prints it */
    uint64_t limit_request_body_bytes; /* 1 …; 0: as the app and the other settings say */
    uint64_t request_timeout_us;       /* whole milliseconds, 1 ms … 1 h; 0: likewise */
    uint64_t slow_request_us;          /* 10 ms … 1 h; 0: as slow_request says */
    uint64_t lane;                     /* enum setting_lane */
    const char *pool;                  /* of the lanes compute and auto; NULL: as the app says */
    uint64_t queue_target_us; /* 0: never shed; SETTING_QUEUE_TARGET_UNSAID: as others say */
    unsigned line;            /* where its key stands in the file, from 1; 0: not there */
    unsigned column;
};

struct setting_routes {
    const struct setting_route *items; /* n of them, in the order given; no route is there twice */
    size_t n;
};

enum setting_pool_workers {
    SETTING_POOL_AUTO,          /* workers: auto */
    SETTING_POOL_RANGE,         /* a number, or min and max */
    SETTING_POOL_RANGE_TO_AUTO, /* max is auto */
};
enum setting_on_disconnect { SETTING_ON_DISCONNECT_CANCEL, SETTING_ON_DISCONNECT_FINISH };

#define SETTINGS_POOLS_MAX 16          /* the default pool included */
#define SETTINGS_POOL_WORKERS_MAX 256U /* of a pool, and of all that an app uses together */

/* One compute pool. */
struct setting_pool {
    const char *name;     /* "default", or its key in `pools`: up to 31 letters, digits, _ and - */
    uint64_t workers;     /* enum setting_pool_workers */
    uint64_t workers_min; /* 1 … 512, */
    uint64_t workers_max; /* and not less; in settings from merge_settings(), also when auto */
    uint64_t workers_given;      /* a range's max as it was written: adaptive may be off */
    const char *workers_why;     /* how it came to workers_max; NULL: that is what was given */
    uint64_t memory_limit_bytes; /* of each worker, beyond what it has mapped; 0: no limit */
    uint64_t cpu_limit_us;       /* of a task, whole seconds; 0: no limit */
    uint64_t nofile;             /* RLIMIT_NOFILE */
    uint64_t timeout_us;         /* of a task, the wait included; whole milliseconds */
    uint64_t queue;              /* tasks that may wait */
    uint64_t queue_target_us;    /* and for how long they should, at most; 0: any. That of the
                                    settings where the pool does not say */
    uint64_t max_tasks;          /* of a worker's life; 0: never replaced for that */
    uint64_t max_rss_bytes;      /* likewise */
    uint64_t nice;               /* 0 … 19 */
    uint64_t fork;               /* 1: its handlers may make processes */
    uint64_t segment_bytes;      /* of each process's slice, whole pages; of all pools the largest
                                    holds, since a generation has one segment */
    uint64_t breaker_failures;   /* in a row; 0: it never opens */
    uint64_t breaker_reset_us;
    uint64_t on_disconnect; /* enum setting_on_disconnect */
};

struct setting_pools {
    struct setting_pool *items; /* n of them: the default pool, then in the order given */
    size_t n;                   /* 1 … SETTINGS_POOLS_MAX */
};

/* `env`, read. */
struct setting_variable {
    const char *name; /* without "=", not empty */
    const char *value;
};

struct setting_variables {
    const struct setting_variable *items; /* n of them, in the order given, no name twice */
    size_t n;
};

enum settings_kind { SETTINGS_SCALAR, SETTINGS_LIST, SETTINGS_MAP };

/* A node of a free-form tree such as app_config. */
struct settings_node {
    enum settings_kind kind;
    const char *key;  /* when it is a member of a map, else NULL */
    const char *text; /* scalars: expanded, NUL-terminated; else NULL */
    size_t len;       /* scalars: bytes of text */
    bool is_null;     /* scalars: nothing was written, or ~ or null; text is "" */
    bool is_quoted;   /* scalars: "5" rather than 5 */
    bool is_secret;   /* scalars: never shown, since it came from a file or a secret variable */
    unsigned line;    /* where the value stands in the file, from 1; 0: not from a file */
    unsigned column;
    unsigned key_line; /* the same for its key, 0: none */
    unsigned key_column;
    const struct settings_node *first; /* lists and maps: children in the file's order */
    const struct settings_node *next;  /* the next child of the same parent */
    size_t n;                          /* number of children */
};

/* Where a value came from; later ones win. */
enum setting_origin {
    SETTING_FROM_DEFAULT,
    SETTING_FROM_FILE,
    SETTING_FROM_ENVIRONMENT,
    SETTING_FROM_COMMAND_LINE,
};

struct setting_source {
    enum setting_origin origin;
    const char *where;   /* file's path, variable or flag as written; NULL for defaults */
    unsigned line;       /* files: from 1, else 0 */
    unsigned column;     /* files: from 1, else 0 */
    const char *derived; /* how `auto` came to its number, NULL when it was not auto */
    const char *also;    /* flags that have put single values into a map; NULL: none */
    bool is_bad;         /* its value was refused, so the field still has the one before */
};

/* SETTING_ID_workers, … : index of a setting in sources[] and in the table of config/schema.h. */
enum setting_id {
#define SETTING(name, ...) SETTING_ID_##name,
#include "config/schema.def"
    SETTINGS_N
};

#define SETTINGS_FIELD_BOOL(name) bool name;
#define SETTINGS_FIELD_COUNT(name) uint32_t name;
#define SETTINGS_FIELD_RANGE(name) struct setting_range name;
#define SETTINGS_FIELD_DURATION(name) uint64_t name##_us;
#define SETTINGS_FIELD_SIZE(name) uint64_t name##_bytes;
#define SETTINGS_FIELD_MODE(name) uint32_t name;
#define SETTINGS_FIELD_STRING(name) const char *name;
#define SETTINGS_FIELD_PATH(name) const char *name;
#define SETTINGS_FIELD_USER(name) const char *name;
#define SETTINGS_FIELD_GROUP(name) const char *name;
#define SETTINGS_FIELD_BINDS(name) struct setting_binds name;
#define SETTINGS_FIELD_NETWORKS(name) struct network_list name;
#define SETTINGS_FIELD_MOUNTS(name) struct setting_mounts name##_mounts;
#define SETTINGS_FIELD_PATHS(name) struct setting_paths name;
#define SETTINGS_FIELD_TREE(name) const struct settings_node *name;

struct settings {
    uint32_t magic;
    struct arena arena;

#define SETTING(name, type, ...) SETTINGS_FIELD_##type(name)
#define SETTING_ENUM(name, ctype, ...) ctype name;
#include "config/schema.def"

    struct setting_routes route_overrides; /* `routes`, read (config/route.h) */
    struct setting_pools compute_pools;    /* `compute` and `pools`, read (config/pool.h) */
    struct setting_variables variables;    /* `env`, read (config/variables.h) */
    const struct setting_bind *admin_bind; /* `admin`, read (config/admin.h); NULL: off */
    struct setting_source sources[SETTINGS_N];
    const char *file;      /* the configuration file as named, NULL: none was read */
    bool is_file_empty;    /* without a setting in it, also of those that others overrule */
    uint32_t cpus;         /* that the process may really use, ≥ 1 (config/machine.h) */
    uint64_t memory_bytes; /* the same for memory; 0: unknown */
    const char *cpus_why;  /* which source decided, and what would change it; NULL: not resolved */
    const char *memory_why;
};

/* Settings with every default in place, nothing of the machine resolved yet.
 * Returns  settings, to be given to settings_free(); NULL when memory is refused */
struct settings *settings_new(void) __attribute__((warn_unused_result));

/* Frees the settings and everything they point to. NULL is fine. */
void settings_free(struct settings *s);

/* Finds a node of a tree.
 * root     a map such as s->app_config; NULL finds nothing
 * key      dotted path: "db.pool.size"; list items by index: "hosts.0". "" is the root itself
 * Returns  the node, borrowed from the settings; NULL when there is none
 * Safe     threads: any · may block: no */
const struct settings_node *settings_node_get(const struct settings_node *root, const char *key);

/* What a scalar says, read as a type.
 * node     NULL, lists and maps are refused
 * Returns  0; -ENOENT node is NULL; -EINVAL not of this type (quoted text is never a number or a
 *          truth value); -ERANGE does not fit
 * Safe     threads: any · may block: no */
int settings_node_to_text(const struct settings_node *node, const char **out_text)
    __attribute__((warn_unused_result));
int settings_node_to_bool(const struct settings_node *node, bool *out_is_on)
    __attribute__((warn_unused_result));
int settings_node_to_int(const struct settings_node *node, int64_t *out_value)
    __attribute__((warn_unused_result));
int settings_node_to_double(const struct settings_node *node, double *out_value)
    __attribute__((warn_unused_result));
int settings_node_to_duration(const struct settings_node *node, uint64_t *out_us)
    __attribute__((warn_unused_result));
int settings_node_to_size(const struct settings_node *node, uint64_t *out_bytes)
    __attribute__((warn_unused_result));

#endif
