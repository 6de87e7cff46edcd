import MeshWire

/// What someone on the way knows of the handshakes that pass: enough to make every mac in the clear.
struct Eavesdropper {
  /// Handshakes that are remembered.
  static let limit = 256

  struct Overheard {
    let initiator: Endpoint
    let responder: Endpoint
    var random: [UInt8]
    var responderID: UInt64?
  }

  private(set) var handshakes: [UInt64: Overheard] = [:]
  /// In the order in which they began.
  private(set) var ids: [UInt64] = []
  private var byResponder: [UInt64: UInt64] = [:]

  mutating func note(_ passing: PassingDatagram) {
    guard let id = ForgedDatagrams.id(in: passing.bytes) else { return }
    if let random = ForgedDatagrams.initiatorRandom(in: passing.bytes), handshakes[id] == nil {
      if ids.count >= Self.limit, let old = handshakes.removeValue(forKey: ids.removeFirst()) {
        if let responder = old.responderID { byResponder[responder] = nil }
      }
      ids.append(id)
      handshakes[id] = Overheard(
        initiator: passing.source, responder: passing.destination, random: random)
    } else if let responder = ForgedDatagrams.responder(in: passing.bytes), handshakes[id] != nil {
      handshakes[id]?.responderID = responder
      byResponder[responder] = id
    }
  }

  /// The handshake that a datagram belongs to, whichever of the two ids it bears.
  func handshake(of datagram: [UInt8]) -> (id: UInt64, Overheard)? {
    guard let id = ForgedDatagrams.id(in: datagram) else { return nil }
    if let known = handshakes[id] { return (id, known) }
    return byResponder[id].flatMap { own in handshakes[own].map { (own, $0) } }
  }
}
