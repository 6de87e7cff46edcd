public import MeshCrypto
public import MeshWire

/// What became of a packet given to ``Session/seal(_:into:now:)``.
public enum SealOutcome: Equatable, Sendable {
  /// One datagram of this many bytes.
  case one(Int)
  /// Two, one after the other.
  case two(first: Int, second: Int)
  case refused(SealRefusal)
}

/// What was in a datagram given to ``Session/open(_:now:into:)``.
public enum OpenOutcome: Equatable, Sendable {
  /// A whole IP packet, decrypted in place: its bytes in the datagram.
  case packet(Range<Int>)
  /// An IP packet put together from its pieces.
  case assembled([UInt8])
  /// A whole cell of a relay circuit, decrypted in place: its bytes in the datagram.
  case cell(Range<Int>)
  /// A cell put together from its two pieces.
  case assembledCell([UInt8])
  /// A control message that is not the session's own business.
  case control([UInt8])
  /// An empty packet.
  case keepalive
  /// Authentic and dealt with: a piece, a rekey message, a path probe.
  case handled
  case dropped(TransportDrop)
}

/// What a ``Session`` wants done. Methods append to the caller's array.
public enum SessionAction {
  case send([UInt8])
  /// A path probe: send unfragmented (DF); losing it is no failure.
  case sendProbe([UInt8])
  /// Perhaps not to where the session's packets go: a path challenge, the answer to one, or M4 again.
  case sendElsewhere([UInt8], to: Endpoint)
  /// The peer's newest packet, of so many bytes, came from there: call
  /// ``Session/challenge(_:bytes:received:now:into:)``, unless nothing is ever to be sent there.
  case wantsChallenge(Endpoint, received: Int)
  /// The peer has shown that it is there: packets go there from here on.
  case moved(Endpoint)
  /// A path check of the peer's with this id came from there: call
  /// ``Session/answerCheck(_:to:now:into:)``, unless nothing is ever to be sent there.
  case checked(UInt64, Endpoint)
  /// The answer to the path check with this id came from there, at full size.
  case checkAnswered(UInt64, Endpoint)
  case compute(CryptoJob)
  /// Route packets with this receiver index to this session too.
  case indexAdded(UInt32)
  /// And no longer.
  case indexRetired(UInt32)
  /// The first packet opened: the peer has our M3.
  case confirmed
  case wantsHandshake(HandshakeReason)
  /// Nothing can be sent or opened any more.
  case expired
  /// Datagrams may now be this large, or it has turned out that they may not be larger.
  case pathPayload(Int)
  case dropped(TransportDrop)
}

/// Why a session asks for a new handshake.
public enum HandshakeReason: Hashable, Sendable {
  /// 15 s after sending, nothing has come back.
  case silence
  /// 24 h: sign anew.
  case identityAge
  /// The keys have reached their limit without a rekey.
  case keysExhausted
}

/// Which end of the handshake a session was.
public enum Role: Hashable, Sendable {
  case initiator
  case responder
}
