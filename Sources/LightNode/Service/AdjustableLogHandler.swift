public import Logging
import Synchronization

/// Writes to standard error at a level that can change while the program runs.
public struct AdjustableLogHandler: LogHandler {
  private static let shared = Mutex(Logger.Level.info)
  private var inner: StreamLogHandler
  /// Of loggers whose owner set a level for them.
  private var ownLevel: Logger.Level?

  public init(label: String) {
    inner = StreamLogHandler.standardError(label: label)
    inner.logLevel = .trace
  }

  /// Sets the level of every logger of the program that was not given one of its own.
  public static func setLevel(_ level: LightNodeConfiguration.LogLevel) {
    shared.withLock { $0 = Logger.Level(rawValue: level.rawValue) ?? .info }
  }

  public var logLevel: Logger.Level {
    get { ownLevel ?? Self.shared.withLock { $0 } }
    set { ownLevel = newValue }
  }

  public var metadata: Logger.Metadata {
    get { inner.metadata }
    set { inner.metadata = newValue }
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { inner[metadataKey: key] }
    set { inner[metadataKey: key] = newValue }
  }

  /// Hands the event on; the level has been checked by then.
  public func log(event: LogEvent) { inner.log(event: event) }
}
