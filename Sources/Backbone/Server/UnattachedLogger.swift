import Logging

/// Logs as another does, and forgets what is attached to the logger itself.
///
/// The server library gives each request a logger with a number in it, whether it logs or not; writing these
/// out cost more than the check of a token. None of our lines needs one.
struct Unattached: LogHandler {
  private var base: any LogHandler

  private init(_ base: any LogHandler) { self.base = base }

  static func logger(like logger: Logger) -> Logger {
    Logger(label: logger.label) { _ in Unattached(logger.handler) }
  }

  var logLevel: Logger.Level {
    get { base.logLevel }
    set { base.logLevel = newValue }
  }

  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) { base.log(event: event) }
}
