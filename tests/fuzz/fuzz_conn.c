/* Fuzz target: the connection machine, with two connections that share one loop's buffers.
 *
 * An input is a line of script, then octets. Both connections are sent these octets; the script
 * says how they are cut into reads, what the sockets take, when memory is refused, time passes,
 * errands of the io lane begin and come in, answers come that were put off, clients leave and a
 * drain begins (THE tables are in set_up(), run_step() and run_thread_step()). When it is over the
 * rest is sent, and everything is let go on to its end.
 *
 * Whatever happens: all that the application is owed (bodies, consumers, tickets, the end of a
 * request) is paid exactly once, requests stay where the application saw them as long as their
 * answer is under way, there is one answer for each request that was finished, in order, with the
 * octets that were given, none behind one that closes, buffers stay within bounds, descriptors and
 * mappings are given back. And where the script only cuts and delays, each client gets the same
 * octets as one whose request came in one piece, and as one whose bodies were stored before the
 * application got them, all of it on the loop and in its own buffers: so the rest of a body that
 * nobody wanted never eats into a request, and a lane changes no answer. */
#include "tests/fuzz/conn_blocks.h"
#include "tests/fuzz/conn_check.h"
#include "tests/fuzz/conn_drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TURNS_MAX 200000 /* without a step of the script: something spins */
#define HOUR_US UINT64_C(3600000000)

/* ---- the script ---- */

/* Steps that the client of the moment takes. Returns false for others. */
static bool run_client_step(struct client *client, char c)
{
    if (c >= 'a' && c <= 'z') {
        feed(client, (size_t)(c - 'a') + 1); /* a few octets */
    } else if (c >= 'A' && c <= 'Z') {
        feed(client, (size_t)(c - 'A' + 1) * 331U); /* more of them */
    } else if (c >= '0' && c <= '9') {
        client->room = (size_t)(c - '0') * (size_t)(c - '0') * 977U; /* the socket takes so many */
        (void)go_on(client);
    } else if (c == '!') {
        client->room = ENDLESS;
        (void)go_on(client);
    } else if (c == '.') {
        turn(client); /* woken for nothing */
    } else {
        return false;
    }
    return true;
}

/* Time has passed in which a body should have come. */
static void note_slow_clients(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        uint8_t state = client->conn.state;
        client->is_slow |= state == CONN_LENGTH || state == CONN_CHUNKED;
    }
}

/* THE table of the other steps. */
static void run_step(struct client *client, char c)
{
    switch (c) {
    case '+':
        world.env.now_us += 1000;
        (void)go_on(client);
        break;
    case '>':
        world.is_cut = world.is_changed = true;
        world.env.now_us += HOUR_US;
        note_slow_clients();
        away_expire(&world.env);
        (void)go_on(client);
        break;
    case '@': /* the oldest ticket */
        (void)turn_in_first();
        (void)deliver();
        break;
    case '~': /* the newest, but the loop does not look yet */
        turn_in_last();
        break;
    case '#':
        if (conn_wait(&client->conn) == CONN_WAIT_TIMER)
            break;
        world.is_cut = client->is_slow = true;
        end(client, conn_on_timeout);
        break;
    case '$':
        world.is_cut = true;
        end(client, conn_fini);
        break;
    case '<':
        if (!is_read_from(client) && conn_wait(&client->conn) != CONN_WAIT_TIMER)
            break;
        world.is_cut = true;
        end(client, conn_on_eof);
        break;
    case '&':
        client->is_unplugged = true;
        break;
    case '%':
        world.is_changed = true;
        world.env.is_draining = true;
        break;
    case ';':
        world.is_changed = true;
        RMD_ASSERT(ftruncate(world.file_fd, 700) == 0);
        break;
    default:
        break;
    }
}

/* THE table of refusals. Returns whether it is one */
static bool refuse_step(char c)
{
    if (c == '"')
        refuse.memfd = true;
    else if (c == '\'')
        refuse.map = true;
    else if (c == '?')
        refuse.write = true;
    else if (c == '\\')
        refuse.memory_in += 8;
    else if (c >= '(' && c <= '/' && c != '+' && c != '.')
        refuse.memory_in = (unsigned)(c - '(') + 1; /* ()*,-/ */
    else
        return false;
    world.is_cut = true;
    return true;
}

