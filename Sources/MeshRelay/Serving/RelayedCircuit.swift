public import MeshWire

/// One side of a circuit: a neighbour, and what the circuit is called between it and us.
struct CircuitLink: Hashable {
  let neighbour: PeerID
  let circuit: UInt32
}

/// A circuit that passes here.
struct RelayedCircuit {
  /// How many relays stand between the client and us.
  let position: Int
  /// Towards the client.
  let client: CircuitLink
  /// Towards the core: the next relay, or the node that reserved.
  let core: CircuitLink
  let clientPrefix: IPAddress?
  /// Tells the create message that made it from any other.
  let created: UInt128
  /// The create message for the next relay, to be said again if it is asked for again; nothing for the last.
  let inner: [UInt8]?
  let next: (relay: KeyHash, endpoint: Endpoint)?
  /// The reservation that it ends at.
  let reservation: UInt128?
  var forward: LayerOpener
  var backward: LayerSealer
  let opened: Instant
  var lastUsed: Instant
  /// Whether anything has come back from the core's side.
  var isConfirmed: Bool
  var bytes: UInt64 = 0
}

/// A place where a neighbour is reached.
struct HeldReservation {
  let holder: PeerID
  let prefix: IPAddress?
  var expires: Instant
  var bytesLeft: UInt64
}

/// What a ``RelayServer`` wants done. Methods append to the caller's array.
public enum RelayAction: Sendable {
  case send(cell: [UInt8], to: PeerID)
  /// Build on: CreateCircuit with this layer to this relay; open a session with it if there is none.
  case extend(to: KeyHash, at: Endpoint, circuit: UInt32, layer: [UInt8])
  case close(circuit: UInt32, CircuitEnd, to: PeerID)
}

/// What came of a cell given to ``RelayServer/relay(_:from:now:)``.
public enum Relayed: Sendable, Hashable {
  /// The cell, changed in place, goes on to this neighbour.
  case forward(to: PeerID)
  /// No circuit of this neighbour that passes here has that id: perhaps one that ends here.
  case notRelayed
  case dropped(CellDrop)
}
