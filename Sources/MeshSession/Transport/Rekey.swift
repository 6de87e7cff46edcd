import MeshCrypto
import MeshWire

/// RekeyRequest and RekeyAnswer: type 1 ‖ generation 4 ‖ receiver index 4 ‖ key exchange 1,600 (SMH1.md §8).
struct RekeyMessage {
  static let request: UInt8 = 0x20
  static let answer: UInt8 = 0x21

  let generation: UInt32
  let receiverIndex: UInt32
  let exchange: ArraySlice<UInt8>

  init?(_ message: [UInt8]) {
    var reader = ByteReader(message)
    guard (try? reader.uint8()) != nil, let generation = try? reader.uint32(),
      let receiverIndex = try? reader.uint32(), receiverIndex != 0,
      let exchange = try? reader.slice(Layout.offerSize), reader.remaining == 0
    else { return nil }
    self.generation = generation
    self.receiverIndex = receiverIndex
    self.exchange = exchange
  }

  static func encode(
    _ type: UInt8, generation: UInt32, receiverIndex: UInt32, exchange: [UInt8]
  ) -> [UInt8] {
    var message = [type]
    message.append(bigEndian: generation)
    message.append(bigEndian: receiverIndex)
    return message + exchange
  }
}

/// Where a session's rekeying stands.
struct Rekey {
  enum Phase {
    case idle
    case makingOffer
    /// Our request is out.
    case asking(KeyExchangeSecret, request: [UInt8], receiveIndex: UInt32)
    /// The answer is here, the secret is being computed.
    case opening(request: [UInt8], answer: [UInt8], receiveIndex: UInt32, peerIndex: UInt32)
    /// Their request is here, the answer is being computed.
    case answering(request: [UInt8], peerIndex: UInt32)
  }

  var phase = Phase.idle
  /// When a request is repeated.
  var nextRequest: Instant?
  var lastRequest: Instant?
  /// From the last request to the next.
  var pause = Limits.rekeyInterval
  var tries = 0
  /// What was answered last: the same request gets the same bytes.
  var answered: (request: [UInt8], answer: [UInt8])?
  /// When an empty packet is repeated under new keys under which nothing has come back.
  var nextConfirmation: Instant?
  var confirmations = 0

  var isIdle: Bool {
    if case .idle = phase { true } else { false }
  }

  /// Drawn for keys that don't exist yet.
  var reservedIndex: UInt32? {
    switch phase {
    case .asking(_, _, let index), .opening(_, _, let index, _): index
    case .idle, .makingOffer, .answering: nil
    }
  }

  mutating func stop() {
    phase = .idle
    nextRequest = nil
    tries = 0
  }
}
