import Logging
import Synchronization
import Testing

@testable import Backbone

@Suite("Logger of requests") struct UnattachedLoggerTests {
  private final class Lines: Sendable {
    let texts = Mutex<[String]>([])
  }

  private struct Recorder: LogHandler {
    let lines: Lines
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let all = metadata.merging(event.metadata ?? [:]) { $1 }
      let pairs = all.map { "\($0)=\($1)" }.sorted().joined(separator: " ")
      lines.texts.withLock { $0.append("\(event.level) \(event.message) \(pairs)") }
    }
  }

  @Test func `keeps the level and what a line says, not what is attached to it`() {
    let lines = Lines()
    var base = Logger(label: "test") { _ in Recorder(lines: lines) }
    base.logLevel = .warning
    base[metadataKey: "process"] = "1"
    var logger = Unattached.logger(like: base)
    logger[metadataKey: "request"] = "2"
    logger.info("unheard")
    logger.error("heard", metadata: ["reason": "3"])
    #expect(lines.texts.withLock { $0 } == ["error heard process=1 reason=3"])
  }
}
