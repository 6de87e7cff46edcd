public import MeshWire

/// What a relay has promised: whoever shows the id is put through to the holder.
public struct ReservationGrant: Sendable, Hashable {
  /// 16 bytes.
  public let id: [UInt8]
  public let life: Duration
  /// Bytes that may pass until it is renewed.
  public let bytes: UInt64
  /// The relay's offered rate in all, in kbit/s.
  public let kilobitsPerSecond: UInt32

  public init(id: [UInt8], life: Duration, bytes: UInt64, kilobitsPerSecond: UInt32) {
    self.id = id
    self.life = life
    self.bytes = bytes
    self.kilobitsPerSecond = kilobitsPerSecond
  }
}

extension RelayServer {
  /// Reserves a place for a neighbour, or renews the one that it has: one each.
  ///
  /// - Parameters:
  ///   - prefix: the neighbour's network, by which reservations are counted; `nil` when it isn't.
  ///   - fresh: 16 random bytes for a new id.
  public mutating func reserve(
    for neighbour: PeerID, prefix: IPAddress?, fresh: [UInt8], now: Instant
  ) -> ReservationGrant? {
    wantSweep(now: now)
    let id: UInt128
    if let known = held[neighbour], reservations[known] != nil {
      id = known
    } else {
      let ofPrefix = prefix.map { prefix in reservations.values.count { $0.prefix == prefix } } ?? 0
      id = UInt128(bytes: fresh)
      guard reservations.count < limits.reservations, ofPrefix < limits.reservationsPerPrefix,
        fresh.count == CreateLayout.reservationSize, reservations[id] == nil
      else {
        counters.reservationsRefused += 1
        return nil
      }
      counters.reservationsMade += 1
    }
    reservations[id] = HeldReservation(
      holder: neighbour, prefix: prefix, expires: now + RelayLimits.reservationLife,
      bytesLeft: limits.bytesPerReservation)
    held[neighbour] = id
    return ReservationGrant(
      id: id.bytes, life: RelayLimits.reservationLife, bytes: limits.bytesPerReservation,
      kilobitsPerSecond: UInt32(min(limits.bytesPerSecond / 125, Double(UInt32.max))))
  }
}

extension UInt128 {
  /// The first 16 bytes as a number in network order.
  init(bytes: some Sequence<UInt8>) { self = bytes.prefix(16).reduce(0) { $0 << 8 | UInt128($1) } }

  /// 16 bytes, in network order.
  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: self)
    return bytes
  }
}
