public import Logging
import Synchronization

/// The configuration as it is now: SIGHUP changes the keys that need no restart.
final class LiveConfiguration: Sendable {
  private let state: Mutex<LightNodeConfiguration>

  init(_ configuration: LightNodeConfiguration) { state = Mutex(configuration) }

  var current: LightNodeConfiguration { state.withLock { $0 } }

  /// Takes over what can be taken over while running, and says what differs. Throws `ConfigurationError` when
  /// the new live keys do not go with the old others.
  func take(_ new: LightNodeConfiguration) throws -> [ConfigurationChange] {
    try state.withLock { configuration in
      let merged = configuration.takingLiveKeys(from: new)
      try merged.checkRunning()
      let changes = configuration.changes(to: new)
      configuration = merged
      return changes
    }
  }
}

/// Writes to standard error at a level that can change while the program runs.
public struct AdjustableLogHandler: LogHandler {
  private static let shared = Mutex(Logger.Level.info)
  private var inner: StreamLogHandler

  public init(label: String) {
    inner = StreamLogHandler.standardError(label: label)
    inner.logLevel = .trace
  }

  /// Sets the level of every logger of the program.
  public static func setLevel(_ level: LightNodeConfiguration.LogLevel) {
    shared.withLock { $0 = Logger.Level(rawValue: level.rawValue) ?? .info }
  }

  public var logLevel: Logger.Level {
    get { Self.shared.withLock { $0 } }
    set { Self.shared.withLock { $0 = newValue } }
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
