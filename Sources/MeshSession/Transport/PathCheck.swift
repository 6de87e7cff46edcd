public import MeshWire

/// Whether full-size datagrams pass to another address and back (SMH1.md §9): 0x34 ‖ id 8 ‖ zeros, answered
/// by 0x35 with the same id and size. So an answer is never larger than what asked for it.
enum PathCheck {
  static let request: UInt8 = 0x34
  static let answer: UInt8 = 0x35
  static let headSize = 9

  /// Whether a plaintext is a check or an answer: where it comes from says nothing of where the peer has
  /// gone.
  static func isOne(_ text: Span<UInt8>) -> Bool {
    text.count > headSize && text[0] == ContentKind.control.rawValue
      && (text[1] == request || text[1] == answer)
  }

  static func message(_ type: UInt8, id: ArraySlice<UInt8>) -> [UInt8] {
    let text = [ContentKind.control.rawValue, type] + id
    return text + repeatElement(0, count: Layout.basePayload - Layout.emptySize - text.count)
  }
}

extension Session {
  /// Asks whether a datagram of 1,232 bytes passes there and back; ends in
  /// ``SessionAction/checkAnswered(_:_:)`` or in nothing.
  ///
  /// - Parameter id: 64 random bits, never used before.
  public mutating func check(
    _ endpoint: Endpoint, id: UInt64, now: Instant, into actions: inout [SessionAction]
  ) {
    guard maySend(now) else { return }
    var bytes: [UInt8] = []
    bytes.append(bigEndian: id)
    actions.append(
      .sendElsewhere(sealWhole(PathCheck.message(PathCheck.request, id: bytes[...])), to: endpoint))
  }

  mutating func receiveCheck(
    _ message: [UInt8], _ datagramSize: Int, _ arrival: Arrival?, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard let arrival, datagramSize == Layout.basePayload, maySend(now) else { return .checkRefused }
    let id = message[1..<PathCheck.headSize]
    actions.append(.sendElsewhere(sealWhole(PathCheck.message(PathCheck.answer, id: id)), to: arrival.source))
    actions.append(.checked(arrival.source))
    return nil
  }

  mutating func receiveCheckAnswer(
    _ message: [UInt8], _ datagramSize: Int, _ arrival: Arrival?, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard let arrival, datagramSize == Layout.basePayload else { return .checkRefused }
    let id = message[1..<PathCheck.headSize].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    actions.append(.checkAnswered(id, arrival.source))
    return nil
  }
}
