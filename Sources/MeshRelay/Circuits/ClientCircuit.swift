public import MeshCrypto
public import MeshWire

/// A relay as a client needs it, from its signed record.
public struct RelayHop: Sendable, Hashable {
  public let keyHash: KeyHash
  public let endpoint: Endpoint
  public let onionKey: KeyExchangeOffer

  public init(keyHash: KeyHash, endpoint: Endpoint, onionKey: KeyExchangeOffer) {
    self.keyHash = keyHash
    self.endpoint = endpoint
    self.onionKey = onionKey
  }
}

/// One relay's layers, at the client.
struct HopLayers {
  var forward: LayerSealer
  var backward: LayerOpener
}

/// A circuit that ends here: one that this node built, with a layer for each relay, or one that somebody
/// built to a reservation of ours, with none.
struct ClientCircuit {
  enum State {
    /// The key exchanges are being computed.
    case agreeing([HopKeys?], answers: [KeyExchangeAnswer?])
    /// The create message is out.
    case creating(layer: [UInt8], tries: Int, next: Instant)
    case standing
  }

  let number: CircuitNumber
  /// Between us and the first relay.
  let entry: KeyHash
  let entryEndpoint: Endpoint?
  var circuit: UInt32
  let path: [RelayHop]
  let reservation: [UInt8]
  var layers: [HopLayers] = []
  var state: State
  /// Relays of the chain, as far as we know.
  var hops: Int
  let begun: Instant
  var lastIn: Instant
  var lastOut: Instant
  /// Empty cells that went out since anything came back.
  var probes = 0
  var nextProbe: Instant?
  /// For so long nothing may come back before it is asked, and asked again: twice its round trip.
  var patience: Duration = CircuitClient.leastPatience
  /// When the create message went out last.
  var created: Instant?
  /// When the last one went out that may measure the round trip.
  var probeSent: Instant?

  var isOurs: Bool { !path.isEmpty }
  var isStanding: Bool { if case .standing = state { true } else { false } }
  /// For how long something has come through it.
  var carried: Duration { isStanding ? lastIn - begun : .zero }
}

/// What a ``CircuitClient`` wants done. Methods append to the caller's array.
public enum CircuitAction: Sendable {
  /// Give the result to ``CircuitClient/computed(_:hop:_:random:now:wall:into:)``.
  case compute(CircuitNumber, hop: Int, CryptoJob)
  /// CreateCircuit to the entry; open a session with it if there is none.
  case create(circuit: UInt32, layer: [UInt8], to: KeyHash, at: Endpoint)
  case send(cell: [UInt8], to: PeerID)
  case close(circuit: UInt32, CircuitEnd, to: PeerID)
  /// The circuit stands. `after` is how long it took.
  case ready(CircuitNumber, hops: Int, after: Duration)
  /// It ended, or never stood. The relays of it are named when we built it; `carried` is for how long
  /// something came through it.
  case lost(CircuitNumber, CircuitEnd, path: [KeyHash], carried: Duration)
  /// An empty cell went there and back in so long.
  case measured(CircuitNumber, roundTrip: Duration)
}

/// What was in a cell given to ``CircuitClient/open(_:from:now:into:)``.
public enum CellContent: Sendable, Hashable {
  /// A datagram, decrypted in place: its bytes in the cell, and the circuit that it came through.
  case datagram(CircuitNumber, Range<Int>)
  /// An empty cell, dealt with.
  case handled
  case dropped(CellDrop)
}
