public import MeshWire

/// A node that can be dialled: what the routing table keeps of a peer, and what a look-up asks.
///
/// Only peers that a session has authenticated belong in the ``RoutingTable``; what others say about a node
/// is a ``ContactHint``.
public struct Contact: Hashable, Sendable {
  /// The full identity. The PeerID alone can be forged for a hint, so a dialler always demands this.
  public let keyHash: KeyHash
  /// Where the node was reached, or says that it is.
  public var endpoint: Endpoint
  /// Sequence of the node's newest signed record that the endpoint came from; 0 when none has been seen.
  public var sequence: UInt64
  /// When the node last proved that it is alive.
  public var lastSeen: Instant

  public init(keyHash: KeyHash, endpoint: Endpoint, sequence: UInt64, lastSeen: Instant) {
    self.keyHash = keyHash
    self.endpoint = endpoint
    self.sequence = sequence
    self.lastSeen = lastSeen
  }

  /// The 160-bit routing identifier.
  public var peerID: PeerID { keyHash.peerID }

  /// What a FIND_NODE answer tells of this contact.
  public var hint: ContactHint { ContactHint(keyHash: keyHash, endpoint: endpoint, sequence: sequence) }
}

/// One line of a FIND_NODE answer: an unsigned claim that a node can be dialled somewhere.
///
/// 59 bytes, so that the 20 of one answer (1,180 bytes) fit in one datagram.
public struct ContactHint: Hashable, Sendable {
  /// Size on the wire: KeyHash 32, family 1, address 16, port 2, sequence 8.
  public static let size = KeyHash.size + Endpoint.size + 8

  public let keyHash: KeyHash
  public let endpoint: Endpoint
  /// Sequence of the signed record that the responder holds; 0 when it holds none.
  public let sequence: UInt64

  public init(keyHash: KeyHash, endpoint: Endpoint, sequence: UInt64) {
    self.keyHash = keyHash
    self.endpoint = endpoint
    self.sequence = sequence
  }

  /// The 160-bit routing identifier.
  public var peerID: PeerID { keyHash.peerID }
}

extension ByteWriter {
  /// Appends the 59 bytes of ``ContactHint/size``.
  public mutating func write(_ hint: ContactHint) {
    write(hint.keyHash)
    write(hint.endpoint)
    write(hint.sequence)
  }
}

extension ByteReader {
  /// Reads the 59 bytes of ``ContactHint/size``. Any endpoint that has an encoding is read; whether it may be
  /// dialled is for the table and the look-up to say.
  public mutating func contactHint() throws(DecodingFailure) -> ContactHint {
    ContactHint(keyHash: try keyHash(), endpoint: try endpoint(), sequence: try uint64())
  }
}
