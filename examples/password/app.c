/* Accounts: sign up, log in, ask who one is, log out.
 *
 * A good password hash is expensive on purpose: some 20 MB of memory and 30 ms of CPU for each
 * guess. So whoever offers a login offers everybody a way to use up the machine. Here the hashes
 * are tasks of a pool of their own, argon2: so many at a time, each within its memory, so many
 * waiting, one more is told to come back later; and who is logged in already (/me, /logout) never
 * waits behind them.
 *
 * All routes run in the lane io, since all ask the database, which may block. /signup and /login
 * hand the hash to the pool and put their answer off (rmd_offload()): meanwhile they hold no
 * thread, however many wait. What goes to the pool is a password and a hash, and nothing there can
 * reach the database; a worker that is killed in the middle leaves no statement half done.
 *
 * What an attacker may learn: nothing from the answer or the time of a login about which names
 * exist, since unknown ones are compared with the hash of a password that nobody knows. /signup has
 * to say that a name is taken. The log and the access log get neither names, passwords nor tokens:
 * all come in bodies and in one header field. In the database lie argon2id hashes of passwords and
 * one-way images of tokens, so whoever steals it can't log in with it. */
#define _DEFAULT_SOURCE /* explicit_bzero, also under -std=c11 */

#include <remuda.h>

#include <argon2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>

#define NAME_MAX_LEN 32
#define PASSWORD_MIN_LEN 8 /* NIST SP 800-63B §5.1.1; no rules of composition, as it says there */
#define PASSWORD_MAX_LEN 256
#define HASH_LEN 32 /* octets, of hashes of passwords and of tokens */
#define SALT_LEN 16
#define ENCODED_MAX 256 /* an argon2id hash as text, with parameters and salt */
#define TOKEN_LEN 32    /* octets, random */
#define TOKEN_TEXT 65   /* the same in hexadecimal digits, with the NUL */

/* From app_config, read once in the loader. */
static uint32_t memory_kib;
static uint32_t passes;
static char session_length[32]; /* as SQLite's datetime() takes it: "+3600 seconds" */
static const char *database_path;

/* The hash of a password that nobody knows, made in the loader. */
static char nobodys_hash[ENCODED_MAX];

/* One connection of this process. SQLite lets its threads take turns at it; none may lean on what
 * the connection remembers of the last statement, which may be another thread's. */
static sqlite3 *database;

/* ---- answers ------------------------------------------------------------------------------- */

static void refuse(rmd_response *res, int status, const char *message)
{
    rmd_json(res, status, "{\"error\":\"%s\"}\n", message);
}

/* Errors that the server answers by itself, as JSON, too. */
static void error_page(rmd_request *req, rmd_response *res, int status)
{
    const char *why = rmd_error_why(req);
    if (!why)
        why = status == 404   ? "there is no such resource"
              : status == 405 ? "this method is not allowed here"
              : status == 413 ? "the body is too large"
              : status == 503 ? "too busy; try again later"
              : status == 504 ? "it took too long"
                              : "something went wrong";
    const char *text = rmd_json_quote(req, why, strlen(why));
    rmd_json(res, status, "{\"error\":%s}\n", text ? text : "\"out of memory\"");
}

/* ---- hashes -------------------------------------------------------------------------------- */

