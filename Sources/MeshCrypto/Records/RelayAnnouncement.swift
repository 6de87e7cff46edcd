public import MeshWire

/// Who says to run a relay; relays with one name count as one when a chain is chosen. Nobody checks it. 0 to
/// 32 characters of a-z, 0-9, `-`, `_` and `.`; empty: not said.
public struct OperatorName: Sendable, Hashable, CustomStringConvertible {
  /// Most characters.
  public static let longest = 32
  public static let unnamed = OperatorName(checked: "")

  public let name: String

  private init(checked name: String) { self.name = name }

  public init?(_ name: some StringProtocol) {
    guard name.utf8.count <= Self.longest,
      name.utf8.allSatisfy({
        (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-")
          || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
      })
    else { return nil }
    self.name = String(name)
  }

  public var description: String { name }
}

/// What a relay says of itself in its public record, beside its offer (`docs/protocol/records.md`).
public struct RelayAnnouncement: Sendable, Hashable {
  /// Largest encoding, in bytes: onion key 1,600, week 4, name with its length 33, port 2, SHA-256 32.
  public static let sizeLimit = KeyExchangeOffer.size + 4 + 1 + OperatorName.longest + 2 + 32

  /// What the keys of a circuit are agreed on with; a new one each week.
  public var onionKey: KeyExchangeOffer
  /// The week that it was made in, counted from 1970 (seconds / 604,800). It is good in the next one too.
  public var week: UInt32
  public var operatorName: OperatorName
  /// The TCP port of its TLS streams; `nil` when it serves none.
  public var streamPort: UInt16?
  /// SHA-256 of the DER certificate that it shows there, 32 bytes; `nil` when there is none.
  public var streamCertificate: [UInt8]?

  public init(
    onionKey: KeyExchangeOffer, week: UInt32, operatorName: OperatorName = .unnamed,
    streamPort: UInt16? = nil, streamCertificate: [UInt8]? = nil
  ) {
    self.onionKey = onionKey
    self.week = week
    self.operatorName = operatorName
    self.streamPort = streamPort == 0 ? nil : streamPort
    self.streamCertificate =
      streamCertificate?.count == 32 && streamCertificate?.contains { $0 != 0 } == true
      ? streamCertificate : nil
  }

  /// The week that a moment lies in.
  public static func week(of wall: WallTime) -> UInt32 {
    UInt32(truncatingIfNeeded: wall.secondsSinceEpoch / 604_800)
  }
}

/// A place at a relay where a node can be reached: 67 bytes.
public struct RelayReservation: Sendable, Hashable {
  /// Size of the id, in bytes.
  public static let idSize = 16

  public let relay: KeyHash
  public let endpoint: Endpoint
  /// Whoever shows it to the relay is put through to the owner.
  public let id: [UInt8]

  /// - Parameter id: 16 bytes; `nil` for any other length.
  public init?(relay: KeyHash, endpoint: Endpoint, id: [UInt8]) {
    guard id.count == Self.idSize else { return nil }
    self.relay = relay
    self.endpoint = endpoint
    self.id = id
  }

  init(relay: KeyHash, endpoint: Endpoint, checked id: [UInt8]) {
    self.relay = relay
    self.endpoint = endpoint
    self.id = id
  }
}

extension ByteWriter {
  mutating func write(_ relay: RelayAnnouncement) {
    write(relay.onionKey.bytes)
    write(relay.week)
    write(UInt8(relay.operatorName.name.utf8.count))
    write(relay.operatorName.name.utf8)
    write(relay.streamPort ?? 0)
    write(relay.streamCertificate ?? [UInt8](repeating: 0, count: 32))
  }

  mutating func write(_ reservation: RelayReservation) {
    write(reservation.relay)
    write(reservation.endpoint)
    write(reservation.id)
  }
}

extension ByteReader {
  mutating func relayAnnouncement() throws(DecodingFailure) -> RelayAnnouncement {
    guard let onionKey = KeyExchangeOffer(try slice(KeyExchangeOffer.size)) else { throw .badValue }
    let week = try uint32()
    let name = try bytes(try count(in: 0...OperatorName.longest))
    guard let operatorName = OperatorName(String(decoding: name, as: UTF8.self)) else { throw .badValue }
    return RelayAnnouncement(
      onionKey: onionKey, week: week, operatorName: operatorName, streamPort: try uint16(),
      streamCertificate: try bytes(32))
  }

  mutating func relayReservation() throws(DecodingFailure) -> RelayReservation {
    let relay = try keyHash()
    let endpoint = try endpoint()
    return RelayReservation(relay: relay, endpoint: endpoint, checked: try bytes(RelayReservation.idSize))
  }
}
