import Daemon
import Logging
import MeshCrypto
import MeshNode
import MeshWire
import NodeHost

/// Tells the node within a second that this machine is somewhere else: an interface has another address, or
/// the default route leads another way. Sessions look for better paths then, and the record is signed anew.
struct AddressWatch: Sendable {
  /// Changes come in bursts: the old address goes, the new one comes, then its route.
  static let settling: Duration = .milliseconds(200)
  /// How often to look where the kernel tells nothing, and otherwise for what it did not tell.
  static let polling: Duration = .seconds(1)
  static let reassurance: Duration = .seconds(60)

  /// What is compared.
  struct Surroundings: Hashable, Sendable {
    let endpoints: [AnnouncedEndpoint]
    let defaultRoutes: [String]
  }

  let own: OwnEndpoints
  /// Told at the start and after each change; `hasMoved` when only the routes tell it.
  let changed: @Sendable (_ endpoints: [AnnouncedEndpoint], _ hasMoved: Bool) async -> Void
  let logger: Logger
  var defaultRoutes: @Sendable () -> [String] = { DefaultRoutes.current() }
  private let alarm = Alarm()

  init(
    own: OwnEndpoints, logger: Logger, changed: @escaping @Sendable ([AnnouncedEndpoint], Bool) async -> Void
  ) {
    self.own = own
    self.logger = logger
    self.changed = changed
  }

  /// Something may have changed that is no news of the kernel's.
  func look() { alarm.ring() }

  /// Runs until it is cancelled.
  func run() async throws {
    do {
      let changes = try NetworkChanges()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { [alarm] in try await changes.run { alarm.ring() } }
        group.addTask { try await compare(every: Self.reassurance) }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch let error as SystemError {
      logger.warning(
        "the kernel does not tell of address changes: they are looked for each second",
        metadata: ["reason": "\(error)"])
      try await compare(every: Self.polling)
    }
  }

  private func compare(every interval: Duration) async throws {
    var last = surroundings()
    await changed(last.endpoints, false)
    while true {
      try await alarm.pause(atMost: interval)
      if interval > Self.settling { try await Task.sleep(for: Self.settling) }
      let found = surroundings()
      guard found != last else { continue }
      logger.info(
        "this machine's addresses or routes have changed",
        metadata: ["endpoints": "\(found.endpoints.count)", "routes": "\(found.defaultRoutes.count)"])
      await changed(found.endpoints, found.endpoints == last.endpoints)
      last = found
    }
  }

  private func surroundings() -> Surroundings {
    own.refresh()
    return Surroundings(endpoints: own.own, defaultRoutes: defaultRoutes())
  }
}