/* Returns an error of argon2.h */
static int hash_password(const char *password, size_t len, char *out, size_t cap)
{
    unsigned char salt[SALT_LEN];
    if (getrandom(salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        return ARGON2_SALT_TOO_SHORT;
    return argon2id_hash_encoded(passes, memory_kib, 1, password, len, salt, sizeof salt, HASH_LEN,
                                 out, cap);
}

/* What the tasks fail with, beyond what the server knows of: the log says why. */
#define NO_HASH 1

static int fail(int error)
{
    rmd_log(RMD_LOG_ERROR, "argon2: %s", argon2_error_message(error));
    return NO_HASH;
}

/* TASK hash: a password. Gives its hash, as text. */
static int hash_task(rmd_call *call, rmd_slice password)
{
    char *hash = rmd_call_alloc(call, ENCODED_MAX);
    if (!hash)
        return NO_HASH;
    int rc = hash_password(password.data, password.len, hash, ENCODED_MAX);
    if (rc != ARGON2_OK)
        return fail(rc);
    rmd_call_result(call, hash, strlen(hash));
    return 0;
}

/* TASK verify: a hash, a NUL, a password. Gives "yes", or nothing. */
static int verify_task(rmd_call *call, rmd_slice payload)
{
    size_t len = strnlen(payload.data, payload.len);
    if (len == payload.len)
        return NO_HASH;
    int rc = argon2id_verify(payload.data, payload.data + len + 1, payload.len - len - 1);
    if (rc == ARGON2_OK)
        rmd_call_result(call, "yes", 3);
    return rc == ARGON2_OK || rc == ARGON2_VERIFY_MISMATCH ? 0 : fail(rc);
}

/* What is kept of a token. It has 256 random bits, so that nobody can guess it: any one-way
 * function will do, and argon2 at its least cost (10 µs) is at hand. */
static bool hash_token(const unsigned char token[TOKEN_LEN], unsigned char out[HASH_LEN])
{
    static const char salt[] = "token of a session";
    return argon2id_hash_raw(1, 8, 1, token, TOKEN_LEN, salt, sizeof salt - 1, out, HASH_LEN) ==
           ARGON2_OK;
}

/* ---- the database -------------------------------------------------------------------------- */

static int open_database(sqlite3 **out)
{
    int rc =
        sqlite3_open_v2(database_path, out,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(*out, 2000); /* ms: other processes write, too */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", NULL,
                          NULL, NULL);
    if (rc != SQLITE_OK)
        rmd_log(RMD_LOG_ERROR, "database %s: %s", database_path, sqlite3_errstr(rc));
    return rc;
}

/* Runs one statement that gives at most one row.
 * hash     bound first, HASH_LEN octets; NULL: nothing
 * a, b     texts, bound next; NULL: nothing
 * out      gets column 0 of the row, cut to cap; NULL: nobody wants it
 * Returns  SQLITE_ROW, SQLITE_DONE, SQLITE_CONSTRAINT; anything else is a failure, and logged */
static int run(const char *sql, const unsigned char *hash, const char *a, const char *b, char *out,
               size_t cap)
{
    sqlite3_stmt *statement = NULL;
    int at = 1;
    int rc = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && hash)
        rc = sqlite3_bind_blob(statement, at++, hash, HASH_LEN, SQLITE_STATIC);
    if (rc == SQLITE_OK && a)
        rc = sqlite3_bind_text(statement, at++, a, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && b)
        rc = sqlite3_bind_text(statement, at++, b, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && out)
        (void)snprintf(out, cap, "%s", (const char *)sqlite3_column_text(statement, 0));
    (void)sqlite3_finalize(statement); /* says what the step has said */
    if (rc != SQLITE_ROW && rc != SQLITE_DONE && rc != SQLITE_CONSTRAINT)
        rmd_log(RMD_LOG_ERROR, "database: %s", sqlite3_errstr(rc)); /* never a statement's values */
    return rc;
}

/* ---- what comes in ------------------------------------------------------------------------- */

/* 1 to 32 of a-z, 0-9, "-", "_": nothing that looks like another name, nothing to escape. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= NAME_MAX_LEN &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

/* The two fields of a form in the body; never of the query, which is logged. If one is missing,
 * that is answered. */
static bool take_credentials(rmd_request *req, rmd_response *res, const char **out_name,
                             const char **out_password)
{
    *out_name = rmd_form(req, "name");
    *out_password = rmd_form(req, "password");
    if (*out_name && *out_password)
        return true;
    refuse(res, 400, "send name and password as a form in the body");
    return false;
}

/* The token of "Authorization: Bearer TOKEN", as it is kept. If there is none, that is answered. */
static bool take_token(rmd_request *req, rmd_response *res, unsigned char out_hash[HASH_LEN])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char token[TOKEN_LEN] = {0};
    const char *field = rmd_header(req, "Authorization");
    const char *text = field && strncasecmp(field, "Bearer ", 7) == 0 ? field + 7 : "";
    if (strlen(text) == TOKEN_TEXT - 1 && strspn(text, digits) == TOKEN_TEXT - 1) {
        for (size_t i = 0; i < TOKEN_TEXT - 1; i++)
            token[i / 2] = (unsigned char)(token[i / 2] * 16 + (strchr(digits, text[i]) - digits));
        if (hash_token(token, out_hash))
            return true;
        rmd_error(res, 503);
        return false;
    }
    (void)rmd_set_header(res, "WWW-Authenticate", "Bearer");
    refuse(res, 401, "send Authorization: Bearer with the token of a login");
    return false;
}

/* ---- handlers ------------------------------------------------------------------------------ */

