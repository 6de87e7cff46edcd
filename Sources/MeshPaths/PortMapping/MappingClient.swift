import MeshWire

/// What the clients of all three protocols need to know.
struct MappingContext: Hashable {
  var gateway: IPAddress
  /// This machine's address towards the gateway.
  var local: IPAddress
  /// The UDP port that is to be reached.
  var port: UInt16
  var nonce: MappingNonce
}

/// What a client has learnt from the gateway.
enum ClientEvent: Hashable {
  /// It speaks the protocol.
  case speaks
  /// It says that it doesn't.
  case absent
  case refused(MappingRefusal)
  /// An answer that was waited for has not come.
  case unreachable
  /// The gateway's outer address.
  case outer(IPAddress)
  /// It maps this endpoint to us. `seconds` of 0: until it is removed.
  case granted(Endpoint, seconds: UInt32)
  /// It has started anew: whatever it had granted is gone.
  case restarted
  case removed
}

/// When to send again, and how often it was sent.
struct Retry: Hashable {
  private(set) var attempt = 0
  private(set) var due: Instant

  init(now: Instant, after pause: Duration) { due = now + pause }

  mutating func sent(now: Instant, nextAfter pause: Duration) {
    attempt += 1
    due = now + pause
  }
}