static void run_script(const char *at, const char *script_end)
{
    struct client *client = &world.clients[0];
    for (; at < script_end; at++) {
        if (*at == '^')
            client = client == world.clients ? client + 1 : client - 1;
        else if (run_thread_step(*at))
            (void)(*at == '\r' && deliver()); /* behind '\v' the loop does not look yet */
        else if (!refuse_step(*at) && !run_client_step(client, *at))
            run_step(client, *at);
    }
}

/* ---- an input ---- */

/* THE table of what a script sets for all of its run, wherever it says so. */
static void set_up(const char *at, const char *script_end, struct http_limits *limits)
{
    static const struct network any = {.kind = NETWORK_ANY};
    static const struct network near = {
        .kind = NETWORK_V4, .low = 0x0a000000, .low_mask = 0xff000000, .bits = 8};
    static const struct network_list all = {.items = &any, .n = 1};
    static const struct network_list trusted = {.items = &near, .n = 1};
    static struct forwarded_rules rules;
    struct conn_env *env = &world.env;
    limits->answer_us = 20000;
    for (; at < script_end; at++) {
        switch (*at) {
        case '=':
            *limits = (struct http_limits){.request_line = 100,
                                           .fields = 4,
                                           .field_size = 64,
                                           .head = 256,
                                           .body = 64,
                                           .body_buffer = 16,
                                           .pipelined = 3,
                                           .answer_us = limits->answer_us};
            break;
        case '}':
            limits->body_buffer = 16;
            break;
        case '_':
            limits->pipelined = 1;
            break;
        case '[':
        case ']':
        case '|':
            env->proxies = &all;
            env->proxy_version = *at == '['   ? PROXY_VERSION_1
                                 : *at == ']' ? PROXY_VERSION_2
                                              : PROXY_VERSION_ANY;
            break;
        case '{':
            forwarded_rules_init(&rules, &trusted, NULL, 0, FORWARDED_LOOK_ANY);
            env->forwarded = &rules;
            break;
        case ':':
            env->box = NULL;
            break;
        case '`': /* the application may take its time */
            limits->answer_us = 0;
            break;
        default:
            break;
        }
    }
    limits->body_grace_us = HOUR_US / 2; /* so that only a step of the script is so slow */
    limits->body_min_rate = 1;
}

static void open_file(void)
{
    static bool is_open;
    if (!is_open) {
        is_open = true;
        for (size_t i = 0; i < sizeof big; i++)
            big[i] = (char)('a' + i % 23);
        world.file_fd = memfd_create("fuzz-conn", MFD_CLOEXEC);
        RMD_ASSERT(world.file_fd >= 0 && deferred_open(&world.box) == 0);
    }
    struct stat st;
    RMD_ASSERT(fstat(world.file_fd, &st) == 0);
    if (st.st_size != FILE_BYTES)
        RMD_ASSERT(pwrite(world.file_fd, big, FILE_BYTES, 0) == FILE_BYTES);
}

/* is_split: whether the application gets bodies as they come, and has threads */
static void open_world(struct str script, struct str octets, bool is_split)
{
    static const struct http_limits usual = LIMITS_DEFAULT;
    struct http_limits limits = usual;
    struct peer peer = {
        .address.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)}};
    open_file();
    world.is_at_home = !is_split;
    memset(world.ends, 0, sizeof world.ends);
    refuse.n_fds = refuse.n_maps = 0;                 /* whoever runs this may have used them too */
    set_up(script.p, script.p + script.len, &limits); /* for the limits, which come first */
    RMD_ASSERT(
        conn_env_init(&world.env, &limits, app_router(is_split), &app_hooks, NULL, IN_BYTES) == 0);
    world.env.box = &world.box;
    set_up(script.p, script.p + script.len, &limits);
    if (is_split && memchr(script.p, ' ', script.len))
        conn_env_use_blocks(&world.env, &block_source);
    world.env.id_header = STR(ID_HEADER);
    world.env.now_us = 1000000;
    conn_env_set_time(&world.env, 1700000000, STR("remuda"));
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        *client = (struct client){.octets = octets.p, .len = octets.len, .room = ENDLESS};
        conn_init(&client->conn, &world.env, &peer);
    }
}

