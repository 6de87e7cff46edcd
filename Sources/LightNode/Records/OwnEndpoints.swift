import MeshCrypto
import MeshWire
import Synchronization

/// Where this node may be reached, from everyone who knows a part of it: the owner, the interfaces, routers
/// that map ports, and others who saw its packets.
final class OwnEndpoints: Sendable {
  private let configuration: LiveConfiguration
  private let listenPort: Int
  private let known = Mutex<[EndpointKind: [Endpoint]]>([:])

  init(configuration: LiveConfiguration, listenPort: Int) {
    self.configuration = configuration
    self.listenPort = listenPort
    refresh()
  }

  /// Reads the configuration and the interfaces again.
  func refresh() {
    let configuration = configuration.current
    let interfaces = InterfaceEndpoints.current(
      port: listenPort, except: configuration.tunName, permitsLoopback: configuration.permitLoopback)
    set(.configured, configuration.endpoints)
    set(.interface, interfaces.map(\.endpoint))
  }

  /// What the record says: the owner's word, or where there is none, whatever else is known.
  var announced: [AnnouncedEndpoint] {
    let configured = endpoints(of: [.configured])
    return configured.isEmpty ? endpoints(of: [.mapped, .reflexive, .interface]) : configured
  }

  /// What the node is told: what this machine and its router know. Others' word it hears itself.
  var own: [AnnouncedEndpoint] { endpoints(of: [.configured, .mapped, .interface]) }

  /// Each once, at most ``RecordBody/endpointLimit``.
  private func endpoints(of kinds: [EndpointKind]) -> [AnnouncedEndpoint] {
    known.withLock { known in
      var seen: Set<Endpoint> = []
      return
        kinds
        .flatMap { kind in (known[kind] ?? []).map { AnnouncedEndpoint(kind, $0) } }
        .filter { seen.insert($0.endpoint).inserted }
        .prefix(RecordBody.endpointLimit).map { $0 }
    }
  }

  /// Others saw our packets come from there. The newest of each family counts; whether that is news.
  func observed(_ endpoint: Endpoint) -> Bool {
    known.withLock { known in
      let before = known[.reflexive] ?? []
      known[.reflexive] = before.filter { $0.address.isV4 != endpoint.address.isV4 } + [endpoint]
      return !before.contains(endpoint)
    }
  }

  /// Everything of one kind that is known now; at most ``RecordBody/endpointLimit`` are kept.
  func set(_ kind: EndpointKind, _ endpoints: [Endpoint]) {
    known.withLock { $0[kind] = Array(endpoints.prefix(RecordBody.endpointLimit)) }
  }
}

extension IPAddress {
  fileprivate var isV4: Bool { if case .v4 = self { true } else { false } }
}