/* The hash is made. */
static void on_hashed(rmd_request *req, rmd_response *res, int error, rmd_slice result, void *arg)
{
    char hash[ENCODED_MAX];
    (void)arg;
    if (!req)
        return; /* nobody waits any more, and nothing is to be freed */
    if (error != 0) {
        rmd_offload_error(res, error);
        return;
    }
    const char *name = rmd_form(req, "name");
    (void)snprintf(hash, sizeof hash, "%.*s", (int)result.len, result.data);
    int rc = run("INSERT INTO users (name, hash) VALUES (?, ?)", NULL, name, hash, NULL, 0);
    if (rc == SQLITE_DONE)
        rmd_json(res, 201, "{\"name\":\"%s\"}\n", name);
    else if (rc == SQLITE_CONSTRAINT)
        refuse(res, 409, "this name is taken");
    else
        rmd_error(res, 503);
}

/* POST /signup, form name, password */
static void signup(rmd_request *req, rmd_response *res)
{
    const char *name;
    const char *password;
    if (!take_credentials(req, res, &name, &password))
        return;
    size_t len = strlen(password);
    int error;
    if (!is_name(name))
        refuse(res, 400, "name must be 1 to 32 characters of a-z, 0-9, - and _");
    else if (len < PASSWORD_MIN_LEN || len > PASSWORD_MAX_LEN)
        refuse(res, 400, "password must be 8 to 256 bytes");
    else if ((error = rmd_offload(req, "hash", password, len, 0, on_hashed, NULL)) < 0)
        rmd_offload_error(res, error);
}

static void start_session(rmd_response *res, const char *name)
{
    unsigned char token[TOKEN_LEN];
    unsigned char hash[HASH_LEN];
    char text[TOKEN_TEXT];
    if (getrandom(token, sizeof token, 0) != (ssize_t)sizeof token || !hash_token(token, hash) ||
        run("DELETE FROM sessions WHERE expires <= datetime('now')", NULL, NULL, NULL, NULL, 0) !=
            SQLITE_DONE ||
        run("INSERT INTO sessions (token, name, expires) VALUES (?, ?, datetime('now', ?))", hash,
            name, session_length, NULL, 0) != SQLITE_DONE) {
        rmd_error(res, 503);
        return;
    }
    for (size_t i = 0; i < TOKEN_LEN; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", token[i]);
    (void)rmd_set_header(res, "Cache-Control", "no-store");
    rmd_json(res, 200, "{\"token\":\"%s\"}\n", text);
    explicit_bzero(text, sizeof text);
    explicit_bzero(token, sizeof token);
}

/* Whether it is the password is known. */
static void on_verified(rmd_request *req, rmd_response *res, int error, rmd_slice result, void *arg)
{
    (void)arg;
    if (!req)
        return;
    if (error != 0)
        rmd_offload_error(res, error);
    else if (result.len > 0) /* for a user who exists, since nobody knows nobody's password */
        start_session(res, rmd_form(req, "name"));
    else
        refuse(res, 401, "name or password is wrong");
}

/* POST /login, form name, password. Takes as long for a user that does not exist. */
static void login(rmd_request *req, rmd_response *res)
{
    const char *name;
    const char *password;
    char hash[ENCODED_MAX];
    if (!take_credentials(req, res, &name, &password))
        return;
    int found = run("SELECT hash FROM users WHERE name = ?", NULL, name, NULL, hash, sizeof hash);
    if (found != SQLITE_ROW && found != SQLITE_DONE) {
        rmd_error(res, 503);
        return;
    }
    const char *compared = found == SQLITE_ROW ? hash : nobodys_hash;
    size_t hash_len = strlen(compared) + 1; /* with its NUL */
    size_t len = hash_len + strlen(password);
    char *payload = rmd_alloc(req, len + 1);
    if (!payload) {
        rmd_error(res, 503);
        return;
    }
    memcpy(payload, compared, hash_len);
    memcpy(payload + hash_len, password, len - hash_len);
    int error = rmd_offload(req, "verify", payload, len, 0, on_verified, NULL);
    if (error < 0)
        rmd_offload_error(res, error);
    explicit_bzero(payload, len);
}

/* GET /me, with a token */
static void me(rmd_request *req, rmd_response *res)
{
    unsigned char token[HASH_LEN];
    char name[NAME_MAX_LEN + 1];
    if (!take_token(req, res, token))
        return;
    int rc = run("SELECT name FROM sessions WHERE token = ? AND expires > datetime('now')", token,
                 NULL, NULL, name, sizeof name);
    if (rc == SQLITE_ROW)
        rmd_json(res, 200, "{\"name\":\"%s\"}\n", name);
    else if (rc == SQLITE_DONE)
        refuse(res, 401, "this token is not valid any more");
    else
        rmd_error(res, 503);
}

/* POST /logout, with a token; also when it was not valid any more */
static void logout(rmd_request *req, rmd_response *res)
{
    unsigned char token[HASH_LEN];
    if (!take_token(req, res, token))
        return;
    if (run("DELETE FROM sessions WHERE token = ?", token, NULL, NULL, NULL, 0) == SQLITE_DONE)
        rmd_set_status(res, 204);
    else
        rmd_error(res, 503);
}

/* ---- what the server calls ----------------------------------------------------------------- */

static bool read_settings(void)
{
    long long bytes = rmd_config_bytes("memory", 19 << 20); /* with 2 passes: OWASP's least */
    long long n = rmd_config_int("passes", 2);
    long long ms = rmd_config_duration_ms("session", 3600 * 1000);
    if (bytes < 8 << 10 || bytes > 1 << 30 || n < 1 || n > 100 || ms < 1000) {
        rmd_log(RMD_LOG_ERROR,
                "app_config: memory must be from 8KiB to 1GiB, passes from 1 to 100, "
                "session at least 1s");
        return false;
    }
    memory_kib = (uint32_t)(bytes >> 10);
    passes = (uint32_t)n;
    (void)snprintf(session_length, sizeof session_length, "+%lld seconds", ms / 1000);
    database_path = rmd_config_string("database", "password.db");
    return true;
}

/* Once, in the loader: the tables, and the hash that logins of unknown names are compared with. The
 * connection must not live on in the workers: SQLite forbids to carry one over a fork. */
static int start(void)
{
    unsigned char secret[32];
    sqlite3 *db = NULL;
    if (!read_settings())
        return -1;
    mode_t before = umask(077); /* hashes are nobody else's business */
    int rc = open_database(&db);
    (void)umask(before);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY,"
                          " hash TEXT NOT NULL) WITHOUT ROWID;"
                          "CREATE TABLE IF NOT EXISTS sessions (token BLOB PRIMARY KEY,"
                          " name TEXT NOT NULL, expires TEXT NOT NULL) WITHOUT ROWID;",
                          NULL, NULL, NULL);
    (void)sqlite3_close(db);
    if (rc != SQLITE_OK) {
        rmd_log(RMD_LOG_ERROR, "tables of %s: %s", database_path, sqlite3_errstr(rc));
        return -1;
    }
    bool is_made = getrandom(secret, sizeof secret, 0) == (ssize_t)sizeof secret &&
                   hash_password((const char *)secret, sizeof secret, nobodys_hash,
                                 sizeof nobodys_hash) == ARGON2_OK;
    explicit_bzero(secret, sizeof secret);
    return is_made ? 0 : -1;
}

