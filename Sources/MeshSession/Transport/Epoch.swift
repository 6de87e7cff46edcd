import MeshCrypto
import MeshWire

/// One generation of transport keys: those of the handshake, or of one rekey.
struct Epoch {
  let generation: UInt32
  let receiveIndex: UInt32
  let peerIndex: UInt32
  /// What the next generation's secret grows from.
  let root: [UInt8]
  let sealing: AEADKey
  let opening: AEADKey
  let created: Instant
  /// The next counter to send with: it only counts up, so no pair of key and counter comes twice.
  var counter: UInt64 = 0
  var messageID: UInt32 = 0
  var window = ReplayWindow()
  /// Until when packets under it are opened.
  var receivesUntil: Instant
  /// Whether a packet under it has opened.
  var isProven = false

  init(
    generation: UInt32, suite: AEADSuite, root: [UInt8], role: Role, receiveIndex: UInt32, peerIndex: UInt32,
    now: Instant
  ) {
    self.generation = generation
    self.receiveIndex = receiveIndex
    self.peerIndex = peerIndex
    self.root = root
    let keys = TransportKeys(root: root)
    let (out, back) =
      role == .initiator
      ? (keys.initiatorToResponder, keys.responderToInitiator)
      : (keys.responderToInitiator, keys.initiatorToResponder)
    sealing = AEADKey(suite, key: out)
    opening = AEADKey(suite, key: back)
    created = now
    receivesUntil = now + Limits.keyLife + Limits.oldKeyLife
  }

  func maySend(now: Instant) -> Bool {
    counter < Limits.refuseAfterPackets && now < created + Limits.keyLife
  }

  /// Seals the `count` bytes of plaintext at `offset + 16` and writes header and tag around them.
  mutating func seal(_ output: inout MutableSpan<UInt8>, at offset: Int, count: Int) {
    // The header is authenticated from a copy: it may not be read from `output` while that is written.
    var header = InlineArray<16, UInt8>(repeating: 0)
    header[0] = Layout.Kind.transport.rawValue
    for index in 0..<4 { header[4 + index] = UInt8(truncatingIfNeeded: peerIndex >> UInt32(24 - 8 * index)) }
    for index in 0..<8 { header[8 + index] = UInt8(truncatingIfNeeded: counter >> UInt64(56 - 8 * index)) }
    var tag = InlineArray<16, UInt8>(repeating: 0)
    do {
      let start = offset + Layout.transportHeaderSize
      var text = output._mutatingExtracting(start..<start + count)
      var tagSpan = tag.mutableSpan
      sealing.seal(&text, counter: counter, associated: header.span, tag: &tagSpan)
    }
    let end = offset + Layout.transportHeaderSize + count
    for index in 0..<16 {
      output[offset + index] = header[index]
      output[end + index] = tag[index]
    }
    counter += 1
  }

  /// Opens a datagram in place; its plaintext then stands between header and tag.
  func open(_ datagram: inout MutableSpan<UInt8>, counter: UInt64) -> Bool {
    var header = InlineArray<16, UInt8>(repeating: 0)
    var tag = InlineArray<16, UInt8>(repeating: 0)
    let end = datagram.count - Layout.tagSize
    for index in 0..<16 {
      header[index] = datagram[index]
      tag[index] = datagram[end + index]
    }
    var text = datagram._mutatingExtracting(Layout.transportHeaderSize..<end)
    return opening.open(&text, counter: counter, associated: header.span, tag: tag.span)
  }
}

/// Copies `source` to `offset`; both must have room.
func copy(_ source: Span<UInt8>, into output: inout MutableSpan<UInt8>, at offset: Int) {
  precondition(offset >= 0 && offset + source.count <= output.count, "the caller has checked the room")
  unsafe source.withUnsafeBytes { source in
    unsafe output.withUnsafeMutableBytes { output in
      guard let from = source.baseAddress, let to = output.baseAddress else { return }
      unsafe (to + offset).copyMemory(from: from, byteCount: source.count)
    }
  }
}
