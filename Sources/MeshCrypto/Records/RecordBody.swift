public import MeshWire

/// What kind of node a record announces.
public enum ServiceType: UInt8, Sendable, Hashable, CaseIterable {
  /// LIGHT_PRIVATE: endpoints go only to those whom the owner admitted.
  case lightPrivate = 1
  /// LIGHT_PUBLIC: offers to relay; endpoints are public.
  case lightPublic = 2
  /// BACKBONE_AUTH: a backbone's own record.
  case backbone = 3
}

/// A NAT's behaviour in the terms of RFC 4787 §4.1 and §5, as far as it is known.
public enum NATBehaviour: UInt8, Sendable, Hashable {
  case unknown = 0
  case endpointIndependent = 1
  case addressDependent = 2
  case addressAndPortDependent = 3
  /// No translation or no filter at all.
  case open = 4
}

/// Where an endpoint in a record comes from.
public enum EndpointKind: UInt8, Sendable, Hashable {
  /// An address of one of the node's own interfaces.
  case interface = 1
  /// What the owner wrote into the configuration.
  case configured = 2
  /// What others saw (RFC 8489's reflexive transport address).
  case reflexive = 3
  /// What a router maps on request (PCP, NAT-PMP, UPnP).
  case mapped = 4
}

/// An endpoint and its kind: 20 bytes.
public struct AnnouncedEndpoint: Sendable, Hashable {
  public let kind: EndpointKind
  public let endpoint: Endpoint

  public init(_ kind: EndpointKind, _ endpoint: Endpoint) {
    self.kind = kind
    self.endpoint = endpoint
  }
}

/// A region's name: 1 to 32 characters of a-z, 0-9, `-` and `_`.
public struct Region: Sendable, Hashable, CustomStringConvertible {
  public let name: String

  public init?(_ name: some StringProtocol) {
    guard (1...32).contains(name.utf8.count),
      name.utf8.allSatisfy({
        (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-")
          || $0 == UInt8(ascii: "_")
      })
    else { return nil }
    self.name = String(name)
  }

  public var description: String { name }
}

/// Orders the records of one owner: the higher stands. 64 bits.
public struct SequenceNumber: Sendable, Hashable, Comparable {
  public let value: UInt64
  public init(_ value: UInt64) { self.value = value }
  public static func < (a: SequenceNumber, b: SequenceNumber) -> Bool { a.value < b.value }
}

/// The signed part of a record that anyone may see. Layout: `docs/protocol/records.md`.
public struct RecordBody: Sendable, Hashable {
  /// Most endpoints in one part of a record.
  public static let endpointLimit = 8
  /// Room for an encoding, in bytes: the bounds of its fields add up to 1,967.
  public static let sizeLimit = 2_000

  /// A record proper, or the withdrawal of one.
  public enum Kind: UInt8, Sendable {
    case record = 1
    case tombstone = 2
  }

  public var kind: Kind
  public var serviceType: ServiceType
  public var mapping: NATBehaviour
  public var filtering: NATBehaviour
  public var keyHash: KeyHash
  public var sequence: SequenceNumber
  public var expiry: WallTime
  public var region: Region
  /// What a public node offers to relay, in Mbit/s.
  public var relayOffer: UInt32
  /// SMH versions, the newest first; 1 to 4.
  public var versions: [UInt8]
  /// AEAD suites, the preferred first; 1 to 4.
  public var suites: [AEADSuite]
  /// At most 8. Empty for a private node, whose endpoints are in its private part.
  public var endpoints: [AnnouncedEndpoint]
  /// SHA-256 of the encoded private part; `nil` when there is none.
  public var privatePartHash: [UInt8]?
  /// What clients of this relay need; only of a public node that offers to relay.
  public var relay: RelayAnnouncement?

