public import BackboneAPI
public import MeshCrypto
public import MeshWire
import StrictConfiguration

/// The UDP side of a backbone: where nodes keep sessions with it, and where its STUN server answers.
public struct DatagramSettings: Sendable, Hashable {
  /// Most endpoints that a backbone announces of itself: an address of each family on two networks.
  public static let announcementLimit = 4

  /// Where it speaks SMH/1; `nil`: nowhere, and it introduces nobody.
  public var listen: Endpoint?
  /// Where others reach that, as the signed list of nodes says.
  public var announced: [Endpoint]
  public var stun: STUNAddresses?

  public init(listen: Endpoint?, announced: [Endpoint] = [], stun: STUNAddresses? = nil) {
    self.listen = listen
    self.announced = announced
    self.stun = stun
  }

  /// This backbone as its own list of nodes names it.
  public func nodes(region: Region, keyHash: KeyHash) -> [BackboneNode] {
    announced.map {
      BackboneNode(region: region, endpoint: $0, keyHash: keyHash, stun: stun?.primary(like: $0))
    }
  }
}

extension DatagramSettings {
  /// Reads `udp` and `stun`.
  ///
  /// - Parameters:
  ///   - firstListener: where the first HTTP listener is: SMH/1 takes the UDP port of the same number.
  ///   - origins: an address in one of them is announced where nothing else is known.
  init(
    in file: inout ConfigurationFile, firstListener: Endpoint, origins: [Origin]
  ) throws(ConfigurationError) {
    let place = try file.value("udp.listen", expected: "an address and port like [::]:8443, or off") {
      $0 == "off" || $0 == "false" ? Place.off : Endpoint($0).map { .at($0) }
    }
    switch place ?? .at(firstListener) {
    case .off: listen = nil
    case .at(let endpoint): listen = endpoint
    }
    let given = try file.values(
      "udp.announce", upTo: Self.announcementLimit,
      expected: "an address and port that nodes can reach, like 198.51.100.7:8443"
    ) { Endpoint($0).flatMap { $0.port == 0 || $0.address.isUnspecified ? nil : $0 } }
    if given?.isEmpty == false, listen == nil {
      throw file.refusal("udp.announce", "counts only where udp.listen is not off")
    }
    announced = given ?? listen.map { Self.likelyEndpoints(of: $0, origins: origins) } ?? []
    stun = try STUNAddresses(in: &file)
  }

  private enum Place {
    case off
    case at(Endpoint)
  }

  /// The address that it listens on, or those that stand in its origins.
  private static func likelyEndpoints(of listen: Endpoint, origins: [Origin]) -> [Endpoint] {
    guard listen.port != 0 else { return [] }
    guard listen.address.isUnspecified else { return [listen] }
    var seen: Set<IPAddress> = []
    let addresses = origins.compactMap { IPAddress($0.host) }.filter {
      !$0.isUnspecified && seen.insert($0).inserted
    }
    return addresses.prefix(announcementLimit).map { Endpoint($0, port: listen.port) }
  }
}
