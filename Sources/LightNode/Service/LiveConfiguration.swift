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