/* In each worker, of the web and of the pool, which has no business there. */
static int open_in_worker(void)
{
    if (strcmp(rmd_role(), "compute") == 0)
        return 0;
    return open_database(&database) == SQLITE_OK ? 0 : -1;
}

static void close_in_worker(void)
{
    (void)sqlite3_close(database);
    database = NULL;
}

/* In each worker of the pool, within its limits: better now than at the first login. */
static int try_hash(const char *pool)
{
    char hash[ENCODED_MAX];
    int rc = hash_password("password", 8, hash, sizeof hash);
    if (rc == ARGON2_OK)
        return 0;
    rmd_log(RMD_LOG_ERROR, "argon2 with %u KiB in the pool %s: %s; see pools.%s.memory_limit",
            (unsigned)memory_kib, pool, argon2_error_message(rc), pool);
    return -1;
}

static const rmd_route routes[] = {
    {"POST", "/signup", signup, .lane = RMD_IO, .body_limit = 4096},
    {"POST", "/login", login, .lane = RMD_IO, .body_limit = 4096},
    {"GET", "/me", me, .lane = RMD_IO},
    {"POST", "/logout", logout, .lane = RMD_IO, .body_limit = 4096},
    {0},
};

static const rmd_task tasks[] = {
    {"hash", hash_task, .pool = "argon2"},
    {"verify", verify_task, .pool = "argon2"},
    {0},
};

RMD_APP(.name = "password", .routes = routes, .tasks = tasks, .error_page = error_page,
        .init = start, .worker_init = open_in_worker, .worker_exit = close_in_worker,
        .compute_init = try_hash);