static void close_world(void)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        end(client, conn_fini);
        RMD_ASSERT(!client->conn.ex && client->conn.state == CONN_CLOSED);
        buf_fini(&client->sent);
        free(client->outcomes);
        *client = (struct client){0};
    }
    away_abandon(&world.env, on_abandoned);
    while (finish_errand(world.n_away > 0 ? world.away : NULL) || turn_in_first() || deliver())
        continue;
    RMD_ASSERT(world.n_held == 0 && world.n_handled == 0 && world.n_owed == 0);
    RMD_ASSERT(world.n_away == 0 && list_is_empty(&world.env.orphans));
    conn_env_fini(&world.env);
    RMD_ASSERT(refuse.n_fds == 0 && refuse.n_maps == 0 && blocks.n == 0);
}

/* Lets a client go on in any way there is. Returns false when there is none */
static bool go_on_anyhow(struct client *client)
{
    if (deliver()) /* an answer may have put its own off once more */
        return true;
    if ((client->conn.state == CONN_AWAY && finish_errand(find_away(client->conn.ex))) ||
        (client->conn.state == CONN_DEFERRED && turn_in_first()))
        return true;
    if (is_read_from(client) && client->len > 0) {
        feed(client, SIZE_MAX);
        return true;
    }
    return go_on(client);
}

/* Sends all the rest, as much at once as is read, until only the clients could do something. */
static void run_to_end(void)
{
    refuse.memory_in = 0;
    refuse.memfd = refuse.map = refuse.write = false;
    for (int i = 0; i < N_CLIENTS; i++) {
        struct client *client = &world.clients[i];
        client->room = ENDLESS;
        for (int n = 0; go_on_anyhow(client); n++)
            RMD_ASSERT(n < TURNS_MAX);
    }
}

/* Keeps what the clients got, and ends. */
static void take_clients(struct client *out)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        check_answers(&world.clients[i]);
        end(&world.clients[i], conn_fini);
        hide_ids(&world.clients[i]);
        out[i] = world.clients[i];
        world.clients[i].sent = (struct buf){0};
        world.clients[i].outcomes = NULL;
        world.clients[i].n_outcomes = world.clients[i].outcomes_room = 0;
    }
    close_world();
}

static void free_clients(struct client *clients)
{
    for (int i = 0; i < N_CLIENTS; i++) {
        buf_fini(&clients[i].sent);
        free(clients[i].outcomes);
    }
}

static void compare(struct str script, struct str octets, const struct client *got)
{
    struct client whole[N_CLIENTS];
    open_world(script, octets, true);
    run_to_end();
    take_clients(whole);
    for (int i = 0; i < N_CLIENTS; i++)
        check_same(&got[i], &whole[0]);
    if (!world.is_long) {
        struct client stored[N_CLIENTS];
        open_world(script, octets, false);
        run_to_end();
        take_clients(stored);
        check_same_start(&whole[0], &stored[0]);
        free_clients(stored);
    }
    free_clients(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!line_end || line_end - (const char *)data > 2000)
        return 0;
    struct str script = str_make((const char *)data, (size_t)(line_end - (const char *)data));
    struct str octets = str_make(line_end + 1, size - script.len - 1);
    struct client got[N_CLIENTS];
    world.is_cut = world.is_changed = world.is_long = false;
    open_world(script, octets, true);
    run_script(script.p, script.p + script.len);
    run_to_end();
    take_clients(got);
    /* Whether 100 is sent, and what follows, depends on what has come already. */
    if (!world.is_cut && !world.is_changed && !mentions(octets.p, octets.len, "100-continue"))
        compare(script, octets, got);
    free_clients(got);
    return 0;
}
