/* Fills the ledger (ipc/ledger.h) from what the master knows. */
#ifndef REMUDA_SERVER_BOOKS_H
#define REMUDA_SERVER_BOOKS_H

struct admins;
struct ledger;
struct settings;

/* Once a turn: writes what has changed, and twice a second what changes all the time. */
void books_write(struct admins *admins);

/* Writes the settings in force, and where each came from; of maps what there is room for. Once for
 * each generation. */
void books_tell_settings(struct ledger *ledger, const struct settings *settings);

#endif
