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

  /// - Parameter message: a whole one, from its type on.
  static func id(of message: [UInt8]) -> UInt64 {
    message[1..<headSize].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  }

  static func message(_ type: UInt8, id: UInt64) -> [UInt8] {
    var text = [ContentKind.control.rawValue, type]
    text.append(bigEndian: id)
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
    actions.append(.sendElsewhere(sealWhole(PathCheck.message(PathCheck.request, id: id)), to: endpoint))
  }

  /// Answers a check, as ``SessionAction/checked(_:_:)`` told of it: as many bytes as came.
  public mutating func answerCheck(
    _ id: UInt64, to endpoint: Endpoint, now: Instant, into actions: inout [SessionAction]
  ) {
    guard maySend(now) else { return }
    actions.append(.sendElsewhere(sealWhole(PathCheck.message(PathCheck.answer, id: id)), to: endpoint))
  }

  mutating func receiveCheck(
    _ message: [UInt8], _ datagramSize: Int, _ arrival: Arrival?, _ now: Instant,
    _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard let arrival, datagramSize == Layout.basePayload, maySend(now) else { return .checkRefused }
    actions.append(.checked(PathCheck.id(of: message), arrival.source))
    return nil
  }

  mutating func receiveCheckAnswer(
    _ message: [UInt8], _ datagramSize: Int, _ arrival: Arrival?, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    guard let arrival, datagramSize == Layout.basePayload else { return .checkRefused }
    actions.append(.checkAnswered(PathCheck.id(of: message), arrival.source))
    return nil
  }
}
