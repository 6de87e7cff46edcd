public import MeshWire

/// The part of a private node's record that only those whom its owner admitted may see.
///
/// The admitted are listed as salted tags, not by name: who holds the part can check whether an asker is on
/// the list (and so hand it on when every backbone is down), but can't read who else is.
public struct RecordPrivatePart: Sendable, Hashable {
  /// Most nodes that one owner can admit.
  public static let admissionLimit = 256
  /// Room for an encoding, in bytes: the bounds of its fields add up to 2,497.
  public static let sizeLimit = 2_600
  /// Most reservations in a record.
  public static let reservationLimit = 4
  static let saltSize = 16
  static let tagSize = 8

  public let endpoints: [AnnouncedEndpoint]
  /// Where the owner is reached through a relay; at most 4.
  public let reservations: [RelayReservation]
  let salt: [UInt8]
  let tags: [[UInt8]]

  /// - Parameters:
  ///   - endpoints: at most 8.
  ///   - admitted: at most 256; more is refused.
  ///   - salt: 16 fresh random bytes, new for every record.
  ///   - reservations: at most 4.
  public init?(
    endpoints: [AnnouncedEndpoint], admitted: [KeyHash], salt: [UInt8], reservations: [RelayReservation] = []
  ) {
    guard endpoints.count <= RecordBody.endpointLimit, admitted.count <= Self.admissionLimit,
      reservations.count <= Self.reservationLimit, salt.count == Self.saltSize
    else { return nil }
    self.endpoints = endpoints
    self.reservations = reservations
    self.salt = salt
    tags = admitted.map { Self.tag(of: $0, salt: salt) }.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// Whether the owner admitted this node.
  public func admits(_ keyHash: KeyHash) -> Bool {
    let tag = Self.tag(of: keyHash, salt: salt)
    return tags.reduce(false) { $0 || constantTimeEqual($1, tag) }
  }

  private static func tag(of keyHash: KeyHash, salt: [UInt8]) -> [UInt8] {
    Array(Primitives.hmacSHA256(key: salt, keyHash.bytes).prefix(tagSize))
  }

  var encoded: [UInt8] {
    var writer = ByteWriter(reserving: Self.sizeLimit)
    writer.write(UInt8(1))
    writer.write(salt)
    writer.write(endpoints)
    writer.write(UInt16(tags.count))
    for tag in tags { writer.write(tag) }
    writer.write(UInt8(reservations.count))
    for reservation in reservations { writer.write(reservation) }
    return writer.bytes
  }

  /// Reads an encoding. That it belongs to a record is for ``UnverifiedPeerRecord/verified(at:)`` to say.
  public init(decoding bytes: ArraySlice<UInt8>) throws(DecodingFailure) {
    var reader = ByteReader(bytes)
    guard try reader.uint8() == 1 else { throw .unknownVersion }
    salt = try reader.bytes(Self.saltSize)
    endpoints = try reader.announcedEndpoints()
    let count = Int(try reader.uint16())
    guard count <= Self.admissionLimit else { throw .tooLarge }
    var tags: [[UInt8]] = []
    for _ in 0..<count { tags.append(try reader.bytes(Self.tagSize)) }
    self.tags = tags
    let held = try reader.count(in: 0...Self.reservationLimit)
    var reservations: [RelayReservation] = []
    for _ in 0..<held { reservations.append(try reader.relayReservation()) }
    self.reservations = reservations
    try reader.end()
  }
}
