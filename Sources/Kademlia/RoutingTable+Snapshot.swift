public import MeshWire

extension RoutingTable {
  private static let magic: [UInt8] = Array("SMRT".utf8)
  private static let version: UInt16 = 1
  /// Contacts that a snapshot may claim to hold: far more than any table of ours, far less than hurts.
  private static let snapshotCapacity = 4096

  /// The table as bytes that survive a restart: magic 4, version 2, own PeerID 20, count 2, then for each
  /// contact ``ContactHint/size`` bytes and its age in seconds (4). Replacement caches and failures are not
  /// kept. A checksum is the file's matter.
  public func snapshot(now: Instant) -> [UInt8] {
    let contacts = contacts.prefix(Self.snapshotCapacity)
    var writer = ByteWriter(reserving: 28 + contacts.count * (ContactHint.size + 4))
    writer.write(Self.magic)
    writer.write(Self.version)
    writer.write(own)
    writer.write(UInt16(contacts.count))
    for contact in contacts {
      writer.write(contact.hint)
      writer.write(UInt32(clamping: (now - contact.lastSeen).components.seconds))
    }
    return writer.bytes
  }

  /// Reads a snapshot back, through the same limits as any other contact: what no longer fits is refused and
  /// counted.
  ///
  /// Throws for bytes that are no snapshot, of another version, truncated, over-long, over the bound, or of
  /// another node's table (`.badValue`).
  public init(snapshot bytes: [UInt8], own: PeerID, limits: Limits = Limits(), now: Instant)
    throws(DecodingFailure)
  {
    var reader = ByteReader(bytes)
    guard try reader.bytes(Self.magic.count) == Self.magic else { throw .badValue }
    guard try reader.uint16() == Self.version else { throw .unknownVersion }
    guard try reader.peerID() == own else { throw .badValue }
    let count = Int(try reader.uint16())
    guard count <= Self.snapshotCapacity else { throw .tooLarge }
    self.init(own: own, limits: limits, now: now)
    for _ in 0..<count {
      let hint = try reader.contactHint()
      let age = Duration.seconds(Int64(try reader.uint32()))
      let contact = Contact(
        keyHash: hint.keyHash, endpoint: hint.endpoint, sequence: hint.sequence,
        lastSeen: now + (.zero - age))
      _ = admit(contact, now: now)
    }
    try reader.end()
  }
}
