// What linked files extend. The whole types come with servers and a database, which no parser needs.

/// Holds what a configuration says of listeners.
public enum BackboneService {}

/// Holds what a configuration says of the store.
public enum SQLiteStore {}
