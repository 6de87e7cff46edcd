import GRDB

/// The tables, made by numbered migrations that are never edited once released.
enum SQLiteSchema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 registry") { db in
      // Blobs are raw bytes; times are seconds since 1970. Sequences are unsigned, stored by their bit
      // pattern.
      try db.execute(
        sql: """
          -- A challenge carries its expiry under its MAC, so the pair is as unique as the challenge, and one
          -- tree serves both for redeeming and for pruning.
          CREATE TABLE redeemed (
            expiry INTEGER NOT NULL,
            challenge BLOB NOT NULL,
            PRIMARY KEY (expiry, challenge)
          ) WITHOUT ROWID;

          CREATE TABLE invites (
            secret_hash BLOB PRIMARY KEY NOT NULL,
            expiry INTEGER NOT NULL,
            used_by BLOB
          ) WITHOUT ROWID;

          CREATE TABLE admitted (
            key_hash BLOB PRIMARY KEY NOT NULL
          ) WITHOUT ROWID;

          CREATE TABLE records (
            peer_id BLOB PRIMARY KEY NOT NULL,
            key_hash BLOB NOT NULL,
            sequence INTEGER NOT NULL,
            expiry INTEGER NOT NULL,
            tombstone INTEGER NOT NULL,
            body_digest BLOB NOT NULL,
            public_bundle BLOB NOT NULL,
            private_part BLOB
          );
          CREATE INDEX records_expiry ON records (expiry);

          CREATE TABLE revoked_tokens (
            token TEXT PRIMARY KEY NOT NULL,
            expiry INTEGER NOT NULL
          ) WITHOUT ROWID;

          CREATE TABLE revoked_peers (
            key_hash BLOB PRIMARY KEY NOT NULL,
            before INTEGER NOT NULL,
            expiry INTEGER NOT NULL
          ) WITHOUT ROWID;
          """)
    }
    migrator.registerMigration("2 probe") { db in
      // Always empty: what is written to it to see whether there is room is taken back at once.
      try db.execute(sql: "CREATE TABLE probe (room BLOB NOT NULL)")
    }
    migrator.registerMigration("3 networks") { db in
      // The network that a record first came from, 4 or 16 bytes; NULL where they aren't counted by it.
      try db.execute(
        sql: """
          ALTER TABLE records ADD COLUMN network BLOB;
          CREATE INDEX records_network ON records (network) WHERE network IS NOT NULL;
          """)
    }
    migrator.registerMigration("4 relays") { db in
      // The region of a relay, and a place among all relays that is drawn anew with each record: a sample is
      // a run of places from a random one on. Records from before are no relays until they are signed anew.
      try db.execute(
        sql: """
          ALTER TABLE records ADD COLUMN relay_region TEXT;
          ALTER TABLE records ADD COLUMN relay_place INTEGER;
          CREATE INDEX relays ON records (relay_place) WHERE relay_place IS NOT NULL;
          CREATE INDEX relays_of_region ON records (relay_region, relay_place)
            WHERE relay_place IS NOT NULL;
          """)
    }
    return migrator
  }
}