  public init(
    kind: Kind = .record, serviceType: ServiceType, mapping: NATBehaviour = .unknown,
    filtering: NATBehaviour = .unknown, keyHash: KeyHash, sequence: SequenceNumber, expiry: WallTime,
    region: Region, relayOffer: UInt32 = 0, versions: [UInt8] = [1],
    suites: [AEADSuite] = [.aes256GCM, .chaCha20Poly1305], endpoints: [AnnouncedEndpoint] = [],
    relay: RelayAnnouncement? = nil
  ) {
    self.kind = kind
    self.serviceType = serviceType
    self.mapping = mapping
    self.filtering = filtering
    self.keyHash = keyHash
    self.sequence = sequence
    self.expiry = expiry
    self.region = region
    self.relayOffer = relayOffer
    self.versions = versions
    self.suites = suites
    self.endpoints = endpoints
    self.privatePartHash = nil
    self.relay = relay
  }

  /// Whether this is a node that others may ask to relay.
  var mayAnnounceRelay: Bool { kind == .record && serviceType == .lightPublic && relayOffer > 0 }

  var encoded: [UInt8] {
    var writer = ByteWriter(reserving: Self.sizeLimit)
    writer.write(UInt8(1))
    writer.write(kind.rawValue)
    writer.write(serviceType.rawValue)
    writer.write(mapping.rawValue)
    writer.write(filtering.rawValue)
    writer.write(keyHash)
    writer.write(sequence.value)
    writer.write(expiry.secondsSinceEpoch)
    writer.write(UInt8(region.name.utf8.count))
    writer.write(region.name.utf8)
    writer.write(relayOffer)
    writer.write(UInt8(versions.count))
    writer.write(versions)
    writer.write(UInt8(suites.count))
    writer.write(suites.map(\.rawValue))
    writer.write(endpoints)
    if let privatePartHash {
      writer.write(UInt8(1))
      writer.write(privatePartHash)
    } else {
      writer.write(UInt8(0))
    }
    writer.write(UInt8(relay == nil ? 0 : 1))
    if let relay { writer.write(relay) }
    return writer.bytes
  }

  init(decoding bytes: ArraySlice<UInt8>) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    guard try reader.uint8() == 1 else { throw .unknownVersion }
    kind = try reader.value()
    serviceType = try reader.value()
    mapping = try reader.value()
    filtering = try reader.value()
    keyHash = try reader.keyHash()
    sequence = SequenceNumber(try reader.uint64())
    expiry = WallTime(secondsSinceEpoch: try reader.uint64())
    let name = try reader.bytes(Int(try reader.uint8()))
    guard let region = Region(String(decoding: name, as: UTF8.self)) else { throw .badValue }
    self.region = region
    relayOffer = try reader.uint32()
    versions = try reader.bytes(try reader.count(in: 1...4))
    suites = []
    for _ in 0..<(try reader.count(in: 1...4)) { suites.append(try reader.value()) }
    endpoints = try reader.announcedEndpoints()
    switch try reader.uint8() {
    case 0: privatePartHash = nil
    case 1: privatePartHash = try reader.bytes(32)
    default: throw .badValue
    }
    switch try reader.uint8() {
    case 0: relay = nil
    case 1:
      guard mayAnnounceRelay else { throw .badValue }
      relay = try reader.relayAnnouncement()
    default: throw .badValue
    }
    try reader.end()
  }
}

extension ByteWriter {
  /// Appends count 1 ‖ endpoints of 20.
  public mutating func write(_ endpoints: [AnnouncedEndpoint]) {
    write(UInt8(endpoints.count))
    for announced in endpoints {
      write(announced.kind.rawValue)
      write(announced.endpoint)
    }
  }
}

extension ByteReader {
  mutating func value<Value: RawRepresentable>() throws(DecodingFailure) -> Value
  where Value.RawValue == UInt8 {
    guard let value = Value(rawValue: try uint8()) else { throw .badValue }
    return value
  }

  mutating func count(in range: ClosedRange<Int>) throws(DecodingFailure) -> Int {
    let count = Int(try uint8())
    guard range.contains(count) else { throw .tooLarge }
    return count
  }

  /// Reads count 1 (at most 8) ‖ endpoints of 20.
  public mutating func announcedEndpoints() throws(DecodingFailure) -> [AnnouncedEndpoint] {
    var endpoints: [AnnouncedEndpoint] = []
    for _ in 0..<(try count(in: 0...RecordBody.endpointLimit)) {
      let kind: EndpointKind = try value()
      endpoints.append(AnnouncedEndpoint(kind, try endpoint()))
    }
    return endpoints
  }
}
